//! A session that speaks `hubbub.v1`: any number of rooms, each a cursor, and answers to commands.
//!
//! The receiving side ([`ChatConversation`]) executes commands, and passes joined and left rooms and answers to the
//! sending side ([`ChatReader`]) through [`Updates`].

mod updates;
mod reader;
mod start;
mod command;
pub mod decode;
mod listener;
mod poster;
mod joined;
mod conversation;
mod follow;

pub use self::command::{Command, Commands, Refusal};
pub use self::conversation::ChatConversation;
pub use self::follow::FollowSource;
pub use self::reader::ChatReader;
pub use self::start::StartAt;
pub use self::updates::Updates;
