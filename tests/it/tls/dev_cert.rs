//! `hubbub-server dev-cert`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::authority::Pair;
use super::{printed, serve, text};
use crate::support::process::command;

fn dev_cert(folder: &Path, arguments: &[&str]) -> (bool, String) {
    let output = command().args(["dev-cert", "--out", text(folder)]).args(arguments).output().expect("it starts");
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn its_certificates_serve_a_server_and_a_client() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path().join("new");
    let (made, said) = dev_cert(&folder, &[]);
    assert!(made && said.contains("is for localhost, 127.0.0.1, ::1"), "{said}");
    let pair = Pair { certificate: folder.join("server-cert.pem"), key: folder.join("server-key.pem") };
    for (file, mode) in [("server-key.pem", 0o600), ("ca-key.pem", 0o600)] {
        assert_eq!(fs::metadata(folder.join(file)).expect("it is there").permissions().mode() & 0o777, mode);
    }
    let ca = folder.join("ca.pem");
    let (made, said) = dev_cert(&folder, &["--client", "ann"]);
    assert!(made, "{said}");
    let server = serve(&pair, &["--client-ca", text(&ca), "--auth", "mtls"]);
    let (certificate, key) = (folder.join("client-ann-cert.pem"), folder.join("client-ann-key.pem"));
    let tls = ["--ca", text(&ca), "--cert", text(&certificate), "--key", text(&key)];
    printed(server.target(), &[&tls[..], &["--name", "ann", "send", "tea", "hello"]].concat());
    let shown = hubbub::client::chain(&server.target().parse().expect("an address")).expect("the server shows it");
    let fingerprint = hubbub::certificates::Fingerprint::of(shown.last().expect("a chain")).to_string();
    assert!(said.contains(&fingerprint), "{said}");
}

#[test]
fn nothing_is_overwritten_and_nothing_strange_is_certified() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    assert!(dev_cert(folder, &["chat.example.org", "192.0.2.7"]).0);
    let before = fs::read(folder.join("server-key.pem")).expect("a key");
    let ca = fs::read(folder.join("ca.pem")).expect("an authority");
    let (made, said) = dev_cert(folder, &["chat.example.org"]);
    assert!(!made && said.contains("is there already: replace it with --force"), "{said}");
    assert_eq!(fs::read(folder.join("server-key.pem")).expect("a key"), before);
    assert!(dev_cert(folder, &["chat.example.org", "--force"]).0);
    assert_ne!(fs::read(folder.join("server-key.pem")).expect("a key"), before);
    assert_eq!(fs::read(folder.join("ca.pem")).expect("an authority"), ca, "the authority stays");
    for name in ["https://chat.example.org", "chat.example.org:5000", "[::1]", "", "a b", "../x"] {
        let (made, said) = dev_cert(folder, &[name, "--force"]);
        assert!(!made && said.contains("neither a host name nor an IP address"), "{name}: {said}");
    }
    fs::remove_file(folder.join("ca-key.pem")).expect("it is there");
    let (made, said) = dev_cert(folder, &["chat.example.org", "--force"]);
    assert!(!made && said.contains("has lost its key"), "{said}");
}
