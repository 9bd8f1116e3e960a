//! The client's program on a pseudo-terminal, and what the terminal shows: all that is written is fed to an emulator,
//! which answers as terminals do.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::num::NonZero;
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::frames::Frames;
use crate::support::process::LIBRARY_THREADS;
use crate::support::{DEADLINE, wait_for};
use crate::terminal::pty::{become_session_leader, modes, open, set_size};

/// The client asks with it whether the terminal has taken a frame, and the terminal answers.
const QUESTION: &[u8] = b"\x1b[5n";
const ANSWER: &[u8] = b"\x1b[0n";

/// The modes that the client sets, in its order, and how each is set and restored.
const MODES: [(&str, &str); 7] = [
    ("\x1b[?1049h", "\x1b[?1049l"),
    ("\x1b[?1007s\x1b[?1007l", "\x1b[?1007r"),
    ("\x1b[?2004h", "\x1b[?2004l"),
    ("\x1b[?1004h", "\x1b[?1004l"),
    ("\x1b[>5u", "\x1b[<u"),
    ("\x1b[?1000h", "\x1b[?1000l"),
    ("\x1b[?1006h", "\x1b[?1006l"),
];

/// A program on a terminal of its own. Killed when dropped.
pub struct Screen {
    child: Child,
    /// `None`: the terminal is gone.
    master: Option<File>,
    /// Held open, so that the terminal's modes can be read after the program's end.
    slave: Option<OwnedFd>,
    modes_before: libc::termios,
    shown: Arc<Shown>,
    reader: Option<JoinHandle<()>>,
}

/// What the terminal has got.
pub struct Shown {
    state: Mutex<State>,
    /// How many bytes it takes a second; 0 for no bound.
    bytes_per_second: AtomicU64,
    answers: AtomicBool,
}

struct State {
    parser: vt100::Parser,
    frames: Frames,
    bytes: Vec<u8>,
}

/// A cell of the screen: its text, its colours, and whether it is bold, dim, underlined and reversed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    pub text: String,
    pub is_wide: bool,
    /// The second half of a wide one.
    pub is_rest: bool,
    pub fg: vt100::Color,
    pub bg: vt100::Color,
    pub bold: bool,
    pub dim: bool,
    pub underlined: bool,
    pub reversed: bool,
}

impl Screen {
    pub fn start(command: Command, columns: u16, rows: u16) -> Self {
        Self::start_with(command, columns, rows, true)
    }

    /// The same for a terminal that may not answer questions.
    pub fn start_with(command: Command, columns: u16, rows: u16, answers: bool) -> Self {
        Self::start_on(command, (columns, rows), answers, true)
    }

    /// The same on a terminal that may not be that of the program's session. Then it sends no signals.
    pub fn start_in(command: Command, columns: u16, rows: u16, is_of_session: bool) -> Self {
        Self::start_on(command, (columns, rows), true, is_of_session)
    }

    fn start_on(mut command: Command, (columns, rows): (u16, u16), answers: bool, is_of_session: bool) -> Self {
        let (master, slave) = open(columns, rows);
        let modes_before = modes(&slave);
        let stdio = || slave.try_clone().expect("a descriptor can be copied");
        command.stdin(stdio()).stdout(stdio()).stderr(stdio());
        // SAFETY: between fork and exec, only async-signal-safe calls are made.
        unsafe { command.pre_exec(move || if is_of_session { become_session_leader() } else { leave_session() }) };
        let child = command.spawn().expect("the program starts");
        drop(command);
        let parser = vt100::Parser::new(cells(rows), cells(columns), 0);
        let state = State { parser, frames: Frames::new(columns, rows), bytes: Vec::new() };
        let shown = Arc::new(Shown {
            state: Mutex::new(state),
            bytes_per_second: AtomicU64::new(0),
            answers: AtomicBool::new(answers),
        });
        let (reading, output) = (Arc::clone(&shown), master.try_clone().expect("a descriptor can be copied"));
        let reader = thread::spawn(move || reading.read(output));
        Self { child, master: Some(master), slave: Some(slave), modes_before, shown, reader: Some(reader) }
    }

    /// The terminal takes this many bytes a second from now on.
    pub fn slow_down(&self, bytes_per_second: u64) {
        self.shown.bytes_per_second.store(bytes_per_second, Ordering::SeqCst);
    }

    pub fn press(&mut self, keys: &str) {
        let master = self.master.as_mut().expect("the terminal is there");
        master.write_all(keys.as_bytes()).expect("the terminal takes input");
    }

    /// The rows of the screen.
    pub fn rows(&self) -> Vec<String> {
        let state = self.shown.lock();
        let columns = state.parser.screen().size().1;
        state.parser.screen().rows(0, columns.get()).map(|row| row.trim_end().to_owned()).collect()
    }

    pub fn text(&self) -> String {
        self.rows().join("\n")
    }

    /// The cells of each row.
    pub fn cells(&self) -> Vec<Vec<Cell>> {
        let state = self.shown.lock();
        let screen = state.parser.screen();
        let (rows, columns) = screen.size();
        let cell = |row, column| {
            let cell = screen.cell(row, column).expect("it is on the screen");
            let (underlined, reversed) = (cell.underline(), cell.inverse());
            let is_blank = matches!(cell.contents(), "" | " ") && !cell.is_wide_continuation();
            // What doesn't show on a blank is not compared.
            let shows = !is_blank || underlined || reversed;
            Cell {
                text: if is_blank { " " } else { cell.contents() }.to_owned(),
                is_wide: cell.is_wide(),
                is_rest: cell.is_wide_continuation(),
                fg: if shows { cell.fgcolor() } else { vt100::Color::Default },
                bg: cell.bgcolor(),
                bold: shows && cell.bold(),
                dim: shows && cell.dim(),
                underlined,
                reversed,
            }
        };
        (0..rows.get()).map(|row| (0..columns.get()).map(|column| cell(row, column)).collect()).collect()
    }

    /// The row and the column of the cursor, unless it is hidden.
    pub fn cursor(&self) -> Option<(u16, u16)> {
        let state = self.shown.lock();
        let screen = state.parser.screen();
        (!screen.hide_cursor()).then(|| screen.cursor_position())
    }

    /// Asserts that the client has written nothing that it must not: see [`Frames`]. Returns how many frames have drawn
    /// the whole screen. After a change of the size, call it when the client is quiet.
    pub fn assert_frames(&self) -> usize {
        let (faults, redraws) = {
            let mut state = self.shown.lock();
            state.frames.settled();
            (state.frames.faults().to_vec(), state.frames.redraws)
        };
        assert_eq!(faults, Vec::<String>::new());
        redraws
    }

    /// All that was written to the terminal.
    pub fn bytes(&self) -> Vec<u8> {
        self.shown.lock().bytes.clone()
    }

    pub fn wait_for(&self, part: &str) {
        self.wait_until(&format!("{part:?}"), |text| text.contains(part));
    }

    pub fn wait_until_gone(&self, part: &str) {
        self.wait_until(&format!("no {part:?}"), |text| !text.contains(part));
    }

    pub fn wait_until(&self, what: &str, condition: impl Fn(&str) -> bool) {
        let deadline = Instant::now() + DEADLINE;
        while !condition(&self.text()) {
            assert!(Instant::now() < deadline, "timed out waiting for {what} on\n{}", self.text());
            thread::park_timeout(Duration::from_millis(2));
        }
    }

    /// Waits until nothing was written for a while.
    pub fn wait_until_quiet(&self) {
        let (mut length, mut since) = (self.shown.lock().bytes.len(), Instant::now());
        let deadline = Instant::now() + DEADLINE;
        while since.elapsed() < Duration::from_millis(150) {
            assert!(Instant::now() < deadline, "the client writes all the time");
            thread::park_timeout(Duration::from_millis(5));
            let now = self.shown.lock().bytes.len();
            if now != length {
                (length, since) = (now, Instant::now());
            }
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: libc::c_int) {
        // SAFETY: the process is our child and was not waited for, so its id can't have passed to another.
        unsafe { libc::kill(self.child.id() as libc::pid_t, signal) };
    }

    pub fn resize(&self, columns: u16, rows: u16) {
        {
            let mut state = self.shown.lock();
            state.parser.screen_mut().set_size(cells(rows), cells(columns));
            state.frames.resized(columns, rows);
        }
        set_size(self.master.as_ref().expect("the terminal is there"), columns, rows);
    }

    /// Whether the terminal reads keys as they are pressed.
    pub fn is_raw(&self) -> bool {
        modes(self.slave.as_ref().expect("the terminal is there")).c_lflag & libc::ICANON == 0
    }

    /// The state of the process, such as `S`, or `T` if it is stopped.
    pub fn process_state(&self) -> char {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap_or_default();
        stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next()).unwrap_or('?')
    }

    /// The names of its threads, without those that the gRPC library has started and the first one.
    pub fn thread_names(&self) -> Vec<String> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid())).expect("the process is there").flatten();
        let others = tasks.filter(|task| *task.file_name() != *self.pid().to_string());
        let names = others.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
        let names = names.map(|name| name.trim_end().to_owned());
        names.filter(|name| !LIBRARY_THREADS.contains(&name.as_str()) && !name.starts_with("grpc-")).collect()
    }

    /// The processor time that the process has used.
    pub fn cpu_time(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).expect("the process is there");
        let fields: Vec<_> = stat.rsplit_once(") ").expect("a name ends").1.split(' ').collect();
        let ticks: u64 = [11, 12].iter().map(|at| fields[*at].parse::<u64>().expect("a number")).sum();
        // SAFETY: no memory is involved.
        let per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) } as u64;
        Duration::from_millis(ticks * 1000 / per_second)
    }

    /// How much memory it occupies, in KiB.
    pub fn rss_kib(&self) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("the process is there");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("the kernel reports VmRSS");
        line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number of KiB")
    }

    /// The terminal goes away, as when its window is closed.
    pub fn hang_up(&mut self) {
        // The reader has a descriptor too: it ends when the program has closed the other side, or here.
        self.slave = None;
        self.shown.bytes_per_second.store(u64::MAX, Ordering::SeqCst);
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        self.master = None;
    }

    /// Waits for the program's end. Returns its exit code, or its signal as a negative number.
    pub fn end(&mut self) -> i32 {
        let (child, mut status) = (&mut self.child, None);
        wait_for("the program's end", || {
            status = child.try_wait().expect("the program is our child");
            status.is_some()
        });
        let status = status.expect("it has ended");
        status.code().unwrap_or_else(|| -status.signal().expect("it has a code or a signal"))
    }

    /// The same, and the terminal must be as before: its modes, and those that the program has set, off in the reverse
    /// order.
    pub fn end_restored(&mut self) -> i32 {
        let code = self.end();
        let (before, after) = (self.modes_before, modes(self.slave.as_ref().expect("the terminal is there")));
        assert_eq!((before.c_iflag, before.c_oflag, before.c_lflag), (after.c_iflag, after.c_oflag, after.c_lflag));
        wait_for("the rest of the output", || {
            let bytes = self.bytes();
            let text = String::from_utf8_lossy(&bytes);
            text.rfind("\x1b[?1049l") > text.rfind("\x1b[?1049h")
        });
        assert_restored(&self.bytes());
        code
    }
}

/// Asserts that each mode that was set is off, in the reverse order, and that nothing was drawn afterwards.
pub fn assert_restored(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let start = "\x1b[?2026l\x1b[?7h\x1b[0m";
    let end = text.rfind(start).unwrap_or_else(|| panic!("the modes are not restored: {text:?}"));
    let (before, end) = (&text[..end], &text[end + start.len()..]);
    // Since the terminal was taken last.
    let before = &before[before.rfind(MODES[0].0).expect("the screen was taken")..];
    let is_on = |(on, off): &&(&str, &str)| {
        let (on, off) = (before.rfind(on), before.rfind(off));
        on.is_some() && on > off
    };
    let set: Vec<_> = MODES.iter().filter(is_on).collect();
    let set_at: Vec<_> = set.iter().map(|(on, _)| before.rfind(on)).collect();
    assert!(set.len() >= 4 && set_at.is_sorted(), "{set:?} at {set_at:?}");
    // The cursor is not set: frames hide it.
    let off = ["\x1b[?25h"].into_iter().chain(set.iter().rev().map(|(_, off)| *off));
    let expected: String = off.collect();
    let after = end.strip_prefix(expected.as_str()).unwrap_or_else(|| panic!("{end:?} instead of {expected:?}"));
    assert!(!after.contains('\x1b'), "{after:?}");
}

impl Shown {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("the emulator takes everything")
    }

    fn read(&self, mut terminal: File) {
        let mut buffer = [0; 4096];
        loop {
            let rate = self.bytes_per_second.load(Ordering::SeqCst);
            if rate == u64::MAX {
                return;
            }
            // A slow terminal takes a little every 20 ms.
            let count = if rate == 0 { buffer.len() } else { ((rate / 50) as usize).clamp(1, buffer.len()) };
            if !is_readable(&terminal) {
                continue;
            }
            // The end of a terminal is an error.
            let Ok(count @ 1..) = terminal.read(&mut buffer[..count]) else { return };
            let questions = {
                let mut state = self.lock();
                let before = state.bytes.len().saturating_sub(QUESTION.len() - 1);
                state.bytes.extend(&buffer[..count]);
                state.parser.process(&buffer[..count]);
                state.frames.feed(&buffer[..count]);
                state.bytes[before..].windows(QUESTION.len()).filter(|window| *window == QUESTION).count()
            };
            if self.answers.load(Ordering::SeqCst) {
                (0..questions).for_each(|_| drop(terminal.write_all(ANSWER)));
            }
            if rate > 0 {
                thread::park_timeout(Duration::from_millis(20));
            }
        }
    }
}

/// Begins a session without a terminal.
fn leave_session() -> io::Result<()> {
    // SAFETY: the call is async-signal-safe, and no memory is involved.
    if unsafe { libc::setsid() } == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn cells(count: u16) -> NonZero<u16> {
    NonZero::new(count).expect("a terminal has cells")
}

/// Waits a little for output.
fn is_readable(terminal: &File) -> bool {
    use std::os::fd::AsRawFd as _;
    let mut poll = libc::pollfd { fd: terminal.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: the pointer is to one pollfd.
    unsafe { libc::poll(&raw mut poll, 1, 20) != 0 }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("the screen was\n{}", self.text());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.hang_up();
    }
}
