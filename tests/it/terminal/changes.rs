//! Messages that change, in the chat: a user at two terminals edits, deletes, reacts, replies, pins and sets a topic.

use super::model::Model;
use super::pty::Pty;
use super::{run_to_end, stderr, v1_command};
use crate::support::{start, target};

/// A client of the real server on a terminal, after its join.
fn terminal(target: &str, name: &str) -> Pty {
    let pty = Pty::start(v1_command(&["--server", target, "--name", name, "chat", "tea"]));
    pty.wait_for_row_with("* connected to");
    pty.wait_for_last_row("> ");
    pty
}

fn leave(mut pty: Pty) {
    pty.press("\x04");
    assert_eq!(pty.end(), 0);
}

#[test]
fn a_user_at_two_terminals_changes_messages() {
    let server = start();
    let target = target(&server);
    let mut ann = terminal(&target, "ann");
    let mut desk = terminal(&target, "bob");
    let mut sofa = terminal(&target, "bob");
    ann.press("the kettle boils\r");
    for bob in [&desk, &sofa] {
        bob.wait_for_row("ann: the kettle boils");
    }
    // An edit: without a number, of one's own last message; both terminals show it.
    desk.press("I am comming\r/edit I am coming\r");
    for terminal in [&ann, &desk, &sofa] {
        terminal.wait_for_row("* edited #2: bob: I am coming");
    }
    // The other terminal of the same user edits the same message, by its number.
    sofa.press("/edit #2 coming, @ann\r");
    for terminal in [&ann, &desk, &sofa] {
        terminal.wait_for_row("* edited #2: bob: coming, @ann");
    }
    // A reaction to the newest message of others, and its removal.
    ann.press("/react \u{1f44d}\r");
    desk.wait_for_row("* reaction \u{1f44d} to #2 \"coming, @ann\": ann");
    ann.press("/react \u{1f44d} #2\r");
    ann.wait_for_row("* #2: you have reacted with that already");
    ann.press("/unreact \u{1f44d}\r");
    desk.wait_for_row("* reaction \u{1f44d} removed from #2 \"coming, @ann\": ann");
    // A reply.
    sofa.press("/reply #1 two cups\r");
    sofa.wait_for_row("* in reply to #1 ann: the kettle boils");
    // Two clients have the name, so a number follows it.
    ann.wait_for_row_with(": [re #1 \"the kettle boils\"] two cups");
    // Pins and the topic.
    ann.press("/pin #1\r/topic tea: green\r");
    sofa.wait_for_row("* pinned #1 \"the kettle boils\": ann");
    sofa.wait_for_row("* topic set by ann: tea: green");
    sofa.press("/pin\r/topic\r");
    sofa.wait_for_row("* #1 ann: the kettle boils");
    sofa.wait_for_row("* topic of tea: tea: green");
    // A deletion.
    ann.press("secret\r");
    desk.wait_for_row("ann: secret");
    ann.press("/delete\r");
    for terminal in [&ann, &desk, &sofa] {
        terminal.wait_for_row_with("* deleted #10: ann");
    }
    // Numbers: on request, or always.
    desk.press("/numbers\r");
    desk.wait_for_row("* #2 bob: coming, @ann [edited]");
    desk.wait_for_row("* #10 ann, deleted");
    desk.press("/numbers on\r");
    desk.wait_for_row("* messages are shown with their numbers");
    ann.press("last\r");
    desk.wait_for_row("#12 ann: last");
    leave(ann);
    leave(desk);
    leave(sofa);
    // Somebody who comes later sees messages as they are now, and nothing of what is gone.
    let late = terminal(&target, "cat");
    late.wait_for_row("* topic of tea: tea: green");
    late.wait_for_row("* 1 message is pinned in tea: /pin shows it");
    late.wait_for_row("bob: coming, @ann [edited]");
    late.wait_for_row("bob: [re #1 \"the kettle boils\"] two cups");
    late.wait_for_row("* deleted #10: ann");
    late.wait_for_row("ann: last");
    let rows = late.rows();
    assert!(!rows.iter().any(|row| row.contains("secret") || row.contains("comming")), "{rows:?}");
    // The events that the messages include are not repeated.
    assert!(!rows.iter().any(|row| row.contains("* edited") || row.contains("* reaction")), "{rows:?}");
    leave(late);
}

/// A careless user: mistakes change nothing, and say what to do.
#[test]
fn mistakes_change_nothing() {
    let server = start();
    let target = target(&server);
    let mut ann = terminal(&target, "ann");
    ann.press("/edit hello\r/delete\r/react +1\r/unpin\r");
    ann.wait_for_row_with("* not edited: you have no message here");
    ann.wait_for_row_with("* not deleted: you have no message here");
    ann.wait_for_row("* no reaction: nobody else has a message here");
    ann.wait_for_row("* not unpinned: nothing is pinned in tea");
    let mut bob = terminal(&target, "bob");
    bob.press("one\r");
    ann.wait_for_row("bob: one");
    ann.press("/edit #1 two\r/delete #1\r/edit #7 x\r/reply #7 x\r");
    ann.wait_for_row("* not edited: message #1 is not yours: #1 bob: one");
    ann.wait_for_row_with("* not deleted: ");
    ann.wait_for_row("* not sent: there is no message #7 in tea yet");
    ann.press("/react a b\r/delete it\r/edit \x1b\rpasted\r");
    ann.wait_for_row_with("* not sent: /react needs an emoji or a word");
    ann.wait_for_row_with("\"it\" is not the number of a message");
    ann.wait_for_row_with("* not sent: /edit needs its text in the same line");
    bob.press("/delete\r");
    ann.wait_for_row("* deleted #1: bob");
    bob.press("/edit #1 back\r/delete #1\r/react +1 #1\r");
    bob.wait_for_row("* not edited: message #1 was deleted");
    bob.wait_for_row("* #1: it was deleted before");
    bob.wait_for_row_with("* no reaction: ");
    // The text of a mistake with several rows is in the draft again.
    ann.press("\x03");
    assert_eq!(ann.end(), 130);
    leave(bob);
}

/// `/edit` alone puts the last message into the draft.
#[test]
fn the_last_message_is_edited_in_the_draft() {
    let server = start();
    let target = target(&server);
    let mut ann = terminal(&target, "ann");
    ann.press("hello wrld\r/edit\r");
    ann.wait_for_last_row("> /edit #1 hello wrld");
    ann.press("\x7f\x7f\x7forld\r");
    ann.wait_for_row("* edited #1: ann: hello world");
    leave(ann);
}

/// Changes that were made during an outage are shown after it, once.
#[test]
fn changes_of_an_outage_are_shown_once() {
    let model = Model::start();
    model.say("lobby", "bob", "one");
    let ann = super::chat_v1::on_terminal(&model, "ann");
    ann.wait_for_row("bob: one");
    model.world().goodbye_ms = Some(300);
    model.break_streams();
    model.edit("lobby", 1, "uno");
    model.say("lobby", "bob", "two");
    model.edit("lobby", 3, "due");
    ann.wait_for_row("* edited #1: bob: uno");
    ann.wait_for_row("bob: due [edited]");
    ann.wait_for_row_with("* connected again");
    assert_eq!(ann.rows().iter().filter(|row| row.contains("due")).count(), 1, "{:?}", ann.rows());
    leave(ann);
}

/// An older server knows none of the calls.
#[test]
fn an_older_server_is_named_as_the_reason() {
    let model = Model::start();
    model.say("lobby", "bob", "one");
    let mut ann = super::chat_v1::on_terminal(&model, "ann");
    ann.wait_for_row("bob: one");
    ann.press("two\r/edit three\r/topic tea\r/search one\r");
    ann.wait_for_row_with("* not edited: the server can't do that: it is older");
    ann.wait_for_row_with("* the topic was not changed: the server can't do that");
    ann.wait_for_row_with("* can't search: the server can't do that");
    leave(ann);
    let output = run_to_end(v1_command(&["--server", &model.target, "search", "one"]), b"");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).starts_with("hubbub: the server can't do that: it is older than this client"));
}

/// A script: the lines before a command are stored when it takes its turn.
#[test]
fn a_script_changes_its_own_messages() {
    let server = start();
    let target = target(&server);
    let command = v1_command(&["--server", &target, "--name", "ann"]);
    let output = run_to_end(command, b"one\n/edit uno\ntwo\n/delete\n/react +1\nthree\n");
    let shown = String::from_utf8(output.stdout.clone()).expect("the output is UTF-8");
    assert_eq!(shown, "ann: one\n* edited #1: ann: uno\nann: two\n* deleted #3: ann\nann: three\n");
    assert_eq!(stderr(&output), "* no reaction: nobody else has a message here\n");
    let output = run_to_end(v1_command(&["--server", &target, "--contract", "tutorial", "--name", "x"]), b"/edit x\n");
    assert!(stderr(&output).contains("can't be changed or found over the tutorial's contract"), "{}", stderr(&output));
}
