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
    match Code::of_end(reason) {
        Some(code) => RpcStatus::with_message(status_code(code), reason.to_string()),
        None => RpcStatus::ok(),
    }
}

/// The status of a call that is neither of these.
pub fn of(code: Code, reason: impl ToString) -> RpcStatus {
    RpcStatus::with_message(status_code(code), reason.to_string())
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
