//! `hubbub login`: exchanges an invitation for a login, which is kept for the server.

use std::fs;
use std::io::{self, Write as _};

use super::TerminalError;
use super::invitation::Invitation;
use super::server::Server;
use crate::address::Address;
use crate::client::{Caller, LoginFault, StoredLogin};
use crate::escape::{escape, escape_name};

/// Logs in, and keeps the login. Returns the name of the user.
pub fn login(server: &Server, invitation: &Invitation, insecure: bool) -> Result<String, TerminalError> {
    if !insecure && !server.connector.is_private(&server.address) {
        return Err(TerminalError::Login(LoginFault::Plaintext));
    }
    // Checked first, since the code is valid once.
    let kept = StoredLogin::check_folder(&server.address).map_err(TerminalError::Login)?;
    let mut caller = Caller::connect(server.connector.clone(), server.address.clone(), server.call_timeout())?;
    let (token, name) = caller.log_in(&invitation.code, &device())?;
    let tls = server.connector.has_tls();
    let login = StoredLogin { server: server.address.to_string(), name, token, tls };
    login.store(&server.address).map_err(TerminalError::Login)?;
    let name = escape_name(&login.name);
    let _ =
        writeln!(io::stderr(), "* logged in to {} as {name}; the login is kept in {}", server.address, kept.display());
    Ok(login.name)
}

/// Forgets the login of a server.
pub fn forget(address: &Address) -> Result<(), TerminalError> {
    let was_there = StoredLogin::remove(address).map_err(TerminalError::Login)?;
    let said = if was_there {
        format!("the login for {address} is forgotten on this computer; the server's operator can revoke the device")
    } else {
        format!("there is no login for {address}")
    };
    let _ = writeln!(io::stderr(), "* {said}");
    Ok(())
}

/// The name of this computer, for the user's list of devices.
fn device() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    escape(name.trim()).into_owned()
}
