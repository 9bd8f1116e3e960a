//! Removed text is in no file of the index.

use rusqlite::Connection;

use super::{DEADLINE, Scene, wait_for};
use crate::names::Seq;

/// A text that is found by each of its parts. Some are short, and some take several pages.
fn needle(number: u64) -> String {
    let long = "x".repeat([0, 0, 0, 40, 900][number as usize % 5]);
    format!("needle{number:05}a needle{number:05}b{} Straw{number:05} plain words of every day", &long)
}

fn is_gone(scene: &Scene, number: u64) -> bool {
    ["needle", "straw"].iter().all(|word| scene.files_with(&format!("{word}{number:05}")).is_empty())
}

fn check(scene: &Scene, removed: impl Fn(u64) -> bool, count: u64) {
    wait_for("removed text to be erased", || (0..count).all(|number| !removed(number) || is_gone(scene, number)));
    // The others are found, so removed ones would be too.
    for number in (0..count).filter(|number| !removed(*number)) {
        assert!(!is_gone(scene, number), "{number}");
    }
    check_structure(scene);
}

/// FTS5 finds nothing wrong with its tables.
fn check_structure(scene: &Scene) {
    let index = Connection::open(scene.file()).expect("the index can be opened");
    index.busy_timeout(DEADLINE).expect("it can be set");
    index.execute_batch("INSERT INTO words (words) VALUES ('integrity-check')").expect("the index is sound");
}

const COUNT: u64 = 600;

fn filled() -> Scene {
    let scene = Scene::new();
    for number in 0..COUNT {
        scene.log.post(1 + number % 3, "ann", &[&needle(number)]);
        if number % 150 == 0 {
            scene.catch_up();
        }
    }
    scene.catch_up();
    scene
}

fn place(number: u64) -> (u64, Seq) {
    (1 + number % 3, Seq(1 + number / 3))
}

/// FTS5's own deletion left the words in the file.
#[test]
fn edited_and_deleted_text_is_erased() {
    let mut scene = filled();
    for number in (0..COUNT).step_by(7) {
        let (room, seq) = place(number);
        match number % 2 {
            0 => scene.log.delete(room, seq),
            _ => scene.log.edit(room, seq, "nothing"),
        }
    }
    scene.catch_up();
    check(&scene, |number| number % 7 == 0, COUNT);
    assert_eq!(scene.find("nothing").len(), (COUNT as usize).div_ceil(14));
    scene.stop();
    check(&scene, |number| number % 7 == 0, COUNT);
    // What was removed shortly before the stop is gone after it.
    scene.start();
    scene.catch_up();
    let (room, seq) = place(1);
    scene.log.delete(room, seq);
    scene.stop();
    assert!(is_gone(&scene, 1));
    check(&scene, |number| number % 7 == 0 || number == 1, COUNT);
}

/// Many removals are erased by a merge.
#[test]
fn trimmed_text_is_erased() {
    let scene = filled();
    for room in 1..=3 {
        scene.log.trim(room, Seq(171));
    }
    // Retention follows an append.
    scene.log.post(1, "ann", &["afterwards"]);
    check(&scene, |number| number / 3 < 170, COUNT);
    assert_eq!(scene.find("needle*").len() as u64, COUNT - 170 * 3);
    // And everything, so that nothing is left to compare with.
    for room in 1..=3 {
        scene.log.trim(room, Seq(u64::MAX));
    }
    scene.log.post(2, "ann", &["afterwards"]);
    check(&scene, |_| true, COUNT);
}

#[test]
fn the_text_of_a_deleted_room_is_erased_at_the_next_start() {
    let mut scene = filled();
    scene.stop();
    scene.log.delete_room(2);
    scene.start();
    check(&scene, |number| number % 3 == 1, COUNT);
}
