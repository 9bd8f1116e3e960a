//! The terminal's modes, which are set at the start and restored at every end of the program, and all output to it.
//!
//! Order: modes are set in the order of [`MODES`], and restored in the reverse one. The alternate screen is entered before
//! the modes that belong to a screen, and left after them; the modes of the driver are the first and the last. A frame
//! that was interrupted is ended before.
//!
//! One lock: a thread holds it while it writes. At an exit, the terminal is restored within a second even if a write
//! can't finish because the terminal is stalled. Once it is restored, no other thread can write to it.

use std::env;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rustix::io::{Errno, write};
use rustix::stdio::stdout;
use rustix::termios::tcgetwinsize;

use super::inlet::Size;
use crate::terminal::raw::{RawMode, write_directly};

/// How long an exiting thread waits for a writing one.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(1);

/// How much is written at once: between two writes, the terminal may be restored.
const WRITE_BYTES_MAX: usize = 4096;

/// A mode, and how it is set and restored.
struct Mode {
    on: &'static str,
    off: &'static str,
    needed: Needed,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Needed {
    Always,
    /// Where the terminal has the protocol.
    Kitty,
    /// While the user wants it.
    Mouse,
}

/// The modes, in the order in which they are set.
const MODES: [Mode; 7] = [
    // The alternate screen: what the shell has shown comes back at the end.
    Mode { on: "\x1b[?1049h", off: "\x1b[?1049l", needed: Needed::Always },
    // The wheel must not be reported as the arrow keys, which leaf through the history of the input. The user's own
    // setting is saved and restored.
    Mode { on: "\x1b[?1007s\x1b[?1007l", off: "\x1b[?1007r", needed: Needed::Always },
    // Pastes are marked.
    Mode { on: "\x1b[?2004h", off: "\x1b[?2004l", needed: Needed::Always },
    // The focus is reported.
    Mode { on: "\x1b[?1004h", off: "\x1b[?1004l", needed: Needed::Always },
    // Keys that have no sequence of their own are distinguished (1), with the key of the base layout (4). Every screen
    // has its own stack for it, so it follows the screen and ends before it.
    Mode { on: "\x1b[>5u", off: "\x1b[<u", needed: Needed::Kitty },
    Mode { on: "\x1b[?1000h\x1b[?1006h", off: "\x1b[?1006l\x1b[?1000l", needed: Needed::Mouse },
    // The cursor, which frames hide while they are drawn.
    Mode { on: "", off: "\x1b[?25h", needed: Needed::Always },
];

/// Ends what an interrupted frame has begun: a text for the terminal, the synchronized update, rows without line breaks, colours.
const END_OF_FRAME: &str = "\x1b\\\x1b[?2026l\x1b[?7h\x1b[0m";

/// The terminal on standard input and output.
pub struct Guard {
    /// `Some` while the modes are set. Apart from `output`, so that they can be restored while a write can't finish.
    /// Lock order: 2.
    raw: Mutex<Option<RawMode>>,
    /// Lock order: 1. Held while writing.
    output: Mutex<()>,
    mouse: AtomicBool,
    /// Whether frames may be written.
    is_on: AtomicBool,
    /// The program ends: the terminal is not taken again.
    is_over: AtomicBool,
    has_kitty: bool,
}

impl Guard {
    /// The modes are not set yet.
    pub fn new(mouse: bool) -> Arc<Self> {
        Arc::new(Self {
            raw: Mutex::new(None),
            output: Mutex::new(()),
            mouse: AtomicBool::new(mouse),
            is_on: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            has_kitty: has_kitty(|name| env::var(name).ok()),
        })
    }

    /// Sets the modes, or sets them again after the terminal was in other hands. All code that can end the program must
    /// already be set up to call [`Guard::leave`].
    pub fn enter(&self) -> io::Result<()> {
        let _output = self.output.lock();
        if self.is_over.load(Ordering::SeqCst) {
            return Ok(());
        }
        {
            let mut raw = self.raw.lock();
            match raw.as_ref() {
                Some(raw) => raw.enter_again()?,
                None => *raw = Some(RawMode::enter()?),
            }
        }
        self.is_on.store(true, Ordering::SeqCst);
        self.write_all(self.on(self.mouse.load(Ordering::SeqCst)).as_bytes())
    }

    /// Writes a frame, or a text for the terminal. False: the terminal is not this program's now, and nothing was
    /// written.
    pub fn write(&self, bytes: &[u8]) -> io::Result<bool> {
        let _output = self.output.lock();
        if !self.is_on.load(Ordering::SeqCst) {
            return Ok(false);
        }
        self.write_all(bytes).map(|()| true)
    }

    /// The terminal reports the mouse from now on, or not: the text that has it do that now.
    pub fn mouse(&self, mouse: bool) -> String {
        self.mouse.store(mouse, Ordering::SeqCst);
        let modes = MODES.iter().filter(|mode| mode.needed == Needed::Mouse);
        modes.map(|mode| if mouse { mode.on } else { mode.off }).collect()
    }

    /// Gives the terminal to another program for a while: the shell, or an editor.
    pub fn lend(&self) {
        self.restore();
    }

    /// Restores the terminal, for good. Only the first call does anything.
    pub fn leave(&self) {
        if !self.is_over.swap(true, Ordering::SeqCst) {
            self.restore();
        }
    }

    /// The terminal's size.
    pub fn size(&self) -> Size {
        match tcgetwinsize(stdout()) {
            Ok(size) if size.ws_col > 0 && size.ws_row > 0 => Size { columns: size.ws_col, rows: size.ws_row },
            _ => Size { columns: 80, rows: 24 },
        }
    }

    fn restore(&self) {
        let was_on = self.is_on.swap(false, Ordering::SeqCst);
        // A thread that panics may hold the lock itself.
        let _output = self.output.try_lock_for(LEAVE_TIMEOUT);
        if was_on {
            // A terminal that is gone need not be restored, and a stalled one can't be.
            write_directly(&self.off(self.mouse.load(Ordering::SeqCst)));
        }
        drop(self.raw.lock().take());
    }

    fn is_needed(&self, mode: &Mode, mouse: bool) -> bool {
        match mode.needed {
            Needed::Always => true,
            Needed::Kitty => self.has_kitty,
            Needed::Mouse => mouse,
        }
    }

    fn on(&self, mouse: bool) -> String {
        MODES.iter().filter(|mode| self.is_needed(mode, mouse)).map(|mode| mode.on).collect()
    }

    fn off(&self, mouse: bool) -> String {
        let modes = MODES.iter().rev().filter(|mode| self.is_needed(mode, mouse));
        END_OF_FRAME.chars().chain(modes.flat_map(|mode| mode.off.chars())).collect()
    }

    fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() && self.is_on.load(Ordering::SeqCst) {
            match write(stdout(), &bytes[..bytes.len().min(WRITE_BYTES_MAX)]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => bytes = &bytes[count..],
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// Whether the terminal has the keyboard protocol of kitty. The others ignore the sequence at best; and within tmux and
/// screen, the variables are those of another terminal.
fn has_kitty(variable: impl Fn(&str) -> Option<String>) -> bool {
    let is_set = |name: &str| variable(name).is_some_and(|value| !value.is_empty());
    if is_set("TMUX") || is_set("STY") {
        return false;
    }
    let term = variable("TERM").unwrap_or_default();
    let program = variable("TERM_PROGRAM").unwrap_or_default();
    ["xterm-kitty", "xterm-ghostty", "foot", "alacritty", "wezterm"].iter().any(|name| term.starts_with(name))
        || ["WezTerm", "ghostty"].contains(&program.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(has_kitty: bool) -> Guard {
        let (raw, output, mouse) = (Mutex::new(None), Mutex::new(()), AtomicBool::new(false));
        Guard { raw, output, mouse, is_on: AtomicBool::new(false), is_over: AtomicBool::new(false), has_kitty }
    }

    #[test]
    fn modes_are_restored_in_the_reverse_order() {
        let (on, off) = (guard(true).on(true), guard(true).off(true));
        let places = |text: &str, marks: &[&str]| {
            let places: Vec<_> = marks.iter().map(|mark| text.find(mark).unwrap_or_else(|| panic!("{mark}"))).collect();
            assert!(places.is_sorted(), "{marks:?} in {text:?}");
        };
        places(&on, &["?1049h", "?1007l", "?2004h", "?1004h", ">5u", "?1000h", "?1006h"]);
        places(&off, &["?2026l", "[0m", "?25h", "?1006l", "?1000l", "<u", "?1004l", "?2004l", "?1007r", "?1049l"]);
        assert!(!guard(false).off(false).contains("<u") && !guard(false).on(false).contains("?1000h"));
    }

    #[test]
    fn the_keyboard_protocol_is_used_where_it_is_known() {
        let has = |variables: &[(&str, &str)]| {
            has_kitty(|name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
        };
        assert!(has(&[("TERM", "xterm-kitty")]) && has(&[("TERM", "xterm-256color"), ("TERM_PROGRAM", "WezTerm")]));
        assert!(has(&[("TERM", "foot"), ("TMUX", "")]));
        assert!(!has(&[("TERM", "xterm-256color")]) && !has(&[]));
        assert!(!has(&[("TERM", "screen-256color"), ("TMUX", "x"), ("TERM_PROGRAM", "WezTerm")]));
    }
}
