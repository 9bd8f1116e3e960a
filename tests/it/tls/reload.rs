//! A certificate that is replaced while the server runs.

use std::fs;
use std::process::Stdio;

use hubbub::certificates::Fingerprint;
use hubbub::client::chain;

use super::authority::Authority;
use super::{hubbub, printed, serve, text};
use crate::support::process::ServerProcess;
use crate::support::wait_for;
use crate::terminal::client_command;

fn shown(server: &ServerProcess) -> Fingerprint {
    Fingerprint::of(&chain(&server.target().parse().expect("an address")).expect("the server shows it")[0])
}

#[test]
fn no_connection_is_lost_and_new_ones_see_the_new_certificate() {
    let authority = Authority::new();
    let used = authority.server("used");
    let mut server = serve(&used, &[]);
    let arguments = ["--server", server.target(), "--ca", text(&authority.file), "--clients", "4", "--senders", "2"];
    let mut load = client_command(env!("CARGO_BIN_EXE_hubbub-repeat"), &arguments);
    load.args(["--messages", "4000", "--rate", "2000", "--json"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let load = load.spawn().expect("hubbub-repeat starts");
    let mut seen = vec![shown(&server)];
    for number in 0..3 {
        authority.server(&format!("new-{number}")).replace(&used);
        server.signal(libc::SIGHUP);
        server.wait_for_log("reloaded: for localhost, 127.0.0.1, valid until");
        let now = shown(&server);
        assert!(!seen.contains(&now), "a new connection sees the new certificate");
        seen.push(now);
        printed(server.target(), &["--ca", text(&authority.file), "rooms"]);
    }
    let output = load.wait_with_output().expect("hubbub-repeat ends");
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{report}{}", String::from_utf8_lossy(&output.stderr));
    let report: serde_json::Value = serde_json::from_str(&report).expect("JSON");
    assert_eq!(report["reconnects"], 0, "{report}");
}

#[test]
fn a_changed_file_is_noticed_without_a_signal() {
    let authority = Authority::new();
    let used = authority.server("used");
    let mut server = serve(&used, &[]);
    let before = shown(&server);
    authority.server("new").replace(&used);
    server.wait_for_log("reloaded: for localhost");
    wait_for("the new certificate", || shown(&server) != before);
}

/// An operator replaces the authority to shut out all its certificates, for example after its key was stolen.
#[test]
fn the_authority_of_clients_is_replaced_too() {
    let (authority, before, after) = (Authority::new(), Authority::new(), Authority::new());
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("client-ca.pem");
    fs::write(&file, &before.pem).expect("a file is written");
    let mut server = serve(&authority.server("server"), &["--client-ca", text(&file), "--auth", "mtls"]);
    let users = [before.client("ann"), after.client("ann")];
    let are_served = |server: &ServerProcess| {
        users.each_ref().map(|pair| {
            let tls = ["--cert", text(&pair.certificate), "--key", text(&pair.key), "--ca", text(&authority.file)];
            hubbub(server.target(), &[&tls[..], &["rooms"]].concat()).status.success()
        })
    };
    assert_eq!(are_served(&server), [true, false]);
    fs::write(&file, &after.pem).expect("a file is written");
    server.wait_for_log("reloaded: for localhost");
    assert_eq!(are_served(&server), [false, true]);
}

#[test]
fn a_bad_file_leaves_the_certificate_in_use() {
    let authority = Authority::new();
    let used = authority.server("used");
    let mut server = serve(&used, &[]);
    let before = shown(&server);
    let good = fs::read(&used.certificate).expect("a file is read");
    for bad in [&b"no certificate"[..], b"", &good[..good.len() / 3]] {
        fs::write(&used.certificate, bad).expect("a file is written");
        server.signal(libc::SIGHUP);
        let line = server.wait_for_log("can't be reloaded, so the one before stays in use");
        assert!(line.contains(text(&used.certificate)), "{line}");
        assert_eq!(shown(&server), before);
    }
    fs::write(&used.certificate, good).expect("a file is written");
    server.signal(libc::SIGHUP);
    server.wait_for_log("reloaded: for localhost");
    assert_eq!(shown(&server), before);
}
