//! The client library, shared by the terminal client and the repeat client.
//!
//! From the bottom up: an [`Address`](crate::address::Address) locates a server, and a [`Connector`] opens a
//! [`Connection`] to it. Over `hubbub.v1`, a [`Session`] is a conversation that survives lost connections: it joins and
//! leaves rooms, resumes each at its position, and posts unacknowledged messages again; a [`Caller`] makes the unary
//! calls. The module [`tutorial`] has the same for the tutorial's contract, which has neither rooms nor
//! acknowledgements.
//!
//! All calls block the calling thread. No async runtime is needed.

mod limits;
mod contract;
mod login;
mod login_options;
mod tls_fault;
mod connect_error;
mod connection;
mod tls;
mod probe;
mod diagnosis;
mod shown;
mod known_servers;
mod tls_options;
mod stream;
mod backoff;
mod error;
mod patience;
mod outgoing;
mod handler_time;
mod shared;
mod incoming;
mod receive;
mod session;
mod v1;
mod calls;
mod mentioned;
mod health;
pub mod tutorial;
#[cfg(fuzzing)]
pub mod fuzz;

pub use backoff::Backoff;
pub use calls::changes::{MessagePlace, NewText};
pub use calls::search::{FoundMessage, SearchPage, SearchQuery};
pub use calls::{CallError, Caller, Member, Page, PagePlace, Posted, RoomInfo, each_page};
pub use connect_error::ConnectError;
pub use connection::{Connection, Connector, SERVER_HELP, SERVER_LONG_HELP, is_local};
pub use contract::{CONTRACT_HELP, CONTRACT_LONG_HELP, Contract};
pub use error::{SessionError, Unsure, lines};
pub use health::{HealthError, check_health};
pub use known_servers::KnownServers;
pub use limits::{BYTES_MAX, CALL_TIMEOUT, FINISH_TIMEOUT, LINES_MAX};
pub use login::{Login, LoginFault, StoredLogin, TOKEN_VARIABLE, config_folder};
pub use login_options::LoginOptions;
pub use mentioned::mentioned;
pub use patience::{Patience, Policy};
pub use shown::{chain, chain_with_fingerprint};
pub use stream::{Canceller, StreamError};
pub use tls::ClientTls;
pub use tls_fault::TlsFault;
pub use tls_options::{TlsOptions, TlsProfile};
pub use v1::{
    Effect, Event, Extras, Gap, GapReason, HistoryPage, Inlet, KeptChanges, Line, LoggedChange, Message, NO_EXTRAS,
    Outdated, Person, Reaction, RoomJoined, RoomReader, RoomState, Session, Settings, StartAt, StoredMessage, Tally,
    Timeline, new_message_id, own_name,
};
