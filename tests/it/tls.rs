//! TLS: what the server and the clients refuse, and with which words; certificates that are replaced while it runs.

pub mod authority;
mod clients;
mod connections;
mod dev_cert;
mod foreign;
mod mutual;
mod reload;

use std::path::Path;
use std::process::Output;

use self::authority::Pair;
use crate::support::process::ServerProcess;
use crate::terminal::client_command;

/// A path as an argument.
pub fn text(path: &Path) -> &str {
    path.to_str().expect("the path is UTF-8")
}

/// A server with this certificate, and further arguments.
pub fn serve(pair: &Pair, arguments: &[&str]) -> ServerProcess {
    ServerProcess::start(&[&["--tls-cert", text(&pair.certificate), "--tls-key", text(&pair.key)], arguments].concat())
}

/// Runs `hubbub` on a server to its end.
fn hubbub(target: &str, arguments: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_hubbub");
    client_command(program, &[&["--server", target], arguments].concat()).output().expect("hubbub starts")
}

/// What `hubbub` says when it fails, which it must.
fn complaint(target: &str, arguments: &[&str]) -> String {
    let output = hubbub(target, arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
    said
}

/// What `hubbub` prints when it succeeds, which it must.
fn printed(target: &str, arguments: &[&str]) -> String {
    let output = hubbub(target, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
