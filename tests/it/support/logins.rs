//! Servers with users, and their tokens, made with the commands of the real program.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use grpcio::{ChannelBuilder, Client};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;

use super::chatter::environment;
use super::process::{ServerProcess, command};

/// The issuer and the audience of the tests' JSON web tokens.
pub const ISSUER: &str = "https://issuer.example";
pub const AUDIENCE: &str = "hubbub";

/// The claims of a JSON web token.
#[derive(Clone, Debug, Serialize)]
pub struct Claims {
    pub iss: &'static str,
    pub aud: &'static str,
    pub sub: String,
    pub exp: u64,
    #[serde(rename = "hubbub_rooms", skip_serializing_if = "Option::is_none")]
    pub rooms: Option<Vec<String>>,
    #[serde(rename = "hubbub_acts", skip_serializing_if = "Option::is_none")]
    pub acts: Option<Vec<String>>,
}

impl Claims {
    /// Those of a user, for this long.
    pub fn of(user: &str, time: Duration) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
        Self { iss: ISSUER, aud: AUDIENCE, sub: user.to_owned(), exp: (now + time).as_secs(), rooms: None, acts: None }
    }

    pub fn sign(&self, secret: &[u8]) -> String {
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), self, &EncodingKey::from_secret(secret))
            .expect("it is signed")
    }
}

/// Runs a command of the server's program on a data folder, which must succeed. Returns its standard output.
pub fn run(data: &Path, arguments: &[&str]) -> String {
    let mut program = command();
    program.args(arguments).arg("--data").arg(data);
    output(&mut program)
}

fn output(program: &mut Command) -> String {
    let output = program.output().expect("the program starts");
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program:?}: {out}{error}");
    out.into_owned()
}

/// A new token of this user, who is added if missing.
pub fn token(data: &Path, user: &str, restrictions: &[&str]) -> String {
    let arguments = [&["token", "add", user][..], restrictions].concat();
    run(data, &arguments).trim().to_owned()
}

/// A server on this data folder.
pub fn serve(data: &Path, arguments: &[&str]) -> ServerProcess {
    let mut server = command();
    server.args(["--listen", "127.0.0.1:0", "--data"]).arg(data).args(arguments);
    ServerProcess::listening(server)
}

/// A connection of its own.
pub fn connect(server: &ServerProcess) -> Client {
    let builder = ChannelBuilder::new(environment()).use_local_subchannel_pool(true);
    Client::new(builder.connect(server.target()))
}
