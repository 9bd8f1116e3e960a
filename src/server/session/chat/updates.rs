//! Updates: notifications from other threads to the reader of a stream, in order.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use crate::limits::{ANSWERS_BYTES_MAX, ANSWERS_MAX, PRESENCES_MAX, QUEUE_KEPT};
use crate::names::{MessageId, RoomId, RoomName, Seq};
use crate::server::room::RoomKey;
use crate::server::room::cursor::Cursor;
use crate::server::room::followers::Presence;
use crate::server::session::rejections::Rejections;
use crate::wire::answer::RejectionCode;

/// A notification to the reader.
pub enum Update {
    /// A room was joined.
    Joined(Box<Joining>),
    /// A room was left: no event of the room follows the report.
    Left(RoomKey, RoomName),
    /// Messages were published in a room.
    Published(RoomKey),
    /// A client joined or left a room.
    Presence(RoomKey, Arc<Presence>),
    /// A post was stored before, as this message of the room with this number.
    Posted(RoomId, MessageId, Seq),
    /// An answer to a command, an entry.
    Answer(Vec<u8>),
}

/// A joined room.
pub struct Joining {
    pub room: RoomKey,
    /// The number under which the client knows the room.
    pub id: RoomId,
    /// The entries that report the join and missing messages.
    pub entries: Vec<u8>,
    pub cursor: Cursor,
    /// The end of the requested history.
    pub head: Seq,
}

/// The updates, and how many answers and presence events were not sent to the client yet.
///
/// The queue itself has no bound, but its contents do: one `Published` for each room; [`PRESENCES_MAX`] presence
/// events; and the receive thread waits while there are [`ANSWERS_MAX`] answers, or [`ANSWERS_BYTES_MAX`] of them, so
/// there are at most that many, plus one, and one for each post that waits for the log.
#[derive(Default)]
pub struct Updates {
    // lock order: 3 (a leaf, held for one push or one pop)
    state: Mutex<UpdatesState>,
    fell: Condvar,
    rejections: Arc<Rejections>,
}

#[derive(Default)]
struct UpdatesState {
    queue: VecDeque<Update>,
    answers: usize,
    answer_bytes: usize,
    presences: usize,
    /// Closed: there will be no reader, or no more commands.
    closed: bool,
}

impl Updates {
    /// Those of a stream, whose rejections are counted there.
    pub fn new(rejections: Arc<Rejections>) -> Self {
        Self { rejections, ..Self::default() }
    }

    /// Counts an answer that rejects a command.
    pub fn count_rejection(&self, code: RejectionCode) {
        self.rejections.count(code);
    }

    pub fn push(&self, update: Update) {
        let mut state = self.state.lock();
        if let Some(bytes) = update.answer_bytes() {
            state.answers += 1;
            state.answer_bytes += bytes;
        }
        state.queue.push_back(update);
    }

    /// Pushes a presence event, unless too many wait. `true` means that half of the limit is reached, so they should be
    /// sent without waiting for a message.
    pub fn push_presence(&self, room: RoomKey, presence: Arc<Presence>) -> bool {
        let mut state = self.state.lock();
        if state.presences < PRESENCES_MAX {
            state.presences += 1;
            state.queue.push_back(Update::Presence(room, presence));
        }
        state.presences >= PRESENCES_MAX / 2
    }

    pub fn pop(&self) -> Option<Update> {
        let mut state = self.state.lock();
        let update = state.queue.pop_front();
        if update.is_none() && state.queue.capacity() > QUEUE_KEPT {
            state.queue = VecDeque::new();
        }
        update
    }

    pub fn presence_sent(&self) {
        self.state.lock().presences -= 1;
    }

    /// This number of answers was sent, and of their bytes.
    pub fn answers_sent(&self, count: usize, bytes: usize) {
        let mut state = self.state.lock();
        let was_full = state.is_full();
        state.answers -= count;
        state.answer_bytes -= bytes;
        let fell = was_full && !state.is_full();
        drop(state);
        if fell {
            self.fell.notify_all();
        }
    }

    /// Whether too many answers are queued.
    pub fn is_full(&self) -> bool {
        self.state.lock().is_full()
    }

    /// Waits while too many answers are queued. Returns at once when the session ends, or a drain starts.
    pub fn wait_for_room(&self) {
        let mut state = self.state.lock();
        while state.is_full() && !state.closed {
            self.fell.wait(&mut state);
        }
    }

    /// Ends all waits, permanently.
    pub fn close(&self) {
        self.state.lock().closed = true;
        self.fell.notify_all();
    }

    /// Discards unread updates.
    pub fn clear(&self) {
        let queue = std::mem::take(&mut self.state.lock().queue);
        drop(queue);
    }
}

impl Update {
    /// How many bytes it counts for, if it is an answer.
    pub fn answer_bytes(&self) -> Option<usize> {
        match self {
            Self::Answer(entry) => Some(entry.len()),
            Self::Joined(joining) => Some(joining.entries.len()),
            Self::Left(_, name) => Some(name.as_str().len()),
            Self::Posted(_, id, _) => Some(id.as_bytes().len()),
            Self::Published(_) | Self::Presence(..) => None,
        }
    }
}

impl UpdatesState {
    fn is_full(&self) -> bool {
        self.answers >= ANSWERS_MAX || self.answer_bytes >= ANSWERS_BYTES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::{ClientId, Sender, UserName};
    use crate::server::room::followers::Member;
    use crate::wire::answer::Change;

    #[test]
    fn presence_events_are_bounded_and_sent_from_half_the_limit_on() {
        let updates = Updates::default();
        let member = Member { client: ClientId(1), sender: Sender::claim(UserName::new("ann").unwrap()) };
        let presence = Arc::new(Presence { member, change: Change::Joined });
        let push = || updates.push_presence(RoomKey(1), Arc::clone(&presence));
        let calls: Vec<bool> = (0..PRESENCES_MAX + 5).map(|_| push()).collect();
        assert_eq!(calls.iter().position(|call| *call), Some(PRESENCES_MAX / 2 - 1));
        let popped = std::iter::from_fn(|| updates.pop()).count();
        assert_eq!(popped, PRESENCES_MAX);
        // Sent answers free space.
        (0..popped).for_each(|_| updates.presence_sent());
        assert!(!push());
        assert!(updates.pop().is_some());
    }
}
