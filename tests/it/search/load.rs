//! The index is deleted, replaced and damaged while messages arrive, and the server is killed: no word is lost.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use hubbub::wire::v1;

use super::{Searcher, index_files, request};
use crate::disk::bound_files;
use crate::support::chatter::environment;
use crate::support::logins::{connect, serve};
use crate::support::talker::{Talker, post_message};
use crate::support::wait_for;

/// Posts until it is stopped. Returns how many messages were stored.
fn post_until(target: &str, sender: &str, stop: &AtomicBool) -> u64 {
    let client = Talker::connect(&environment(), target, sender).client;
    let mut count = 0;
    while !stop.load(Ordering::Acquire) {
        let room = format!("room{}", count % 5);
        post_message(&client, &room, sender, 0, &format!("tea {sender} {count}")).expect("it is stored");
        count += 1;
    }
    count
}

fn check(searcher: &Searcher<'_>, sender: &str, count: u64) {
    let all = v1::SearchMessagesRequest { page_size: 100, sender: sender.to_owned(), ..request("tea") };
    wait_for("the index to be made again", || {
        searcher.search(&all).is_ok_and(|page| page.behind_count == 0)
            && searcher.find_all(all.clone()).len() as u64 == count
    });
    let expected: BTreeSet<_> = (0..count).map(|number| format!("tea {sender} {number}")).collect();
    assert_eq!(searcher.find_all(all).into_iter().collect::<BTreeSet<_>>(), expected);
}

fn damage(data: &Path, kind: usize) {
    let file = data.join("search.db");
    match kind {
        0 => fs::remove_file(file).expect("it can be deleted"),
        1 => index_files(data).iter().for_each(|name| drop(fs::remove_file(data.join(name)))),
        2 => {
            fs::write(data.join("other"), "something else").expect("it can be written");
            fs::rename(data.join("other"), file).expect("it can be replaced");
        }
        // What the server writes next may overwrite it.
        3 => fs::write(file, vec![0x5a; 100_000]).expect("it can be overwritten"),
        _ => {
            fs::remove_file(&file).expect("it can be deleted");
            symlink("/etc/passwd", file).expect("a link can be made");
        }
    }
}

#[test]
fn an_index_that_is_lost_under_load_is_made_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path();
    for kind in 0..5 {
        let server = serve(data, &["--search", "on"]);
        let client = connect(&server);
        let searcher = Searcher { client: &client, token: None };
        let (target, sender) = (server.target().to_owned(), format!("ann{kind}"));
        let stop = AtomicBool::new(false);
        let count = thread::scope(|scope| {
            let posting = scope.spawn(|| post_until(&target, &sender, &stop));
            let of_sender = v1::SearchMessagesRequest { sender: sender.clone(), ..request("tea") };
            wait_for("messages in the index", || searcher.search(&of_sender).is_ok_and(|page| page.found.len() == 20));
            damage(data, kind);
            let later = format!("{kind}later");
            post_message(&client, "garden", "bob", 0, &later).expect("it is stored");
            wait_for("a later message", || searcher.search(&request(&later)).is_ok_and(|page| page.found.len() == 1));
            stop.store(true, Ordering::Release);
            posting.join().expect("it posts")
        });
        check(&searcher, &sender, count);
        assert!(fs::symlink_metadata(data.join("search.db")).expect("it is there").is_file());
        assert_ne!(fs::metadata("/etc/passwd").expect("it is there").len(), 0);
    }
}

#[test]
fn a_killed_server_finds_every_message_after_its_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path();
    for round in 0..6 {
        let server = serve(data, &[]);
        let sender = format!("ann{round}");
        let mut stored = 0;
        let client = connect(&server);
        for number in 0..40 + round * 23 {
            post_message(&client, "garden", &sender, 0, &format!("tea {sender} {number}")).expect("it is stored");
            stored += 1;
        }
        server.crash();
        let server = serve(data, &[]);
        check(&Searcher { client: &connect(&server), token: None }, &sender, stored);
        server.crash();
    }
}

/// A link in place of the file at the start is refused, as for the other files.
#[test]
fn the_index_is_private_and_no_link() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let server = serve(&data, &[]);
    let client = connect(&server);
    post_message(&client, "garden", "ann", 0, "tea").expect("it is stored");
    Searcher { client: &client, token: None }.catch_up();
    for name in index_files(&data) {
        let mode = fs::metadata(data.join(&name)).expect("it is there").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{name}");
    }
    drop(server);
    for name in index_files(&data) {
        fs::remove_file(data.join(name)).expect("it can be deleted");
    }
    symlink("/etc/passwd", data.join("search.db")).expect("a link can be made");
    let mut program: Command = crate::support::process::command();
    program.args(["--listen", "127.0.0.1:0", "--data"]).arg(&data);
    let output = program.output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("search.db") && said.contains("link"), "{said}");
}

/// A disk on which files can't grow: messages are stored as far as there is space for them, search goes on with what it
/// has, and the index follows as soon as it can.
#[test]
fn an_index_on_a_full_disk_follows_later() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = serve(folder.path(), &[]);
    let client = connect(&server);
    let searcher = Searcher { client: &client, token: None };
    post_message(&client, "garden", "ann", 0, "tea before").expect("it is stored");
    assert_eq!(searcher.find(&request("tea")), ["tea before"]);
    // The log's files are laid out in advance, and those of the index are not.
    let bytes = fs::metadata(folder.path().join("search.db-wal")).expect("it is there").len();
    bound_files(server.pid(), bytes.max(4_096));
    let mut stored = vec!["tea before".to_owned()];
    for number in 0..40 {
        let body = format!("tea {number} {}", "x".repeat(2_000));
        if post_message(&client, "garden", "ann", 0, &body).is_ok() {
            stored.push(body);
        }
    }
    server.wait_for_log("the search index can't be written");
    assert_eq!(searcher.search(&request("before")).expect("it is answered").found.len(), 1);
    bound_files(server.pid(), libc::RLIM_INFINITY);
    stored.reverse();
    server.wait_for_log("the search index is written again");
    searcher.catch_up();
    assert_eq!(searcher.find_all(request("tea")), stored);
}
