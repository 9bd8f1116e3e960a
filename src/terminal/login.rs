//! `hubbub login` and `hubbub logout`: exchanges an invitation for a login, which is kept for the server.

use std::fs;
use std::io::{self, Write as _};
use std::str::FromStr;

use zeroize::Zeroizing;

use super::{Server, TerminalError};
use crate::address::Address;
use crate::certificates::Fingerprint;
use crate::client::{Caller, StoredLogin};
use crate::escape::{escape, escape_name};

/// An invitation, as the operator's command prints it: a code, or a link with the server's address, the code, and the
/// fingerprint of the authority that has signed the server's certificate.
#[derive(Clone, Debug)]
pub struct Invitation {
    pub code: Zeroizing<String>,
    pub server: Option<Address>,
    pub authority: Option<Fingerprint>,
}

/// The port of a link without one.
const LINK_PORT: u16 = 443;

impl FromStr for Invitation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = "expected the code or the link that hubbub-server invite has printed";
        let text = text.trim();
        let Some((place, fragment)) = text.split_once("/#") else {
            let is_code = !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || c == '-' || c == ' ');
            let code = Zeroizing::new(text.to_owned());
            return if is_code { Ok(Self { code, server: None, authority: None }) } else { Err(expected.to_owned()) };
        };
        let place = place.strip_prefix("https://").ok_or(expected)?;
        let has_port = place.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
        let place = if has_port { place.to_owned() } else { format!("{place}:{LINK_PORT}") };
        let server = place.parse::<Address>().map_err(|fault| fault.to_string())?;
        let (mut code, mut authority) = (None, None);
        for part in fragment.split('&') {
            match part.split_once('=') {
                Some(("invite", text)) => code = Some(Zeroizing::new(text.to_owned())),
                Some(("ca", text)) => {
                    let fault = "the fingerprint in the link is damaged: copy the whole link, in quotes";
                    authority = Some(text.parse().map_err(|_| fault.to_owned())?);
                }
                // A part of a later version.
                _ => {}
            }
        }
        Ok(Self { code: code.ok_or(expected)?, server: Some(server), authority })
    }
}

/// Logs in, and keeps the login. Returns the name of the user.
pub fn login(server: &Server, invitation: &Invitation) -> Result<String, TerminalError> {
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
pub fn logout(address: &Address) -> Result<(), TerminalError> {
    let was_there = StoredLogin::remove(address).map_err(TerminalError::Login)?;
    let said = if was_there {
        format!("logged out of {address} on this computer; the server's operator can revoke the device")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invitation_is_a_code_or_a_link() {
        let parse = |text: &str| text.parse::<Invitation>();
        let code = parse("mze1-3mk6-r349-efv5").unwrap();
        assert!(code.code.as_str() == "mze1-3mk6-r349-efv5" && code.server.is_none() && code.authority.is_none());
        let link = parse("https://chat.example.org/#invite=MZE1-3MK6-R349-EFV5").unwrap();
        assert_eq!(link.server.unwrap().to_string(), "chat.example.org:443");
        let fingerprint = Fingerprint::of(b"an authority");
        let link = parse(&format!("https://[2001:db8::1]:5000/#invite=MZE1&ca={}&new=1", fingerprint.hex())).unwrap();
        assert_eq!((link.server.unwrap().to_string().as_str(), link.code.as_str()), ("[2001:db8::1]:5000", "MZE1"));
        assert!(link.authority == Some(fingerprint));
        for wrong in
            ["", "a/b", "http://chat.example.org/#invite=A", "https://chat.example.org/#x=1", "https:///#invite=A"]
        {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        assert!(parse("https://chat.example.org/#invite=A&ca=12").unwrap_err().contains("quotes"));
    }
}
