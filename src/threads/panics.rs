//! What a panic of a thread does to its process.
//!
//! Most threads of a server work for all its clients: without its log writer, it would accept clients and store
//! nothing, in silence. So a panic of a thread ends the process, except on a thread whose owner notices the panic and
//! ends what the thread worked for: the threads of a stream, and those of a client's session.
//!
//! The process ends before the thread unwinds, so no other thread sees what the panic left half done. For the data on
//! disk it is the same as a kill.

use std::cell::Cell;
use std::panic;
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

/// The exit code of a process that a panic has ended: `EX_SOFTWARE` in sysexits.h.
pub const EXIT_PANIC: i32 = 70;

/// How long a thread that is to panic waits first, so that the process is in full work.
const PANIC_DELAY: Duration = Duration::from_millis(500);

thread_local! {
    static IS_OWNED: Cell<bool> = const { Cell::new(false) };
}

/// Where a panic was asked for.
static ASKED: OnceLock<String> = OnceLock::new();

/// Makes a panic of any thread end the process with [`EXIT_PANIC`], except on threads that were [`owned`]. For a
/// program's main; a library can't decide this for the program that uses it.
pub fn end_process_on_panic() {
    let report = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        report(info);
        if IS_OWNED.try_with(Cell::get).unwrap_or(false) {
            return;
        }
        let thread = thread::current();
        let name = thread.name().unwrap_or("without a name");
        log::error!("a thread has failed ({name}), so the program ends: this is a bug, please report it");
        log::logger().flush();
        // Without the handlers of exit(), which could wait for this thread or for a lock that it holds.
        signal_hook::low_level::exit(EXIT_PANIC);
    }));
}

/// The owner of the calling thread MUST notice when it panics, and end what the thread worked for.
pub fn owned() {
    IS_OWNED.set(true);
}

/// Asks for a panic in a thread of this name, or at a [`point`]. For tests of what follows.
pub fn ask_for_panic(place: String) {
    let _ = ASKED.set(place);
}

/// Panics if a panic was asked for here.
pub fn point(place: &str) {
    if ASKED.get().is_some_and(|asked| asked == place) {
        panic!("a panic was asked for in {place}");
    }
}

/// Panics a moment later if a panic was asked for in a thread of this name.
pub fn start_of(thread: &str) {
    if ASKED.get().is_some_and(|asked| asked == thread) {
        thread::sleep(PANIC_DELAY);
        point(thread);
    }
}
