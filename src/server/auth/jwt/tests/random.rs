//! Random and changed tokens: none is accepted, and none causes a panic.

use std::sync::LazyLock;

use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

use super::*;
use crate::server::auth::jwt::claims;
use crate::server::auth::principal::KeyPrint;

/// A verifier with keys of every kind but secrets, and a right token for each.
static PUBLIC: LazyLock<(Jwt, Vec<String>)> = LazyLock::new(|| {
    let folder = Folder::new();
    let signers = [Signer::ed25519(), Signer::p256(), Signer::p384(), Signer::rsa(Algorithm::RS256)];
    let jwt = folder.jwt(&signers.each_ref());
    (jwt, signers.iter().map(|signer| signer.sign(&claims()).expose().to_owned()).collect())
});

static SECRET: LazyLock<(Jwt, Vec<String>)> = LazyLock::new(|| {
    let folder = Folder::new();
    let signer = Signer::secret(&[7; 64], Algorithm::HS256);
    let jwt = Jwt::open(&settings(vec![folder.write("secret", [7; 64])])).unwrap();
    (jwt, vec![signer.sign(&claims()).expose().to_owned()])
});

/// An edit of a token.
#[derive(Clone, Debug)]
enum Edit {
    Replace(char),
    Insert(char),
    Remove,
    Truncate,
    Swap,
}

fn edit() -> impl Strategy<Value = (usize, Edit)> {
    let character =
        || prop_oneof![4 => proptest::char::range('A', 'z'), 1 => Just('.'), 1 => Just('='), 1 => any::<char>()];
    let edit = prop_oneof![
        character().prop_map(Edit::Replace),
        character().prop_map(Edit::Insert),
        Just(Edit::Remove),
        Just(Edit::Truncate),
        Just(Edit::Swap),
    ];
    (0..700_usize, edit)
}

fn edited(token: &str, edits: &[(usize, Edit)]) -> String {
    let mut characters: Vec<_> = token.chars().collect();
    for (at, edit) in edits {
        let at = at % characters.len().max(1);
        match edit {
            _ if characters.is_empty() => {}
            Edit::Replace(character) => characters[at] = *character,
            Edit::Insert(character) => characters.insert(at, *character),
            Edit::Remove => drop(characters.remove(at)),
            Edit::Truncate => characters.truncate(at),
            Edit::Swap => characters.swap(at, 0),
        }
    }
    characters.into_iter().collect()
}

/// Whether any of the verifiers accepts a token.
fn is_accepted(token: String) -> bool {
    let token = Bearer::new(token);
    [&*PUBLIC, &*SECRET].iter().any(|(jwt, _)| jwt.verify(&token, now()).is_ok())
}

fn pem(content: &[u8]) -> String {
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(content))
}

fn bytes(length: usize) -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..length)
}

/// What has verified the claims.
const KEY: KeyPrint = KeyPrint([0; 32]);

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn changed_tokens_are_refused(edits in proptest::collection::vec(edit(), 1..4)) {
        for (jwt, tokens) in [&*PUBLIC, &*SECRET] {
            for token in tokens {
                let changed = edited(token, &edits);
                let is_same = changed == *token;
                let outcome = jwt.verify(&Bearer::new(changed), now());
                prop_assert_eq!(outcome.is_ok(), is_same);
            }
        }
    }

    #[test]
    fn random_text_is_refused(text in ".{0,300}", parts in proptest::collection::vec(bytes(80), 3)) {
        let parts: Vec<_> = parts.iter().map(|part| URL_SAFE_NO_PAD.encode(part)).collect();
        prop_assert!(!is_accepted(text));
        prop_assert!(!is_accepted(parts.join(".")));
        for algorithm in ["EdDSA", "ES256", "ES384", "RS256", "PS512", "HS256"] {
            let header = URL_SAFE_NO_PAD.encode(json!({"alg": algorithm}).to_string());
            let token = [&header, &parts[1], &parts[2]].map(String::as_str).join(".");
            prop_assert!(!is_accepted(token));
        }
    }

    /// Claims whose signature is right may be anything.
    #[test]
    fn random_claims_cause_no_panic(
        json in "[\\[\\]{}:,0-9a-z\"\\\\.eE+-]{0,80}",
        bytes in bytes(80),
        exp in any::<f64>(),
        seconds in any::<u32>(),
    ) {
        let settings = settings(Vec::new());
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.into());
        let outcomes = [json.as_bytes(), &bytes].map(|claims| claims::principal(claims, KEY, &settings, time));
        prop_assert!(outcomes.iter().all(Result::is_err));
        for exp in [exp, f64::from(seconds) + exp % 100_000.0] {
            let timed = claims_with(json!({"exp": exp})).to_string();
            if let Ok(principal) = claims::principal(timed.as_bytes(), KEY, &settings, time) {
                let until = principal.until.unwrap();
                prop_assert!(until > time && until <= time + Duration::from_secs(24 * 60 * 60 + 31));
            }
        }
    }

    #[test]
    fn random_files_of_keys_cause_no_panic(text in "[ -~\n]{0,200}", bytes in bytes(200)) {
        let _ = key_file::parse(text.as_bytes());
        let _ = key_file::parse(&bytes);
        let begun = ["-----BEGIN PUBLIC KEY-----\n", &text].concat();
        let _ = key_file::parse(begun.as_bytes());
        prop_assert!(key_file::parse(pem(&bytes).as_bytes()).is_err());
    }
}
