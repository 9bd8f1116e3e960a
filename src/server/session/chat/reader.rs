//! The sending side of a `hubbub.v1` session: joins the messages of its rooms and the answers to its commands into
//! frames.
//!
//! Rooms with something to read take turns. A frame takes everything that is available, up to [`FRAME_BYTES_MAX`]:
//! under load a frame has many messages, and a frame of exactly one segment shares its bytes with all receivers.

use std::collections::VecDeque;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::updates::{Joining, PublishedFlag, Update, Updates};
use crate::limits::FRAME_BYTES_MAX;
use crate::names::{RoomId, Seq};
use crate::server::delivery::close::CloseReason;
use crate::server::delivery::output::Reader;
use crate::server::room::cursor::{Cursor, Fetched, Look, SegmentPart};
use crate::wire::Frame;
use crate::wire::answer::{self, GapReason};

pub struct ChatReader {
    updates: Arc<Updates>,
    // The server assigns the ids, in sequence: no client can choose many that collide.
    rooms: FxHashMap<RoomId, Subscription>,
    /// The rooms that may have something to read, in turn; each once.
    ready: VecDeque<RoomId>,
    /// Sent before anything else.
    controls: VecDeque<Control>,
}

/// A joined room.
struct Subscription {
    cursor: Cursor,
    published: Arc<PublishedFlag>,
    /// Whether it is in `ready`.
    is_ready: bool,
    /// The end of the requested history, until it was reported.
    history: Option<Seq>,
}

/// Entries to send, by kind.
enum Control {
    Answer(Vec<u8>),
    Presence(Arc<[u8]>),
    /// An event of the reader itself.
    Own(Vec<u8>),
}

/// A part of a frame.
enum FramePart {
    Entries(Control),
    SegmentPart(SegmentPart),
}

#[derive(Default)]
struct Assembly {
    parts: Vec<FramePart>,
    bytes: usize,
}

impl ChatReader {
    pub fn new(updates: Arc<Updates>) -> Self {
        Self { updates, rooms: FxHashMap::default(), ready: VecDeque::new(), controls: VecDeque::new() }
    }

    fn read_updates(&mut self) {
        while let Some(update) = self.updates.pop() {
            match update {
                Update::Joined(joining) => self.join(*joining),
                Update::Left(room, entry) => {
                    self.rooms.remove(&room);
                    self.controls.push_back(Control::Answer(entry));
                }
                Update::Published(room) => {
                    if let Some(subscription) = self.rooms.get_mut(&room) {
                        subscription.published.clear();
                        if !std::mem::replace(&mut subscription.is_ready, true) {
                            self.ready.push_back(room);
                        }
                    }
                }
                Update::Presence(room, entry) if self.rooms.contains_key(&room) => {
                    self.controls.push_back(Control::Presence(entry));
                }
                Update::Presence(..) => self.updates.presence_sent(),
                Update::Answer(entry) => self.controls.push_back(Control::Answer(entry)),
            }
        }
    }

    fn join(&mut self, Joining { room, entries, cursor, published, head }: Joining) {
        self.controls.push_back(Control::Answer(entries));
        let mut subscription = Subscription { cursor, published, is_ready: false, history: Some(head) };
        self.controls.extend(subscription.end_history(room));
        self.rooms.insert(room, subscription);
    }
}

impl Subscription {
    /// Reports once that the requested history was read.
    fn end_history(&mut self, room: RoomId) -> Option<Control> {
        let head = self.history.filter(|head| self.cursor.next() > *head)?;
        self.history = None;
        Some(Control::Own(answer::caught_up(room, head)))
    }
}

impl Reader for ChatReader {
    fn look(&mut self) -> Look {
        self.read_updates();
        if !self.controls.is_empty() {
            return Look::Ready;
        }
        while let Some(room) = self.ready.front() {
            match self.rooms.get_mut(room) {
                None => {}
                Some(subscription) => match subscription.cursor.look() {
                    Look::AtHead => subscription.is_ready = false,
                    found => return found,
                },
            }
            self.ready.pop_front();
        }
        Look::AtHead
    }

    fn take(&mut self) -> Option<(Frame, bool)> {
        let mut frame = Assembly::default();
        let (mut answers, mut answer_bytes) = (0, 0);
        while frame.bytes < FRAME_BYTES_MAX
            && let Some(control) = self.controls.pop_front()
        {
            match &control {
                Control::Answer(entries) => {
                    answers += 1;
                    answer_bytes += entries.len();
                }
                Control::Presence(_) => self.updates.presence_sent(),
                Control::Own(_) => {}
            }
            frame.push(FramePart::Entries(control));
        }
        // Events about a room's history are sent at their position.
        while self.controls.is_empty()
            && let Some(room) = self.ready.pop_front()
        {
            let Some(subscription) = self.rooms.get_mut(&room) else { continue };
            let full = !subscription.fill(room, &mut frame);
            match subscription.cursor.look() {
                Look::AtHead => subscription.is_ready = false,
                // It had its turn; or it must be read from the log, so it goes first.
                Look::Ready => {
                    // Otherwise a client that reads nothing would hold a segment of each of its rooms.
                    if !self.ready.is_empty() {
                        subscription.cursor.release();
                    }
                    self.ready.push_back(room);
                }
                Look::BehindTail => self.ready.push_front(room),
            }
            if full || self.ready.front() == Some(&room) {
                break;
            }
        }
        if answers > 0 {
            self.updates.answers_sent(answers, answer_bytes);
        }
        frame.finish().map(|frame| (frame, false))
    }

    fn fetch(&mut self) -> Result<(), CloseReason> {
        let Some(&room) = self.ready.front() else { return Ok(()) };
        let Some(subscription) = self.rooms.get_mut(&room) else { return Ok(()) };
        match subscription.cursor.fetch() {
            Ok(Fetched::Page) => {}
            Ok(Fetched::Trimmed(trimmed)) => {
                let to = Seq(trimmed.oldest.0 - 1);
                let gap = answer::gap(room, trimmed.wanted, to, GapReason::Retention);
                subscription.cursor.skip_to(trimmed.oldest);
                self.controls.push_back(Control::Own(gap));
                self.controls.extend(subscription.end_history(room));
            }
            Ok(Fetched::Damaged { to }) => {
                let gap = answer::gap(room, subscription.cursor.next(), to, GapReason::Damaged);
                subscription.cursor.skip_to(to.next());
                self.controls.push_back(Control::Own(gap));
                self.controls.extend(subscription.end_history(room));
            }
            Err(error) => return Err(CloseReason::LogUnreadable(error)),
        }
        Ok(())
    }
}

impl Subscription {
    /// Adds the segments that the cursor finds without the log. `false` means that the frame is full.
    fn fill(&mut self, room: RoomId, frame: &mut Assembly) -> bool {
        while self.cursor.look() == Look::Ready {
            if !frame.has_room(&self.cursor) {
                return false;
            }
            let Some(part) = self.cursor.take(self.history.unwrap_or(Seq(u64::MAX))) else { return true };
            frame.push(FramePart::SegmentPart(part));
            if let Some(control) = self.end_history(room) {
                frame.push(FramePart::Entries(control));
            }
        }
        true
    }
}

impl Assembly {
    /// Whether the cursor's segment fits in. The first one always does.
    fn has_room(&self, cursor: &Cursor) -> bool {
        let next = cursor.segment().map_or(0, |segment| segment.frame().len());
        self.parts.is_empty() || self.bytes + next <= FRAME_BYTES_MAX
    }

    fn push(&mut self, part: FramePart) {
        self.bytes += match &part {
            FramePart::Entries(control) => control.entries().len(),
            FramePart::SegmentPart(part) => part.bytes_max(),
        };
        self.parts.push(part);
    }

    fn finish(self) -> Option<Frame> {
        match self.parts.as_slice() {
            [] => return None,
            [FramePart::SegmentPart(part)] => {
                if let Some(frame) = part.whole() {
                    return Some(frame.clone());
                }
            }
            _ => {}
        }
        let mut bytes = Vec::with_capacity(self.bytes);
        for part in &self.parts {
            bytes.extend_from_slice(match part {
                FramePart::Entries(control) => control.entries(),
                FramePart::SegmentPart(part) => part.entries(),
            });
        }
        // The library takes a vector over only if it is exactly full, which it is not with a part of a segment.
        bytes.shrink_to_fit();
        Some(Frame::new(bytes))
    }
}

impl Control {
    fn entries(&self) -> &[u8] {
        match self {
            Self::Answer(entries) | Self::Own(entries) => entries,
            Self::Presence(entries) => entries,
        }
    }
}

impl Drop for ChatReader {
    fn drop(&mut self) {
        self.updates.close();
    }
}
