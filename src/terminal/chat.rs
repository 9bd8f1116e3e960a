//! The chat over `hubbub.v1`.
//!
//! What was typed on a terminal stays above as it was typed, with its `>`, from the moment of Enter; when its message
//! comes back it is not shown again. Elsewhere nothing of the input shows, so there each own message shows when it comes
//! back, and thereby is stored.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::complete::Wanted;
use super::input::{Outlet, members};
use super::options::ChatOptions;
use super::outage::Outage;
use super::presence::{COUNTED_MAX, Change, Presence};
use super::screen::{Screen, can_edit};
use super::{Server, TerminalError, commands, converse};
use crate::address::Address;
use crate::client::{Connector, Event, From, Policy, Session, Settings};
use crate::names::{RoomName, UserName};
use crate::threads::spawn;

/// Talks in a room until the input ends, the output closes, or the session fails.
pub fn chat(server: Server, name: UserName, options: &ChatOptions) -> Result<(), TerminalError> {
    let ChatOptions { room, last, no_reconnect, .. } = options;
    let address = server.address.clone();
    let screen = Arc::new(Screen::default());
    let skipped = Arc::new(AtomicU64::new(0));
    let presence = Arc::new(Mutex::new(Presence::new(name.as_str())));
    let welcome = format!("connected to {address} as {name}, in {room}; /help lists the commands, Ctrl-D ends");
    let outage = Outage::new(Arc::clone(&screen), &address);
    let late_inlet = outage.inlet();
    let mut shown = Shown {
        screen: Arc::clone(&screen),
        editing: can_edit(),
        welcome: Some(welcome),
        skipped: Arc::clone(&skipped),
        outage,
        address: address.clone(),
        presence: Arc::clone(&presence),
        live: false,
    };
    let policy = if *no_reconnect { Policy::Fail } else { Policy::Reconnect };
    let settings = Settings { policy, ..server.settings(name.clone(), room.clone(), From::Last(*last)) };
    let session = Session::start(Connector::new(1), address.clone(), settings, move |event| shown.show(event))?;
    let _ = late_inlet.set(session.inlet());
    let outlet = Outlet::V1 { inlet: session.inlet(), room: room.clone(), address };
    let candidates = Box::new(move |wanted| match wanted {
        Wanted::Command => commands::names(),
        Wanted::Person => presence.lock().names(),
    });
    converse(screen, skipped, outlet, candidates, || session.wait().map_err(TerminalError::Session))
}

/// What the session's events look like.
struct Shown {
    screen: Arc<Screen>,
    editing: bool,
    /// What is shown when the room is joined for the first time.
    welcome: Option<String>,
    skipped: Arc<AtomicU64>,
    outage: Outage,
    address: Address,
    /// Lock order: 2, below the screen's.
    presence: Arc<Mutex<Presence>>,
    /// Whether what comes is being said now; history says nothing about who is there.
    live: bool,
}

impl Shown {
    /// Breaks when nobody reads it any more.
    fn show(&mut self, event: Event<'_>) -> ControlFlow<()> {
        match &event {
            Event::Message(message) if !(message.own && self.editing) => {
                let client = message.client_id.filter(|_| self.live && !message.own);
                let sender = {
                    let mut presence = self.presence.lock();
                    if !message.own {
                        presence.spoke(message.sender, client);
                    }
                    presence.label(message.sender, client).into_owned()
                };
                // A closed output is how a reader says that it has seen enough.
                if self.screen.print_message(&sender, message.body, message.kind).is_err() {
                    return ControlFlow::Break(());
                }
            }
            Event::Presence { name, client_id, came, .. } => {
                let change = Change { name: (*name).to_owned(), client: *client_id, came: *came };
                let change = self.presence.lock().changed(change);
                change.iter().for_each(|change| self.tell(change));
            }
            Event::Joined { room, members, .. } => {
                if let Some(welcome) = self.welcome.take().filter(|_| self.editing) {
                    self.screen.notice(&welcome);
                }
                if self.editing && (2..=COUNTED_MAX).contains(members) {
                    self.ask_members(room);
                }
            }
            Event::CaughtUp { .. } => self.live = true,
            Event::Disconnected { .. } => {
                self.presence.lock().clear();
                self.live = false;
            }
            Event::Rejected { .. } => drop(self.skipped.fetch_add(1, Ordering::Relaxed)),
            _ => {}
        }
        self.outage.show(&event);
        ControlFlow::Continue(())
    }

    fn tell(&self, change: &Change) {
        if self.editing {
            tell(&self.screen, change);
        }
    }

    /// Asks who was in the room before this client. On a thread of its own, because the messages go on.
    fn ask_members(&self, room: &RoomName) {
        let question = self.presence.lock().ask();
        let (screen, presence) = (Arc::clone(&self.screen), Arc::clone(&self.presence));
        let (room, address) = (room.clone(), self.address.clone());
        let ask = move || {
            // Without an answer, it goes by what it sees.
            let members = members(&room, address).unwrap_or_default();
            let changes = presence.lock().answer(question, members);
            changes.iter().for_each(|change| tell(&screen, change));
        };
        if spawn("members", ask).is_err() {
            let changes = self.presence.lock().answer(question, Vec::new());
            changes.iter().for_each(|change| self.tell(change));
        }
    }
}

fn tell(screen: &Screen, change: &Change) {
    // What comes first is fixed, so no name passes for another notice.
    screen.notice(&format!("{}: {}", if change.came { "joined" } else { "left" }, change.name));
}

/// Enough of a line to know it by, in quotes.
pub fn start_of(body: &str) -> String {
    const CHARS_MAX: usize = 40;
    let start: String = body.chars().take(CHARS_MAX).collect();
    let more = if start.len() < body.len() { "…" } else { "" };
    format!("{start:?}{more}")
}
