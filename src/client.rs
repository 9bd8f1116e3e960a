//! The client library: what the terminal client and the repeat client share.
//!
//! From the ground up: an [`Address`](crate::address::Address) says where a server is, a [`Connector`] opens a
//! [`Connection`] to it, and a connection carries a conversation, split into a [`Sender`] and a [`Receiver`] for two
//! threads. A [`Session`] keeps a conversation going over lost connections. Connecting and coming back know nothing of
//! the contract that is spoken; that is the business of `stream` alone.
//!
//! All calls block the calling thread. Nothing here needs an async runtime.

mod connection;
mod stream;
mod backoff;
mod outbox;
mod state;
mod session;
mod switch;

pub use backoff::Backoff;
pub use connection::{ConnectError, Connection, Connector, SERVER_HELP};
pub use outbox::{doubt, lines};
pub use session::{Event, Inlet, Policy, Session, SessionError};
pub use stream::{Canceller, Incoming, Receiver, Sender, StreamError};
pub use switch::switch;
