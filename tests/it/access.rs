//! Who may do what: every call and command, in every mode, for every kind of client, under its own and another's name.

mod clients;
mod asks;
mod matrix;
mod ends;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use grpcio::{ChannelBuilder, Client};

use super::support::chatter::environment;
use super::support::logins::{AUDIENCE, ISSUER};
use super::support::process::{ServerProcess, command};
use super::tls::authority::{Authority, Pair};

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
    /// Accounts and JSON web tokens.
    Both,
    /// Client certificates. The modes that accept them use TLS, the others don't.
    Mtls,
    /// Accounts, JSON web tokens and client certificates.
    All,
}

const MODES: [Mode; 6] = [Mode::Accounts, Mode::Jwt, Mode::Both, Mode::Mtls, Mode::All, Mode::Open];

impl Mode {
    /// The logins, as `--auth` takes them.
    fn logins(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Accounts => "accounts",
            Self::Jwt => "jwt",
            Self::Both => "accounts,jwt",
            Self::Mtls => "mtls",
            Self::All => "accounts,jwt,mtls",
        }
    }

    fn has(self, login: &str) -> bool {
        self.logins().split(',').any(|has| has == login)
    }
}

/// The files of a server: its data folder with its users, a secret for JSON web tokens, and the authorities for TLS.
struct Site {
    data: tempfile::TempDir,
    /// Signs the server's certificate.
    authority: Authority,
    certificate: Pair,
    /// Signs the users' certificates.
    users: Authority,
    /// An authority that the server does not trust.
    others: Authority,
}

impl Site {
    fn new() -> Self {
        let data = tempfile::tempdir().expect("a folder");
        let secret = data.path().join("secret");
        fs::write(&secret, SECRET).expect("the secret is written");
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("its mode is set");
        let authority = Authority::new();
        let certificate = authority.server("server");
        Self { data, authority, certificate, users: Authority::new(), others: Authority::new() }
    }

    fn data(&self) -> &Path {
        self.data.path()
    }

    fn serve(&self, mode: Mode) -> ServerProcess {
        let mut command = command();
        command.args(["--listen", "127.0.0.1:0", "--data"]).arg(self.data()).args(["--auth", mode.logins()]);
        command.env("RUST_LOG", "trace,grpcio=off");
        if mode.has("jwt") {
            command.arg("--jwt-key").arg(self.data().join("secret"));
            command.args(["--jwt-issuer", ISSUER, "--jwt-audience", AUDIENCE]);
        }
        if mode.has("mtls") {
            command.arg("--tls-cert").arg(&self.certificate.certificate).arg("--tls-key").arg(&self.certificate.key);
            command.arg("--client-ca").arg(&self.users.file);
        }
        ServerProcess::listening(command)
    }

    /// A connection of its own. It presents the certificate if the mode uses TLS.
    fn connect(&self, server: &ServerProcess, mode: Mode, certificate: Option<&Pair>) -> Client {
        let channel = match mode.has("mtls") {
            true => self.authority.connect(server.target(), certificate),
            false => ChannelBuilder::new(environment()).use_local_subchannel_pool(true).connect(server.target()),
        };
        Client::new(channel)
    }
}
