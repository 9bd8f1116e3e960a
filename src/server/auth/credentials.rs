//! What a call presents to show who its client is.

use std::fmt;

use zeroize::Zeroizing;

/// What a call presents, as the transport has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    /// The token of the header `authorization: Bearer …`.
    pub bearer: Presented,
    /// The certificate of its connection, which the transport has verified.
    pub certificate: Option<Certificate>,
}

/// Whether a call has a token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Presented {
    #[default]
    Nothing,
    Token(Bearer),
    /// The header has another form, or is there several times.
    Malformed,
}

impl Presented {
    /// What the values of the header `authorization` present: one at most.
    pub fn of_headers<'a>(mut values: impl Iterator<Item = &'a [u8]>) -> Self {
        match (values.next(), values.next()) {
            (None, _) => Self::Nothing,
            (Some(value), None) => bearer(value).map_or(Self::Malformed, Self::Token),
            _ => Self::Malformed,
        }
    }
}

/// The scheme of the header, in any case.
const BEARER: &str = "bearer ";

fn bearer(value: &[u8]) -> Option<Bearer> {
    let (scheme, token) = std::str::from_utf8(value).ok()?.split_at_checked(BEARER.len())?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case(BEARER) && !token.is_empty()).then(|| Bearer::new(token))
}

/// A secret text. It is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Bearer(Zeroizing<String>);

/// The names in a verified client certificate. A field may have several values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Certificate {
    pub common_names: Vec<String>,
    pub dns: Vec<String>,
    pub uris: Vec<String>,
    pub emails: Vec<String>,
}

impl Bearer {
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The secret itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}
