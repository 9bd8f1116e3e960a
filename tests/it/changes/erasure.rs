//! Texts that were edited away, deleted, or deleted by retention, are erased from all files of the data folder: while
//! the server runs, after it was stopped, and after it was killed at any moment; and no response has them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use grpcio::RpcStatusCode as Code;
use hubbub::wire::v1::event::Event as Kind;
use hubbub::wire::{CHAT_CLIENT, LIST_ROOMS, v1};
use protobuf::Message as _;

use super::calls::Caller;
use super::world::{LOBBY, serve};
use crate::support::chatter::environment;
use crate::support::logins::{connect, run};
use crate::support::process::ServerProcess;
use crate::support::raw::{DATA, END_HEADERS, HEADERS, Raw, frame, headers};
use crate::support::talker::{Talker, after, call, hello, join, post};
use crate::support::{seed, wait_for};

/// How much a client that reads nothing may have been sent before a text was removed: the window of HTTP/2, 64 KiB, and
/// the frames that are on their way to the library.
const SENT_BYTES_MAX: usize = 256 * 1024;

fn start(data: &Path, arguments: &[&str]) -> ServerProcess {
    serve(data, &[&["--erase-after", "200ms"], arguments].concat())
}

fn stop(mut server: ServerProcess) {
    server.signal(libc::SIGTERM);
    assert_eq!(server.wait().code(), Some(0), "{:#?}", server.rest_of_log());
}

/// A text of about this length: its mark, repeated, so that any part of it identifies the text.
fn text(n: u64, bytes: usize) -> String {
    let mark = mark(n);
    mark.repeat(bytes.div_ceil(mark.len()))
}

fn mark(n: u64) -> String {
    format!("<needle {n}>")
}

/// The numbers of the texts that these bytes have, at least in part.
fn found(bytes: &[u8]) -> BTreeSet<u64> {
    const BEGIN: &[u8] = b"<needle ";
    let starts = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'<').map(|(at, _)| &bytes[at..]);
    let numbers = starts.filter_map(|text| {
        let digits = text.strip_prefix(BEGIN)?.split(|byte| *byte == b'>').next()?;
        std::str::from_utf8(digits).ok()?.parse().ok()
    });
    numbers.collect()
}

/// Those that any file of the folder has.
fn stored(data: &Path) -> BTreeSet<u64> {
    let files = fs::read_dir(data).expect("the folder is there").flatten().map(|file| file.path());
    // A file may be removed meanwhile.
    files.filter(|path| path.is_file()).flat_map(|path| found(&fs::read(path).unwrap_or_default())).collect()
}

/// The texts of a room: which there are, and which were removed.
#[derive(Clone, Default)]
struct Texts {
    next: u64,
    kept: BTreeSet<u64>,
    removed: BTreeSet<u64>,
}

impl Texts {
    fn draw(&mut self, bytes: usize) -> (u64, String) {
        self.next += 1;
        self.kept.insert(self.next);
        (self.next, text(self.next, bytes))
    }

    fn remove(&mut self, n: u64) {
        assert!(self.kept.remove(&n), "{n} is there");
        self.removed.insert(n);
    }

    fn check_files(&self, data: &Path) {
        wait_for("removed texts to be erased", || stored(data).is_disjoint(&self.removed));
        // The others are found, so the removed ones would be found too.
        assert_eq!(stored(data), self.kept);
    }

    fn check(&self, place: &str, found: &BTreeSet<u64>) {
        let removed: Vec<_> = found.intersection(&self.removed).collect();
        assert!(removed.is_empty(), "{place} has {removed:?}");
        assert_eq!(*found, self.kept, "{place}");
    }
}

/// Messages of a room, by their seqs: the number of each one's text.
type Messages = Vec<(u64, u64)>;

/// Posts one message a commit, small and large ones in turn.
fn post_singly(caller: &Caller, texts: &mut Texts, count: usize) -> Messages {
    let post = |at| {
        let (n, body) = texts.draw([20, 400, 10_000][at % 3]);
        (caller.post(n.into(), &body).expect("it is stored"), n)
    };
    (0..count).map(post).collect()
}

/// Posts messages of this length in one request, which become large segments.
fn post_many(target: &str, texts: &mut Texts, count: usize, bytes: usize) -> Messages {
    let mut talker = Talker::join(&environment(), target, "ann", LOBBY);
    let drawn: Vec<_> = (0..count).map(|_| texts.draw(bytes)).collect();
    talker.send(drawn.iter().map(|(n, body)| post(LOBBY, (*n).into(), body)).collect());
    drawn.into_iter().map(|(n, _)| (talker.hear().0, n)).collect()
}

/// Edits some, some of them twice, and deletes others; some of the edited are deleted.
fn change(caller: &Caller, texts: &mut Texts, messages: &mut Messages) {
    for at in 0..messages.len() {
        let (seq, n) = messages[at];
        let edits = [0, 1, 0, 2, 1, 0][at % 6];
        let mut last = n;
        for edit in 0..edits {
            let (next, body) = texts.draw([20, 5_000, 300][(at + edit) % 3]);
            caller.edit(seq, &body).expect("it is edited");
            texts.remove(last);
            last = next;
        }
        if at % 6 == 2 || at % 6 == 4 {
            caller.delete(seq).expect("it is deleted");
            texts.remove(last);
        } else {
            caller.react(seq, "+1").expect("it is stored");
        }
        messages[at].1 = last;
    }
}

/// All that a client gets that reads everything: what the messages and the events have.
fn read_all(target: &str) -> BTreeSet<u64> {
    let mut reader = Talker::hello(&environment(), target, "reader");
    let (_, events) = reader.join_room(LOBBY, after(0, 0));
    texts_of(&events)
}

fn texts_of(events: &[v1::Event]) -> BTreeSet<u64> {
    events.iter().flat_map(|event| found(body(event).as_bytes())).collect()
}

fn body(event: &v1::Event) -> &str {
    match &event.event {
        Some(Kind::Message(message)) => &message.body,
        Some(Kind::Edited(edited)) => &edited.body,
        _ => "",
    }
}

/// No response has a removed text.
fn check_responses(caller: &Caller, texts: &Texts, target: &str, folder: &Path, data: &Path) {
    texts.check("ListMessages", &texts_of(&caller.messages().0));
    texts.check("a stream", &read_all(target));
    let backup = folder.join("backup");
    run(data, &["backup", backup.to_str().expect("a plain path")]);
    texts.check("a backup", &found(&fs::read(&backup).expect("the backup is there")));
    fs::remove_file(&backup).expect("the backup is there");
}

#[test]
fn removed_texts_are_erased_from_all_files_and_responses() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let data = folder.path().join("data");
    let server = start(&data, &[]);
    let caller = Caller::new(&connect(&server), LOBBY, "ann");
    let mut texts = Texts::default();
    let mut messages = post_singly(&caller, &mut texts, 60);
    // Clients that read nothing, in the middle of small and of large segments, since before and while they come.
    let mut stalled = vec![Talker::join(&environment(), server.target(), "before", LOBBY)];
    let mut raw = vec![Raw::join(server.target())];
    for (count, bytes) in [(500, 20), (5, 10_000), (5, 10_000), (200, 200), (60, 900)] {
        messages.extend(post_many(server.target(), &mut texts, count, bytes));
        stalled.push(Talker::join(&environment(), server.target(), "meanwhile", LOBBY));
        raw.push(Raw::join(server.target()));
    }
    change(&caller, &mut texts, &mut messages);
    texts.check_files(&data);
    check_responses(&caller, &texts, server.target(), folder.path(), &data);
    drop((stalled, raw));
    stop(server);
    texts.check_files(&data);
    run(&data, &["verify"]);

    let server = start(&data, &[]);
    let caller = Caller::new(&connect(&server), LOBBY, "ann");
    check_responses(&caller, &texts, server.target(), folder.path(), &data);
    // Killed before they are erased: the next start does that.
    let mut more = post_singly(&caller, &mut texts, 30);
    more.extend(post_many(server.target(), &mut texts, 300, 100));
    change(&caller, &mut texts, &mut more);
    server.crash();
    let server = start(&data, &[]);
    texts.check_files(&data);
    // Killed afterwards, and not started again.
    server.crash();
    texts.check_files(&data);
}

/// A client that has not read for a long time is sent the texts as they are when it reads on.
#[test]
fn a_stalled_client_is_not_sent_what_was_removed_meanwhile() {
    const COUNT: usize = 300;
    const BYTES: usize = 10_000;
    let folder = tempfile::tempdir().expect("a folder can be made");
    let data = folder.path().join("data");
    let server = start(&data, &[]);
    let caller = Caller::new(&connect(&server), LOBBY, "ann");
    caller.post(1_000, "the first").expect("it is stored");
    let mut stalled = Raw::open(server.target());
    stalled.write(&frame(HEADERS, END_HEADERS, 1, &headers(CHAT_CLIENT.name, None)));
    let commands = vec![hello("stalled"), join(LOBBY, None)];
    stalled.send(&v1::ChatRequest { commands, ..Default::default() }.write_to_bytes().expect("it is encoded"));
    // It has joined.
    read_until(&mut stalled, LOBBY);
    let mut of_tutorial = Raw::join(server.target());
    wait_for("both to join", || member_count(&caller) == 2);
    let (mut texts, mut messages) = (Texts::default(), Messages::new());
    // Within the room's tail and far beyond it.
    for _ in 0..COUNT / 5 {
        messages.extend(post_many(server.target(), &mut texts, 5, BYTES));
    }
    for &(seq, n) in &messages {
        caller.delete(seq).expect("it is deleted");
        texts.remove(n);
    }
    caller.post(1_001, "the end").expect("it is stored");
    for reader in [&mut stalled, &mut of_tutorial] {
        let texts = found(&read_until(reader, "the end"));
        let sent: usize = texts.len() * BYTES;
        assert!(sent <= SENT_BYTES_MAX, "{sent} bytes of removed texts were sent on");
    }
}

/// Reads on until this text has come. Returns what has come.
fn read_until(reader: &mut Raw, text: &str) -> Vec<u8> {
    let mut read = Vec::new();
    loop {
        let (kind, _, payload) = reader.read_frame();
        if kind == DATA {
            read.extend_from_slice(&payload);
        }
        let new = read.len().saturating_sub(payload.len() + text.len());
        if read[new..].windows(text.len()).any(|window| window == text.as_bytes()) {
            return read;
        }
    }
}

/// How many clients are in the room.
fn member_count(caller: &Caller) -> u32 {
    let rooms = call(&caller.client, &LIST_ROOMS, &v1::ListRoomsRequest::default()).expect("rooms are listed").rooms;
    rooms[0].member_count
}

/// The text of a message that retention deletes may be in a newer event too, which stays.
#[test]
fn edits_of_messages_that_retention_deletes_are_emptied() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let data = folder.path().join("data");
    let server = start(&data, &["--retain-messages", "20"]);
    let caller = Caller::new(&connect(&server), LOBBY, "ann");
    let mut texts = Texts::default();
    let mut messages = post_singly(&caller, &mut texts, 12);
    messages.extend(post_many(server.target(), &mut texts, 300, 30));
    // All that is left, and then some newer ones, but not so many that the edits are deleted.
    let oldest = caller.page(None, 1).expect("a page").oldest_seq;
    let newest = messages.split_off(messages.len() - 20);
    messages.into_iter().for_each(|(_, n)| texts.remove(n));
    assert!(newest.iter().all(|(seq, _)| *seq >= oldest));
    let mut edits = Messages::new();
    for (seq, n) in newest {
        let (next, body) = texts.draw(3_000);
        let edit = caller.edit(seq, &body).expect("it is edited");
        texts.remove(n);
        edits.push((edit, next));
    }
    post_singly(&caller, &mut texts, 10);
    // The first ten are gone, and their edits are there.
    edits[..10].iter().for_each(|(_, n)| texts.remove(*n));
    texts.check_files(&data);
    check_responses(&caller, &texts, server.target(), folder.path(), &data);
    let oldest = caller.page(None, 1).expect("a page").oldest_seq;
    assert!(oldest < edits[0].0, "the edits are there: {oldest}");
    stop(server);
    texts.check_files(&data);
    run(&data, &["verify"]);
}

/// Killed at random moments of changes, again and again: after the next start, nothing that was removed by an
/// acknowledged change is found, nor a text that is not that of its message.
#[test]
fn removed_texts_are_erased_after_kills_at_any_moment() {
    const KILLS: usize = 8;
    let folder = tempfile::tempdir().expect("a folder can be made");
    let data = folder.path().join("data");
    let (mut random, mut texts) = (fastrand::Rng::with_seed(seed()), Texts::default());
    for _ in 0..KILLS {
        let server = start(&data, &[]);
        let client = connect(&server);
        let caller = Caller::new(&client, LOBBY, "ann");
        post_many(server.target(), &mut texts, 40, 300);
        let pause = Duration::from_millis(random.u64(1..300));
        let killer = thread::spawn(move || {
            thread::park_timeout(pause);
            server.crash();
        });
        while step(&caller, &mut texts, &mut random).is_ok() {}
        killer.join().expect("the server was killed");
        let server = start(&data, &[]);
        // What is there now is what the messages say.
        let (events, _) = Caller::new(&connect(&server), LOBBY, "ann").messages();
        let kept = texts_of(&events);
        texts.removed = (1..=texts.next).filter(|n| !kept.contains(n)).collect();
        texts.kept = kept;
        texts.check_files(&data);
        texts.check("a stream", &read_all(server.target()));
        match random.bool() {
            true => server.crash(),
            false => stop(server),
        }
        texts.check_files(&data);
        run(&data, &["verify"]);
    }
}

/// Does something, until the server is killed.
fn step(caller: &Caller, texts: &mut Texts, random: &mut fastrand::Rng) -> Result<u64, Code> {
    let size = [20, 300, 3_000, 10_000][random.usize(..4)];
    let result = match random.u32(..4) {
        0 => {
            let (n, body) = texts.draw(size);
            caller.post(n.into(), &body)
        }
        1 => caller.delete(random_message(caller, random)?),
        _ => {
            let (_, body) = texts.draw(size);
            caller.edit(random_message(caller, random)?, &body)
        }
    };
    match result.map_err(|end| end.code) {
        // Deleted before, by retention perhaps.
        Err(Code::NOT_FOUND | Code::FAILED_PRECONDITION) => Ok(0),
        other => other,
    }
}

fn random_message(caller: &Caller, random: &mut fastrand::Rng) -> Result<u64, Code> {
    let page = caller.page(None, 60).map_err(|end| end.code)?;
    Ok(page.events[random.usize(..page.events.len())].seq)
}
