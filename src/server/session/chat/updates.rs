//! What other threads tell the reader of a stream, in order.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Condvar, Mutex};

use crate::limits::{ANSWERS_MAX, PRESENCES_MAX, QUEUE_KEPT};
use crate::names::{RoomId, Seq};
use crate::server::room::cursor::Cursor;

/// Something that the reader needs to know.
pub enum Update {
    /// A room was joined.
    Joined(Box<Joining>),
    /// A room was left: this entry says so, and nothing of the room follows it.
    Left(RoomId, Vec<u8>),
    /// Messages were published in a room.
    Published(RoomId),
    /// Somebody came to a room or went.
    Presence(RoomId, Arc<[u8]>),
    /// An answer to a command, an entry.
    Answer(Vec<u8>),
}

/// A room that was joined.
pub struct Joining {
    pub room: RoomId,
    /// Entries that say so, and what is missing.
    pub entries: Vec<u8>,
    pub cursor: Cursor,
    pub published: Arc<PublishedFlag>,
    /// Where the history that was asked for ends.
    pub head: Seq,
}

/// Whether an [`Update::Published`] of a room waits already.
#[derive(Default)]
pub struct PublishedFlag(AtomicBool);

impl PublishedFlag {
    /// `true` asks the caller to push one. Call it after the messages were made visible.
    pub fn set(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }

    /// The update was read. Call it before looking for messages.
    pub fn clear(&self) {
        self.0.swap(false, Ordering::AcqRel);
    }
}

/// The updates, and how many answers and presences the client has not been sent yet.
///
/// The queue itself has no bound, but what goes into it has: one `Published` for each room; [`PRESENCES_MAX`] presences; and
/// the receive thread waits while there are [`ANSWERS_MAX`] answers, so beyond these there is at most one for each command of a request
/// and one for each post that waits for the log.
#[derive(Default)]
pub struct Updates {
    // lock order: 3 (a leaf, held for one push or one pop)
    state: Mutex<State>,
    fell: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Update>,
    answers: usize,
    presences: usize,
    /// Nobody waits any more: there will be no reader, or no more commands.
    closed: bool,
}

impl Updates {
    pub fn push(&self, update: Update) {
        let mut state = self.state.lock();
        if let Update::Answer(_) | Update::Joined(_) | Update::Left(..) = update {
            state.answers += 1;
        }
        state.queue.push_back(update);
    }

    /// Pushes a presence, unless too many of them wait. `true` says that half as many do, and should not
    /// wait for anything else to go out with.
    pub fn push_presence(&self, room: RoomId, entry: Arc<[u8]>) -> bool {
        let mut state = self.state.lock();
        if state.presences < PRESENCES_MAX {
            state.presences += 1;
            state.queue.push_back(Update::Presence(room, entry));
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

    /// So many answers were sent.
    pub fn answers_sent(&self, count: usize) {
        let mut state = self.state.lock();
        let before = state.answers;
        state.answers -= count;
        let fell = before >= ANSWERS_MAX && state.answers < ANSWERS_MAX;
        drop(state);
        if fell {
            self.fell.notify_all();
        }
    }

    /// Waits while too many answers wait. Ends at once when the session does, or a drain begins.
    pub fn wait_for_room(&self) {
        let mut state = self.state.lock();
        while state.answers >= ANSWERS_MAX && !state.closed {
            self.fell.wait(&mut state);
        }
    }

    /// Lets go who waits, for good.
    pub fn close(&self) {
        self.state.lock().closed = true;
        self.fell.notify_all();
    }

    /// Throws away what nobody will read.
    pub fn clear(&self) {
        let queue = std::mem::take(&mut self.state.lock().queue);
        drop(queue);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presences_are_bounded_and_half_of_them_call_for_a_write() {
        let updates = Updates::default();
        let push = || updates.push_presence(RoomId(1), Arc::from([1_u8]));
        let calls: Vec<bool> = (0..PRESENCES_MAX + 5).map(|_| push()).collect();
        assert_eq!(calls.iter().position(|call| *call), Some(PRESENCES_MAX / 2 - 1));
        let noted = std::iter::from_fn(|| updates.pop()).count();
        assert_eq!(noted, PRESENCES_MAX);
        // What is sent makes room.
        (0..noted).for_each(|_| updates.presence_sent());
        assert!(!push());
        assert!(updates.pop().is_some());
    }
}
