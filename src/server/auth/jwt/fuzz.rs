//! The decoders of JSON web tokens and of key files, for [`crate::fuzz`].

use std::time::{Duration, SystemTime};

use jsonwebtoken::Algorithm;

use super::header::Header;
use super::{JwtSettings, claims, key_file};
use crate::limits::{JWT_LEEWAY, JWT_LIFE_MAX, JWT_ROOMS_MAX};
use crate::server::auth::principal::KeyPrint;

const NOW_S: u64 = 2_000_000_000;

/// Claims whose signature is right may be anything.
pub fn claims(input: &[u8]) {
    let settings = JwtSettings::new("https://shop.example", "hubbub");
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW_S);
    let Ok(user) = claims::principal(input, KeyPrint([0; 32]), &settings, now) else { return };
    let until = user.until.expect("a token without an expiry is refused");
    assert!(until > now && until <= now + JWT_LIFE_MAX + JWT_LEEWAY);
    assert!(user.name.is_some() && user.grants.rooms.is_none_or(|rooms| rooms.len() <= JWT_ROOMS_MAX));
}

pub fn claim_seeds() -> Vec<Vec<u8>> {
    let place = r#""iss":"https://shop.example","aud":["x","hubbub"]"#;
    let until = NOW_S + 300;
    [
        format!(r#"{{{place},"sub":"ann","exp":{until}}}"#),
        format!(
            r#"{{{place},"sub":"bob","exp":{until}.5,"nbf":{NOW_S},"iat":{NOW_S},"hubbub_role":"admin","hubbub_rooms":["tea"],"hubbub_acts":["read","post"]}}"#
        ),
    ]
    .map(String::into_bytes)
    .to_vec()
}

/// A file of keys verifies nothing that was not signed, and a public key is never used as a secret.
pub fn key_files(input: &[u8]) {
    let _ = Header::parse(input);
    let Ok(keys) = key_file::parse(input) else { return };
    for key in &keys {
        assert!(!key.verifies(Algorithm::HS256, b"header.claims", &vec![0; 32]));
        if input.windows(b"-----BEGIN".len()).any(|part| part == b"-----BEGIN") && !input.starts_with(b"{") {
            assert!(!key.is_secret());
        }
    }
}

pub fn key_file_seeds() -> Vec<Vec<u8>> {
    const RSA: &[u8] = include_bytes!("../../../../tests/fixtures/jwt/rsa-2048-test-public.pem");
    const RSA_PKCS1: &[u8] = include_bytes!("../../../../tests/fixtures/jwt/rsa-2048-test-public-pkcs1.pem");
    let ed25519 =
        r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","kid":"a","use":"sig"}"#;
    let secret = r#"{"kty":"oct","alg":"HS256","k":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"}"#;
    let set = format!(r#"{{"keys":[{ed25519},{{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}}]}}"#);
    let header = r#"{"alg":"ES256","typ":"JWT","kid":"a"}"#;
    let texts = [ed25519, secret, &set, header, "a secret of the tests, of at least 32 bytes\n"];
    let files = [RSA, RSA_PKCS1].map(<[u8]>::to_vec);
    [files.to_vec(), texts.map(|text| text.as_bytes().to_vec()).to_vec()].concat()
}
