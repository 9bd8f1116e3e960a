//! The checked plan of a run.

use std::time::Duration;

use thiserror::Error;

use super::contract::RunContract;
use super::http::{self, Credentials};
use super::options::Options;
use super::payload::bytes_min;
use crate::address::Address;
use crate::client::{
    CALL_TIMEOUT, ClientTls, Connector, Login, SessionError, StoredLogin, StreamError, is_local, own_name,
};
use crate::names::{RoomName, UserName};

/// A checked plan.
#[derive(Clone, Debug)]
pub struct Plan {
    pub server: Address,
    tls: Option<ClientTls>,
    login: Option<Login>,
    pub contract: RunContract,
    pub room: RoomName,
    pub clients: usize,
    pub senders: u16,
    /// Messages of each sender.
    pub messages: u32,
    /// Messages per second in all, if there is to be a limit.
    pub rate: Option<u32>,
    pub body_bytes: usize,
    /// The name of each client.
    pub names: Vec<UserName>,
    pub in_flight: u32,
    pub idle_timeout: Duration,
    /// How long a client may have no connection.
    pub reconnect_timeout: Duration,
}

/// An invalid number of messages.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct InvalidPlan(pub String);

impl Plan {
    /// The plan for this number of messages, which the options may not give.
    pub fn new(options: &Options, messages: u32) -> Result<Self, InvalidPlan> {
        if let Some(fault) = options.check_messages(messages).into_iter().next() {
            return Err(InvalidPlan(fault));
        }
        let names = (1..=options.clients).map(|n| UserName::new(format!("{}-{n}", options.name)));
        let server = match &options.server {
            Some(server) => server.clone(),
            None => options.contract.default_server().map_err(|fault| InvalidPlan(fault.to_string()))?,
        };
        let stored = StoredLogin::load(&server).map_err(|fault| InvalidPlan(fault.to_string()))?;
        let needs_tls = stored.as_ref().is_some_and(|stored| stored.tls);
        let login = match options.contract {
            RunContract::V1 | RunContract::Http => options.login.choose(stored).0,
            RunContract::Tutorial => None,
        };
        Ok(Self {
            tls: options.tls.for_server(&server, needs_tls).map_err(|fault| InvalidPlan(fault.to_string()))?,
            login,
            server,
            contract: options.contract,
            room: options.room.clone().unwrap_or_else(|| default_room(options.contract)),
            clients: options.clients,
            senders: u16::try_from(options.senders).map_err(|fault| InvalidPlan(fault.to_string()))?,
            messages,
            rate: (options.rate > 0).then_some(options.rate),
            body_bytes: options.size,
            names: names.collect::<Result<_, _>>().map_err(|fault| InvalidPlan(format!("invalid --name: {fault}")))?,
            in_flight: options.in_flight,
            idle_timeout: options.idle_timeout,
            reconnect_timeout: options.reconnect_timeout,
        })
    }

    /// A connector whose connections are shared by this many threads.
    pub fn connector(&self, pollers: usize) -> Connector {
        Connector::new(pollers).with_tls(self.tls.clone()).with_login(self.login.clone())
    }

    /// The size of a body without padding, in bytes.
    pub fn bytes_min(&self) -> usize {
        self.names.iter().map(|name| bytes_min(name.as_str(), self.messages)).max().unwrap_or_default()
    }

    /// If the clients present a login, asks the server for its name, and gives it to all of them.
    pub fn take_name(&mut self) -> Result<(), SessionError> {
        let has_login = self.login.is_some() || self.tls.as_ref().is_some_and(ClientTls::has_identity);
        let name = match self.contract {
            RunContract::V1 if has_login => own_name(&self.connector(1), &self.server, CALL_TIMEOUT)?,
            RunContract::Http if has_login => {
                let refused = |reason| SessionError::Stream(StreamError::Refused(reason));
                let name = http::own_name(&self.server, &self.credentials()?);
                match name.map_err(|error| refused(error.to_string()))? {
                    Some(name) => UserName::new(name).map_err(|fault| refused(fault.to_string()))?,
                    None => return Ok(()),
                }
            }
            _ => return Ok(()),
        };
        self.names.fill(name);
        Ok(())
    }

    /// What the requests over HTTP present.
    pub fn credentials(&self) -> Result<Credentials, SessionError> {
        let Some(login) = &self.login else { return Ok(Credentials::default()) };
        let header = login.header(is_local(&self.server));
        let header = header.map_err(|fault| SessionError::Stream(StreamError::Refused(fault.to_string())))?;
        Ok(Credentials(format!("Authorization: {}\r\n", *header)))
    }
}

/// A separate room, so that numbered messages don't fill one that people read.
fn default_room(contract: RunContract) -> RoomName {
    match contract {
        // Invariant: the name is a valid constant.
        RunContract::V1 | RunContract::Http => RoomName::new("repeat").expect("the default room's name is valid"),
        RunContract::Tutorial => RoomName::lobby(),
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, FromArgMatches as _};

    use super::*;

    /// The options, with no settings from the environment that the tests run in.
    fn options(arguments: &[&str]) -> Options {
        let command = Options::command().mut_args(|argument| argument.env(None::<&str>));
        let matches = command.get_matches_from([&["hubbub-repeat", "--server", "127.0.0.1:1"], arguments].concat());
        Options::from_arg_matches(&matches).unwrap()
    }

    #[test]
    fn a_plan_has_the_values_of_the_options() {
        let options = options(&["--clients", "5", "--senders", "5", "--rate", "0", "--name", "r"]);
        let plan = Plan::new(&options, 7).unwrap();
        assert_eq!((plan.clients, plan.senders, plan.messages, plan.rate), (5, 5, 7, None));
        assert_eq!(plan.names[4].as_str(), "r-5");
        assert_eq!((plan.idle_timeout, plan.reconnect_timeout), (Duration::from_secs(10), Duration::from_secs(30)));
    }

    /// A regression: only totals above 32 bits were refused, so that a plan could allocate 16 GB at its start.
    #[test]
    fn a_number_of_messages_that_cannot_be_checked_is_refused() {
        let options = options(&["--clients", "100", "--senders", "100"]);
        assert!(Plan::new(&options, 1_000_000).is_ok());
        let InvalidPlan(fault) = Plan::new(&options, 1_000_001).unwrap_err();
        assert!(fault.starts_with("100 senders of 1000001 messages each are too many"), "{fault}");
    }
}
