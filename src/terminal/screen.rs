//! Everything that is written while the client runs goes through here, so that nothing tears what is being typed.
//!
//! On a terminal the last row is the line that is being typed, and belongs to the editor. Whoever writes a line takes
//! the lock, erases that row, writes, and draws it again below. The lock stands for the terminal, so it is held while
//! writing: that is its purpose, and the one place where that is allowed. Where input or output is no terminal there is
//! no row to protect, and lines are just written.
//!
//! A line editor library (rustyline) was weighed and not taken: it shows lines from other threads out of order around
//! the moment a line is entered, holds the last of them back at the end of input, and with it the thread that wrote it,
//! and by default drops what was typed ahead.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsRawFd;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

use super::editor::{Action, Editor};
use super::format::{escape_rows, line, paragraph};
use super::keys::Decoder;
use super::raw::{RawMode, columns, suspend};
use super::wrap::wrap;
use crate::escape::escape;
use crate::names::Kind;

/// What stands before the line that is being typed.
const PROMPT: &str = "> ";

/// Back to the first column, and erase to the end of the row.
const ERASE_ROW: &str = "\r\x1b[K";

/// To the top left, and erase everything.
const ERASE_ALL: &str = "\x1b[H\x1b[2J";

/// Asks the terminal to mark pastes, and no longer to.
const PASTE_ON: &str = "\x1b[?2004h";
const PASTE_OFF: &str = "\x1b[?2004l";

/// How long one who is about to leave waits for another who writes: a terminal may have been stopped.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(1);

/// Standard output and standard error, shared by all threads.
#[derive(Default)]
pub struct Screen {
    /// Lock order: 1. Held while writing.
    row: Mutex<Option<Row>>,
    /// There while there is a row. Apart from it, so that whoever ends the program can give the terminal back though
    /// another can't finish its writing. Lock order: 2. Held for a change of modes only.
    raw: Mutex<Option<RawMode>>,
}

/// The last row, while it is edited.
struct Row {
    editor: Editor,
    decoder: Decoder,
}

/// Whether input and output are a terminal that lines can be edited on.
pub fn can_edit() -> bool {
    let dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    io::stdin().is_terminal() && io::stdout().is_terminal() && !dumb
}

impl Screen {
    /// Starts editing in the last row. What can end the program must already know to stop editing.
    pub fn start_editing(&self) -> io::Result<()> {
        let mut row = self.row.lock();
        *self.raw.lock() = Some(RawMode::enter()?);
        *row = Some(Row { editor: Editor::default(), decoder: Decoder::default() });
        write(&mut io::stdout().lock(), PASTE_ON)?;
        draw(row.as_ref())
    }

    /// Ends editing and gives the terminal back as it was. Its modes come back within a second, even where another
    /// can't finish its writing because the terminal takes no more.
    /// Returns what was typed and not entered.
    pub fn stop_editing(&self) -> Option<String> {
        let row = self.row.try_lock_for(LEAVE_TIMEOUT);
        drop(self.raw.lock().take());
        let row = row?.take()?;
        // A terminal that is gone needs no tidying.
        let _ = write(&mut io::stdout().lock(), &format!("{ERASE_ROW}{PASTE_OFF}"));
        Some(row.editor.draft().to_owned()).filter(|draft| !draft.trim().is_empty())
    }

    /// Writes a line of data to standard output; on a terminal, in rows.
    pub fn print(&self, line: &str) -> io::Result<()> {
        let row = self.row.lock();
        let line = rows(line, &io::stdout());
        let line = match *row {
            Some(_) => format!("{ERASE_ROW}{line}\n"),
            None => format!("{line}\n"),
        };
        write(&mut io::stdout().lock(), &line)?;
        draw(row.as_ref())
    }

    /// Writes a message to standard output: on a terminal a body of several lines in as many rows, elsewhere in one line.
    pub fn print_message(&self, sender: &str, body: &str, kind: Kind) -> io::Result<()> {
        match columns(&io::stdout()) {
            Some(_) => self.print(&paragraph(sender, body, kind)),
            None => self.print(&line(sender, body, kind)),
        }
    }

    /// How long to wait for more input before [`Screen::time_out`].
    pub fn input_timeout(&self) -> Option<Duration> {
        self.row.lock().as_ref().and_then(|row| row.decoder.timeout())
    }

    /// No input came within the time.
    pub fn time_out(&self) {
        if let Some(row) = self.row.lock().as_mut() {
            row.decoder.time_out();
        }
    }

    /// Puts a line that could not be sent back as the draft. False says that another draft is there.
    pub fn restore(&self, line: &str) -> bool {
        let mut row = self.row.lock();
        let restored = row.as_mut().is_some_and(|row| row.editor.restore(line));
        let _ = draw(row.as_ref());
        restored
    }

    /// Whether text was left out because the draft was full.
    pub fn take_overflow(&self) -> bool {
        self.row.lock().as_mut().is_some_and(|row| row.editor.take_overflow())
    }

    /// Writes a line about what goes on to standard error. A closed standard error stops nobody.
    pub fn notice(&self, line: &str) {
        let row = self.row.lock();
        let _ = erase(&row);
        let line = format!("* {}", escape(line));
        let _ = write(&mut io::stderr().lock(), &format!("{}\n", rows(&line, &io::stderr())));
        let _ = draw(row.as_ref());
    }

    /// Takes the bytes that the terminal sent, shows what they do, and returns what they led to, in order.
    pub fn typed(&self, bytes: &[u8]) -> io::Result<Vec<Action>> {
        let mut guard = self.row.lock();
        let Some(row) = guard.as_mut() else { return Ok(Vec::new()) };
        let mut output = ERASE_ROW.to_owned();
        let mut actions = Vec::new();
        for &byte in bytes {
            let action = row.decoder.feed(byte).and_then(|key| row.editor.press(key));
            match &action {
                // The line stays above as it was entered; a blank one leaves no trace.
                Some(Action::Line(line)) if !line.trim().is_empty() => {
                    let shown = rows(&format!("{PROMPT}{}", escape_rows(line.trim_end())), &io::stdout()).into_owned();
                    output.push_str(&shown);
                    output.push('\n');
                }
                Some(Action::Clear) => output.push_str(ERASE_ALL),
                _ => {}
            }
            actions.extend(action);
        }
        write(&mut io::stdout().lock(), &output)?;
        draw(guard.as_ref())?;
        Ok(actions)
    }

    /// Draws the last row again: the terminal has another size now.
    pub fn resized(&self) {
        let row = self.row.lock();
        let _ = erase(&row).and_then(|()| draw(row.as_ref()));
    }

    /// Stops this program as other programs stop on Ctrl-Z, and goes on when it is continued.
    pub fn suspend(&self) -> io::Result<()> {
        let row = self.row.lock();
        erase(&row)?;
        if row.is_some() {
            write(&mut io::stdout().lock(), PASTE_OFF)?;
            drop(self.raw.lock().take());
            suspend();
            *self.raw.lock() = Some(RawMode::enter()?);
            write(&mut io::stdout().lock(), PASTE_ON)?;
        }
        draw(row.as_ref())
    }
}

/// The line as the output shows it: in indented rows on a terminal, in one piece everywhere else.
pub fn rows<'a>(line: &'a str, output: &impl AsRawFd) -> Cow<'a, str> {
    match columns(output) {
        Some(columns) => Cow::Owned(wrap(line, columns)),
        None => Cow::Borrowed(line),
    }
}

fn erase(row: &MutexGuard<'_, Option<Row>>) -> io::Result<()> {
    match **row {
        Some(_) => write(&mut io::stdout().lock(), ERASE_ROW),
        None => Ok(()),
    }
}

/// Draws the row that is being edited, with the cursor where it belongs.
fn draw(row: Option<&Row>) -> io::Result<()> {
    let Some(row) = row else { return Ok(()) };
    let Some(columns) = columns(&io::stdout()) else { return Ok(()) };
    let view = row.editor.view(columns.saturating_sub(PROMPT.len()));
    let right = PROMPT.len() + view.cursor;
    write(&mut io::stdout().lock(), &format!("{ERASE_ROW}{PROMPT}{}\r\x1b[{right}C", view.text))
}

fn write(output: &mut impl Write, text: &str) -> io::Result<()> {
    output.write_all(text.as_bytes())?;
    output.flush()
}
