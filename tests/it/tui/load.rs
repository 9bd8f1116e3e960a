//! Floods, and rooms with many messages.

use std::env;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use hubbub::address::Address;
use hubbub::client::{Connector, Session, Settings, StartAt};
use hubbub::names::{Body, Kind, RoomName, UserName};

use super::links::echo_times;
use super::{COLUMNS, ROWS, Screen, command};
use crate::support::{start, target};

/// How long the flood lasts, in seconds, unless `HUBBUB_TEST_SECONDS` says otherwise.
const SECONDS: u64 = 4;

/// How many messages a second are posted.
const RATE: u64 = 5_000;

/// A flood of messages: keys stay quick, memory is bounded, and the end of it is on the screen.
#[test]
fn a_flood_slows_no_key_and_fills_no_memory() {
    let server = start();
    let address: Address = target(&server).parse().expect("an address");
    let settings = Settings::new(UserName::new("bob").expect("a name"), RoomName::lobby(), StartAt::Head);
    let flood = Session::start(Connector::new(1), address, settings, |_| ControlFlow::Continue(())).expect("a server");
    let inlet = flood.inlet();
    let home = tempfile::tempdir().expect("a folder");
    let mut screen =
        Screen::start(command(home.path(), &["--server", &target(&server), "--name", "ann"]), COLUMNS, ROWS);
    screen.wait_for("[lobby]");
    screen.wait_until_quiet();
    let (memory, cpu) = (screen.rss_kib(), screen.cpu_time());
    let seconds = env::var("HUBBUB_TEST_SECONDS").map(|seconds| seconds.parse().expect("a number"));
    let flood_time = Duration::from_secs(seconds.unwrap_or(SECONDS));
    let since = Instant::now();
    let flooding = std::thread::spawn(move || {
        let mut count = 0_u64;
        while since.elapsed() < flood_time {
            let due = since.elapsed().as_millis() as u64 * RATE / 1000;
            while count < due {
                count += 1;
                let body = Body::new(format!("message {count} of a flood")).expect("a body");
                inlet.post(&RoomName::lobby(), body, Kind::Text).expect("the session runs");
            }
            std::thread::park_timeout(Duration::from_millis(2));
        }
        inlet.post(&RoomName::lobby(), Body::new("the end").expect("a body"), Kind::Text).expect("the session runs");
        inlet.finish();
        count
    });
    let times = echo_times(&mut screen, (flood_time.as_millis() / 60) as usize);
    let used = screen.cpu_time() - cpu;
    let took = since.elapsed();
    let count = flooding.join().expect("it floods");
    flood.wait().expect("all is stored");
    screen.wait_for("the end");
    let grown = screen.rss_kib().saturating_sub(memory);
    eprintln!(
        "{count} messages; keys: median {:?}, p99 {:?}; processor {:.0} %; memory +{grown} KiB",
        times[times.len() / 2],
        times[times.len() * 99 / 100],
        100.0 * used.as_secs_f64() / took.as_secs_f64()
    );
    // 5,000 messages are kept in memory; the rest is read again.
    assert!(grown < 64 * 1024, "memory grew by {grown} KiB");
    assert!(times[0] < Duration::from_secs(5));
}

/// codex #24527 and others: each key wrapped or drew everything again.
#[test]
fn many_messages_slow_no_key() {
    let server = start();
    let address: Address = target(&server).parse().expect("an address");
    let settings = Settings::new(UserName::new("bob").expect("a name"), RoomName::lobby(), StartAt::Head);
    let filler = Session::start(Connector::new(1), address, settings, |_| ControlFlow::Continue(())).expect("a server");
    let inlet = filler.inlet();
    for n in 1..=100_000_u64 {
        let body = Body::new(format!("message {n} {}", "word ".repeat((n % 40) as usize))).expect("a body");
        inlet.post(&RoomName::lobby(), body, Kind::Text).expect("the session runs");
    }
    inlet.finish();
    filler.wait().expect("all is stored");
    let home = tempfile::tempdir().expect("a folder");
    let arguments = ["--server", &target(&server), "--name", "ann", "--last", "100000"];
    let mut screen = Screen::start(command(home.path(), &arguments), COLUMNS, ROWS);
    screen.wait_for("message 100000");
    screen.wait_until_quiet();
    let memory = screen.rss_kib();
    let before = screen.cpu_time();
    let times = echo_times(&mut screen, 100);
    let used = screen.cpu_time() - before;
    eprintln!("keys: median {:?}, slowest {:?}; processor time {used:?}; memory {memory} KiB", times[50], times[99]);
    // 100 keys at 5 ms each.
    assert!(used <= Duration::from_millis(500), "{used:?}");
    assert!(memory < 256 * 1024, "{memory} KiB");
    // What has left memory is still in reach.
    screen.press("\x15/go #5\r");
    screen.wait_for("message 5 ");
}
