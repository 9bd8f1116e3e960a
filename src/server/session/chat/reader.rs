//! The sending side of a `hubbub.v1` session: joins the messages of its rooms and the answers to its commands into
//! frames.
//!
//! Rooms with something to read take turns. A frame takes everything that is available, up to [`FRAME_BYTES_MAX`]:
//! under load a frame has many messages, and a frame of exactly one segment shares its bytes with all receivers.

use std::collections::VecDeque;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::updates::{Joining, Update, Updates};
use crate::limits::FRAME_BYTES_MAX;
use crate::names::{RoomId, Seq};
use crate::server::delivery::close::CloseReason;
use crate::server::delivery::output::{Reader, Taken};
use crate::server::log::RoomState;
use crate::server::room::cursor::{Cursor, Fetched, Look, SegmentPart};
use crate::server::room::followers::{Member, Presence};
use crate::server::room::{Now, RoomKey, is_pending};
use crate::wire::Frame;
use crate::wire::answer::{self, GapReason, RoomAtJoin};

pub struct ChatReader {
    updates: Arc<Updates>,
    // The server assigns the keys, in sequence: no client can choose many that collide.
    rooms: FxHashMap<RoomKey, Subscription>,
    /// Whether the client may know some of them by the numbers of pending rooms.
    has_pending: bool,
    /// The rooms that may have something to read, in turn; each once.
    ready: VecDeque<RoomKey>,
    /// Sent before anything else.
    controls: VecDeque<Control>,
}

/// A joined room.
struct Subscription {
    /// The number under which the client knows the room.
    id: RoomId,
    cursor: Cursor,
    /// Whether it is in `ready`.
    is_ready: bool,
    /// The end of the requested history, until it was reported.
    history: Option<Seq>,
    /// The head at which the client knows the topic and the pins: from there on, events change them.
    profile_head: Seq,
}

/// Entries to send, by kind.
enum Control {
    Answer {
        entries: Vec<u8>,
        /// How many bytes it counts for.
        counted: usize,
    },
    Presence(Vec<u8>),
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
    /// How many events of the log it has.
    events: u64,
}

impl ChatReader {
    pub fn new(updates: Arc<Updates>) -> Self {
        let (rooms, ready, controls) = Default::default();
        Self { updates, rooms, has_pending: false, ready, controls }
    }

    fn read_updates(&mut self) {
        while let Some(update) = self.updates.pop() {
            let counted = update.answer_bytes().unwrap_or(0);
            match update {
                Update::Joined(joining) => self.join(*joining, counted),
                Update::Left(room, name) => {
                    // Invariant: a room is left once, after it was joined.
                    let id = self.rooms.remove(&room).expect("a room that is left was joined").id;
                    self.controls.push_back(Control::Answer { entries: answer::left(id, &name), counted });
                }
                Update::Posted(room, id, seq) => {
                    self.number(room);
                    self.controls.push_back(Control::Answer { entries: answer::posted(room, &id, seq), counted });
                }
                Update::Published(room) => {
                    if let Some(subscription) = self.rooms.get_mut(&room) {
                        subscription.cursor.position().looks();
                        if !std::mem::replace(&mut subscription.is_ready, true) {
                            self.ready.push_back(room);
                        }
                    }
                }
                Update::Presence(room, presence) => match self.rooms.get(&room) {
                    Some(subscription) => {
                        let Presence { member: Member { client, sender }, change } = &*presence;
                        let entry = answer::presence(subscription.id, *client, sender, *change);
                        self.controls.push_back(Control::Presence(entry));
                    }
                    None => self.updates.presence_sent(),
                },
                Update::Answer(entries) => self.controls.push_back(Control::Answer { entries, counted }),
            }
        }
    }

    fn join(&mut self, Joining { room, id, entries, cursor, head }: Joining, counted: usize) {
        self.has_pending |= is_pending(id);
        self.controls.push_back(Control::Answer { entries, counted });
        let mut subscription = Subscription { id, cursor, is_ready: false, history: Some(head), profile_head: head };
        self.controls.extend(subscription.end_history());
        self.rooms.insert(room, subscription);
    }

    /// Reports this number of a joined room to the client before an answer carries it: the first message of a pending
    /// room may have been published but not read yet.
    fn number(&mut self, id: RoomId) {
        if !std::mem::take(&mut self.has_pending) {
            return;
        }
        for subscription in self.rooms.values_mut().filter(|subscription| is_pending(subscription.id)) {
            match subscription.cursor.room().id() == id {
                true => self.controls.extend(subscription.number()),
                false => self.has_pending = true,
            }
        }
    }
}

impl Subscription {
    /// Reports once that the requested history was read.
    fn end_history(&mut self) -> Option<Control> {
        let head = self.history.filter(|head| self.cursor.next() > *head)?;
        self.history = None;
        Some(Control::Own(answer::caught_up(self.id, head)))
    }

    /// Reports the number that a pending room has got with its first message. Called before any event of the log is
    /// sent.
    fn number(&mut self) -> Option<Control> {
        let room = self.cursor.room();
        let id = room.id();
        if id == self.id {
            return None;
        }
        self.id = id;
        Some(self.joined_again(&Now::from(&RoomState::empty(id, room.name().clone(), room.epoch())), Seq(1)))
    }

    /// Reports the topic and the pins again if the events up to `to`, which the client does not get, may have changed
    /// them. `oldest` is the oldest event that the log still has.
    fn profile_after_gap(&mut self, to: Seq, oldest: Seq) -> Option<Control> {
        if to <= self.profile_head {
            return None;
        }
        let now = self.cursor.room().now();
        self.profile_head = now.head;
        Some(self.joined_again(&now, oldest))
    }

    fn joined_again(&self, now: &Now, oldest: Seq) -> Control {
        let room = self.cursor.room();
        Control::Own(answer::joined(&RoomAtJoin {
            id: self.id,
            name: room.name(),
            epoch: room.epoch(),
            head: now.head,
            oldest,
            first: self.cursor.next(),
            member_count: room.follower_count(),
            topic: now.profile.topic.as_str(),
            pinned: now.profile.pinned_from(oldest),
        }))
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

    fn take(&mut self) -> Option<Taken> {
        let mut frame = Assembly::default();
        let (mut answers, mut answer_bytes) = (0, 0);
        while frame.bytes < FRAME_BYTES_MAX
            && let Some(control) = self.controls.pop_front()
        {
            match &control {
                Control::Answer { counted, .. } => {
                    answers += 1;
                    answer_bytes += counted;
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
            let full = !subscription.fill(&mut frame);
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
        let events = frame.events;
        frame.finish().map(|frame| Taken { frame, events, more_follows: false })
    }

    fn fetch(&mut self) -> Result<(), CloseReason> {
        let Some(&room) = self.ready.front() else { return Ok(()) };
        let Some(subscription) = self.rooms.get_mut(&room) else { return Ok(()) };
        self.controls.extend(subscription.number());
        match subscription.cursor.fetch() {
            Ok(Fetched::Page) => {}
            Ok(Fetched::Trimmed(trimmed)) => {
                let to = Seq(trimmed.oldest.0 - 1);
                let gap = answer::gap(subscription.id, trimmed.wanted, to, GapReason::Retention);
                subscription.cursor.skip_to(trimmed.oldest);
                self.controls.push_back(Control::Own(gap));
                self.controls.extend(subscription.profile_after_gap(to, trimmed.oldest));
                self.controls.extend(subscription.end_history());
            }
            Ok(Fetched::Damaged { to }) => {
                let gap = answer::gap(subscription.id, subscription.cursor.next(), to, GapReason::Damaged);
                subscription.cursor.skip_to(to.next());
                self.controls.push_back(Control::Own(gap));
                self.controls.extend(subscription.profile_after_gap(to, Seq(1)));
                self.controls.extend(subscription.end_history());
            }
            Err(error) => return Err(CloseReason::LogUnreadable(error)),
        }
        Ok(())
    }
}

impl Subscription {
    /// Adds the segments that the cursor finds without the log. `false` means that the frame is full.
    fn fill(&mut self, frame: &mut Assembly) -> bool {
        while self.cursor.look() == Look::Ready {
            if let Some(control) = self.number() {
                frame.push(FramePart::Entries(control));
            }
            if !frame.has_room(&self.cursor) {
                return false;
            }
            let Some(part) = self.cursor.take(self.history.unwrap_or(Seq(u64::MAX))) else { return true };
            frame.push(FramePart::SegmentPart(part));
            if let Some(control) = self.end_history() {
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
            FramePart::SegmentPart(part) => {
                self.events += part.events();
                part.bytes_max()
            }
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
            Self::Answer { entries, .. } | Self::Presence(entries) | Self::Own(entries) => entries,
        }
    }
}

impl Drop for ChatReader {
    fn drop(&mut self) {
        self.updates.close();
    }
}
