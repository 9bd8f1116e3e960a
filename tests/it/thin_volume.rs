//! A server on a thin volume that is full for some seconds: `make thin-volume-test`. The test needs root, a loop device
//! and the tools of a file system, so it is not among the other tests.
//!
//! The volume is a sparse file, larger than the small tmpfs that it is on, attached as a block device. While the tmpfs
//! is full, writes to blocks that were never written fail with an I/O error, although the file system on the volume has
//! space: the same as in a thin pool of dm-thin with `error_if_no_space`, but without the device mapper. Then the tmpfs
//! is enlarged, like a pool that is extended.
//!
//! All mounts are in a mount namespace of the test, and end with it even if the test is killed.

/// The shared parts of the tests.
#[allow(dead_code, reason = "the other tests use the rest")]
mod support {
    pub mod chatter;
    pub mod process;
    pub mod talker;

    pub const DEADLINE: std::time::Duration = std::time::Duration::from_secs(60);
}

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use grpcio::Client;
use tempfile::TempDir;

use self::support::DEADLINE;
use self::support::chatter::environment;
use self::support::process::{ServerProcess, command};
use self::support::talker::{Talker, after, post_message};

const ROOM: &str = "room";

/// The apparent size of the volume. XFS refuses less than 300 MB.
const VOLUME_BYTES: u64 = 512 << 20;

/// The maximum number of posted messages: more than the pool holds.
const MESSAGES_MAX: u64 = 20_000;

/// How often the volume is filled, for each file system.
fn rounds() -> u32 {
    std::env::var("HUBBUB_THIN_ROUNDS").map_or(7, |rounds| rounds.parse().expect("HUBBUB_THIN_ROUNDS is a number"))
}

#[test]
fn xfs_on_a_thin_volume_that_was_full() {
    fill_and_extend(&["mkfs.xfs", "-q", "-f"]);
}

#[test]
fn ext4_on_a_thin_volume_that_was_full() {
    fill_and_extend(&["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", "-J", "size=8"]);
}

/// One failed fsync of the database on such a volume destroyed the database: on XFS, all acknowledged messages were
/// lost in 7 of 7 cases, although the server had ended with exit code 0.
fn fill_and_extend(make_file_system: &[&str]) {
    // SAFETY: geteuid has no conditions.
    assert_eq!(
        unsafe { libc::geteuid() },
        0,
        "this test attaches a loop device and mounts file systems: run it as root"
    );
    leave_mounts();
    let mut random = fastrand::Rng::new();
    eprintln!("seed {}", random.get_seed());
    for round in 1..=rounds() {
        let margin = random.u64((1 << 20)..(24 << 20));
        let outcome = Round::new(make_file_system).run(margin, round % 2 == 0);
        eprintln!("{} round {round}, {margin} bytes free: {outcome}", make_file_system[0]);
    }
}

/// Moves this thread and its children into a new mount namespace.
fn leave_mounts() {
    // SAFETY: the thread shares nothing with others that depends on its mounts.
    assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNS) }, 0, "the mount namespace can't be created");
    run("mount", &["--make-rprivate", "/"]);
}

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program} is needed: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{program} {arguments:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A pool, a volume in it, and a file system on the volume.
struct Round {
    folder: TempDir,
    device: String,
}

impl Round {
    fn new(make_file_system: &[&str]) -> Self {
        let mut round = Self { folder: tempfile::tempdir().expect("a folder"), device: String::new() };
        for folder in [round.pool(), round.volume()] {
            fs::create_dir(folder).expect("a folder");
        }
        run("mount", &["-t", "tmpfs", "-o", "size=1g", "tmpfs", text(&round.pool())]);
        let file = round.pool().join("volume");
        fs::File::create(&file).and_then(|file| file.set_len(VOLUME_BYTES)).expect("a file with a hole");
        round.device = run("losetup", &["--find", "--show", text(&file)]);
        // One page at a time: the loop device reports success for a write of several pages even if only some had space.
        let queue = Path::new("/sys/block").join(round.device.trim_start_matches("/dev/")).join("queue/max_sectors_kb");
        fs::write(queue, "4").expect("it can be set");
        let (program, arguments) = make_file_system.split_first().expect("a program");
        run(program, &[arguments, &[round.device.as_str()]].concat());
        round.mount();
        round
    }

    fn pool(&self) -> PathBuf {
        self.folder.path().join("pool")
    }

    fn volume(&self) -> PathBuf {
        self.folder.path().join("volume")
    }

    fn mount(&self) {
        run("mount", &[&self.device, text(&self.volume())]);
    }

    /// Sets the size of the pool to the space that it uses, plus this many bytes.
    fn size_pool(&self, margin: u64) {
        // The unit is KiB.
        let used: u64 =
            run("du", &["-sk", text(&self.pool())]).split('\t').next().and_then(|used| used.parse().ok()).unwrap();
        let size = format!("remount,size={}k", used + margin / 1024);
        run("mount", &["-o", &size, text(&self.pool())]);
    }

    fn start(&self) -> ServerProcess {
        let mut command = command();
        command.args(["--listen", "127.0.0.1:0", "--disk-reserve", "0", "--data"]).arg(self.volume().join("data"));
        ServerProcess::listening(command)
    }

    /// Fills the pool of a busy server, extends it, stops the server, mounts the volume again, and checks that all
    /// acknowledged messages are there. Returns a description of the outcome.
    fn run(&self, margin: u64, kill: bool) -> String {
        let mut server = self.start();
        let client = client(&server);
        let mut acknowledged = Vec::new();
        let mut number = 0;
        let mut post = |acknowledged: &mut Vec<(u64, u64)>| {
            number += 1;
            let outcome = post_message(&client, ROOM, "ann", number.into(), &body(number));
            outcome.map(|response| acknowledged.push((response.seq, number))).is_ok()
        };
        for _ in 0..100 {
            assert!(post(&mut acknowledged), "there is space");
        }
        run("sync", &["-f", text(&self.volume())]);
        self.size_pool(margin);
        // Posts until one is refused, and for some time after: some writes fail, others don't.
        while post(&mut acknowledged) {
            assert!((acknowledged.len() as u64) < MESSAGES_MAX, "the pool did not fill up");
        }
        let over = Instant::now() + Duration::from_secs(3);
        while Instant::now() < over {
            post(&mut acknowledged);
            std::thread::park_timeout(Duration::from_millis(20));
        }
        self.size_pool(1 << 30);
        let over = Instant::now() + Duration::from_secs(2);
        while Instant::now() < over {
            post(&mut acknowledged);
            std::thread::park_timeout(Duration::from_millis(5));
        }
        server.signal(if kill { libc::SIGKILL } else { libc::SIGTERM });
        let status = server.wait();
        let log = server.rest_of_log();
        let why = log.iter().find(|line| line.contains("ERROR")).cloned().unwrap_or_default();
        self.unmount(&self.volume());
        self.mount();
        let restarted = self.start();
        check(&restarted, &acknowledged);
        format!("{} messages, {status}; {why}", acknowledged.len())
    }

    fn unmount(&self, place: &Path) {
        let deadline = Instant::now() + DEADLINE;
        while !Command::new("umount").arg(place).status().expect("umount is there").success() {
            assert!(Instant::now() < deadline, "{} is in use", place.display());
            std::thread::park_timeout(Duration::from_millis(100));
        }
    }
}

impl Drop for Round {
    fn drop(&mut self) {
        // The server of this round has ended. Remaining mounts and devices detach when their last user is gone.
        for place in [self.volume(), self.pool()] {
            if place == self.pool() && !self.device.is_empty() {
                let _ = Command::new("losetup").args(["--detach", &self.device]).status();
            }
            let _ = Command::new("umount").arg("--lazy").arg(place).status();
        }
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}

fn body(number: u64) -> String {
    format!("{number} {}", "x".repeat(number as usize * 7919 % 15_000))
}

fn client(server: &ServerProcess) -> Client {
    Talker::connect(&environment(), server.target(), "ann").client
}

fn check(server: &ServerProcess, acknowledged: &[(u64, u64)]) {
    let mut reader = Talker::hello(&environment(), server.target(), "reader");
    let (joined, events) = reader.join_room(ROOM, after(0, 0));
    assert_eq!((joined.oldest_seq, joined.head_seq), (1, events.len() as u64));
    for (seq, number) in acknowledged {
        let event =
            events.get(*seq as usize - 1).unwrap_or_else(|| panic!("message {seq} of {} is lost", events.len()));
        assert_eq!((event.seq, event.message().body == body(*number)), (*seq, true));
    }
}
