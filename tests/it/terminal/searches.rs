//! The search in the chat and on the command line, with a real server.

use super::pty::Pty;
use super::{run_to_end, stderr, v1_command};
use crate::compatible::changes::Changer;
use crate::support::{start, target, wait_for};

fn search(target: &str, arguments: &[&str]) -> String {
    let mut command = v1_command(&["--server", target, "search"]);
    command.args(arguments);
    let output = run_to_end(command, b"");
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", stderr(&output));
    String::from_utf8(output.stdout).expect("the output is UTF-8")
}

#[test]
fn messages_are_found_as_they_are_now() {
    let server = start();
    let target = target(&server);
    let mut tea = Changer::new(&target, "tea");
    tea.change_everything();
    tea.post("bob", "the Kettle boils:\nnow");
    Changer::new(&target, "attic").post("ann", "an old kettle");
    // The index follows the log.
    wait_for("the index", || search(&target, &["kettle"]).lines().count() == 2);
    assert_eq!(search(&target, &["kettle"]), "[attic] ann: an old kettle\n[tea] bob: the Kettle boils:\\nnow\n");
    assert_eq!(search(&target, &["kettle", "--limit", "1"]), "[attic] ann: an old kettle\n");
    assert_eq!(search(&target, &["kettle", "--room", "attic"]), "ann: an old kettle\n");
    assert_eq!(search(&target, &["kettle", "--from", "ann", "--since", "1h"]), "[attic] ann: an old kettle\n");
    assert_eq!(search(&target, &["\"kettle boils\""]).lines().count(), 1);
    assert_eq!(search(&target, &["boil*", "kettle"]).lines().count(), 1);
    // What was edited away or deleted is not found.
    assert_eq!(search(&target, &["to", "be", "deleted"]), "");
    assert_eq!(search(&target, &["edited", "twice"]), "[tea] ann: edited twice [edited]\n");
    let json = search(&target, &["edited", "--json"]);
    let found: serde_json::Value = serde_json::from_str(&json).expect("one object");
    assert_eq!((&found["room"], &found["seq"], &found["edited_seq"]), (&"tea".into(), &2.into(), &9.into()));
}

#[test]
fn a_user_searches_in_the_chat() {
    let server = start();
    let target = target(&server);
    let mut changer = Changer::new(&target, "tea");
    (1..=12).for_each(|n| _ = changer.post("bob", &format!("kettle {n}")));
    wait_for("the index", || search(&target, &["kettle"]).lines().count() == 12);
    let mut ann = Pty::start(v1_command(&["--server", &target, "--name", "ann", "chat", "tea", "--last", "0"]));
    ann.wait_for_row_with("* connected to");
    ann.press("/search kettle\r/search teapot\r/search \"\r");
    ann.wait_for_row("* #3 bob: kettle 3");
    ann.wait_for_row("* #12 bob: kettle 12");
    ann.wait_for_row_with("* there may be more: hubbub search");
    ann.wait_for_row("* nothing found for \"teapot\" in tea");
    ann.wait_for_row_with("* can't search: ");
    // The number of what was found is usable, although the message is not shown here.
    ann.press("/react +1 #3\r");
    ann.wait_for_row("* reaction +1 to #3: ann");
    ann.press("/quit\r");
    assert_eq!(ann.end(), 0);
}
