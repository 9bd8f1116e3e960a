//! Starts a named thread, and waits for its end.

use std::io;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::bounded;

use super::panics;
use crate::limits::STACK_BYTES;

/// How much of a thread's name the system shows.
pub const NAME_BYTES_MAX: usize = 15;

/// Starts a thread. The name shows in `top -H`, debuggers and logs; Linux shows 15 bytes of it.
pub fn spawn<T: Send + 'static>(name: &str, body: impl FnOnce() -> T + Send + 'static) -> io::Result<JoinHandle<T>> {
    debug_assert!(name.len() <= NAME_BYTES_MAX, "thread name {name} is cut by the system");
    let own = name.to_owned();
    Builder::new().name(own.clone()).stack_size(STACK_BYTES).spawn(move || {
        panics::start_of(&own);
        body()
    })
}

/// Fails if the system refuses this many more threads now. Asked before the gRPC library starts its threads: it can't
/// report a refusal, but panics, or goes on without threads that it needs.
pub fn check_available(count: usize) -> io::Result<()> {
    let (end, wait) = bounded::<()>(0);
    let probe = |_| {
        let wait = wait.clone();
        // Nothing is ever sent: the sending end is dropped.
        spawn("probe", move || wait.recv().is_ok())
    };
    let mut started = Vec::with_capacity(count);
    let refused = (0..count).map(probe).find_map(|thread| thread.map(|thread| started.push(thread)).err());
    drop(end);
    for thread in started {
        let _ = thread.join();
    }
    refused.map_or(Ok(()), Err)
}

/// Waits for a thread until the deadline. `false` means that the deadline passed, and the thread is no longer waited
/// for.
pub fn join_until<T>(thread: JoinHandle<T>, deadline: Instant) -> bool {
    let mut pause = Duration::from_micros(100);
    while !thread.is_finished() {
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::park_timeout(pause);
        pause = (pause * 2).min(Duration::from_millis(5));
    }
    // A panic has been reported already.
    let _ = thread.join();
    true
}

/// Sets the name of the calling thread, as `top -H` and debuggers show it.
pub fn show_name(name: &str) {
    let shown: Vec<u8> = name.bytes().take(NAME_BYTES_MAX).chain([0]).collect();
    // The bytes end with a zero, so they are a C string. A thread whose name is not shown works as well.
    #[cfg(target_os = "linux")]
    if let Ok(shown) = std::ffi::CStr::from_bytes_until_nul(&shown) {
        let _ = rustix::thread::set_name(shown);
    }
}
