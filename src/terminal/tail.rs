//! `hubbub tail`: follows a room as `tail -f` follows a file.

use std::ops::ControlFlow;
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::retry_on_intr;

use super::TerminalError;
use super::format::Printed;
use super::nearest::nearest_room;
use super::options::TailOptions;
use super::outage::Outage;
use super::output::{Output, unless_closed};
use super::screen::Screen;
use super::server::Server;
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
    let settings = server.settings(name, options.room.clone(), from);
    let session = Session::start(server.connector.clone(), server.address.clone(), settings, move |event| {
        let outcome = match &event {
            // Waits for a message that does not exist yet.
            Event::Message(message) if message.seq < first => Ok(()),
            Event::Message(message) => output.line(&format.message(&printed(message))),
            Event::Pause => output.flush(),
            Event::Joined { room, head_seq: 0, .. } => {
                if is_new {
                    show_that_it_waits(&screen, room, &server);
                }
                Ok(())
            }
            _ => {
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

fn printed<'a>(message: &'a Message<'a>) -> Printed<'a> {
    let Message { room, seq, time_ms, ref id, sender, body, kind, client_id, authenticated, .. } = *message;
    Printed { room, seq, time_ms, id, sender, body, kind, client_id, authenticated }
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
