//! The server of a command, and how to reach it.

use std::time::Duration;

use crate::address::Address;
use crate::client::{CALL_TIMEOUT, CallError, Caller, Connector, FINISH_TIMEOUT, Patience, Settings, StartAt};
use crate::names::{RoomName, UserName};

/// A server, how to connect to it, and the timeouts of its client.
#[derive(Clone)]
pub struct Server {
    pub address: Address,
    pub connector: Connector,
    /// Whether the client presents a login.
    pub has_login: bool,
    /// How long there may be no connection, or no answer; `None` for the default.
    pub timeout: Option<Duration>,
}

impl Server {
    /// The settings of a session in one room.
    pub fn settings(&self, name: UserName, room: RoomName, from: StartAt) -> Settings {
        Settings { patience: self.patience(), ..Settings::new(name, room, from) }
    }

    pub fn patience(&self) -> Patience {
        Patience {
            connect_within: self.timeout.unwrap_or_default(),
            outage_max: self.timeout,
            finish_timeout: self.timeout.unwrap_or(FINISH_TIMEOUT),
            ..Patience::default()
        }
    }

    pub fn call_timeout(&self) -> Duration {
        self.timeout.unwrap_or(CALL_TIMEOUT)
    }

    /// A connection for calls.
    pub fn caller(self) -> Result<Caller, CallError> {
        let (within, timeout) = (self.timeout.unwrap_or_default(), self.call_timeout());
        Caller::connect_within(self.connector, self.address, timeout, within, |_| {})
    }
}
