//! What the admin face reads: the places where the server counts, and its state.

use std::sync::{Arc, Weak};
use std::time::SystemTime;

use super::storage::Folder;
use crate::server::append_queue::Depth;
use crate::server::calls::dispatch::CallLoad;
use crate::server::commits::Commits;
use crate::server::connections::Connections;
use crate::server::gauges::Gauges;
use crate::server::hub::Hub;
use crate::server::log::faults::LogFaults;
use crate::server::refusals::Refusals;
use crate::server::search::Search;

/// What the admin face reads of a server whose parts are there. It keeps none of them running.
pub struct Sources {
    pub hub: Weak<Hub>,
    pub clients_max: usize,
    pub connections: Arc<Connections>,
    pub refusals: Arc<Refusals>,
    pub gauges: Arc<Gauges>,
    pub commits: Arc<Commits>,
    pub append_queue: Depth,
    pub calls: CallLoad,
    /// `None` if search is switched off.
    pub search: Option<Arc<Search>>,
    /// Counts the connections of HTTP that are no streams.
    pub http_connections: Box<dyn Fn() -> usize + Send + Sync>,
    /// `None` for a log in memory.
    pub folder: Option<Folder>,
    /// `None` for a log in memory.
    pub log_faults: Option<Arc<LogFaults>>,
    /// Until when the certificate is valid. `None` without TLS.
    pub certificate_expiry: Option<Box<dyn Fn() -> SystemTime + Send + Sync>>,
    /// Where the server listens, for people.
    pub addresses: Vec<String>,
}
