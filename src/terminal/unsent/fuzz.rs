//! The decoder of the files that an earlier chat left, for [`crate::fuzz`].

use super::file::{Found, Owner, parse};
use super::moment_in_words;

/// What a file contains is read again when it is kept again.
pub fn unsent(input: &[u8]) {
    let Found::Texts(texts) = parse(input, &owner()) else { return };
    let lines = texts.iter().map(|text| serde_json::to_string(text).expect("it is plain"));
    let again = std::iter::once(HEADER.to_owned()).chain(lines).collect::<Vec<_>>().join("\n");
    for text in &texts {
        assert!(!moment_in_words(text.since_ms).is_empty());
    }
    assert_eq!(parse(again.as_bytes(), &owner()), Found::Texts(texts));
}

pub fn unsent_seeds() -> Vec<Vec<u8>> {
    const TEXTS: &str = r#"
{"room":"tea","id":"0123456789abcdef0123456789abcdef","is_action":false,"since_ms":1700000000000,"body":"hi\u001b"}
{"room":"tea","is_action":true,"since_ms":18446744073709551615,"body":"waves"}
"#;
    vec![[HEADER, TEXTS].concat().into_bytes()]
}

const HEADER: &str = r#"{"hubbub_unsent":1,"server":"127.0.0.1:5000","name":"ann"}"#;

fn owner() -> Owner {
    Owner { server: "127.0.0.1:5000".to_owned(), name: "ann".to_owned() }
}
