//! Readers that are far behind: one that stops reading for a long time, one that begins with the first message of a
//! long room, and many that read old history at once. Each gets all messages in order, and they neither take memory of
//! the server nor delay other clients.

use std::env;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use hubbub::limits::READ_CONNECTIONS;
use hubbub::wire::v1::event::Event as Kind;

use super::support::chatter::environment;
use super::support::process::ServerProcess;
use super::support::talker::{Talker, after, join, post};

const ROOM: &str = "room";

/// The messages that are posted before the server's memory is first measured: enough to fill all buffers of fixed size.
const WARM_UP: u64 = 30_000;

/// The number of messages in one request of the sender: about 30 KB.
const BATCH: u64 = 250;

/// How much the server's memory may grow in addition to the tolerance of a tenth: for the full buffers of one more
/// connection, in KiB.
const GROWTH_KIB_MAX: usize = 4 * 1024;

/// The number of messages in the room: far more than the windows and the room's tail hold. A variable sets it.
fn messages() -> u64 {
    let messages = env::var("HUBBUB_BEHIND_MESSAGES");
    messages.map_or(100_000, |messages| messages.parse().expect("HUBBUB_BEHIND_MESSAGES is a number"))
}

/// The body of the message with this seq. There is only one sender.
fn body(seq: u64) -> String {
    format!("{seq:064}")
}

/// Posts a range of messages as the room's only sender, and receives them.
fn say(sender: &mut Talker, first: u64, last: u64) {
    let mut posted = first - 1;
    for received in first..=last {
        // One batch is in flight while the previous one is received.
        while posted < last && posted < received + BATCH {
            let batch = posted + 1..=last.min(posted + BATCH);
            posted = *batch.end();
            sender.send(batch.map(|seq| post(ROOM, seq.into(), &body(seq))).collect());
        }
        hear(sender, received);
    }
}

fn hear(reader: &mut Talker, seq: u64) {
    let (received, sender, text) = reader.hear();
    assert_eq!((received, sender.as_str()), (seq, "sender"));
    assert!(text == body(seq), "message {seq} has the body {text}");
}

/// Joins after this message, and reads to the head of the room at the join, which it returns.
fn catch_up(reader: &mut Talker, seq: u64) -> u64 {
    reader.send(vec![join(ROOM, after(seq, 0))]);
    let Some(Kind::Joined(joined)) = reader.next().event else { panic!("the reader did not join") };
    (seq + 1..=joined.head_seq).for_each(|seq| hear(reader, seq));
    let caught_up = reader.next();
    assert!(matches!(caught_up.event, Some(Kind::CaughtUp(end)) if end.head_seq == joined.head_seq));
    joined.head_seq
}

fn server() -> (ServerProcess, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let server =
        ServerProcess::start(&["--data", folder.path().to_str().expect("its name is text"), "--search", "off"]);
    (server, folder)
}

#[test]
fn a_reader_that_stops_for_long_takes_no_memory_and_misses_no_message() {
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
    // The slow reader has read nothing yet, and nothing waited for it.
    let mut live = live.join().expect("the live reader received everything");
    eprintln!("the server took {before} KiB at first, and at most {most} KiB later");
    assert!(most <= before + before / 10 + GROWTH_KIB_MAX, "the server's memory grew from {before} KiB to {most} KiB");
    (WARM_UP + 1..=end).for_each(|seq| hear(&mut slow, seq));
    // The slow reader follows live again.
    say(&mut sender, end + 1, end + 1);
    hear(&mut slow, end + 1);
    hear(&mut live, end + 1);
}

#[test]
fn readers_of_old_history_get_everything_without_delaying_others() {
    let (server, _folder) = server();
    let (environment, target) = (environment(), server.target());
    let mut sender = Talker::join(&environment, target, "sender", ROOM);
    say(&mut sender, 1, messages());
    let reading = AtomicBool::new(true);
    // More readers than the log has connections. The first one begins with the room's first message.
    let readers = 3 * READ_CONNECTIONS as u64;
    thread::scope(|scope| {
        let read = |number: u64| {
            let mut reader = Talker::hello(&environment, target, &format!("reader-{number}"));
            let head = catch_up(&mut reader, messages() * number / readers);
            (reader, head)
        };
        let readers: Vec<_> = (0..readers).map(|number| scope.spawn(move || read(number))).collect();
        let live = scope.spawn(|| {
            let mut posted = messages();
            // One message at a time: each is received before the next one is sent.
            while reading.load(Ordering::Acquire) {
                posted += 1;
                say(&mut sender, posted, posted);
            }
            posted
        });
        let readers: Vec<_> = readers.into_iter().map(|reader| reader.join()).collect();
        reading.store(false, Ordering::Release);
        let posted = live.join().expect("the live client receives its messages");
        eprintln!("{} messages were posted while {} readers caught up", posted - messages(), readers.len());
        assert!(posted > messages() + 1, "no message was delivered while the readers caught up");
        // From there on they follow live.
        for reader in readers {
            let (mut reader, head) = reader.expect("a reader got everything");
            (head + 1..=posted).for_each(|seq| hear(&mut reader, seq));
        }
    });
}
