//! How often a client may ping.

use std::thread;
use std::time::Duration;

use hubbub::limits;
use hubbub::server::ServerConfig;

use crate::support::raw::Raw;
use crate::support::{ephemeral, start_with, target};

/// A client that pinged every 10 s in a silent room was disconnected, after 45 s from Python and 80 s from Node, with
/// "resource exhausted": the server counted as abuse every ping that came within 15 s of the last. The contract says 5 s.
/// Here the times are a fiftieth of that, but the default is what the contract says.
#[test]
fn a_client_that_pings_as_often_as_it_may_stays() {
    assert_eq!(ServerConfig::default().ping_interval_min, Duration::from_secs(5));
    let interval = limits::PING_JITTER + Duration::from_millis(100);
    let server = start_with(ServerConfig { ping_interval_min: interval, ..ephemeral() });
    let mut client = Raw::join(&target(&server));
    for _ in 0..12 {
        client.ping().expect("the connection is open");
        assert!(client.is_ping_answered(), "a client that keeps to the contract is disconnected");
        // No clock is asserted: a slow machine only makes the pings rarer.
        thread::sleep(Duration::from_millis(120));
    }
}

/// The limit is there for a client that floods the server with pings; that one is still disconnected.
#[test]
fn a_client_that_floods_pings_is_disconnected() {
    let server = start_with(ephemeral());
    let mut client = Raw::join(&target(&server));
    let mut answers = 0;
    while client.ping().is_ok() && client.is_ping_answered() {
        answers += 1;
        assert!(answers < 100, "nothing stops a flood of pings");
    }
}
