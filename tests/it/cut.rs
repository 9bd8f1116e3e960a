//! Connections are cut repeatedly: no acknowledged message is lost, no message is repeated, and all clients see the
//! same messages.

use std::collections::HashMap;
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::support::crowd::Crowd;
use super::support::process::ServerProcess;
use super::support::proxy::Proxy;
use super::support::repeat::{Repeat, Watch};
use super::support::{DEADLINE, seed, wait_for};

/// The number of network faults for a crowd, and the maximum time between two of them.
const STRIKES: usize = 100;
const PEACE_MAX: Duration = Duration::from_millis(250);

/// The number of network faults for the repeat client, how many messages it sends for each, and how many per second.
const REPEAT_STRIKES: usize = 60;
const MESSAGES_PER_STRIKE: u64 = 1000;
const RATE: u64 = 10_000;

/// A server behind a bad network.
struct Remote {
    server: ServerProcess,
    proxy: Proxy,
    random: fastrand::Rng,
    struck: HashMap<String, usize>,
    _folder: TempDir,
}

impl Remote {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let server = ServerProcess::start(&["--data", folder.path().to_str().expect("its name is text")]);
        let proxy = Proxy::start(server.target());
        Self { server, proxy, random: fastrand::Rng::with_seed(seed()), struck: HashMap::new(), _folder: folder }
    }

    /// Causes a fault of some connections, as soon as there are any.
    fn strike(&mut self) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(fault) = self.proxy.strike(&mut self.random) {
                *self.struck.entry(fault.to_string()).or_insert(0) += 1;
                return;
            }
            assert!(Instant::now() < deadline, "no client connects");
            thread::park_timeout(Duration::from_millis(2));
        }
    }
}

#[test]
fn the_repeat_client_finds_no_fault_behind_a_bad_network() {
    let mut remote = Remote::start();
    let mut repeat = Repeat::start(remote.proxy.target(), "room", MESSAGES_PER_STRIKE * REPEAT_STRIKES as u64, RATE);
    let last = repeat.total() * 9 / 10;
    let mut places: Vec<u64> = (0..REPEAT_STRIKES).map(|_| remote.random.u64(..last)).collect();
    places.sort_unstable();
    let watch = Watch::start(remote.server.target(), "room");
    for place in places {
        wait_for(&format!("message {place}"), || repeat.has_ended() || watch.head().is_some_and(|head| head >= place));
        // After an outage the client catches up with its rate, so it may be done before the last strikes. If it has
        // given up instead, `finish` finds that in its verdict.
        if repeat.has_ended() {
            break;
        }
        remote.strike();
    }
    let reconnects = repeat.finish(remote.server.target());
    eprintln!("{:?}, {} connections, {reconnects} reconnects", remote.struck, remote.proxy.accepted());
    assert!(reconnects >= REPEAT_STRIKES as u64 / 2);
}

#[test]
fn clients_that_resume_miss_no_message_behind_a_bad_network() {
    let mut remote = Remote::start();
    let crowd = Crowd::start(remote.proxy.target(), "room", 12, 6, remote.random.u64(..));
    for strike in 0..STRIKES {
        thread::park_timeout(PEACE_MAX.mul_f64(remote.random.f64()));
        assert!(!crowd.has_failed(), "a client found a fault after {strike} strikes");
        remote.strike();
    }
    let summary = crowd.finish();
    eprintln!("{:?}, {} connections, {summary:?}", remote.struck, remote.proxy.accepted());
    assert!(summary.reconnects >= STRIKES / 2 && summary.messages > STRIKES as u64);
    // Some messages were stored, and the connection was lost before the acknowledgement arrived.
    assert!(summary.stored_before > 0, "{summary:?}");
}
