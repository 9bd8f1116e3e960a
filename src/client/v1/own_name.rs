//! The name that a server gives to a login.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use grpcio::GrpcSlice;

use super::wire::{self, Item, read_events};
use crate::address::Address;
use crate::client::connection::Connector;
use crate::client::error::SessionError;
use crate::client::stream::StreamError;
use crate::names::UserName;
use crate::wire::v1::event::Event as Wire;

/// The name under which a client with this login posts. `within` bounds connecting and answering, each.
pub fn own_name(connector: &Connector, address: &Address, within: Duration) -> Result<UserName, SessionError> {
    let connection = connector.open_within(address, within, |_| {})?;
    let (mut sender, mut receiver) = wire::open(&connection)?;
    let deadline = Instant::now() + within;
    sender.send_on(GrpcSlice::from(wire::hello(None)))?;
    loop {
        let no_answer = || StreamError::Lost("the server does not answer".to_owned());
        let response = receiver.receive(Some(deadline))?.ok_or_else(no_answer)?;
        let read = read_events(&response, |item| match item {
            Item::Other(event) => match event.event {
                Some(Wire::Welcome(welcome)) => ControlFlow::Break(welcome.name),
                _ => ControlFlow::Continue(()),
            },
            Item::Message { .. } => ControlFlow::Continue(()),
        })?;
        if let ControlFlow::Break(name) = read {
            let fault = |_| StreamError::Fault("it gave this login no valid name".to_owned());
            return Ok(UserName::new(name).map_err(fault)?);
        }
    }
}
