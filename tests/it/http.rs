//! The HTTP face, over raw sockets: what programs and people send, and what attackers send.

pub mod client;
mod docs;
mod calls;
mod stream;
mod follow;
mod hostile;
mod rights;
mod repeat;

use crate::support::process::{ServerProcess, command};

/// A server with HTTP on a free port, and the address of that.
pub fn serve(arguments: &[&str]) -> (ServerProcess, String) {
    let mut server = command();
    server.args(["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"]).args(arguments);
    if !arguments.contains(&"--data") {
        server.arg("--ephemeral");
    }
    let mut server = ServerProcess::listening(server);
    let line = server.wait_for_log("serving HTTP on ");
    let address = line.split("serving HTTP on ").nth(1).and_then(|rest| rest.split(' ').next());
    let address = address.expect("the line has the address").to_owned();
    (server, address)
}
