//! The login of a stream: made at its first command, renewed by its client, and ended from outside.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use parking_lot::Mutex;
use thiserror::Error;

use super::authenticator::Authenticator;
use super::credentials::{Bearer, Credentials};
use super::login::LoginError;
use super::principal::Principal;
use crate::limits::LOGIN_GRACE;
use crate::server::deadlines::{Deadline, Deadlines};
use crate::server::quotas::Use;

/// The login of a stream, as other threads see it: they end the stream when the login no longer holds.
#[derive(Debug, Default)]
pub struct LoginCell {
    // lock order: 3 (a leaf). `None` until the client has logged in.
    principal: Mutex<Option<Arc<Principal>>>,
}

/// The login of a stream, for its receive thread.
pub struct StreamLogin {
    authenticator: Arc<Authenticator>,
    credentials: Credentials,
    used: Option<Arc<Use>>,
    cell: Arc<LoginCell>,
    deadlines: Deadlines,
    /// For the end of the login.
    expiry: Option<Deadline>,
}

/// Why a login could not be renewed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RenewError {
    #[error(transparent)]
    Login(#[from] LoginError),
    #[error("the new token is of another user: open another stream for that user")]
    OtherUser,
    #[error("this stream has no login to renew")]
    NoLogin,
}

impl LoginCell {
    /// The client, if it has logged in.
    pub fn principal(&self) -> Option<Arc<Principal>> {
        self.principal.lock().clone()
    }

    /// Returns the former one.
    fn replace(&self, principal: Option<Arc<Principal>>) -> Option<Arc<Principal>> {
        std::mem::replace(&mut *self.principal.lock(), principal)
    }
}

impl StreamLogin {
    pub fn new(authenticator: Arc<Authenticator>, credentials: Credentials, deadlines: Deadlines) -> Self {
        Self { authenticator, credentials, used: None, cell: Arc::default(), deadlines, expiry: None }
    }

    /// The same for a client of this address.
    pub fn from_address(self, used: Option<Arc<Use>>) -> Self {
        Self { used, ..self }
    }

    pub fn used(&self) -> Option<Arc<Use>> {
        self.used.clone()
    }

    pub fn cell(&self) -> Arc<LoginCell> {
        Arc::clone(&self.cell)
    }

    /// Logs in with what the call has presented. `expire` ends the stream some time after the end of the login.
    pub fn log_in(&mut self, expire: impl FnOnce() + Send + 'static) -> Result<Arc<Principal>, LoginError> {
        let principal = self.authenticator.identify(&self.credentials, self.used.as_deref())?;
        // The secret is not needed any more.
        self.credentials = Credentials::default();
        self.hold(principal, expire)
    }

    /// Replaces the login by another one of the same user.
    pub fn renew(
        &mut self,
        token: &Bearer,
        expire: impl FnOnce() + Send + 'static,
    ) -> Result<Arc<Principal>, RenewError> {
        if !self.authenticator.needs_login() {
            return Err(RenewError::NoLogin);
        }
        let principal = self.authenticator.renew(token, self.used.as_deref())?;
        let same_user = self.cell.principal().is_some_and(|former| former.name == principal.name);
        if !same_user {
            return Err(RenewError::OtherUser);
        }
        Ok(self.hold(principal, expire)?)
    }

    fn hold(
        &mut self,
        principal: Principal,
        expire: impl FnOnce() + Send + 'static,
    ) -> Result<Arc<Principal>, LoginError> {
        let principal = Arc::new(principal);
        let former = self.cell.replace(Some(Arc::clone(&principal)));
        // A change meanwhile has either found the principal in the cell, or is found here.
        if !self.authenticator.is_valid(&principal) {
            let is_former_valid = former.as_ref().is_none_or(|former| self.authenticator.is_valid(former));
            self.cell.replace(former);
            if !is_former_valid {
                expire();
            }
            return Err(LoginError::Invalid);
        }
        self.expiry = principal.until.map(|until| {
            let left = until.duration_since(SystemTime::now()).unwrap_or_default();
            self.deadlines.set(Instant::now() + left + LOGIN_GRACE, expire)
        });
        Ok(principal)
    }
}
