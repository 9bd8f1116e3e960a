//! The tutorial's contract: a stream of lines without acknowledgements, and a session that counts the lines that may be
//! lost.

mod stream;
mod error;
mod outbox;
mod state;
mod session;

pub use error::SessionError;
pub use outbox::doubt;
pub use session::{Event, Inlet, Session};
pub use stream::{Incoming, Receiver, Sender};
