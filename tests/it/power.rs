//! The power is cut, again and again: what was acknowledged, or seen by anybody, is on the disk.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use grpcio::{ChannelBuilder, Client, Environment};
use hubbub::server::log::sqlite::SyncMode;
use hubbub::server::{ServerConfig, Storage};
use hubbub::wire::v1;
use hubbub::wire::v1::event::Event as Kind;

use super::support::chatter::environment;
use super::support::power::{Machine, Unsynced};
use super::support::process::ServerProcess;
use super::support::talker::{Talker, after, hello, join, message_id, post, post_message};
use super::support::{DEADLINE, seed, start_with, target, wait_for};

const ROOM: &str = "room";

/// How often the power is cut, and how long the server runs at most between two cuts.
const CUTS: u32 = 6;
const LIFE_MAX: Duration = Duration::from_millis(900);

/// How many bots post by calls of their own, and how many messages the one who chats has under way.
const BOTS: u32 = 3;
const IN_FLIGHT: u32 = 48;

/// A body's greatest length here: large, so that the write-ahead log is copied into the database a few times.
const BODY_CHARS_MAX: usize = 16_000;

/// What was seen, or acknowledged to its sender: each message's place, by its id.
type Seen = HashMap<Vec<u8>, u64>;

/// What posters have in common.
struct Posting {
    environment: Arc<Environment>,
    target: String,
    cut: u32,
    seen: Arc<Mutex<Seen>>,
}

impl Posting {
    fn id(&self, poster: u32, number: u32) -> u128 {
        u128::from(self.cut) << 96 | u128::from(poster) << 64 | u128::from(number)
    }

    fn note(&self, id: Vec<u8>, seq: u64) {
        let before = self.seen.lock().expect("no poster panics").insert(id, seq);
        assert!(before.is_none_or(|before| before == seq), "a message has one place: {before:?}, {seq}");
    }

    /// Posts by call after call, until the server is gone.
    fn call(&self, bot: u32) {
        let client = Client::new(ChannelBuilder::new(Arc::clone(&self.environment)).connect(&self.target));
        for number in 1.. {
            let id = self.id(bot, number);
            match post_message(&client, ROOM, &format!("bot-{bot}"), id, &body(id)) {
                Ok(response) => self.note(response.message_id, response.seq),
                Err(_) => return,
            }
        }
    }

    /// Chats, and sees what everybody says, until the server is gone.
    fn chat(&self) {
        let mut ann = Talker::connect(&self.environment, &self.target, "ann");
        let mut said = 0;
        let mut say = |ann: &mut Talker, count| {
            let posts = (said + 1..=said + count).map(|number| self.id(BOTS, number));
            ann.send(posts.map(|id| post(ROOM, id, &body(id))).collect());
            said += count;
        };
        ann.send(vec![hello("ann"), join(ROOM, None)]);
        // A request has 64 KiB at most.
        (0..IN_FLIGHT / 3).for_each(|_| say(&mut ann, 3));
        while let Some(Ok(event)) = ann.next_within(DEADLINE) {
            if let Some(Kind::Message(message)) = event.event {
                let own = message.sender == "ann";
                self.note(message.message_id, event.seq);
                if own {
                    say(&mut ann, 1);
                }
            }
        }
    }
}

/// What a message says is known by its id.
fn body(id: u128) -> String {
    let chars = id.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 7;
    format!("{id:x} {}", "x".repeat(chars as usize % BODY_CHARS_MAX))
}

/// Has messages posted until the server is killed, at a random moment after what is waited for. Returns what was seen.
fn post_until_cut(server: ServerProcess, cut: u32, wait: impl FnOnce(), random: &mut fastrand::Rng) -> Seen {
    let (environment, target) = (environment(), server.target().to_owned());
    let posting = Arc::new(Posting { environment, target, cut, seen: Arc::default() });
    let mut posters = Vec::new();
    for bot in 0..=BOTS {
        let posting = Arc::clone(&posting);
        posters.push(thread::spawn(move || if bot < BOTS { posting.call(bot) } else { posting.chat() }));
    }
    wait();
    thread::park_timeout(LIFE_MAX.mul_f64(random.f64().powi(2)));
    server.crash();
    for poster in posters {
        poster.join().expect("a poster has found no fault");
    }
    std::mem::take(&mut *posting.seen.lock().expect("no poster panics"))
}

/// The room as a server has it that starts on what is left.
fn read(machine: &Machine, unsynced: Unsynced) -> Vec<v1::Event> {
    let left = machine.left(unsynced);
    let storage = Storage::Folder { path: left.path().to_owned(), sync: SyncMode::Full, restored: false };
    let server = start_with(ServerConfig { storage, ..ServerConfig::default() });
    let (joined, events) = Talker::hello(&environment(), &target(&server), "reader").join_room(ROOM, after(0, 0));
    assert_eq!((joined.oldest_seq, joined.head_seq), (1, events.len() as u64));
    events
}

/// Checks that the messages are what was posted, each there once, in dense places; and returns the places.
fn check(events: &[v1::Event]) -> Seen {
    let mut places = Seen::new();
    for (event, seq) in events.iter().zip(1..) {
        assert_eq!(event.seq, seq);
        let Some(Kind::Message(message)) = &event.event else { panic!("{event:?} is no message") };
        let id = u128::from_be_bytes(message.message_id.as_slice().try_into().expect("an id has 16 bytes"));
        // The highest bit is the tests' own: see `message_id`.
        let id = id & !(1 << 127);
        assert_eq!(message.message_id, message_id(id));
        assert_eq!(message.body, body(id));
        let before = places.insert(message.message_id.clone(), seq);
        assert_eq!(before, None, "a message is there twice");
    }
    places
}

#[test]
fn what_was_acknowledged_or_seen_outlives_a_power_cut() {
    let machine = Machine::new("full");
    let mut random = fastrand::Rng::with_seed(seed());
    let mut seen = Seen::new();
    let mut before: Vec<v1::Event> = Vec::new();
    for cut in 1..=CUTS {
        let (server, pages) = (machine.start(), machine.database_pages());
        let wait = || {
            // Every other cut comes while the write-ahead log is copied into the database, or soon after.
            if cut % 2 == 0 {
                wait_for("the database grows", || machine.database_pages() > pages);
            }
        };
        seen.extend(post_until_cut(server, cut, wait, &mut random));
        let mut left = Vec::new();
        for unsynced in [Unsynced::WriteAhead, Unsynced::Database, Unsynced::Nothing] {
            left = read(&machine, unsynced);
            let places = check(&left);
            for (id, seq) in &seen {
                let found = places.get(id);
                assert_eq!(found, Some(seq), "{id:x?}, at {seq}, was lost by cut {cut}; {unsynced:?} was not synced");
            }
            assert_eq!(left[..before.len()], before, "what was left by the cut before is still there");
        }
        // The server goes on with what it has synced.
        before = left;
    }
    eprintln!("{} messages, of which {} were seen", before.len(), seen.len());
    assert!(seen.len() > 100, "too little was posted: {}", seen.len());
}

/// Shows that the simulated disk loses what was not synced, and so that the other test would find it.
#[test]
fn what_the_system_was_left_to_sync_does_not() {
    let machine = Machine::new("os");
    let mut random = fastrand::Rng::with_seed(seed());
    let (mut seen_in_all, mut lost_in_all) = (0, 0);
    for cut in 1..=3 {
        let seen = post_until_cut(machine.start(), cut, || {}, &mut random);
        let lost = |unsynced| {
            let places = check(&read(&machine, unsynced));
            seen.keys().filter(|id| !places.contains_key(*id)).count()
        };
        // The server alone is gone: what it has written is there.
        assert_eq!(lost(Unsynced::WriteAhead), 0);
        seen_in_all += seen.len();
        lost_in_all += lost(Unsynced::Nothing);
    }
    assert!(lost_in_all > 0, "the disk has what was never synced: all of {seen_in_all} messages");
}
