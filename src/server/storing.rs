//! Whether messages can be stored, as the server's health shows it.
//!
//! A server that can't store messages gets none from clients that look at its health. So it must find out by itself that
//! it can't, or can again: the log writer checks it at times, also while nothing is posted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::gauges::Gauges;
use super::health::HealthState;
use super::log::{Appender, ClockState, LogError};
use super::reserve::DiskReserve;
use crate::limits::{DISK_WATCH_INTERVAL, STORE_CHECK_FIRST, STORE_CHECK_MAX};

/// Whether messages can be stored. It belongs to the log writer.
pub struct Storing {
    /// `None` for a log in memory.
    reserve: Option<DiskReserve>,
    gauges: Arc<Gauges>,
    health: Arc<HealthState>,
    has_failed: bool,
    /// When to check next, if no message is posted until then.
    check_at: Instant,
    /// How long after a failure. It grows as long as checks succeed and messages fail: a check needs less space.
    check_after: Duration,
}

impl Storing {
    pub fn new(reserve: Option<DiskReserve>, gauges: Arc<Gauges>, health: Arc<HealthState>) -> Self {
        let (check_at, check_after) = (Instant::now(), STORE_CHECK_FIRST);
        Self { reserve, gauges, health, has_failed: false, check_at, check_after }
    }

    /// When to [`Self::check`]; `None` if messages can always be stored.
    pub fn next_check(&self) -> Option<Instant> {
        (self.has_failed || self.reserve.is_some()).then_some(self.check_at)
    }

    /// Checks without a message: the disk has its reserve, the log's files are in their folder, and after a failure,
    /// something small can be written.
    pub fn check(&mut self, appender: &mut dyn Appender, clock: ClockState, now: Instant) -> Result<(), LogError> {
        let checked = self.check_reserve(0, || appender.free_bytes(), now);
        let checked =
            checked.and_then(|()| if self.has_failed { appender.probe(clock) } else { appender.check_files() });
        self.report(checked.as_ref().err(), now);
        checked
    }

    /// An error while the disk has less free space than its reserve, for posts of this many bytes. `log_free` is as in
    /// [`DiskReserve::check`].
    pub fn check_reserve(
        &mut self,
        posted: usize,
        log_free: impl FnOnce() -> u64,
        now: Instant,
    ) -> Result<(), LogError> {
        let Some(reserve) = &mut self.reserve else { return Ok(()) };
        let checked = reserve.check(posted, log_free, now);
        if let Some((free, reserved)) = reserve.found() {
            self.gauges.report_disk(free, reserved);
        }
        checked
    }

    /// Reports an attempt to store messages. An error that concerns some rooms only says nothing about the others.
    pub fn tried(&mut self, error: Option<&LogError>, now: Instant) {
        if error.is_some_and(|error| fault(error).is_none()) {
            return;
        }
        let begins = error.is_some() && !self.has_failed;
        if error.is_none() {
            self.check_after = STORE_CHECK_FIRST;
        }
        self.report(error, now);
        if begins {
            self.check_after = (2 * self.check_after).min(STORE_CHECK_MAX);
        }
    }

    fn report(&mut self, error: Option<&LogError>, now: Instant) {
        let fault = error.and_then(fault);
        let was_failed = std::mem::replace(&mut self.has_failed, fault.is_some());
        match fault {
            Some(fault) => self.health.set_failed(format!("messages can't be stored: {fault}")),
            None if was_failed => self.health.set_recovered(),
            None => {}
        }
        self.check_at = now + if self.has_failed { self.check_after } else { DISK_WATCH_INTERVAL };
    }
}

/// Why no message can be stored, for the operator: the error's own text is for clients.
fn fault(error: &LogError) -> Option<String> {
    match error {
        LogError::Full | LogError::Unavailable(_) => Some(error.to_string()),
        LogError::Reserve => {
            Some("the disk is almost full: it has less free space than its reserve (--disk-reserve)".to_owned())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::health::Health;
    use crate::server::log::sqlite::{self, SyncMode};
    use crate::server::log::{Retention, memory};
    use crate::server::reserve::ReserveSize;

    fn serving() -> Arc<HealthState> {
        let health = Arc::<HealthState>::default();
        health.set_serving();
        health
    }

    #[test]
    fn a_disk_without_its_reserve_is_found_without_a_message() {
        let folder = tempfile::tempdir().unwrap();
        let (mut appender, _log) =
            sqlite::open(folder.path(), SyncMode::Os, false, Retention::default()).expect("a log opens");
        let (health, start) = (serving(), Instant::now());
        let storing = |bytes| {
            let reserve = DiskReserve::new(folder.path().to_owned(), ReserveSize::new(Some(bytes)));
            Storing::new(Some(reserve), Arc::default(), Arc::clone(&health))
        };
        let clock = appender.clock();
        let mut short = storing(u64::MAX);
        assert!(short.next_check().is_some_and(|at| at <= Instant::now()));
        assert_eq!(short.check(&mut appender, clock, start), Err(LogError::Reserve));
        assert!(matches!(health.get(), Health::Failed(reason) if reason.contains("almost full")));
        assert_eq!(short.next_check(), Some(start + STORE_CHECK_FIRST));
        // Space was freed.
        short.reserve = Some(DiskReserve::new(folder.path().to_owned(), ReserveSize::new(Some(0))));
        assert_eq!(short.check(&mut appender, clock, start), Ok(()));
        assert_eq!((health.get(), short.next_check()), (Health::Serving, Some(start + DISK_WATCH_INTERVAL)));
    }

    /// The story: an idle server without its folder stayed ready until the first post.
    #[test]
    fn a_folder_that_is_moved_is_found_without_a_message() {
        let parent = tempfile::tempdir().unwrap();
        let (folder, elsewhere) = (parent.path().join("data"), parent.path().join("elsewhere"));
        let (mut appender, _log) =
            sqlite::open(&folder, SyncMode::Os, false, Retention::default()).expect("a log opens");
        let (health, clock) = (serving(), appender.clock());
        let reserve = DiskReserve::new(folder.clone(), ReserveSize::new(Some(0)));
        let mut storing = Storing::new(Some(reserve), Arc::default(), Arc::clone(&health));
        // The files are not looked at with each check.
        let mut check_until = |is_found: fn(&Health) -> bool| {
            let deadline = Instant::now() + Duration::from_secs(30);
            while !is_found(&health.get()) {
                assert!(Instant::now() < deadline, "{:?}", health.get());
                let _ = storing.check(&mut appender, clock, Instant::now());
                std::thread::park_timeout(Duration::from_millis(10));
            }
        };
        std::fs::rename(&folder, &elsewhere).unwrap();
        check_until(|health| matches!(health, Health::Failed(reason) if reason.contains("was deleted or moved")));
        std::fs::rename(&elsewhere, &folder).unwrap();
        check_until(Health::is_serving);
    }

    #[test]
    fn a_log_that_can_be_written_a_little_is_checked_less_and_less_often() {
        let (mut appender, _log) = memory::open(1_000_000, Retention::default());
        let (health, now) = (serving(), Instant::now());
        let mut storing = Storing::new(None, Arc::default(), Arc::clone(&health));
        assert_eq!(storing.next_check(), None);
        let mut waits = Vec::new();
        for _ in 0..8 {
            storing.tried(Some(&LogError::Full), now);
            assert_eq!(health.get(), Health::Failed("messages can't be stored: the disk is full".to_owned()));
            waits.push((storing.next_check().expect("it has failed") - now).as_secs());
            let clock = appender.clock();
            assert_eq!(storing.check(&mut appender, clock, now), Ok(()));
            assert_eq!(health.get(), Health::Serving);
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 64]);
        storing.tried(Some(&LogError::Damaged("a page".to_owned())), now);
        assert_eq!(health.get(), Health::Serving, "other rooms can store messages");
        storing.tried(None, now);
        storing.tried(Some(&LogError::Full), now);
        assert_eq!(storing.next_check(), Some(now + STORE_CHECK_FIRST));
    }
}
