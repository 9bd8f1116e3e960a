//! What the user has entered is neither lost, nor sent twice, nor sent with another meaning.

use super::*;
use crate::terminal::clock::local_ms;

/// A line that an earlier client left so long ago.
fn left(name: &str, body: &str, age: Duration) -> KeptLine {
    let id = MessageId::from_bytes(u128::from(body.bytes().map(u64::from).sum::<u64>()).to_be_bytes());
    let since_ms = local_ms() - age.as_millis() as u64;
    KeptLine { room: room(name), line: Line::new(id, Body::new(body).unwrap(), Kind::Text), since_ms }
}

/// So many of them.
fn many(name: &str, count: u128) -> Vec<KeptLine> {
    let line = |n: u128| {
        let kept = left(name, "x", HOUR);
        KeptLine { line: Line { id: MessageId::from_bytes(n.to_be_bytes()), ..kept.line }, ..kept }
    };
    (0..count).map(line).collect()
}

const HOUR: Duration = Duration::from_secs(60 * 60);

#[test]
fn recent_lines_of_an_earlier_client_are_sent_by_themselves_and_shown_once() {
    let unsent = vec![left("lobby", "first", 11 * HOUR), left("lobby", "second", HOUR), left("lobby", "third", HOUR)];
    let mut desk = Desk::new(Setup { unsent: unsent.clone(), ..setup(&["lobby"]) });
    // They are shown as pending before there is a connection, and stay on the disk.
    desk.shows("third");
    assert_eq!(desk.kept().unsent, unsent);
    desk.types("fourth\r");
    desk.net(vec![NetEvent::Connected { fresh: true }]);
    let posts = desk.posts();
    let bodies: Vec<_> = posts.iter().map(|(_, line)| line.body.as_str()).collect();
    assert_eq!(bodies, ["first", "second", "third", "fourth"]);
    assert!(posts.iter().zip(&unsent).all(|((_, line), kept)| *line == kept.line), "with their own ids");
    desk.joined("lobby", 0);
    desk.shows("sending 3 lines of an earlier chat");
    desk.hides("/unsent");
    for (seq, (_, line)) in posts.iter().enumerate() {
        let message = StoredMessage { id: line.id, ..message(seq as u64 + 1, "ann", line.body.as_str()) };
        desk.net(vec![NetEvent::Message { room: room("lobby"), message: Box::new(message), own: true }]);
    }
    assert!(desk.kept().unsent.is_empty());
    for body in ["first", "second", "third", "fourth"] {
        assert_eq!(desk.screen().iter().filter(|row| row.contains(body)).count(), 1, "{body}");
    }
}

#[test]
fn lines_that_are_too_old_or_of_unknown_age_are_offered() {
    let at = |age: Duration| left("lobby", "kept", age);
    let second = Duration::from_secs(1);
    let in_future = |by: Duration| KeptLine { since_ms: local_ms() + by.as_millis() as u64, ..at(second) };
    for (kept, is_sent) in [
        (at(12 * HOUR - 60 * second), true),
        (at(12 * HOUR), false),
        (at(100 * 24 * HOUR), false),
        // A clock that was corrected, and one that was set back.
        (in_future(10 * second), true),
        (in_future(HOUR), false),
        (KeptLine { since_ms: u64::MAX, ..at(second) }, false),
        (KeptLine { since_ms: 0, ..at(second) }, false),
    ] {
        let since_ms = kept.since_ms;
        let mut desk = Desk::new(Setup { unsent: vec![kept.clone()], ..setup(&["lobby"]) });
        desk.net(vec![NetEvent::Connected { fresh: true }]);
        desk.joined("lobby", 0);
        assert_eq!(desk.posts().len(), usize::from(is_sent), "{since_ms}");
        assert_eq!(desk.screen().iter().any(|row| row.contains("/unsent send")), !is_sent, "{since_ms}");
        assert_eq!(desk.kept().unsent, [kept]);
    }
}

/// The client waits for a connection, and the machine sleeps for days.
#[test]
fn a_line_that_became_too_old_before_there_was_a_session_is_offered() {
    let mut desk = Desk::new(Setup { unsent: vec![left("lobby", "kept", HOUR)], ..setup(&["lobby"]) });
    desk.shows("kept");
    desk.model.sent[0].since_ms -= 12 * 60 * 60 * 1000;
    desk.net(vec![NetEvent::Connected { fresh: true }]);
    desk.joined("lobby", 0);
    assert!(desk.posts().is_empty());
    desk.shows("/unsent send");
    assert_eq!(desk.kept().unsent.len(), 1);
    // The user's decision counts.
    desk.types("/unsent send\r");
    assert_eq!(desk.posts().len(), 1);
    desk.net(vec![NetEvent::Ended(None), NetEvent::Connected { fresh: true }]);
    assert_eq!(desk.posts().len(), 1, "by the next session too");
}

/// The room was left while its line was not stored, or the list of rooms was lost.
#[test]
fn a_line_of_a_room_that_is_not_in_the_list_opens_it() {
    let mut desk = Desk::new(Setup { unsent: vec![left("tea", "kept", HOUR)], ..setup(&["lobby"]) });
    desk.shows("[lobby]");
    desk.net(vec![NetEvent::Connected { fresh: true }]);
    let requests = desk.requests();
    let joined =
        requests.iter().position(|request| matches!(request, Outgoing::Join { room, .. } if room.as_str() == "tea"));
    let posted =
        requests.iter().position(|request| matches!(request, Outgoing::Post { room, .. } if room.as_str() == "tea"));
    assert!(joined.is_some() && joined < posted, "{requests:?}");
    desk.shows("[lobby]");
    desk.alt('2');
    desk.shows("kept");
    // And if the server refuses the room, the line is in its input.
    let reason = "members only".to_owned();
    desk.net(vec![NetEvent::NotJoined { room: room("tea"), reason }]);
    desk.shows("[tea] kept");
    let kept = desk.kept();
    assert!(kept.unsent.is_empty());
    assert_eq!(kept.drafts, [(room("tea"), "kept".to_owned())]);
    // At the next start too, and not in the input of another room.
    let mut desk = Desk::new(Setup { drafts: kept.drafts.clone(), ..setup(&["lobby"]) });
    desk.shows("[lobby]");
    desk.hides("kept");
    desk.alt('2');
    desk.shows("[tea] kept");
}

/// It was stored long ago, so its message is not in the part of the history that is read.
#[test]
fn a_line_that_was_stored_long_ago_is_not_pending_any_more() {
    for caught_up_first in [true, false] {
        let mut desk = Desk::new(Setup { unsent: vec![left("lobby", "kept", HOUR)], ..setup(&["lobby"]) });
        desk.net(vec![NetEvent::Connected { fresh: true }]);
        let (room, id) = (room("lobby"), desk.posts()[0].1.id);
        if caught_up_first {
            desk.joined("lobby", 900);
            desk.shows("kept");
        }
        desk.net(vec![NetEvent::Stored { room, id, seq: 7 }]);
        if !caught_up_first {
            desk.joined("lobby", 900);
        }
        desk.hides("kept");
        assert!(desk.kept().unsent.is_empty());
    }
}

#[test]
fn more_lines_than_may_wait_are_offered_in_their_order() {
    let mut desk = Desk::new(Setup { unsent: many("lobby", 1_002), ..setup(&["lobby"]) });
    let kept = desk.kept();
    assert_eq!(kept.unsent.len(), 1_002, "none is lost");
    desk.types("one more\r");
    desk.shows("1000 messages wait for the server already");
    desk.shows("[lobby] one more");
    desk.net(vec![NetEvent::Connected { fresh: true }]);
    desk.joined("lobby", 0);
    assert_eq!(desk.posts().len(), 1_000);
    desk.types("\x15/unsent\r");
    desk.shows("perhaps not stored");
    assert_eq!(desk.screen().iter().filter(|row| row.ends_with(" x")).count(), 2);
}

/// The answer came back as a new message to everybody.
#[test]
fn a_reply_or_an_edit_that_fails_stays_one() {
    let mut desk = Desk::in_rooms(&["lobby"]);
    desk.says("lobby", 1, "ann", "first");
    desk.types("/edit\r");
    desk.shows("[edit #1] first");
    desk.net(vec![NetEvent::Disconnected { reason: "lost".to_owned() }]);
    desk.types(" thing\r");
    desk.shows("not edited: there is no connection now");
    desk.shows("[edit #1] first thing");
    desk.net(vec![NetEvent::Connected { fresh: false }]);
    desk.requests();
    desk.types("\r");
    let requests = desk.requests();
    let edit = |request: &Outgoing| match request {
        Outgoing::Call(number, Call::Edit { seq: 1, body, .. }) => Some((*number, body.as_str().to_owned())),
        _ => None,
    };
    let (number, body) = requests.iter().find_map(edit).unwrap_or_else(|| panic!("{requests:?}"));
    assert_eq!(body, "first thing");
    // And if the server refuses it, it comes back as an edit.
    let fault = Answer::Changed(Err("it was changed meanwhile".to_owned()));
    desk.model.handle(Incoming::Answer(number, fault), Instant::now());
    desk.shows("it was changed meanwhile");
    desk.shows("[lobby] /edit #1 first thing");
    assert!(desk.posts().is_empty());
    // A reply fails as an edit does.
    let mut desk = Desk::new(Setup { unsent: many("tea", 1_000), ..setup(&["tea", "lobby"]) });
    desk.net(vec![NetEvent::Connected { fresh: true }]);
    desk.alt('2');
    desk.joined("lobby", 0);
    desk.says("lobby", 1, "bob", "tea?");
    desk.screen();
    desk.alt('v');
    desk.types("r");
    desk.shows("[reply to #1]");
    desk.types("yes\r");
    desk.shows("wait for the server already");
    desk.shows("[reply to #1] yes");
}

/// What was typed as a reply was sent as a new message, after a look at another room or another start.
#[test]
fn a_reply_stays_one_in_another_room_and_on_the_disk() {
    let mut desk = Desk::in_rooms(&["lobby", "tea"]);
    desk.says("lobby", 1, "bob", "tea?");
    desk.shows("tea?");
    desk.alt('v');
    desk.types("ryes");
    desk.shows("[reply to #1] yes");
    assert_eq!(desk.kept().drafts, [(room("lobby"), "/reply #1 yes".to_owned())]);
    desk.alt('2');
    desk.shows("[tea]");
    desk.alt('1');
    desk.shows("[lobby] /reply #1 yes");
    desk.types("\r");
    assert_eq!(desk.posts()[0].1.reply_to, Some(1));
}

#[test]
fn text_from_the_editor_is_cleaned() {
    let mut desk = Desk::in_rooms(&["lobby"]);
    desk.types("draft");
    desk.model.handle(Incoming::Edited(Ok("one\r\n\x1b[31mtwo\x07".to_owned())), Instant::now());
    desk.types("\r");
    assert_eq!(desk.posts()[0].1.body.as_str(), "one\ntwo");
    desk.types("draft");
    desk.model.handle(Incoming::Edited(Err("vi has failed".to_owned())), Instant::now());
    desk.shows("[lobby] draft");
    desk.shows("vi has failed");
    // A text that was given to the command is in the input until it comes back.
    desk.types("\x15/editor a plan\r");
    assert!(desk.requests().iter().any(|request| matches!(request, Outgoing::Edit(text) if text == "a plan")));
    desk.shows("[lobby] a plan");
}

const SIX: &str = "1\r2\r3\r4\r5\r6\r";

/// Pastes this, and answers after the question could be read.
fn paste(desk: &mut Desk, text: &str, answer: &str) {
    let now = Instant::now();
    desk.model.handle(Incoming::Paste(text.to_owned()), now);
    for (at, c) in (1_u64..).zip(answer.chars()) {
        desk.key(c, now + Duration::from_secs(at));
    }
}

#[test]
fn a_paste_goes_to_the_editor_where_it_was_pasted() {
    let mut desk = Desk::in_rooms(&["lobby"]);
    desk.types("before after");
    (0..5).for_each(|_| desk.left());
    paste(&mut desk, SIX, "e");
    let requests = desk.requests();
    let text = requests.iter().find_map(|request| match request {
        Outgoing::Edit(text) => Some(text.as_str()),
        _ => None,
    });
    assert_eq!(text, Some("before 1\n2\n3\n4\n5\n6after"));
    // If there is no editor, it is not lost.
    desk.model.handle(Incoming::Edited(Err("can't start vi".to_owned())), Instant::now());
    assert_eq!(desk.model.editor.text(), "before 1\n2\n3\n4\n5\n6after");
}

#[test]
fn a_second_paste_is_added_to_the_first() {
    let mut desk = Desk::in_rooms(&["lobby"]);
    paste(&mut desk, SIX, "");
    paste(&mut desk, "seven\r", "");
    desk.shows("the second paste was added");
    desk.shows("paste of 7 lines");
    // Keys that come faster than a person presses them belong to it.
    let now = Instant::now();
    desk.model.handle(Incoming::Paste("eight".to_owned()), now);
    desk.key('!', now + Duration::from_millis(5));
    desk.key('\r', now + Duration::from_millis(10));
    desk.key('9', now + Duration::from_millis(15));
    desk.key('o', now + Duration::from_secs(1));
    assert_eq!(desk.model.editor.text(), "1\n2\n3\n4\n5\n6\nseven\neight!\n9");
    assert!(desk.posts().is_empty());
    // What does not fit is refused with words.
    let mut desk = Desk::in_rooms(&["lobby"]);
    paste(&mut desk, &"x".repeat(1024 * 1024), "");
    paste(&mut desk, SIX, "");
    desk.shows("the second paste was not added");
}

/// Somebody types on, and has not seen the question.
#[test]
fn keys_during_the_question_send_and_lose_nothing() {
    let mut desk = Desk::in_rooms(&["lobby"]);
    desk.types("I ");
    let now = Instant::now();
    desk.model.handle(Incoming::Paste(SIX.to_owned()), now);
    for (at, c) in (1_u64..).zip("more come\r".chars()) {
        desk.key(c, now + Duration::from_millis(at * 120));
    }
    assert!(desk.requests().iter().all(|request| matches!(request, Outgoing::Keep(_))), "nothing was done");
    desk.shows("paste of 6 lines");
    desk.shows("the paste waits for one of the letters above");
    assert_eq!(desk.model.editor.text(), "I more come");
    // Neither does the end of the program lose it.
    assert_eq!(desk.kept().drafts, [(room("lobby"), "I more come1\n2\n3\n4\n5\n6".to_owned())]);
    for (at, key) in (3..).zip([KeyCode::Up, KeyCode::Backspace, KeyCode::Enter, KeyCode::F(1), KeyCode::PageUp]) {
        let event = KeyEvent::new(key, KeyModifiers::NONE);
        desk.model.handle(Incoming::Key(event), now + Duration::from_secs(at));
    }
    desk.shows("paste of 6 lines");
    desk.key('m', now + Duration::from_secs(20));
    let bodies: Vec<_> = desk.posts().iter().map(|(_, line)| line.body.as_str().to_owned()).collect();
    assert_eq!(bodies, ["1", "2", "3", "4", "5", "6"]);
    assert_eq!(desk.model.editor.text(), "I more come");
    // A cancelled paste can be had again.
    let mut desk = Desk::in_rooms(&["lobby"]);
    paste(&mut desk, SIX, "c");
    desk.shows("Ctrl-Y inserts it");
    desk.types("\x19");
    assert_eq!(desk.model.editor.text(), "1\n2\n3\n4\n5\n6");
}

/// The lines of a paste that were too many for the queue were lost.
#[test]
fn lines_of_a_paste_that_do_not_fit_are_in_the_input() {
    let mut desk = Desk::new(Setup { unsent: many("lobby", 997), ..setup(&["lobby"]) });
    paste(&mut desk, SIX, "m");
    assert_eq!(desk.kept().unsent.len(), 1_000);
    assert_eq!(desk.model.editor.text(), "4\n5\n6");
    desk.shows("3 not sent");
}

#[test]
fn a_paste_over_the_help_is_not_lost() {
    let mut desk = Desk::in_rooms(&["lobby"]);
    desk.types("/help\r");
    paste(&mut desk, "text", "");
    desk.shows("[lobby] text");
}

/// Its lines would never be sent, and would stay pending.
#[test]
fn a_room_with_lines_is_left_only_with_a_connection() {
    let mut desk = Desk::new(setup(&["lobby", "tea"]));
    desk.types("hello\r/leave\r");
    desk.shows("1 line for lobby must be stored first");
    desk.shows("[lobby]");
    assert_eq!(desk.kept().unsent.len(), 1);
}

/// The room was joined before its first message, so its epoch was not known, and the next session began at its start.
#[test]
fn a_new_session_repeats_no_message() {
    let mut desk = Desk::in_rooms(&["lobby"]);
    desk.says("lobby", 1, "bob", "only once");
    desk.net(vec![NetEvent::Ended(None), NetEvent::Connected { fresh: true }]);
    let requests = desk.requests();
    let from = requests.iter().find_map(|request| match request {
        Outgoing::Join { from, .. } => Some(*from),
        _ => None,
    });
    assert_eq!(from, Some(StartAt::After { seq: 1, epoch: None }));
    desk.joined("lobby", 1);
    desk.says("lobby", 1, "bob", "only once");
    assert_eq!(desk.screen().iter().filter(|row| row.contains("only once")).count(), 1);
    // If the server has lost its history, what is new has the numbers of what was lost.
    let mut desk = Desk::in_rooms(&["lobby"]);
    (1..=3).for_each(|seq| desk.says("lobby", seq, "bob", "lost"));
    desk.types("pending\r");
    desk.net(vec![NetEvent::Ended(None), NetEvent::Connected { fresh: true }]);
    desk.joined("lobby", 1);
    desk.says("lobby", 2, "bob", "new");
    desk.shows("new");
    desk.hides("lost");
    desk.shows("pending");
}

/// The place of a file is at the end, and the row of answers is short.
#[test]
fn a_long_failure_is_shown_whole() {
    let mut desk = Desk::in_rooms(&["lobby"]);
    let fault = format!("can't read the text of an editor with a long name: {} in /tmp/here.txt", "reasons ".repeat(5));
    desk.model.handle(Incoming::Edited(Err(fault)), Instant::now());
    desk.shows("/tmp/here.txt");
    // A room without messages is joined again.
    desk.net(vec![NetEvent::Disconnected { reason: "lost".to_owned() }, NetEvent::Connected { fresh: false }]);
    desk.joined("lobby", 0);
    desk.shows("/tmp/here.txt");
}

#[test]
fn the_room_that_is_read_has_nothing_unread() {
    let mut desk = Desk::in_rooms(&["lobby"]);
    desk.says("lobby", 1, "bob", "ann: look");
    desk.hides("@1");
}
