//! Which gRPC status each reason for an end becomes. This is the only place that decides it.

use grpcio::{RpcStatus, RpcStatusCode};

use crate::server::session::close::CloseReason;

pub fn of(reason: &CloseReason) -> RpcStatus {
    let code = match reason {
        CloseReason::Finished { .. } => return RpcStatus::ok(),
        CloseReason::ClientLeft => RpcStatusCode::CANCELLED,
        CloseReason::Undecodable(_) | CloseReason::Invalid(_) => RpcStatusCode::INVALID_ARGUMENT,
        CloseReason::BehindRetention(_) => RpcStatusCode::DATA_LOSS,
        CloseReason::Draining { .. } => RpcStatusCode::UNAVAILABLE,
        CloseReason::LogStopped => RpcStatusCode::INTERNAL,
        CloseReason::Full { .. } | CloseReason::NoThread(_) => RpcStatusCode::RESOURCE_EXHAUSTED,
    };
    RpcStatus::with_message(code, reason.to_string())
}
