//! Tokens: what they grant, and why they are refused.

use std::collections::BTreeSet;
use std::thread;

use super::*;
use crate::limits::JWT_ROOMS_MAX;
use crate::names::{RoomName, UserName};
use crate::server::auth::access::Act;
use crate::server::auth::principal::{Acts, Grants, Role, Via};

/// What comes of these claims, signed with the right key.
fn outcome(claims: &Value) -> Result<Principal, LoginError> {
    let (folder, signer) = (Folder::new(), Signer::ed25519());
    folder.jwt(&[&signer]).verify(&signer.sign(claims), now())
}

fn with(changes: Value) -> Result<Principal, LoginError> {
    outcome(&claims_with(changes))
}

#[test]
fn a_minimal_token_is_a_member_without_restrictions() {
    let (folder, signer) = (Folder::new(), Signer::ed25519());
    let jwt = folder.jwt(&[&signer]);
    let principal = jwt.verify(&signer.sign(&claims()), now()).unwrap();
    let until = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW + 300);
    let expected = Principal {
        name: UserName::new("ann").ok(),
        role: Role::Member,
        via: Via::Jwt(jwt.keys.read().keys[0].print()),
        until: Some(until),
        grants: Default::default(),
    };
    assert_eq!(principal, expected);
}

#[test]
fn claims_grant_a_role_rooms_and_acts() {
    let granted = json!({"hubbub_role": "moderator", "hubbub_rooms": ["builds", "ops"], "hubbub_acts": ["read"]});
    let principal = with(granted).unwrap();
    assert_eq!(principal.role, Role::Moderator);
    let rooms: BTreeSet<_> = ["builds", "ops"].map(|room| RoomName::new(room).unwrap()).into();
    assert_eq!(principal.grants.rooms, Some(rooms));
    assert_eq!(principal.grants.acts, Acts { read: true, post: false });
    // Another system's role means nothing here.
    let principal = with(json!({"role": "admin", "roles": ["admin"], "rooms": []})).unwrap();
    assert_eq!((principal.role, principal.grants), (Role::Member, Grants::default()));
}

/// The lists grant what they have: an empty one nothing.
#[test]
fn empty_lists_grant_nothing() {
    let lobby = RoomName::lobby();
    let roomless = with(json!({"hubbub_rooms": []})).unwrap();
    assert!(roomless.may(Act::Read(&lobby)).is_err() && roomless.may(Act::Post(&lobby)).is_err());
    let actless = with(json!({"hubbub_acts": []})).unwrap();
    assert!(actless.may(Act::Read(&lobby)).is_err() && actless.may(Act::Post(&lobby)).is_err());
}

#[test]
fn claims_may_have_other_names() {
    let (folder, signer) = (Folder::new(), Signer::ed25519());
    let mut settings = settings(vec![folder.write("key", &signer.public)]);
    settings.name_claim = "nick".to_owned();
    settings.role_claim = "https://shop.example/role".to_owned();
    let jwt = Jwt::open(&settings).unwrap();
    let token = signer.sign(&claims_with(json!({"nick": "Zoë", "https://shop.example/role": "admin"})));
    let principal = jwt.verify(&token, now()).unwrap();
    assert_eq!((principal.name, principal.role), (UserName::new("Zoë").ok(), Role::Admin));
    assert!(reason(jwt.verify(&signer.sign(&claims()), now())).contains("--jwt-name-claim"));
    for claim in ["exp", "iss", "nick", "https://shop.example/role"] {
        let doubled = JwtSettings { acts_claim: claim.to_owned(), ..settings.clone() };
        assert!(matches!(Jwt::open(&doubled), Err(JwtError::Claim(_))), "{claim}");
    }
}

#[test]
fn a_wrong_key_is_refused_without_details() {
    let (folder, signer) = (Folder::new(), Signer::ed25519());
    let jwt = folder.jwt(&[&signer]);
    // What its claims lack is not said.
    for claims in [claims(), json!({}), claims_with(json!({"exp": 1}))] {
        assert_eq!(jwt.verify(&Signer::ed25519().sign(&claims), now()), Err(LoginError::Invalid));
    }
    for text in ["", ".", "..", "...", "a.b", "a.b.c", "e30.e30.", "hub_12345678_secret", "Zoë.ü.ö"] {
        assert_eq!(jwt.verify(&Bearer::new(text), now()), Err(LoginError::Invalid), "{text}");
    }
}

/// The server's public key is known. A library that takes the algorithm from the token, and the key for whatever the
/// algorithm needs, accepts a token that is signed with the public key as a secret.
#[test]
fn a_public_key_does_not_serve_as_a_secret() {
    let (folder, signer) = (Folder::new(), Signer::rsa(Algorithm::RS256));
    let jwt = folder.jwt(&[&signer]);
    let der = x509_parser::pem::parse_x509_pem(RSA_PUBLIC.as_bytes()).unwrap().1.contents;
    for secret in [RSA_PUBLIC.as_bytes(), RSA_PUBLIC.trim().as_bytes(), &der] {
        for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            let token = Signer::secret(secret, algorithm).sign(&claims());
            assert!(reason(jwt.verify(&token, now())).contains("algorithm"));
        }
    }
    assert!(jwt.verify(&signer.sign(&claims()), now()).is_ok());
    // Nor does an algorithm in the header other than the one that was used.
    let relabelled = signer.sign_parts("{\"alg\":\"RS512\"}", &claims().to_string());
    assert_eq!(jwt.verify(&relabelled, now()), Err(LoginError::Invalid));
}

#[test]
fn unsigned_tokens_are_refused() {
    let (folder, signer) = (Folder::new(), Signer::ed25519());
    let jwt = folder.jwt(&[&signer]);
    for algorithm in ["none", "None", "NONE", "nOnE", "", "HS1", "RS1", "ES256K", "dir"] {
        let token = signer.sign_parts(&json!({"alg": algorithm}).to_string(), &claims().to_string());
        let unsigned = Bearer::new(token.expose().rsplit_once('.').unwrap().0.to_owned() + ".");
        for token in [token, unsigned] {
            assert!(reason(jwt.verify(&token, now())).contains("algorithm"), "{algorithm}");
        }
    }
    let stripped = signer.sign(&claims()).expose().rsplit_once('.').unwrap().0.to_owned() + ".";
    assert_eq!(jwt.verify(&Bearer::new(stripped), now()), Err(LoginError::Invalid));
}

/// A key, or the address of one, that a token brings along.
#[test]
fn keys_in_a_token_are_not_used() {
    let (folder, signer, other) = (Folder::new(), Signer::ed25519(), Signer::ed25519());
    let jwt = folder.jwt(&[&signer]);
    for header in [
        json!({"alg": "EdDSA", "jwk": other.jwk()}),
        json!({"alg": "EdDSA", "jku": "https://evil.example/keys", "kid": "../../etc/passwd"}),
        json!({"alg": "EdDSA", "x5u": "https://evil.example/chain"}),
    ] {
        let token = other.sign_parts(&header.to_string(), &claims().to_string());
        assert_eq!(jwt.verify(&token, now()), Err(LoginError::Invalid));
    }
}

#[test]
fn headers_are_checked() {
    let (folder, signer) = (Folder::new(), Signer::ed25519());
    let jwt = folder.jwt(&[&signer]);
    let claims = claims().to_string();
    for critical in ["[\"b64\"]", "[]", "null", "1"] {
        let token = signer.sign_parts(&format!("{{\"alg\":\"EdDSA\",\"crit\":{critical}}}"), &claims);
        assert!(reason(jwt.verify(&token, now())).contains("crit"));
    }
    for header in
        ["", "[]", "{}", "{\"alg\":1}", "{\"alg\":\"EdDSA\",\"alg\":\"none\"}", "{\"alg\":\"EdDSA\",\"kid\":1}"]
    {
        assert_eq!(jwt.verify(&signer.sign_parts(header, &claims), now()), Err(LoginError::Invalid), "{header}");
    }
    // RFC 9864's name, and what other issuers add.
    let token = signer.sign_parts("{\"alg\":\"Ed25519\",\"typ\":\"at+jwt\",\"x\":[{}]}", &claims);
    assert!(jwt.verify(&token, now()).is_ok());
}

#[test]
fn times_are_checked() {
    let times = |exp: Value, nbf: Value, iat: Value| with(json!({"exp": exp, "nbf": nbf, "iat": iat}));
    let (ok, none) = (json!(NOW + 60), Value::Null);
    for exp in [json!(NOW + 1), json!(NOW as f64 + 0.5), json!(NOW + 24 * 3_600), json!(NOW + 24 * 3_600 + 30)] {
        assert!(times(exp.clone(), none.clone(), none.clone()).is_ok(), "{exp}");
    }
    for exp in [json!(NOW), json!(NOW - 1), json!(0), json!(-1), json!(-1e300), json!(i64::MIN)] {
        assert_eq!(times(exp.clone(), none.clone(), none.clone()), Err(LoginError::Expired), "{exp}");
    }
    // In milliseconds it would be valid for 60,000 years.
    for exp in [json!(NOW + 24 * 3_600 + 31), json!((NOW + 60) * 1_000), json!(u64::MAX), json!(1e300)] {
        assert!(reason(times(exp.clone(), none.clone(), none.clone())).contains("24 hours"), "{exp}");
    }
    assert!(reason(times(none.clone(), none.clone(), none.clone())).contains("required"));
    for early in [json!(NOW + 30), json!(NOW), json!(0), json!(-5)] {
        assert!(times(ok.clone(), early.clone(), early.clone()).is_ok(), "{early}");
    }
    for late in [json!(NOW + 31), json!(1e18), json!(u64::MAX)] {
        assert_eq!(times(ok.clone(), late.clone(), none.clone()), Err(LoginError::NotYetValid), "{late}");
        assert_eq!(times(ok.clone(), none.clone(), late.clone()), Err(LoginError::NotYetValid), "{late}");
    }
    for wrong in [json!((NOW + 60).to_string()), json!([NOW + 60]), json!(true), json!({})] {
        assert!(reason(times(wrong.clone(), none.clone(), none.clone())).contains("not a number"), "{wrong}");
        assert!(reason(times(ok.clone(), wrong.clone(), none.clone())).contains("not a number"), "{wrong}");
    }
}

/// A number that no float holds, and a clock before 1970.
#[test]
fn extreme_times_are_refused() {
    let (folder, signer) = (Folder::new(), Signer::ed25519());
    let jwt = folder.jwt(&[&signer]);
    let claims =
        |exp: &str| format!("{{\"iss\":\"https://shop.example\",\"aud\":\"hubbub\",\"sub\":\"ann\",\"exp\":{exp}}}");
    for exp in ["1e999", "null", "NaN", &"9".repeat(4_000)] {
        let token = signer.sign_parts("{\"alg\":\"EdDSA\"}", &claims(exp));
        assert!(matches!(jwt.verify(&token, now()), Err(LoginError::Jwt(_))), "{exp}");
    }
    let token = signer.sign_parts("{\"alg\":\"EdDSA\"}", &claims("60"));
    let early = SystemTime::UNIX_EPOCH - Duration::from_secs(1_000);
    assert!(jwt.verify(&token, early).is_ok());
    assert_eq!(jwt.verify(&token, now()), Err(LoginError::Expired));
}

#[test]
fn the_issuer_and_the_audience_must_match() {
    assert!(with(json!({"aud": ["other", "hubbub"]})).is_ok());
    for issuer in [json!("https://shop.example/"), json!("https://evil.example"), json!(["https://shop.example"])] {
        assert!(reason(with(json!({"iss": issuer}))).contains("another"));
    }
    for audience in [json!("Hubbub"), json!(["other"]), json!([]), json!([["hubbub"]]), json!({"hubbub": 1}), json!(1)]
    {
        assert!(reason(with(json!({"aud": audience}))).contains("another"));
    }
    assert!(reason(with(json!({"iss": null}))).contains("no issuer"));
    assert!(reason(with(json!({"aud": null}))).contains("no audience"));
}

#[test]
fn wrong_values_are_refused_rather_than_ignored() {
    for (claim, text) in
        [("sub", "user name"), ("hubbub_role", "role"), ("hubbub_rooms", "rooms"), ("hubbub_acts", "acts")]
    {
        let wrong = [json!(1), json!(true), json!({}), json!(""), json!(["a b"]), json!([1]), json!("Admin")];
        for value in wrong.into_iter().filter(|value| claim != "sub" || value != "Admin") {
            assert!(reason(with(json!({claim: value}))).contains(text), "{claim} {value}");
        }
        let mut claims = claims();
        claims[claim] = Value::Null;
        assert!(reason(outcome(&claims)).contains(text), "{claim} null");
    }
    for name in [" ann", "an\nn", "a\u{202e}nn", &"x".repeat(65)] {
        assert!(reason(with(json!({"sub": name}))).contains("not valid"), "{name:?}");
    }
    assert!(reason(with(json!({"sub": null}))).contains("no user name"));
}

#[test]
fn a_claim_may_not_occur_twice() {
    let (folder, signer) = (Folder::new(), Signer::ed25519());
    let jwt = folder.jwt(&[&signer]);
    let verified = |claims: &str| jwt.verify(&signer.sign_parts("{\"alg\":\"EdDSA\"}", claims), now());
    let plain = claims().to_string();
    assert!(verified(&plain).is_ok());
    for (claim, value) in
        [("sub", json!("bob")), ("s\\u0075b", json!("bob")), ("exp", json!(NOW + 9_000)), ("aud", json!("hubbub"))]
    {
        for twice in [plain.replacen('{', &format!("{{\"{claim}\":{value},"), 1), {
            let open = plain.strip_suffix('}').unwrap();
            format!("{open},\"{claim}\":{value}}}")
        }] {
            assert!(reason(verified(&twice)).contains("twice"), "{twice}");
        }
    }
    for wrong in ["", "null", "[]", "\"a\"", &format!("{plain} 1"), &plain[1..]] {
        assert!(reason(verified(wrong)).contains("JSON object"), "{wrong}");
    }
}

#[test]
fn the_size_is_bounded() {
    let (folder, signer) = (Folder::new(), Signer::ed25519());
    let jwt = folder.jwt(&[&signer]);
    let padded = |count| jwt.verify(&signer.sign(&claims_with(json!({"padding": "x".repeat(count)}))), now());
    assert!(padded(5_800).is_ok());
    assert!(reason(padded(9 * 1024)).contains("8 KiB"));
    let rooms = |count| jwt.verify(&signer.sign(&claims_with(json!({"hubbub_rooms": vec!["a"; count]}))), now());
    assert_eq!(rooms(JWT_ROOMS_MAX).unwrap().grants.rooms.map(|rooms| rooms.len()), Some(1));
    assert!(reason(rooms(JWT_ROOMS_MAX + 1)).contains("1,000"));
}

/// A parser that recurses would run out of its stack.
#[test]
fn nested_claims_do_no_harm() {
    let (folder, signer) = (Folder::new(), Signer::ed25519());
    let jwt = folder.jwt(&[&signer]);
    for depth in [100, 2_900, 100_000] {
        for claim in ["deep", "sub", "aud", "exp"] {
            let nested = format!("{{\"{claim}\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
            let token = signer.sign_parts("{\"alg\":\"EdDSA\"}", &nested);
            assert!(matches!(jwt.verify(&token, now()), Err(LoginError::Jwt(_))), "{depth} {claim}");
            let token = signer.sign_parts(&nested, &claims().to_string());
            assert!(jwt.verify(&token, now()).is_err(), "{depth} {claim}");
        }
    }
}

#[test]
fn the_key_id_selects() {
    let folder = Folder::new();
    let (old, new) = (Signer::ed25519().with_id("old"), Signer::ed25519().with_id("new"));
    let set = folder.write("jwks", json!({"keys": [old.jwk(), new.jwk()]}).to_string());
    let jwt = Jwt::open(&JwtSettings { jwks: Some(set), ..settings(Vec::new()) }).unwrap();
    for signer in [&old, &new] {
        assert!(jwt.verify(&signer.sign(&claims()), now()).is_ok());
        let nameless = signer.sign_parts("{\"alg\":\"EdDSA\"}", &claims().to_string());
        assert!(jwt.verify(&nameless, now()).is_ok());
    }
    let swapped = new.sign_parts("{\"alg\":\"EdDSA\",\"kid\":\"old\"}", &claims().to_string());
    assert_eq!(jwt.verify(&swapped, now()), Err(LoginError::Invalid));
    let unknown = new.sign_parts("{\"alg\":\"EdDSA\",\"kid\":\"newer\"}", &claims().to_string());
    assert!(reason(jwt.verify(&unknown, now())).contains("kid"));
    // A PEM has no id, so that its key may have any.
    let jwt = folder.jwt(&[&new]);
    assert!(jwt.verify(&unknown, now()).is_ok());
}

#[test]
fn keys_rotate_without_a_restart() {
    let folder = Folder::new();
    let (old, new) = (Signer::ed25519().with_id("old"), Signer::p256().with_id("new"));
    let write = |signers: &[&Signer]| {
        let keys: Vec<_> = signers.iter().map(|signer| signer.jwk()).collect();
        folder.write("jwks", json!({"keys": keys}).to_string())
    };
    let jwt = Jwt::open(&JwtSettings { jwks: Some(write(&[&old])), ..settings(Vec::new()) }).unwrap();
    let is_valid = |signer: &Signer| jwt.verify(&signer.sign(&claims()), now()).is_ok();
    assert!(!jwt.reload().unwrap());
    assert_eq!((is_valid(&old), is_valid(&new)), (true, false));
    write(&[&old, &new]);
    assert!(jwt.reload().unwrap());
    assert!(!jwt.reload().unwrap());
    assert_eq!((is_valid(&old), is_valid(&new)), (true, true));
    let logins = [&old, &new].map(|signer| jwt.verify(&signer.sign(&claims()), now()).unwrap());
    assert!(logins.iter().all(|login| jwt.is_valid(login)));
    write(&[&new]);
    assert!(jwt.reload().unwrap());
    assert_eq!((is_valid(&old), is_valid(&new)), (false, true));
    // A login ends with its key.
    assert_eq!(logins.each_ref().map(|login| jwt.is_valid(login)), [false, true]);
    // What can't be read, or is not a set, changes nothing.
    let path = folder.write("jwks", "{\"keys\": [");
    assert!(matches!(jwt.reload(), Err(JwtError::Key { .. })));
    fs::remove_file(path).unwrap();
    assert!(matches!(jwt.reload(), Err(JwtError::Read { .. })));
    assert_eq!((is_valid(&old), is_valid(&new)), (false, true));
    write(&[&old]);
    assert!(jwt.reload().unwrap());
    assert_eq!((is_valid(&old), is_valid(&new)), (true, false));
}

/// A token is verified with the keys of one time, old or new, while several threads reload.
#[test]
fn verification_goes_on_during_a_reload() {
    let folder = Folder::new();
    let (first, second) = (Signer::ed25519(), Signer::ed25519());
    let path = folder.write("key", &first.public);
    let jwt = Jwt::open(&settings(vec![path.clone()])).unwrap();
    let tokens = [first.sign(&claims()), second.sign(&claims())];
    let next = |content: &str| {
        fs::write(path.with_extension("new"), content).unwrap();
        fs::rename(path.with_extension("new"), &path).unwrap();
    };
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..200 {
                    jwt.reload().unwrap();
                }
            });
        }
        for round in 0..100 {
            next(if round % 2 == 0 { &second.public } else { &first.public });
            for token in &tokens {
                assert!(matches!(jwt.verify(token, now()), Ok(_) | Err(LoginError::Invalid)));
            }
        }
    });
    next(&second.public);
    jwt.reload().unwrap();
    assert!(jwt.verify(&tokens[1], now()).is_ok());
    assert_eq!(jwt.verify(&tokens[0], now()), Err(LoginError::Invalid));
}

/// Nothing of the library is global: a second server in the process has its own keys and settings.
#[test]
fn several_verifiers_are_independent() {
    let (folders, signer) = ([Folder::new(), Folder::new()], Signer::ed25519());
    let first = folders[0].jwt(&[&signer]);
    let key = folders[1].write("key", &signer.public);
    let second = Jwt::open(&JwtSettings { audience: "second".to_owned(), ..settings(vec![key]) }).unwrap();
    assert!(first.verify(&signer.sign(&claims()), now()).is_ok());
    assert!(reason(second.verify(&signer.sign(&claims()), now())).contains("audience"));
}

/// A program presents the same token with each of its calls.
#[test]
fn a_verified_token_is_verified_once_until_it_expires_or_the_keys_change() {
    let folder = Folder::new();
    let (first, second) = (Signer::p256(), Signer::p256());
    let jwt = folder.jwt(&[&first]);
    let token = first.sign(&claims());
    let find = || jwt.keys.read().verified.find(token.expose(), now());
    assert_eq!(find(), None);
    let user = jwt.verify(&token, now()).unwrap();
    assert_eq!(find().as_ref(), Some(&user));
    assert_eq!(jwt.verify(&token, now()).as_ref(), Ok(&user));
    assert_eq!(jwt.verify(&token, now() + Duration::from_secs(300)), Err(LoginError::Expired));
    // What is refused is not remembered.
    let (head, _) = token.expose().rsplit_once('.').unwrap();
    let forged = Bearer::new(format!("{head}.{}", "A".repeat(86)));
    for _ in 0..2 {
        assert_eq!(jwt.verify(&forged, now()), Err(LoginError::Invalid));
    }
    folder.write("0.pem", &second.public);
    assert!(jwt.reload().unwrap());
    assert_eq!(jwt.verify(&token, now()), Err(LoginError::Invalid));
}
