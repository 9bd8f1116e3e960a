//! The thread that changes the accounts: it decides, stores, applies and reports each change, in this order.

use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use super::command::{OperatorCommand, OperatorReply};
use super::decide::{self, Decision};
use super::error::AccountsError;
use super::event::AccountEvent;
use super::shared::{Redeemed, Shared};
use super::store::Store;
use crate::escape::escape_name;
use crate::limits::LAST_USE_INTERVAL;
use crate::server::auth::login::LoginError;
use crate::server::auth::token::{SecretHash, TokenId};

/// What the thread is to do.
pub enum Order {
    Execute {
        command: OperatorCommand,
        now_ms: u64,
        answer: Sender<Result<OperatorReply, AccountsError>>,
    },
    Redeem {
        sha256: SecretHash,
        device: String,
        now_ms: u64,
        answer: Sender<Result<Redeemed, LoginError>>,
    },
    /// To store last uses, after a while.
    StoreUses,
}

/// The thread's part.
pub struct Writer {
    store: Store,
    shared: Arc<Shared>,
    /// Tokens whose last uses are still stored, although they are gone.
    gone: Vec<TokenId>,
    /// Whether last uses could not be stored, which is logged once.
    is_failing: bool,
}

impl Writer {
    pub fn new(store: Store, shared: Arc<Shared>, gone: Vec<TokenId>) -> Self {
        Self { store, shared, gone, is_failing: false }
    }

    /// Executes orders until no one can send any.
    pub fn run(&mut self, orders: &Receiver<Order>) {
        let mut store_uses_at: Option<Instant> = None;
        loop {
            let order = match store_uses_at {
                None => orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(at) => orders.recv_deadline(at),
            };
            match order {
                Ok(Order::Execute { command, now_ms, answer }) => {
                    let _ = answer.send(self.execute(command, now_ms));
                }
                Ok(Order::Redeem { sha256, device, now_ms, answer }) => {
                    let _ = answer.send(self.redeem(sha256, &device, now_ms));
                }
                Ok(Order::StoreUses) => {}
                Err(RecvTimeoutError::Timeout) => {
                    self.store_uses();
                    store_uses_at = None;
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
            let is_due = store_uses_at.is_some() || !self.shared.uses.lock().is_pending();
            store_uses_at = if is_due { store_uses_at } else { Instant::now().checked_add(LAST_USE_INTERVAL) };
        }
        self.store_uses();
    }

    fn execute(&mut self, command: OperatorCommand, now_ms: u64) -> Result<OperatorReply, AccountsError> {
        let decided = decide::decide(&self.shared.state.read(), command, now_ms);
        // A list is not sent here.
        let Decision { events, reply, ends_rights } = decided.unwrap_or(Err(AccountsError::Closed))?;
        self.change(&events, now_ms)?;
        if ends_rights {
            self.report();
        }
        Ok(reply)
    }

    fn redeem(&mut self, sha256: SecretHash, device: &str, now_ms: u64) -> Result<Redeemed, LoginError> {
        let decided = decide::redeem(&self.shared.state.read(), sha256, device, now_ms);
        let (events, token, user) = decided?;
        self.change(&events, now_ms).map_err(|error| {
            log::error!("an invitation of user \"{}\" can't be used: {error}", escape_name(user.as_str()));
            LoginError::Unavailable
        })?;
        log::info!(target: "audit", "user \"{}\" used an invitation: device {}", escape_name(user.as_str()), token.id);
        Ok(Redeemed { token: token.text(), user })
    }

    /// Stores events, and then applies them.
    fn change(&mut self, events: &[AccountEvent], now_ms: u64) -> Result<(), AccountsError> {
        if events.is_empty() {
            return Ok(());
        }
        self.store.append(now_ms, events)?;
        // Invariant: they were decided on this state, which no other thread changes.
        decide::apply(&mut self.shared.state.write(), now_ms, events).expect("what was decided can be applied");
        let mut uses = self.shared.uses.lock();
        for event in events {
            if let AccountEvent::TokenRevoked { id } = event {
                uses.forget(*id);
                self.gone.push(*id);
            }
        }
        Ok(())
    }

    fn report(&self) {
        let listeners = self.shared.listeners.lock().clone();
        listeners.iter().for_each(|listener| listener());
    }

    fn store_uses(&mut self) {
        let days = self.shared.uses.lock().take();
        if days.is_empty() && self.gone.is_empty() {
            return;
        }
        match self.store.set_uses(&days, &self.gone) {
            Ok(()) => {
                self.gone.clear();
                self.is_failing = false;
            }
            Err(error) => {
                self.shared.uses.lock().put_back(&days);
                if !self.is_failing {
                    log::warn!("the last uses of tokens can't be stored: {error}");
                }
                self.is_failing = true;
            }
        }
    }
}
