//! A file of the index that is lost, damaged, or not one is made again.

use std::fs;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rusqlite::Connection;

use super::{Scene, wait_for};
use crate::names::{RoomId, Seq};
use crate::server::log::{Log, Retention};
use crate::server::search::{Fault, SearchConfig, SearchThread};

const COUNT: usize = 500;

fn filled() -> Scene {
    let scene = Scene::new();
    for number in 0..COUNT as u64 {
        scene.log.post(1 + number % 7, "ann", &[&format!("tea {number}")]);
    }
    scene.catch_up();
    scene
}

fn check(scene: &Scene) {
    wait_for("the index to be made again", || scene.try_find("tea", None).is_ok_and(|found| found.len() == COUNT));
    let newest: Vec<_> = (0..COUNT as u64).rev().map(|number| (RoomId(1 + number % 7), Seq(1 + number / 7))).collect();
    assert_eq!(scene.find("tea"), newest);
    let mode = fs::metadata(scene.file()).expect("the file is there").permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
}

#[test]
fn an_index_that_is_not_one_is_made_again() {
    let mut scene = filled();
    let file = scene.file();
    let others: [&dyn Fn(); 6] = [
        &|| fs::write(&file, b"").expect("it can be written"),
        &|| {
            fs::write(&file, "not a database, but a text that is long enough for a header".repeat(99))
                .expect("it can be written")
        },
        &|| fs::remove_file(&file).expect("it can be deleted"),
        &|| {
            fs::remove_file(&file).expect("it can be deleted");
            Connection::open(&file).and_then(|other| other.execute_batch("CREATE TABLE t (x)")).expect("it is made");
        },
        &|| {
            let other = Connection::open(&file).expect("it can be opened");
            other.pragma_update(None, "user_version", 99).expect("it can be changed");
        },
        &|| {
            let index = fs::OpenOptions::new().write(true).open(&file).expect("it can be opened");
            let bytes = index.metadata().expect("it is a file").len();
            index.set_len(bytes / 2).expect("it can be cut");
        },
    ];
    for change in others {
        scene.stop();
        change();
        scene.start();
        check(&scene);
    }
}

#[test]
fn an_index_that_is_lost_while_it_is_used_is_made_again() {
    let scene = filled();
    fs::remove_file(scene.file()).expect("it can be deleted");
    // Until then, searches are answered from the deleted file.
    assert_eq!(scene.find("tea").len(), COUNT);
    wait_for("another file", || scene.file().exists());
    check(&scene);

    // Every page but the first.
    let index = fs::OpenOptions::new().write(true).open(scene.file()).expect("it can be opened");
    let bytes = index.metadata().expect("it is a file").len();
    index.write_all_at(&vec![0xa5; bytes as usize - 4096], 4096).expect("it can be overwritten");
    scene.log.post(1, "ann", &["coffee"]);
    wait_for("the index to be made again", || scene.try_find("coffee", None).is_ok_and(|found| found.len() == 1));
    check(&scene);
}

#[test]
fn an_index_of_another_history_is_made_again() {
    let mut scene = filled();
    scene.stop();
    scene.log.renew(3);
    scene.start();
    check(&scene);
}

/// A folder in which no file can be made: search says so, and works as soon as it can.
#[test]
fn search_says_why_it_is_not_available() {
    let mut scene = filled();
    scene.stop();
    fs::remove_file(scene.file()).expect("it can be deleted");
    fs::create_dir_all(scene.file().join("folder")).expect("a folder can be made");
    scene.start();
    let mut fault = None;
    wait_for("search to fail", || {
        fault = scene.try_find("tea", None).err().filter(|fault| !fault.to_string().contains("being opened"));
        fault.is_some()
    });
    assert!(matches!(fault, Some(Fault::Unavailable(_))), "{fault:?}");
    fs::remove_dir_all(scene.file()).expect("it can be deleted");
    check(&scene);
}

/// Without space on the disk, the index waits, and goes on where it was.
#[test]
fn an_index_without_space_waits() {
    let scene = filled();
    let has_space = Arc::new(AtomicBool::new(false));
    let folder = tempfile::tempdir().expect("a folder can be made");
    let texts: Vec<_> = (0..11_000).map(|number| format!("coffee {number}")).collect();
    scene.log.post(9, "ann", &texts.iter().map(String::as_str).collect::<Vec<_>>());
    let space = Arc::clone(&has_space);
    let config = SearchConfig {
        folder: Some(folder.path()),
        retention: Retention { erase_after: Duration::from_millis(1), ..Retention::default() },
        has_space: Box::new(move || space.load(Ordering::Acquire)),
    };
    let index = SearchThread::start(Arc::clone(&scene.log) as Arc<dyn Log>, config).expect("it starts");
    let search = index.search();
    wait_for("the index to be opened", || search.lookup().is_ok());
    assert_eq!(search.behind(|_| true), 11_000 + COUNT as u64);
    assert_eq!(search.behind(|name| name.as_str() == "room9"), 11_000);
    has_space.store(true, Ordering::Release);
    wait_for("the index to catch up", || search.behind(|_| true) == 0);
}
