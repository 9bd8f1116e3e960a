//! Notices of joins and leaves, and completion of names.

use super::chat_v1::on_terminal;
use super::model::Model;
use super::pty::Pty;

fn rows_with(pty: &Pty, part: &str) -> Vec<String> {
    pty.rows().into_iter().filter(|row| row.contains(part)).collect()
}

/// A regression: bob had two clients. When one of them ended, the others read "left: bob", although bob was still
/// there.
#[test]
fn a_name_joins_with_its_first_client_and_leaves_with_its_last() {
    let model = Model::start();
    let mut bob = on_terminal(&model, "bob");
    let mut ann = on_terminal(&model, "ann");
    model.presence("lobby", "cat", 70, true);
    ann.wait_for_row("* joined: cat");
    // Bob joined before ann, so ann knows him from the list of members.
    model.presence("lobby", "bob", 71, true);
    model.presence("lobby", "cat", 72, true);
    model.presence("lobby", "cat", 70, false);
    model.presence("lobby", "bob", 71, false);
    // Another client with ann's name.
    model.presence("lobby", "ann", 73, true);
    model.presence("lobby", "ann", 73, false);
    model.presence("lobby", "cat", 72, false);
    ann.wait_for_row("* left: cat");
    let rows = ann.rows();
    let shown: Vec<_> = rows.iter().filter(|row| row.contains("joined: ") || row.contains("left: ")).collect();
    assert_eq!(shown, ["* joined: cat", "* left: cat"]);
    for pty in [&mut ann, &mut bob] {
        pty.press("\x04");
        assert_eq!(pty.end(), 0);
    }
}

/// A regression: after a restart of the server all clients reconnect. The first one read "joined: cat" for every other
/// user, although nobody had left.
#[test]
fn returns_after_an_outage_are_not_shown() {
    let model = Model::start();
    let mut ann = on_terminal(&model, "ann");
    model.presence("lobby", "cat", 70, true);
    ann.wait_for_row("* joined: cat");
    model.break_streams();
    ann.wait_for_row_with("* connected again");
    model.presence("lobby", "cat", 80, true);
    model.presence("lobby", "eve", 81, true);
    ann.wait_for_row("* joined: eve");
    model.presence("lobby", "cat", 80, false);
    ann.wait_for_row("* left: cat");
    assert_eq!(rows_with(&ann, "joined: "), ["* joined: cat", "* joined: eve"]);
    ann.press("\x04");
    assert_eq!(ann.end(), 0);
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
    // By now ann has the list of members.
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
