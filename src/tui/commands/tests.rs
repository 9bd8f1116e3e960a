//! Tests of the commands.

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;
use crate::names::Emoji;

fn say(text: &str) -> Result<Command, String> {
    Ok(Command::Say { body: Body::new(text).unwrap(), kind: Kind::Text })
}

fn room_named(name: &str) -> RoomName {
    RoomName::new(name).unwrap()
}

fn refusal(line: &str) -> String {
    match read(line) {
        Err(reason) => reason,
        Ok(command) => panic!("{line:?} is {command:?}"),
    }
}

#[test]
fn only_text_me_say_and_two_slashes_are_sent() {
    assert_eq!(read("hello "), say("hello"));
    assert_eq!(read("  indented"), say("  indented"));
    assert_eq!(read("//etc/hosts"), say("/etc/hosts"));
    assert_eq!(read("/say /quit"), say("/quit"));
    assert_eq!(read("/me waves"), Ok(Command::Say { body: Body::new("waves").unwrap(), kind: Kind::Action }));
    assert_eq!([read(""), read(" \n ")], [Ok(Command::Nothing), Ok(Command::Nothing)]);
    for line in ["/me", "/say", "/etc/hosts is broken", "/", "/ me", "/* a\ncomment */"] {
        refusal(line);
    }
    assert!(refusal("/say ").contains("/say needs a text") && refusal("/me").contains("as in: /me waves"));
    assert!(refusal(&"x".repeat(20_000)).contains("20000 bytes"));
    assert!(refusal("a\u{202e}b").contains("direction"), "{}", refusal("a\u{202e}b"));
}

/// matterhorn #560: half a command was sent as text; convos #428 and echoplexus #207: so was an unknown one.
#[test]
fn a_mistyped_command_is_never_sent_and_the_nearest_is_named() {
    for (line, reason) in [
        ("/joni tea", "did you mean /join?"),
        ("/qiut", "did you mean /quit?"),
        ("/MSG bob my password", "no private messages"),
        ("/m bob hi", "no private messages"),
        ("/nick bob", "hubbub --name NAME"),
        ("/away", "/me is away"),
        ("/kick bob", "no operators"),
        ("/ban bob", "no operators"),
        ("/connect irc.example.org", "hubbub --server ADDRESS"),
        ("/frobnicate", "see /help"),
        ("/quit now", "/quit takes no text"),
        ("/clear all", "takes no text"),
    ] {
        let refusal = refusal(line);
        assert!(refusal.contains(reason), "{refusal}");
        assert_eq!(sent_text(line), None);
    }
}

#[test]
fn commands_have_the_names_of_other_clients() {
    let tea = || room_named("tea");
    for (lines, command) in [
        (vec!["/join tea", "/j #tea", "/JOIN tea "], Command::Join(tea())),
        (vec!["/part", "/leave", "/close", "/wc"], Command::Leave(None)),
        (vec!["/part tea", "/leave #tea"], Command::Leave(Some(tea()))),
        (vec!["/who", "/names", "/n", "/w"], Command::Members(None)),
        (vec!["/names #tea"], Command::Members(Some(tea()))),
        (vec!["/list", "/rooms", "/list #"], Command::Rooms(None)),
        (vec!["/list te", "/list #te"], Command::Rooms(Some("te".to_owned()))),
        (vec!["/quit", "/exit", "/bye", "/signoff", " /quit"], Command::Quit),
        (vec!["/3", "/window 3", "/win 3", "/window goto 3"], Command::Window(3)),
        (vec!["/go tea", "/go #tea", "/window goto tea"], Command::GoByName("tea".to_owned())),
        (vec!["/go"], Command::GoByName(String::new())),
        (vec!["/go #tea/12", "/go tea/12", "/goto tea/0012"], Command::GoTo { room: Some(tea()), seq: 12 }),
        (vec!["/go #12", "/go 12"], Command::GoTo { room: None, seq: 12 }),
        (vec!["/mentions", "/lastlog -hilight", "/last -hilight 20"], Command::Mentions),
        (vec!["/search kettle", "/lastlog kettle"], Command::Change(ChangeCommand::Search("kettle".to_owned()))),
        (vec!["/clear", "/c", "/cl"], Command::Clear),
        (vec!["/mute"], Command::Mute { room: None, muted: true }),
        (vec!["/unmute #tea"], Command::Mute { room: Some(tea()), muted: false }),
        (vec!["/mouse on"], Command::Mouse(Some(true))),
        (vec!["/mouse"], Command::Mouse(None)),
        (vec!["/unread #12", "/unread 12"], Command::MarkUnread(Some(12))),
        (vec!["/copy"], Command::Copy(None)),
        (vec!["/editor two\nlines"], Command::EditOutside("two\nlines".to_owned())),
        (vec!["/unsent drop"], Command::Unsent(Some(Fate::Drop))),
        (vec!["/help"], Command::Help(None)),
        (vec!["/help /part", "/help LEAVE"], Command::Help(Some("leave"))),
        (vec!["/set", "/config"], Command::Settings),
        (vec!["/reconnect"], Command::Reconnect),
        (vec!["/t"], Command::Change(ChangeCommand::ShowTopic)),
        (vec!["/pins", "/pin"], Command::Change(ChangeCommand::Pins)),
        (vec!["/del #7", "/delete 7"], Command::Change(ChangeCommand::Delete { seq: Some(7) })),
        (vec!["/re #7 yes"], Command::Change(ChangeCommand::Reply { seq: 7, text: "yes".to_owned() })),
    ] {
        for line in lines {
            assert_eq!(read(line).as_ref(), Ok(&command), "{line}");
        }
    }
}

#[test]
fn an_argument_that_makes_no_sense_is_refused() {
    for line in [
        "/join",
        "/join a b",
        "/join .hidden",
        "/window",
        "/window 0",
        "/window +3",
        "/0",
        "/99999",
        "/3 x",
        "/go tea/x",
        "/go tea/0",
        "/go a b/3",
        "/go #99999999999999999999",
        "/mouse maybe",
        "/unread tea",
        "/unread 0",
        "/copy tea/3",
        "/unsent maybe",
        "/help frobnicate",
        "/set x 1",
        "/lastlog",
        "/search",
        "/react",
        "/part a b",
    ] {
        assert!(!refusal(line).is_empty());
    }
}

#[test]
fn reactions_have_names() {
    let react = |emoji: &str, seq| {
        Ok(Command::Change(ChangeCommand::React { seq, emoji: Emoji::new(emoji).unwrap(), removed: false }))
    };
    assert_eq!(read("/react :tea: #12"), react("🍵", Some(12)));
    assert_eq!(read("/react #12 :+1:"), react("👍", Some(12)));
    // A word is one too.
    assert_eq!(read("/react tea"), react("tea", None));
    assert_eq!(read("/react :nosuch:"), react(":nosuch:", None));
}

#[test]
fn the_text_of_a_change_can_be_sent() {
    assert!(refusal(&format!("/edit {}", "x".repeat(20_000))).contains("20000 bytes"));
    assert!(refusal(&format!("/reply #1 {}", "x".repeat(20_000))).contains("20000 bytes"));
    assert_eq!(sent_text("/edit hello"), Some("hello"));
    assert_eq!(sent_text("hello"), Some("hello"));
    assert_eq!([sent_text("/join tea"), sent_text("")], [None, None]);
}

/// Every name is one command's, and each command is executed or says why not.
#[test]
fn names_are_unambiguous_and_all_known() {
    let all: Vec<_> = names().collect();
    let refused: Vec<_> = REFUSED.iter().flat_map(|(names, _)| names.split(' ')).collect();
    let unique: HashSet<_> = all.iter().chain(&refused).collect();
    assert_eq!(unique.len(), all.len() + refused.len());
    for name in all {
        let forms = ["", " #1", " on", " 3", " tea", " x #1", " #1 x", " :tea:"]
            .map(|argument| read(&format!("/{name}{argument}")));
        assert!(forms.iter().any(Result::is_ok), "{name}: {forms:?}");
        // The argument of /help is a command.
        assert!(
            name == "help"
                || name == "h"
                || !forms.iter().any(|form| matches!(form, Err(reason) if reason.contains("unknown"))),
            "{name}"
        );
    }
    // The line client's commands mean something here too.
    for name in crate::editing::change_commands::NAMES {
        assert!(usage(name).is_some(), "{name}");
    }
}

proptest! {
    #[test]
    fn what_begins_with_one_slash_is_never_sent_but_by_me_and_say(rest in "\\PC{0,30}") {
        let line = format!("/{rest}");
        if let Ok(Command::Say { .. }) = read(&line) {
            let name = rest.split_whitespace().next().unwrap_or_default().to_lowercase();
            prop_assert!(rest.starts_with('/') || ["me", "say", "action"].contains(&name.as_str()), "{}", line);
        }
    }

    #[test]
    fn any_line_is_read(line in any::<String>()) {
        match read(&line) {
            Ok(Command::Say { body, .. }) => prop_assert!(!body.as_str().trim().is_empty()),
            Err(reason) => prop_assert!(!reason.is_empty()),
            Ok(_) => {}
        }
    }
}
