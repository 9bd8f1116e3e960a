//! The server as a service of systemd: readiness, reloads, and the watchdog.

use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;
use std::{io, mem};

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use hubbub::address::Address;
use hubbub::server::Server;
use hubbub::server::pulse::Pulse;
use hubbub::server::reload::Reloader;
use hubbub::supervisor::notify::{Notifier, watchdog_timeout};
use hubbub::threads;
use parking_lot::Mutex;

/// How often the service manager is told that the server is alive, within the time after which it would act.
const BEATS_PER_TIMEOUT: u32 = 3;

/// The service manager, and what it knows.
pub struct Supervised {
    notifier: Notifier,
    // lock order: 3 (a leaf)
    phase: Mutex<Phase>,
}

#[derive(Clone)]
enum Phase {
    Starting {
        /// Whether files were to be read again before anything could do it.
        is_reload_due: bool,
    },
    /// With the status that the service manager shows.
    Serving(String),
    Stopping,
}

/// Owns the thread that answers the service manager's watchdog, and ends it.
pub struct Watchdog {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Supervised {
    pub fn from_environment() -> Arc<Self> {
        Arc::new(Self {
            notifier: Notifier::from_environment(),
            phase: Mutex::new(Phase::Starting { is_reload_due: false }),
        })
    }

    /// Whether there is a service manager to notify.
    pub fn is_present(&self) -> bool {
        self.notifier.is_present()
    }

    /// The server serves on all its addresses. The returned watchdog is to be dropped before the drain.
    pub fn serves(self: &Arc<Self>, server: &Server) -> io::Result<Watchdog> {
        let status = status(server.addresses(), server.http_addresses());
        let before = mem::replace(&mut *self.phase.lock(), Phase::Serving(status.clone()));
        if let (Phase::Starting { is_reload_due: true }, Some(reloader)) = (before, server.reloader()) {
            reloader.request();
        }
        self.notifier.ready(&status);
        match watchdog_timeout().filter(|_| self.is_present()) {
            Some(timeout) => Watchdog::start(Arc::clone(self), server.pulse(), timeout),
            None => Ok(Watchdog { stop: None, thread: None }),
        }
    }

    /// Reads the files again, if there are any. The reloader is there before [`Self::serves`] is called.
    pub fn reload(self: &Arc<Self>, reloader: &OnceLock<Reloader>) {
        let status = match &mut *self.phase.lock() {
            Phase::Serving(status) => Some(status.clone()),
            Phase::Starting { is_reload_due } => {
                *is_reload_due |= reloader.get().is_none();
                None
            }
            Phase::Stopping => None,
        };
        let reloader = reloader.get();
        let Some(status) = status else {
            // The service manager waits for the start, or for the end. Files may have changed since they were read.
            return reloader.iter().for_each(|reloader| reloader.request());
        };
        self.notifier.reloading();
        let own = Arc::clone(self);
        let then = move || own.notifier.ready(&status);
        match reloader {
            Some(reloader) => reloader.request_then(Box::new(then)),
            None => {
                log::info!("there are no files to read again: other changes need a restart");
                then();
            }
        }
    }

    /// The server has begun to drain.
    pub fn stops(&self, cause: &str) {
        *self.phase.lock() = Phase::Stopping;
        self.notifier.stopping(&format!("{cause}: draining"));
    }
}

fn status(addresses: &[Address], http: &[Address]) -> String {
    let list = |addresses: &[Address]| addresses.iter().map(Address::to_string).collect::<Vec<_>>().join(", ");
    let status = format!("listening on {}", list(addresses));
    if http.is_empty() { status } else { format!("{status}; HTTP on {}", list(http)) }
}

impl Watchdog {
    fn start(supervised: Arc<Supervised>, pulse: Pulse, timeout: Duration) -> io::Result<Self> {
        let (stop, stopped) = bounded(0);
        let interval = timeout / BEATS_PER_TIMEOUT;
        let watch = move || {
            let (mut probe, mut is_silent) = (pulse.probe(), false);
            while stopped.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
                match probe.silent() {
                    None => {
                        supervised.notifier.alive();
                        (probe, is_silent) = (pulse.probe(), false);
                    }
                    Some(_) if is_silent => {}
                    Some(what) => {
                        is_silent = true;
                        log::error!(
                            "{what} has not responded for {interval:.1?}: the service manager's watchdog is not answered until it \
                             does, and ends this server after {timeout:.1?}"
                        );
                    }
                }
            }
        };
        Ok(Self { stop: Some(stop), thread: Some(threads::spawn("watchdog", watch)?) })
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic has been reported already.
            let _ = thread.join();
        }
    }
}
