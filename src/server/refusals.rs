//! Clients that are refused: because a resource has run out, or because they exceed a limit.
//!
//! For each resource, the log gets one line when clients begin to be refused, and one when that is over. For the
//! limits, it gets one line a minute at most: how many times each was exceeded, and the address that did it most.
//!
//! Clients are refused on pollers, thousands of times a second. They count refusals here, and a separate thread logs them.
//! It sleeps while no client is refused.

mod limit;
mod shortage;

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

pub use self::limit::Limit;
use self::limit::{Exceeded, LIMIT_COUNT, Summary};
pub use self::shortage::Shortage;
use self::shortage::{Episode, EpisodeChange, KINDS, SHORTAGES};
use crate::limits::REFUSALS_CHECK_INTERVAL;
use crate::server::network::Source;
use crate::threads;

/// Counts refusals.
#[derive(Debug, Default)]
pub struct Refusals {
    // lock order: 3 (a leaf)
    state: Mutex<RefusalsState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct RefusalsState {
    counts: [u64; KINDS],
    exceeded: Exceeded,
    /// The same since the start of the server: shortages, and exceeded limits.
    shortages_in_all: [u64; KINDS],
    limits_in_all: [u64; LIMIT_COUNT],
    /// The last error of accept(2).
    error: i32,
    /// The thread sleeps until a client is refused.
    asleep: bool,
    closed: bool,
}

impl Refusals {
    /// Counts one refusal. Called on pollers: does not block.
    pub fn count(&self, shortage: Shortage) {
        self.change(|state| {
            state.counts[shortage.kind()] += 1;
            state.shortages_in_all[shortage.kind()] += 1;
            if let Shortage::System(error) = shortage {
                state.error = error;
            }
        });
    }

    /// Counts a client that exceeded a limit; a client of a Unix socket has no address. Called on pollers: does not
    /// block.
    pub fn exceeded(&self, limit: Limit, source: Option<Source>) {
        self.change(|state| {
            state.exceeded.count(limit, source);
            state.limits_in_all[limit.place()] += 1;
        });
    }

    /// How many refusals there were since the start of the server, by the name of the limit or of what ran short.
    pub fn in_all(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let (shortages, limits) = {
            let state = self.state.lock();
            (state.shortages_in_all, state.limits_in_all)
        };
        SHORTAGES.into_iter().zip(shortages).chain(Limit::all().map(Limit::word).zip(limits))
    }

    fn change(&self, change: impl FnOnce(&mut RefusalsState)) {
        let mut state = self.state.lock();
        change(&mut state);
        let wake = std::mem::take(&mut state.asleep);
        drop(state);
        if wake {
            self.changed.notify_one();
        }
    }

    /// Waits for refusals, or for the next check during a shortage. `None` means that the server has ended.
    fn wait(&self, goes_on: bool) -> Option<([u64; KINDS], i32, Exceeded)> {
        let next = Instant::now() + REFUSALS_CHECK_INTERVAL;
        let mut state = self.state.lock();
        while !state.closed {
            if goes_on {
                if self.changed.wait_until(&mut state, next).timed_out() {
                    break;
                }
            } else if state.is_empty() {
                state.asleep = true;
                self.changed.wait(&mut state);
            } else {
                break;
            }
        }
        let is_last = state.closed && state.is_empty();
        (!is_last).then(|| (std::mem::take(&mut state.counts), state.error, std::mem::take(&mut state.exceeded)))
    }
}

impl RefusalsState {
    fn is_empty(&self) -> bool {
        self.counts == [0; KINDS] && self.exceeded.is_empty()
    }
}

/// Owns the thread that logs, and ends it.
pub struct Logger {
    refusals: Arc<Refusals>,
    thread: Option<JoinHandle<()>>,
}

impl Logger {
    pub fn start(clients_max: usize) -> io::Result<Self> {
        let refusals = Arc::new(Refusals::default());
        let counted = Arc::clone(&refusals);
        let log = move || {
            let mut episodes = [const { Episode::new() }; KINDS];
            let mut summary = Summary::default();
            let goes_on = |episodes: &[Episode], summary: &Summary| {
                summary.is_due_later() || episodes.iter().any(Episode::goes_on)
            };
            while let Some((counts, error, exceeded)) = counted.wait(goes_on(&episodes, &summary)) {
                if let Some(line) = summary.step(Instant::now(), exceeded) {
                    log::warn!("{line}");
                }
                for (kind, episode) in episodes.iter_mut().enumerate() {
                    let shortage = Shortage::of_kind(kind, error);
                    match episode.step(Instant::now(), counts[kind]) {
                        None => {}
                        Some(EpisodeChange::Begins) => log::warn!("{}", shortage.begins(clients_max)),
                        Some(EpisodeChange::IsOver { refused, time }) => {
                            log::info!("{}", shortage.is_over(refused, time))
                        }
                    }
                }
            }
            if let Some(line) = summary.end() {
                log::warn!("{line}");
            }
        };
        let thread = threads::spawn("refusals", log)?;
        Ok(Self { refusals, thread: Some(thread) })
    }

    pub fn refusals(&self) -> &Arc<Refusals> {
        &self.refusals
    }
}

impl Drop for Logger {
    fn drop(&mut self) {
        self.refusals.state.lock().closed = true;
        self.refusals.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic has been reported already.
            let _ = thread.join();
        }
    }
}
