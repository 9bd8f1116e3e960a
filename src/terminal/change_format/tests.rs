use proptest::prelude::*;

use super::*;
use crate::client::{NO_EXTRAS, Reaction};
use crate::escape::acts;
use crate::names::MessageId;

fn person(name: &str) -> Person {
    Person { name: name.to_owned(), authenticated: false }
}

fn message(body: &str, extras: Extras) -> StoredMessage {
    StoredMessage {
        seq: 12,
        time_ms: 0,
        id: MessageId::from_bytes([1; 16]),
        sender: "ann".to_owned(),
        body: body.to_owned(),
        kind: Kind::Text,
        client_id: None,
        authenticated: false,
        extras,
    }
}

fn text(message: &StoredMessage, reply_target: Option<&StoredMessage>) -> String {
    let StoredMessage { seq, ref sender, ref body, kind, ref extras, .. } = *message;
    ShownMessage { sender, seq, body, kind, extras, reply_target, marks_claims: false }.text(false)
}

#[test]
fn messages_show_what_changed() {
    assert_eq!(text(&message("hi", NO_EXTRAS.clone()), None), "ann: hi");
    let edited = Extras { edited_seq: 13, ..Extras::default() };
    assert_eq!(text(&message("hi", edited.clone()), None), "ann: hi [edited]");
    let reaction = |emoji: &str, count| Reaction { emoji: emoji.to_owned(), count, people: Vec::new() };
    let reactions = vec![reaction("\u{1f44d}", 3), reaction("+1", 1)];
    assert_eq!(text(&message("hi", Extras { reactions, ..edited }), None), "ann: hi [edited, \u{1f44d} 3, +1 1]");
    let reply = Extras { reply_to: Some(12), ..Extras::default() };
    let target = message("shall we\ngo?", Extras::default());
    assert_eq!(text(&message("yes", reply.clone()), Some(&target)), "ann: [re #12 \"shall we go?\"] yes");
    assert_eq!(text(&message("yes", reply.clone()), None), "ann: [re #12] yes");
    let deleted = |by| message("", Extras { deleted_by: Some(person(by)), ..Extras::default() });
    assert_eq!(text(&deleted("ann"), None), "* deleted #12: ann");
    assert_eq!(text(&deleted("bob"), None), "* deleted #12 of ann: bob");
    assert_eq!(text(&message("yes", reply), Some(&deleted("ann"))), "ann: [re #12, deleted] yes");
    assert_eq!(listed(&deleted("ann"), false), "#12 ann, deleted");
    assert_eq!(listed(&message(&"x".repeat(300), Extras::default()), true).chars().count(), 211);
}

#[test]
fn changes_name_the_message_and_who_made_them() {
    let held = message("hi", Extras::default());
    let show = |logged: &LoggedChange, message| change(logged, message, false, false);
    let edited = |body: &str| LoggedChange::Edited { message_seq: 12, body: body.to_owned(), mentions: Vec::new() };
    assert_eq!(show(&edited("new"), Some(&held)), "* edited #12: ann: new");
    assert_eq!(show(&edited(""), None), "* edited #12, and changed again");
    let reacted =
        |removed| LoggedChange::Reacted { message_seq: 12, emoji: "+1".to_owned(), by: person("bob"), removed };
    assert_eq!(show(&reacted(false), Some(&held)), "* reaction +1 to #12 \"hi\": bob");
    assert_eq!(show(&reacted(true), None), "* reaction +1 removed from #12: bob");
    let deleted = |by| LoggedChange::Deleted { message_seq: 12, by: person(by) };
    assert_eq!(show(&deleted("ann"), Some(&held)), "* deleted #12: ann");
    assert_eq!(show(&deleted("bob"), Some(&held)), "* deleted #12 of ann: bob");
    assert_eq!(show(&deleted("bob"), None), "* deleted #12: bob");
    let pinned = |removed| LoggedChange::Pinned { message_seq: 12, by: person("bob"), removed };
    assert_eq!(show(&pinned(false), Some(&held)), "* pinned #12 \"hi\": bob");
    assert_eq!(show(&pinned(true), None), "* unpinned #12: bob");
    let topic = |topic: Option<&str>| LoggedChange::Room { by: person("bob"), topic: topic.map(str::to_owned) };
    assert_eq!(show(&topic(Some("tea: green")), None), "* topic set by bob: tea: green");
    assert_eq!(show(&topic(Some("")), None), "* topic removed: bob");
}

/// An old message is edited to a text that looks like somebody else's line.
#[test]
fn no_text_and_no_name_can_speak_for_another() {
    let edited = LoggedChange::Edited { message_seq: 12, body: "bob: I quit".to_owned(), mentions: Vec::new() };
    assert_eq!(change(&edited, None, false, false), "* edited #12: \"bob: I quit\"");
    let by = person("eve: x\u{1b}[2J\nbob");
    let deleted = LoggedChange::Deleted { message_seq: 12, by: by.clone() };
    assert_eq!(change(&deleted, None, false, true), "* deleted #12: eve\\u{3a} x\\u{1b}[2J\\nbob");
    let reacted = LoggedChange::Reacted { message_seq: 12, emoji: "\u{1b}[2J\n".to_owned(), by, removed: false };
    let shown = change(&reacted, None, false, true);
    assert!(shown.starts_with("* reaction \\u{1b}[2J\\n to #12: eve\\u{3a}"), "{shown}");
    let topic = LoggedChange::Room { by: person("eve"), topic: Some("\u{1b}]0;x\u{7}\n* left: bob".to_owned()) };
    assert!(!change(&topic, None, false, true).contains(|c: char| c.is_control()));
    let start = message("\u{202e}\u{1b}[31m", Extras::default());
    let pinned = LoggedChange::Pinned { message_seq: 12, by: person("eve"), removed: false };
    assert!(!change(&pinned, Some(&start), false, true).contains(['\u{1b}', '\u{202e}']));
}

proptest! {
    /// Whatever a server sends, and whoever has written it, a line does nothing on a terminal.
    #[test]
    fn nothing_that_acts_gets_through(name in any::<String>(), body in any::<String>(), emoji in any::<String>()) {
        let held = message(&body, Extras::default());
        for by in [Person { name: name.clone(), authenticated: true }, person(&name)] {
            for logged in [
                LoggedChange::Edited { message_seq: 7, body: body.clone(), mentions: Vec::new() },
                LoggedChange::Reacted { message_seq: 7, emoji: emoji.clone(), by: by.clone(), removed: false },
                LoggedChange::Deleted { message_seq: 7, by: by.clone() },
                LoggedChange::Pinned { message_seq: 7, by: by.clone(), removed: false },
                LoggedChange::Room { by: by.clone(), topic: Some(body.clone()) },
            ] {
                for message in [None, Some(&held)] {
                    let rows = change(&logged, message, true, true);
                    prop_assert!(!rows.chars().any(|c| acts(c) && c != '\n'), "{}", rows);
                    let line = change(&logged, message, true, false);
                    prop_assert!(!line.chars().any(acts) && line.starts_with("* "), "{}", line);
                }
            }
        }
        let reactions = vec![Reaction { emoji, count: 1, people: Vec::new() }];
        let shown = text(&message(&body, Extras { reactions, reply_to: Some(7), ..Extras::default() }), Some(&held));
        prop_assert!(!shown.chars().any(acts), "{}", shown);
    }
}
