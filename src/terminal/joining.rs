//! `/join` and `/leave`.

use std::ops::ControlFlow;

use super::input::{Destination, Input};
use super::rooms::NO_ROOM;
use crate::client::{SessionError, StartAt, lines};
use crate::names::RoomName;

impl Input {
    /// Joins a room, or switches to one that is joined: it becomes the current room.
    pub(super) fn join(&self, room: &RoomName) -> ControlFlow<()> {
        let Destination::V1 { inlet, rooms, last, .. } = &self.destination else {
            self.screen.notice("/join needs hubbub.v1: the tutorial's contract has no room but lobby");
            return ControlFlow::Continue(());
        };
        // The output knows the room before its events arrive.
        let was_joined = rooms.lock().enter(room);
        self.screen.resized();
        match inlet.join(room, StartAt::Last(*last)) {
            Ok(_) if was_joined => self.screen.notice(&format!("now in {room}")),
            // Its events show that.
            Ok(_) => {}
            Err(_) => return ControlFlow::Break(()),
        }
        ControlFlow::Continue(())
    }

    /// Leaves a room, or the current one, and returns to the previous one.
    pub(super) fn leave(&self, named: Option<&RoomName>) -> ControlFlow<()> {
        let Destination::V1 { inlet, rooms, .. } = &self.destination else {
            self.screen.notice("/leave needs hubbub.v1: with the tutorial's contract, /quit ends the chat");
            return ControlFlow::Continue(());
        };
        let Some(room) = named.cloned().or_else(|| rooms.lock().current().cloned()) else {
            self.screen.notice(NO_ROOM);
            return ControlFlow::Continue(());
        };
        let waiting = match inlet.leave(&room) {
            Ok(waiting) => waiting,
            Err(SessionError::NotJoined { .. }) => {
                self.screen.notice(&format!("you are not in {room}"));
                return ControlFlow::Continue(());
            }
            Err(_) => return ControlFlow::Break(()),
        };
        let current = {
            let mut rooms = rooms.lock();
            rooms.leave(&room);
            if waiting > 0 {
                rooms.leave_later(&room);
            }
            rooms.current().cloned()
        };
        let left = match waiting {
            0 => format!("left {room}"),
            1 => format!("leaving {room} when 1 line is stored"),
            waiting => format!("leaving {room} when {} are stored", lines(waiting as u64)),
        };
        let now = match current {
            Some(current) => format!("now in {current}"),
            None => format!("{NO_ROOM}, /quit ends"),
        };
        self.screen.notice(&format!("{left}; {now}"));
        ControlFlow::Continue(())
    }
}
