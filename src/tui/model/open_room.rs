//! A room that the client is in, or wants to be in: what the screen has of it, who is there, and its place on the server.

use std::time::Instant;

use super::super::complete::Speakers;
use super::super::inlet::JoinedState;
use super::super::room::{Limits, Me, Room};
use crate::client::{RoomJoined, StartAt};
use crate::limits::PRESENCE_MEMBERS_MAX;
use crate::names::{Epoch, RoomName};
use crate::terminal::presence::Presence;

/// Of more unread events than this, a room shows the newest, and reads the others when the user scrolls to them.
const RESUMED_EVENTS_MAX: u64 = 2_000;

/// How many messages are read then.
const NEWEST_MESSAGES: u32 = 200;

/// The room's place on the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Membership {
    /// Not requested: there is no session, or its place is not known yet.
    Apart,
    /// Requested, and perhaps joined.
    Joined,
    /// Lines are stored first.
    Leaving,
    /// The server refused it, for this reason.
    Refused(String),
}

/// A room.
pub struct OpenRoom {
    pub room: Room,
    pub presence: Presence,
    pub speakers: Speakers,
    pub membership: Membership,
    /// Whether messages are live: history shows neither who is present nor what is new.
    pub is_live: bool,
    pub is_muted: bool,
    pub members: Option<u32>,
    pub has_been_joined: bool,
    pub has_caught_up: bool,
    /// The message to show when the room has caught up.
    pub jump_to: Option<u64>,
    /// The last event that arrived, and the history that it belongs to.
    last_seq: Option<u64>,
    epoch: Option<Epoch>,
    /// How far it was read in an earlier chat.
    mark: Option<(u64, Epoch)>,
    /// How many messages to read first, without a mark.
    newest: u32,
}

impl OpenRoom {
    pub fn new(name: RoomName, me: &Me, mark: Option<(u64, Epoch)>, newest: u32) -> Self {
        Self {
            room: Room::new(name, me.clone(), Limits::default(), mark.map(|(seq, _)| seq)),
            presence: Presence::new(&me.name),
            speakers: Speakers::default(),
            membership: Membership::Apart,
            is_live: false,
            is_muted: false,
            members: None,
            has_been_joined: false,
            has_caught_up: false,
            jump_to: None,
            last_seq: None,
            epoch: None,
            mark,
            newest,
        }
    }

    pub fn name(&self) -> &RoomName {
        self.room.name()
    }

    /// Whether the place to join from depends on the room's head.
    pub fn has_mark(&self) -> bool {
        self.last_seq.is_none() && self.mark.is_some()
    }

    /// Where to join. `head_seq`: the room's last event, if known.
    pub fn start(&self, head_seq: Option<u64>) -> StartAt {
        let after = |(seq, epoch): (u64, Epoch)| StartAt::After { seq, epoch: Some(epoch) };
        match (self.last_seq, self.mark) {
            // The epoch of a room that was joined without messages is not known.
            (Some(seq @ 1..), _) => StartAt::After { seq, epoch: self.epoch },
            (Some(_), _) => StartAt::Last(self.newest),
            (None, Some(mark)) if head_seq.is_some_and(|head| head.saturating_sub(mark.0) <= RESUMED_EVENTS_MAX) => {
                after(mark)
            }
            (None, Some(_)) => StartAt::Last(self.newest.max(NEWEST_MESSAGES)),
            (None, None) => StartAt::Last(self.newest),
        }
    }

    /// The room was joined, or (`again`) reported again. True: the history that was read in an earlier chat is gone.
    pub fn joined(&mut self, state: &JoinedState, again: bool, now: Instant) -> bool {
        let lost = !self.has_been_joined && self.mark.is_some_and(|(_, epoch)| epoch != state.epoch);
        let name = self.name().clone();
        if lost && !matches!(self.start(Some(state.head_seq)), StartAt::After { .. }) {
            // Nothing of it was read.
            self.room.forget_history();
        }
        // Where the epoch is not known, fewer events than before are a sign of another history.
        if !again && self.epoch.is_none() && self.last_seq.is_some_and(|last| last > state.head_seq) {
            self.room.forget_history();
            self.last_seq = None;
        }
        let joined = RoomJoined {
            room: &name,
            time_ms: state.time_ms,
            epoch: state.epoch,
            head_seq: state.head_seq,
            oldest_seq: state.oldest_seq,
            members: state.members,
            topic: &state.topic,
            pinned_seqs: &state.pinned_seqs,
        };
        if again {
            self.room.state(&joined);
        } else {
            self.room.joined(&joined);
            self.presence.rejoined(now);
            self.has_been_joined = true;
        }
        self.members = Some(state.members);
        // The epoch of a room without messages may change.
        self.epoch = Some(state.epoch).filter(|_| state.head_seq > 0);
        lost
    }

    /// How many people are in the room: counted while the server reports who joins and leaves.
    pub fn people(&self) -> Option<u64> {
        let members = self.members?;
        let is_reported = self.is_live && members as usize <= PRESENCE_MEMBERS_MAX;
        Some(if is_reported { self.presence.present().count() as u64 + 1 } else { members.into() })
    }

    /// How far it was read, and in which history.
    pub fn read(&self) -> Option<(u64, Epoch)> {
        self.room.mark().or(self.mark)
    }

    pub fn epoch(&self) -> Option<Epoch> {
        self.epoch
    }

    /// An event arrived, or the events up to this one are missing.
    pub fn passed(&mut self, seq: u64) {
        self.last_seq = Some(seq);
    }

    /// Whether the event with that seq has arrived, or is above what is read.
    pub fn has_passed(&self, seq: u64) -> bool {
        self.last_seq.is_some_and(|last| seq <= last)
    }

    /// The connection is lost.
    pub fn disconnected(&mut self, now: Instant) {
        self.room.disconnected();
        self.presence.disconnected(now);
        (self.is_live, self.members) = (false, None);
    }
}
