//! Who may ask: what a browser says about the page that makes a request. Programs that are no browsers say nothing of the
//! kind, and pass.
//!
//! - **Another site** may not use this server with a visitor's address or login (cross-site request forgery). A browser
//!   names the relation in `Sec-Fetch-Site`; an older one at least names the page's `Origin`.
//! - **A name that an attacker made point to this address** (DNS rebinding) makes the attacker's page the same site. So the
//!   host must be an IP address, `localhost`, or a name that the operator has given.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::answer::Answer;
use super::head::{Head, HeadFault};

/// The rules of a server.
#[derive(Clone, Debug, Default)]
pub struct Fence {
    /// Names under which the server is reached, in lower case (`--http-host`).
    pub hosts: Vec<String>,
    /// Pages of other sites that may ask, such as `https://example.org` (`--http-origin`).
    pub origins: Vec<String>,
}

/// Whether a page of another site asks that the operator allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asker {
    /// A page of this server, or no page.
    Own,
    /// A page of this site, which the operator allows.
    Allowed(String),
}

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Intruder {
    Host(String),
    Site,
    Fault(HeadFault),
}

impl From<HeadFault> for Intruder {
    fn from(fault: HeadFault) -> Self {
        Self::Fault(fault)
    }
}

impl Asker {
    /// Lets a page of another site that is allowed read the answer.
    pub fn mark(&self, answer: Answer) -> Answer {
        match self {
            Self::Own => answer,
            Self::Allowed(origin) => answer.with("access-control-allow-origin", origin).with("vary", "origin"),
        }
    }
}

impl Fence {
    /// Checks the host of a request. What comes over a Unix socket is a proxy's, which has checked it.
    pub fn check_host(&self, head: &Head, is_local: bool) -> Result<(), Intruder> {
        let Some(host) = &head.host else { return Ok(()) };
        let known = |name: &str| name == "localhost" || self.hosts.iter().any(|known| known == name);
        let is_known = match Name::of(host) {
            Some(Name::Address) => true,
            Some(Name::Text(name)) => known(&name),
            None => false,
        };
        if is_local || is_known { Ok(()) } else { Err(Intruder::Host(host.chars().take(HOST_CHARS_SHOWN).collect())) }
    }

    /// Whether the page that asks came over TLS.
    pub fn is_secure(head: &Head) -> bool {
        head.values("origin").any(|origin| origin.starts_with(b"https://"))
    }

    /// Checks which page asks.
    pub fn check_page(&self, head: &Head) -> Result<Asker, Intruder> {
        let origin = head.one("origin")?;
        if let Some(origin) = origin.filter(|origin| self.origins.iter().any(|allowed| allowed == origin)) {
            return Ok(Asker::Allowed(origin.to_owned()));
        }
        let is_own = match (head.one("sec-fetch-site")?, origin) {
            (Some(site), _) => matches!(site, "same-origin" | "none"),
            (None, None) => true,
            (None, Some(origin)) => {
                let host = origin.split_once("://").map(|(_, host)| host);
                host.is_some() && host == head.host.as_deref()
            }
        };
        if is_own { Ok(Asker::Own) } else { Err(Intruder::Site) }
    }
}

/// How much of an unknown host an error shows.
const HOST_CHARS_SHOWN: usize = 100;

/// The host of a request, without its port.
#[derive(Debug, PartialEq, Eq)]
enum Name {
    Address,
    /// In lower case, without the dot at the end that a full name may have.
    Text(String),
}

impl Name {
    /// `None` if it is malformed.
    fn of(host: &str) -> Option<Self> {
        let (name, after) = match host.strip_prefix('[') {
            Some(rest) => rest.split_once(']')?,
            None => host.split_at(host.find(':').unwrap_or(host.len())),
        };
        let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
        if !after.is_empty() && !after.strip_prefix(':').is_some_and(is_port) {
            return None;
        }
        if host.starts_with('[') {
            return name.parse::<Ipv6Addr>().is_ok().then_some(Self::Address);
        }
        if name.parse::<Ipv4Addr>().is_ok() {
            return Some(Self::Address);
        }
        let is_name = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
        is_name(name).then(|| Self::Text(name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(host: &str, fields: &str) -> Head {
        let text = format!("POST /a HTTP/1.1\nHost: {host}\n{fields}\n").replace('\n', "\r\n");
        Head::parse(text.as_bytes()).unwrap()
    }

    fn fence() -> Fence {
        Fence { hosts: vec!["chat.example".to_owned()], origins: vec!["https://app.example".to_owned()] }
    }

    #[test]
    fn a_host_is_an_address_or_a_known_name() {
        for host in [
            "127.0.0.1",
            "127.0.0.1:5080",
            "[::1]:5080",
            "[::1]",
            "192.0.2.1:80",
            "localhost:1",
            "Chat.Example",
            "chat.example.:80",
        ] {
            assert_eq!(fence().check_host(&head(host, ""), false), Ok(()), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "chat.example.evil",
            "127.0.0.1.evil",
            "",
            "2130706433",
            "localhost:80@evil.example",
            "[::1]evil.example",
            "[::1",
            "[localhost]",
            "::1",
        ] {
            let refused = fence().check_host(&head(host, ""), false);
            assert_eq!(refused, Err(Intruder::Host(host.to_owned())), "{host}");
            assert_eq!(fence().check_host(&head(host, ""), true), Ok(()));
        }
    }

    #[test]
    fn a_page_is_of_this_server_or_allowed() {
        let check = |fields| fence().check_page(&head("localhost:5080", fields));
        for fields in [
            "",
            "Sec-Fetch-Site: same-origin\n",
            "Sec-Fetch-Site: none\n",
            "Origin: http://localhost:5080\n",
            "Origin: https://localhost:5080\n",
        ] {
            assert_eq!(check(fields), Ok(Asker::Own), "{fields}");
        }
        for fields in [
            "Sec-Fetch-Site: cross-site\n",
            "Sec-Fetch-Site: same-site\n",
            "Sec-Fetch-Site: cross-site\nOrigin: http://localhost:5080\n",
            "Origin: http://localhost:5081\n",
            "Origin: null\n",
            "Origin: https://app.example.evil\n",
        ] {
            assert_eq!(check(fields), Err(Intruder::Site), "{fields}");
        }
        let allowed = check("Sec-Fetch-Site: cross-site\nOrigin: https://app.example\n");
        assert_eq!(allowed, Ok(Asker::Allowed("https://app.example".to_owned())));
    }
}
