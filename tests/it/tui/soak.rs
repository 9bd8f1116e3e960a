//! A while of everything at once.

use std::env;
use std::time::{Duration, Instant};

use super::Place;
use crate::support::{seed, wait_for};

/// How long it lasts, unless `HUBBUB_TEST_SECONDS` says otherwise.
const SECONDS: u64 = 5;

/// Typing, scrolling, other rooms, other sizes, lost connections and messages of others, in any order: in the end, each
/// line that was typed is stored once, and the client is as quick and as small as before.
#[test]
fn a_soak_loses_and_repeats_nothing() {
    let mut random = fastrand::Rng::with_seed(seed());
    let seconds = env::var("HUBBUB_TEST_SECONDS").map(|seconds| seconds.parse().expect("a number"));
    let until = Instant::now() + Duration::from_secs(seconds.unwrap_or(SECONDS));
    let place = Place::new();
    let mut screen = place.start(&["chat", "lobby", "tea"]);
    screen.wait_until_quiet();
    let memory = screen.rss_kib();
    let mut sent = Vec::new();
    while Instant::now() < until {
        match random.u32(..9) {
            0..=2 => {
                let text = format!("soak {} of this", sent.len());
                screen.press(&format!("{text}\r"));
                sent.push(text);
            }
            3 => screen.press(random.choice(["\x1b1", "\x1b2", "\x1ba", "\x0e"]).expect("a key")),
            4 => screen.press(random.choice(["\x1b[5~", "\x1b[6~", "\x1b[1;3F", "\x1bu", "\x1bp"]).expect("a key")),
            5 => screen.resize(random.u16(20..140), random.u16(6..50)),
            6 => place.model.break_streams(),
            7 => screen.press(random.choice(["\x1b[O", "\x1b[I", "\x1bOR", "\x0c"]).expect("a report")),
            _ => {
                let name = random.choice(["lobby", "tea"]).expect("a room");
                (0..random.u32(..60)).for_each(|n| place.model.say(name, "bob", &format!("{n} for ann")));
            }
        }
        std::thread::park_timeout(Duration::from_millis(random.u64(1..25)));
    }
    screen.resize(80, 24);
    let stored = || {
        let all = [place.model.bodies("lobby"), place.model.bodies("tea")].concat();
        let mut own: Vec<_> = all.into_iter().filter(|body| body.starts_with("soak ")).collect();
        own.sort();
        own
    };
    sent.sort();
    wait_for("all lines", || stored().len() >= sent.len());
    assert_eq!(stored(), sent);
    screen.press("\x1b1\x15the last line");
    screen.wait_for("the last line");
    let grown = screen.rss_kib().saturating_sub(memory);
    eprintln!("{} lines; memory +{grown} KiB", sent.len());
    assert!(grown < 64 * 1024, "memory grew by {grown} KiB");
    screen.press("\x15/quit\r");
    assert_eq!(screen.end_restored(), 0);
}
