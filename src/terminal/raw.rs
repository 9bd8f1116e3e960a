//! The terminal's modes and size: the few system calls that the standard library doesn't wrap.

use std::io;
use std::os::fd::AsFd;
use std::ptr;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, write};
use rustix::stdio::{stdin, stdout};
use rustix::termios::{
    InputModes, LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetwinsize, tcsetattr,
};

/// The assumed width of a terminal that doesn't report one.
const DEFAULT_COLUMNS: usize = 80;

/// Raw mode of the terminal on standard input: each key is read as it is pressed, without echo. Ends when dropped.
pub struct RawMode {
    before: Termios,
    raw: Termios,
}

impl RawMode {
    pub fn enter() -> io::Result<Self> {
        let before = tcgetattr(stdin())?;
        let mut raw = before.clone();
        raw.input_modes -= InputModes::BRKINT
            | InputModes::ICRNL
            | InputModes::INLCR
            | InputModes::IGNCR
            | InputModes::INPCK
            | InputModes::ISTRIP
            | InputModes::IXON;
        // Output keeps its processing: `\n` goes to the start of the next row, as everywhere.
        raw.local_modes -=
            LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ICANON | LocalModes::IEXTEN | LocalModes::ISIG;
        raw.special_codes[SpecialCodeIndex::VMIN] = 1;
        raw.special_codes[SpecialCodeIndex::VTIME] = 0;
        set(&raw)?;
        Ok(Self { before, raw })
    }

    /// Sets the modes again, which a shell may have changed while this program was stopped.
    pub fn enter_again(&self) -> io::Result<()> {
        set(&self.raw)
    }
}

impl Drop for RawMode {
    /// Restores the earlier modes.
    fn drop(&mut self) {
        // A terminal that is gone need not be restored.
        let _ = set(&self.before);
    }
}

/// Waits until standard input can be read, or has ended. False means that the timeout has elapsed.
pub fn wait_for_input(timeout: Duration) -> io::Result<bool> {
    // A timeout that the system can't represent means no timeout.
    let timeout = Timespec::try_from(timeout).ok();
    match poll(&mut [PollFd::new(&stdin(), PollFlags::IN)], timeout.as_ref()) {
        Err(Errno::INTR) => wait_for_input(Duration::from_millis(30)),
        Err(error) => Err(error.into()),
        Ok(ready) => Ok(ready > 0),
    }
}

/// How many columns the output has, if it is a terminal.
pub fn columns(output: &impl AsFd) -> Option<usize> {
    let size = tcgetwinsize(output).ok()?;
    Some(if size.ws_col > 0 { usize::from(size.ws_col) } else { DEFAULT_COLUMNS })
}

/// Stops this process, as the terminal does on Ctrl-Z. Returns when it is continued, or at once if no process could
/// continue it.
pub fn suspend() {
    // SAFETY: an action of all zeros is valid, and that of SIG_DFL; both pointers are to one action, which outlives the
    // calls. The signal is raised for this thread, so it has taken effect when the call returns.
    unsafe {
        let mut default: libc::sigaction = std::mem::zeroed();
        default.sa_sigaction = libc::SIG_DFL;
        let mut before: libc::sigaction = std::mem::zeroed();
        let caught = libc::sigaction(libc::SIGTSTP, &raw const default, &raw mut before) == 0;
        libc::raise(libc::SIGTSTP);
        if caught {
            libc::sigaction(libc::SIGTSTP, &raw const before, ptr::null_mut());
        }
    }
}

/// Writes to standard output without locks and buffers, unless the terminal is stalled.
pub fn write_directly(text: &str) {
    if poll(&mut [PollFd::new(&stdout(), PollFlags::OUT)], Some(&Timespec::default())) == Ok(1) {
        let _ = write(stdout(), text.as_bytes());
    }
}

fn set(modes: &Termios) -> io::Result<()> {
    // At once: typed-ahead input stays, and a stalled terminal does not block. Earlier output is not affected, since
    // the output modes are unchanged.
    Ok(tcsetattr(stdin(), OptionalActions::Now, modes)?)
}
