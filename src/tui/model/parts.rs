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
    pub since_ms: u64,
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
