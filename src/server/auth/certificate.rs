//! Which name in a client certificate is the user's.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::credentials::Certificate;
use super::login::LoginError;
use super::principal::{Grants, Principal, Role, Via};
use crate::names::UserName;

/// The field of a client certificate that has the user's name. The certificate must have exactly one value of it: which
/// of several were meant, nobody could tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientName {
    /// The subject's common name.
    CommonName,
    /// The DNS name, in lower case.
    #[default]
    Dns,
    /// The URI, for example a SPIFFE id.
    Uri,
    /// The email address.
    Email,
}

/// The text names no field.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("unknown field {0:?}: expected cn, dns, uri or email")]
pub struct UnknownField(String);

impl ClientName {
    const ALL: [Self; 4] = [Self::CommonName, Self::Dns, Self::Uri, Self::Email];

    /// The user's name.
    pub fn name(self, certificate: &Certificate) -> Result<UserName, LoginError> {
        let (values, none, several) = match self {
            Self::CommonName => (&certificate.common_names, "it has no common name", "it has several common names"),
            Self::Dns => (&certificate.dns, "it has no DNS name", "it has several DNS names"),
            Self::Uri => (&certificate.uris, "it has no URI", "it has several URIs"),
            Self::Email => (&certificate.emails, "it has no email address", "it has several email addresses"),
        };
        let value = match values.as_slice() {
            [] => return Err(LoginError::Certificate(none)),
            [value] => value,
            _ => return Err(LoginError::Certificate(several)),
        };
        let name = match self {
            Self::Dns if value.contains('*') => {
                return Err(LoginError::Certificate("its DNS name has a *, and so is not that of one client"));
            }
            Self::Dns => value.to_ascii_lowercase(),
            _ => value.clone(),
        };
        let fault = "its name is not valid for a user: 1 to 64 visible characters, without blanks at the ends";
        UserName::new(name).map_err(|_| LoginError::Certificate(fault))
    }

    /// Who the client is. A certificate restricts nothing.
    pub fn principal(self, certificate: &Certificate) -> Result<Principal, LoginError> {
        let name = Some(self.name(certificate)?);
        Ok(Principal { name, role: Role::default(), via: Via::Certificate, until: None, grants: Grants::default() })
    }

    fn word(self) -> &'static str {
        match self {
            Self::CommonName => "cn",
            Self::Dns => "dns",
            Self::Uri => "uri",
            Self::Email => "email",
        }
    }
}

impl fmt::Display for ClientName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for ClientName {
    type Err = UnknownField;

    fn from_str(text: &str) -> Result<Self, UnknownField> {
        let field = Self::ALL.into_iter().find(|field| field.word() == text);
        field.ok_or_else(|| UnknownField(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    fn certificate() -> Certificate {
        Certificate {
            common_names: texts(&["ann"]),
            dns: texts(&["Builds.example"]),
            uris: texts(&["spiffe://example/builds"]),
            emails: texts(&["ann@example"]),
        }
    }

    #[test]
    fn each_field_has_a_word() {
        for field in ClientName::ALL {
            assert_eq!(field.to_string().parse(), Ok(field));
        }
        assert_eq!(ClientName::default().to_string(), "dns");
        assert!("san".parse::<ClientName>().unwrap_err().to_string().contains("cn, dns, uri or email"));
    }

    #[test]
    fn the_name_is_the_value_of_the_field() {
        let names = ClientName::ALL.map(|field| String::from(field.name(&certificate()).unwrap()));
        assert_eq!(names, ["ann", "builds.example", "spiffe://example/builds", "ann@example"]);
        let principal = ClientName::Email.principal(&certificate()).unwrap();
        assert_eq!(principal.name.as_ref().map(UserName::as_str), Some("ann@example"));
        assert_eq!((principal.role, principal.via, principal.until), (Role::Member, Via::Certificate, None));
    }

    #[test]
    fn a_certificate_without_exactly_one_value_is_refused() {
        let reason = |field: ClientName, certificate: &Certificate| match field.name(certificate) {
            Err(LoginError::Certificate(reason)) => reason,
            other => panic!("{field}: {other:?}"),
        };
        let none = Certificate::default();
        let doubled = |values: &[String]| [values, values].concat();
        let all = certificate();
        let several = Certificate {
            common_names: doubled(&all.common_names),
            dns: doubled(&all.dns),
            uris: doubled(&all.uris),
            emails: doubled(&all.emails),
        };
        let mut reasons: Vec<_> = ClientName::ALL.map(|field| reason(field, &none)).into();
        reasons.extend(ClientName::ALL.map(|field| reason(field, &several)));
        reasons.sort_unstable();
        reasons.dedup();
        assert_eq!(reasons.len(), 8, "{reasons:?}");
    }

    /// Another field never stands in for one that is missing or not valid.
    #[test]
    fn a_value_that_is_no_user_name_is_refused() {
        for bad in ["", " ann", "an\0n", "a\u{202e}nn", &"x".repeat(65)] {
            let certificate = Certificate { common_names: texts(&[bad]), ..certificate() };
            assert!(matches!(ClientName::CommonName.name(&certificate), Err(LoginError::Certificate(_))), "{bad:?}");
        }
        let wildcard = Certificate { dns: texts(&["*.example"]), ..certificate() };
        assert!(matches!(ClientName::Dns.name(&wildcard), Err(LoginError::Certificate(_))));
    }
}
