//! The pictures of the terminal client in README.md and docs/terminal.md: what the client shows now, in a conversation that
//! this script plays on a real server. `make pictures` writes them.
//!
//! The clocks of the server and of the client that is shown stand still at the times that the script sets.

mod svg;

use std::env;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use self::svg::{DARK, LIGHT, Theme, svg};
use super::command;
use super::screen::Screen;
use crate::support::process::{self, ServerProcess};
use crate::support::{preload, wait_for};

/// The largest size of a picture, in bytes.
const BYTES_MAX: usize = 60_000;

/// How long a picture may take to become the one in the repository: a status row may show a slow answer for a while.
const PATIENCE: Duration = Duration::from_secs(10);

/// Midnight before the conversation, in seconds since 1970: Thursday, 5 March 2026.
const TODAY: i64 = 1_772_668_800;
const DAY: i64 = 86_400;

const OTHERS: [&str; 3] = ["bob", "mia", "Zoë"];

/// Their rooms.
const ROOMS: [&str; 4] = ["tea", "builds", "garden", "ops"];

/// A server with a clock, and those who talk. Their own clocks don't matter: all times are the server's.
struct Scene {
    folder: TempDir,
    server: ServerProcess,
    others: Vec<Screen>,
    /// What each room showed last.
    shown: [String; ROOMS.len()],
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        preload::compile("clock", folder.path());
        set_clock(&folder.path().join("clock"), TODAY);
        let mut command = process::command();
        with_clock(&mut command, folder.path());
        command.args(["--listen", "127.0.0.1:0", "--data"]).arg(folder.path().join("data"));
        let server = ServerProcess::listening(command);
        let mut scene = Self { folder, server, others: Vec::new(), shown: Default::default() };
        for name in OTHERS {
            let other = scene.client(name, &ROOMS, (80, 24), |_| {});
            scene.others.push(other);
        }
        scene
    }

    fn client(
        &self,
        name: &str,
        rooms: &[&str],
        (columns, rows): (u16, u16),
        set: impl FnOnce(&mut Command),
    ) -> Screen {
        let home = self.folder.path().join(name);
        fs::create_dir_all(&home).expect("a folder");
        let arguments = [&["--server", self.server.target(), "--name", name, "chat"], rooms].concat();
        let mut command = command(&home, &arguments);
        set(&mut command);
        let screen = Screen::start(command, columns, rows);
        screen.wait_until("a room", |text| {
            text.lines().last().is_some_and(|row| row.starts_with('[')) && !text.contains("connecting")
        });
        screen.wait_until_quiet();
        screen
    }

    /// One of the others says something in a room.
    fn say(&mut self, time: (i64, i64), name: &str, room: usize, text: &str) {
        let start: String = text.chars().take(12).collect();
        self.enter(time, name, room, text, &start);
    }

    /// One of the others enters a line in a room, which then shows this.
    fn enter(&mut self, (hour, minute): (i64, i64), name: &str, room: usize, line: &str, shown: &str) {
        let day = if hour < 0 { -DAY } else { 0 };
        set_clock(&self.folder.path().join("clock"), TODAY + day + hour.abs() * 3600 + minute * 60 + 20);
        let prompt = format!("[{}]", ROOMS[room - 1]);
        let is_empty = |text: &str| text.lines().last() == Some(prompt.as_str()) && !text.contains("not sent");
        let before = std::mem::replace(&mut self.shown[room - 1], shown.to_owned());
        let other = self.other(name);
        other.press(&format!("\x1b{room}"));
        // A reaction is to what was said last.
        other.wait_until("the room", |text| is_empty(text) && text.contains(&before));
        other.press(&format!("{line}\r"));
        other.wait_until(shown, |text| is_empty(text) && text.contains(shown));
        other.wait_until_quiet();
    }

    fn other(&mut self, name: &str) -> &mut Screen {
        let at = OTHERS.iter().position(|other| *other == name).expect("one of the others");
        &mut self.others[at]
    }
}

/// The program's clock stands still.
fn with_clock(command: &mut Command, folder: &Path) {
    command.env("LD_PRELOAD", folder.join("clock.so")).env("HUBBUB_CLOCK_FILE", folder.join("clock"));
}

/// The file is never empty: the programs have it in their memory.
fn set_clock(path: &Path, seconds: i64) {
    let file = File::options().write(true).create(true).truncate(false).open(path).expect("a file can be opened");
    file.write_all_at(&seconds.to_ne_bytes(), 0).expect("a file can be written");
}

/// An hour of yesterday.
const fn yesterday(hour: i64) -> i64 {
    -hour
}

#[test]
fn the_pictures_show_the_client_as_it_is() {
    const TEA: usize = 1;
    const BUILDS: usize = 2;
    const GARDEN: usize = 3;
    const OPS: usize = 4;
    let mut scene = Scene::new();
    scene.say((yesterday(17), 46), "Zoë", TEA, "that was the last of the sencha, sorry!");
    scene.say((yesterday(17), 48), "mia", TEA, "I'll order some tonight: https://tea.example.org/sencha");
    scene.say((yesterday(18), 2), "bob", BUILDS, "main is green again");
    scene.say((yesterday(18), 5), "bob", GARDEN, "the roses are cut");
    scene.enter((9, 0), "bob", TEA, "/topic Leaves, water, and whoever is around", "Leaves");
    let rooms = ["lobby", "tea", "builds", "garden", "ops"];
    let folder = scene.folder.path().to_owned();
    let mut ann = scene.client("ann", &rooms, (100, 30), |command| with_clock(command, &folder));
    ann.press("\x1b2");
    ann.wait_for("https://tea");
    ann.press("\r");
    settle(&mut ann);
    scene.say((9, 2), "bob", TEA, "good morning! The kettle in the small kitchen is descaled.");
    scene.say((9, 4), "mia", TEA, "Thank you, it is much quicker. Is anybody trying the new one?");
    scene.enter((9, 5), "bob", TEA, "/react 👍", "👍 1");
    scene.enter((9, 5), "Zoë", TEA, "/react 👍", "👍 2");
    scene.say((9, 11), "Zoë", TEA, "Shall we open the Darjeeling, or is it too early for second flush?");
    scene.enter((9, 12), "mia", TEA, "\x1bvrNever too early 🙂", "Never too early");
    let steps = "For the list on the wall:\n  • 90 °C, not boiling\n  • 3 minutes, then taste";
    scene.enter((9, 14), "mia", TEA, &steps.replace('\n', "\x1b\r"), "3 minutes");
    let bob = scene.other("bob");
    bob.press("\x1bv");
    bob.wait_for("[select]");
    bob.press("p");
    bob.wait_for("pinned #");
    bob.press("\x1b");
    bob.wait_until_gone("[select]");
    scene.say((9, 16), "Zoë", TEA, "The label says Darjeeling, by the way. The cupboard was right all along.");
    scene.enter((9, 21), "Zoë", TEA, "/me waves from the train", "waves from");
    scene.say((9, 24), "bob", TEA, "The meeting is moved to 14:00, in the reading room.");
    scene.enter((9, 25), "bob", TEA, "/edit The meeting is moved to 15:00, in the reading room.", "15:00");
    ann.wait_for("15:00");
    ann.press("On my way, with the blue pot\r");
    ann.wait_until("the message", |text| text.contains("blue pot") && !text.contains("not sent"));
    say_until_quick(&mut ann);
    // She looks away.
    ann.press("\x1b[O");
    settle(&mut ann);
    scene.say((9, 38), "mia", TEA, "@ann could you bring the small cups too?");
    scene.say((9, 40), "bob", TEA, "and whoever comes by the bakery: biscuits 🍪");
    for n in 1..=3 {
        scene.say((9, 40 + n), "mia", GARDEN, &format!("bed {n} is watered"));
    }
    scene.say((9, 44), "Zoë", BUILDS, "@ann release 1.2 is ready for your review");
    scene.say((9, 46), "bob", OPS, "disk 2 is replaced, the copy runs");
    ann.wait_for("[Act: 3@,4,5]");
    ann.press("the cups are in the b");
    ann.wait_for("in the b");
    compare(&ann, &DARK, "dark", "The chat in a dark terminal");
    ann.press("\x15");
    ann.resize(40, 12);
    ann.wait_until("the new size", |text| text.lines().count() == 12);
    compare(&ann, &DARK, "narrow", "The chat in a terminal of 40 columns");
    ann.press("/quit\r");
    assert_eq!(ann.end_restored(), 0);
    let mut ann = scene.client("ann", &["tea"], (80, 24), |command| {
        with_clock(command, &folder);
        command.env("COLORFGBG", "0;15");
    });
    ann.wait_for("biscuits");
    ann.press("/search the\r");
    ann.wait_for("Esc closes");
    ann.press("\x1b[B");
    compare(&ann, &LIGHT, "light", "The results of a search in a light terminal");
}

/// A slow answer to her own line stays in the status row until her next one, which no picture shows.
fn say_until_quick(ann: &mut Screen) {
    for _ in 0..20 {
        if !ann.text().contains("[lag") {
            return;
        }
        ann.press("\x1b1");
        ann.wait_until("the lobby", |text| text.lines().last() == Some("[lobby]"));
        ann.press("hello\r");
        ann.wait_until("the message", |text| {
            text.contains("hello") && text.lines().last() == Some("[lobby]") && !text.contains("not sent")
        });
        ann.press("\x1b2");
        ann.wait_until("the room", |text| text.lines().last() == Some("[tea]"));
        settle(ann);
    }
}

/// Waits until the client has taken all keys.
fn settle(screen: &mut Screen) {
    for (key, end) in [("x", "] x"), ("\x7f", "]")] {
        screen.press(key);
        screen.wait_until("the key", |text| text.lines().last().is_some_and(|row| row.ends_with(end)));
    }
    screen.wait_until_quiet();
}

/// Waits until the screen is that of the picture in the repository, or writes the picture.
fn compare(screen: &Screen, theme: &Theme, name: &str, title: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("docs/pictures/terminal-{name}.svg"));
    screen.wait_until_quiet();
    let shown = || svg(screen, theme, title);
    assert!(shown().len() <= BYTES_MAX, "{} bytes", shown().len());
    if env::var_os("HUBBUB_WRITE_PICTURES").is_some() {
        fs::write(&path, shown()).expect("the picture can be written");
        return;
    }
    let picture = fs::read_to_string(&path).expect("the picture is in the repository");
    let until = Instant::now() + PATIENCE;
    wait_for("the picture, or too long", || shown() == picture || Instant::now() > until);
    if shown() != picture {
        assert_eq!(svg::texts(&shown()), svg::texts(&picture), "make pictures makes {} again", path.display());
        panic!("{} has other colours or places: make pictures makes it again", path.display());
    }
}
