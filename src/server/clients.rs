//! The client map: every client that is connected.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

use super::auth::principal::Principal;
use super::auth::stream_login::LoginCell;
use super::counter::{Counter, WordCounters};
use super::delivery::close::{CLOSE_WORDS, CloseReason};
use super::delivery::stream_writer::StreamWriter;
use super::session::receive::{Stop, Stopper};
use crate::limits::SILENT_TIME;
use crate::names::ClientId;

/// The map's entry of a client.
#[derive(Clone)]
pub struct Client {
    pub writer: Arc<StreamWriter>,
    /// Ends its receive thread.
    pub stop_receiving: Stopper,
    /// Since when it has been silent, if another may take its place for that.
    pub silent_since: Option<Instant>,
    /// Who it is, once it has logged in.
    pub login: Arc<LoginCell>,
}

#[derive(Default)]
struct Map {
    clients: HashMap<ClientId, Client>,
    /// Those that have been silent since they came, the first first.
    silent: BTreeSet<(Instant, ClientId)>,
}

pub struct Clients {
    // lock order: 1 (held for one lookup, insertion or removal)
    map: Mutex<Map>,
    emptied: Condvar,
    /// The number before the first client's, random for each start of a server.
    before_first: ClientId,
    admitted: AtomicU64,
    /// How many sessions have begun, and ended, by the reason.
    begun: Counter,
    ended: WordCounters,
}

impl Default for Clients {
    fn default() -> Self {
        Self {
            map: Mutex::default(),
            emptied: Condvar::new(),
            before_first: ClientId::random_start(),
            admitted: AtomicU64::new(0),
            begun: Counter::default(),
            ended: WordCounters::new(CLOSE_WORDS),
        }
    }
}

impl Clients {
    /// An id that no other client has had since the server started, and the number of the client since then, from 1.
    pub fn next_id(&self) -> (ClientId, u64) {
        let count = self.admitted.fetch_add(1, Ordering::Relaxed) + 1;
        (ClientId(self.before_first.0 + count), count)
    }

    pub fn insert(&self, client: Client) {
        let id = client.writer.id();
        let mut map = self.map.lock();
        map.silent.extend(client.silent_since.map(|since| (since, id)));
        let taken = map.clients.insert(id, client);
        drop(map);
        assert!(taken.is_none(), "client ids are never given twice");
        self.begun.add(1);
    }

    /// How many sessions have begun since the start of the server.
    pub fn begun(&self) -> u64 {
        self.begun.get()
    }

    /// How many sessions have ended, by the reason's name.
    pub fn ended(&self) -> &WordCounters {
        &self.ended
    }

    /// The client has said something.
    pub fn spoke(&self, id: ClientId) {
        self.map.lock().take_from_silent(id);
    }

    /// The client that has been silent for the shortest time above [`SILENT_TIME`]: those that have listened for long keep
    /// their places. Each is returned once.
    pub fn silent(&self, now: Instant) -> Option<Client> {
        let mut map = self.map.lock();
        let longest_ago = now.checked_sub(SILENT_TIME)?;
        let (_, id) = *map.silent.range(..=(longest_ago, ClientId(u64::MAX))).next_back()?;
        map.take_from_silent(id);
        map.clients.get(&id).cloned()
    }

    pub fn remove(&self, id: ClientId) {
        let mut map = self.map.lock();
        map.take_from_silent(id);
        let client = map.clients.remove(&id);
        if map.clients.is_empty() {
            self.emptied.notify_all();
        }
        drop(map);
        drop(client);
    }

    pub fn count(&self) -> usize {
        self.map.lock().clients.len()
    }

    /// Stops every client's receive thread at once.
    pub fn stop_receiving(&self) {
        for client in self.all() {
            (client.stop_receiving)(Stop::AtOnce);
        }
    }

    /// Closes every client's session.
    pub fn close(&self, reason: &CloseReason) {
        for client in self.all() {
            client.writer.close(reason.clone());
        }
    }

    /// Ends the streams whose logins no longer hold.
    pub fn close_invalid(&self, is_valid: impl Fn(&Principal) -> bool) {
        for client in self.all() {
            if client.login.principal().is_some_and(|principal| !is_valid(&principal)) {
                (client.stop_receiving)(Stop::AtOnce);
                client.writer.close(CloseReason::LoginRevoked);
            }
        }
    }

    /// Waits until no client is left. `false` means that the deadline passed first.
    pub fn wait_until_empty(&self, deadline: Instant) -> bool {
        let mut map = self.map.lock();
        while !map.clients.is_empty() {
            if self.emptied.wait_until(&mut map, deadline).timed_out() {
                return map.clients.is_empty();
            }
        }
        true
    }

    fn all(&self) -> Vec<Client> {
        self.map.lock().clients.values().cloned().collect()
    }
}

impl Map {
    fn take_from_silent(&mut self, id: ClientId) {
        if let Some(since) = self.clients.get_mut(&id).and_then(|client| client.silent_since.take()) {
            self.silent.remove(&(since, id));
        }
    }
}
