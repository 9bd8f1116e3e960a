//! The input thread of the chat: what is typed, or comes through a pipe, and where it goes.

use std::io::{self, BufRead};
use std::ops::ControlFlow;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::editor::Action;
use super::format::spoken;
use super::lines::{RawLine, read_line};
use super::screen::Screen;
use crate::client::{Inlet, tutorial};
use crate::names::{Body, InvalidText, RoomName, UserName};

/// The exit code of a program that an interrupt ended, by the shell's convention.
const EXIT_INTERRUPTED: i32 = 130;

/// Where lines go.
pub enum Outlet {
    V1 { inlet: Inlet, room: RoomName },
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
    /// Hands a line over. Breaks when the session has ended; fails where the line can't be sent.
    fn say(&self, text: &str) -> Result<ControlFlow<()>, InvalidText> {
        let taken = match self {
            Self::V1 { inlet, room } => {
                let (text, kind) = spoken(text);
                inlet.post(room, Body::new(text)?, kind).is_ok()
            }
            Self::Tutorial { inlet, name } => inlet.send(name.clone(), Body::new(text)?).is_ok(),
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
            Ok(text) => self.say(text.trim()),
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
            Action::Line(line) => self.say(line.trim()),
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

    /// Hands a line to the session, unless it is blank. Breaks when the session has ended.
    fn say(&self, text: &str) -> ControlFlow<()> {
        if text.is_empty() {
            return ControlFlow::Continue(());
        }
        match self.outlet.say(text) {
            Ok(flow) => flow,
            Err(e) => self.skip(&e.to_string()),
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
