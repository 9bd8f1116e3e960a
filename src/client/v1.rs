//! A session over `hubbub.v1`, without lost or repeated messages: it verifies each room's place, resumes every room on
//! a new connection, and posts unacknowledged lines again.
//!
//! Guarantees: the owner gets each message of each room once and in the order of seq, or an event for the gap. A line
//! that was passed in is stored once, in its order (`outbox.rs` describes the one exception), or the owner gets an
//! event that it was rejected, or that the session ended before the server had acknowledged it.

mod place;
pub(super) mod stored;
mod line;
pub(super) mod wire;
mod outbox;
mod change;
mod membership;
mod events;
mod kept_changes;
mod room_state;
mod timeline;
mod outgoing;
mod joined;
mod incoming;
mod inlet;
mod own_name;
mod room_reader;
#[cfg(fuzzing)]
pub mod fuzz;

pub use change::LoggedChange;
pub use events::{Event, Message, RoomJoined, Settings};
pub use inlet::{Inlet, Session, new_message_id};
pub use kept_changes::KeptChanges;
pub use line::Line;
pub use outbox::Tally;
pub use own_name::own_name;
pub use place::{Gap, GapReason, StartAt};
pub use room_reader::RoomReader;
pub use room_state::RoomState;
pub use stored::{Extras, HistoryPage, NO_EXTRAS, Person, Reaction, StoredMessage};
pub use timeline::{Effect, Outdated, Timeline};
