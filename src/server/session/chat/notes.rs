//! What the threads that deal with a session tell its reader, in order.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crossbeam_queue::SegQueue;
use parking_lot::{Condvar, Mutex};

use crate::limits::{ANSWERS_MAX, PRESENCES_MAX};
use crate::names::{RoomId, Seq};
use crate::server::room::cursor::Cursor;

/// Something that the reader is to know.
pub enum Note {
    /// A room was joined.
    Joined(Joining),
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
    queue: SegQueue<Note>,
    presences: AtomicUsize,
    // lock order: 3 (a leaf)
    answers: Mutex<Answers>,
    fell: Condvar,
}

#[derive(Default)]
struct Answers {
    waiting: usize,
    /// Nobody waits any more: there will be no reader, or no more commands.
    closed: bool,
}

impl Notes {
    pub fn push(&self, note: Note) {
        match &note {
            Note::Answer(_) | Note::Joined(_) | Note::Left(..) => self.answers.lock().waiting += 1,
            Note::Presence(..) if self.presences.fetch_add(1, Ordering::AcqRel) >= PRESENCES_MAX => {
                self.presences.fetch_sub(1, Ordering::AcqRel);
                return;
            }
            Note::Presence(..) | Note::News(_) => {}
        }
        self.queue.push(note);
    }

    pub fn pop(&self) -> Option<Note> {
        self.queue.pop()
    }

    pub fn presence_sent(&self) {
        self.presences.fetch_sub(1, Ordering::AcqRel);
    }

    /// So many answers were sent.
    pub fn answers_sent(&self, count: usize) {
        let mut answers = self.answers.lock();
        let before = answers.waiting;
        answers.waiting -= count;
        let fell = before >= ANSWERS_MAX && answers.waiting < ANSWERS_MAX;
        drop(answers);
        if fell {
            self.fell.notify_all();
        }
    }

    /// Waits while too many answers wait. Ends at once when the session does, or a drain begins.
    pub fn wait_for_room(&self) {
        let mut answers = self.answers.lock();
        while answers.waiting >= ANSWERS_MAX && !answers.closed {
            self.fell.wait(&mut answers);
        }
    }

    /// Lets go who waits, for good.
    pub fn close(&self) {
        self.answers.lock().closed = true;
        self.fell.notify_all();
    }

    /// Throws away what nobody will read.
    pub fn clear(&self) {
        while self.queue.pop().is_some() {}
    }
}
