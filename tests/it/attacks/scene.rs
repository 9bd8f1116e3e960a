//! A server under attack, with well-behaved clients beside it, and the measurements.

use std::env;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use grpcio::{CallOption, ChannelBuilder, Client, RpcStatusCode};
use hubbub::wire::{self, v1};
use parking_lot::{Mutex, MutexGuard};

use crate::support::chatter::environment;
use crate::support::process::{ServerProcess, command};
use crate::support::talker::{Talker, call};
use crate::support::wait_for;

/// The room of the pair.
const ROOM: &str = "pair";

/// The pause between newcomers: all are of one address, which may open three connections a second.
const NEWCOMER_INTERVAL: Duration = Duration::from_millis(400);

/// How long a newcomer waits for its answer.
const NEWCOMER_PATIENCE: Duration = Duration::from_secs(5);

/// How much more memory than before an attack may make the server take, in KiB.
pub const RSS_MORE_MAX_KIB: usize = 200 * 1024;

/// How much more memory than before an attack the server may keep, in KiB.
const RSS_KEPT_MAX_KIB: usize = 64 * 1024;

/// Attacks run one at a time, because each would change the figures of another.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// The variable that makes attacks longer, and makes the table.
const SECONDS: &str = "HUBBUB_ATTACK_SECONDS";

/// The table that `make hostile` shows.
const TABLE: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/hostile.md");

/// The time after an attack until the memory is measured again.
const LATER: Duration = Duration::from_secs(30);

/// How long an attack lasts.
pub fn attack_time() -> Duration {
    let seconds = env::var(SECONDS);
    Duration::from_secs(seconds.map_or(3, |seconds| seconds.parse().expect("HUBBUB_ATTACK_SECONDS is a number")))
}

fn is_long() -> bool {
    env::var_os(SECONDS).is_some()
}

/// A server in a process of its own, not yet attacked.
pub struct Scene {
    pub server: ServerProcess,
    _only: MutexGuard<'static, ()>,
}

/// What an attack did to the server and to the others.
#[derive(Debug)]
pub struct Report {
    name: &'static str,
    pub rss_before_kib: usize,
    pub rss_peak_kib: usize,
    pub threads_before: usize,
    pub threads_peak: usize,
    pub descriptors_before: usize,
    pub descriptors_peak: usize,
    /// The latencies of the pair's messages, sorted.
    pair: Vec<Duration>,
    pub newcomers: usize,
    pub newcomers_refused: usize,
    newcomer_p99: Duration,
}

/// Ends the threads of an attack on drop.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Scene {
    pub fn start(arguments: &[&str]) -> Self {
        let mut server = command();
        server.args(["--listen", "127.0.0.1:0", "--ephemeral"]).args(arguments);
        Self::of(server)
    }

    /// A server that was started by this command.
    pub fn of(server: Command) -> Self {
        let only = ONE_AT_A_TIME.lock();
        Self { server: ServerProcess::listening(server), _only: only }
    }

    /// Attacks while a pair talks and newcomers come. Fails if the pair loses a message.
    pub fn attack(&self, name: &'static str, attack: impl FnOnce(&str)) -> Report {
        let target = self.server.target();
        let mut pair = Pair::join(target);
        pair.talk();
        self.wait_for_index();
        let process = Process(self.server.pid());
        let rss_before_kib = process.status_kib("VmRSS:");
        let (threads_before, descriptors_before) = (process.count("task"), process.count("fd"));
        let is_over = AtomicBool::new(false);
        let goes_on = || !is_over.load(Ordering::Relaxed);
        thread::scope(|scope| {
            let talking = scope.spawn(|| {
                while goes_on() {
                    pair.talk();
                    thread::park_timeout(Duration::from_millis(20));
                }
                pair.latencies
            });
            let coming = scope.spawn(|| {
                let (mut served, mut refused) = (Vec::new(), 0);
                while goes_on() {
                    let begun = Instant::now();
                    match come(target) {
                        Ok(()) => served.push(begun.elapsed()),
                        Err(error) => {
                            println!("{name}: a newcomer is refused: {error}");
                            refused += 1;
                        }
                    }
                    thread::park_timeout(NEWCOMER_INTERVAL);
                }
                (served, refused)
            });
            let watching = scope.spawn(|| {
                let (mut threads, mut descriptors) = (0, 0);
                while goes_on() {
                    threads = threads.max(process.count("task"));
                    descriptors = descriptors.max(process.count("fd"));
                    thread::park_timeout(Duration::from_millis(20));
                }
                (threads, descriptors)
            });
            // Also if the attack fails: the threads end, and the failure is reported.
            let over = Over(&is_over);
            attack(target);
            drop(over);
            let (threads_peak, descriptors_peak) = watching.join().expect("the watch goes on");
            let (mut served, newcomers_refused) = coming.join().expect("newcomers come");
            let mut latencies = talking.join().expect("the pair loses nothing");
            served.sort_unstable();
            latencies.sort_unstable();
            let report = Report {
                name,
                rss_before_kib,
                rss_peak_kib: process.status_kib("VmHWM:"),
                threads_before,
                threads_peak,
                descriptors_before,
                descriptors_peak,
                newcomers: served.len(),
                newcomers_refused,
                newcomer_p99: quantile(&served, 0.99),
                pair: latencies,
            };
            println!("{}", report.row("?"));
            report
        })
    }

    /// Waits until the search index, if the server has one, has all messages. It then has its files open.
    pub fn wait_for_index(&self) {
        let channel = ChannelBuilder::new(environment()).use_local_subchannel_pool(true).connect(self.server.target());
        let client = Client::new(channel);
        let (query, room) = ("1".to_owned(), ROOM.to_owned());
        let request = v1::SearchMessagesRequest { query, room, ..Default::default() };
        wait_for("the search index", || match call(&client, &wire::SEARCH_MESSAGES, &request) {
            Ok(response) => !response.found.is_empty() && response.behind_count == 0,
            Err(end) => end.code == RpcStatusCode::UNIMPLEMENTED,
        });
    }

    /// Waits until the server has as few threads and descriptors as before an attack, or nearly: the library keeps some
    /// of its threads. Then the server must still drain.
    pub fn recover(mut self, report: &Report) -> Vec<String> {
        const LIBRARY_THREADS_MAX: usize = 16;
        wait_for("no descriptor of the attack", || self.server.files() <= report.descriptors_before);
        let threads_max = report.threads_before + LIBRARY_THREADS_MAX;
        wait_for("no thread of the attack", || self.server.threads() <= threads_max);
        let process = Process(self.server.pid());
        let rss_max = report.rss_before_kib + RSS_KEPT_MAX_KIB;
        wait_for("the attack's memory is given back", || process.status_kib("VmRSS:") <= rss_max);
        if is_long() {
            thread::sleep(LATER);
            report.add_to_table(process.status_kib("VmRSS:"));
        }
        self.server.signal(libc::SIGTERM);
        assert_eq!(self.server.wait().code(), Some(0));
        let log = self.server.rest_of_log();
        assert!(!log.iter().any(|line| line.contains("panicked")), "{log:#?}");
        log
    }
}

/// A process by its id.
#[derive(Clone, Copy)]
pub struct Process(pub u32);

impl Process {
    /// How many entries this folder of the process has: "task" or "fd".
    pub fn count(self, folder: &str) -> usize {
        fs::read_dir(format!("/proc/{}/{folder}", self.0)).expect("the server runs").count()
    }

    /// A figure in KiB.
    pub fn status_kib(self, name: &str) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0)).expect("the server runs");
        let line = status.lines().find(|line| line.starts_with(name)).expect("the kernel shows it");
        line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number of KiB")
    }
}

impl Report {
    /// Latencies are shown and not checked: the machine may be busy.
    fn row(&self, rss_later: &str) -> String {
        format!(
            "| {} | {:.1} / {:.1} | {} / {} / {rss_later} | {} / {} | {} / {} | {} in {:.0} ms, {} |",
            self.name,
            millis(quantile(&self.pair, 0.5)),
            millis(quantile(&self.pair, 0.99)),
            self.rss_before_kib / 1024,
            self.rss_peak_kib / 1024,
            self.threads_before,
            self.threads_peak,
            self.descriptors_before,
            self.descriptors_peak,
            self.newcomers,
            millis(self.newcomer_p99),
            self.newcomers_refused,
        )
    }

    /// Adds a row to the table that `make hostile` shows.
    fn add_to_table(&self, rss_later_kib: usize) {
        let row = format!("{}\n", self.row(&(rss_later_kib / 1024).to_string()));
        let table = OpenOptions::new().create(true).append(true).open(TABLE);
        table.and_then(|mut table| table.write_all(row.as_bytes())).expect("the table can be written");
    }

    /// The attack cost little memory, and newcomers were served all the time.
    pub fn assert_bounded(&self) {
        assert!(self.rss_peak_kib < self.rss_before_kib + RSS_MORE_MAX_KIB, "{self:?}");
        assert!(self.newcomers > 0 && self.newcomers_refused == 0, "{self:?}");
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn quantile(sorted: &[Duration], share: f64) -> Duration {
    let index = (sorted.len() as f64 * share) as usize;
    sorted.get(index.min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
}

/// One client more, on a connection of its own, which posts a message.
fn come(target: &str) -> Result<(), grpcio::Error> {
    let channel = ChannelBuilder::new(environment()).use_local_subchannel_pool(true).connect(target);
    let client = Client::new(channel);
    let request = v1::PostMessageRequest {
        room: "newcomers".to_owned(),
        sender: "newcomer".to_owned(),
        body: "hello".to_owned(),
        ..Default::default()
    };
    let option = CallOption::default().timeout(NEWCOMER_PATIENCE).wait_for_ready(true);
    client.unary_call(&wire::POST_MESSAGE, &request, option).map(drop)
}

/// Two well-behaved clients.
struct Pair {
    poster: Talker,
    hearer: Talker,
    count: usize,
    latencies: Vec<Duration>,
}

impl Pair {
    fn join(target: &str) -> Self {
        let environment = environment();
        let hearer = Talker::join(&environment, target, "hearer", ROOM);
        let poster = Talker::join(&environment, target, "poster", ROOM);
        Self { poster, hearer, count: 0, latencies: Vec::new() }
    }

    /// One message, which both hear: the next one, and nothing before it.
    fn talk(&mut self) {
        self.count += 1;
        let body = self.count.to_string();
        let begun = Instant::now();
        self.poster.post(ROOM, 0, &body);
        let heard = self.hearer.hear();
        self.latencies.push(begun.elapsed());
        let expected = (self.count as u64, "poster".to_owned(), body);
        assert_eq!(heard, expected);
        assert_eq!(self.poster.hear(), expected);
    }
}
