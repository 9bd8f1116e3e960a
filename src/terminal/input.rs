//! The input thread of the chat: what is typed, or comes through a pipe, and where it goes.

use std::io::{self, BufRead};
use std::ops::ControlFlow;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::commands::{self, HELP, Meaning};
use super::editor::Action;
use super::lines::{RawLine, read_line};
use super::list;
use super::screen::Screen;
use crate::address::Address;
use crate::client::{Inlet, tutorial};
use crate::names::{Body, InvalidText, Kind, RoomName, UserName};

/// The exit code of a program that an interrupt ended, by the shell's convention.
const EXIT_INTERRUPTED: i32 = 130;

/// Where lines go.
pub enum Outlet {
    V1 { inlet: Inlet, room: RoomName, address: Address },
    Tutorial { inlet: tutorial::Inlet, name: UserName },
}

/// The input thread's belongings.
pub struct Input {
    pub screen: Arc<Screen>,
    pub outlet: Outlet,
    /// How many lines could not be sent.
    pub skipped: Arc<AtomicU64>,
}

impl Outlet {
    /// Hands a message over. Breaks when the session has ended; fails where the message can't be sent.
    fn say(&self, text: &str, kind: Kind) -> Result<ControlFlow<()>, InvalidText> {
        let taken = match self {
            Self::V1 { inlet, room, .. } => inlet.post(room, Body::new(text)?, kind).is_ok(),
            Self::Tutorial { inlet, name } => {
                // That contract has no actions, and its server trims.
                let text = if kind == Kind::Action { format!("/me {text}") } else { text.trim().to_owned() };
                inlet.send(name.clone(), Body::new(text)?).is_ok()
            }
        };
        Ok(if taken { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    }

    fn finish(&self) {
        match self {
            Self::V1 { inlet, .. } => inlet.finish(),
            Self::Tutorial { inlet, .. } => inlet.finish(),
        }
    }
}

impl Input {
    /// Reads lines from an input that is no terminal, or none that can be edited on.
    pub fn lines(self) {
        read_lines(&mut io::stdin().lock(), |line| match line {
            Ok(text) => self.line(&text),
            Err(fault) => self.skip(&fault),
        });
        self.outlet.finish();
    }

    /// Reads keys from a terminal.
    pub fn keys(self) {
        loop {
            let mut stdin = io::stdin().lock();
            let bytes = match stdin.fill_buf() {
                Ok(bytes) => bytes.to_vec(),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                // The terminal is gone, and nobody is left to see more.
                Err(_) => Vec::new(),
            };
            stdin.consume(bytes.len());
            drop(stdin);
            let Ok(actions) = self.screen.typed(&bytes) else { break };
            if bytes.is_empty() || actions.into_iter().any(|action| self.act(action).is_break()) {
                break;
            }
        }
        self.screen.stop_editing();
        self.outlet.finish();
    }

    fn act(&self, action: Action) -> ControlFlow<()> {
        match action {
            Action::Line(line) => self.line(&line),
            Action::EndOfInput => ControlFlow::Break(()),
            Action::Interrupt => {
                self.screen.stop_editing();
                process::exit(EXIT_INTERRUPTED);
            }
            Action::Suspend => match self.screen.suspend() {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            },
            Action::Clear => ControlFlow::Continue(()),
        }
    }

    /// Does what a line says. Breaks when the session has ended, or the user wants it to.
    fn line(&self, line: &str) -> ControlFlow<()> {
        match commands::read(line) {
            Meaning::Nothing => {}
            Meaning::Message(text, kind) => {
                return self.outlet.say(text, kind).unwrap_or_else(|fault| self.skip(&fault.to_string()));
            }
            Meaning::Help => HELP.into_iter().for_each(|row| self.screen.notice(row)),
            Meaning::Quit => return ControlFlow::Break(()),
            Meaning::Who => self.screen.notice(&self.who()),
            Meaning::Fault(fault) => return self.skip(&fault),
        }
        ControlFlow::Continue(())
    }

    /// Who is in the room. Waits for the server's answer.
    fn who(&self) -> String {
        match &self.outlet {
            Outlet::V1 { room, address, .. } => {
                list::who(address.clone(), room).unwrap_or_else(|fault| format!("can't list who is in {room}: {fault}"))
            }
            Outlet::Tutorial { .. } => "the tutorial's contract can't list who is here".to_owned(),
        }
    }

    fn skip(&self, reason: &str) -> ControlFlow<()> {
        self.skipped.fetch_add(1, Ordering::Relaxed);
        self.screen.notice(&format!("not sent: {reason}"));
        ControlFlow::Continue(())
    }
}

/// Hands out the lines of an input to its end, or why one can't be said, until `each` breaks.
pub fn read_lines(input: &mut impl BufRead, mut each: impl FnMut(Result<String, String>) -> ControlFlow<()>) {
    loop {
        let going = match read_line(input) {
            Ok(Some(RawLine::Text(line))) => each(Ok(line)),
            Ok(Some(RawLine::TooLong(bytes))) => each(Err(format!("the line has {bytes} bytes, which is too long"))),
            Ok(Some(RawLine::NotUtf8)) => each(Err("the line is no valid UTF-8".to_owned())),
            Ok(None) => return,
            Err(e) => {
                let _ = each(Err(format!("can't read the input: {e}")));
                return;
            }
        };
        if going.is_break() {
            return;
        }
    }
}
