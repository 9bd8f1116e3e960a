use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, KeyPair};

use super::*;

const DAY: Duration = Duration::from_secs(86_400);

/// Two files in a folder, for a certificate of these names that is valid from yesterday to tomorrow.
struct Files {
    _folder: tempfile::TempDir,
    certificate: PathBuf,
    key: PathBuf,
}

fn files(names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Files {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    (params.not_before, params.not_after) = ((SystemTime::now() - DAY).into(), (SystemTime::now() + DAY).into());
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    write(&params.self_signed(&key).unwrap().pem(), &key.serialize_pem())
}

fn write(certificate: &str, key: &str) -> Files {
    let folder = tempfile::tempdir().unwrap();
    let files =
        Files { certificate: folder.path().join("cert.pem"), key: folder.path().join("key.pem"), _folder: folder };
    fs::write(&files.certificate, certificate).unwrap();
    fs::write(&files.key, key).unwrap();
    fs::set_permissions(&files.key, Permissions::from_mode(0o600)).unwrap();
    files
}

fn fault(files: &Files) -> Fault {
    Identity::read_server(&files.certificate, &files.key, SystemTime::now()).err().expect("it is refused").fault
}

#[test]
fn a_certificate_with_its_key_is_read() {
    let files = files(&["Chat.example.org", "*.example.net", "127.0.0.1", "::1"], |_| {});
    for mode in [0o600, 0o400, 0o640] {
        fs::set_permissions(&files.key, Permissions::from_mode(mode)).unwrap();
        let read = Identity::read_server(&files.certificate, &files.key, SystemTime::now()).ok().unwrap();
        assert_eq!(read.facts.names, ["Chat.example.org", "*.example.net", "127.0.0.1", "::1"]);
        for host in ["chat.EXAMPLE.org", "a.example.net", "127.0.0.1", "::1", "chat.example.org."] {
            assert!(read.facts.is_for(host), "{host}");
        }
        for host in ["example.org", "a.b.example.net", "example.net", "127.0.0.2", "0.0.1", ""] {
            assert!(!read.facts.is_for(host), "{host}");
        }
        assert!(read.certified_key().is_some());
    }
}

#[test]
fn each_fault_of_a_file_has_its_reason() {
    let good = files(&["localhost"], |_| {});
    for mode in [0o604, 0o644, 0o660, 0o602] {
        fs::set_permissions(&good.key, Permissions::from_mode(mode)).unwrap();
        assert_eq!(fault(&good), Fault::Exposed, "{mode:o}");
    }
    fs::set_permissions(&good.key, Permissions::from_mode(0o600)).unwrap();
    let other = files(&["localhost"], |_| {});
    fs::copy(&other.key, &good.key).unwrap();
    assert_eq!(fault(&good), Fault::OtherKey(good.certificate.clone()));
    assert!(matches!(
        fault(&files(&["a"], |params| params.not_after = (SystemTime::now() - DAY / 2).into())),
        Fault::Expired(_)
    ));
    let early = files(&["a"], |params| params.not_before = (SystemTime::now() + DAY / 2).into());
    assert!(matches!(fault(&early), Fault::NotYetValid(_)));
    assert_eq!(fault(&files(&[], |_| {})), Fault::NoNames);
    let client = files(&["a"], |params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]);
    assert_eq!(fault(&client), Fault::NotForServers);
    assert!(Identity::read_client(&client.certificate, &client.key, SystemTime::now()).is_ok());
    let server = files(&["a"], |params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]);
    let read = Identity::read_client(&server.certificate, &server.key, SystemTime::now());
    assert_eq!(read.err().unwrap().fault, Fault::NotForClients);
}

#[test]
fn files_that_are_not_certificates_are_refused() {
    let good = files(&["localhost"], |_| {});
    let (certificate, key) = (fs::read_to_string(&good.certificate).unwrap(), fs::read_to_string(&good.key).unwrap());
    for (certificate, key, expected) in [
        ("", key.as_str(), Fault::NoCertificate),
        ("hello", &key, Fault::NoCertificate),
        (&key, &key, Fault::NoCertificate),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", &key, Fault::Malformed),
        (&format!("{certificate}\0"), &key, Fault::Malformed),
        (&certificate, "", Fault::NoKey),
        (&certificate, &certificate, Fault::NoKey),
        (&certificate, &key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY"), Fault::NoKey),
        (&certificate, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", Fault::KeyKind),
        (&certificate, &format!("{key}\0"), Fault::Malformed),
        (&"x".repeat(FILE_BYTES_MAX as usize + 1), &key, Fault::TooLong),
    ] {
        assert_eq!(fault(&write(certificate, key)), expected);
    }
    let ed25519 = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let signed = CertificateParams::new(vec!["a".to_owned()]).unwrap().self_signed(&ed25519).unwrap();
    assert_eq!(fault(&write(&signed.pem(), &ed25519.serialize_pem())), Fault::KeyKind);
    let folder = tempfile::tempdir().unwrap();
    let read = |path: &Path| Authorities::read(path, SystemTime::now()).err().unwrap().fault;
    assert_eq!(read(folder.path()), Fault::NotAFile);
    assert!(matches!(read(&folder.path().join("absent")), Fault::Unreadable(_)));
}

#[test]
fn one_valid_authority_of_several_is_enough() {
    let now = SystemTime::now();
    let expired = files(&["a"], |params| params.not_after = (now - DAY / 2).into());
    let expired = fs::read(&expired.certificate).unwrap();
    assert!(matches!(Authorities::parse(expired.clone(), now), Err(Fault::Expired(_))));
    let both = [expired, fs::read(&files(&["b"], |_| {}).certificate).unwrap()].concat();
    assert_eq!(Authorities::parse(both, now).ok().unwrap().certificates.len(), 2);
}

#[test]
fn faults_name_the_file_and_the_remedy() {
    let fault = FileFault { path: "key.pem".into(), fault: Fault::Exposed };
    assert_eq!(
        fault.to_string(),
        "key.pem: other users may read or change this private key: run chmod 640, or 600, on it"
    );
    let fault = Fault::Expired(SystemTime::UNIX_EPOCH + DAY);
    assert_eq!(fault.to_string(), "the certificate has expired on 1970-01-02T00:00:00Z: renew it");
}
