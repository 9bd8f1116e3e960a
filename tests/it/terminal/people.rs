//! Comings and goings, and the names that Tab completes.

use super::chat::on_terminal;
use super::model::Model;
use super::pty::Pty;

fn rows_with(pty: &Pty, part: &str) -> Vec<String> {
    pty.rows().into_iter().filter(|row| row.contains(part)).collect()
}

/// The story: bob had the chat open twice. When he closed one of them, everybody read "left: bob", and bob went on talking.
#[test]
fn a_name_comes_with_its_first_client_and_leaves_with_its_last() {
    let model = Model::start();
    let mut bob = on_terminal(&model, "bob");
    let mut ann = on_terminal(&model, "ann");
    model.presence("lobby", "cat", 70, true);
    ann.wait_for_row("* joined: cat");
    // Bob was there before ann came, so she has asked who is there.
    model.presence("lobby", "bob", 71, true);
    model.presence("lobby", "cat", 72, true);
    model.presence("lobby", "cat", 70, false);
    model.presence("lobby", "bob", 71, false);
    // Ann has a namesake.
    model.presence("lobby", "ann", 73, true);
    model.presence("lobby", "ann", 73, false);
    model.presence("lobby", "cat", 72, false);
    ann.wait_for_row("* left: cat");
    let shown: Vec<_> =
        ann.rows().into_iter().filter(|row| row.contains("joined: ") || row.contains("left: ")).collect();
    assert_eq!(shown, ["* joined: cat", "* left: cat"]);
    for pty in [&mut ann, &mut bob] {
        pty.press("\x04");
        assert_eq!(pty.end(), 0);
    }
}

#[test]
fn tab_completes_names_and_commands() {
    let model = Model::start();
    for name in ["Zoe", "bob", "björn", "bob", "\u{1b}[2J"] {
        model.say("lobby", name, "hello");
    }
    let mut dan = on_terminal(&model, "dan");
    let mut ann = on_terminal(&model, "ann");
    model.presence("lobby", "eve", 70, true);
    // By now she knows who is there.
    ann.wait_for_row("* joined: eve");
    for (typed, shown) in [
        ("b\t", "> bob: "),
        ("b\t\t", "> björn: "),
        ("b\t\t\t\t", "> bob: "),
        ("b\t\t\x1b[Z", "> bob: "),
        ("hi @z\tand d\te\t", "> hi @Zoe and dan eve "),
        ("xyz\t", "> xyz"),
        ("/w\t", "> /who "),
        ("/me hugs bj\t", "> /me hugs björn "),
    ] {
        ann.press(typed);
        ann.wait_for_last_row(shown);
        ann.press("\x15");
        ann.wait_for_last_row("> ");
    }
    assert!(rows_with(&ann, "[2J").iter().all(|row| row.starts_with("\\u{1b}")), "{:?}", ann.rows());
    for pty in [&mut ann, &mut dan] {
        pty.press("\x04");
        assert_eq!(pty.end(), 0);
    }
}
