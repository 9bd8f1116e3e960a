//! The newest messages of the chat's rooms, for commands that concern them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

use crate::client::{Effect, Event, LoggedChange, StoredMessage, Timeline};
use crate::names::{MessageId, RoomName, UserName};

/// The messages of the rooms, shared by the input and the output.
#[derive(Clone)]
pub struct Timelines {
    shared: Arc<Shared>,
}

struct Shared {
    /// Lock order: 2, below the screen's.
    state: Mutex<State>,
    /// A line was stored or given up.
    settled: Condvar,
}

struct State {
    own_name: UserName,
    /// Whether the own messages are those of a user who has logged in.
    has_login: bool,
    rooms: HashMap<RoomName, RoomTimeline>,
    /// Whether each message is shown with its number.
    shows_numbers: bool,
}

/// The messages of a room.
#[derive(Default)]
pub struct RoomTimeline {
    pub timeline: Timeline,
    /// The last event that arrived.
    pub last_seq: u64,
    /// The messages of this chat.
    own: HashSet<u64>,
    /// The lines of this chat that are not known to be stored.
    unsettled: HashSet<MessageId>,
    /// The history of the join has arrived.
    has_caught_up: bool,
}

/// How a change is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    Shown,
    /// The messages include it already.
    Hidden,
}

impl Timelines {
    pub fn new(own_name: &UserName, has_login: bool) -> Self {
        let state = State { own_name: own_name.clone(), has_login, rooms: HashMap::new(), shows_numbers: false };
        Self { shared: Arc::new(Shared { state: Mutex::new(state), settled: Condvar::new() }) }
    }

    /// Reads or changes a room, under the lock: without output meanwhile.
    pub fn of<T>(&self, room: &RoomName, look: impl FnOnce(&mut RoomTimeline) -> T) -> T {
        look(self.shared.state.lock().rooms.entry(room.clone()).or_default())
    }

    /// Records an event. Returns how a change is shown.
    pub fn record(&self, event: &Event<'_>) -> Shown {
        let mut state = self.shared.state.lock();
        let shown = state.record(event);
        drop(state);
        if matches!(event, Event::Message(_) | Event::Stored { .. } | Event::Rejected { .. }) {
            self.shared.settled.notify_all();
        }
        shown
    }

    /// A line of this chat is about to be posted.
    pub fn posting(&self, room: &RoomName, id: MessageId) {
        self.of(room, |room| room.unsettled.insert(id));
    }

    /// It was not posted.
    pub fn not_posted(&self, room: &RoomName, id: &MessageId) {
        self.of(room, |room| room.unsettled.remove(id));
    }

    /// The user's last message in the room. Waits until the lines of this chat are stored, or given up; fails if that
    /// takes too long, because an earlier message would be taken for the last one.
    pub fn last_own(&self, room: &RoomName, deadline: Instant) -> Result<StoredMessage, &'static str> {
        let mut state = self.shared.state.lock();
        loop {
            let State { own_name, has_login, rooms, .. } = &*state;
            let Some(room) = rooms.get(room) else { return Err("you have no message here") };
            if room.unsettled.is_empty() {
                let is_own = |message: &&StoredMessage| {
                    message.sender == own_name.as_str() && message.authenticated == *has_login
                };
                let all = || room.timeline.newest().filter(|message| !message.extras.is_deleted()).filter(is_own);
                let posted_here = all().find(|message| room.own.contains(&message.seq));
                let last = posted_here.or_else(|| all().next());
                return last.cloned().ok_or("you have no message here; with its number, an older one can be named");
            }
            if self.shared.settled.wait_until(&mut state, deadline).timed_out() {
                return Err("your last line is not stored yet");
            }
        }
    }

    /// The newest message of somebody else.
    pub fn last_of_others(&self, room: &RoomName) -> Option<StoredMessage> {
        let state = self.shared.state.lock();
        let own_name = state.own_name.as_str();
        let mut messages = state.rooms.get(room)?.timeline.newest();
        messages.find(|message| message.sender != own_name && !message.extras.is_deleted()).cloned()
    }

    /// Whether it is the user's own message.
    pub fn is_own(&self, message: &StoredMessage) -> bool {
        let state = self.shared.state.lock();
        message.sender == state.own_name.as_str() && message.authenticated == state.has_login
    }

    pub fn own_name(&self) -> UserName {
        self.shared.state.lock().own_name.clone()
    }

    pub fn shows_numbers(&self) -> bool {
        self.shared.state.lock().shows_numbers
    }

    pub fn show_numbers(&self, show: bool) {
        self.shared.state.lock().shows_numbers = show;
    }
}

impl State {
    fn record(&mut self, event: &Event<'_>) -> Shown {
        match event {
            Event::Joined(joined) | Event::State(joined) => self.room(joined.room).timeline.joined(joined),
            Event::Message(message) => {
                let room = self.room(message.room);
                room.last_seq = message.seq;
                room.unsettled.remove(&message.id);
                if message.own {
                    room.own.insert(message.seq);
                }
                room.timeline.message(message.to_stored());
                // Only messages that are held are looked for.
                if room.own.len() > 2 * room.timeline.newest().count() {
                    let RoomTimeline { timeline, own, .. } = room;
                    own.retain(|seq| timeline.get(*seq).is_some());
                }
            }
            Event::Changed { room, seq, time_ms, change } => {
                let room = self.room(room);
                room.last_seq = *seq;
                let is_of_room = matches!(change, LoggedChange::Pinned { .. } | LoggedChange::Room { .. });
                return match room.timeline.change(*seq, *time_ms, change) {
                    Effect::Applied => Shown::Shown,
                    Effect::NotHeld if room.has_caught_up => Shown::Shown,
                    // The state includes them, but no line on the screen does.
                    Effect::Included if is_of_room => Shown::Shown,
                    Effect::Included | Effect::NotHeld => Shown::Hidden,
                };
            }
            Event::Unknown { room, seq, .. } => self.room(room).last_seq = *seq,
            Event::Gap { room, gap } => self.room(room).timeline.gap(gap),
            Event::CaughtUp { room, head_seq } => {
                let room = self.room(room);
                (room.has_caught_up, room.last_seq) = (true, room.last_seq.max(*head_seq));
            }
            Event::Stored { room, id, .. } => drop(self.room(room).unsettled.remove(id)),
            Event::Rejected { line, .. } => {
                self.rooms.values_mut().for_each(|room| _ = room.unsettled.remove(&line.id));
            }
            Event::Left { room } | Event::NotJoined { room, .. } => drop(self.rooms.remove(*room)),
            _ => {}
        }
        Shown::Hidden
    }

    fn room(&mut self, room: &RoomName) -> &mut RoomTimeline {
        self.rooms.entry(room.clone()).or_default()
    }
}
