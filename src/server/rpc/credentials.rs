//! What a call presents to show who its client is.

use grpcio::RpcContext;

use crate::server::auth::credentials::{Bearer, Credentials, Presented};

/// The scheme of the header, in any case.
const BEARER: &str = "bearer ";

/// What a call presents.
pub fn of(context: &RpcContext<'_>) -> Credentials {
    let mut headers = context.request_headers().iter().filter(|(key, _)| *key == "authorization");
    let bearer = match (headers.next(), headers.next()) {
        (None, _) => Presented::Nothing,
        (Some((_, value)), None) => bearer(value),
        _ => Presented::Malformed,
    };
    Credentials { bearer, certificate: None }
}

fn bearer(value: &[u8]) -> Presented {
    let token = std::str::from_utf8(value).ok().and_then(|value| {
        let (scheme, token) = value.split_at_checked(BEARER.len())?;
        scheme.eq_ignore_ascii_case(BEARER).then(|| token.trim())
    });
    token.filter(|token| !token.is_empty()).map_or(Presented::Malformed, |token| Presented::Token(Bearer::new(token)))
}
