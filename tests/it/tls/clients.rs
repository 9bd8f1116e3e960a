//! What the clients refuse, and what they say.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::SystemTime;

use grpcio::{Server, ServerBuilder, ServerCredentialsBuilder};
use hubbub::certificates::Fingerprint;
use hubbub::client::{ConnectError, chain, chain_with_fingerprint};

use super::authority::{Authority, DAY, Pair};
use super::{complaint, hubbub, printed, serve, text};
use crate::support::chatter::environment;
use crate::support::process::{self, ServerProcess, lasting_address};
use crate::terminal::client_command;
use crate::terminal::pty::Pty;

/// A server that does not check its certificate.
fn careless(pair: &Pair) -> (Server, String) {
    let (certificate, key) = pair.text();
    let credentials = ServerCredentialsBuilder::new().add_cert(certificate.into(), key.into()).build();
    let mut server = ServerBuilder::new(environment()).build().expect("a server");
    let port = server.add_listening_port("127.0.0.1:0", credentials).expect("a port is free");
    server.start();
    (server, format!("127.0.0.1:{port}"))
}

#[test]
fn a_client_says_why_it_does_not_trust_a_server() {
    let (authority, other) = (Authority::new(), Authority::new());
    let server = serve(&authority.server("server"), &[]);
    let target = server.target();
    let ca = text(&authority.file);
    printed(target, &["--ca", ca, "rooms"]);
    for (arguments, expected) in [
        (&["rooms"][..], "uses TLS: connect with --tls"),
        (&["--ca", text(&other.file), "rooms"], "is not from an authority that this client trusts"),
        (
            &["--ca", ca, "--server-name", "chat.example", "rooms"],
            "is not for chat.example but for localhost, 127.0.0.1",
        ),
    ] {
        let said = complaint(target, arguments);
        assert!(said.contains(expected), "{said}");
    }
    printed(target, &["--ca", ca, "--server-name", "localhost", "rooms"]);
    let by_name = target.replace("127.0.0.1", "localhost");
    printed(&by_name, &["--ca", ca, "rooms"]);
    // The authorities of the machine.
    let program = env!("CARGO_BIN_EXE_hubbub");
    let system = |file: &str| {
        let mut command = client_command(program, &["--server", target, "--tls", "rooms"]);
        command.env("SSL_CERT_FILE", file).output().expect("hubbub starts")
    };
    assert!(system(ca).status.success());
    assert!(String::from_utf8_lossy(&system(text(&other.file)).stderr).contains("is not from an authority"));
}

/// The story: the connection was made, and then each call was refused, because the certificate was compared with the
/// address of the server as well. The tests had certificates that were for both.
#[test]
fn a_server_is_reached_at_an_address_that_its_certificate_lacks() {
    let authority = Authority::new();
    let server = serve(&authority.sign("server", &["chat.example.org", "::1"], |_| {}), &[]);
    let ca = text(&authority.file);
    for name in ["chat.example.org", "CHAT.example.org", "::1"] {
        printed(server.target(), &["--ca", ca, "--server-name", name, "rooms"]);
    }
    let said = complaint(server.target(), &["--ca", ca, "--server-name", "example.org", "rooms"]);
    assert!(said.contains("is not for example.org but for chat.example.org, ::1"), "{said}");
}

#[test]
fn a_certificate_out_of_its_time_is_named_as_such() {
    let authority = Authority::new();
    let expired =
        authority.sign("old", &["127.0.0.1"], |params| params.not_after = (SystemTime::now() - DAY / 2).into());
    let early =
        authority.sign("new", &["127.0.0.1"], |params| params.not_before = (SystemTime::now() + DAY / 2).into());
    for (pair, expected) in [(expired, "has expired on"), (early, "is not valid before")] {
        let (_server, target) = careless(&pair);
        let said = complaint(&target, &["--ca", text(&authority.file), "rooms"]);
        assert!(said.contains(expected) && said.contains("clock"), "{said}");
        // Our server does not start with it.
        let output = start_refused(&pair);
        assert!(output.contains(expected), "{output}");
    }
}

/// What the server says that does not start with this certificate.
fn start_refused(pair: &Pair) -> String {
    let mut command: Command = process::command();
    command.args(["--ephemeral", "--listen", "127.0.0.1:0"]);
    let output = command.arg("--tls-cert").arg(&pair.certificate).arg("--tls-key").arg(&pair.key).output();
    let output = output.expect("the server starts");
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn the_server_does_not_start_with_a_key_that_others_can_read_or_that_does_not_fit() {
    let authority = Authority::new();
    let (pair, other) = (authority.server("server"), authority.server("other"));
    fs::set_permissions(&pair.key, Permissions::from_mode(0o644)).expect("a mode is set");
    let said = start_refused(&pair);
    assert!(said.contains(text(&pair.key)) && said.contains("chmod 640"), "{said}");
    let said = start_refused(&Pair { certificate: pair.certificate, key: other.key });
    assert!(said.contains("not the private key of the certificate in"), "{said}");
}

#[test]
fn a_server_without_tls_is_named_as_such() {
    let authority = Authority::new();
    let server = ServerProcess::start(&[]);
    let said = complaint(server.target(), &["--ca", text(&authority.file), "rooms"]);
    assert!(said.contains("does not use TLS: leave out --tls"), "{said}");
}

#[test]
fn a_server_is_trusted_on_first_use_and_a_change_is_refused() {
    let (authority, other) = (Authority::new(), Authority::new());
    let address = lasting_address();
    let start = |pair: &Pair| {
        let mut command = process::command();
        command.args(["--ephemeral", "--listen", &address]);
        command.arg("--tls-cert").arg(&pair.certificate).arg("--tls-key").arg(&pair.key);
        ServerProcess::listening(command)
    };
    let home = tempfile::tempdir().expect("a folder");
    let command = |arguments: &[&str]| {
        let program = env!("CARGO_BIN_EXE_hubbub");
        let mut command = client_command(program, &[&["--server", &address], arguments].concat());
        command.env("HOME", home.path()).env_remove("XDG_CONFIG_HOME");
        command
    };
    let said = |arguments: &[&str]| {
        let output = command(arguments).output().expect("hubbub starts");
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let server = start(&authority.server("server"));
    let (_, without_terminal) = said(&["--trust-on-first-use", "rooms"]);
    assert!(without_terminal.contains("asks on a terminal, and there is none"), "{without_terminal}");
    let answered = |answer: &str| {
        let mut pty = Pty::start(command(&["--trust-on-first-use", "rooms"]));
        pty.wait_for_row_with("type yes");
        let rows = pty.rows().concat();
        pty.press(answer);
        (pty.end(), rows)
    };
    assert_eq!(answered("no\r").0, 1);
    assert!(!said(&["rooms"]).0, "what was not accepted is not remembered");
    let shown = chain(&address.parse().expect("an address")).expect("the server shows it");
    let (code, rows) = answered("yes\r");
    assert_eq!(code, 0, "{rows}");
    assert!(rows.contains(&Fingerprint::of(&shown[1]).to_string()), "{rows}");
    let (connected, complaint) = said(&["rooms"]);
    assert!(connected, "{complaint}");
    drop(server);
    let _server = start(&other.server("server"));
    let (connected, complaint) = said(&["rooms"]);
    assert!(!connected && complaint.contains("HAS CHANGED") && complaint.contains("known-servers"), "{complaint}");
    // A new certificate of the same authority is no change.
    drop(_server);
    let _server = start(&authority.server("renewed"));
    assert!(said(&["rooms"]).0);
}

#[test]
fn the_certificate_that_a_fingerprint_names_is_found() {
    let authority = Authority::new();
    let server = serve(&authority.server("server"), &[]);
    let address = server.target().parse().expect("an address");
    let shown = chain(&address).expect("the server shows it");
    assert_eq!(shown.len(), 2);
    let found = chain_with_fingerprint(&address, Fingerprint::of(&shown[1])).expect("it is there");
    let without_breaks = |pem: &str| pem.replace(['\r', '\n'], "");
    assert_eq!(without_breaks(&found), without_breaks(&authority.pem));
    let other = chain_with_fingerprint(&address, Fingerprint::of(b"other"));
    assert_eq!(other, Err(ConnectError::OtherFingerprint(address)));
    let plain = ServerProcess::start(&[]);
    let address = plain.target().parse().expect("an address");
    assert_eq!(chain(&address).err(), Some(ConnectError::WithoutTls(address)));
}

#[test]
fn options_that_do_not_fit_are_refused() {
    for (arguments, expected) in [
        (&["--cert", "x", "rooms"][..], "--cert needs its private key"),
        (&["--key", "x", "rooms"], "--key needs its certificate"),
        (&["--server-name", "a b", "rooms"], "expected a host name or an IP address"),
    ] {
        let output = hubbub("127.0.0.1:1", arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && said.contains(expected), "{said}");
    }
    let said = complaint("127.0.0.1:1", &["--ca", "/nonexistent/ca.pem", "rooms"]);
    assert!(said.contains("/nonexistent/ca.pem: can't read the file"), "{said}");
}
