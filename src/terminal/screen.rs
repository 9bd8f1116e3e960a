//! Everything that is written while the client runs goes through here, so that nothing tears what is being typed.
//!
//! On a terminal the last rows are live (`live.rs`): the line that is being typed belongs to the editor, and above it
//! stands the status row while there is something to wait for. A thread that writes a line takes the lock, erases the live
//! rows, writes, and draws them again below. The lock stands for the terminal, so it is held while writing: that is its
//! purpose, and the one place where that is allowed. If input or output is not a terminal, there are no rows to protect,
//! and lines are just written.
//!
//! A line editor library (rustyline) was weighed and not taken: it shows lines from other threads out of order around
//! the moment a line is entered, holds the last of them back at the end of input, and with it the thread that wrote it,
//! and by default drops what was typed ahead.

use std::borrow::Cow;
use std::env;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::clock::Clock;
use super::complete::Wanted;
use super::editor::{Action, Editor};
use super::format::{escape_rows, line, paragraph};
use super::keys::Decoder;
use super::live::{Drawn, reflows};
use super::raw::{RawMode, columns, suspend, write_directly};
use super::status::Status;
use super::wrap::{INDENT, columns_of_text, wrap, wrap_under};
use crate::escape::escape;
use crate::names::Kind;

/// In a window of fewer columns, the rows of a message use the room below its time.
const HANGING_COLUMNS_MIN: usize = 72;

/// To the top left, and erase everything.
const ERASE_ALL: &str = "\x1b[H\x1b[2J";

/// Asks the terminal to mark pastes, and no longer to.
const PASTE_ON: &str = "\x1b[?2004h";
const PASTE_OFF: &str = "\x1b[?2004l";

/// How long one who is about to leave waits for another who writes: a terminal may have been stopped.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(1);

/// How often the status row is looked at: it counts seconds.
const STATUS_PERIOD: Duration = Duration::from_millis(250);

/// What may be completed.
pub type Candidates = Box<dyn Fn(Wanted) -> Vec<String> + Send + Sync>;

/// What the one who edits a line needs to know of the chat. Asked under the screen's lock.
pub struct Aids {
    pub candidates: Candidates,
    /// What stands before the line.
    pub prompt: Box<dyn Fn() -> String + Send + Sync>,
}

/// Standard output and standard error, shared by all threads.
#[derive(Default)]
pub struct Screen {
    /// Lock order: 1. Held while writing.
    row: Mutex<Option<Row>>,
    /// There while there is a row. Apart from it, so that whoever ends the program can give the terminal back though
    /// another can't finish its writing. Lock order: 2. Held for a change of modes only.
    raw: Mutex<Option<RawMode>>,
    /// There is a status row, for the thread that rewrites it.
    status_came: Condvar,
    /// The times before messages, if they are shown. Lock order: 2.
    clock: Option<Mutex<Clock>>,
}

/// The live rows, while the last one is edited.
struct Row {
    editor: Editor,
    decoder: Decoder,
    aids: Aids,
    status: Option<Status>,
    drawn: Drawn,
    /// The terminal breaks rows anew when it is narrowed.
    reflows: bool,
}

/// Whether input and output are a terminal that lines can be edited on.
pub fn can_edit() -> bool {
    let dumb = env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    io::stdin().is_terminal() && io::stdout().is_terminal() && !dumb
}

impl Screen {
    /// A screen that shows times if it is a terminal.
    pub fn with_times() -> Self {
        let clock = io::stdout().is_terminal().then(|| Mutex::new(Clock::new()));
        Self { clock, ..Self::default() }
    }

    /// Learns the server's clock from what it sent just now.
    pub fn learn_time(&self, server_ms: u64) {
        if let Some(clock) = &self.clock {
            clock.lock().learn(server_ms);
        }
    }

    /// What is shown above and before a message of that time, or of one that is typed now.
    fn stamp(&self, time_ms: Option<u64>) -> (String, String) {
        let Some(clock) = &self.clock else { return Default::default() };
        let mut clock = clock.lock();
        let time_ms = time_ms.unwrap_or_else(|| clock.now());
        let stamp = clock.stamp(time_ms);
        let day = stamp.day.map_or_else(String::new, |day| format!("* {day}\n"));
        (day, format!("{} ", stamp.time))
    }

    /// Starts editing in the last row. What can end the program must already know to stop editing.
    pub fn start_editing(&self, aids: Aids) -> io::Result<()> {
        let mut row = self.row.lock();
        *self.raw.lock() = Some(RawMode::enter()?);
        let (editor, decoder) = (Editor::default(), Decoder::default());
        let reflows = reflows(|name| env::var(name).ok());
        *row = Some(Row { editor, decoder, aids, status: None, drawn: Drawn::default(), reflows });
        write(&mut io::stdout().lock(), PASTE_ON)?;
        draw(row.as_mut())
    }

    /// Ends editing and gives the terminal back as it was. Its modes come back within a second, even where another
    /// can't finish its writing because the terminal takes no more.
    /// Returns what was typed and not entered.
    pub fn stop_editing(&self) -> Option<String> {
        let row = self.row.try_lock_for(LEAVE_TIMEOUT);
        drop(self.raw.lock().take());
        let mut row = row?.take()?;
        self.status_came.notify_all();
        // A terminal that is gone needs no tidying.
        let _ = write(&mut io::stdout().lock(), &format!("{}{PASTE_OFF}", row.erase()));
        Some(row.editor.draft().to_owned()).filter(|draft| !draft.trim().is_empty())
    }

    /// The same for a thread that panicked, perhaps while it held the lock: then the terminal is given back without it,
    /// and nobody else draws on it.
    pub fn stop_after_panic(&self) -> Option<String> {
        let draft = self.stop_editing();
        write_directly(&format!("\r\n{PASTE_OFF}"));
        draft
    }

    /// Writes a message to standard output: on a terminal in rows, with its time if there is one; elsewhere in one line.
    /// What its line begins with after the time is the caller's.
    pub fn print_message(
        &self,
        time_ms: Option<u64>,
        prefix: &str,
        sender: &str,
        body: &str,
        kind: Kind,
    ) -> io::Result<()> {
        let mut row = self.row.lock();
        let erase = row.as_mut().map(Row::erase).unwrap_or_default();
        let shown = match columns(&io::stdout()) {
            Some(columns) => {
                let (day, time) = time_ms.map(|time| self.stamp(Some(time))).unwrap_or_default();
                let message = format!("{time}{prefix}{}", paragraph(sender, body, kind));
                day + &wrap_under(&message, columns, indent(&time, columns))
            }
            None => format!("{prefix}{}", line(sender, body, kind)),
        };
        write(&mut io::stdout().lock(), &format!("{erase}{shown}\n"))?;
        draw(row.as_mut())
    }

    /// Shows a line of the user's that was not typed just now, as if it were.
    pub fn echo(&self, line: &str) {
        let mut row = self.row.lock();
        let erase = row.as_mut().map(Row::erase).unwrap_or_default();
        let prompt = row.as_ref().map_or_else(|| "> ".to_owned(), |row| (row.aids.prompt)());
        let _ = write(&mut io::stdout().lock(), &format!("{erase}{}", self.entered(&prompt, line)));
        let _ = draw(row.as_mut());
    }

    /// A line as it stays above when it was entered.
    fn entered(&self, prompt: &str, line: &str) -> String {
        let (day, time) = self.stamp(None);
        let columns = columns(&io::stdout()).unwrap_or(usize::MAX);
        let shown = format!("{time}{prompt}{}", escape_rows(line.trim_end()));
        format!("{day}{}\n", wrap_under(&shown, columns, indent(&time, columns)))
    }

    /// Shows a text of the user's within a notice, with its room if that need be said.
    pub fn quote(&self, room: &str, text: &str) {
        let room = if room.is_empty() { String::new() } else { format!("in {}: ", escape(room)) };
        notice(self.row.lock().as_mut(), &format!("> {room}"), &escape_rows(text));
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
    pub fn restore(&self, line: &str, at_end: bool) -> bool {
        let mut row = self.row.lock();
        let restored = row.as_mut().is_some_and(|row| row.editor.restore(line, at_end));
        let _ = redraw(row.as_mut(), "");
        restored
    }

    /// Whether text was left out because the draft was full.
    pub fn take_overflow(&self) -> bool {
        self.row.lock().as_mut().is_some_and(|row| row.editor.take_overflow())
    }

    /// Writes a line about what goes on to standard error. A closed standard error stops nobody.
    pub fn notice(&self, line: &str) {
        notice(self.row.lock().as_mut(), "", &escape(line));
    }

    /// Shows the status row, or shows it anew. False says that there is no place for one: the output is not edited on.
    pub fn show_status(&self, status: Status) -> bool {
        let mut guard = self.row.lock();
        let Some(row) = guard.as_mut() else { return false };
        row.status = Some(status);
        let _ = redraw(Some(row), "");
        self.status_came.notify_all();
        true
    }

    /// Takes the status row away, and writes a line in its place.
    pub fn end_status(&self, line: Option<&str>) {
        let mut guard = self.row.lock();
        let had_status = guard.as_mut().is_some_and(|row| row.status.take().is_some());
        match line {
            Some(line) => notice(guard.as_mut(), "", &escape(line)),
            None if had_status => drop(redraw(guard.as_mut(), "")),
            None => {}
        }
    }

    /// Rewrites the status row as time goes by. Returns when there is nothing to edit any more: the status thread.
    pub fn keep_status(&self) {
        let mut guard = self.row.lock();
        while let Some(row) = guard.as_mut() {
            if row.status.is_none() {
                self.status_came.wait(&mut guard);
                continue;
            }
            if let (Some(status), Some(columns)) = (&row.status, columns(&io::stdout()))
                && let Some(output) = row.drawn.rewrite_status(status.row(Instant::now(), columns))
                && write(&mut io::stdout().lock(), &output).is_err()
            {
                return;
            }
            self.status_came.wait_for(&mut guard, STATUS_PERIOD);
        }
    }

    /// Takes the bytes that the terminal sent, up to the end of a line, and shows what they do. Returns what they led to, in order,
    /// and how many were taken.
    pub fn typed(&self, bytes: &[u8]) -> io::Result<(Vec<Action>, usize)> {
        let mut guard = self.row.lock();
        let Some(row) = guard.as_mut() else { return Ok((Vec::new(), bytes.len())) };
        let mut output = String::new();
        let mut actions = Vec::new();
        let mut used = 0;
        for &byte in bytes {
            used += 1;
            let action = row.decoder.feed(byte).and_then(|key| row.editor.press(key));
            match &action {
                // The line stays above as it was entered; a blank one leaves no trace.
                Some(Action::Line(line)) if !line.trim().is_empty() => {
                    output.push_str(&self.entered(&(row.aids.prompt)(), line));
                }
                Some(Action::Clear) => output.push_str(ERASE_ALL),
                Some(Action::Complete { back }) => row.editor.complete(*back, &row.aids.candidates),
                _ => {}
            }
            let is_line = matches!(action, Some(Action::Line(_)));
            actions.extend(action);
            if is_line {
                break;
            }
        }
        redraw(Some(row), &output)?;
        Ok((actions, used))
    }

    /// Draws the live rows again: the terminal has another size now.
    pub fn resized(&self) {
        let _ = redraw(self.row.lock().as_mut(), "");
    }

    /// Stops this program as other programs stop on Ctrl-Z, and goes on when it is continued.
    pub fn suspend(&self) -> io::Result<()> {
        let mut guard = self.row.lock();
        let Some(row) = guard.as_mut() else { return Ok(()) };
        write(&mut io::stdout().lock(), &format!("{}{PASTE_OFF}", row.erase()))?;
        drop(self.raw.lock().take());
        suspend();
        *self.raw.lock() = Some(RawMode::enter()?);
        write(&mut io::stdout().lock(), PASTE_ON)?;
        draw(Some(row))
    }

    /// The program goes on after it was stopped, by whomever: the shell had the terminal meanwhile.
    pub fn continued(&self) -> io::Result<()> {
        let mut guard = self.row.lock();
        let Some(row) = guard.as_mut() else { return Ok(()) };
        if let Some(raw) = self.raw.lock().as_ref() {
            raw.enter_again()?;
        }
        write(&mut io::stdout().lock(), PASTE_ON)?;
        redraw(Some(row), "")
    }
}

impl Row {
    /// Erases the live rows: the cursor is where the first of them began.
    fn erase(&mut self) -> String {
        self.drawn.erase(columns(&io::stdout()).unwrap_or(usize::MAX), self.reflows)
    }

    /// Draws the live rows, with the cursor where it belongs.
    fn draw(&mut self) -> String {
        let Some(columns) = columns(&io::stdout()) else { return String::new() };
        let status = self.status.as_ref().map(|status| status.row(Instant::now(), columns));
        let prompt = (self.aids.prompt)();
        let view = self.editor.view(columns.saturating_sub(columns_of_text(&prompt)));
        self.drawn.draw(status, &prompt, &view.text, view.cursor)
    }
}

/// How far the rows after a message's first are indented: below its text, unless the window is narrow.
fn indent(time: &str, columns: usize) -> usize {
    if columns >= HANGING_COLUMNS_MIN { INDENT.max(time.len()) } else { INDENT }
}

/// The line as the output shows it: in indented rows on a terminal, in one piece everywhere else.
pub fn rows<'a>(line: &'a str, output: &impl AsFd) -> Cow<'a, str> {
    match columns(output) {
        Some(columns) => Cow::Owned(wrap(line, columns)),
        None => Cow::Borrowed(line),
    }
}

/// Draws the live rows where the cursor is.
fn draw(row: Option<&mut Row>) -> io::Result<()> {
    match row {
        Some(row) => write(&mut io::stdout().lock(), &row.draw()),
        None => Ok(()),
    }
}

/// Draws the live rows again, with some output above them, at one go.
fn redraw(row: Option<&mut Row>, above: &str) -> io::Result<()> {
    let Some(row) = row else { return Ok(()) };
    let erase = row.erase();
    write(&mut io::stdout().lock(), &format!("{erase}{above}{}", row.draw()))
}

/// Writes a line whose text acts on no terminal.
fn notice(mut row: Option<&mut Row>, before: &str, text: &str) {
    if let Some(row) = row.as_mut() {
        let _ = write(&mut io::stdout().lock(), &row.erase());
    }
    let line = format!("* {before}{text}");
    let _ = write(&mut io::stderr().lock(), &format!("{}\n", rows(&line, &io::stderr())));
    let _ = draw(row);
}

fn write(output: &mut impl Write, text: &str) -> io::Result<()> {
    output.write_all(text.as_bytes())?;
    output.flush()
}
