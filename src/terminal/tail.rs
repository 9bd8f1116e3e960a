//! `hubbub tail`: follows a room as `tail -f` follows a file.

use std::ops::ControlFlow;
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::retry_on_intr;

use super::TerminalError;
use super::change_format::{ShownMessage, change};
use super::format::{Format, shown_name};
use super::json::{JsonEvent, json};
use super::nearest::nearest_room;
use super::options::TailOptions;
use super::outage::Outage;
use super::output::{Output, unless_closed};
use super::screen::Screen;
use super::server::Server;
use super::timelines::{Shown, Timelines};
use crate::client::{Event, Inlet, Message, Session, StartAt};
use crate::names::{RoomName, UserName};
use crate::threads::spawn;

/// Follows until the output closes or the session fails.
pub fn tail(server: Server, name: UserName, options: &TailOptions) -> Result<(), TerminalError> {
    let from = match options.from {
        Some(seq) => StartAt::After { seq: seq.saturating_sub(1), epoch: None },
        None => StartAt::Last(options.last),
    };
    let first = options.from.unwrap_or(0);
    let screen = Arc::new(Screen::default());
    let mut is_new = true;
    let mut outage = Outage::new(Arc::clone(&screen), &server.address);
    let failure = Arc::new(Mutex::new(Ok(())));
    let failed = Arc::clone(&failure);
    let format = options.format.format(server.has_login);
    let mut output = Output::new(format.json);
    let lines = EventLines { format, timelines: Timelines::new(&name, server.has_login) };
    let settings = server.settings(name, options.room.clone(), from);
    let session = Session::start(server.connector.clone(), server.address.clone(), settings, move |event| {
        let outcome = match &event {
            // Waits for a message that does not exist yet.
            Event::Message(message) if message.seq < first => Ok(()),
            Event::Message(_) | Event::Changed { .. } | Event::Unknown { .. } => {
                lines.line(&event).map_or(Ok(()), |line| output.line(&line))
            }
            Event::Pause => output.flush(),
            Event::Joined(joined) => {
                lines.line(&event);
                if is_new && joined.head_seq == 0 {
                    show_that_it_waits(&screen, joined.room, &server);
                }
                outage.show(&event);
                Ok(())
            }
            _ => {
                lines.line(&event);
                outage.show(&event);
                Ok(())
            }
        };
        is_new &= !matches!(event, Event::Joined { .. });
        match outcome {
            Ok(()) => ControlFlow::Continue(()),
            Err(e) => {
                *failed.lock() = Err(e);
                ControlFlow::Break(())
            }
        }
    })?;
    let inlet = session.inlet();
    // It ends with the process: nothing else can end its wait.
    spawn("output", move || stop_when_closed(&inlet)).map_err(TerminalError::Thread)?;
    session.wait()?;
    let outcome = std::mem::replace(&mut *failure.lock(), Ok(()));
    unless_closed(outcome).map_err(TerminalError::Output)
}

/// Reports that the room has no messages, because its name may be mistyped.
fn show_that_it_waits(screen: &Arc<Screen>, room: &RoomName, server: &Server) {
    screen.notice(&format!("no room named {room} yet: waiting for its first message"));
    let (screen, room, server) = (Arc::clone(screen), room.clone(), server.clone());
    // On a separate thread, because messages may arrive meanwhile. Without it, there is no suggestion.
    let _ = spawn("nearest", move || {
        if let Some(name) = nearest_room(server, &room) {
            screen.notice(&format!("did you mean {name}?"));
        }
    });
}

/// The lines of events.
struct EventLines {
    format: Format,
    /// For people, a change is shown unless the lines before include it.
    timelines: Timelines,
}

impl EventLines {
    /// `None` if the event has no line.
    fn line(&self, event: &Event<'_>) -> Option<String> {
        if self.format.json {
            return Some(json(&match event {
                Event::Message(message) => JsonEvent::message(message),
                Event::Changed { room, seq, time_ms, change } => {
                    JsonEvent::change(room.as_str(), *seq, *time_ms, change)
                }
                Event::Unknown { room, seq, time_ms } => JsonEvent::unknown(room.as_str(), *seq, *time_ms),
                _ => return None,
            }));
        }
        let shown = self.timelines.record(event);
        match event {
            Event::Message(message) => Some(self.message(message)),
            Event::Changed { room, seq, time_ms, change: logged } if shown == Shown::Shown => {
                let message = logged.message_seq();
                let message = message.and_then(|seq| self.timelines.of(room, |room| room.timeline.get(seq).cloned()));
                let text = change(logged, message.as_ref(), self.format.marks_claims, false);
                Some(self.format.columns(*seq, *time_ms) + &text)
            }
            _ => None,
        }
    }

    fn message(&self, message: &Message<'_>) -> String {
        let Message { seq, time_ms, body, kind, extras, .. } = *message;
        let marks_claims = self.format.marks_claims;
        let sender = shown_name(message.sender, marks_claims && !message.authenticated);
        let shown = ShownMessage { sender: &sender, seq, body, kind, extras, reply_target: None, marks_claims };
        self.format.columns(seq, time_ms) + &shown.text(false)
    }
}

/// Ends the session when the output is closed, even if no write can report that: a room may be silent for days.
fn stop_when_closed(inlet: &Inlet) {
    let output = rustix::stdio::stdout();
    let mut outputs = [PollFd::new(&output, PollFlags::empty())];
    let polled = retry_on_intr(|| poll(&mut outputs, None));
    if polled.is_ok() && outputs[0].revents().intersects(PollFlags::ERR | PollFlags::HUP) {
        inlet.stop();
    }
}
