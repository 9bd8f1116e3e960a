//! What the session reports.

use std::time::Instant;

use super::super::config::Joins;
use super::super::entry::Tone;
use super::super::inlet::{Call, JoinedState, NetEvent};
use super::super::marks;
use super::super::pace::Urgency;
use super::open_room::Membership;
use super::parts::Asked;
use super::{Link, Model};
use crate::client::StoredMessage;
use crate::limits::PRESENCE_MEMBERS_MAX;
use crate::names::RoomName;
use crate::terminal::presence::Change;

impl Model {
    pub(super) fn net(&mut self, event: NetEvent, now: Instant) {
        match event {
            NetEvent::Retrying { reason, pause } => {
                self.link = Link::Offline { reason, retry_at: Some(now + pause) };
            }
            NetEvent::Disconnected { reason } => {
                self.link = Link::Offline { reason, retry_at: None };
                self.rooms.iter_mut().for_each(|open| open.disconnected(now));
                self.keeping.at_once();
            }
            NetEvent::Connected { fresh } => {
                self.link = Link::Online;
                if fresh {
                    self.has_connected = true;
                    self.keeping.changed();
                    self.join_all();
                }
            }
            NetEvent::Joined { room, state, again } => self.joined(&room, &state, again, now),
            NetEvent::Message { room, message, own } => self.message(&room, *message, own),
            NetEvent::Changed { room, seq, time_ms, change } => self.in_room(&room, seq, |open| {
                open.room.changed(seq, time_ms, &change);
            }),
            NetEvent::Unknown { room, seq } => self.in_room(&room, seq, |open| open.room.unknown(seq)),
            NetEvent::CaughtUp { room, head_seq } => {
                let is_current = self.current_name().as_ref() == Some(&room);
                self.in_room(&room, head_seq, |open| {
                    open.room.caught_up(head_seq);
                    open.is_live = true;
                    // At the start, the room was entered before it was known what is unread.
                    if is_current && !std::mem::replace(&mut open.has_caught_up, true) {
                        open.room.entered();
                    }
                    if let Some(seq) = open.jump_to.take() {
                        open.room.jump(seq);
                    }
                });
                self.settle_earlier(&room);
                if is_current {
                    std::mem::take(&mut self.notices).iter().for_each(|notice| self.notice(notice));
                }
            }
            NetEvent::Gap { room, gap } => {
                let last = gap.to_seq.max(gap.from_seq.saturating_sub(1));
                self.in_room(&room, last, |open| open.room.gap(&gap));
            }
            NetEvent::Left { room } => {
                if let Some(at) = self.position(&room).filter(|at| self.rooms[*at].membership == Membership::Leaving) {
                    self.forget(at);
                    self.keeping.changed();
                }
            }
            NetEvent::NotJoined { room, reason } => self.not_joined(&room, &reason),
            NetEvent::Presence { room, name, authenticated, client_id, joined } => {
                let change = Change { name, authenticated, client: client_id, joined };
                let time_ms = self.clock.now();
                let shown = self.find(&room).and_then(|open| open.presence.changed(change, now));
                if let Some(change) = shown {
                    self.presence(&room, &change, time_ms);
                }
            }
            NetEvent::Stored { room, id, seq } => self.stored(&room, &id, seq),
            NetEvent::Rejected { line, reason } => self.rejected(&line.id, &reason),
            NetEvent::Held { reason, pause } => self.link = Link::Held { reason, until: now + pause },
            NetEvent::RoundTrip(time) => self.round_trip = Some(time),
            NetEvent::Ended(reason) => {
                self.has_session = false;
                self.rooms.iter_mut().for_each(|open| open.disconnected(now));
                let reason = reason.unwrap_or_else(|| "the session has ended".to_owned());
                self.keeping.at_once();
                self.fail(&format!("{reason}; /reconnect tries again"));
                self.link = Link::Ended { reason };
            }
        }
    }

    fn in_room(&mut self, room: &RoomName, seq: u64, change: impl FnOnce(&mut super::OpenRoom)) {
        if let Some(open) = self.find(room) {
            open.passed(seq);
            change(open);
        }
    }

    fn joined(&mut self, room: &RoomName, state: &JoinedState, again: bool, now: Instant) {
        self.clock.learn(state.time_ms);
        let time_ms = self.clock.now();
        let Some(open) = self.find(room) else { return };
        let is_first = !open.has_been_joined;
        if open.joined(state, again, now) {
            let text = "the server has lost the history that you had read: what is new can't be told from what is old";
            open.room.notice(time_ms, text, Tone::Warning);
        }
        if is_first && state.head_seq == 0 && *room != RoomName::lobby() {
            open.room.notice(time_ms, &format!("no room named {room} yet: its first message creates it"), Tone::Notice);
        }
        let is_new = is_first && state.head_seq == 0 && *room != RoomName::lobby();
        // A larger room sends no presence.
        if !again && (1..=PRESENCE_MEMBERS_MAX).contains(&(state.members as usize)) {
            let request = open.presence.request();
            if !self.call(Call::Members { room: room.clone() }, Asked::People { room: room.clone(), request }) {
                self.people(room, request, Vec::new());
            }
        }
        if is_new {
            self.call(Call::Rooms, Asked::Nearest { room: room.clone() });
        }
    }

    /// Who is in a room; empty if that is unknown.
    pub(super) fn people(&mut self, room: &RoomName, request: u64, members: Vec<crate::client::Member>) {
        let time_ms = self.clock.now();
        let Some(open) = self.find(room) else { return };
        for change in open.presence.answer(request, members, Instant::now()) {
            self.presence(room, &change, time_ms);
        }
        self.wants(Urgency::Arrived);
    }

    /// Shows that somebody joined or left, as the user wants it.
    fn presence(&mut self, room: &RoomName, change: &Change, time_ms: u64) {
        let joins = self.config.screen.joins;
        let Some(open) = self.find(room) else { return };
        match joins {
            Joins::Fold => open.room.presence(time_ms, &change.name, change.joined),
            Joins::Show => {
                let text = format!("{}: {}", if change.joined { "joined" } else { "left" }, change.name);
                open.room.notice(time_ms, &text, Tone::Notice);
            }
            Joins::Hide => {}
        }
    }

    fn message(&mut self, room: &RoomName, message: StoredMessage, own: bool) {
        let is_own = own || (message.sender == self.me.name && message.authenticated == self.me.authenticated);
        if is_own {
            self.settled(room, &message.id);
            let id = message.id;
            self.offered.retain(|kept| kept.line.id != id);
        }
        if let Link::Held { .. } = self.link
            && own
        {
            self.link = Link::Online;
        }
        let Some(at) = self.position(room) else { return };
        let open = &mut self.rooms[at];
        open.passed(message.seq);
        if !is_own {
            open.speakers.spoke(&message.sender);
        }
        let client = message.client_id.filter(|_| open.is_live && !own);
        if !own {
            open.presence.record_sender(&message.sender, client);
        }
        let before = open.room.mentions();
        let tells = (open.is_live && !is_own).then(|| (message.sender.clone(), message.body.clone()));
        open.room.message(message, own);
        let mentions = open.room.mentions() > before;
        let words = &self.config.notifications.words;
        let calls = |body: &str| mentions || words.iter().any(|word| !marks::names(body, word).is_empty());
        if let Some((sender, body)) = tells.filter(|(_, body)| calls(body)) {
            self.notify(at, &sender, &body);
        }
    }

    fn not_joined(&mut self, room: &RoomName, reason: &str) {
        let time_ms = self.clock.now();
        let Some(open) = self.find(room) else { return };
        open.membership = Membership::Refused(reason.to_owned());
        open.room.notice(time_ms, &format!("can't join {room}: {reason}"), Tone::Error);
        // Lines that the session did not take any more.
        let ids: Vec<_> = self.sent.iter().filter(|sent| sent.room == *room).map(|sent| sent.line.id).collect();
        ids.iter().for_each(|id| self.rejected(id, reason));
        self.keeping.changed();
    }
}
