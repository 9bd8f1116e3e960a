//! The caller of a unary call.

use std::sync::Arc;

use super::bundle::Bundle;
use super::error::CallResult;
use crate::logging::LOGIN;
use crate::server::auth::credentials::Credentials;
use crate::server::auth::login::LoginError;
use crate::server::auth::principal::Principal;
use crate::server::hub::Hub;
use crate::server::peer::Peer;
use crate::server::quotas::Use;

/// The caller of a unary call.
#[derive(Clone)]
pub struct Caller {
    pub peer: Peer,
    /// What its address has taken; `None` if it is exempt.
    pub used: Option<Arc<Use>>,
    pub principal: Arc<Principal>,
    /// What its connection hands to the log writer together with others, if it does.
    pub bundle: Option<Arc<Bundle>>,
}

/// A caller that has not been identified yet.
pub struct Stranger {
    pub peer: Peer,
    pub used: Option<Arc<Use>>,
    pub credentials: Credentials,
    pub bundle: Option<Arc<Bundle>>,
}

impl Stranger {
    /// Refuses a call that presents nothing. Fast; see
    /// [`Authenticator::precheck`](crate::server::auth::authenticator::Authenticator::precheck).
    pub fn precheck(&self, hub: &Hub) -> CallResult<()> {
        let checked = hub.authenticator.precheck(&self.credentials, self.used.as_deref());
        Ok(checked.inspect_err(|error| log_failure(&self.peer, error))?)
    }

    /// May take up to a millisecond.
    pub fn identify(self, hub: &Hub) -> CallResult<Caller> {
        let Self { peer, used, credentials, bundle } = self;
        let identified = hub.authenticator.identify(&credentials, used.as_deref());
        let principal = Arc::new(identified.inspect_err(|error| log_failure(&peer, error))?);
        Ok(Caller { peer, used, principal, bundle })
    }
}

/// Logs that a call has failed to log in. A stream has a line of its own.
pub fn log_failure(peer: &Peer, error: &LoginError) {
    // A call that presents nothing is no attempt.
    if *error != LoginError::Missing && log::log_enabled!(target: LOGIN, log::Level::Warn) {
        let peer = peer.shown();
        log::warn!(target: LOGIN, peer = peer.as_str(), detail:% = error; "login failed");
    }
}
