//! What is known of a session, and what it has done: for the lines that the log gets at its start and at its end.
//!
//! The lines have no body of a message. They are limited, because a client can open streams as fast as it likes (see
//! [`logging`](crate::logging)).

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::close::{CloseReason, THREAD_FAILED};
use crate::logging::SESSION;
use crate::names::{ClientId, UserName};
use crate::server::peer::{self, Transport};

/// What is known of a session, and what it has done.
pub struct SessionRecord {
    id: ClientId,
    peer: String,
    transport: Transport,
    began: Instant,
    /// Its name, and whether that is more than a claim.
    name: OnceLock<(UserName, bool)>,
    posted: AtomicU64,
    /// Written by the holder of the baton only.
    delivered: AtomicU64,
    bytes: AtomicU64,
    ended: OnceLock<CloseReason>,
}

impl SessionRecord {
    /// A session that begins now. `connection` is its connection, as the transport names it.
    pub fn new(id: ClientId, connection: &str, transport: Transport) -> Self {
        Self {
            id,
            peer: peer::shown(connection),
            transport,
            began: Instant::now(),
            name: OnceLock::new(),
            posted: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            ended: OnceLock::new(),
        }
    }

    pub fn id(&self) -> ClientId {
        self.id
    }

    /// The name of its client. The first one is kept.
    pub fn named(&self, name: &UserName, is_verified: bool) {
        if self.name.get().is_none() {
            let _ = self.name.set((name.clone(), is_verified));
        }
    }

    /// Its client has begun to use it. Logs the start.
    pub fn started(&self) {
        let (name, verified) = self.who();
        log::info!(
            target: SESSION, client = self.id.0, name, verified, peer = self.peer.as_str(), transport = self.transport.word();
            "session started"
        );
    }

    /// Its client has handed over this many posts.
    pub fn posted(&self, count: usize) {
        self.posted.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// A frame with this many events of the log was written. For the holder of the baton: no other thread writes these
    /// numbers, so a store is enough.
    pub fn wrote(&self, events: u64, bytes: usize) {
        let (delivered, written) = (self.delivered.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed));
        self.delivered.store(delivered + events, Ordering::Relaxed);
        self.bytes.store(written + bytes as u64, Ordering::Relaxed);
    }

    /// Why it ends. The first reason is kept.
    pub fn ends(&self, reason: &CloseReason) {
        let _ = self.ended.set(reason.clone());
    }

    /// It has ended. Logs the end, and returns the reason in one word.
    pub fn ended(&self) -> &'static str {
        let reason = self.ended.get();
        let word = reason.map_or(THREAD_FAILED, CloseReason::word);
        let level = match reason {
            None | Some(CloseReason::LogUnreadable(_)) => log::Level::Error,
            // A lack of threads has a line a minute.
            Some(CloseReason::NoThread(_)) => log::Level::Info,
            Some(reason) if reason.is_surprising() => log::Level::Warn,
            Some(_) => log::Level::Info,
        };
        if log::log_enabled!(target: SESSION, level) {
            self.log_end(level, word, reason.and_then(CloseReason::detail).as_deref());
        }
        word
    }

    fn log_end(&self, level: log::Level, reason: &str, detail: Option<&str>) {
        let (name, verified) = self.who();
        let seconds = (self.began.elapsed().as_secs_f64() * 1_000.0).round() / 1_000.0;
        let (posted, delivered, bytes) = (&self.posted, &self.delivered, &self.bytes);
        let [posted, delivered, bytes] = [posted, delivered, bytes].map(|count| count.load(Ordering::Relaxed));
        macro_rules! log_end {
            ($level:expr) => {
                log::log!(
                    target: SESSION, $level, client = self.id.0, name, verified, peer = self.peer.as_str(),
                    transport = self.transport.word(), reason, detail, seconds, posted,
                    delivered, bytes;
                    "session ended"
                )
            };
        }
        // Two places, each with its own limit: a flood of ordinary ends hides no other.
        match level {
            log::Level::Info => log_end!(log::Level::Info),
            level => log_end!(level),
        }
    }

    fn who(&self) -> (Option<&str>, Option<bool>) {
        let name = self.name.get();
        (name.map(|(name, _)| name.as_str()), name.map(|(_, is_verified)| *is_verified))
    }
}

/// Logs that a stream was not admitted.
pub fn refused(connection: &str, transport: Transport, reason: &CloseReason) {
    if log::log_enabled!(target: SESSION, log::Level::Info) {
        let (peer, detail) = (peer::shown(connection), reason.detail());
        log::info!(
            target: SESSION, peer = peer.as_str(), transport = transport.word(), reason = reason.word(),
            detail = detail.as_deref();
            "session refused"
        );
    }
}
