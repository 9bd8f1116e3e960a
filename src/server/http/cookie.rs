//! The cookie that holds the login of a page: its scripts can't read it, and no other site can have it sent.

use super::head::Head;
use crate::server::auth::credentials::{Bearer, Presented};

/// The cookie of a page that came over TLS: the prefix makes a browser refuse it from any other host or path.
const SECURE: &str = "__Host-hubbub";

/// The cookie of a page without TLS, on this machine for example.
const PLAIN: &str = "hubbub";

/// How long a browser keeps it, in seconds: 400 days, the longest that browsers accept. The login itself may end earlier.
const KEPT_S: u32 = 400 * 24 * 3_600;

/// The token in the request's cookie.
pub fn token(head: &Head) -> Presented {
    let fields = head.values("cookie").filter_map(|value| str::from_utf8(value).ok());
    let pairs: Vec<_> =
        fields.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('=')).collect();
    let find = |wanted| pairs.iter().find(|(name, value)| *name == wanted && !value.is_empty());
    match find(SECURE).or_else(|| find(PLAIN)) {
        Some((_, token)) => Presented::Token(Bearer::new(*token)),
        None => Presented::Nothing,
    }
}

/// The field `Set-Cookie` that sets the token, or removes it. `is_secure`: the page came over TLS, as its browser says.
pub fn set(token: Option<&Bearer>, is_secure: bool) -> String {
    let (name, secure) = if is_secure { (SECURE, "; Secure") } else { (PLAIN, "") };
    let (value, age) = token.map_or(("", 0), |token| (token.expose(), KEPT_S));
    format!("{name}={value}; Path=/; Max-Age={age}; HttpOnly; SameSite=Strict{secure}")
}

/// Whether a token can stand in a cookie.
pub fn may_hold(token: &str) -> bool {
    (1..=TOKEN_BYTES_MAX).contains(&token.len())
        && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte))
}

/// Browsers keep cookies of at most 4,096 bytes.
const TOKEN_BYTES_MAX: usize = 3_900;

#[cfg(test)]
mod tests {
    use super::*;

    fn of(cookie: &str) -> Presented {
        let text = format!("GET / HTTP/1.1\r\nHost: x\r\n{cookie}\r\n");
        token(&Head::parse(text.as_bytes()).unwrap())
    }

    fn presents(token: &str) -> Presented {
        Presented::Token(Bearer::new(token))
    }

    #[test]
    fn the_token_is_found_among_other_cookies() {
        assert_eq!(of(""), Presented::Nothing);
        assert_eq!(of("Cookie: a=b; hubbubx=1; xhubbub=2; hubbub=\r\n"), Presented::Nothing);
        assert_eq!(of("Cookie: a=b; hubbub=hub_1\r\n"), presents("hub_1"));
        assert_eq!(of("Cookie: hubbub=hub_1;__Host-hubbub=hub_2\r\n"), presents("hub_2"));
        assert_eq!(of("Cookie: a=b\r\nCookie: hubbub=a=b==\r\n"), presents("a=b=="));
    }

    #[test]
    fn a_cookie_is_out_of_reach_of_scripts_and_other_sites() {
        let token = Bearer::new("hub_1");
        let set_it = set(Some(&token), true);
        assert_eq!(set_it, "__Host-hubbub=hub_1; Path=/; Max-Age=34560000; HttpOnly; SameSite=Strict; Secure");
        assert_eq!(set(None, false), "hubbub=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict");
        assert!(may_hold("hub_a-b.c~d+e/f=="));
        for bad in ["", "a;b", "a b", "a,b", "a\"b", "é", "a\r\nb"] {
            assert!(!may_hold(bad), "{bad:?}");
        }
    }
}
