//! Signals: restores the terminal when a signal or a panic ends the program, and handles resizes and stops.

use std::io;
use std::panic;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crossbeam_channel::bounded;
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGWINCH};
use signal_hook::iterator::Signals;

use super::input::Destination;
use super::screen::Screen;
use crate::threads::{self, spawn};

/// Added to a signal's number for the exit code of a program that the signal ended, as shells do.
const EXIT_SIGNAL_BASE: i32 = 128;

/// The exit code of a Rust program whose main thread panicked.
const EXIT_PANIC: i32 = 101;

/// How long showing the unsent text may take after a panic: a lock that it needs may be held forever.
const SHOW_TIMEOUT: Duration = Duration::from_secs(2);

/// Starts the thread that waits for signals. It ends with the process.
pub fn watch(screen: Arc<Screen>, destination: Destination) -> io::Result<()> {
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGWINCH, SIGTSTP, SIGCONT])?;
    let unsent = destination.clone();
    restore_on_panic(Arc::clone(&screen), move |draft| unsent.leave(draft, true));
    spawn("signals", move || {
        for signal in signals.forever() {
            match signal {
                SIGWINCH => screen.resized(),
                // Sent by another program: on Ctrl-Z, the terminal sends none.
                SIGTSTP => drop(screen.suspend()),
                SIGCONT => drop(screen.continued()),
                signal => {
                    destination.leave(screen.stop_editing(), signal != SIGINT);
                    process::exit(EXIT_SIGNAL_BASE + signal);
                }
            }
        }
    })?;
    Ok(())
}

/// A panic of any thread ends the program: first the terminal is restored, so that the message is readable and the
/// shell is not left in raw mode.
fn restore_on_panic(screen: Arc<Screen>, show: impl Fn(Option<String>) + Send + Sync + 'static) {
    let show = Arc::new(show);
    let report = panic::take_hook();
    let panicked = AtomicBool::new(false);
    panic::set_hook(Box::new(move |info| {
        if panicked.swap(true, Ordering::SeqCst) {
            // Another thread is ending the program already.
            loop {
                thread::park();
            }
        }
        let draft = screen.stop_after_panic();
        // The program ends below, with the unsent text shown.
        threads::owned();
        report(info);
        let (done, shown) = bounded::<()>(1);
        let show = Arc::clone(&show);
        let show = move || {
            show(draft);
            drop(done);
        };
        if spawn("unsent", show).is_ok() {
            let _ = shown.recv_timeout(SHOW_TIMEOUT);
        }
        process::exit(EXIT_PANIC);
    }));
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::fs::File;
    use std::io::Read as _;
    use std::os::fd::OwnedFd;
    use std::process::Command;

    use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
    use rustix::termios::{InputModes, LocalModes, tcgetattr};

    use super::*;
    use crate::terminal::screen::Aids;

    /// The test runs itself on a terminal with this variable set.
    const ON_TERMINAL: &str = "HUBBUB_TEST_PANIC";

    fn terminal() -> (File, OwnedFd) {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
        let master = openpt(flags | OpenptFlags::CLOEXEC).unwrap();
        unlockpt(&master).unwrap();
        let slave = ioctl_tiocgptpeer(&master, flags | OpenptFlags::CLOEXEC).unwrap();
        (master.into(), slave)
    }

    fn modes(terminal: &OwnedFd) -> (InputModes, LocalModes) {
        let modes = tcgetattr(terminal).unwrap();
        (modes.input_modes, modes.local_modes)
    }

    /// Edits, and panics while the screen's lock is held: the candidates are requested under it.
    fn panic_on_terminal() {
        let screen = Arc::new(Screen::default());
        restore_on_panic(Arc::clone(&screen), |_| {});
        let prompt = Box::new(|| "> ".to_owned());
        screen.start_editing(Aids { candidates: Box::new(|_| panic!("a test panics")), prompt }).unwrap();
        let typing = Arc::clone(&screen);
        let _ = thread::spawn(move || typing.typed(b"half a thought\t")).join();
    }

    /// A regression: a panic left the terminal in raw mode with bracketed paste, its message was printed without
    /// carriage returns, and the other threads continued to draw over the shell's prompt.
    #[test]
    fn a_panic_restores_the_terminal_and_ends_the_program() {
        if env::var_os(ON_TERMINAL).is_some() {
            return panic_on_terminal();
        }
        let (mut master, slave) = terminal();
        let before = modes(&slave);
        let mut command = Command::new(env::current_exe().unwrap());
        let name = "terminal::signals::tests::a_panic_restores_the_terminal_and_ends_the_program";
        command.args(["--exact", name, "--nocapture"]).env(ON_TERMINAL, "1");
        let stdio = || slave.try_clone().unwrap();
        let mut child = command.stdin(stdio()).stdout(stdio()).stderr(stdio()).spawn().unwrap();
        drop(command);
        assert_eq!(child.wait().unwrap().code(), Some(EXIT_PANIC));
        assert_eq!(modes(&slave), before);
        let mut shown = vec![0; 64 * 1024];
        // All of it fits into the terminal's buffer, and is there by now.
        let count = master.read(&mut shown).unwrap();
        let shown = String::from_utf8_lossy(&shown[..count]).into_owned();
        let (on, off) = (shown.rfind("\x1b[?2004h").unwrap(), shown.rfind("\x1b[?2004l").unwrap());
        assert!(on < off && shown[off..].contains("a test panics"), "{shown:?}");
    }
}
