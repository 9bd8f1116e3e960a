//! Shared parts of the tests: servers in this process and in their own, clients that use the gRPC library, and raw
//! clients that can vanish or stay silent, which the library's clients can't.

pub mod chatter;
pub mod crowd;
pub mod foreign;
pub mod logins;
pub mod power;
pub mod preload;
pub mod process;
pub mod program;
pub mod proxy;
pub mod raw;
pub mod repeat;
pub mod talker;

use std::thread;
use std::time::{Duration, Instant};

use hubbub::address::Address;
use hubbub::limits::MEMORY_LOG_BYTES_MAX;
use hubbub::server::{Server, ServerConfig, Storage};

/// How long a test waits for an event that must happen. Generous, since the machine may be busy; a test that passes
/// never waits that long.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Starts a server in this process, on a free port, with its log in memory.
pub fn start() -> Server {
    start_with(ephemeral())
}

/// The settings of a server with its log in memory.
pub fn ephemeral() -> ServerConfig {
    ServerConfig { storage: Storage::Memory { bytes_max: MEMORY_LOG_BYTES_MAX }, ..ServerConfig::default() }
}

/// Starts a server with these settings, except `listen`, which is set here.
pub fn start_with(config: ServerConfig) -> Server {
    Server::start(&ServerConfig { listen: vec![Address::local(0)], ..config }).expect("the server starts")
}

/// The address of a server with one address.
pub fn target(server: &Server) -> String {
    server.addresses()[0].target()
}

/// Waits until the condition holds.
pub fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < deadline, "timed out waiting for {what}");
        thread::yield_now();
        thread::park_timeout(Duration::from_millis(2));
    }
}

/// Waits until the server has this many clients.
pub fn wait_for_clients(server: &Server, count: usize) {
    wait_for(&format!("{count} clients"), || server.client_count() == count);
}

/// The seed of a test's random numbers: random, unless `HUBBUB_TEST_SEED` sets it. A failed test shows the seed, with
/// which it can be repeated as far as the scheduling of threads and processes allows.
pub fn seed() -> u64 {
    let seed = std::env::var("HUBBUB_TEST_SEED").map(|seed| seed.parse().expect("HUBBUB_TEST_SEED is a number"));
    let seed = seed.unwrap_or_else(|_| fastrand::u64(..));
    eprintln!("to repeat it: HUBBUB_TEST_SEED={seed}");
    seed
}
