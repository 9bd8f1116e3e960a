//! What the tests share: servers in this process and in their own, clients that use the library's own gRPC, and raw
//! ones that can vanish or be silent as no library's client can.

pub mod chatter;
pub mod process;
pub mod raw;

use std::thread;
use std::time::{Duration, Instant};

use hubbub::address::Address;
use hubbub::server::{Server, ServerConfig};

/// How long a test waits for something that is bound to happen. Generous, since the machine may be busy; a test that
/// passes never waits so long.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// A server in this process, on a port of its own.
pub fn start() -> Server {
    start_with(ServerConfig::default())
}

/// The same, with other settings; `listen` is set here.
pub fn start_with(config: ServerConfig) -> Server {
    Server::start(&ServerConfig { listen: vec![Address::local(0)], ..config }).expect("the server starts")
}

/// The address of a server that listens in one place.
pub fn target(server: &Server) -> String {
    server.addresses()[0].target()
}

/// Waits until the condition holds.
pub fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain for this: {what}");
        thread::yield_now();
        thread::park_timeout(Duration::from_millis(2));
    }
}

/// Waits until the server has so many clients.
pub fn wait_for_clients(server: &Server, count: usize) {
    wait_for(&format!("{count} clients"), || server.client_count() == count);
}
