//! Files of keys: what is recognized, and what is refused.

use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::limits::JWT_KEY_FILE_BYTES_MAX;
use crate::names::UserName;

fn fault_of(settings: &JwtSettings) -> KeyFault {
    match Jwt::open(settings) {
        Err(JwtError::Key { fault, .. }) => fault,
        other => panic!("{other:?}"),
    }
}

fn fault(content: impl AsRef<[u8]>) -> KeyFault {
    let folder = Folder::new();
    fault_of(&settings(vec![folder.write("key", content)]))
}

/// The key of a file verifies the signer's token.
fn assert_verifies(signer: &Signer, content: impl AsRef<[u8]>) {
    let folder = Folder::new();
    let jwt = Jwt::open(&settings(vec![folder.write("key", content)])).unwrap();
    let principal = jwt.verify(&signer.sign(&claims()), now()).unwrap();
    assert_eq!(principal.name, UserName::new("ann").ok());
}

#[test]
fn every_form_of_a_public_key_is_recognized() {
    for signer in [Signer::ed25519(), Signer::p256(), Signer::p384(), Signer::rsa(Algorithm::RS256)] {
        assert_verifies(&signer, &signer.public);
        assert_verifies(&signer, signer.public.replace('\n', "\r\n"));
        assert_verifies(&signer, signer.jwk().to_string());
        assert_verifies(&signer, json!({"keys": [signer.jwk()]}).to_string());
    }
    assert_verifies(&Signer::rsa(Algorithm::RS256), RSA_PUBLIC_PKCS1);
}

#[test]
fn the_key_of_a_certificate_verifies() {
    let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let certificate = rcgen::CertificateParams::new(Vec::new()).unwrap().self_signed(&pair).unwrap().pem();
    let signer = Signer {
        key: EncodingKey::from_ec_der(&pair.serialize_der()),
        algorithm: Algorithm::ES256,
        id: None,
        public: String::new(),
    };
    assert_verifies(&signer, &certificate);
    // A certificate of an authority, behind it, would verify too.
    assert_eq!(fault(certificate.repeat(2)), KeyFault::Several);
}

/// A login goes on when the file of its key gets another form.
#[test]
fn a_key_is_the_same_in_every_form() {
    for signer in [Signer::ed25519(), Signer::p256(), Signer::p384(), Signer::rsa(Algorithm::RS256)] {
        let forms = [signer.public.clone(), signer.jwk().to_string(), signer.with_id("a").jwk().to_string()];
        let prints = forms.map(|form| key_file::parse(form.as_bytes()).unwrap()[0].print());
        assert!(prints[0] == prints[1] && prints[1] == prints[2]);
    }
    let print = |signer: &Signer| key_file::parse(signer.public.as_bytes()).unwrap()[0].print();
    assert!(print(&Signer::p256()) != print(&Signer::p256()));
}

#[test]
fn every_algorithm_of_a_key_verifies() {
    use Algorithm::*;
    for algorithm in [RS256, RS384, RS512, PS256, PS384, PS512] {
        assert_verifies(&Signer::rsa(algorithm), RSA_PUBLIC);
    }
    let secret = [7; 64];
    for algorithm in [HS256, HS384, HS512] {
        assert_verifies(&Signer::secret(&secret, algorithm), secret);
        assert_verifies(&Signer::secret(&secret, algorithm), Signer::secret(&secret, algorithm).jwk().to_string());
    }
    let only = json!({"keys": [Signer::rsa(RS256).jwk()]}).to_string();
    let folder = Folder::new();
    let jwt = Jwt::open(&settings(vec![folder.write("jwks", only)])).unwrap();
    assert!(reason(jwt.verify(&Signer::rsa(RS512).sign(&claims()), now())).contains("algorithm"));
}

#[test]
fn a_secret_is_the_bytes_of_its_file_without_the_line_break() {
    let text = "0123456789abcdef0123456789abcdef";
    let signer = Signer::secret(text.as_bytes(), Algorithm::HS256);
    for content in [text.to_owned(), format!("{text}\n"), format!("{text}\r\n")] {
        assert_verifies(&signer, content);
    }
    let bytes = [&[0xff; 31][..], b"\n"].concat();
    assert_verifies(&Signer::secret(&bytes, Algorithm::HS256), &bytes);
    // What openssl rand -base64 32 writes.
    let encoded = STANDARD.encode([0xa5; 32]);
    assert_verifies(&Signer::secret(encoded.as_bytes(), Algorithm::HS256), format!("{encoded}\n"));
    assert_eq!(fault("0123456789abcdef0123456789abcde\n"), KeyFault::ShortSecret(31));
    let short = json!({"kty": "oct", "k": URL_SAFE_NO_PAD.encode([1; 16])});
    assert_eq!(fault(short.to_string()), KeyFault::ShortSecret(16));
}

/// A longer hash than the secret would promise a strength that is not there (RFC 7518, 3.2).
#[test]
fn a_secret_is_for_hashes_no_longer_than_it() {
    let folder = Folder::new();
    for (length, works) in [(32, [true, false, false]), (48, [true, true, false]), (64, [true, true, true])] {
        let secret = vec![b'x'; length];
        let jwt = Jwt::open(&settings(vec![folder.write("secret", &secret)])).unwrap();
        for (algorithm, works) in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512].into_iter().zip(works) {
            let token = Signer::secret(&secret, algorithm).sign(&claims());
            assert_eq!(jwt.verify(&token, now()).is_ok(), works, "{length} {algorithm:?}");
        }
    }
}

#[test]
fn a_private_key_is_refused_with_a_hint() {
    assert_eq!(fault(RSA_KEY), KeyFault::Private);
    let pair = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    assert_eq!(fault(pair.serialize_pem()), KeyFault::Private);
    assert_eq!(fault(format!("{}{}", Signer::ed25519().public, pair.serialize_pem())), KeyFault::Private);
    let mut jwk = Signer::p256().jwk();
    jwk["d"] = json!("AAAA");
    assert_eq!(fault(jwk.to_string()), KeyFault::Private);
    assert_eq!(fault(json!({"keys": [Signer::p256().jwk(), jwk]}).to_string()), KeyFault::Private);
    assert!(KeyFault::Private.to_string().contains("-pubout"));
}

/// A public key as a secret is one that everybody knows: with it, anyone could make tokens.
#[test]
fn a_public_key_is_never_a_secret() {
    for public in [Signer::ed25519().public, Signer::p256().public, RSA_PUBLIC.to_owned(), RSA_PUBLIC_PKCS1.to_owned()]
    {
        let lines =
            public.lines().skip_while(|line| !line.starts_with("-----")).filter(|line| !line.starts_with("-----"));
        let lines: Vec<_> = lines.collect();
        let der = STANDARD.decode(lines.concat()).unwrap();
        for form in [lines.join("\n").into_bytes(), lines.concat().into_bytes(), der] {
            assert_eq!(fault(&form), KeyFault::NotPem, "{public}");
        }
    }
    for text in [
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIrEDnu9nD4R6cfLVQdRDgWXRkUW2V9kzZ7HbpuH3Ieq ann@example",
        "---- BEGIN SSH2 PUBLIC KEY ----\nAAAAC3NzaC1lZDI1NTE5AAAAIIrEDnu9nD4R6cfLVQdRDgWXRkUW2V9kzZ7HbpuH3Ieq",
        "<RSAKeyValue><Modulus>AAAAAAAAAAAAAAAAAAAAAAAAAAAA</Modulus></RSAKeyValue>",
    ] {
        assert_eq!(fault(text), KeyFault::NotPem);
    }
    let folder = Folder::new();
    let mixed = [folder.write("secret", [7; 32]), folder.write("public", RSA_PUBLIC)];
    assert!(matches!(Jwt::open(&settings(mixed.into())), Err(JwtError::Mixed)));
    let secret = Signer::secret(&[7; 32], Algorithm::HS256).jwk();
    let set = json!({"keys": [secret, Signer::ed25519().jwk()]}).to_string();
    assert!(matches!(Jwt::open(&settings(vec![folder.write("set", set)])), Err(JwtError::Mixed)));
}

#[test]
fn damaged_and_unsupported_keys_are_refused() {
    assert_eq!(fault(""), KeyFault::Empty);
    assert_eq!(fault("\n \n"), KeyFault::Empty);
    assert_eq!(fault(vec![b'x'; JWT_KEY_FILE_BYTES_MAX as usize + 1]), KeyFault::TooLong);
    assert_eq!(fault(SHORT_RSA_PUBLIC), KeyFault::RsaBits(1024));
    let public = Signer::p256().public;
    assert_eq!(fault(public.replace('\n', "\\n")), KeyFault::Pem);
    assert_eq!(fault(&public[..100]), KeyFault::Pem);
    assert_eq!(fault(public.replace("PUBLIC KEY", "PGP MESSAGE")), KeyFault::PemKind);
    assert_eq!(fault(public.replace("PUBLIC KEY", "CERTIFICATE")), KeyFault::Damaged);
    // A point that is not on the curve.
    let mut jwk = Signer::p256().jwk();
    jwk["x"] = json!(URL_SAFE_NO_PAD.encode([1; 32]));
    assert_eq!(fault(jwk.to_string()), KeyFault::Damaged);
    let short = json!({"kty": "OKP", "crv": "Ed25519", "x": "AAAA"});
    assert_eq!(fault(short.to_string()), KeyFault::Damaged);
    let curve = json!({"kty": "EC", "crv": "P-521", "x": "AAAA", "y": "AAAA"});
    assert_eq!(fault(curve.to_string()), KeyFault::Unsupported);
    let modulus = Signer::rsa(Algorithm::RS256).jwk()["n"].clone();
    // With the exponent 1, a signature is the message itself.
    for exponent in ["AQ", "Ag", "AP____8AAAE"] {
        assert_eq!(fault(json!({"kty": "RSA", "n": modulus, "e": exponent}).to_string()), KeyFault::Damaged);
    }
    let modulus = URL_SAFE_NO_PAD.encode([0xff; 1024]);
    assert_eq!(fault(json!({"kty": "RSA", "n": modulus, "e": "AQAB"}).to_string()), KeyFault::RsaBits(8192));
}

#[test]
fn errors_do_not_show_a_secret() {
    let secret = "hunter2hunter2hunter2hunter2hunter2";
    for content in [
        format!("{{\"kty\": \"oct\", \"k\": {secret}}}"),
        format!("{{\"kty\": {{\"k\": \"{secret}\"}}}}"),
        format!("{{\"kty\": \"oct\", \"d\": 1, \"k\": \"{secret}\"}}"),
    ] {
        let folder = Folder::new();
        let error = Jwt::open(&settings(vec![folder.write("key", content)])).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
    let folder = Folder::new();
    let jwt = Jwt::open(&settings(vec![folder.write("key", secret)])).unwrap();
    assert!(!format!("{jwt:?} {:?}", jwt.keys.read().keys).contains("hunter2"));
}

#[test]
fn a_set_may_have_keys_of_other_kinds() {
    let signer = Signer::ed25519().with_id("a");
    let others = [
        json!({"kty": "EC", "crv": "P-521", "x": "AA", "y": "AA"}),
        json!({"kty": "RSA", "alg": "RSA-OAEP", "use": "enc", "n": "AA", "e": "AQAB"}),
        json!({"kty": "new", "new": {"deep": [1, 2]}}),
        json!({"kty": "OKP", "crv": "Ed25519", "x": "AA", "key_ops": ["encrypt"]}),
    ];
    let with = |keys: Vec<Value>| json!({"keys": keys}).to_string();
    assert_verifies(&signer, with([&others[..], &[signer.jwk()]].concat()));
    assert_eq!(fault(with(others.to_vec())), KeyFault::NoneSupported);
    assert_eq!(fault(with(Vec::new())), KeyFault::NoneSupported);
    assert!(matches!(fault("{\"keys\": ["), KeyFault::Json { .. }));
    // A field that occurs twice.
    assert!(matches!(fault("{\"kty\": \"oct\", \"k\": \"AA\", \"k\": \"AA\"}"), KeyFault::Json { .. }));
}

#[test]
fn the_file_of_the_set_must_have_one() {
    let folder = Folder::new();
    let of = |content: &str| JwtSettings { jwks: Some(folder.write("jwks", content)), ..settings(Vec::new()) };
    assert_eq!(fault_of(&of(&Signer::ed25519().jwk().to_string())), KeyFault::NotJwks);
    assert!(matches!(fault_of(&of("0123456789abcdef0123456789abcdef")), KeyFault::Json { .. }));
    assert!(Jwt::open(&of(&json!({"keys": [Signer::ed25519().jwk()]}).to_string())).is_ok());
}

#[test]
fn the_number_of_keys_is_bounded() {
    let folder = Folder::new();
    let keys: Vec<_> = (0..17).map(|_| Signer::ed25519().jwk()).collect();
    let of = |count: usize| settings(vec![folder.write("set", json!({"keys": keys[..count]}).to_string())]);
    assert_eq!(Jwt::open(&of(16)).unwrap().key_count(), 16);
    assert!(matches!(Jwt::open(&of(17)), Err(JwtError::TooMany(17))));
    assert!(matches!(Jwt::open(&settings(Vec::new())), Err(JwtError::NoKey)));
}

#[test]
fn permissions_of_files_are_checked() {
    let folder = Folder::new();
    let (secret, public) = (folder.write("secret", [7; 32]), folder.write("public", RSA_PUBLIC));
    for (mode, is_exposed) in [(0o600, false), (0o440, false), (0o604, true), (0o660, true), (0o601, true)] {
        set_mode(&secret, mode);
        match Jwt::open(&settings(vec![secret.clone()])) {
            Ok(_) => assert!(!is_exposed, "{mode:o}"),
            Err(JwtError::Key { fault, .. }) => assert_eq!((is_exposed, fault), (true, KeyFault::Exposed(mode))),
            Err(other) => panic!("{other}"),
        }
    }
    set_mode(&public, 0o664);
    assert!(Jwt::open(&settings(vec![public.clone()])).is_ok());
    set_mode(&public, 0o646);
    assert_eq!(fault_of(&settings(vec![public])), KeyFault::Writable(0o646));
}

/// A pipe that nobody writes to would block the start forever.
#[test]
fn only_regular_files_are_read() {
    let folder = Folder::new();
    let pipe = folder.0.path().join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
    assert_eq!(fault_of(&settings(vec![pipe])), KeyFault::NotFile);
    assert_eq!(fault_of(&settings(vec![folder.0.path().to_owned()])), KeyFault::NotFile);
    let missing = folder.0.path().join("missing");
    let error = Jwt::open(&settings(vec![missing])).unwrap_err();
    assert!(matches!(error, JwtError::Read { .. }));
    assert!(error.to_string().contains("missing"));
    // A link to a file is followed, as in Kubernetes.
    let link = folder.0.path().join("link");
    std::os::unix::fs::symlink(folder.write("key", RSA_PUBLIC), &link).unwrap();
    assert!(Jwt::open(&settings(vec![link])).is_ok());
}
