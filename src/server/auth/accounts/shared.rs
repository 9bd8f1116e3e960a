//! What the threads that log clients in share with the thread that changes the accounts.

use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use super::last_use::LastUses;
use super::state::State;
use crate::names::UserName;
use crate::server::auth::credentials::Bearer;

/// Called after a change that may end a right. It MUST NOT wait for a change of the accounts, and should be short: the
/// next change waits for it.
pub type Listener = Box<dyn Fn() + Send + Sync>;

/// What logins read, and the writer changes.
#[derive(Default)]
pub struct Shared {
    // lock order: 3 (a leaf; held for one look-up, one page of a list, or the events of one change)
    pub state: RwLock<State>,
    // lock order: 4 (a leaf, also taken while `state` is read)
    pub uses: Mutex<LastUses>,
    // lock order: 3 (a leaf)
    pub listeners: Mutex<Vec<Arc<Listener>>>,
}

/// The result of an invitation: the new device's token, and whose it is.
#[derive(Clone, Debug)]
pub struct Redeemed {
    pub token: Bearer,
    pub user: UserName,
}
