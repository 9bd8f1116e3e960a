//! Text that is not known to be stored is kept on disk, and offered at the next start.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use super::model::{Model, Verdict};
use super::pty::Pty;
use super::v1_command;
use crate::support::wait_for;

/// A user's home, and a server.
struct Place {
    home: TempDir,
    model: Model,
}

impl Place {
    fn new() -> Self {
        Self { home: tempfile::tempdir().expect("a folder can be made"), model: Model::start() }
    }

    fn command(&self, name: &str) -> Command {
        let mut command = v1_command(&["--server", &self.model.target, "--name", name]);
        command.env("HOME", self.home.path()).env_remove("XDG_STATE_HOME");
        command
    }

    /// A client that has joined.
    fn start(&self, name: &str) -> Pty {
        let before = self.model.world().joins.len();
        let pty = Pty::start(self.command(name));
        wait_for("the join", || self.model.world().joins.len() > before);
        pty.wait_for_row_with("* connected to ");
        pty
    }

    fn folder(&self) -> PathBuf {
        self.home.path().join(".local/state/hubbub/unsent")
    }

    fn files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.folder()).into_iter().flatten();
        let paths = entries.map(|entry| entry.expect("the folder can be read").path());
        paths.filter(|path| path.extension().is_some_and(|ending| ending == "jsonl")).collect()
    }

    /// Waits until this text is on the disk.
    fn wait_for_kept(&self, body: &str) {
        let holds = |path: &PathBuf| fs::read_to_string(path).is_ok_and(|text| text.contains(body));
        wait_for(&format!("{body:?} on the disk"), || self.files().iter().any(holds));
    }

    /// Rejects all posts until `store_again`.
    fn hold(&self) {
        self.model.world().judge = Box::new(|_| Verdict::Reject { reason: "not yet", retry_after_ms: 60_000 });
    }

    fn store_again(&self) {
        self.model.world().judge = Box::new(|_| Verdict::Store);
    }
}

fn kill(mut pty: Pty) {
    pty.signal(libc::SIGKILL);
    assert_eq!(pty.end(), -libc::SIGKILL);
}

fn leave(mut pty: Pty) {
    pty.press("\x15\x04");
    assert_eq!(pty.end(), 0);
}

/// A regression: a line was typed while the server could not store it, and the client's machine crashed. The loss was
/// not reported.
#[test]
fn lines_of_a_killed_client_are_offered_to_the_next_one() {
    let place = Place::new();
    place.hold();
    let mut ann = place.start("ann");
    ann.press("one\r/me waves\r");
    place.wait_for_kept("waves");
    let file = &place.files()[0];
    let mode = |path: &PathBuf| fs::metadata(path).expect("it is there").mode() & 0o777;
    assert_eq!((mode(file), mode(&place.folder())), (0o600, 0o700));
    kill(ann);
    place.store_again();
    // A client of another name gets no offer.
    leave(place.start("bob"));
    let mut ann = place.start("ann");
    ann.wait_for_row_with("perhaps not stored: 2 lines");
    ann.wait_for_row("* > one");
    ann.wait_for_row_with("/unsent send sends them");
    // Nothing is sent automatically, and undecided texts stay.
    assert!(place.model.bodies("lobby").is_empty());
    ann.press("hello\r");
    wait_for("the message", || place.model.bodies("lobby") == ["hello"]);
    leave(ann);
    assert_eq!(place.files().len(), 1);
    let mut ann = place.start("ann");
    ann.wait_for_row_with("/unsent send sends them");
    ann.press("/unsent send\r");
    wait_for("all of it", || place.model.bodies("lobby") == ["hello", "one", "waves"]);
    wait_for("no file", || place.files().is_empty());
    ann.press("/unsent\r");
    ann.wait_for_row("* no text is kept from an earlier chat");
    leave(ann);
    assert!(!place.home.path().join(".local/state/hubbub").exists());
}

/// A line was stored, its acknowledgement was lost with the connection, and the client was killed. The line must not be
/// stored twice.
#[test]
fn stored_lines_are_not_offered_again() {
    let place = Place::new();
    let mut ann = place.start("ann");
    place.model.world().judge = Box::new(|_| Verdict::StoreAndBreak);
    // The client must not reconnect before it is killed.
    place.model.world().goodbye_ms = Some(60_000);
    ann.press("once\r");
    place.wait_for_kept("once");
    kill(ann);
    place.store_again();
    // The history shows that it is stored, so it is not offered.
    let ann = place.start("ann");
    ann.wait_for_row("ann: once");
    wait_for("no file", || place.files().is_empty());
    assert!(!ann.rows().iter().any(|row| row.contains("/unsent")), "{:?}", ann.rows());
    leave(ann);
    assert_eq!(place.model.bodies("lobby"), ["once"]);
}

/// A regression: a draft was lost when the terminal's window was closed.
#[test]
fn a_draft_is_restored() {
    let place = Place::new();
    let mut ann = place.start("ann");
    ann.press("half a \x1b\rthought");
    ann.wait_for_last_row("> half a ↵thought");
    ann.signal(libc::SIGHUP);
    assert_eq!(ann.end(), 128 + libc::SIGHUP);
    place.wait_for_kept("half a");
    let ann = place.start("ann");
    ann.wait_for_row_with("* your draft of ");
    ann.wait_for_last_row("> half a ↵thought");
    assert!(place.model.bodies("lobby").is_empty());
    // If the client is killed before the draft is sent, it is restored again.
    kill(ann);
    let mut ann = place.start("ann");
    ann.wait_for_last_row("> half a ↵thought");
    ann.press("\x05!\r");
    wait_for("the message", || place.model.bodies("lobby") == ["half a \nthought!"]);
    wait_for("no file", || place.files().is_empty());
    leave(ann);
}

/// When the connection is lost, waiting lines are written at once; the file is removed when they are stored.
#[test]
fn kept_text_is_removed_when_it_is_stored() {
    let place = Place::new();
    place.model.world().goodbye_ms = Some(2_500);
    let mut ann = place.start("ann");
    place.model.break_streams();
    ann.wait_for_row_with("* offline 0 s");
    ann.press("kept\r");
    place.wait_for_kept("kept");
    ann.wait_for_row_with("1 line sent");
    wait_for("no file", || place.files().is_empty());
    ann.press("one more\r\x04");
    assert_eq!(ann.end(), 0);
    assert!(!place.folder().exists());
    assert_eq!(place.model.bodies("lobby"), ["kept", "one more"]);
}

/// Two clients of one name have a file each, and the second takes nothing from the first.
#[test]
fn running_clients_keep_their_own_files() {
    let place = Place::new();
    place.hold();
    let mut first = place.start("ann");
    first.press("first\r");
    place.wait_for_kept("first");
    let mut second = place.start("ann");
    second.press("second\r");
    place.wait_for_kept("second");
    assert_eq!(place.files().len(), 2);
    assert!(!second.rows().iter().any(|row| row.contains("/unsent")), "{:?}", second.rows());
    first.press("\x03");
    assert_eq!(first.end(), 130);
    first.wait_for_row_with("* kept in ");
    kill(second);
    let mut third = place.start("ann");
    third.wait_for_row_with("perhaps not stored: 2 lines");
    third.press("/unsent drop\r");
    third.wait_for_row("* deleted: 2 lines");
    leave(third);
    assert!(!place.folder().exists());
}

/// If nothing can be kept, that is reported once, and the chat continues.
#[test]
fn an_unusable_folder_is_reported_once() {
    for case in ["no home", "a file"] {
        let place = Place::new();
        place.hold();
        let mut command = place.command("ann");
        match case {
            "no home" => drop(command.env_remove("HOME")),
            _ => fs::write(place.home.path().join(".local"), b"").expect("a file can be written"),
        }
        let mut ann = Pty::start(command);
        ann.wait_for_row_with("* connected to ");
        ann.press("one\r");
        ann.wait_for_row_with("* unsent text can't be kept on disk:");
        ann.press("two\r");
        ann.wait_for_row("> two");
        ann.press("\x03");
        assert_eq!(ann.end(), 130);
        ann.wait_for_row("* perhaps not stored: two");
        assert_eq!(ann.rows().iter().filter(|row| row.contains("can't be kept")).count(), 1, "{:?}", ann.rows());
        assert!(!ann.rows().iter().any(|row| row.contains("* kept in")), "{:?}", ann.rows());
    }
}
