//! The screen: all output of the running client goes through here, so that it does not disturb the draft.
//!
//! On a terminal the last rows are live (`live.rs`): the draft belongs to the editor, and above it is the status row
//! during an outage. A thread that writes a line takes the lock, erases the live rows, writes, and redraws them below.
//! The lock represents the terminal, so it is held during writes: this is the only place where that is allowed. If
//! input or output is not a terminal, there are no rows to protect, and lines are just written.
//!
//! A line editor library (rustyline) was rejected: it shows lines from other threads out of order when a line is
//! entered, blocks the last of them and its thread at the end of input, and by default drops typed-ahead input.

use std::borrow::Cow;
use std::env;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::clock::Clock;
use super::editor::{Action, Editor};
use super::format::{escape_rows, line, paragraph};
use super::keys::Decoder;
use super::live::{Drawn, reflows};
use super::raw::{RawMode, columns, suspend, write_directly};
use super::status::Status;
use super::wrap::{INDENT, columns_of_text, wrap, wrap_under};
use crate::editing::Wanted;
use crate::escape::escape;
use crate::names::Kind;

/// In a window of fewer columns, the rows of a message use the space below its time.
const HANGING_COLUMNS_MIN: usize = 72;

/// To the top left, and erase everything.
const ERASE_ALL: &str = "\x1b[H\x1b[2J";

/// Turns bracketed paste on and off.
const PASTE_ON: &str = "\x1b[?2004h";
const PASTE_OFF: &str = "\x1b[?2004l";

/// How long an exiting thread waits for a writing one: the terminal may have been stopped.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(1);

/// How often the status row is updated: it counts seconds.
const STATUS_PERIOD: Duration = Duration::from_millis(250);

/// The candidates for completion.
pub type Candidates = Box<dyn Fn(Wanted) -> Vec<String> + Send + Sync>;

/// The chat's data for the line editor. Called under the screen's lock.
pub struct Aids {
    pub candidates: Candidates,
    /// The prompt.
    pub prompt: Box<dyn Fn() -> String + Send + Sync>,
}

/// Standard output and standard error, shared by all threads.
#[derive(Default)]
pub struct Screen {
    /// Lock order: 1. Held while writing.
    row: Mutex<Option<Row>>,
    /// `Some` while there is a row. Separate from it, so that the terminal can be restored at the exit although another
    /// thread can't finish its write. Lock order: 2. Held only for a change of modes.
    raw: Mutex<Option<RawMode>>,
    /// There is a status row, for the thread that rewrites it.
    status_shown: Condvar,
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
    /// The terminal reflows rows when it is narrowed.
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

    /// Updates the server's clock from an event that was sent just now.
    pub fn learn_time(&self, server_ms: u64) {
        if let Some(clock) = &self.clock {
            clock.lock().learn(server_ms);
        }
    }

    /// The lines above and the prefix of a message with that time, or of one that is typed now.
    fn stamp(&self, time_ms: Option<u64>) -> (String, String) {
        let Some(clock) = &self.clock else { return Default::default() };
        let mut clock = clock.lock();
        let time_ms = time_ms.unwrap_or_else(|| clock.now());
        let stamp = clock.stamp(time_ms);
        let day = stamp.day.map_or_else(String::new, |day| format!("* {day}\n"));
        (day, format!("{} ", stamp.time))
    }

    /// Starts editing in the last row. All code that can end the program must already be set up to stop editing.
    pub fn start_editing(&self, aids: Aids) -> io::Result<()> {
        let mut row = self.row.lock();
        *self.raw.lock() = Some(RawMode::enter()?);
        let (editor, decoder) = (Editor::default(), Decoder::default());
        let reflows = reflows(|name| env::var(name).ok());
        *row = Some(Row { editor, decoder, aids, status: None, drawn: Drawn::default(), reflows });
        write(&mut io::stdout().lock(), PASTE_ON)?;
        draw(row.as_mut())
    }

    /// Ends editing and restores the terminal. Its modes are restored within a second, even if another thread can't
    /// finish its write because the terminal is stalled. Returns the draft.
    pub fn stop_editing(&self) -> Option<String> {
        let row = self.row.try_lock_for(LEAVE_TIMEOUT);
        drop(self.raw.lock().take());
        let mut row = row?.take()?;
        self.status_shown.notify_all();
        // A terminal that is gone need not be restored.
        let _ = write(&mut io::stdout().lock(), &format!("{}{PASTE_OFF}", row.erase()));
        Some(row.editor.draft().to_owned()).filter(|draft| !draft.trim().is_empty())
    }

    /// The same for a thread that panicked, possibly while it held the lock: then the terminal is restored without it,
    /// and no other thread draws on it.
    pub fn stop_after_panic(&self) -> Option<String> {
        let draft = self.stop_editing();
        write_directly(&format!("\r\n{PASTE_OFF}"));
        draft
    }

    /// Writes a message to standard output, with its time if there is one.
    pub fn print_message(
        &self,
        time_ms: Option<u64>,
        prefix: &str,
        sender: &str,
        body: &str,
        kind: Kind,
    ) -> io::Result<()> {
        let text = |in_rows| if in_rows { paragraph(sender, body, kind) } else { line(sender, body, kind) };
        self.print(time_ms, prefix, text)
    }

    /// Writes a text to standard output: on a terminal in rows, elsewhere in one line, as `text` makes it. It must be
    /// safe for a terminal. The caller provides the prefix after the time.
    pub fn print(&self, time_ms: Option<u64>, prefix: &str, text: impl FnOnce(bool) -> String) -> io::Result<()> {
        let mut row = self.row.lock();
        let erase = row.as_mut().map(Row::erase).unwrap_or_default();
        let shown = match columns(&io::stdout()) {
            Some(columns) => {
                let (day, time) = time_ms.map(|time| self.stamp(Some(time))).unwrap_or_default();
                let message = format!("{time}{prefix}{}", text(true));
                day + &wrap_under(&message, columns, indent(&time, columns))
            }
            None => format!("{prefix}{}", text(false)),
        };
        write(&mut io::stdout().lock(), &format!("{erase}{shown}\n"))?;
        draw(row.as_mut())
    }

    /// Shows a line of the user that was not typed just now, in the same form.
    pub fn echo(&self, line: &str) {
        let mut row = self.row.lock();
        let erase = row.as_mut().map(Row::erase).unwrap_or_default();
        let prompt = row.as_ref().map_or_else(|| "> ".to_owned(), |row| (row.aids.prompt)());
        let _ = write(&mut io::stdout().lock(), &format!("{erase}{}", self.entered(&prompt, line)));
        let _ = draw(row.as_mut());
    }

    /// An entered line, as it stays above.
    fn entered(&self, prompt: &str, line: &str) -> String {
        let (day, time) = self.stamp(None);
        let columns = columns(&io::stdout()).unwrap_or(usize::MAX);
        let shown = format!("{time}{prompt}{}", escape_rows(line.trim_end()));
        format!("{day}{}\n", wrap_under(&shown, columns, indent(&time, columns)))
    }

    /// Shows a text of the user within a notice, with its room if necessary.
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

    /// Restores a line that could not be sent as the draft. False means that there is another draft.
    pub fn restore(&self, line: &str, at_end: bool) -> bool {
        let mut row = self.row.lock();
        let restored = row.as_mut().is_some_and(|row| row.editor.restore(line, at_end));
        let _ = redraw(row.as_mut(), "");
        restored
    }

    /// Whether text was dropped because the draft was full.
    pub fn take_overflow(&self) -> bool {
        self.row.lock().as_mut().is_some_and(|row| row.editor.take_overflow())
    }

    /// Writes a notice to standard error. Errors of a closed standard error are ignored.
    pub fn notice(&self, line: &str) {
        notice(self.row.lock().as_mut(), "", &escape(line));
    }

    /// Shows or updates the status row. False means that there is none, because there is no line editing.
    pub fn show_status(&self, status: Status) -> bool {
        let mut guard = self.row.lock();
        let Some(row) = guard.as_mut() else { return false };
        row.status = Some(status);
        let _ = redraw(Some(row), "");
        self.status_shown.notify_all();
        true
    }

    /// Removes the status row, and writes a line in its place.
    pub fn end_status(&self, line: Option<&str>) {
        let mut guard = self.row.lock();
        let had_status = guard.as_mut().is_some_and(|row| row.status.take().is_some());
        match line {
            Some(line) => notice(guard.as_mut(), "", &escape(line)),
            None if had_status => drop(redraw(guard.as_mut(), "")),
            None => {}
        }
    }

    /// The status thread: rewrites the status row every second. Returns when editing has ended.
    pub fn keep_status(&self) {
        let mut guard = self.row.lock();
        while let Some(row) = guard.as_mut() {
            if row.status.is_none() {
                self.status_shown.wait(&mut guard);
                continue;
            }
            if let (Some(status), Some(columns)) = (&row.status, columns(&io::stdout()))
                && let Some(output) = row.drawn.rewrite_status(status.row(Instant::now(), columns))
                && write(&mut io::stdout().lock(), &output).is_err()
            {
                return;
            }
            self.status_shown.wait_for(&mut guard, STATUS_PERIOD);
        }
    }

    /// Processes the bytes of the terminal, up to the end of a line, and shows the result. Returns the effects, in
    /// order, and how many bytes were processed.
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
                // The entered line stays above, unless it is blank.
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

    /// Redraws the live rows: the terminal has another size now.
    pub fn resized(&self) {
        let _ = redraw(self.row.lock().as_mut(), "");
    }

    /// Stops this program on Ctrl-Z, and resumes when it is continued.
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

    /// Resumes after the program was stopped: the shell had the terminal meanwhile.
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

    /// Draws the live rows, and positions the cursor.
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

/// The line for the output: in indented rows on a terminal, in one piece everywhere else.
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

/// Redraws the live rows, with some output above them, in one write.
fn redraw(row: Option<&mut Row>, above: &str) -> io::Result<()> {
    let Some(row) = row else { return Ok(()) };
    let erase = row.erase();
    write(&mut io::stdout().lock(), &format!("{erase}{above}{}", row.draw()))
}

/// Writes a line whose text is safe for a terminal.
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
