//! The chat over `hubbub.v1`.
//!
//! On a terminal, an entered line stays above with its `>`; it is not shown again when its message comes back.
//! Elsewhere the input is not visible, so each own message is shown when it comes back, which means that it is stored.
//!
//! With several rooms, each line and the prompt begin with the room's name (`rooms.rs`).

use std::collections::HashSet;
use std::io::{self, IsTerminal as _};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::Mutex;

use super::change_format::{ShownMessage, change};
use super::changer::Changer;
use super::format::shown_name;
use super::input::{Destination, members};
use super::nearest::nearest_room;
use super::options::ChatOptions;
use super::outage::Outage;
use super::people::People;
use super::presence::Change;
use super::rooms::{RoomList, SharedRooms};
use super::screen::{Aids, Screen, can_edit};
use super::server::Server;
use super::timelines::{Shown, Timelines};
use super::unsent::Unsent;
use super::{TerminalError, commands, converse};
use crate::client::{Event, LoggedChange, Message, Policy, RoomJoined, Session, StartAt};
use crate::editing::Wanted;
use crate::limits::PRESENCE_MEMBERS_MAX;
use crate::names::{RoomName, UserName};
use crate::threads::spawn;

/// Chats in a room until the input ends, the output closes, or the session fails.
pub fn chat(server: Server, name: UserName, options: &ChatOptions) -> Result<(), TerminalError> {
    let ChatOptions { room, others, last, no_reconnect, .. } = options;
    let address = server.address.clone();
    let screen = Arc::new(Screen::with_times());
    let skipped = Arc::new(AtomicU64::new(0));
    let people = People::new(&name);
    let timelines = Timelines::new(&name, server.has_login);
    let rooms = Arc::new(Mutex::new(RoomList::new(room.clone())));
    let welcome = format!("connected to {address} as {name}, in {room}; /help lists the commands, Ctrl-D ends");
    let outage = Outage::new(Arc::clone(&screen), &address).in_rooms(Arc::clone(&rooms));
    let late_inlet = outage.inlet();
    // Input from a file or a program can be sent again from its source.
    let unsent = io::stdin().is_terminal().then(|| Unsent::start(Arc::clone(&screen), &address, &name, room.clone()));
    let mut view = ChatView {
        screen: Arc::clone(&screen),
        editing: can_edit(),
        own_name: name.as_str().to_owned(),
        welcome: Some(welcome),
        skipped: Arc::clone(&skipped),
        outage,
        unsent: unsent.clone(),
        server: server.clone(),
        rooms: Arc::clone(&rooms),
        people: people.clone(),
        timelines: timelines.clone(),
        shown_rooms: HashSet::new(),
    };
    let policy = if *no_reconnect { Policy::Fail } else { Policy::Reconnect };
    let mut settings = server.settings(name.clone(), room.clone(), StartAt::Last(*last));
    settings.patience.policy = policy;
    let session = Session::start(server.connector.clone(), address, settings, move |event| view.show(event))?;
    let _ = late_inlet.set(session.inlet());
    unsent.iter().for_each(|unsent| unsent.set_inlet(session.inlet()));
    for other in others {
        rooms.lock().enter(other);
        let _ = session.inlet().join(other, StartAt::Last(*last));
    }
    rooms.lock().enter(room);
    let changer = Changer::start(Arc::clone(&screen), server.clone());
    let destination = Destination::V1 {
        inlet: session.inlet(),
        rooms: Arc::clone(&rooms),
        last: *last,
        server,
        unsent,
        people: people.clone(),
        timelines,
        changer,
    };
    let prompted = Arc::clone(&rooms);
    let candidates = Box::new(move |wanted| {
        let current = rooms.lock().current().cloned();
        match (wanted, current) {
            (Wanted::Command, _) => commands::names(),
            (Wanted::Person, Some(room)) => people.of(&room, |people| people.presence.names()),
            (Wanted::Person, None) => Vec::new(),
            (Wanted::Room, _) => rooms.lock().names(),
        }
    });
    let aids = Aids { candidates, prompt: Box::new(move || prompted.lock().prompt()) };
    converse(screen, skipped, destination, aids, || session.wait().map_err(TerminalError::Session))
}

/// Shows the session's events.
struct ChatView {
    screen: Arc<Screen>,
    editing: bool,
    own_name: String,
    /// The notice for the first join of a room.
    welcome: Option<String>,
    skipped: Arc<AtomicU64>,
    outage: Outage,
    unsent: Option<Unsent>,
    server: Server,
    rooms: SharedRooms,
    people: People,
    timelines: Timelines,
    /// The rooms whose join was shown.
    shown_rooms: HashSet<RoomName>,
}

impl ChatView {
    /// Breaks when the output is closed.
    fn show(&mut self, event: Event<'_>) -> ControlFlow<()> {
        let shown = self.timelines.record(&event);
        let printed = match &event {
            Event::Message(message) if !(message.own && self.editing) => self.show_message(message),
            Event::Changed { room, time_ms, change, .. } if shown == Shown::Shown => {
                self.show_logged(room, *time_ms, change)
            }
            _ => Ok(()),
        };
        // A closed output means that the reader needs no more.
        if printed.is_err() {
            return ControlFlow::Break(());
        }
        match &event {
            Event::Presence { room, name, authenticated, client_id, joined } => {
                // On an open server, no name is marked.
                let authenticated = *authenticated || !self.server.has_login;
                let name = (*name).to_owned();
                let change = Change { name, authenticated, client: *client_id, joined: *joined };
                let change = self.people.of(room, |people| people.presence.changed(change, Instant::now()));
                change.iter().for_each(|change| self.show_change(room, change));
            }
            Event::Joined(joined) => {
                self.screen.learn_time(joined.time_ms);
                self.show_joined(joined);
                self.people.of(joined.room, |people| people.presence.rejoined(Instant::now()));
                // A larger room sends no presence.
                if self.editing && (2..=PRESENCE_MEMBERS_MAX).contains(&(joined.members as usize)) {
                    self.request_members(joined.room);
                }
            }
            Event::CaughtUp { room, .. } => self.people.of(room, |people| people.live = true),
            Event::Left { room } => {
                self.shown_rooms.remove(*room);
                self.people.forget(room);
                if self.rooms.lock().left(room) {
                    self.screen.notice(&format!("left {room}"));
                }
            }
            Event::NotJoined { room, reason } => {
                self.rooms.lock().refuse(room);
                self.screen.notice(&format!("can't join {room}: {reason}"));
            }
            Event::Disconnected { .. } => {
                self.unsent.iter().for_each(Unsent::lost);
                self.people.disconnected();
            }
            Event::Rejected { .. } => drop(self.skipped.fetch_add(1, Ordering::Relaxed)),
            _ => {}
        }
        self.outage.show(&event);
        if let Some(unsent) = &self.unsent {
            match &event {
                Event::Message(message) if message.sender == self.own_name => unsent.is_stored(&message.id),
                Event::CaughtUp { .. } => unsent.offer(),
                _ => {}
            }
        }
        ControlFlow::Continue(())
    }

    fn show_message(&self, message: &Message<'_>) -> io::Result<()> {
        let sender = self.people.of(message.room, |people| {
            let client = message.client_id.filter(|_| people.live && !message.own);
            if !message.own {
                people.presence.record_sender(message.sender, client);
            }
            let label = people.presence.label(message.sender, client);
            shown_name(&label, self.server.has_login && !message.authenticated).into_owned()
        });
        let extras = message.extras;
        let target =
            extras.reply_to.and_then(|seq| self.timelines.of(message.room, |room| room.timeline.get(seq).cloned()));
        let shown = ShownMessage {
            sender: &sender,
            seq: message.seq,
            body: message.body,
            kind: message.kind,
            extras,
            reply_target: target.as_ref(),
            marks_claims: self.server.has_login,
        };
        let mut prefix = self.rooms.lock().prefix(message.room);
        if self.timelines.shows_numbers() {
            prefix += &format!("#{} ", message.seq);
        }
        self.screen.print(Some(message.time_ms), &prefix, |in_rows| shown.text(in_rows))
    }

    fn show_logged(&self, room: &RoomName, time_ms: u64, logged: &LoggedChange) -> io::Result<()> {
        let seq = logged.message_seq();
        let message = seq.and_then(|seq| self.timelines.of(room, |room| room.timeline.get(seq).cloned()));
        let prefix = self.rooms.lock().prefix(room);
        let marks_claims = self.server.has_login;
        self.screen.print(Some(time_ms), &prefix, |in_rows| change(logged, message.as_ref(), marks_claims, in_rows))
    }

    /// Shows that a room is joined for the first time; if it has no messages, it suggests a similar name.
    fn show_joined(&mut self, joined: &RoomJoined<'_>) {
        let RoomJoined { room, head_seq, topic, pinned_seqs, .. } = *joined;
        if !self.shown_rooms.insert(room.clone()) || !self.editing {
            return;
        }
        let is_new = head_seq == 0 && *room != RoomName::lobby();
        match self.welcome.take() {
            Some(welcome) => self.screen.notice(&welcome),
            None if !is_new => self.screen.notice(&format!("joined {room}")),
            None => {}
        }
        if !topic.is_empty() {
            self.screen.notice(&format!("topic of {room}: {topic}"));
        }
        match pinned_seqs.len() {
            0 => {}
            1 => self.screen.notice(&format!("1 message is pinned in {room}: /pin shows it")),
            count => self.screen.notice(&format!("{count} messages are pinned in {room}: /pin shows them")),
        }
        if is_new {
            self.screen.notice(&format!("no room named {room} yet: its first message creates it"));
            let (screen, room, server) = (Arc::clone(&self.screen), room.clone(), self.server.clone());
            // Without a thread, there is no suggestion.
            let _ = spawn("nearest", move || {
                if let Some(name) = nearest_room(server, &room) {
                    screen.notice(&format!("did you mean {name}?"));
                }
            });
        }
    }

    fn show_change(&self, room: &RoomName, change: &Change) {
        if self.editing {
            show_change(&self.screen, &self.rooms, room, change);
        }
    }

    /// Requests the members that were in the room before this client. On a separate thread, because messages continue
    /// to arrive.
    fn request_members(&self, room: &RoomName) {
        let request = self.people.of(room, |people| people.presence.request());
        let (screen, people, rooms) = (Arc::clone(&self.screen), self.people.clone(), Arc::clone(&self.rooms));
        let (requested, server) = (room.clone(), self.server.clone());
        let read = move || {
            // Without an answer, only observed changes are known.
            let members = members(&requested, server).unwrap_or_default();
            let changes = people.of(&requested, |people| people.presence.answer(request, members, Instant::now()));
            changes.iter().for_each(|change| show_change(&screen, &rooms, &requested, change));
        };
        if spawn("members", read).is_err() {
            let changes = self.people.of(room, |people| people.presence.answer(request, Vec::new(), Instant::now()));
            changes.iter().for_each(|change| self.show_change(room, change));
        }
    }
}

fn show_change(screen: &Screen, rooms: &SharedRooms, room: &RoomName, change: &Change) {
    let prefix = rooms.lock().prefix(room);
    // The start of a notice is fixed, so no name can imitate another notice.
    let name = shown_name(&change.name, !change.authenticated);
    screen.notice(&format!("{prefix}{}: {name}", if change.joined { "joined" } else { "left" }));
}
