//! The server is killed amid changes, again and again, and started again: every change is there once, acknowledged ones
//! in any case, and the messages say what the events say.
//!
//! `HUBBUB_CRASH_KILLS` sets five times the number of kills; `make crash-test` sets it.

use std::collections::{BTreeMap, HashSet};
use std::env;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use fastrand::Rng;
use grpcio::RpcStatusCode as Code;
use hubbub::wire::v1;
use hubbub::wire::v1::event::Event as Kind;

use super::calls::{Act, Caller};
use crate::support::chatter::environment;
use crate::support::logins::run;
use crate::support::process::{ServerProcess, command, lasting_address};
use crate::support::talker::{Talker, after, message_id};
use crate::support::{DEADLINE, seed, wait_for};

const WORKERS: u64 = 4;

/// How many changes come before a kill, at most, and how many after the start.
const BEFORE_MAX: usize = 150;
const AFTER: usize = 40;

fn kills() -> usize {
    let kills = env::var("HUBBUB_CRASH_KILLS").map(|kills| kills.parse().expect("HUBBUB_CRASH_KILLS is a number"));
    kills.map_or(6, |kills: usize| kills.div_ceil(5))
}

/// A call that was acknowledged.
struct Done {
    by: String,
    act: Act,
    seq: u64,
    /// Whether it was repeated: the server may have executed it before, without an acknowledgement.
    repeated: bool,
}

/// A user who changes its own messages, and repeats each call until it is acknowledged.
struct Worker<'a> {
    address: &'a str,
    caller: Caller,
    rng: Rng,
    done: Vec<Done>,
    count: &'a AtomicUsize,
    /// The messages that are not deleted: their seqs, and whether each is pinned.
    own: Vec<(u64, bool)>,
    /// Its reactions.
    reacted: HashSet<(u64, String)>,
    texts: u64,
}

impl Worker<'_> {
    fn step(&mut self) {
        let at = self.rng.usize(..self.own.len().max(1));
        let own = self.own.get(at).copied();
        let act = match (self.rng.u32(..10), own) {
            (2..5, Some((message, _))) => Act::Edit { message, body: self.text(), seen: None },
            (5, Some((message, _))) => Act::Delete { message },
            (6, Some((message, pinned))) => Act::Pin { message, removed: pinned },
            (7, _) if self.caller.name == "user0" => {
                Act::Topic(self.text().chars().take(60).collect::<String>().trim().to_owned())
            }
            (8.., _) => {
                // The first message is everybody's.
                let message = own.filter(|_| self.rng.bool()).map_or(1, |(message, _)| message);
                let emoji = ["+1", "tea"][self.rng.usize(..2)].to_owned();
                let removed = self.reacted.contains(&(message, emoji.clone()));
                Act::React { message, emoji, removed }
            }
            _ => Act::Post { id: u128::from(self.texts + 1), body: self.text(), reply_to: 0 },
        };
        let seq = self.repeat(&act);
        match act {
            Act::Post { .. } => self.own.push((seq, false)),
            Act::Delete { .. } => drop(self.own.remove(at)),
            Act::Pin { removed, .. } => self.own[at].1 = !removed,
            Act::React { message, emoji, removed: false } => drop(self.reacted.insert((message, emoji))),
            Act::React { message, emoji, removed: true } => drop(self.reacted.remove(&(message, emoji))),
            Act::Edit { .. } | Act::Topic(_) => {}
        }
    }

    fn text(&mut self) -> String {
        self.texts += 1;
        format!("{} {} {}", self.caller.name, self.texts, "x".repeat([0, 100, 5_000][self.rng.usize(..3)]))
    }

    fn repeat(&mut self, act: &Act) -> u64 {
        let (deadline, mut repeated) = (Instant::now() + DEADLINE, false);
        loop {
            match self.caller.act(act) {
                Ok(seq) => {
                    let (by, act) = (self.caller.name.clone(), act.clone());
                    self.done.push(Done { by, act, seq, repeated });
                    self.count.fetch_add(1, Ordering::SeqCst);
                    return seq;
                }
                Err(end) => {
                    assert!(
                        [Code::UNAVAILABLE, Code::CANCELLED, Code::UNKNOWN].contains(&end.code),
                        "{act:?}: {end:?}"
                    );
                    assert!(Instant::now() < deadline, "the server does not come back: {end:?}");
                    repeated = true;
                    self.caller.client = Talker::connect(&environment(), self.address, "worker").client;
                }
            }
        }
    }
}

fn serve(address: &str, data: &Path) -> ServerProcess {
    let mut server: Command = command();
    server.args(["--listen", address, "--erase-after", "100ms", "--data"]).arg(data);
    ServerProcess::listening(server)
}

#[test]
fn every_change_is_there_once_after_a_kill_and_messages_say_what_events_say() {
    let (address, folder) = (lasting_address(), tempfile::tempdir().expect("a folder can be made"));
    let mut rng = Rng::with_seed(seed());
    let mut server = serve(&address, folder.path());
    let mut repeated = 0;
    for kill in 0..kills() {
        let room = format!("room{kill}");
        let client = Talker::connect(&environment(), &address, "host").client;
        assert_eq!(Caller::new(&client, &room, "host").post(1, "for all"), Ok(1));
        let (count, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        let done: Vec<Done> = thread::scope(|scope| {
            let workers: Vec<_> = (0..WORKERS)
                .map(|n| {
                    let (address, count, stop, rng) = (address.as_str(), &count, &stop, rng.fork());
                    let caller = Caller::new(&client, &room, &format!("user{n}"));
                    let (done, own, reacted, texts) = Default::default();
                    let mut worker = Worker { address, caller, rng, done, count, own, reacted, texts };
                    scope.spawn(move || {
                        while !stop.load(Ordering::SeqCst) {
                            worker.step();
                        }
                        worker.done
                    })
                })
                .collect();
            let until = rng.usize(..BEFORE_MAX);
            wait_for("some changes", || count.load(Ordering::SeqCst) >= until);
            let writer = server.log_writer();
            if rng.u8(..4) > 0 {
                wait_for("a commit", || writer.is_writing());
            }
            // A panic of the test must end the workers too.
            let old = std::mem::replace(&mut server, ServerProcess::spawn(Command::new("true")));
            old.crash();
            run(folder.path(), &["verify"]);
            server = serve(&address, folder.path());
            let until = count.load(Ordering::SeqCst) + AFTER;
            wait_for("changes after the start", || count.load(Ordering::SeqCst) >= until);
            stop.store(true, Ordering::SeqCst);
            workers.into_iter().flat_map(|worker| worker.join().expect("a worker finds no fault")).collect()
        });
        repeated += done.iter().filter(|done| done.repeated).count();
        check(&address, &room, &done);
    }
    eprintln!("{repeated} repeated calls");
    assert!(repeated > kills(), "few kills hit a call");
    run(folder.path(), &["verify"]);
}

/// Reads a room's events, and compares them with its messages, and with what was acknowledged.
fn check(address: &str, room: &str, done: &[Done]) {
    let mut reader = Talker::hello(&environment(), address, "reader");
    let (joined, events) = reader.join_room(room, after(0, 0));
    let seqs: Vec<u64> = events.iter().map(|event| event.seq).collect();
    assert_eq!(seqs, (1..=joined.head_seq).collect::<Vec<_>>());
    fold(&joined, &events);
    let (messages, _) = Caller::new(&reader.client, room, "reader").messages();
    let streamed: Vec<_> = events.iter().filter(|event| event.has_message()).collect();
    assert_eq!(messages.iter().collect::<Vec<_>>(), streamed);
    // Each call changed something, so each has an event of its own: there are no others, besides the first message.
    assert_eq!(joined.head_seq, done.len() as u64 + 1);
    for Done { by, act, seq, repeated } in done {
        let event = (*seq as usize).checked_sub(1).map(|at| events[at].event.as_ref().expect("a known event"));
        let is_it = match (act, event) {
            (Act::Post { id, .. }, Some(Kind::Message(it))) => it.message_id == message_id(*id) && it.sender == *by,
            (Act::Edit { message, body, .. }, Some(Kind::Edited(it))) => {
                it.message_seq == *message && (it.body.is_empty() || it.body == *body)
            }
            (Act::Delete { message }, Some(Kind::Deleted(it))) => it.message_seq == *message && it.by.name == *by,
            (Act::React { message, emoji, removed }, Some(Kind::Reacted(it))) => {
                // If it was executed before, the response is the message's newest change, which may be another's.
                *repeated || (it.message_seq, &it.emoji, it.removed, &it.by.name) == (*message, emoji, *removed, by)
            }
            (Act::React { .. }, Some(_)) => *repeated,
            (Act::Pin { message, removed }, Some(Kind::Pinned(it))) => {
                (it.message_seq, it.removed, &it.by.name) == (*message, *removed, by)
            }
            (Act::Pin { removed: true, .. }, None) => *repeated,
            (Act::Topic(topic), Some(Kind::RoomChanged(it))) => it.topic() == topic,
            _ => false,
        };
        assert!(is_it, "{by}: {act:?} was acknowledged with {seq}, which is {event:?}");
    }
}

/// What the events make of a message.
#[derive(Default)]
struct Folded {
    changed: u64,
    /// The newest event that gave it a text, and that text.
    edited: Option<(u64, String)>,
    deleted: Option<v1::Person>,
    reactions: Vec<(String, Vec<v1::Person>)>,
}

/// The message that an event changes.
fn change(folded: &mut BTreeMap<u64, Folded>, message: u64, seq: u64) -> &mut Folded {
    let folded = folded.get_mut(&message).expect("a change comes after its message");
    assert!(folded.deleted.is_none(), "event {seq} changes a deleted message");
    folded.changed = seq;
    folded
}

/// Folds all events of a room, and compares the result with the messages, the pins and the topic.
fn fold(joined: &v1::Joined, events: &[v1::Event]) {
    let mut folded: BTreeMap<u64, Folded> = BTreeMap::new();
    let (mut pins, mut topic, mut empty) = (Vec::new(), String::new(), Vec::new());
    for event in events {
        let seq = event.seq;
        match event.event.as_ref().expect("a known event") {
            Kind::Message(_) => drop(folded.insert(seq, Folded::default())),
            Kind::Edited(edited) => {
                let before = change(&mut folded, edited.message_seq, seq).edited.replace((seq, edited.body.clone()));
                empty.extend(before);
            }
            Kind::Deleted(deleted) => {
                let message = change(&mut folded, deleted.message_seq, seq);
                message.deleted = deleted.by.as_ref().cloned();
                message.reactions.clear();
                empty.extend(message.edited.take());
                pins.retain(|pinned| *pinned != deleted.message_seq);
            }
            Kind::Reacted(reacted) => {
                let all = &mut change(&mut folded, reacted.message_seq, seq).reactions;
                let by = reacted.by.as_ref().expect("somebody reacts").clone();
                let at = all.iter().position(|(emoji, _)| *emoji == reacted.emoji).unwrap_or_else(|| {
                    all.push((reacted.emoji.clone(), Vec::new()));
                    all.len() - 1
                });
                let has = all[at].1.contains(&by);
                assert_eq!(has, reacted.removed, "event {seq} has no effect");
                match has {
                    true => all[at].1.retain(|person| *person != by),
                    false => all[at].1.push(by),
                }
                all.retain(|(_, people)| !people.is_empty());
            }
            Kind::Pinned(pinned) => {
                assert_eq!(pins.contains(&pinned.message_seq), pinned.removed, "event {seq} has no effect");
                pins.retain(|other| *other != pinned.message_seq);
                if !pinned.removed {
                    pins.push(pinned.message_seq);
                }
            }
            Kind::RoomChanged(changed) => topic = changed.topic().to_owned(),
            other => panic!("{other:?} is not in the log"),
        }
    }
    assert_eq!((&joined.pinned_seqs, &joined.topic), (&pins, &topic));
    // The text of a message is in its entry and in the newest edit, nowhere else.
    for (seq, text) in empty {
        assert_eq!(text, "", "event {seq} has the text of a message that has another one now");
    }
    for event in events.iter().filter(|event| event.has_message()) {
        let (seq, message, folded) = (event.seq, event.message(), &folded[&event.seq]);
        let edited = folded.edited.as_ref().map_or(0, |(seq, _)| *seq);
        assert_eq!((message.changed_seq, message.edited_seq), (folded.changed, edited), "message {seq}");
        assert_eq!(message.deleted_by.as_ref(), folded.deleted.as_ref(), "message {seq}");
        assert_eq!(message.body.is_empty(), folded.deleted.is_some(), "message {seq}");
        if let Some((_, text)) = &folded.edited {
            assert_eq!(message.body, *text, "message {seq}");
        }
        let reactions: Vec<_> = message
            .reactions
            .iter()
            .map(|reaction| {
                assert_eq!(reaction.count as usize, reaction.people.len());
                (reaction.emoji.clone(), reaction.people.clone())
            })
            .collect();
        assert_eq!(reactions, folded.reactions, "message {seq}");
    }
}
