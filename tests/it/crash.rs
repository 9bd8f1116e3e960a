//! The server is killed repeatedly while it works, and starts again on its data folder: no acknowledged message is
//! lost, no message is repeated, and all clients see the same messages.

use std::env;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::support::crowd::Crowd;
use super::support::preload;
use super::support::process::{ServerProcess, command, lasting_address};
use super::support::repeat::{Repeat, Watch};
use super::support::{DEADLINE, seed, wait_for};

/// The room of the clients.
const ROOM: &str = "room";

/// The messages of the repeat client for each kill, and how many it sends per second.
const MESSAGES_PER_KILL: u64 = 1000;
const RATE: u64 = 5000;

/// The maximum time from the moment when all clients of a crowd have reconnected to the next kill.
const LIFE_MAX: Duration = Duration::from_millis(400);

/// The maximum time from a start to a kill that is meant to come before the server listens: longer than a start takes.
const START_MAX: Duration = Duration::from_millis(60);

/// How long a commit takes at least in a drain that is to take some time, and the maximum time from the begin of a drain
/// to the kill. A drain of the crowd takes 5 to 100 ms.
const SLOW_SYNC_US: &str = "20000";
const DRAIN_MAX: Duration = Duration::from_millis(60);

/// A server that is killed and restarted.
struct Phoenix {
    address: String,
    folder: TempDir,
    /// The library for a server whose commits are slow.
    slow: Option<PathBuf>,
    random: fastrand::Rng,
    running: Option<ServerProcess>,
    hits: Hits,
}

/// The states of the server at the kills.
#[derive(Debug, Default)]
struct Hits {
    kills: usize,
    /// The server was starting.
    starting: usize,
    /// The log writer was writing, or waited for the disk.
    writing: usize,
    /// The server was draining.
    draining: usize,
    /// The drain had ended before the kill.
    drained: usize,
}

impl Phoenix {
    fn start() -> Self {
        let (address, folder) = (lasting_address(), tempfile::tempdir().expect("a folder can be made"));
        let random = fastrand::Rng::with_seed(seed());
        let mut phoenix = Self { address, folder, slow: None, random, running: None, hits: Hits::default() };
        phoenix.running = Some(ServerProcess::listening(phoenix.command()));
        phoenix
    }

    fn command(&self) -> Command {
        let mut command = command();
        command.args(["--listen", &self.address, "--data"]).arg(self.folder.path());
        if let Some(library) = &self.slow {
            command.env("LD_PRELOAD", library).env("HUBBUB_SLOW_SYNC_US", SLOW_SYNC_US);
        }
        command
    }

    /// Kills the server, and starts it again.
    ///
    /// Most kills wait for the worst moment, which comes soon while messages are posted, unless `is_over` returns that
    /// no more will be.
    fn crash(&mut self, mut is_over: impl FnMut() -> bool) {
        let running = self.running.take().expect("it was started");
        let writer = running.log_writer();
        if self.random.u8(..6) > 0 {
            let deadline = Instant::now() + DEADLINE;
            while !writer.is_writing() && !is_over() {
                assert!(Instant::now() < deadline, "the log writer writes nothing");
            }
        }
        self.hits.kills += 1;
        self.hits.writing += usize::from(writer.is_writing());
        running.crash();
        if self.random.u8(..4) == 0 {
            self.hits.starting += 1;
            let starting = ServerProcess::spawn(self.command());
            thread::park_timeout(START_MAX.mul_f64(self.random.f64()));
            starting.crash();
        }
        self.running = Some(ServerProcess::listening(self.command()));
    }
}

impl Phoenix {
    /// Begins a drain, kills the server at some moment of it, and starts it again.
    fn crash_while_draining(&mut self, slow: &Path) {
        let mut running = self.running.take().expect("it was started");
        let writer = running.log_writer();
        running.signal(libc::SIGTERM);
        running.wait_for_log("draining");
        let (begun, pause) = (Instant::now(), DRAIN_MAX.mul_f64(self.random.f64().powi(2)));
        // Half of the kills wait for a commit of the drain, if there is one.
        let waits_for_writer = self.random.bool();
        while begun.elapsed() < pause && !(waits_for_writer && writer.is_writing()) {
            thread::park_timeout(Duration::from_micros(100));
        }
        let was_writing = writer.is_writing();
        running.signal(libc::SIGKILL);
        let status = running.wait();
        self.hits.kills += 1;
        if status.signal() == Some(libc::SIGKILL) {
            self.hits.draining += 1;
            self.hits.writing += usize::from(was_writing);
        } else {
            assert_eq!(status.code(), Some(0), "{:#?}", running.rest_of_log());
            self.hits.drained += 1;
        }
        self.slow = self.random.bool().then(|| slow.to_owned());
        self.running = Some(ServerProcess::listening(self.command()));
    }
}

/// The number of kills. `make crash-test` sets it.
fn kills() -> usize {
    env::var("HUBBUB_CRASH_KILLS").map_or(50, |kills| kills.parse().expect("HUBBUB_CRASH_KILLS is a number"))
}

#[test]
fn the_repeat_client_finds_no_fault_in_a_killed_server() {
    let mut server = Phoenix::start();
    let mut repeat = Repeat::start(&server.address, ROOM, MESSAGES_PER_KILL * kills() as u64, RATE);
    // The kills come at random seqs, in the first nine tenths of the room, so that the run is not over before.
    let last = repeat.total() * 9 / 10;
    let mut places: Vec<u64> = (0..kills()).map(|_| server.random.u64(..last)).collect();
    places.sort_unstable();
    for place in places {
        let watch = Watch::start(&server.address, ROOM);
        let mut ended = false;
        wait_for(&format!("message {place}"), || {
            ended = repeat.has_ended();
            ended || watch.head().is_some_and(|head| head >= place)
        });
        if ended {
            break;
        }
        server.crash(|| repeat.has_ended());
    }
    let reconnects = repeat.finish(&server.address);
    eprintln!("{:?}, {reconnects} reconnects", server.hits);
    assert!(server.hits.kills == kills() && server.hits.writing > kills() / 2, "few kills hit: {:?}", server.hits);
    assert!(reconnects >= kills() as u64);
}

#[test]
fn clients_that_resume_miss_no_message_of_a_killed_server() {
    let mut server = Phoenix::start();
    let crowd = Crowd::start(&server.address, ROOM, 12, 6, server.random.u64(..));
    for kill in 0..kills() {
        wait_for("all clients to reconnect", || crowd.connected() == 12 || crowd.has_failed());
        thread::park_timeout(LIFE_MAX.mul_f64(server.random.f64()));
        assert!(!crowd.has_failed(), "a client found a fault after {kill} kills");
        server.crash(|| crowd.has_failed());
    }
    let summary = crowd.finish();
    eprintln!("{:?}, {summary:?}", server.hits);
    assert!(server.hits.writing > kills() / 2, "few kills hit: {:?}", server.hits);
    assert!(summary.reconnects >= kills() * 12 && summary.messages > kills() as u64);
    // Some messages were stored, and the server was killed before it could acknowledge them.
    assert!(summary.stored_before > 0, "{summary:?}");
}

/// What a supervisor does that loses patience: SIGTERM, and SIGKILL while the server drains.
#[test]
fn clients_that_resume_miss_no_message_of_a_server_that_is_killed_while_it_drains() {
    let library = tempfile::tempdir().expect("a folder can be made");
    let slow = preload::compile("slow", library.path());
    let mut server = Phoenix::start();
    let crowd = Crowd::start(&server.address, ROOM, 12, 6, server.random.u64(..));
    for kill in 0..kills() {
        wait_for("all clients to reconnect", || crowd.connected() == 12 || crowd.has_failed());
        thread::park_timeout((LIFE_MAX / 2).mul_f64(server.random.f64()));
        assert!(!crowd.has_failed(), "a client found a fault after {kill} kills");
        server.crash_while_draining(&slow);
    }
    let summary = crowd.finish();
    eprintln!("{:?}, {summary:?}", server.hits);
    let hits = &server.hits;
    assert!(hits.draining > kills() / 2 && hits.writing > kills() / 10, "few kills hit: {hits:?}");
    assert!(summary.reconnects >= kills() * 12 && summary.messages > kills() as u64);
    // Some messages were stored, and the server was killed before it could acknowledge them.
    assert!(summary.stored_before > 0, "{summary:?}");
}
