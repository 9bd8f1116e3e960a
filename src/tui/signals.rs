//! Signals and panics: each end of the program restores the terminal first.

use std::io;
use std::panic;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Sender, bounded};
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGWINCH};
use signal_hook::iterator::Signals;

use super::guard::Guard;
use super::inlet::{End, Incoming};
use crate::threads::{self, spawn};

/// Added to a signal's number for the exit code of a program that the signal ended, as shells do.
pub const EXIT_SIGNAL_BASE: i32 = 128;

/// The exit code of a Rust program whose main thread panicked.
const EXIT_PANIC: i32 = 101;

/// How long the program may take to end after a signal, and to keep text on the disk after a panic.
const END_TIMEOUT: Duration = Duration::from_secs(3);
const KEEP_TIMEOUT: Duration = Duration::from_secs(1);

/// Starts the thread that waits for signals. It ends with the process.
pub fn watch(incoming: Sender<Incoming>, guard: Arc<Guard>) -> io::Result<()> {
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGWINCH, SIGTSTP, SIGCONT])?;
    spawn("signals", move || {
        let mut is_ending = false;
        for signal in signals.forever() {
            let event = match signal {
                SIGWINCH => Incoming::Resized(guard.size()),
                // Sent by another program: on Ctrl-Z, the terminal sends none.
                SIGTSTP => Incoming::StopAsked,
                SIGCONT => Incoming::Continued,
                signal => {
                    // The model ends the program, unless it can't.
                    if !std::mem::replace(&mut is_ending, signal != SIGINT) {
                        end_in_time(Arc::clone(&guard), signal);
                    }
                    Incoming::End(End::Signal(signal))
                }
            };
            if incoming.send(event).is_err() {
                return;
            }
        }
    })?;
    Ok(())
}

/// Ends the program a while after a signal, unless it has ended. An interrupt may be meant for an editor that the client
/// has started, so it does not end the program by itself.
fn end_in_time(guard: Arc<Guard>, signal: i32) {
    if signal == SIGINT {
        return;
    }
    // Without the thread, the model's end is waited for.
    let _ = spawn("end", move || {
        thread::sleep(END_TIMEOUT);
        guard.leave();
        process::exit(EXIT_SIGNAL_BASE + signal);
    });
}

/// A panic of any thread ends the program: first the terminal is restored, and nobody can draw on it any more; then
/// `keep` keeps what the user has typed.
pub fn restore_on_panic(guard: Arc<Guard>, keep: impl Fn() + Send + Sync + 'static) {
    let keep = Arc::new(keep);
    let report = panic::take_hook();
    let panicked = AtomicBool::new(false);
    panic::set_hook(Box::new(move |info| {
        if panicked.swap(true, Ordering::SeqCst) {
            // Another thread is ending the program already.
            loop {
                thread::park();
            }
        }
        guard.leave();
        // The program ends below.
        threads::owned();
        report(info);
        let (done, kept) = bounded::<()>(1);
        let keep = Arc::clone(&keep);
        let keep = move || {
            keep();
            drop(done);
        };
        // A lock that it needs may be held by this thread.
        if spawn("keep", keep).is_ok() {
            let _ = kept.recv_timeout(KEEP_TIMEOUT);
        }
        process::exit(EXIT_PANIC);
    }));
}
