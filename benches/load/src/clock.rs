//! The time since the start, and a timer that wakes the event loop to the microsecond.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::time::{Instant, SystemTime};

/// Nanoseconds since the start of the run.
#[derive(Clone, Copy)]
pub struct Clock {
    start: Instant,
    /// When it started, in milliseconds since 1970.
    pub start_unix_ms: u64,
}

/// Wakes the event loop once, after a time. epoll's own timeout has a resolution of milliseconds.
pub struct Alarm {
    timer: File,
}

impl Clock {
    pub fn start() -> Clock {
        // With a system clock before 1970, the times in message ids are wrong, which is harmless.
        let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Clock { start: Instant::now(), start_unix_ms: unix.as_millis() as u64 }
    }

    #[inline]
    pub fn now_ns(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }
}

impl Alarm {
    pub fn new() -> io::Result<Alarm> {
        // SAFETY: the call takes no pointers.
        let fd = unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_CLOEXEC | libc::TFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is open, and has no other owner.
        Ok(Alarm { timer: unsafe { File::from_raw_fd(fd) } })
    }

    pub fn fd(&self) -> RawFd {
        self.timer.as_raw_fd()
    }

    /// Sets the time after which it wakes the loop; replaces an earlier one.
    pub fn set(&self, after_ns: u64) -> io::Result<()> {
        const SECOND_NS: u64 = 1_000_000_000;
        let never = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // Zero would turn the timer off.
        let after_ns = after_ns.max(1);
        let time = libc::timespec { tv_sec: (after_ns / SECOND_NS) as _, tv_nsec: (after_ns % SECOND_NS) as _ };
        let spec = libc::itimerspec { it_interval: never, it_value: time };
        // SAFETY: `spec` is valid for the call, and the old value is not requested.
        let result = unsafe { libc::timerfd_settime(self.fd(), 0, &spec, std::ptr::null_mut()) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}
