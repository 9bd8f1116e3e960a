//! Texts that were edited away, deleted or trimmed are in no file of the data folder, and are not found.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use grpcio::Client;

use super::{Searcher, delete, edit, request};
use crate::support::logins::{connect, serve};
use crate::support::process::ServerProcess;
use crate::support::talker::post_message;
use crate::support::wait_for;

const KEPT: u64 = 150;

fn start(data: &Path) -> ServerProcess {
    serve(data, &["--retain-messages", "150", "--erase-after", "200ms"])
}

/// A word of which each message has its own, repeated in text of several lengths.
fn needle(number: u64, version: u64) -> String {
    let fill = "and other words ".repeat([1, 3, 60, 300][number as usize % 4]);
    format!("straw{number:04}v{version} {fill}straw{number:04}v{version}end")
}

/// The needles that are in a file.
fn found(data: &Path) -> BTreeSet<(u64, u64, String)> {
    let mut found = BTreeSet::new();
    for file in fs::read_dir(data).expect("the folder is there").flatten().filter(|file| file.path().is_file()) {
        let bytes = fs::read(file.path()).unwrap_or_default();
        for (at, _) in bytes.windows(5).enumerate().filter(|(_, window)| *window == b"straw") {
            let text = bytes.get(at + 5..at + 11).and_then(|text| std::str::from_utf8(text).ok());
            let parts = text.and_then(|text| text.split_once('v'));
            if let Some((Ok(number), Ok(version))) = parts.map(|(number, version)| (number.parse(), version.parse())) {
                found.insert((number, version, file.file_name().to_string_lossy().into_owned()));
            }
        }
    }
    found
}

/// Posts messages, and edits or deletes most of them.
fn post(client: &Client, from: u64, to: u64) {
    for number in from..=to {
        let stored = post_message(client, "garden", "ann", number.into(), &needle(number, 0)).expect("it is stored");
        match number % 5 {
            0 => delete(client, "garden", "ann", stored.seq),
            1 => edit(client, "garden", "ann", stored.seq, &needle(number, 1)),
            2 => {
                edit(client, "garden", "ann", stored.seq, &needle(number, 1));
                edit(client, "garden", "ann", stored.seq, &needle(number, 2));
            }
            _ => {}
        }
    }
}

/// What must not be in any file any more.
fn gone(data: &Path, head: u64) -> Vec<(u64, u64, String)> {
    let is_kept = |number: u64, version: u64| {
        let kept = match number % 5 {
            0 => None,
            rest @ (1 | 2) => Some(rest),
            _ => Some(0),
        };
        kept == Some(version) && number + KEPT > head
    };
    found(data).into_iter().filter(|(number, version, _)| !is_kept(*number, *version)).collect()
}

fn check(data: &Path, head: u64) {
    assert_eq!(gone(data, head), []);
    let in_index: BTreeSet<_> =
        found(data).into_iter().filter(|(_, _, file)| file.starts_with("search.db")).map(|(n, ..)| n).collect();
    let kept = (1..=head).filter(|number| number % 5 != 0 && number + KEPT > head).count();
    assert_eq!(in_index.len(), kept, "the kept messages are found, so removed ones would be");
}

#[test]
fn removed_text_is_erased_from_the_index_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path();
    let mut server = start(data);
    let client = connect(&server);
    post(&client, 1, 200);
    wait_for("removed text to be erased", || gone(data, 200).is_empty());
    Searcher { client: &client, token: None }.catch_up();
    check(data, 200);
    // What is edited or deleted right before the stop is gone from the index after it. Retention is not waited for.
    post(&client, 201, 230);
    server.signal(libc::SIGTERM);
    assert_eq!(server.wait().code(), Some(0));
    let in_index = |(number, _, file): &(u64, u64, String)| *number > 230 - KEPT && file.starts_with("search.db");
    assert_eq!(gone(data, 230).into_iter().filter(in_index).collect::<Vec<_>>(), []);

    // After a kill, the next start erases what was not.
    for round in 0..4 {
        let server = start(data);
        let (from, to) = (231 + round * 20, 250 + round * 20);
        post(&connect(&server), from, to);
        server.crash();
    }
    let server = start(data);
    wait_for("removed text to be erased", || gone(data, 310).is_empty());
    let client = connect(&server);
    let searcher = Searcher { client: &client, token: None };
    searcher.catch_up();
    wait_for("removed text to be erased", || gone(data, 310).is_empty());
    check(data, 310);
    for (word, count) in
        [("straw0300v0", 0), ("straw0301v0", 0), ("straw0301v1", 1), ("straw0303v0", 1), ("straw0003v0", 0)]
    {
        assert_eq!(searcher.find(&request(word)).len(), count, "{word}");
    }
}
