//! The soak: attacks of all kinds in turn for minutes, with clients that behave beside them. These lose nothing and get
//! nothing twice, and what the server takes between the rounds does not grow: memory, threads and descriptors.
//!
//! Attackers of this machine's own address are exempt from the limits of addresses, as behind a proxy; in every second
//! round they come from another address, which is not. `HUBBUB_SOAK_SECONDS` sets the time; `make soak` soaks for half an
//! hour.

use std::collections::BTreeMap;
use std::env;
use std::net::Ipv4Addr;
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use hubbub::wire::v1::ListMessagesRequest;
use hubbub::wire::{CHAT_CLIENT, LIST_MESSAGES, LIST_ROOMS, POST_MESSAGE};

use super::calls::{call, encode, no_window, unknown_fields};
use super::commands::{CommandFlood, joins, posts};
use super::connections::{ATTACKER, hold};
use super::flood::{Flood, Opening, open};
use super::frames::{open_streams, reset, send_long_messages};
use super::scene::{Process, Scene};
use crate::hostile::misbehave_once;
use crate::support::process::command;
use crate::support::raw::{
    CONTINUATION, DATA, GOAWAY, HEADERS, PADDED, PING, PREFACE, PRIORITY, SETTINGS, frame, headers,
};
use crate::support::repeat::Repeat;
use crate::support::talker::{after, join, leave};
use crate::support::{seed, wait_for};

/// How long one attack of a round lasts.
const ATTACK: Duration = Duration::from_secs(1);

/// The messages a second of the repeat client, beside those of the pair and of newcomers.
const RATE: u64 = 200;

/// How many messages a room keeps: more than the repeat client posts in a round, and few enough for a small disk.
const RETAINED: &str = "20000";

/// The fewest rounds that can be compared.
const ROUNDS_MIN: usize = 8;

/// How much more the server may take in the last quarter of the rounds than in the second one. The first quarter is left
/// out: caches fill, and the library starts threads that it keeps.
const MORE: Sample = Sample { rss_kib: 16 * 1024, threads: 4, own_threads: 0, descriptors: 1 };

/// How often the server is measured between two rounds, and how far apart: for longer than the search index keeps its
/// memory after it has caught up.
const READINGS: usize = 40;
const READING_INTERVAL: Duration = Duration::from_millis(75);

/// How long the attacks last together.
fn soak_time() -> Duration {
    let seconds = env::var("HUBBUB_SOAK_SECONDS");
    Duration::from_secs(seconds.map_or(180, |seconds| seconds.parse().expect("HUBBUB_SOAK_SECONDS is a number")))
}

/// What the server takes while nobody attacks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sample {
    rss_kib: usize,
    threads: usize,
    own_threads: usize,
    descriptors: usize,
}

/// One of the figures of a sample.
type Figure = fn(&Sample) -> usize;

impl Sample {
    const FIGURES: [(&str, Figure); 4] = [
        ("memory, KiB", |sample| sample.rss_kib),
        ("threads", |sample| sample.threads),
        ("threads of the server's own", |sample| sample.own_threads),
        ("descriptors", |sample| sample.descriptors),
    ];

    /// The least of several readings: newcomers come all the time, and are gone at once.
    fn take(scene: &Scene) -> Self {
        let process = Process(scene.server.pid());
        let readings = (0..READINGS).map(|_| {
            thread::park_timeout(READING_INTERVAL);
            Self {
                rss_kib: process.status_kib("VmRSS:"),
                threads: process.count("task"),
                own_threads: scene.server.own_threads(),
                descriptors: process.count("fd"),
            }
        });
        let least = |one: Self, other: Self| Self {
            rss_kib: one.rss_kib.min(other.rss_kib),
            threads: one.threads.min(other.threads),
            own_threads: one.own_threads.min(other.own_threads),
            descriptors: one.descriptors.min(other.descriptors),
        };
        readings.reduce(least).expect("there are readings")
    }
}

/// For each figure, its median in the second and in the last quarter, and whether it grew by more than allowed.
fn growth(samples: &[Sample]) -> Vec<(&'static str, usize, usize, bool)> {
    let quarter = samples.len() / 4;
    let median = |samples: &[Sample], figure: Figure| {
        let mut values: Vec<_> = samples.iter().map(figure).collect();
        values.sort_unstable();
        values[values.len() / 2]
    };
    let row = |(name, figure): (_, Figure)| {
        let second = median(&samples[quarter..2 * quarter], figure);
        let last = median(&samples[samples.len() - quarter..], figure);
        (name, second, last, last > second + figure(&MORE))
    };
    Sample::FIGURES.into_iter().map(row).collect()
}

#[test]
fn growth_is_found_and_noise_is_not() {
    let noise = |round: usize| Sample {
        rss_kib: 40_000 + round * 7_919 % 6_000,
        threads: 20 + round % 4,
        own_threads: 15,
        descriptors: 30 + round % 2,
    };
    let grows = |leak: fn(&mut Sample, usize)| {
        let sample = |round| {
            let mut sample = noise(round);
            leak(&mut sample, round);
            sample
        };
        let samples: Vec<_> = (0..12).map(sample).collect();
        growth(&samples).iter().filter(|(.., grows)| *grows).map(|(name, ..)| *name).collect::<Vec<_>>()
    };
    assert_eq!(grows(|_, _| {}), Vec::<&str>::new());
    assert_eq!(grows(|sample, round| sample.rss_kib += 4_000 * round), ["memory, KiB"]);
    assert_eq!(grows(|sample, round| sample.threads += 2 * round), ["threads"]);
    assert_eq!(grows(|sample, round| sample.own_threads += round / 4), ["threads of the server's own"]);
    assert_eq!(grows(|sample, round| sample.descriptors += round), ["descriptors"]);
    // What a first quarter takes and the others keep is not growth.
    assert_eq!(grows(|sample, round| sample.rss_kib += 90_000 * round.min(2)), Vec::<&str>::new());
}

/// An attack: from this address, on this target, until then. Returns what it has sent: bytes, or connections.
type Attack = fn(Ipv4Addr, &str, Instant) -> usize;

/// All attacks of a round, which takes them in any order.
const ATTACKS: [(&str, Attack); 16] = [
    ("rapid resets", |source, target, until| {
        flood(source, target, until, &Vec::new, &|n| [open(CHAT_CLIENT.name, n), reset(n)].concat())
    }),
    ("rapid resets of calls", |source, target, until| {
        flood(source, target, until, &Vec::new, &|n| [open(POST_MESSAGE.name, n), reset(n)].concat())
    }),
    ("provoked resets", |source, target, until| {
        let broken = |n| [open(CHAT_CLIENT.name, n), frame(DATA, PADDED, 2 * n + 1, &[0])].concat();
        flood(source, target, until, &Vec::new, &broken)
    }),
    ("control frames", |source, target, until| {
        let frames = [frame(GOAWAY, 0, 0, &[0; 8]), frame(SETTINGS, 0, 0, &[]), frame(PRIORITY, 0, 1, &[0; 5])];
        flood(source, target, until, &Vec::new, &|n| frames[n as usize % 3].clone())
    }),
    ("headers without an end", |source, target, until| {
        let begin = || frame(HEADERS, 0, 1, &headers(CHAT_CLIENT.name, None));
        flood(source, target, until, &begin, &|_| frame(CONTINUATION, 0, 1, &[]))
    }),
    ("unread pings", |source, target, until| {
        let unit = |_| frame(PING, 0, 0, &[0; 8]);
        Flood { source, reads: false, ..Flood::of(&unit) }.run_until(target, until).bytes
    }),
    ("unread responses", |source, target, until| {
        let request = encode(&ListMessagesRequest { room: "pair".to_owned(), ..Default::default() });
        flood(source, target, until, &no_window, &|n| call(LIST_MESSAGES.name, n, &request))
    }),
    ("lists without pause", |source, target, until| {
        flood(source, target, until, &Vec::new, &|n| call(LIST_ROOMS.name, n, &[]))
    }),
    ("requests of unknown fields", |source, target, until| {
        let request = unknown_fields();
        flood(source, target, until, &Vec::new, &|n| call(POST_MESSAGE.name, n, &request))
    }),
    ("messages declared too long", |_, target, until| {
        // The server may close the connection at any point.
        repeat(until, || drop(send_long_messages(target, until)))
    }),
    ("unacknowledged SETTINGS", |_, target, until| {
        let connection = open_streams(target, 1_000);
        thread::park_timeout(until.saturating_duration_since(Instant::now()));
        drop(connection);
        1
    }),
    ("half-open connections", |source, target, until| {
        hold(source, target, 300, &PREFACE[..9], until).len() + hold_idle(source, target)
    }),
    ("short posts, unread", |source, target, until| {
        CommandFlood { source, ..CommandFlood::of(100, posts(500, 20)) }.run(target, until).unwrap_or(0)
    }),
    ("the longest posts, unread", |source, target, until| {
        CommandFlood { source, ..CommandFlood::of(100, posts(1, 16 * 1024)) }.run(target, until).unwrap_or(0)
    }),
    ("joins, and slow readers of history", |source, target, until| {
        let histories = [leave("flood"), join("flood", after(0, 0))].into_iter().chain(joins());
        CommandFlood { source, ..CommandFlood::of(45, histories.collect()) }.run(target, until).unwrap_or(0)
    }),
    ("frames and requests at random", |_, target, until| {
        let mut rng = Rng::new();
        repeat(until, || misbehave_once(target, rng.fork()))
    }),
];

fn flood(
    source: Ipv4Addr,
    target: &str,
    until: Instant,
    opening: Opening<'_>,
    unit: &(dyn Fn(u32) -> Vec<u8> + Sync),
) -> usize {
    Flood { source, opening, ..Flood::of(unit) }.run_until(target, until).bytes
}

fn repeat(until: Instant, mut attempt: impl FnMut()) -> usize {
    let mut attempts = 0;
    while Instant::now() < until {
        attempt();
        attempts += 1;
    }
    attempts
}

/// Connections that speak HTTP/2 and then are silent, until all are there.
fn hold_idle(source: Ipv4Addr, target: &str) -> usize {
    let begin = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
    hold(source, target, 100, &begin, Instant::now() + ATTACK / 2).len()
}

#[test]
fn under_mixed_attacks_for_minutes_nothing_is_lost_and_nothing_grows() {
    let mut random = Rng::with_seed(seed());
    let folder = tempfile::tempdir().expect("a folder can be made");
    let mut server = command();
    server.args(["--listen", "127.0.0.1:0", "--retain-messages", RETAINED, "--data"]).arg(folder.path());
    server.args(["--limit-loopback", "--exempt", "127.0.0.1/32", "--post-rate", "0"]);
    let scene = Scene::of(server);
    let (mut samples, mut done, mut verified, mut reconnects) = (Vec::new(), BTreeMap::new(), 0, 0);
    let report = scene.attack("soak", |target| {
        let pair_threads = scene.server.client_threads();
        let until = Instant::now() + soak_time();
        while Instant::now() < until || samples.len() < ROUNDS_MIN {
            let round = samples.len();
            let messages = RATE * ATTACK.as_secs() * ATTACKS.len() as u64;
            let good = Repeat::start(target, &format!("good-{round}"), messages, RATE);
            let source = if round.is_multiple_of(2) { Ipv4Addr::LOCALHOST } else { ATTACKER };
            let mut attacks = ATTACKS;
            random.shuffle(&mut attacks);
            for (name, attack) in attacks {
                *done.entry(name).or_insert(0) += attack(source, target, Instant::now() + ATTACK);
            }
            verified += good.total();
            reconnects += good.finish(target);
            scene.wait_for_index();
            wait_for("the threads of attackers to end", || scene.server.client_threads() == pair_threads);
            samples.push(Sample::take(&scene));
        }
    });
    println!("{} rounds; the repeat client verified {verified} messages, {reconnects} reconnects", samples.len());
    println!("sent, in bytes or connections: {done:?}");
    for (name, figure) in Sample::FIGURES {
        println!("{name} after each round: {:?}", samples.iter().map(figure).collect::<Vec<_>>());
    }
    println!("| figure | second quarter | last quarter | grows |\n| --- | --- | --- | --- |");
    let growth = growth(&samples);
    growth.iter().for_each(|(name, second, last, grows)| println!("| {name} | {second} | {last} | {grows} |"));
    assert!(growth.iter().all(|(.., grows)| !grows), "{samples:?}");
    assert!(done.values().all(|sent| *sent > 0), "an attack did nothing: {done:?}");
    report.assert_bounded();
    let log = scene.recover(&report);
    // The other address exceeded its limits.
    assert!(log.iter().any(|line| line.contains("exceeded limits") && line.contains("127.0.0.66")), "{log:#?}");
}
