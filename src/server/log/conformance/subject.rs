//! The log under test, and reads of all that it has.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use protobuf::Message as _;

use crate::names::{RoomId, RoomName, Seq};
use crate::server::log::{Appender, History, Log, Page, Part, Retention, Sides, memory};
use crate::wire::v1;

/// A log under test, and how to reopen it if it is durable.
pub struct Subject {
    pub appender: Box<dyn Appender>,
    pub log: Arc<dyn Log>,
    pub open_again: Option<Box<dyn Fn() -> Sides>>,
}

impl Subject {
    /// Closes the log and reopens it, if it is durable.
    pub fn reopen(&mut self) {
        let Some(open_again) = &self.open_again else { return };
        // It is closed first, because a log can be open only once at a time.
        let (appender, log) = memory::open(0, Retention::default());
        (self.appender, self.log) = (Box::new(appender), log);
        (self.appender, self.log) = open_again();
    }
}

/// Creates an empty log.
pub type Open<'a> = &'a dyn Fn(Retention) -> Subject;

/// All messages of a room from a seq on, as stored in the log: seq, sender, body, time.
pub fn read_all(log: &dyn Log, room: RoomId, from: u64) -> Vec<(u64, String, String, u64)> {
    let mut from = Seq(from);
    let mut messages = Vec::new();
    loop {
        match log.read(room, from, 500).unwrap() {
            Page::Segments(segments) if segments.is_empty() => return messages,
            Page::Segments(segments) => {
                for segment in segments {
                    assert!(segment.first() <= from, "a page begins at the requested message and has no gap");
                    assert!(segment.holds(from));
                    let bytes = &segment.frame().as_slice()[segment.offset(from)..];
                    for event in v1::ChatResponse::parse_from_bytes(bytes).unwrap().events {
                        assert_eq!((event.room_id, event.seq), (room.0, from.0));
                        let message = event.message();
                        messages.push((event.seq, message.sender.clone(), message.body.clone(), event.time_ms));
                        from = from.next();
                    }
                    assert_eq!(from, segment.last().next());
                }
            }
            Page::Trimmed { oldest } => {
                assert!(oldest > from);
                from = oldest;
            }
            Page::Damaged { next } => panic!("{from} to {next:?} are damaged"),
        }
    }
}

pub fn seqs(log: &dyn Log, room: RoomId, from: u64) -> Vec<u64> {
    read_all(log, room, from).into_iter().map(|(seq, ..)| seq).collect()
}

pub fn history(log: &dyn Log, name: &RoomName, part: Part, messages_max: u64, bytes_max: usize) -> History {
    let history = log.history(name, part, messages_max, bytes_max).unwrap().unwrap();
    for pair in history.pieces.windows(2) {
        assert_eq!(pair[0].last().next(), pair[1].first());
    }
    history
}

/// Whether nothing more is due now except, later, the ids of deleted messages.
pub fn is_later(next: Option<SystemTime>) -> bool {
    next.is_none_or(|next| next >= UNIX_EPOCH + Retention::default().ids)
}

/// Does all steps of retention that are due. Returns when the next is.
pub fn trim_all(appender: &mut dyn Appender, now: SystemTime) -> Option<SystemTime> {
    for _ in 0..10_000 {
        match appender.trim(now).unwrap() {
            Some(next) if next <= now => {}
            next => return next,
        }
    }
    panic!("retention does not end");
}
