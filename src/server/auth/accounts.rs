//! Accounts: users, their tokens and invitations, and bans.
//!
//! Accounts are a fold over events ([`event`], [`state`]): a command is decided on the state ([`decide`]), the events
//! are stored (`store`), and then applied. A later cluster can have the events in a shared log.
//!
//! Logins read the state in memory, and never wait for the disk. One thread, `accounts`, makes all changes, one after
//! the other; it is the only one that writes the file. So a code that two callers use at once is used by one of them.

pub mod event;
pub mod state;
pub mod error;
pub mod command;
pub mod decide;
pub mod list;
pub mod last_use;
mod store;
mod shared;
mod writer;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod file_tests;
#[cfg(test)]
mod fold_tests;

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::SystemTime;

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::{Mutex, RwLock};

use self::command::{OperatorCommand, OperatorReply};
use self::error::AccountsError;
use self::event::Holder;
use self::last_use::LastUses;
use self::shared::Shared;
use self::state::State;
use self::store::Store;
use self::writer::{Order, Writer};
use super::credentials::Bearer;
use super::login::LoginError;
use super::principal::{Principal, Role, Via};
use super::token::{InvitationCode, SecretHash, Token, TokenId};
use crate::limits::ACCOUNT_ORDERS_MAX;
use crate::names::{UserName, skeleton};
use crate::server::log::clock::{at, millis};
use crate::threads;

pub use self::shared::{Listener, Redeemed};
pub use self::store::FILE;

/// The accounts of a server. Dropping it stores what is not stored yet, which are days of last uses only.
pub struct Accounts {
    shared: Arc<Shared>,
    /// `None` while it is dropped.
    orders: Option<Sender<Order>>,
    thread: Option<JoinHandle<()>>,
}

impl Accounts {
    /// Opens the accounts in a data folder, which no other server may use. Folder and file are created if missing.
    pub fn open(folder: &Path) -> Result<Self, AccountsError> {
        let mut state = State::default();
        let store =
            Store::open(folder, |time_ms, event| state.apply(time_ms, event).map_err(|fault| fault.to_string()))?;
        let (mut uses, mut gone) = (store.uses(), Vec::new());
        uses.retain(|id, _| {
            let is_known = state.token(*id).is_some();
            if !is_known {
                gone.push(*id);
            }
            is_known
        });
        let shared = Arc::new(Shared {
            state: RwLock::new(state),
            uses: Mutex::new(LastUses::new(uses)),
            listeners: Mutex::default(),
        });
        let (orders, received): (_, Receiver<Order>) = bounded(ACCOUNT_ORDERS_MAX);
        let mut writer = Writer::new(store, Arc::clone(&shared), gone);
        let thread = threads::spawn("accounts", move || writer.run(&received)).map_err(AccountsError::Thread)?;
        Ok(Self { shared, orders: Some(orders), thread: Some(thread) })
    }

    /// How many users there are.
    pub fn user_count(&self) -> usize {
        self.shared.state.read().users().len()
    }

    /// Whose token this is. Does no I/O. A wrong secret takes the same time as an unknown id.
    pub fn identify(&self, token: &Bearer, now: SystemTime) -> Result<Principal, LoginError> {
        let presented = Token::parse(token.expose()).map_err(|_| LoginError::Invalid)?;
        let (sha256, now_ms) = (presented.hash(), millis(now));
        let principal = {
            let state = self.shared.state.read();
            let issued = state.token(presented.id);
            let is_same = sha256.is_same(issued.map_or(&SecretHash::NONE, |issued| &issued.sha256));
            let issued = issued.filter(|_| is_same).ok_or(LoginError::Invalid)?;
            if issued.is_expired(now_ms) {
                return Err(LoginError::Expired);
            }
            let user = state.user(issued.user);
            if state.ban_of(&user.skeleton, now_ms).is_some() {
                return Err(LoginError::Banned(user.name.clone()));
            }
            Principal {
                name: Some(user.name.clone()),
                role: user.role,
                via: Via::Token(presented.id.as_str().to_owned()),
                until: issued.expires_ms.map(at),
                grants: issued.grants.clone(),
            }
        };
        let is_first = self.shared.uses.lock().note(presented.id, now_ms);
        if let Some(orders) = self.orders.as_ref().filter(|_| is_first) {
            // A writer whose queue is full looks for last uses anyway.
            let _ = orders.try_send(Order::StoreUses);
        }
        Ok(principal)
    }

    /// Uses an invitation's code for a device with this label. The device's token is on the disk when this returns.
    /// Blocks.
    pub fn redeem(&self, code: &str, device: &str, now: SystemTime) -> Result<Redeemed, LoginError> {
        let sha256 = InvitationCode::parse(code).map_err(|_| LoginError::Code)?.hash();
        // Guesses don't reach the thread. It decides again, since another caller may be first.
        decide::redeem(&self.shared.state.read(), sha256, device, millis(now))?;
        let (answer, answered) = bounded(1);
        let order = Order::Redeem { sha256, device: device.to_owned(), now_ms: millis(now), answer };
        self.send(order).map_err(|_| LoginError::Unavailable)?;
        answered.recv().unwrap_or(Err(LoginError::Unavailable))
    }

    /// Whether a login that succeeded before is still one. For a certificate or a JSON web token, only a ban ends it
    /// here.
    pub fn is_valid(&self, principal: &Principal, now: SystemTime) -> bool {
        let now_ms = millis(now);
        let Some(name) = &principal.name else { return true };
        let state = self.shared.state.read();
        if state.ban_of(&skeleton(name.as_str()), now_ms).is_some() {
            return false;
        }
        let Via::Token(id) = &principal.via else { return true };
        let issued = TokenId::parse(id).and_then(|id| state.token(id)).filter(|issued| !issued.is_expired(now_ms));
        issued.is_some_and(|issued| {
            let user = state.user(issued.user);
            user.name == *name && user.role >= principal.role
        })
    }

    /// Whether a client may have this name, which a certificate or a JSON web token gives it: not if it is banned,
    /// reserved, or looks like another name that has an account.
    pub fn check_name(&self, name: &UserName) -> Result<(), LoginError> {
        self.check_name_at(name, SystemTime::now())
    }

    fn check_name_at(&self, name: &UserName, now: SystemTime) -> Result<(), LoginError> {
        let state = self.shared.state.read();
        if state.ban_of(&skeleton(name.as_str()), millis(now)).is_some() {
            return Err(LoginError::Banned(name.clone()));
        }
        match decide::name_fault(&state, name) {
            Some(fault) => Err(LoginError::Name { name: name.clone(), fault }),
            None => Ok(()),
        }
    }

    /// The role of the user with this name, if it has an account.
    pub fn role(&self, name: &UserName) -> Option<Role> {
        self.shared.state.read().user_named(name.as_str()).map(|user| user.role)
    }

    /// Has this called after each change that may end a right.
    pub fn on_change(&self, listener: Listener) {
        self.shared.listeners.lock().push(Arc::new(listener));
    }

    /// Executes a command. A change is on the disk when this returns. Blocks, unless the command is a list.
    pub fn execute(&self, command: OperatorCommand, now: SystemTime) -> Result<OperatorReply, AccountsError> {
        let now_ms = millis(now);
        if let Some(list) = self.list(&command, now_ms) {
            return list;
        }
        let (answer, answered) = bounded(1);
        self.send(Order::Execute { command, now_ms, answer })?;
        answered.recv().unwrap_or(Err(AccountsError::Closed))
    }

    fn list(&self, command: &OperatorCommand, now_ms: u64) -> Option<Result<OperatorReply, AccountsError>> {
        let state = self.shared.state.read();
        let uses = self.shared.uses.lock();
        let days = uses.days();
        let tokens = |name, holder| {
            let tokens = decide::find(&state, name).map(|user| list::tokens_of(&state, days, user, holder, now_ms));
            tokens.map(|tokens| OperatorReply::Tokens { tokens, next: None })
        };
        match command {
            OperatorCommand::ListUsers { after } => Some(Ok(list::users(&state, days, *after, now_ms))),
            OperatorCommand::ListTokens { user: None, after } => Some(Ok(list::tokens(&state, days, *after, now_ms))),
            OperatorCommand::ListTokens { user: Some(user), .. } => Some(tokens(user, Holder::Program)),
            OperatorCommand::ListDevices { user } => Some(tokens(user, Holder::Device)),
            _ => None,
        }
    }

    fn send(&self, order: Order) -> Result<(), AccountsError> {
        let sent = self.orders.as_ref().is_some_and(|orders| orders.send(order).is_ok());
        if sent { Ok(()) } else { Err(AccountsError::Closed) }
    }
}

impl Drop for Accounts {
    fn drop(&mut self) {
        // Its thread ends when there are no more orders.
        self.orders = None;
        // A listener may have the last share, on that thread.
        if let Some(thread) = self.thread.take().filter(|thread| thread.thread().id() != std::thread::current().id()) {
            let _ = thread.join();
        }
    }
}
