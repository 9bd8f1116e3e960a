//! Repeated power cuts: every message that was acknowledged, or received by any client, is on the disk.

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

/// The number of power cuts, and the maximum time that the server runs between two of them.
const CUTS: u32 = 6;
const LIFE_MAX: Duration = Duration::from_millis(900);

/// The number of bots that post by calls, and how many messages the chatting client has in flight.
const BOTS: u32 = 3;
const IN_FLIGHT: u32 = 48;

/// The maximum length of bodies: large, so that the write-ahead log is copied into the database a few times.
const BODY_CHARS_MAX: usize = 16_000;

/// The messages that were received, or acknowledged to their sender: the seq of each, by its id.
type Seen = HashMap<Vec<u8>, u64>;

/// The shared state of the posters.
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
        assert!(before.is_none_or(|before| before == seq), "a message has two seqs: {before:?}, {seq}");
    }

    /// Posts by calls, one after the other, until the server is gone.
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

    /// Posts on a stream, and receives all messages, until the server is gone.
    fn chat(&self) {
        let mut ann = Talker::connect(&self.environment, &self.target, "ann");
        let mut posted = 0;
        let mut say = |ann: &mut Talker, count| {
            let posts = (posted + 1..=posted + count).map(|number| self.id(BOTS, number));
            ann.send(posts.map(|id| post(ROOM, id, &body(id))).collect());
            posted += count;
        };
        ann.send(vec![hello("ann"), join(ROOM, None)]);
        // A request may have at most 64 KiB.
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

/// The body of the message with this id.
fn body(id: u128) -> String {
    let chars = id.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 7;
    format!("{id:x} {}", "x".repeat(chars as usize % BODY_CHARS_MAX))
}

/// Posts messages until the server is killed, which happens at a random moment after `wait`. Returns the messages that
/// were received or acknowledged.
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
        poster.join().expect("the poster found a fault");
    }
    std::mem::take(&mut *posting.seen.lock().expect("no poster panics"))
}

/// The events of the room on a server that starts with the data that is left.
fn read(machine: &Machine, unsynced: Unsynced) -> Vec<v1::Event> {
    let left = machine.left(unsynced);
    let storage = Storage::Folder { path: left.path().to_owned(), sync: SyncMode::Full, restored: false };
    let server = start_with(ServerConfig { storage, ..ServerConfig::default() });
    let (joined, events) = Talker::hello(&environment(), &target(&server), "reader").join_room(ROOM, after(0, 0));
    assert_eq!((joined.oldest_seq, joined.head_seq), (1, events.len() as u64));
    events
}

/// Checks that the messages are those that were posted, each once, with dense seqs. Returns the seqs.
fn check(events: &[v1::Event]) -> Seen {
    let mut places = Seen::new();
    for (event, seq) in events.iter().zip(1..) {
        assert_eq!(event.seq, seq);
        let Some(Kind::Message(message)) = &event.event else { panic!("expected a message: {event:?}") };
        let id = u128::from_be_bytes(message.message_id.as_slice().try_into().expect("an id has 16 bytes"));
        // The tests set the highest bit (`message_id`).
        let id = id & !(1 << 127);
        assert_eq!(message.message_id, message_id(id));
        assert_eq!(message.body, body(id));
        let before = places.insert(message.message_id.clone(), seq);
        assert_eq!(before, None, "a message is stored twice");
    }
    places
}

#[test]
fn acknowledged_and_received_messages_survive_a_power_cut() {
    let machine = Machine::new("full");
    let mut random = fastrand::Rng::with_seed(seed());
    let mut seen = Seen::new();
    let mut before: Vec<v1::Event> = Vec::new();
    for cut in 1..=CUTS {
        let (server, pages) = (machine.start(), machine.database_pages());
        let wait = || {
            // Every other cut happens while the write-ahead log is copied into the database, or soon after.
            if cut % 2 == 0 {
                wait_for("the database to grow", || machine.database_pages() > pages);
            }
        };
        seen.extend(post_until_cut(server, cut, wait, &mut random));
        let mut left = Vec::new();
        for unsynced in [Unsynced::WriteAhead, Unsynced::Database, Unsynced::Nothing] {
            left = read(&machine, unsynced);
            let places = check(&left);
            for (id, seq) in &seen {
                let found = places.get(id);
                assert_eq!(
                    found,
                    Some(seq),
                    "{id:x?} with seq {seq} was lost by cut {cut}; unsynced data: {unsynced:?}"
                );
            }
            assert_eq!(left[..before.len()], before, "messages that survived the previous cut are lost");
        }
        // The next server starts with the synced data.
        before = left;
    }
    eprintln!("{} messages, {} of them received or acknowledged", before.len(), seen.len());
    assert!(seen.len() > 100, "too few messages were received: {}", seen.len());
}

/// Shows that the simulated disk loses unsynced data, so that the other test would find a missing sync.
#[test]
fn data_that_the_system_has_not_synced_does_not() {
    let machine = Machine::new("os");
    let mut random = fastrand::Rng::with_seed(seed());
    let (mut seen_in_all, mut lost_in_all) = (0, 0);
    for cut in 1..=3 {
        let seen = post_until_cut(machine.start(), cut, || {}, &mut random);
        let lost = |unsynced| {
            let places = check(&read(&machine, unsynced));
            seen.keys().filter(|id| !places.contains_key(*id)).count()
        };
        // Only the server is gone, so all written data is there.
        assert_eq!(lost(Unsynced::WriteAhead), 0);
        seen_in_all += seen.len();
        lost_in_all += lost(Unsynced::Nothing);
    }
    assert!(lost_in_all > 0, "the disk has data that was never synced: all of {seen_in_all} messages");
}
