//! Who may do what: every call and command, in every mode, for every kind of client, under its own and another's name.

mod clients;
mod asks;
mod matrix;
mod ends;

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::support::logins::{AUDIENCE, ISSUER};
use super::support::process::{ServerProcess, command};

const HOUR: Duration = Duration::from_secs(3_600);
const SECRET: &[u8] = b"a secret of the tests, of at least 32 bytes";

/// The rooms: some logins may use only the first.
const BUILDS: &str = "builds";
const TEA: &str = "tea";

/// A mode of the server.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    Open,
    Accounts,
    Jwt,
    Both,
}

fn server(data: &Path, mode: Mode) -> ServerProcess {
    let secret = data.join("secret");
    let mut command = command();
    command.args(["--listen", "127.0.0.1:0", "--data"]).arg(data).env("RUST_LOG", "trace,grpcio=off");
    if mode == Mode::Jwt || mode == Mode::Both {
        command.arg("--jwt-key").arg(&secret).args(["--jwt-issuer", ISSUER, "--jwt-audience", AUDIENCE]);
    }
    let auth = match mode {
        Mode::Open => "open",
        Mode::Accounts => "accounts",
        Mode::Jwt => "jwt",
        Mode::Both => "accounts,jwt",
    };
    command.args(["--auth", auth]);
    ServerProcess::listening(command)
}

/// The data folder of a server with users, and a secret for JSON web tokens.
fn prepared() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("secret"), SECRET).expect("the secret is written");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(folder.path().join("secret"), mode).expect("its mode is set");
    folder
}
