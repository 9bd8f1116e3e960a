//! The client library, shared by the terminal client and the repeat client.
//!
//! From the bottom up: an [`Address`](crate::address::Address) locates a server, and a [`Connector`] opens a
//! [`Connection`] to it. Over `hubbub.v1`, a [`Session`] is a conversation that survives lost connections: it joins and
//! leaves rooms, resumes each at its position, and posts unacknowledged messages again; a [`Caller`] makes the unary
//! calls. The module [`tutorial`] has the same for the tutorial's contract, which has neither rooms nor
//! acknowledgements.
//!
//! All calls block the calling thread. No async runtime is needed.

mod contract;
mod connect_error;
mod connection;
mod diagnosis;
mod stream;
mod backoff;
mod chat;
mod place;
mod rooms;
mod outbox;
mod state;
mod events;
mod session;
mod reader;
mod calls;
pub mod tutorial;

pub use backoff::Backoff;
pub use calls::{CALL_TIMEOUT, CallError, Caller, Member, Page, PagePlace, Posted, RoomInfo, StoredMessage};
pub use connect_error::ConnectError;
pub use connection::{Connection, Connector, SERVER_HELP, SERVER_LONG_HELP};
pub use contract::{CONTRACT_HELP, CONTRACT_LONG_HELP, Contract};
pub use events::{BYTES_MAX, Event, FINISH_TIMEOUT, LINES_MAX, Message, Policy, SessionError, Settings};
pub use outbox::{Line, Tally, lines};
pub use place::{Gap, GapReason, StartAt};
pub use session::{Inlet, Session, new_message_id};
pub use stream::{Canceller, StreamError};
