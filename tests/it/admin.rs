//! The admin face: metrics, probes and the status page, as programs and people read them.

mod scrape;
mod load;
mod probes;
mod hostile;
mod docs;

use crate::support::process::{ServerProcess, command};

/// A server with an admin address on a free port, and that address.
fn serve(arguments: &[&str]) -> (ServerProcess, String) {
    let mut server = command();
    server.args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]).args(arguments);
    if !arguments.contains(&"--data") {
        server.arg("--ephemeral");
    }
    let mut server = ServerProcess::listening(server);
    let address = address(&server.wait_for_log("showing metrics on "));
    (server, address)
}

/// The address in the line of the log.
fn address(line: &str) -> String {
    let address = line.split("showing metrics on ").nth(1).and_then(|rest| rest.split(' ').next());
    address.expect("the line has the address").to_owned()
}
