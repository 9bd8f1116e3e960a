//! The clients of a run over HTTP: each follows the room by a stream of `Follow`, and a sender posts by `PostMessage`, each
//! over a connection of its own. They resume and post again after a lost connection, as sessions over gRPC do, so the same
//! checks hold.

mod connection;
mod session;

pub use self::connection::{Credentials, newest_seq, own_name};
pub use self::session::{HttpInlet, HttpSession, Settings as HttpSettings};
