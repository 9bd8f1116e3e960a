//! `Login`: exchanges an invitation for a token.

use super::caller::{Stranger, log_failure};
use super::error::CallResult;
use crate::limits::NAME_CHARS_MAX;
use crate::server::auth::accounts::Redeemed;
use crate::server::hub::Hub;
use crate::wire::v1;

/// Exchanges the code of an invitation for a token. Writes to the disk.
pub fn login(hub: &Hub, stranger: &Stranger, request: &v1::LoginRequest) -> CallResult<v1::LoginResponse> {
    let device: String = request.device.chars().filter(|c| !c.is_control()).take(NAME_CHARS_MAX).collect();
    let redeemed = hub.authenticator.redeem(&request.code, &device, stranger.used.as_deref());
    let Redeemed { token, user } = redeemed.inspect_err(|error| log_failure(&stranger.peer, error))?;
    Ok(v1::LoginResponse { token: token.expose().to_owned(), name: user.into(), ..Default::default() })
}
