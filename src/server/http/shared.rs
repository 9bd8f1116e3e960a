//! What the connections of a server share.

use std::sync::Arc;

use super::fence::Fence;
use super::methods::Methods;
use super::open::OpenConnections;
use super::page::Page;
use super::watch::Watch;
use crate::server::calls::dispatch::Dispatcher;

/// What the connections of a server share.
pub struct Shared {
    pub dispatcher: Dispatcher,
    pub methods: Methods,
    pub page: Page,
    pub fence: Fence,
    /// Watches the sockets of streams.
    pub watch: Arc<Watch>,
    pub open: Arc<OpenConnections>,
}
