//! Warnings before a bound is reached, so that an operator can act before clients are refused.
//!
//! The log gets one line when four fifths of a bound are used, and the next one only after less than seven tenths were
//! used in between; one line in [`GAUGES_LOG_INTERVAL`] at most for each resource. The thread that takes a part of a
//! resource reports how much is used. That may be a poller, so a separate thread makes the lines. It sleeps until there is
//! a warning.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

use crate::limits::{GAUGE_HIGH_PERCENT, GAUGE_LOW_PERCENT, GAUGES_LOG_INTERVAL};
use crate::threads;

/// A bounded resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    Clients,
    Connections,
    Rooms,
    /// The free space of the disk: it is used up when only the reserve is left.
    Disk,
}

const RESOURCES: [Resource; 4] = [Resource::Clients, Resource::Connections, Resource::Rooms, Resource::Disk];

/// How much of a resource is used. Of the disk: what is free, and the reserve, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Level {
    pub used: u64,
    pub max: u64,
}

/// How much of each resource is used.
#[derive(Debug, Default)]
pub struct Gauges {
    /// Whether much of a resource is used, so that it is logged once.
    are_high: [AtomicBool; RESOURCES.len()],
    /// What was reported last: how much is used, and how much there is.
    last: [(AtomicU64, AtomicU64); RESOURCES.len()],
    // lock order: 3 (a leaf)
    state: Mutex<GaugesState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct GaugesState {
    /// The warnings that are not logged yet.
    warnings: [Option<Level>; RESOURCES.len()],
    closed: bool,
}

impl Gauges {
    /// Reports how much of a resource is used, and how much there is. Does not block.
    pub fn report(&self, resource: Resource, used: usize, max: usize) {
        let (used, max) = (used as u64, max as u64);
        let percent = u128::from(used) * 100;
        let is_high = percent >= u128::from(max) * GAUGE_HIGH_PERCENT;
        let is_low = percent < u128::from(max) * GAUGE_LOW_PERCENT;
        self.change(resource, is_high, is_low, Level { used, max });
    }

    /// Reports how much of the disk is free, and how much of that is its reserve, in bytes. Much is used when less than
    /// five quarters of the reserve are free, until more than one and a half are. Does not block.
    pub fn report_disk(&self, free: u64, reserve: u64) {
        let is_high = free < reserve.saturating_add(reserve / 4);
        let is_low = free >= reserve.saturating_add(reserve / 2);
        self.change(Resource::Disk, is_high, is_low, Level { used: free, max: reserve });
    }

    /// What was reported last of a resource; zeros before the first report.
    pub fn last(&self, resource: Resource) -> Level {
        let (used, max) = &self.last[resource as usize];
        Level { used: used.load(Ordering::Relaxed), max: max.load(Ordering::Relaxed) }
    }

    fn change(&self, resource: Resource, is_high: bool, is_low: bool, level: Level) {
        let (used, max) = &self.last[resource as usize];
        used.store(level.used, Ordering::Relaxed);
        max.store(level.max, Ordering::Relaxed);
        let was_high = &self.are_high[resource as usize];
        if is_low && was_high.load(Ordering::Relaxed) {
            was_high.store(false, Ordering::Relaxed);
        }
        if is_high && !was_high.load(Ordering::Relaxed) && !was_high.swap(true, Ordering::Relaxed) {
            self.state.lock().warnings[resource as usize] = Some(level);
            self.changed.notify_one();
        }
    }

    /// Waits for warnings. `None` means that the server has ended.
    fn wait(&self) -> Option<[Option<Level>; RESOURCES.len()]> {
        let mut state = self.state.lock();
        while !state.closed && state.warnings == [None; RESOURCES.len()] {
            self.changed.wait(&mut state);
        }
        let warnings = std::mem::take(&mut state.warnings);
        (!state.closed || warnings != [None; RESOURCES.len()]).then_some(warnings)
    }
}

impl Resource {
    fn line(self, Level { used, max }: Level) -> String {
        let beyond = "beyond the maximum they are refused";
        match self {
            Self::Clients => {
                format!("{used} of {max} possible clients are connected; {beyond}: allow more with --clients-max")
            }
            Self::Connections => {
                format!("{used} of {max} possible connections are open; {beyond}: allow more with --connections-max")
            }
            Self::Rooms => format!(
                "the log has {used} of {max} possible rooms; {beyond}: delete rooms with hubbub-server room delete, or allow more \
                 with --rooms-max"
            ),
            Self::Disk => format!(
                "{} MB of the disk are free, and messages are refused below {} MB (--disk-reserve): free space, delete rooms with \
                 hubbub-server room delete, or bound the log with --log-bytes-max",
                used / 1_000_000,
                max / 1_000_000
            ),
        }
    }
}

/// Owns the thread that logs, and ends it.
pub struct GaugeLogger {
    gauges: Arc<Gauges>,
    thread: Option<JoinHandle<()>>,
}

impl GaugeLogger {
    pub fn start() -> io::Result<Self> {
        let gauges = Arc::<Gauges>::default();
        let reported = Arc::clone(&gauges);
        let log = move || {
            let mut logged: [Option<Instant>; RESOURCES.len()] = [None; RESOURCES.len()];
            while let Some(warnings) = reported.wait() {
                for ((resource, warning), logged) in RESOURCES.into_iter().zip(warnings).zip(&mut logged) {
                    let Some(level) = warning else { continue };
                    if logged.is_none_or(|at| at.elapsed() >= GAUGES_LOG_INTERVAL) {
                        log::warn!("{}", resource.line(level));
                        *logged = Some(Instant::now());
                    }
                }
            }
        };
        let thread = threads::spawn("gauges", log)?;
        Ok(Self { gauges, thread: Some(thread) })
    }

    pub fn gauges(&self) -> &Arc<Gauges> {
        &self.gauges
    }
}

impl Drop for GaugeLogger {
    fn drop(&mut self) {
        self.gauges.state.lock().closed = true;
        self.gauges.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic has been reported already.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warning(gauges: &Gauges, resource: Resource) -> Option<Level> {
        gauges.state.lock().warnings[resource as usize].take()
    }

    #[test]
    fn a_resource_is_reported_once_until_less_is_used() {
        let gauges = Gauges::default();
        let mut report = |used: usize| {
            gauges.report(Resource::Rooms, used, 1_000);
            gauges.report(Resource::Clients, 0, 1_000);
            warning(&gauges, Resource::Rooms).map(|level| level.used)
        };
        assert_eq!(
            [0, 799, 800, 801, 1_000, 700, 800].map(&mut report),
            [None, None, Some(800), None, None, None, None]
        );
        assert_eq!([699, 799, 900, 900].map(&mut report), [None, None, Some(900), None]);
        assert_eq!(warning(&gauges, Resource::Clients), None);
        assert_eq!(gauges.last(Resource::Rooms), Level { used: 900, max: 1_000 });
        assert_eq!(gauges.last(Resource::Disk), Level::default());
    }

    #[test]
    fn the_disk_is_reported_near_its_reserve() {
        let gauges = Gauges::default();
        let mut report = |free: u64| {
            gauges.report_disk(free, 1_000);
            warning(&gauges, Resource::Disk).map(|level| level.used)
        };
        assert_eq!(
            [9_000, 1_250, 1_249, 10, 1_499, 1_200].map(&mut report),
            [None, None, Some(1_249), None, None, None]
        );
        assert_eq!([1_500, 1_249].map(&mut report), [None, Some(1_249)]);
        gauges.report_disk(1_500, 1_000);
        // All of the disk may be used.
        gauges.report_disk(0, 0);
        assert_eq!(warning(&gauges, Resource::Disk), None);
    }
}
