//! Changes on a full disk, and of messages that can't be read.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use grpcio::RpcStatusCode as Code;

use super::calls::Caller;
use super::rules::refused;
use super::world::serve;
use crate::full::{fill, inside, small};
use crate::support::logins::connect;
use crate::support::process::ServerProcess;
use crate::support::wait_for;

const ROOM: &str = "garden";

fn stop(mut server: ServerProcess) {
    server.signal(libc::SIGTERM);
    assert_eq!(server.wait().code(), Some(0), "{:#?}", server.rest_of_log());
}

/// A change that the disk has no space for changes nothing, and may be repeated.
#[test]
fn a_change_on_a_full_disk_is_refused_whole() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let folder = folder.path().canonicalize().expect("the folder is there");
    let server = ServerProcess::listening(small(&folder, "20m", &["--sync", "os"]));
    let ann = Caller::new(&connect(&server), ROOM, "ann");
    ann.post(1, "first").expect("it is stored");
    assert_eq!([ann.edit(1, "second"), ann.react(1, "+1"), ann.pin(1)], [2, 3, 4].map(Ok));
    let filler = inside(&server, &folder).join("filler");
    fill(&filler);
    // The write-ahead log has some space left.
    let (mut n, mut last) = (0_u64, "second".to_owned());
    let end = loop {
        let text = format!("{n} {}", "x".repeat(16_000));
        match ann.edit(1, &text) {
            Ok(_) => last = text,
            Err(end) => break end,
        }
        n += 1;
        assert!(n < 10_000, "the disk is not full");
    };
    assert!(end.code == Code::UNAVAILABLE && end.message.contains("disk is full"), "{end:?}");
    let head = ann.page(None, 1).expect("reading goes on").head_seq;
    let message = ann.message(1);
    assert!(message.body == last && message.changed_seq == head && message.reactions.len() == 1, "{head}");
    // Nothing else was stored, so nothing is missing later.
    fs::remove_file(filler).expect("it can be removed");
    wait_for("space", || ann.edit(1, "third").is_ok());
    let message = ann.message(1);
    assert_eq!((message.body.as_str(), message.changed_seq), ("third", head + 1));
    assert_eq!(ann.delete(1), Ok(head + 2));
    stop(server);
}

/// Replaces a text in the database by another of the same length, as a failing disk might.
fn damage(data: &Path, needle: &str) {
    let path = data.join("hubbub.db");
    let bytes = fs::read(&path).expect("the database is there");
    let places: Vec<usize> =
        (0..bytes.len() - needle.len()).filter(|at| bytes[*at..].starts_with(needle.as_bytes())).collect();
    assert!(!places.is_empty(), "{needle} is stored");
    let file = File::options().write(true).open(&path).expect("the database is there");
    for at in places {
        file.write_all_at(&vec![b'!'; needle.len()], at as u64).expect("it can be written");
    }
}

/// A change of a message that can't be read is refused with the reason. Other messages can be changed.
#[test]
fn a_change_of_a_damaged_message_is_refused() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let server = serve(folder.path(), &[]);
    let ann = Caller::new(&connect(&server), ROOM, "ann");
    for n in 1..=9 {
        assert_eq!(ann.post(n, &format!("first-{n}-")), Ok(n as u64));
    }
    // The text of message 3 is in its entry and in event 10.
    assert_eq!([ann.edit(3, "edited-3-"), ann.edit(5, "edited-5-"), ann.edit(7, "edited-7-")], [10, 11, 12].map(Ok));
    stop(server);
    damage(folder.path(), "edited-3-");
    damage(folder.path(), "first-4-");

    let server = serve(folder.path(), &[]);
    let ann = Caller::new(&connect(&server), ROOM, "ann");
    for n in [3, 4] {
        for result in [ann.edit(n, "x"), ann.delete(n), ann.react(n, "+1"), ann.pin(n)] {
            refused(result, Code::INTERNAL, &["can't be read", "hubbub-server verify"]);
        }
    }
    assert_eq!([ann.edit(5, "again-5"), ann.react(7, "+1"), ann.delete(2), ann.pin(1)], [13, 14, 15, 16].map(Ok));
    let (messages, _) = ann.messages();
    let bodies: Vec<_> =
        messages.iter().filter(|event| event.has_message()).map(|event| event.message().body.as_str()).collect();
    assert_eq!(bodies, ["first-1-", "", "again-5", "first-6-", "edited-7-", "first-8-", "first-9-"]);
    stop(server);
}
