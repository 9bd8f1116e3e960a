//! Leaving a terminal in order when a signal ends the program, and following its size.

use std::io;
use std::process;
use std::sync::Arc;

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGWINCH};
use signal_hook::iterator::Signals;

use super::input::Outlet;
use super::screen::Screen;
use crate::threads::spawn;

/// What a shell adds to a signal's number for the exit code of a program that the signal ended.
const EXIT_SIGNAL_BASE: i32 = 128;

/// Starts the thread that waits for signals. It ends with the process.
pub fn watch(screen: Arc<Screen>, outlet: Outlet) -> io::Result<()> {
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGWINCH])?;
    spawn("signals", move || {
        for signal in signals.forever() {
            if signal == SIGWINCH {
                screen.resized();
            } else {
                outlet.show_unsent(screen.stop_editing());
                process::exit(EXIT_SIGNAL_BASE + signal);
            }
        }
    })?;
    Ok(())
}
