//! Ctrl-C and SIGTERM during a run: the first stops sending, so that the sent messages are verified and reported; the
//! second, or one before the first message, ends the program at once.

use std::io;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use parking_lot::Mutex;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::progress::Progress;
use crate::threads::spawn;

/// Added to a signal's number for the exit code of a program that the signal ended, as shells do.
const EXIT_SIGNAL_BASE: i32 = 128;

/// Whether a run was interrupted.
#[derive(Default)]
pub struct Interrupt {
    /// The signal's number; 0 before there was one.
    signal: AtomicI32,
    /// The action for the first signal; `None` before the first message, and after it was run.
    stop: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Interrupt {
    /// Starts the thread that waits for signals. It ends with the process.
    pub fn watch(progress: Progress) -> io::Result<Arc<Self>> {
        let mut signals = Signals::new([SIGINT, SIGTERM])?;
        let interrupt = Arc::new(Self::default());
        let noted = Arc::clone(&interrupt);
        spawn("signals", move || {
            for signal in signals.forever() {
                let stop = noted.stop.lock().take();
                let Some(stop) = stop else {
                    progress.stop();
                    progress.notice("interrupted: no report");
                    process::exit(EXIT_SIGNAL_BASE + signal);
                };
                noted.signal.store(signal, Ordering::SeqCst);
                progress.notice("interrupted: waiting for the sent messages; interrupt again to exit without a report");
                stop();
            }
        })?;
        Ok(interrupt)
    }

    /// Sets the action for the first signal.
    pub fn on_first(&self, stop: impl FnOnce() + Send + 'static) {
        *self.stop.lock() = Some(Box::new(stop));
    }

    /// Whether there was a signal.
    pub fn is_raised(&self) -> bool {
        self.signal.load(Ordering::SeqCst) != 0
    }

    /// The exit code of a program that was interrupted, if this one was.
    pub fn exit_code(&self) -> Option<u8> {
        self.is_raised().then(|| (EXIT_SIGNAL_BASE + self.signal.load(Ordering::SeqCst)) as u8)
    }
}
