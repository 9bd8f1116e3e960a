//! Why the index can't be read or written.

use rusqlite::ErrorCode;
use thiserror::Error;

use crate::server::log::LogError;

/// Why the index can't be read or written.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Fault {
    /// The file is damaged, or is not an index of this version: it is made again.
    #[error("the index is damaged: {0}")]
    Damaged(String),
    #[error("the disk is full")]
    Full,
    /// It may work again later.
    #[error("{0}")]
    Unavailable(String),
    /// The log can't be read.
    #[error("stored messages can't be read: {0}")]
    Log(#[from] LogError),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        let text = match &error {
            rusqlite::Error::SqliteFailure(failure, Some(text)) => format!("{text}, code {}", failure.extended_code),
            other => other.to_string(),
        };
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::ConstraintViolation) => {
                Self::Damaged(text)
            }
            // A table is missing, or a value has a wrong type.
            Some(ErrorCode::Unknown | ErrorCode::TypeMismatch) | None => Self::Damaged(text),
            Some(_) => Self::Unavailable(text),
        }
    }
}
