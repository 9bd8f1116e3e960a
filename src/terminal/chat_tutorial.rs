//! The chat over the tutorial's contract: one room, no history, and lines in doubt after a lost connection.

use std::ops::ControlFlow;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::input::Destination;
use super::options::ChatOptions;
use super::presence::Presence;
use super::screen::{Aids, Screen, can_edit};
use super::server::Server;
use super::status::{Status, Topic, duration};
use super::{TerminalError, commands, converse};
use crate::client::tutorial::{Event, Inlet, Session};
use crate::client::{FINISH_TIMEOUT, LINES_MAX, Patience, Policy, Unsure, lines};
use crate::editing::Wanted;
use crate::names::{Kind, UserName};

/// Chats until the input ends, the output closes, or the session fails.
pub fn chat(server: Server, name: UserName, options: &ChatOptions) -> Result<(), TerminalError> {
    let policy = if options.no_reconnect { Policy::Fail } else { Policy::Reconnect };
    let screen = Arc::new(Screen::default());
    let patience = Patience { policy, finish_timeout: FINISH_TIMEOUT, ..server.patience() };
    let Server { address, connector, .. } = server;
    let people = Arc::new(Mutex::new(Presence::new(name.as_str())));
    let inlet = Arc::new(OnceLock::new());
    let mut view = ChatView {
        screen: Arc::clone(&screen),
        people: Arc::clone(&people),
        server: address.to_string(),
        inlet: Arc::clone(&inlet),
        down_since: None,
    };
    let session = Session::start(connector, address.clone(), patience, LINES_MAX, move |event| view.show(event))?;
    let _ = inlet.set(session.inlet());
    let destination = Destination::Tutorial { inlet: session.inlet(), name: name.clone() };
    if can_edit() {
        screen.notice(&format!("connected to {address} as {name}; /help lists the commands, Ctrl-D ends"));
    }
    let candidates = Box::new(move |wanted| match wanted {
        Wanted::Command => commands::names(),
        Wanted::Person => people.lock().names(),
        Wanted::Room => Vec::new(),
    });
    let aids = Aids { candidates, prompt: Box::new(|| "> ".to_owned()) };
    let skipped = Arc::new(AtomicU64::new(0));
    converse(screen, skipped, destination, aids, || session.wait().map_err(TerminalError::Session))
}

/// Shows the session's events.
struct ChatView {
    screen: Arc<Screen>,
    people: Arc<Mutex<Presence>>,
    server: String,
    inlet: Arc<OnceLock<Inlet>>,
    down_since: Option<Instant>,
}

impl ChatView {
    /// Breaks when the output is closed.
    fn show(&mut self, event: Event<'_>) -> ControlFlow<()> {
        match event {
            Event::Message { name, body } => {
                self.people.lock().record_sender(name, None);
                // A closed output means that the reader needs no more.
                if self.screen.print_message(None, "", name, body, Kind::Text).is_err() {
                    return ControlFlow::Break(());
                }
            }
            Event::Disconnected { reason, doubtful } => {
                let since = *self.down_since.get_or_insert_with(Instant::now);
                let doubt = Unsure::Arrived(doubtful).to_string();
                if !self.screen.show_status(self.status(since, &reason, None)) {
                    let server = &self.server;
                    self.screen.notice(&format!("disconnected from {server}: {reason}; trying again{doubt}"));
                } else if !doubt.is_empty() {
                    // The status row does not stay.
                    self.screen.notice(doubt.trim_start_matches("; "));
                }
            }
            Event::Retrying { reason, pause } => {
                let since = *self.down_since.get_or_insert_with(Instant::now);
                self.screen.show_status(self.status(since, reason, Some(Instant::now() + pause)));
            }
            Event::Reconnected { kept } => {
                let time = self.down_since.take().map_or(Duration::ZERO, |since| since.elapsed());
                let after = if time.as_secs() == 0 { String::new() } else { format!(" after {}", duration(time)) };
                let kept = match kept {
                    0 => String::new(),
                    kept => format!("; sending {} kept meanwhile", lines(kept as u64)),
                };
                self.screen.end_status(Some(&format!("connected again{after}{kept}")));
            }
        }
        ControlFlow::Continue(())
    }

    fn status(&self, since: Instant, reason: &str, next: Option<Instant>) -> Status {
        let inlet = Arc::clone(&self.inlet);
        let waiting = Arc::new(move || inlet.get().map_or(0, |inlet| inlet.unsent().len() as u64));
        Status { topic: Topic::Lost, server: self.server.clone(), since, reason: reason.to_owned(), next, waiting }
    }
}
