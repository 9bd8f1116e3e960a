//! The terminal's modes and size: the few system calls that the standard library doesn't wrap.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::ptr;
use std::time::Duration;

/// The assumed width of a terminal that doesn't report one.
const DEFAULT_COLUMNS: usize = 80;

/// The terminal of standard input hands over each key as it is pressed, without echo. Ends when dropped.
pub struct RawMode {
    before: libc::termios,
    raw: libc::termios,
}

impl RawMode {
    pub fn enter() -> io::Result<Self> {
        let mut modes = MaybeUninit::<libc::termios>::uninit();
        // SAFETY: the pointer is to room for one termios, which tcgetattr fills in where it succeeds.
        if unsafe { libc::tcgetattr(libc::STDIN_FILENO, modes.as_mut_ptr()) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: tcgetattr has succeeded, so the modes are filled in.
        let before = unsafe { modes.assume_init() };
        let mut raw = before;
        raw.c_iflag &=
            !(libc::BRKINT | libc::ICRNL | libc::INLCR | libc::IGNCR | libc::INPCK | libc::ISTRIP | libc::IXON);
        // Output keeps its processing: `\n` goes to the start of the next row, as everywhere.
        raw.c_lflag &= !(libc::ECHO | libc::ECHONL | libc::ICANON | libc::IEXTEN | libc::ISIG);
        raw.c_cc[libc::VMIN] = 1;
        raw.c_cc[libc::VTIME] = 0;
        set(&raw)?;
        Ok(Self { before, raw })
    }

    /// Sets the modes again, which a shell may have changed while this program was stopped.
    pub fn enter_again(&self) -> io::Result<()> {
        set(&self.raw)
    }
}

impl Drop for RawMode {
    /// Sets the modes back to what they were.
    fn drop(&mut self) {
        // A terminal that is gone needs no modes.
        let _ = set(&self.before);
    }
}

/// Waits until standard input can be read, or has ended. False means that the time is over.
pub fn wait_for_input(timeout: Duration) -> io::Result<bool> {
    let mut poll = libc::pollfd { fd: libc::STDIN_FILENO, events: libc::POLLIN, revents: 0 };
    let timeout = timeout.as_millis().min(60_000) as libc::c_int;
    // SAFETY: the pointer is to one pollfd, which outlives the call.
    match unsafe { libc::poll(&raw mut poll, 1, timeout) } {
        -1 => match io::Error::last_os_error() {
            e if e.kind() == io::ErrorKind::Interrupted => wait_for_input(Duration::from_millis(30)),
            e => Err(e),
        },
        ready => Ok(ready > 0),
    }
}

/// How many columns the output has, if it is a terminal.
pub fn columns(output: &impl AsRawFd) -> Option<usize> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCGWINSZ writes one winsize, to which the pointer is.
    let told = unsafe { libc::ioctl(output.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) } == 0;
    told.then(|| if size.ws_col > 0 { usize::from(size.ws_col) } else { DEFAULT_COLUMNS })
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
    let mut poll = libc::pollfd { fd: libc::STDOUT_FILENO, events: libc::POLLOUT, revents: 0 };
    // SAFETY: the pointers are to one pollfd, and to as many bytes as the text has.
    unsafe {
        if libc::poll(&raw mut poll, 1, 0) == 1 {
            let _ = libc::write(libc::STDOUT_FILENO, text.as_ptr().cast(), text.len());
        }
    }
}

fn set(modes: &libc::termios) -> io::Result<()> {
    // At once: typed-ahead input stays, and a stalled terminal does not block. Earlier output is not affected, since
    // the output modes are unchanged. SAFETY: the pointer is to valid modes.
    match unsafe { libc::tcsetattr(libc::STDIN_FILENO, libc::TCSANOW, modes) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
