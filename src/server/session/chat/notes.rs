//! What the threads that deal with a session tell its reader, in order.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Condvar, Mutex};

use crate::limits::{ANSWERS_MAX, PRESENCES_MAX, QUEUE_KEPT};
use crate::names::{RoomId, Seq};
use crate::server::room::cursor::Cursor;

/// Something that the reader is to know.
pub enum Note {
    /// A room was joined.
    Joined(Box<Joining>),
    /// A room was left: this entry says so, and nothing of the room follows it.
    Left(RoomId, Vec<u8>),
    /// A room has something new.
    News(RoomId),
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
    pub news: Arc<News>,
    /// Where the history that was asked for ends.
    pub head: Seq,
}

/// Whether a room's news are noted already.
#[derive(Default)]
pub struct News(AtomicBool);

impl News {
    /// `true` says that the caller is to note them. Call it after what is new was made visible.
    pub fn arrive(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }

    /// The note was read. Call it before looking at what is new.
    pub fn read(&self) {
        self.0.swap(false, Ordering::AcqRel);
    }
}

/// The notes, and how many answers and presences the client has not been sent yet.
///
/// The queue itself has no bound, but what goes in has: each room's news once; of presences [`PRESENCES_MAX`]; and who
/// gives commands waits while there are [`ANSWERS_MAX`] answers, so that there are those, one for each command of a
/// request, and one for each post that waits for the log.
#[derive(Default)]
pub struct Notes {
    // lock order: 3 (a leaf, held for one push or one pop)
    state: Mutex<State>,
    fell: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Note>,
    answers: usize,
    presences: usize,
    /// Nobody waits any more: there will be no reader, or no more commands.
    closed: bool,
}

impl Notes {
    pub fn push(&self, note: Note) {
        let mut state = self.state.lock();
        if let Note::Answer(_) | Note::Joined(_) | Note::Left(..) = note {
            state.answers += 1;
        }
        state.queue.push_back(note);
    }

    /// Notes that somebody came or went, unless too many such notes wait. `true` says that half as many do, and should not
    /// wait for anything else to go out with.
    pub fn push_presence(&self, room: RoomId, entry: Arc<[u8]>) -> bool {
        let mut state = self.state.lock();
        if state.presences < PRESENCES_MAX {
            state.presences += 1;
            state.queue.push_back(Note::Presence(room, entry));
        }
        state.presences >= PRESENCES_MAX / 2
    }

    pub fn pop(&self) -> Option<Note> {
        let mut state = self.state.lock();
        let note = state.queue.pop_front();
        if note.is_none() && state.queue.capacity() > QUEUE_KEPT {
            state.queue = VecDeque::new();
        }
        note
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
        let notes = Notes::default();
        let push = || notes.push_presence(RoomId(1), Arc::from([1_u8]));
        let calls: Vec<bool> = (0..PRESENCES_MAX + 5).map(|_| push()).collect();
        assert_eq!(calls.iter().position(|call| *call), Some(PRESENCES_MAX / 2 - 1));
        let noted = std::iter::from_fn(|| notes.pop()).count();
        assert_eq!(noted, PRESENCES_MAX);
        // What is sent makes room.
        (0..noted).for_each(|_| notes.presence_sent());
        assert!(!push());
        assert!(notes.pop().is_some());
    }
}
