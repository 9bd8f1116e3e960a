//! Takes the secrets of tokens out of log lines.
//!
//! No line is meant to have a token. But people paste one where a name or a room belongs, programs put one into a wrong
//! field, and a refusal repeats what it refuses. So each line is searched for what has the form of a token.

use std::ops::Range;

use memchr::memmem;

/// How our tokens and JSON web tokens begin: the latter are an object, `{"`, in base 64.
const OURS: &str = "hub_";
const JWT: &str = "eyJ";

/// A token's id follows its beginning: it is not secret, and names the token for the operator.
const ID_LENGTH: usize = 8;

/// Shorter words are no tokens.
const OURS_LENGTH_MIN: usize = 32;
const JWT_LENGTH_MIN: usize = 60;

/// Replaces the secrets of tokens.
pub fn redact(line: &mut String) {
    let mut secrets: Vec<_> = [OURS, JWT].into_iter().flat_map(|begin| secrets(line, begin)).collect();
    if secrets.is_empty() {
        return;
    }
    secrets.sort_unstable_by_key(|secret| secret.start);
    let (mut redacted, mut end) = (String::with_capacity(line.len()), 0);
    for secret in secrets {
        // A token of one kind may be in one of the other kind.
        if secret.start >= end {
            redacted.push_str(&line[end..secret.start]);
            redacted.push('…');
        }
        end = end.max(secret.end);
    }
    redacted.push_str(&line[end..]);
    *line = redacted;
}

/// Where the secrets of tokens of one kind are.
fn secrets(line: &str, begin: &str) -> Vec<Range<usize>> {
    let (mut found, mut from) = (Vec::new(), 0);
    while let Some(at) = memmem::find(&line.as_bytes()[from..], begin.as_bytes()) {
        let start = from + at;
        let rest = &line[start..];
        let length = rest.find(|c: char| !is_part(c)).unwrap_or(rest.len());
        from = start + begin.len();
        let word = &rest[..length];
        let is_jwt = begin == JWT && word.matches('.').count() >= 2 && length > JWT_LENGTH_MIN;
        if is_jwt || begin == OURS && length > OURS_LENGTH_MIN {
            // A word that is so long is ASCII up to its end.
            let kept = if is_jwt { begin.len() } else { begin.len() + ID_LENGTH + 1 };
            found.push(start + kept..start + length);
            from = start + length;
        }
    }
    found
}

fn is_part(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TOKEN: &str = "hub_9xzren8g_1J7pJy_x_vIaZ9VWOywT6hfVCRhuXxXQKcTDagw-gTc0Np59e";

    fn redacted(line: &str) -> String {
        let mut line = line.to_owned();
        redact(&mut line);
        line
    }

    #[test]
    fn tokens_lose_their_secrets_and_keep_their_ids() {
        let jwt = format!("eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.{}", "MEUCIQ-_".repeat(8));
        for (line, expected) in [
            (format!("name={TOKEN} verified"), "name=hub_9xzren8g_… verified"),
            (
                format!("{{\"detail\":\"\\n{TOKEN}\",\"x\":\"{TOKEN}\"}}"),
                "{\"detail\":\"\\nhub_9xzren8g_…\",\"x\":\"hub_9xzren8g_…\"}",
            ),
            (format!("tea%2F{TOKEN}é {jwt}, {jwt}"), "tea%2Fhub_9xzren8g_…é eyJ…, eyJ…"),
            (format!("{jwt}.{TOKEN} is both"), "eyJ… is both"),
            (format!("Bearer {}…", &TOKEN[..40]), "Bearer hub_9xzren8g_……"),
        ] {
            assert_eq!(redacted(&line), expected, "{line}");
        }
        for line in ["", "token 9xzren8g of hub_9xzren8g", "hub_", "eyJ", "hubbub_server::start_line hub_é", "eyJ.a.b"]
        {
            assert_eq!(redacted(line), line);
        }
    }

    proptest! {
        #[test]
        fn nothing_of_a_secret_is_left_anywhere(before in "[ -~é]{0,40}", after in "[ -~é]{0,40}") {
            let line = redacted(&format!("{before}{TOKEN}{after}"));
            prop_assert!(!line.contains(&TOKEN[13..30]) && line.contains('…'), "{line}");
        }
    }
}
