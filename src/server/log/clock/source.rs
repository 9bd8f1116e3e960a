//! The source of time: the machine's clocks, or those of a test.

use std::time::SystemTime;

use super::times::millis;

/// A reading of a machine's clocks, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The clock: since 1970.
    pub wall_ms: u64,
    /// Since a fixed moment while the machine runs; it also counts while the machine sleeps.
    pub passed_ms: u64,
}

/// The source of readings.
pub trait TimeSource: Send {
    fn read(&self) -> Reading;
}

/// The machine's own clocks.
#[derive(Debug, Default)]
pub struct Machine;

impl TimeSource for Machine {
    fn read(&self) -> Reading {
        Reading { wall_ms: millis(SystemTime::now()), passed_ms: passed_ms() }
    }
}

#[cfg(target_os = "linux")]
fn passed_ms() -> u64 {
    // Linux has this clock since 2.6.39.
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    time.tv_sec as u64 * 1000 + time.tv_nsec as u64 / 1_000_000
}

#[cfg(not(target_os = "linux"))]
fn passed_ms() -> u64 {
    use std::sync::OnceLock;
    use std::time::Instant;
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_millis() as u64
}
