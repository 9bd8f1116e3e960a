//! What the line client and the full-screen client share of typing: a text with a cursor, the lines that were entered
//! before, completing, and the parsing of commands. Pure logic, no terminal.

mod text;
mod undo;
mod history;
mod complete;
mod emoji_names;
mod nearest;
mod slash;
pub mod change_commands;

pub use self::complete::{Completion, Wanted};
pub use self::emoji_names::{EMOJI_NAMES, emoji_named};
pub use self::history::{History, Recall};
pub use self::nearest::nearest;
pub use self::slash::{Slashed, refuse_unknown, room, slashed};
pub use self::text::{Motion, TextBuffer};
