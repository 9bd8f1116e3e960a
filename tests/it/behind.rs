//! Readers that are far behind: one that stops reading for a long run, one that begins with a long room's first message,
//! many deep in history at once. Each gets everything, in order; and what they read costs the server no memory, and the
//! others nothing.

use std::env;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use hubbub::limits::READ_CONNECTIONS;
use hubbub::wire::v1::event::Event as Kind;

use super::support::chatter::environment;
use super::support::process::ServerProcess;
use super::support::talker::{Talker, after, join, post};

const ROOM: &str = "room";

/// What is posted before the server's memory is measured for the first time: enough to fill what it keeps in any case.
const WARM_UP: u64 = 30_000;

/// How many messages one request of the sender's has: about 30 KB.
const BATCH: u64 = 250;

/// How much the server's memory may grow beside the tenth that is let pass: for the buffers of one more connection that
/// nobody empties, in KiB.
const GROWTH_KIB_MAX: usize = 4 * 1024;

/// How long a room is. Far more than windows and the room's tail hold; a variable makes it longer.
fn messages() -> u64 {
    let messages = env::var("HUBBUB_BEHIND_MESSAGES");
    messages.map_or(100_000, |messages| messages.parse().expect("HUBBUB_BEHIND_MESSAGES is a number"))
}

/// What the message at that place says, since one alone sends.
fn body(seq: u64) -> String {
    format!("{seq:064}")
}

/// Has the only sender of a room post its messages from the first one of these to the last, and hear them.
fn say(sender: &mut Talker, first: u64, last: u64) {
    let mut said = first - 1;
    for heard in first..=last {
        // One batch is on its way while the one before is heard.
        while said < last && said < heard + BATCH {
            let batch = said + 1..=last.min(said + BATCH);
            said = *batch.end();
            sender.send(batch.map(|seq| post(ROOM, seq.into(), &body(seq))).collect());
        }
        hear(sender, heard);
    }
}

fn hear(reader: &mut Talker, seq: u64) {
    let (heard, sender, said) = reader.hear();
    assert_eq!((heard, sender.as_str()), (seq, "sender"));
    assert!(said == body(seq), "message {seq} says {said}");
}

/// Joins after that message, and reads to the room's end as it was then. Returns that.
fn catch_up(reader: &mut Talker, seq: u64) -> u64 {
    reader.send(vec![join(ROOM, after(seq, 0))]);
    let Some(Kind::Joined(joined)) = reader.next().event else { panic!("the reader expected to join") };
    (seq + 1..=joined.head_seq).for_each(|seq| hear(reader, seq));
    let caught_up = reader.next();
    assert!(matches!(caught_up.event, Some(Kind::CaughtUp(end)) if end.head_seq == joined.head_seq));
    joined.head_seq
}

fn server() -> (ServerProcess, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let server = ServerProcess::start(&["--data", folder.path().to_str().expect("its name is text")]);
    (server, folder)
}

#[test]
fn a_reader_that_stops_for_long_costs_no_memory_and_misses_nothing() {
    let (server, _folder) = server();
    let environment = environment();
    let end = WARM_UP + messages();
    let mut sender = Talker::join(&environment, server.target(), "sender", ROOM);
    let mut live = Talker::join(&environment, server.target(), "live", ROOM);
    let live = thread::spawn(move || {
        (1..=end).for_each(|seq| hear(&mut live, seq));
        live
    });
    say(&mut sender, 1, WARM_UP);
    let mut slow = Talker::join(&environment, server.target(), "slow", ROOM);
    let before = server.rss_kib();
    let mut most = 0;
    for part in 0..10 {
        say(&mut sender, WARM_UP + messages() * part / 10 + 1, WARM_UP + messages() * (part + 1) / 10);
        most = most.max(server.rss_kib());
    }
    // Nobody waited for the slow one: it has read nothing yet.
    let mut live = live.join().expect("the live reader heard everything");
    eprintln!("the server had {before} KiB, and then {most} KiB at most");
    assert!(most <= before + before / 10 + GROWTH_KIB_MAX, "the server's memory grew from {before} KiB to {most} KiB");
    (WARM_UP + 1..=end).for_each(|seq| hear(&mut slow, seq));
    // It is live again.
    say(&mut sender, end + 1, end + 1);
    hear(&mut slow, end + 1);
    hear(&mut live, end + 1);
}

#[test]
fn readers_deep_in_history_get_everything_while_others_go_on() {
    let (server, _folder) = server();
    let (environment, target) = (environment(), server.target());
    let mut sender = Talker::join(&environment, target, "sender", ROOM);
    say(&mut sender, 1, messages());
    let reading = AtomicBool::new(true);
    // More readers than the log has connections for; the first one begins with the room.
    let readers = 3 * READ_CONNECTIONS as u64;
    thread::scope(|scope| {
        let read = |number: u64| {
            let mut reader = Talker::hello(&environment, target, &format!("reader-{number}"));
            let head = catch_up(&mut reader, messages() * number / readers);
            (reader, head)
        };
        let readers: Vec<_> = (0..readers).map(|number| scope.spawn(move || read(number))).collect();
        let live = scope.spawn(|| {
            let mut said = messages();
            // One message at a time, each of which is heard before the next.
            while reading.load(Ordering::Acquire) {
                said += 1;
                say(&mut sender, said, said);
            }
            said
        });
        let readers: Vec<_> = readers.into_iter().map(|reader| reader.join()).collect();
        reading.store(false, Ordering::Release);
        let said = live.join().expect("the live one is heard");
        eprintln!("{} messages were said while {} readers caught up", said - messages(), readers.len());
        assert!(said > messages() + 1, "nobody could speak meanwhile");
        // And they follow live from there.
        for reader in readers {
            let (mut reader, head) = reader.expect("a reader got everything");
            (head + 1..=said).for_each(|seq| hear(&mut reader, seq));
        }
    });
}
