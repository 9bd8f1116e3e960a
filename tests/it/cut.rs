//! The network is cut, again and again: nothing that was acknowledged is lost, nothing is there twice, and everybody sees
//! the same.

use std::collections::HashMap;
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::support::crowd::Crowd;
use super::support::process::ServerProcess;
use super::support::proxy::Proxy;
use super::support::repeat::{Repeat, Watch};
use super::support::{DEADLINE, seed, wait_for};

/// How often the network does something bad to a crowd, and how long it leaves its connections alone at most.
const STRIKES: usize = 100;
const PEACE_MAX: Duration = Duration::from_millis(250);

/// How often it does so to the repeat client, how many messages that sends for a strike, and how many a second.
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

    /// Does something bad to some connections, as soon as there are any.
    fn strike(&mut self) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(fault) = self.proxy.strike(&mut self.random) {
                *self.struck.entry(fault.to_string()).or_insert(0) += 1;
                return;
            }
            assert!(Instant::now() < deadline, "nobody connects");
            thread::park_timeout(Duration::from_millis(2));
        }
    }
}

#[test]
fn the_repeat_client_finds_no_fault_behind_a_bad_network() {
    let mut remote = Remote::start();
    let mut repeat = Repeat::start(remote.proxy.target(), MESSAGES_PER_STRIKE * REPEAT_STRIKES as u64, RATE);
    let last = repeat.total() * 9 / 10;
    let mut places: Vec<u64> = (0..REPEAT_STRIKES).map(|_| remote.random.u64(..last)).collect();
    places.sort_unstable();
    let watch = Watch::start(remote.server.target());
    for place in places {
        wait_for(&format!("message {place}"), || repeat.has_ended() || watch.head().is_some_and(|head| head >= place));
        // After a break it makes up for lost time, and may be done before the last strikes. Whether it has given up instead
        // shows in its verdict, which `finish` checks.
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
fn clients_that_resume_miss_nothing_behind_a_bad_network() {
    let mut remote = Remote::start();
    let crowd = Crowd::start(remote.proxy.target(), "room", 12, 6, remote.random.u64(..));
    for strike in 0..STRIKES {
        thread::park_timeout(PEACE_MAX.mul_f64(remote.random.f64()));
        assert!(!crowd.has_failed(), "a client has found a fault, after {strike} strikes");
        remote.strike();
    }
    let summary = crowd.finish();
    eprintln!("{:?}, {} connections, {summary:?}", remote.struck, remote.proxy.accepted());
    assert!(summary.reconnects >= STRIKES / 2 && summary.messages > STRIKES as u64);
    // Some were stored, and the connection was lost before anybody heard of it.
    assert!(summary.stored_before > 0, "{summary:?}");
}
