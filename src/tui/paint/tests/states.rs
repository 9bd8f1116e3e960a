//! The states of the screen.

use super::scenes::*;
use super::*;
use crate::client::{Extras, Gap, GapReason, LoggedChange};
use crate::names::{EVERYBODY, Kind, MessageId};
use crate::tui::entry::{Pending, Tone};
use crate::tui::room::tests::{joined, message};
use crate::tui::room::{Scroll, Step};

#[test]
fn an_empty_room() {
    let mut empty = room(None);
    joined(&mut empty, 0, 1);
    empty.caught_up(0);
    check("empty", &view(), Some(empty));
}

#[test]
fn the_first_start() {
    let view = View {
        welcome: [
            "Welcome to Hubbub",
            "",
            "The server at 127.0.0.1:5000 answers. What is your name here?",
            "",
            "Enter accepts the name below. It is remembered for this server.",
        ]
        .map(str::to_owned)
        .into(),
        status: StatusLine { time: "21:03".to_owned(), ..StatusLine::default() },
        input: Input { prompt: "Your name: ".to_owned(), text: "ann".to_owned(), cursor: 3, ..Input::default() },
        ..View::default()
    };
    check("first-start", &view, None);
}

#[test]
fn a_busy_room() {
    check("busy", &view(), Some(room_with(None, &busy())));
}

#[test]
fn a_line_marks_what_was_read() {
    check("unread", &view(), Some(room_with(Some(56), &busy())));
}

#[test]
fn mentions_are_emphasized() {
    let mut room = room_with(None, &busy()[..6]);
    let mention = |names: &[&str]| Extras {
        mentions: names.iter().map(|name| (*name).to_owned()).collect(),
        ..Extras::default()
    };
    room.message(with(7, "bob", "@ann, can you look? @cat knows it too", mention(&["ann", "cat"])), false);
    room.message(with(8, "cat", "@all: lunch", mention(&[EVERYBODY])), false);
    room.message(message(9, "dan", "I asked Ann already"), false);
    let view = view();
    check("mentions", &view, Some(room.clone()));
    check_styles("mentions-styles", &view, room);
}

#[test]
fn gaps_are_named() {
    let mut room = room(Some(3));
    joined(&mut room, 20, 10);
    room.gap(&Gap { from_seq: 4, to_seq: 9, reason: GapReason::Retention });
    room.message(message(10, "bob", "hello again"), false);
    room.gap(&Gap { from_seq: 11, to_seq: 18, reason: GapReason::Damaged });
    room.message(message(19, "bob", "and the rest"), false);
    room.caught_up(20);
    check("gap", &view(), Some(room));
}

#[test]
fn own_messages_on_their_way() {
    let mut room = room_with(None, &busy()[..4]);
    let pending = |id: u8, body: &str, kind: Kind, failed: Option<&str>| Pending {
        id: MessageId::from_bytes([id; 16]),
        body: body.to_owned(),
        kind,
        reply_to: None,
        failed: failed.map(str::to_owned),
    };
    room.post(pending(201, "this one is on its way", Kind::Text, None));
    room.post(pending(202, "waves", Kind::Action, None));
    room.post(pending(203, "and this one is too much", Kind::Text, Some("too many messages: wait 3 s")));
    let mut view = view();
    view.status.pending = 2;
    check("pending", &view, Some(room));
}

#[test]
fn edited_and_deleted_messages() {
    let mut room = room_with(None, &busy()[..8]);
    let by = || person("bob");
    room.changed(
        9,
        0,
        &LoggedChange::Edited { message_seq: 3, body: "which branch, and when?".to_owned(), mentions: vec![] },
    );
    room.changed(10, 0, &LoggedChange::Deleted { message_seq: 1, by: by() });
    room.changed(11, 0, &LoggedChange::Deleted { message_seq: 7, by: by() });
    room.changed(12, message(12, "", "").time_ms, &LoggedChange::Room { by: by(), topic: Some("Coffee!".to_owned()) });
    room.changed(13, message(13, "", "").time_ms, &pinned(2));
    check("changed", &view(), Some(room));
}

#[test]
fn replies_and_reactions() {
    let mut room = room_with(None, &busy()[..6]);
    room.message(with(7, "cat", "after", Extras { reply_to: Some(6), ..Extras::default() }), false);
    room.message(with(8, "bob", "I agree", reactions(&[("👍", &["ann", "cat", "dan"]), ("🎉", &["cat"])])), false);
    let both = Extras { reply_to: Some(4711), ..reactions(&[("❤️", &["bob"])]) };
    room.message(with(9, "dan", "an old story", both), false);
    room.message(action(10, "cat", "purrs"), false);
    check("replies", &view(), Some(room));
}

#[test]
fn a_long_text_is_folded() {
    let long: Vec<_> = (1..=60).map(|line| format!("line {line} of a log that nobody wants to see in full")).collect();
    let mut room = room_with(None, &[("bob", "the log:"), ("bob", &long.join("\n")), ("ann", "thanks")]);
    check("folded", &view(), Some(room.clone()));
    room.toggle_fold(2);
    check("unfolded", &view(), Some(room));
}

#[test]
fn without_a_connection() {
    let mut view = view();
    view.status.connection = Connection::Offline { reason: "connection refused".to_owned(), retry_seconds: Some(5) };
    view.status.pending = 3;
    check("offline", &view, Some(room_with(None, &busy())));
    view.status.connection = Connection::Held { reason: "the disk is full".to_owned(), retry_seconds: None };
    check("held", &view, Some(room_with(None, &busy())));
    view.status.connection = Connection::Connecting { server: "chat.example.org".to_owned() };
    check("connecting", &view, None);
}

#[test]
fn behind() {
    let mut view = view();
    view.status.behind = 4711;
    view.status.lag_ms = Some(1234);
    check("behind", &view, Some(room_with(None, &busy())));
}

#[test]
fn folded_lists_and_a_bare_screen() {
    let folded = View { shows_rooms: false, shows_people: false, ..view() };
    check("lists-folded", &folded, Some(room_with(None, &busy())));
    check("bare", &View { bare: true, ..view() }, Some(room_with(None, &busy())));
}

#[test]
fn scrolled_up_with_a_chosen_message() {
    let mut room = room_with(None, &busy());
    filled(&view(), Some(&mut room), 80, 24);
    room.scroll(Scroll::Rows(-30));
    filled(&view(), Some(&mut room), 80, 24);
    assert!(room.select(Step::Older) && room.select(Step::Older));
    let mut view = view();
    view.status.mode = Some("select".to_owned());
    check("scrolled", &view, Some(room.clone()));
    check_styles("scrolled-styles", &view, room);
}

#[test]
fn joins_days_and_notices() {
    let mut room = room_with(None, &busy()[..3]);
    let at = |seq: u64| message(seq, "", "").time_ms;
    room.presence(at(4), "cat", true);
    room.presence(at(4), "dan", true);
    room.presence(at(5), "bob", false);
    room.message(message(4 + 24 * 60, "cat", "a day later"), false);
    room.notice(at(5 + 24 * 60), "this is only for you: see /help", Tone::Notice);
    room.notice(at(5 + 24 * 60), "can't read the members: the call took longer than 10 s", Tone::Error);
    check("notices", &view(), Some(room));
}

#[test]
fn a_list_of_results() {
    let item = |place: &str, name: &str, text: &str| ListItem {
        place: place.to_owned(),
        name: name.to_owned(),
        text: text.to_owned(),
    };
    let items = (1..=40).map(|n| {
        item(&format!("tea #{n}  Thursday, 20:{n:02}"), "bob", "the kettle boils, and it whistles\nin two lines")
    });
    let list = List {
        title: "kettle: 40 messages".to_owned(),
        items: items.collect(),
        chosen: 30,
        empty: String::new(),
        hint: "Enter shows it in its room, Esc closes the list".to_owned(),
    };
    check("results", &View { overlay: Some(Overlay::List(list)), ..view() }, Some(room_with(None, &busy())));
    let list = List { title: "kettle".to_owned(), empty: "nothing found".to_owned(), ..List::default() };
    check("no-results", &View { overlay: Some(Overlay::List(list)), ..view() }, Some(room_with(None, &busy())));
}

fn help() -> Help {
    let lines = [
        ("Rooms", ""),
        ("Alt-1 … Alt-9, Alt-0", "show a room by its number"),
        ("Ctrl-N, Ctrl-P", "show the next or the previous room"),
        ("Alt-a", "show the next room with something new: mentions first, and at the end the room where you were"),
        ("Reading", ""),
        ("PgUp, PgDn", "scroll"),
        ("Alt-u", "scroll to the line of unread messages"),
    ];
    let lines = lines.iter().cycle().take(40).map(|(keys, text)| ((*keys).to_owned(), (*text).to_owned()));
    Help { title: "Keys".to_owned(), lines: lines.collect(), scroll: 3 }
}

#[test]
fn help_is_shown() {
    check("help", &View { overlay: Some(Overlay::Help(help())), ..view() }, Some(room_with(None, &busy())));
}

#[test]
fn a_question_about_a_paste() {
    let choice = |key: &str, text: &str| (key.to_owned(), text.to_owned());
    let question = Question {
        title: "Paste 12 lines (310 bytes)?".to_owned(),
        text: (1..=12).map(|n| format!("fn line_{n}() {{ println!(\"{n}\"); }}")).collect(),
        choices: vec![
            choice("Enter", "as one message"),
            choice("e", "edit first"),
            choice("l", "12 messages, one for each line"),
            choice("Esc", "cancel"),
        ],
    };
    check("question", &View { overlay: Some(Overlay::Question(question)), ..view() }, Some(room_with(None, &busy())));
}

#[test]
fn an_error_and_a_long_input() {
    let mut view = view();
    view.answer = Some(Answer { text: "no command /jion: did you mean /join?".to_owned(), is_error: true });
    let text = "a text that is long enough for several rows, ".repeat(8) + "\nwith a second line";
    view.input = Input { cursor: text.len(), text, counter: Some((16_002, 16_384)), ..view.input };
    check("error", &view, Some(room_with(None, &busy())));
}

#[test]
fn right_to_left_and_wide_text() {
    let messages = [
        ("שירה", "שלום לכולם, מה שלומכם?"),
        ("علی", "سلام، می\u{200c}خواهم چای"),
        ("世界", "全角文字と半角ｶﾅﾞ、絵文字👍も。とても長い文は次の行に続きます。とても長い文は次の行に続きます。"),
        ("นก", "สวัสดีค่ะ ทุกคน"),
        ("रवि", "नमस्ते, क्षत्रिय"),
        ("ann", "mixed: שלום 12 (x) and back"),
    ];
    let mut view = view();
    view.topic.topic = "שלום".to_owned();
    view.input.text = "世世 שלום".to_owned();
    view.input.cursor = view.input.text.len();
    check("scripts", &view, Some(room_with(None, &messages)));
}

#[test]
fn hostile_text() {
    let mut view = view();
    view.topic.topic = "\u{1b}]0;x\u{7}\u{202e}topic".to_owned();
    view.topic.room = "\u{1b}[2J".to_owned();
    view.rooms[2].name = "a\u{1b}[31mb".to_owned();
    view.people[1].name = "x\u{9b}2Jy".to_owned();
    view.answer = Some(Answer { text: "\u{1b}c\nreset".to_owned(), is_error: true });
    check("hostile", &view, Some(room_with(None, &HOSTILE)));
}

mod any_size {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// No size is too small to draw, and the cursor is on the screen.
        #[test]
        fn every_size_is_drawn(columns in 1..210u16, rows in 1..70u16, overlay in 0..4usize, bare: bool) {
            let mut room = room_with(Some(3), &HOSTILE);
            let list = List { items: vec![ListItem::default(); 3], chosen: 2, ..List::default() };
            let question = Question { choices: vec![("x".to_owned(), "y".to_owned()); 5], ..Question::default() };
            let overlay = [
                None,
                Some(Overlay::List(list)),
                Some(Overlay::Help(help())),
                Some(Overlay::Question(question)),
            ][overlay].clone();
            let view = View { bare, overlay, answer: Some(Answer { text: "x".to_owned(), is_error: true }), ..view() };
            let view = filled(&view, Some(&mut room), columns, rows);
            let (buffer, cursor) = painted(&view, columns, rows);
            prop_assert!(cursor.is_none_or(|cursor| cursor.x < columns && cursor.y < rows));
            for row in buffer.content.chunks(usize::from(columns)) {
                // Every wide character has its cells.
                let mut at = 0;
                while at < row.len() {
                    at += crate::tui::width::cluster_columns(row[at].symbol()).max(1);
                }
                prop_assert_eq!(at, row.len());
            }
        }
    }
}
