//! A session on `hubbub.v1`, which loses and repeats nothing: it holds the server to each room's place, resumes every room on a new
//! connection, and posts again what was not acknowledged.
//!
//! What it guarantees: the owner gets each message of each room once and in the order of seq, or is told of the gap. A
//! line that was handed over is stored once, in its order (`outbox.rs` tells the one exception), or the owner is told
//! that it was rejected, or that the session ended before the server had acknowledged it.

mod events;
mod incoming;
mod inlet;
mod outbox;
mod outgoing;
mod place;
mod rooms;
pub(super) mod wire;

pub use events::{Event, Message, Settings};
pub use inlet::{Inlet, Session, new_message_id};
pub use outbox::{Line, Tally};
pub use place::{Gap, GapReason, StartAt};
