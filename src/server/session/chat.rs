//! A session that speaks `hubbub.v1`: any number of rooms, each a cursor, and answers to commands.
//!
//! The receive side ([`ChatConversation`]) carries out commands, and tells the sending side ([`ChatReader`]) of rooms joined and
//! left, and of answers, by [`Updates`].

mod updates;
mod reader;
mod start;
mod conversation;

pub use self::conversation::{ChatConversation, Command, Refusal};
pub use self::reader::ChatReader;
pub use self::start::StartAt;
pub use self::updates::Updates;
