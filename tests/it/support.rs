//! What the tests share: servers in this process and in their own, clients that use the library's own gRPC, and raw
//! ones that can vanish or be silent as no library's client can.

pub mod chatter;
pub mod crowd;
pub mod power;
pub mod preload;
pub mod process;
pub mod proxy;
pub mod raw;
pub mod repeat;
pub mod talker;

use std::thread;
use std::time::{Duration, Instant};

use hubbub::address::Address;
use hubbub::limits::MEMORY_LOG_BYTES_MAX;
use hubbub::server::{Server, ServerConfig, Storage};

/// How long a test waits for something that is bound to happen. Generous, since the machine may be busy; a test that
/// passes never waits so long.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// A server in this process, on a port of its own, that keeps its logs in memory.
pub fn start() -> Server {
    start_with(ephemeral())
}

/// The settings of a server that keeps its logs in memory.
pub fn ephemeral() -> ServerConfig {
    ServerConfig { storage: Storage::Memory { bytes_max: MEMORY_LOG_BYTES_MAX }, ..ServerConfig::default() }
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
pub fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
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

/// Where a test's random numbers begin: anywhere, unless `HUBBUB_TEST_SEED` says where. A test that fails shows what it
/// printed, and so the seed to repeat it with, as far as threads and processes let it be repeated.
pub fn seed() -> u64 {
    let seed = std::env::var("HUBBUB_TEST_SEED").map(|seed| seed.parse().expect("HUBBUB_TEST_SEED is a number"));
    let seed = seed.unwrap_or_else(|_| fastrand::u64(..));
    eprintln!("to repeat it: HUBBUB_TEST_SEED={seed}");
    seed
}
