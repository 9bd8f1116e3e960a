//! A session that speaks `hubbub.v1`: any number of rooms, each a cursor, and answers to commands.
//!
//! The receive side ([`ChatTalk`]) carries out commands, and tells the sending side ([`ChatReader`]) of rooms joined and
//! left, and of answers, by [`Notes`].

mod notes;
mod reader;
mod start;
mod talk;

pub use self::notes::Notes;
pub use self::reader::ChatReader;
pub use self::start::From;
pub use self::talk::{ChatTalk, Command, Refusal};
