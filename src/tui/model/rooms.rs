//! The rooms of the model: their order, the current one, and moving between them.

use std::time::Instant;

use super::super::inlet::{Call, Outgoing};
use super::super::pace::Urgency;
use super::super::room::Room;
use super::Model;
use super::open_room::{Membership, OpenRoom};
use super::parts::Asked;
use crate::client::lines;
use crate::names::RoomName;

/// The hint if no room is joined.
pub const NO_ROOM: &str = "you are in no room: /join ROOM joins one, /list lists them";

impl Model {
    /// The first room, the drafts, and what the user should know.
    pub(super) fn begin(&mut self, current: Option<RoomName>, drafts: Vec<(RoomName, String)>, notices: Vec<String>) {
        let at = current.and_then(|name| self.position(&name));
        self.enter(at.or((!self.rooms.is_empty()).then_some(0)));
        self.previous = None;
        self.send_recent();
        for (room, draft) in drafts {
            // In the input of another room, it could be sent to the wrong people.
            self.open_room(&room);
            self.editor.give_back(Some(&room), &draft);
        }
        self.offer_old();
        // They are shown below the history.
        self.notices.extend(notices);
    }

    pub(super) fn position(&self, name: &RoomName) -> Option<usize> {
        self.rooms.iter().position(|open| open.name() == name)
    }

    pub(super) fn find(&mut self, name: &RoomName) -> Option<&mut OpenRoom> {
        self.rooms.iter_mut().find(|open| open.name() == name)
    }

    pub(super) fn current(&self) -> Option<&OpenRoom> {
        self.rooms.get(self.current?)
    }

    pub(super) fn current_mut(&mut self) -> Option<&mut OpenRoom> {
        self.rooms.get_mut(self.current?)
    }

    pub(super) fn current_name(&self) -> Option<RoomName> {
        self.current().map(|open| open.name().clone())
    }

    /// Changes the current room. False: there is none.
    pub(super) fn with_room(&mut self, change: impl FnOnce(&mut Room)) -> bool {
        match self.current_mut() {
            Some(open) => change(&mut open.room),
            None => {
                self.fail(NO_ROOM);
                return false;
            }
        }
        self.wants(Urgency::Asked);
        true
    }

    /// Shows a room.
    pub(super) fn enter(&mut self, at: Option<usize>) {
        if at == self.current && at.is_some() {
            return;
        }
        self.previous = self.current_name().or(self.previous.take());
        if let Some(open) = self.current_mut() {
            open.room.left();
        }
        // What is typed keeps its meaning as the draft of its room.
        if let Some((_, purpose)) = self.purpose.take()
            && let Some(command) = purpose.command(self.editor.text())
        {
            let _ = self.editor.replace(&command);
        }
        self.current = at;
        self.is_selecting = false;
        if let Some(open) = self.current_mut() {
            open.room.entered();
        }
        let name = self.current_name();
        self.editor.switch_to(name.as_ref());
        self.keeping.changed();
        self.wants(Urgency::Asked);
    }

    /// Shows the room with that number, from 1.
    pub(super) fn enter_number(&mut self, number: usize) {
        match number.checked_sub(1).filter(|at| *at < self.rooms.len()) {
            Some(at) => self.enter(Some(at)),
            None => self.fail(&format!("there is no room {number}: you are in {}", rooms(self.rooms.len()))),
        }
    }

    pub(super) fn enter_next(&mut self, back: bool) {
        let count = self.rooms.len();
        if let Some(at) = self.current {
            self.enter(Some((at + if back { count - 1 } else { 1 }) % count));
        }
    }

    pub(super) fn enter_previous(&mut self) {
        match self.previous.clone().and_then(|name| self.position(&name)) {
            Some(at) => self.enter(Some(at)),
            None => self.tell("there is no room before this one"),
        }
    }

    /// The next room with something: mentions first, then messages; and then back to where that began.
    pub(super) fn enter_active(&mut self) {
        let others = self.rooms.iter().enumerate().filter(|(at, _)| Some(*at) != self.current);
        let best = others
            .filter(|(_, open)| open.room.unread() > 0)
            .max_by_key(|(at, open)| (open.room.mentions() > 0, !open.is_muted, usize::MAX - at));
        match best.map(|(at, _)| at) {
            Some(at) => {
                let from = self.jumped_from.take().or_else(|| self.current_name());
                self.enter(Some(at));
                self.jumped_from = from;
            }
            None => match self.jumped_from.take().and_then(|name| self.position(&name)) {
                Some(at) if Some(at) != self.current => self.enter(Some(at)),
                _ => self.tell("nothing new in the other rooms"),
            },
        }
    }

    /// Joins a room and shows it, or only shows it.
    pub(super) fn join(&mut self, name: &RoomName) {
        let at = self.open_room(name);
        if matches!(self.rooms[at].membership, Membership::Refused(_) | Membership::Leaving) {
            self.rooms[at].membership = Membership::Apart;
        }
        self.enter(Some(at));
        self.request_join(at, None);
        self.keeping.changed();
    }

    /// Adds a room to the list, if it is not there. Returns its place.
    pub(super) fn open_room(&mut self, name: &RoomName) -> usize {
        if let Some(at) = self.position(name) {
            return at;
        }
        let mut open = OpenRoom::new(name.clone(), &self.me, None, self.newest);
        open.is_muted = self.config.notifications.muted.contains(name);
        self.rooms.push(open);
        let at = self.rooms.len() - 1;
        if self.current.is_none() {
            self.enter(Some(at));
        }
        self.request_join(at, None);
        self.keeping.changed();
        at
    }

    /// Leaves a room. Its draft stays in the history of all rooms.
    pub(super) fn leave(&mut self, name: &RoomName) {
        let Some(at) = self.position(name) else { return self.fail(&format!("you are not in {name}")) };
        let waiting = self.sent.iter().filter(|sent| sent.room == *name).count();
        let was_joined = self.rooms[at].membership == Membership::Joined && self.has_session;
        if waiting > 0 && !was_joined {
            let lines = lines(waiting as u64);
            return self.fail(&format!("{lines} for {name} must be stored first: leave it when there is a connection"));
        }
        if was_joined {
            self.requests.push_back(Outgoing::Leave { room: name.clone() });
            self.rooms[at].membership = Membership::Leaving;
        }
        if waiting == 0 {
            self.forget(at);
            self.tell(&format!("left {name}"));
        } else {
            self.tell(&format!("leaving {name} when its messages are stored"));
        }
        self.keeping.changed();
    }

    /// The room is left.
    pub(super) fn forget(&mut self, at: usize) {
        let name = self.rooms[at].name().clone();
        if self.current == Some(at) {
            // Another one is shown first, so that its line is not forgotten with the room.
            let previous = self.previous.take().filter(|other| *other != name).and_then(|name| self.position(&name));
            let next = previous.or_else(|| if at > 0 { Some(at - 1) } else { (self.rooms.len() > 1).then_some(1) });
            self.enter(next);
        }
        if let Some(draft) = self.editor.forget(&name) {
            let current = self.current_name();
            self.editor.give_back(current.as_ref(), &draft);
        }
        self.rooms.remove(at);
        self.current = self.current.map(|current| if current > at { current - 1 } else { current });
        self.previous = self.previous.take().filter(|other| *other != name);
        self.jumped_from = self.jumped_from.take().filter(|other| *other != name);
    }

    /// There is a new session, which knows no room: joins those whose place is known, and asks for the heads of the
    /// others.
    pub(super) fn join_all(&mut self) {
        self.has_session = true;
        self.put_aside_old();
        self.rooms.iter_mut().for_each(|open| {
            if open.membership == Membership::Joined {
                open.membership = Membership::Apart;
            }
        });
        // A room that was to be left is left, unless lines of it are not stored: then it is joined for them.
        let is_left = |open: &&OpenRoom| open.membership == Membership::Leaving;
        let left: Vec<RoomName> = self.rooms.iter().filter(is_left).map(|open| open.name().clone()).collect();
        for name in left {
            let Some(at) = self.position(&name) else { continue };
            match self.sent.iter().any(|sent| sent.room == name) {
                true => self.rooms[at].membership = Membership::Apart,
                false => self.forget(at),
            }
        }
        let asks = self.rooms.iter().any(OpenRoom::has_mark) && self.call(Call::Rooms, Asked::Heads);
        for at in 0..self.rooms.len() {
            if !asks || !self.rooms[at].has_mark() {
                self.request_join(at, None);
            }
        }
    }

    /// The heads of the rooms are known, or not.
    pub(super) fn join_rest(&mut self, head_of: impl Fn(&str) -> Option<u64>) {
        for at in 0..self.rooms.len() {
            let head_seq = head_of(self.rooms[at].name().as_str());
            self.request_join(at, head_seq);
        }
    }

    /// Joins a room that is not requested yet, and posts its lines.
    fn request_join(&mut self, at: usize, head_seq: Option<u64>) {
        let open = &mut self.rooms[at];
        if !self.has_session || open.membership != Membership::Apart {
            return;
        }
        open.membership = Membership::Joined;
        let (room, from) = (open.name().clone(), open.start(head_seq));
        self.requests.push_back(Outgoing::Join { room: room.clone(), from });
        for sent in self.sent.iter_mut().filter(|sent| sent.room == room) {
            sent.is_earlier = false;
            self.requests.push_back(Outgoing::Post { room: room.clone(), line: sent.line.clone() });
        }
    }

    /// The terminal got or lost the focus.
    pub(super) fn focus(&mut self, has_focus: bool) {
        if self.has_focus && !has_focus {
            self.keys.abandon();
            if let Some(open) = self.current_mut() {
                open.room.lost_focus();
            }
        }
        self.has_focus = has_focus;
        self.wants(Urgency::Arrived);
    }

    /// Scrolls the current room.
    pub(super) fn scroll(&mut self, scroll: super::super::room::Scroll) {
        self.with_room(|room| room.scroll(scroll));
    }

    /// The time of the connection's next attempt, for the status row.
    pub(super) fn seconds_until(at: Option<Instant>) -> Option<u64> {
        at.map(|at| at.saturating_duration_since(Instant::now()).as_secs_f64().ceil() as u64)
    }
}

fn rooms(count: usize) -> String {
    if count == 1 { "1 room".to_owned() } else { format!("{count} rooms") }
}
