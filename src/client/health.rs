//! One health check of a server, for probes: with one deadline for everything.

use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use grpcio::{CallOption, Error as GrpcError, RpcStatusCode};
use humantime::format_duration;
use thiserror::Error;

use super::connect_error::ConnectError;
use super::connection::Connector;
use crate::address::Address;
use crate::threads::spawn;
use crate::wire::HEALTH_CHECK;
use crate::wire::health::HealthCheckRequest;
use crate::wire::health::health_check_response::ServingStatus;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HealthError {
    #[error("no server listens at {0} (connection refused)")]
    NoServer(Address),
    #[error(transparent)]
    Connect(ConnectError),
    #[error("no answer from {address} within {}", format_duration(*.timeout))]
    TimedOut { address: Address, timeout: Duration },
    #[error("{address} has no service {service:?}: leave --service out for the whole server")]
    UnknownService { address: Address, service: String },
    #[error("{0} has no health checks: it is an earlier version of Hubbub, or another server")]
    NoHealth(Address),
    #[error("{address} does not answer: {reason}")]
    Failed { address: Address, reason: String },
}

/// Asks a server whether it, or one of its services, serves. An empty service means the whole server.
pub fn check_health(
    connector: &Connector,
    address: &Address,
    service: &str,
    timeout: Duration,
) -> Result<bool, HealthError> {
    let deadline = Instant::now() + timeout;
    let late = || HealthError::TimedOut { address: address.clone(), timeout };
    let (answer, answers) = channel();
    let check = {
        let (connector, address, service) = (connector.clone(), address.clone(), service.to_owned());
        move || drop(answer.send(check(&connector, &address, service, deadline)))
    };
    // Finding out why a connection fails may take longer than the deadline. This thread then outlasts it.
    spawn("health", check)
        .map_err(|error| HealthError::Failed { address: address.clone(), reason: error.to_string() })?;
    answers.recv_timeout(deadline.saturating_duration_since(Instant::now())).unwrap_or_else(|_| Err(late()))
}

fn check(connector: &Connector, address: &Address, service: String, deadline: Instant) -> Result<bool, HealthError> {
    let connection = connector.open_by(address, deadline).map_err(|error| match error {
        ConnectError::NoServer(address) => HealthError::NoServer(address),
        other => HealthError::Connect(other),
    })?;
    let left = deadline.saturating_duration_since(Instant::now());
    let request = HealthCheckRequest { service: service.clone(), ..Default::default() };
    let address = address.clone();
    match connection.client().unary_call(&HEALTH_CHECK, &request, CallOption::default().timeout(left)) {
        Ok(response) => Ok(response.status.enum_value() == Ok(ServingStatus::SERVING)),
        Err(GrpcError::RpcFailure(status)) => Err(match status.code() {
            RpcStatusCode::NOT_FOUND => HealthError::UnknownService { address, service },
            RpcStatusCode::UNIMPLEMENTED => HealthError::NoHealth(address),
            code => HealthError::Failed { address, reason: format!("{code} {}", status.message()) },
        }),
        Err(error) => Err(HealthError::Failed { address, reason: error.to_string() }),
    }
}
