//! `hubbub send`: says one thing, or each line of the input, and leaves when all of it is stored.

use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::TerminalError;
use super::chat::notice;
use super::input::read_lines;
use super::options::SendOptions;
use super::screen::Screen;
use crate::address::Address;
use crate::client::{CALL_TIMEOUT, Caller, Connector, Event, From, Session, SessionError, Settings, new_message_id};
use crate::names::{Body, Kind, RoomName, UserName};
use crate::startup;

pub fn send(address: Address, name: UserName, options: &SendOptions) -> Result<(), TerminalError> {
    if options.text.is_empty() {
        send_input(address, name, &options.room)
    } else {
        let body = Body::new(options.text.join(" ")).map_err(TerminalError::Text)?;
        let mut caller = Caller::connect(Connector::new(1), address, CALL_TIMEOUT)?;
        caller.post(&options.room, &name, &new_message_id(), &body, Kind::Text)?;
        Ok(())
    }
}

/// A session sends many lines at once, and thus many more a second than calls would.
fn send_input(address: Address, name: UserName, room: &RoomName) -> Result<(), TerminalError> {
    startup::check_input().map_err(TerminalError::Input)?;
    let screen = Arc::new(Screen::default());
    let skipped = Arc::new(AtomicU64::new(0));
    let (shown, rejected) = (Arc::clone(&screen), Arc::clone(&skipped));
    let settings = Settings::new(name, room.clone(), From::Head);
    let session = Session::start(Connector::new(1), address, settings, move |event| {
        if matches!(event, Event::Rejected { .. }) {
            rejected.fetch_add(1, Ordering::Relaxed);
        }
        notice(&shown, &event);
        ControlFlow::Continue(())
    })?;
    let inlet = session.inlet();
    let room = room.clone();
    let counted = Arc::clone(&skipped);
    // Its own thread, because the session may end while the input does not. It ends with the process at the latest.
    crate::threads::spawn("input", move || {
        read_lines(&mut io::stdin().lock(), |line| {
            let body = match line.as_deref().map(str::trim_end) {
                Ok("") => return ControlFlow::Continue(()),
                Ok(text) => Body::new(text).map_err(|e| e.to_string()),
                Err(fault) => Err(fault.clone()),
            };
            match body.map(|body| inlet.post(&room, body, Kind::Text)) {
                Ok(Ok(_)) => ControlFlow::Continue(()),
                Ok(Err(_)) => ControlFlow::Break(()),
                Err(fault) => {
                    counted.fetch_add(1, Ordering::Relaxed);
                    screen.notice(&format!("not sent: {fault}"));
                    ControlFlow::Continue(())
                }
            }
        });
        inlet.finish();
    })
    .map_err(|e| TerminalError::Session(SessionError::Thread(e)))?;
    session.wait()?;
    match skipped.load(Ordering::Relaxed) {
        0 => Ok(()),
        skipped => Err(TerminalError::Skipped(skipped)),
    }
}
