//! The chat over `hubbub.v1`.
//!
//! What was typed on a terminal stays above as it was typed, with its `>`, from the moment of Enter; when its message
//! comes back it is not shown again. Elsewhere nothing of the input shows, so there each own message shows when it comes
//! back, and thereby is stored.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use humantime::format_duration;

use super::format::gap;
use super::input::Outlet;
use super::namesakes::Namesakes;
use super::options::ChatOptions;
use super::screen::{Screen, can_edit};
use super::{Server, TerminalError, converse};
use crate::client::{Connector, Event, From, Policy, Session, Settings, lines};
use crate::names::UserName;

/// Talks in a room until the input ends, the output closes, or the session fails.
pub fn chat(server: Server, name: UserName, options: &ChatOptions) -> Result<(), TerminalError> {
    let ChatOptions { room, last, no_reconnect, .. } = options;
    let screen = Arc::new(Screen::default());
    let skipped = Arc::new(AtomicU64::new(0));
    let mut shown = Shown {
        screen: Arc::clone(&screen),
        editing: can_edit(),
        skipped: Arc::clone(&skipped),
        resuming: Resuming::No,
        around: Namesakes::new(name.as_str()),
        live: false,
    };
    let policy = if *no_reconnect { Policy::Fail } else { Policy::Reconnect };
    let settings = Settings { policy, ..server.settings(name.clone(), room.clone(), From::Last(*last)) };
    let address = server.address;
    let session = Session::start(Connector::new(1), address.clone(), settings, move |event| shown.show(event))?;
    let outlet = Outlet::V1 { inlet: session.inlet(), room: room.clone(), address: address.clone() };
    let welcome = format!("connected to {address} as {name}, in {room}; /help lists the commands, Ctrl-D ends");
    converse(screen, skipped, outlet, &welcome, || session.wait().map_err(TerminalError::Session))
}

/// What the session's events look like.
struct Shown {
    screen: Arc<Screen>,
    editing: bool,
    skipped: Arc<AtomicU64>,
    resuming: Resuming,
    /// Who is there, to tell clients of one name apart.
    around: Namesakes,
    /// Whether what comes is being said now; history says nothing about who is there.
    live: bool,
}

/// Where the room is after a break.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Resuming {
    No,
    /// Nothing is missing so far.
    Whole,
    /// A gap was told.
    Gap,
}

impl Shown {
    /// Breaks when nobody reads it any more.
    fn show(&mut self, event: Event<'_>) -> ControlFlow<()> {
        self.note(&event);
        match event {
            Event::Message(message) if message.own && self.editing => {}
            Event::Message(message) => {
                // A closed output is how a reader says that it has seen enough.
                let plain = message.own || !self.live;
                let sender = self.around.label(message.sender, message.client_id.filter(|_| !plain));
                if self.screen.print_message(&sender, message.body, message.kind).is_err() {
                    return ControlFlow::Break(());
                }
            }
            Event::Presence { name, came, .. } if self.editing => {
                // What comes first is fixed, so no name passes for another notice.
                self.screen.notice(&format!("{}: {name}", if came { "joined" } else { "left" }));
            }
            Event::CaughtUp { .. } => {
                match self.resuming {
                    Resuming::No => {}
                    Resuming::Whole => self.screen.notice("connected again; nothing lost"),
                    Resuming::Gap => self.screen.notice("connected again"),
                }
                self.resuming = Resuming::No;
            }
            Event::Reconnected => self.resuming = Resuming::Whole,
            Event::Rejected { line, reason } => {
                self.skipped.fetch_add(1, Ordering::Relaxed);
                self.screen.notice(&format!("not sent: {}: {reason}", start_of(line.body.as_str())));
            }
            Event::Gap { gap: missing, .. } => {
                if self.resuming == Resuming::Whole {
                    self.resuming = Resuming::Gap;
                }
                self.screen.notice(&gap(&missing));
            }
            event => notice(&self.screen, &event),
        }
        ControlFlow::Continue(())
    }
}

impl Shown {
    /// Notes what an event says about who is there.
    fn note(&mut self, event: &Event<'_>) {
        match event {
            Event::Message(message) if self.live && !message.own => {
                if let Some(client) = message.client_id {
                    self.around.note(message.sender, client);
                }
            }
            Event::Presence { name, client_id, came: true, .. } => self.around.note(name, *client_id),
            Event::Presence { name, client_id, came: false, .. } => self.around.forget(name, *client_id),
            Event::CaughtUp { .. } => self.live = true,
            Event::Disconnected { .. } => {
                // Nobody says from here on who leaves.
                self.around.clear();
                self.live = false;
            }
            _ => {}
        }
    }
}

/// The notices that every command has in common.
pub fn notice(screen: &Screen, event: &Event<'_>) {
    match event {
        Event::Disconnected { reason, kept: 0, .. } => screen.notice(&format!("disconnected: {reason}")),
        Event::Disconnected { reason, kept, .. } => {
            let kept = lines(*kept as u64);
            screen.notice(&format!("disconnected: {reason}; {kept} will be sent again"));
        }
        Event::Retrying { pause } => screen.notice(&format!("trying again in {:.1} s", pause.as_secs_f64())),
        Event::Reconnected => screen.notice("connected again"),
        Event::Held { reason, pause } => {
            screen.notice(&format!("the server asks to wait: {reason}; trying again in {:.1} s", pause.as_secs_f64()));
        }
        Event::Gap { gap: missing, .. } => screen.notice(&gap(missing)),
        Event::Rejected { line, reason } => {
            screen.notice(&format!("not sent: {}: {reason}", start_of(line.body.as_str())));
        }
        Event::Joined { .. }
        | Event::Message(_)
        | Event::CaughtUp { .. }
        | Event::Passed { .. }
        | Event::Presence { .. }
        | Event::Left { .. }
        | Event::NotJoined { .. }
        | Event::Stored { .. }
        | Event::Pause => {}
        Event::Waiting { error, within } => {
            screen.notice(&format!("{error}; trying again for up to {}", format_duration(*within)));
        }
    }
}

/// Enough of a line to know it by, in quotes.
fn start_of(body: &str) -> String {
    const CHARS_MAX: usize = 40;
    let start: String = body.chars().take(CHARS_MAX).collect();
    let more = if start.len() < body.len() { "…" } else { "" };
    format!("{start:?}{more}")
}
