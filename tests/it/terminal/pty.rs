//! A pseudo-terminal with the client on it, and the screen that a user would see.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command};
use std::ptr;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use super::emulator::Emulator;
use crate::support::wait_for;

pub const COLUMNS: usize = 60;
const ROWS: u16 = 24;

/// A program on a terminal of its own. Killed when dropped.
pub struct Pty {
    child: Child,
    master: File,
    /// Held open, so that the terminal's modes can be read after the program's end.
    slave: OwnedFd,
    modes_before: libc::termios,
    emulator: Arc<Mutex<Emulator>>,
    reader: Option<JoinHandle<()>>,
}

impl Pty {
    pub fn start(mut command: Command) -> Self {
        let (master, slave) = open(COLUMNS as u16, ROWS);
        let modes_before = modes(&slave);
        let stdio = || slave.try_clone().expect("a descriptor can be copied");
        command.stdin(stdio()).stdout(stdio()).stderr(stdio());
        // SAFETY: between fork and exec, only async-signal-safe calls are made.
        unsafe { command.pre_exec(become_session_leader) };
        let child = command.spawn().expect("the program starts");
        drop(command);
        let emulator = Arc::new(Mutex::new(Emulator::new(COLUMNS)));
        let (shown, mut output) = (Arc::clone(&emulator), master.try_clone().expect("a descriptor can be copied"));
        let reader = thread::spawn(move || {
            let mut buffer = [0; 4096];
            // The end of a terminal is an error.
            while let Ok(count @ 1..) = output.read(&mut buffer) {
                shown.lock().expect("the emulator takes everything").feed(&buffer[..count]);
            }
        });
        Self { child, master, slave, modes_before, emulator, reader: Some(reader) }
    }

    pub fn press(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).expect("the terminal takes input");
    }

    /// All rows, also those scrolled off the screen, without the times of messages.
    pub fn rows(&self) -> Vec<String> {
        self.timed_rows().into_iter().map(|row| without_time(&row).to_owned()).collect()
    }

    /// The same with the times.
    pub fn timed_rows(&self) -> Vec<String> {
        self.emulator.lock().expect("the emulator accepts the output").rows()
    }

    /// Waits until the last row is this, with the cursor at its end.
    pub fn wait_for_last_row(&self, expected: &str) {
        wait_for(&format!("{expected:?} as the last row"), || {
            let emulator = self.emulator.lock().expect("the emulator accepts the output");
            let rows = emulator.rows();
            let last = rows.last().map_or("", String::as_str);
            last == expected.trim_end() && emulator.cursor() == (rows.len() - 1, expected.chars().count())
        });
    }

    /// Waits for this row.
    pub fn wait_for_row(&self, expected: &str) {
        wait_for(&format!("a row {expected:?}"), || self.rows().iter().any(|row| row == expected));
    }

    pub fn wait_for_row_with(&self, part: &str) {
        wait_for(&format!("a row with {part:?}"), || self.rows().iter().any(|row| row.contains(part)));
    }

    /// While its lock is held, the terminal is not read.
    pub fn emulator(&self) -> Arc<Mutex<Emulator>> {
        Arc::clone(&self.emulator)
    }

    /// Whether the terminal takes no more output until some is read.
    pub fn is_full(&self) -> bool {
        let mut poll = libc::pollfd { fd: self.slave.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
        // SAFETY: the pointer is to one pollfd.
        unsafe { libc::poll(&raw mut poll, 1, 0) == 0 }
    }

    /// Stops the program with SIGSTOP, sets the terminal's modes as a shell does, and continues the program.
    pub fn stop_and_continue(&self) {
        self.signal(libc::SIGSTOP);
        let stat = format!("/proc/{}/stat", self.child.id());
        wait_for("the program to stop", || std::fs::read_to_string(&stat).is_ok_and(|stat| stat.contains(") T ")));
        // SAFETY: the pointer is to valid modes.
        let set = unsafe { libc::tcsetattr(self.slave.as_raw_fd(), libc::TCSANOW, &raw const self.modes_before) };
        assert_eq!(set, 0);
        self.signal(libc::SIGCONT);
        wait_for("raw mode", || modes(&self.slave).c_lflag & libc::ICANON == 0);
    }

    pub fn signal(&self, signal: libc::c_int) {
        // SAFETY: the process is our child and was not waited for, so its id can't have passed to another.
        unsafe { libc::kill(self.child.id() as libc::pid_t, signal) };
    }

    pub fn resize(&self, columns: u16) {
        self.emulator.lock().expect("the emulator accepts the output").resize(columns.into());
        set_size(&self.master, columns, ROWS);
    }

    /// Waits for the program's end, which must restore the terminal unless it was killed. Returns its exit code, or its
    /// signal as a negative number.
    pub fn end(&mut self) -> i32 {
        let child = &mut self.child;
        let mut status = None;
        for _ in 0..30_000 {
            status = child.try_wait().expect("the program is our child");
            if status.is_some() {
                break;
            }
            thread::park_timeout(std::time::Duration::from_millis(1));
        }
        let status = status.expect("the program ended in time");
        if status.signal() == Some(libc::SIGKILL) {
            return -libc::SIGKILL;
        }
        let (before, after) = (self.modes_before, modes(&self.slave));
        assert_eq!((before.c_iflag, before.c_oflag, before.c_lflag), (after.c_iflag, after.c_oflag, after.c_lflag));
        status.code().unwrap_or_else(|| -status.signal().expect("it has a code or a signal"))
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        // The reader ends when the other side is closed.
        let null = File::open("/dev/null").expect("there is a null device");
        self.slave = null.into();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

/// The row without a time at its beginning.
fn without_time(row: &str) -> &str {
    let is_time =
        |start: &str| start.bytes().zip(*b"00:00 ").all(|(c, form)| c == form || form == b'0' && c.is_ascii_digit());
    row.split_at_checked(6).filter(|(start, _)| is_time(start)).map_or(row, |(_, rest)| rest)
}

/// Opens a terminal of that size.
pub fn open(columns: u16, rows: u16) -> (File, OwnedFd) {
    let (mut master, mut slave) = (-1, -1);
    // SAFETY: both pointers are to room for a descriptor; the others may be null.
    let result = unsafe { libc::openpty(&mut master, &mut slave, ptr::null_mut(), ptr::null(), ptr::null()) };
    assert_eq!(result, 0, "a pseudo-terminal is available: {}", io::Error::last_os_error());
    // SAFETY: openpty has succeeded, and both descriptors are ours alone.
    let (master, slave) = unsafe { (File::from_raw_fd(master), OwnedFd::from_raw_fd(slave)) };
    for fd in [master.as_raw_fd(), slave.as_raw_fd()] {
        // SAFETY: no memory is involved.
        unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
    set_size(&master, columns, rows);
    (master, slave)
}

pub fn set_size(master: &File, columns: u16, rows: u16) {
    let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCSWINSZ reads one winsize, to which the pointer is.
    assert_eq!(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) }, 0);
}

pub fn modes(terminal: &OwnedFd) -> libc::termios {
    let mut modes = MaybeUninit::uninit();
    // SAFETY: the pointer is to room for one termios, which is read only where tcgetattr succeeded.
    unsafe {
        assert_eq!(libc::tcgetattr(terminal.as_raw_fd(), modes.as_mut_ptr()), 0);
        modes.assume_init()
    }
}

/// Makes the terminal of standard input the program's own, as a login does.
pub fn become_session_leader() -> io::Result<()> {
    // SAFETY: both calls are async-signal-safe, and no memory is involved.
    let done = unsafe { libc::setsid() != -1 && libc::ioctl(0, libc::TIOCSCTTY as _, 0) != -1 };
    if done { Ok(()) } else { Err(io::Error::last_os_error()) }
}
