//! Maps each error of a unary call, and each close reason of a stream, to a gRPC status. This is the only place that
//! does.

use grpcio::{RpcStatus, RpcStatusCode};

use crate::server::calls::error::{CallError, Code};
use crate::server::delivery::close::CloseReason;

/// The status of a call that failed.
pub fn of_call(error: &CallError) -> RpcStatus {
    RpcStatus::with_message(status_code(error.code()), error.to_string())
}

/// The status of a stream that ends for this reason.
pub fn of_stream(reason: &CloseReason) -> RpcStatus {
    match stream_code(reason) {
        Some(code) => RpcStatus::with_message(status_code(code), reason.to_string()),
        None => RpcStatus::ok(),
    }
}

/// The code for the end of a stream; `None` if nothing failed.
fn stream_code(reason: &CloseReason) -> Option<Code> {
    Some(match reason {
        CloseReason::Finished { .. } => return None,
        CloseReason::ClientLeft => Code::Cancelled,
        CloseReason::Undecodable(_) | CloseReason::Invalid(_) | CloseReason::TooManyCommands(_) => {
            Code::InvalidArgument
        }
        CloseReason::HelloExpected | CloseReason::HelloRepeated => Code::FailedPrecondition,
        CloseReason::HelloLate => Code::DeadlineExceeded,
        CloseReason::BehindRetention(_) => Code::DataLoss,
        CloseReason::LogUnreadable(error) => error.into(),
        CloseReason::Login(error) => error.into(),
        CloseReason::Denied(_) => Code::PermissionDenied,
        CloseReason::LoginRevoked | CloseReason::LoginExpired | CloseReason::NoGuests => Code::Unauthenticated,
        CloseReason::Draining { .. } | CloseReason::NotStored(_) => Code::Unavailable,
        CloseReason::LogStopped => Code::Internal,
        CloseReason::OverQuota(_)
        | CloseReason::Full { .. }
        | CloseReason::Displaced
        | CloseReason::AddressFull { .. }
        | CloseReason::NoThread(_) => Code::ResourceExhausted,
    })
}

fn status_code(code: Code) -> RpcStatusCode {
    match code {
        Code::Cancelled => RpcStatusCode::CANCELLED,
        Code::InvalidArgument => RpcStatusCode::INVALID_ARGUMENT,
        Code::DeadlineExceeded => RpcStatusCode::DEADLINE_EXCEEDED,
        Code::NotFound => RpcStatusCode::NOT_FOUND,
        Code::AlreadyExists => RpcStatusCode::ALREADY_EXISTS,
        Code::ResourceExhausted => RpcStatusCode::RESOURCE_EXHAUSTED,
        Code::FailedPrecondition => RpcStatusCode::FAILED_PRECONDITION,
        Code::Aborted => RpcStatusCode::ABORTED,
        Code::Internal => RpcStatusCode::INTERNAL,
        Code::Unavailable => RpcStatusCode::UNAVAILABLE,
        Code::DataLoss => RpcStatusCode::DATA_LOSS,
        Code::Unauthenticated => RpcStatusCode::UNAUTHENTICATED,
        Code::PermissionDenied => RpcStatusCode::PERMISSION_DENIED,
        Code::Unimplemented => RpcStatusCode::UNIMPLEMENTED,
    }
}
