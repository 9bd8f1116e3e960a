//! A while of everything at once, against a real server.

use std::env;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use grpcio::{ChannelBuilder, Client};
use hubbub::client::{Caller, Connector, PagePlace};
use hubbub::names::RoomName;
use tempfile::TempDir;

use super::screen::Cell;
use super::{COLUMNS, ROWS, Screen, command};
use crate::support::chatter::environment;
use crate::support::process::{self, ServerProcess, lasting_address};
use crate::support::talker::post_message;
use crate::support::{DEADLINE, seed, wait_for};

/// How long it lasts, unless `HUBBUB_TEST_SECONDS` says otherwise. `make tui-soak` sets ten minutes.
const SECONDS: u64 = 20;

const ROOMS: usize = 20;
const RESTARTS: u32 = 3;
const RESIZES: u32 = 100;

/// How often the screen is compared with one that is drawn anew.
const CHECKS: u32 = 12;

/// Others talk in these rooms, so that what is kept of them in memory is soon as much as is ever kept.
const BUSY: usize = 3;

/// How much the memory may grow between the second quarter of the time and the last one, in KiB.
const GROWTH_MAX: usize = 8 * 1024;

/// A server that is killed and started again at the same address.
struct Phoenix {
    address: String,
    folder: TempDir,
    running: Option<ServerProcess>,
}

impl Phoenix {
    fn start() -> Self {
        let (address, folder) = (lasting_address(), tempfile::tempdir().expect("a folder can be made"));
        let mut phoenix = Self { address, folder, running: None };
        phoenix.rise();
        phoenix
    }

    fn rise(&mut self) {
        let mut command: Command = process::command();
        command.args(["--listen", &self.address, "--data"]).arg(self.folder.path());
        self.running = Some(ServerProcess::listening(command));
    }

    /// The bodies of all messages of a sender, in all rooms.
    fn bodies(&self, sender: &str) -> Vec<String> {
        let address = self.address.parse().expect("an address");
        let mut caller = Caller::connect(Connector::new(1), address, DEADLINE).expect("the server is there");
        let mut bodies = Vec::new();
        for name in (1..=ROOMS).map(room) {
            let name = RoomName::new(&name).expect("a name");
            let mut after = 0;
            // A room without messages is not there.
            while let Ok(page) = caller.messages(&name, PagePlace::After(after), 1000) {
                let Some(last) = page.last_seq else { break };
                bodies.extend(page.messages.into_iter().filter(|message| message.sender == sender).map(|m| m.body));
                after = last;
            }
        }
        bodies.sort();
        bodies
    }
}

fn room(number: usize) -> String {
    format!("room-{number:02}")
}

/// The client, what was typed, and what is due.
struct Soak {
    server: Phoenix,
    screen: Screen,
    others: Client,
    random: fastrand::Rng,
    sent: Vec<String>,
    said: u64,
}

/// Typing, scrolling, pastes, 20 rooms, other sizes, messages of others and a server that is killed, in any order. Each line
/// that was typed is stored once, memory stays flat, and nothing is drawn where it does not belong: no frame leaves the
/// screen, nothing scrolls, and a screen that was changed bit by bit is the same as one that is drawn anew.
#[test]
fn a_soak_loses_and_repeats_nothing() {
    let seconds = env::var("HUBBUB_TEST_SECONDS").map(|seconds| seconds.parse().expect("a number"));
    let time = Duration::from_secs(seconds.unwrap_or(SECONDS));
    let server = Phoenix::start();
    let home = tempfile::tempdir().expect("a folder can be made");
    let rooms: Vec<_> = (1..=ROOMS).map(room).collect();
    let arguments = ["--server", &server.address, "--name", "ann", "chat"].map(str::to_owned);
    let arguments: Vec<_> = arguments.iter().chain(&rooms).map(String::as_str).collect();
    let screen = Screen::start(command(home.path(), &arguments), COLUMNS, ROWS);
    screen.wait_for("[room-01]");
    screen.wait_until_quiet();
    let channel = ChannelBuilder::new(environment()).use_local_subchannel_pool(true).connect(&server.address);
    let random = fastrand::Rng::with_seed(seed());
    let mut soak = Soak { server, screen, others: Client::new(channel), random, sent: Vec::new(), said: 0 };
    let start = Instant::now();
    let (mut restarts, mut resizes, mut checks) = (0, 0, 0);
    let mut rises_at = None;
    let mut memory = Vec::new();
    while start.elapsed() < time {
        // How often something is due that happens so many times.
        let due = |times: u32| (start.elapsed().as_secs_f64() / time.as_secs_f64() * f64::from(times)) as u32;
        if let Some(at) = rises_at {
            if at <= Instant::now() {
                soak.server.rise();
                rises_at = None;
            }
        } else if due(RESTARTS + 1) > restarts && restarts < RESTARTS {
            restarts += 1;
            soak.server.running.take().expect("it runs").crash();
            rises_at = Some(Instant::now() + Duration::from_millis(soak.random.u64(300..1500)));
        } else if due(CHECKS) > checks {
            checks = due(CHECKS);
            soak.compare_with_a_new_screen();
        }
        if due(RESIZES) >= resizes {
            resizes += 1;
            soak.screen.resize(soak.random.u16(20..140), soak.random.u16(6..50));
        }
        soak.step();
        if memory.len() < start.elapsed().as_millis() as usize / 100 {
            memory.push(soak.screen.rss_kib());
        }
        thread::park_timeout(Duration::from_millis(soak.random.u64(1..25)));
    }
    if soak.server.running.is_none() {
        soak.server.rise();
    }
    soak.compare_with_a_new_screen();
    assert!(restarts == RESTARTS && resizes >= RESIZES, "{restarts} restarts, {resizes} sizes");
    soak.end(&memory);
}

impl Soak {
    /// Something that a user does, or others do.
    fn step(&mut self) {
        let Self { screen, random, .. } = self;
        match random.u32(..10) {
            0..=2 => {
                let text = format!("soak {} of this", self.sent.len());
                screen.press(&format!("{text}\r"));
                self.sent.push(text);
            }
            3 => screen.press(&format!("\x1b{}", random.u8(0..10))),
            4 => screen.press(random.choice(["\x1ba", "\x0e", "\x10", "\x1b/", "\x1bj17"]).expect("a key")),
            5 => screen.press(random.choice(["\x1b[5~", "\x1b[6~", "\x1b[1;3F", "\x1bu", "\x1bp"]).expect("a key")),
            6 => screen.press(random.choice(["\x1b[O", "\x1b[I", "\x1bOR", "\x0c"]).expect("a report")),
            7 => screen.press(random.choice(["half a thought\x15", "\x1b[18~", "\x1b[19~"]).expect("a key")),
            8 if random.u32(..8) == 0 => self.paste(),
            _ => self.others_talk(),
        }
    }

    /// Two lines, which are one message. Enter at once would belong to the paste.
    fn paste(&mut self) {
        let number = self.sent.len();
        self.screen.press(&format!("\x1b[200~soak {number} of this\rpasted-{number}\x1b[201~"));
        self.screen.wait_for(&format!("pasted-{number}"));
        thread::park_timeout(Duration::from_millis(60));
        self.screen.press("\r");
        self.sent.push(format!("soak {number} of this\npasted-{number}"));
    }

    fn others_talk(&mut self) {
        if self.server.running.is_none() {
            return;
        }
        let room =
            room(if self.random.u32(..20) == 0 { self.random.usize(1..=ROOMS) } else { self.random.usize(1..=BUSY) });
        for _ in 0..self.random.u32(..20) {
            self.said += 1;
            let text = match self.random.u32(..6) {
                0 => format!("{} for ann", self.said),
                1 => format!(
                    "{} 世界 ☺\u{fe0f}☺\u{fe0f} 👩\u{200d}👧 {}",
                    self.said,
                    "wide 文字 ".repeat(self.random.usize(..9))
                ),
                2 => format!("{}\ntwo\n\nlines", self.said),
                _ => format!("{} {}", self.said, "word ".repeat(self.random.usize(..30))),
            };
            // The connection may not be back yet.
            let _ = post_message(&self.others, &room, "bob", 0, &text);
        }
    }

    /// Waits until nothing happens, and compares the screen with one that is drawn anew.
    fn compare_with_a_new_screen(&mut self) {
        let screen = &mut self.screen;
        screen.wait_until("a connection", |text| {
            !["offline", "connecting", "retry", "not sent"].iter().any(|part| text.contains(part))
        });
        // An answer to the last command goes with the next key.
        screen.press("\x1b");
        screen.wait_until_quiet();
        screen.wait_until_quiet();
        let redraws = screen.assert_frames();
        let before = (without_time(screen.cells()), screen.cursor());
        let text = screen.text();
        screen.press("\x0c");
        wait_for("a new screen", || screen.assert_frames() > redraws);
        screen.wait_until_quiet();
        let after = (without_time(screen.cells()), screen.cursor());
        assert!(
            before == after,
            "the screen was\n{text}\nand drawn anew\n{}\n{}",
            screen.text(),
            differences(&before.0, &after.0)
        );
    }

    /// Everything is stored, and the client is as small and as quick as before.
    fn end(mut self, memory: &[usize]) {
        self.screen.resize(COLUMNS, ROWS);
        self.sent.sort();
        wait_for("all lines", || self.server.bodies("ann").len() >= self.sent.len());
        assert_eq!(self.server.bodies("ann"), self.sent);
        self.screen.press("\x1b1\x15the last line");
        self.screen.wait_for("the last line");
        self.screen.wait_until_quiet();
        self.screen.assert_frames();
        let quarter = memory.len() / 4;
        let (second, last) = (median(&memory[quarter..2 * quarter]), median(&memory[3 * quarter..]));
        eprintln!(
            "{} lines typed, {} messages of others; memory {second} KiB in the second quarter, {last} KiB in the last one",
            self.sent.len(),
            self.said
        );
        assert!(last <= second + GROWTH_MAX, "memory grew from {second} KiB to {last} KiB: {memory:?}");
        self.screen.press("\x15/quit\r");
        assert_eq!(self.screen.end_restored(), 0);
    }
}

fn median(values: &[usize]) -> usize {
    let mut values = values.to_vec();
    values.sort_unstable();
    values[values.len() / 2]
}

/// The cells without the time of day in the status row: it may have changed.
fn without_time(mut cells: Vec<Vec<Cell>>) -> Vec<Vec<Cell>> {
    for row in &mut cells {
        let text: Vec<_> = row.iter().map(|cell| cell.text.chars().next().unwrap_or(' ')).collect();
        let is_time = |part: &[char]| {
            part.iter()
                .zip("[00:00]".chars())
                .all(|(c, form)| if form == '0' { c.is_ascii_digit() } else { *c == form })
        };
        let at = text.windows(7).position(is_time);
        at.into_iter().flat_map(|at| at..at + 7).for_each(|column| row[column].text.clear());
    }
    cells
}

/// The first cells that differ.
fn differences(before: &[Vec<Cell>], after: &[Vec<Cell>]) -> String {
    let pairs = before.iter().zip(after).enumerate();
    let cells = pairs.flat_map(|(y, (before, after))| {
        before.iter().zip(after).enumerate().filter(|(_, (a, b))| a != b).map(move |(x, (a, b))| (y, x, a, b))
    });
    cells.take(10).map(|(y, x, a, b)| format!("row {y}, column {x}: {a:?}, then {b:?}\n")).collect()
}
