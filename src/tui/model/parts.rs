//! Parts of the model's state: lines that are on their way, calls, and what must be kept.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::super::room::Wanted;
use crate::client::Line;
use crate::names::RoomName;

/// An own line that is not known to be stored.
#[derive(Clone, Debug)]
pub struct Sent {
    pub room: RoomName,
    pub line: Line,
    pub since: Instant,
    /// By this machine's clock.
    pub since_ms: u64,
    /// An earlier client left it, and this one has not posted it yet.
    pub is_earlier: bool,
}

/// What was asked for, and what the answer is used for.
#[derive(Clone, Debug)]
pub enum Asked {
    /// The heads of the rooms, to know where to join.
    Heads,
    /// A page of a room's history.
    Page { room: RoomName, wanted: Wanted },
    /// The members of a room for the list of people.
    People { room: RoomName, request: u64 },
    /// The members of a room, for the user.
    Members { room: RoomName },
    /// The rooms of the server: one of them may be meant by the name of a room without messages.
    Nearest { room: RoomName },
    /// The rooms of the server, perhaps only those with this part in their name.
    Rooms { part: Option<String> },
    /// Messages with these words.
    Search { text: String },
    /// Messages that may mention the user, for the list of mentions with that number.
    Mentions { id: u64 },
    /// A change of a message or a room. `failed` begins the reason of a failure.
    Change { failed: &'static str, done: Option<String> },
    /// Another text for a message, which comes back if it can't have it.
    Edit { room: RoomName, seq: u64, text: String },
    /// A message of a room, to be listed with the pinned ones.
    Pins { room: RoomName, seq: u64 },
}

/// The calls.
#[derive(Debug, Default)]
pub struct Calls {
    pub asked: HashMap<u64, Asked>,
    pub last: u64,
}

impl Calls {
    /// The answer to a call came.
    pub fn take(&mut self, number: u64) -> Option<Asked> {
        self.asked.remove(&number)
    }

    /// Whether changes are under way that the user has asked for.
    pub fn has_changes(&self) -> bool {
        self.asked.values().any(|asked| matches!(asked, Asked::Edit { .. } | Asked::Change { .. }))
    }

    /// The edits that are under way: the room, the number of the message, and its new text.
    pub fn edits(&self) -> impl Iterator<Item = (&RoomName, u64, &str)> {
        self.asked.values().filter_map(|asked| match asked {
            Asked::Edit { room, seq, text } => Some((room, *seq, text.as_str())),
            _ => None,
        })
    }
}

/// How long a change may wait.
const KEEP_TIME: Duration = Duration::from_secs(1);

/// Whether something must be kept.
#[derive(Debug, Default)]
pub struct Keeping {
    pub due: Option<Instant>,
}

impl Keeping {
    /// Something has changed.
    pub fn changed(&mut self) {
        self.due.get_or_insert_with(|| Instant::now() + KEEP_TIME);
    }

    /// Something must be kept now.
    pub fn at_once(&mut self) {
        self.due = Some(Instant::now());
    }
}
