//! Maps each close reason to a gRPC status. This is the only place that does.

use grpcio::{RpcStatus, RpcStatusCode};

use crate::server::delivery::close::CloseReason;
use crate::server::log::LogError;

pub fn of(reason: &CloseReason) -> RpcStatus {
    let code = match reason {
        CloseReason::Finished { .. } => return RpcStatus::ok(),
        CloseReason::ClientLeft => RpcStatusCode::CANCELLED,
        CloseReason::Undecodable(_) | CloseReason::Invalid(_) | CloseReason::TooManyCommands(_) => {
            RpcStatusCode::INVALID_ARGUMENT
        }
        CloseReason::HelloExpected | CloseReason::HelloRepeated => RpcStatusCode::FAILED_PRECONDITION,
        CloseReason::HelloLate => RpcStatusCode::DEADLINE_EXCEEDED,
        CloseReason::BehindRetention(_) => RpcStatusCode::DATA_LOSS,
        CloseReason::LogUnreadable(LogError::Unavailable(_) | LogError::Full) => RpcStatusCode::UNAVAILABLE,
        CloseReason::Draining { .. } | CloseReason::NotStored(_) => RpcStatusCode::UNAVAILABLE,
        CloseReason::LogStopped | CloseReason::LogUnreadable(_) => RpcStatusCode::INTERNAL,
        CloseReason::Full { .. } | CloseReason::NoThread(_) => RpcStatusCode::RESOURCE_EXHAUSTED,
    };
    RpcStatus::with_message(code, reason.to_string())
}
