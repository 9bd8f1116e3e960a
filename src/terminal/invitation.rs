//! Invitations: what the operator's command prints, and a person types.

use std::str::FromStr;

use zeroize::Zeroizing;

use crate::address::Address;
use crate::certificates::Fingerprint;

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
