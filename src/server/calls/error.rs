//! The errors of the unary calls, and the status codes of calls and streams.

use std::time::Duration;

use thiserror::Error;

use crate::limits::STORE_RETRY;
use crate::names::{InvalidText, RoomName};
use crate::server::auth::access::Denied;
use crate::server::auth::login::LoginError;
use crate::server::delivery::close::CloseReason;
use crate::server::log::LogError;
use crate::server::quotas::OverQuota;
use crate::server::search::{Fault, InvalidQuery};

/// The result of a call.
pub type CallResult<T> = Result<T, CallError>;

/// Why a call or a stream failed, for programs. The names are gRPC's, to which other protocols can be mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Code {
    Cancelled,
    InvalidArgument,
    DeadlineExceeded,
    NotFound,
    AlreadyExists,
    ResourceExhausted,
    FailedPrecondition,
    Aborted,
    Internal,
    Unavailable,
    DataLoss,
    Unauthenticated,
    PermissionDenied,
    Unimplemented,
}

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CallError {
    #[error("{0}")]
    Invalid(#[from] InvalidText),
    #[error("the page size is {asked}: request at most {max}")]
    PageSize { asked: usize, max: usize },
    #[error("invalid page token: send the token of the previous response, or none")]
    PageToken,
    #[error("{0}")]
    Query(#[from] InvalidQuery),
    /// It is of another index: the index may have been made again since.
    #[error("invalid page token: search again from the first page")]
    SearchPageToken,
    #[error("this server has no search: its operator has not switched it on")]
    NoSearch,
    /// The reason is in the server's log: it may name files.
    #[error("search is not available now: try again in a moment, or ask the server's operator")]
    Search(#[from] Fault),
    #[error("the request changes nothing: give a topic, which is empty for none")]
    NothingToChange,
    #[error("no room named \"{0}\": a room is created by its first message")]
    NoRoom(RoomName),
    #[error("{0}")]
    Log(#[from] LogError),
    #[error("{0} calls of this connection are in progress, the maximum: wait for a response first")]
    TooManyCalls(usize),
    #[error("{0}")]
    OverQuota(#[from] OverQuota),
    #[error("{0}")]
    Login(#[from] LoginError),
    #[error("{0}")]
    Denied(#[from] Denied),
    /// Too many calls are in progress, or a drain has begun.
    #[error("the server is busy, or shutting down: try again in a moment")]
    Busy,
}

impl CallError {
    /// When to try again; `None` if that is of no use, or not known.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::OverQuota(quota) => quota.retry_after(),
            Self::Busy | Self::TooManyCalls(_) | Self::Search(_) => Some(Duration::from_secs(1)),
            Self::Log(LogError::Unavailable(_) | LogError::Full) => Some(STORE_RETRY),
            _ => None,
        }
    }

    pub fn code(&self) -> Code {
        match self {
            Self::Invalid(_)
            | Self::Query(_)
            | Self::PageSize { .. }
            | Self::PageToken
            | Self::SearchPageToken
            | Self::NothingToChange => Code::InvalidArgument,
            Self::NoSearch => Code::Unimplemented,
            Self::Search(_) => Code::Unavailable,
            Self::NoRoom(_) => Code::NotFound,
            Self::Log(error) => error.into(),
            Self::TooManyCalls(_) | Self::OverQuota(_) => Code::ResourceExhausted,
            Self::Login(error) => error.into(),
            Self::Denied(_) => Code::PermissionDenied,
            Self::Busy => Code::Unavailable,
        }
    }
}

/// How metrics name the success of a call.
pub const OK: &str = "ok";

/// The names of codes in metrics, and that of success.
pub const CODE_WORDS: &[&str] = &[
    OK,
    "cancelled",
    "invalid_argument",
    "deadline_exceeded",
    "not_found",
    "already_exists",
    "resource_exhausted",
    "failed_precondition",
    "aborted",
    "internal",
    "unavailable",
    "data_loss",
    "unauthenticated",
    "permission_denied",
    "unimplemented",
];

impl Code {
    /// Its name in metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::Cancelled => "cancelled",
            Self::InvalidArgument => "invalid_argument",
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::NotFound => "not_found",
            Self::AlreadyExists => "already_exists",
            Self::ResourceExhausted => "resource_exhausted",
            Self::FailedPrecondition => "failed_precondition",
            Self::Aborted => "aborted",
            Self::Internal => "internal",
            Self::Unavailable => "unavailable",
            Self::DataLoss => "data_loss",
            Self::Unauthenticated => "unauthenticated",
            Self::PermissionDenied => "permission_denied",
            Self::Unimplemented => "unimplemented",
        }
    }

    /// The code for the end of a stream; `None` if nothing failed.
    pub fn of_end(reason: &CloseReason) -> Option<Self> {
        Some(match reason {
            CloseReason::Finished { .. } => return None,
            CloseReason::ClientLeft => Self::Cancelled,
            CloseReason::Undecodable(_)
            | CloseReason::Invalid(_)
            | CloseReason::TooManyCommands(_)
            | CloseReason::RoomsToFollow(_) => Self::InvalidArgument,
            CloseReason::HelloExpected | CloseReason::HelloRepeated => Self::FailedPrecondition,
            CloseReason::HelloLate | CloseReason::TimeOver => Self::DeadlineExceeded,
            CloseReason::BehindRetention(_) => Self::DataLoss,
            CloseReason::LogUnreadable(error) => error.into(),
            CloseReason::Login(error) => error.into(),
            CloseReason::Denied(_) => Self::PermissionDenied,
            CloseReason::LoginRevoked | CloseReason::LoginExpired | CloseReason::NoGuests => Self::Unauthenticated,
            CloseReason::Draining { .. } | CloseReason::NotStored(_) => Self::Unavailable,
            CloseReason::LogStopped => Self::Internal,
            CloseReason::OverQuota(_)
            | CloseReason::Full { .. }
            | CloseReason::Displaced
            | CloseReason::AddressFull { .. }
            | CloseReason::NoThread(_)
            | CloseReason::NotWatched(_) => Self::ResourceExhausted,
        })
    }
}

impl From<&LoginError> for Code {
    fn from(error: &LoginError) -> Self {
        match error {
            LoginError::Banned(_) => Self::PermissionDenied,
            LoginError::TooManyFailures(_) => Self::ResourceExhausted,
            LoginError::Unavailable => Self::Unavailable,
            LoginError::NoAccounts => Self::Unimplemented,
            _ => Self::Unauthenticated,
        }
    }
}

impl From<&LogError> for Code {
    fn from(error: &LogError) -> Self {
        match error {
            LogError::Unavailable(_) | LogError::Full | LogError::Reserve => Self::Unavailable,
            LogError::Damaged(_) => Self::Internal,
            LogError::IdTaken(_) | LogError::LooksLike(_) => Self::AlreadyExists,
            LogError::TooManyRooms(_) => Self::ResourceExhausted,
            LogError::NoMessage(_) | LogError::NoRoom(_) => Self::NotFound,
            LogError::NotOwn(_) => Self::PermissionDenied,
            LogError::Edited { .. } => Self::Aborted,
            LogError::WasDeleted(_) | LogError::OtherEpoch(_) | LogError::TooManyEmojis(_) | LogError::TooManyPins => {
                Self::FailedPrecondition
            }
        }
    }
}
