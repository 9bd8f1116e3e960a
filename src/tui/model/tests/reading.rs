//! Mentions, gaps, what is kept, and the rows of the input.

use super::*;
use crate::client::{FoundMessage, Gap, GapReason, SearchPage};
use crate::names::EVERYBODY;

/// The search that was asked for: the number of the call, the words and the token.
fn searched(desk: &mut Desk) -> Option<(u64, String, String)> {
    desk.requests().into_iter().find_map(|request| match request {
        Outgoing::Call(number, Call::Search { query, page_token, .. }) => Some((number, query.text, page_token)),
        _ => None,
    })
}

fn found(desk: &mut Desk, number: u64, messages: Vec<(&str, StoredMessage)>, next: &str) {
    let messages = messages.into_iter().map(|(room, message)| FoundMessage { room: room.to_owned(), message });
    let page = SearchPage { found: messages.collect(), next_page_token: next.to_owned(), behind_count: 0 };
    desk.model.handle(Incoming::Answer(number, Answer::Search(Ok(page))), Instant::now());
}

fn mention(seq: u64, body: &str, name: &str) -> StoredMessage {
    let mut message = StoredMessage { time_ms: 1_600_000_000_000 + seq, ..message(seq, "bob", body) };
    message.extras.mentions = vec![name.to_owned()];
    message
}

#[test]
fn mentions_are_those_in_memory_and_those_of_the_search() {
    let mut desk = Desk::in_rooms(&["lobby"]);
    desk.says("lobby", 1, "bob", "hi ann, new");
    desk.says("lobby", 2, "bob", "about nobody");
    desk.types("/mentions\r");
    desk.shows("1 mention, searching the server");
    desk.shows("hi ann, new");
    let (number, words, token) = searched(&mut desk).expect("a search");
    assert_eq!((words.as_str(), token.as_str()), ("\"ann\"", ""));
    // What only has the word, was deleted, or is one's own, is no mention. What is known already is listed once.
    let mut deleted = mention(8, "gone", "ann");
    deleted.extras.deleted_by = Some(crate::client::Person { name: "bob".to_owned(), authenticated: false });
    let own = StoredMessage { sender: "ann".to_owned(), ..mention(9, "ann is me", "ann") };
    let twice = message(1, "bob", "hi ann, new");
    let old = mention(7, "@ann, old", "ann");
    found(&mut desk, number, vec![("lobby", twice), ("attic", old), ("attic", deleted), ("attic", own)], "more");
    desk.shows("2 mentions, searching");
    let (number, _, token) = searched(&mut desk).expect("the next page");
    assert_eq!(token, "more");
    found(&mut desk, number, Vec::new(), "");
    // Everybody was called.
    let (number, words, _) = searched(&mut desk).expect("another search");
    assert_eq!(words, "\"all\"");
    let all = mention(3, "@all: tea", EVERYBODY);
    found(&mut desk, number, vec![("attic", all), ("attic", message(4, "bob", "all is well"))], "");
    let (number, words, _) = searched(&mut desk).expect("another search");
    assert_eq!(words, "\"everybody\"");
    found(&mut desk, number, Vec::new(), "");
    assert_eq!(searched(&mut desk), None);
    desk.hides("all is well");
    desk.hides("gone");
    let rows = desk.screen();
    assert!(rows.iter().any(|row| row.contains("3 mentions") && !row.contains("searching")), "{rows:?}");
    // By their time, the newest last; the first is of a room that is not joined.
    let at = |part: &str| rows.iter().position(|row| row.contains(part)).expect("it is listed");
    assert!(at("@all: tea") < at("@ann, old") && at("@ann, old") < at("hi ann, new"));
    desk.model.handle(Incoming::Key(KeyEvent::new(KeyCode::Home, KeyModifiers::NONE)), Instant::now());
    desk.types("\r");
    assert!(
        desk.requests()
            .iter()
            .any(|request| matches!(request, Outgoing::Join { room, .. } if room.as_str() == "attic"))
    );
    desk.shows("[attic]");
}

#[test]
fn a_list_of_mentions_says_what_it_misses() {
    let mut desk = Desk::in_rooms(&["lobby"]);
    desk.says("lobby", 1, "bob", "hi ann");
    desk.types("/mentions\r");
    let (number, ..) = searched(&mut desk).expect("a search");
    let fault = Answer::Search(Err("this server has no search".to_owned()));
    desk.model.handle(Incoming::Answer(number, fault), Instant::now());
    desk.shows("1 mention here, others may be missing: this server has no search");
    assert_eq!(searched(&mut desk), None);
    // Offline, and closed before the answer.
    desk.types("\x1b/mentions\r");
    let (number, ..) = searched(&mut desk).expect("a search");
    desk.types("\x1b");
    found(&mut desk, number, Vec::new(), "more");
    assert_eq!(searched(&mut desk), None);
    desk.net(vec![NetEvent::Disconnected { reason: "lost".to_owned() }]);
    desk.types("/mentions\r");
    desk.shows("others may be missing: there is no connection now");
}

#[test]
fn a_search_that_finds_too_much_ends() {
    let mut desk = Desk::in_rooms(&["lobby"]);
    desk.types("/mentions\r");
    let mut pages = 0;
    while let Some((number, words, _)) = searched(&mut desk) {
        pages += usize::from(words == "\"ann\"");
        assert!(pages < 100);
        let next = format!("{number}");
        let seq = number * 100;
        found(&mut desk, number, (0..50).map(|n| ("lobby", mention(seq + n, "hi", "ann"))).collect(), &next);
    }
    assert_eq!(pages, 20);
    desk.shows("500 mentions, the newest ones");
}

#[test]
fn what_the_user_has_set_is_kept() {
    let mut desk = Desk::in_rooms(&["lobby", "noise"]);
    desk.types("/mute noise\r/numbers on\r");
    desk.model.handle(Incoming::Key(KeyEvent::new(KeyCode::F(7), KeyModifiers::NONE)), Instant::now());
    desk.types("one\r a secret\r/quit\r");
    let kept = desk.kept();
    let muted: Vec<_> = kept.rooms.iter().filter(|room| room.is_muted).map(|room| room.name.as_str()).collect();
    assert_eq!(muted, ["noise"]);
    assert_eq!(kept.look, Look { rooms: false, people: true, numbers: true });
    // A line after a blank is not kept, as in a shell, nor is the last command.
    let lines: Vec<_> = kept.history.iter().map(|line| line.text.as_str()).collect();
    assert_eq!(lines, ["/mute noise", "/numbers on", "one"]);
    let again = |config: Config| {
        let restored = Setup {
            muted: vec![room("noise")],
            look: kept.look,
            history: kept.history.to_vec(),
            config,
            ..setup(&["lobby", "noise"])
        };
        let mut desk = Desk::new(restored);
        desk.net(vec![NetEvent::Connected { fresh: true }]);
        ["lobby", "noise"].iter().for_each(|name| desk.joined(name, 0));
        desk
    };
    let mut desk = again(Config::default());
    desk.hides(" 1 lobby");
    desk.says("lobby", 1, "bob", "hello");
    desk.shows("#1 hello");
    desk.says("noise", 1, "bob", "hi ann");
    assert_eq!(desk.model.take_texts(), Vec::<String>::new());
    desk.model.handle(Incoming::Key(KeyEvent::new(KeyCode::Up, KeyModifiers::NONE)), Instant::now());
    desk.shows("[lobby] one");
    // The config comes first, and then the room is not kept as muted by hand.
    let mut config = Config::default();
    config.screen.rooms = Some(true);
    config.notifications.muted = vec![room("noise")];
    let mut desk = again(config);
    desk.shows(" 1 lobby");
    assert!(desk.kept().rooms.iter().all(|room| !room.is_muted));
    desk.types("/unmute noise\r");
    desk.shows("the config file mutes it again");
}

#[test]
fn a_user_who_wants_no_history_has_none_on_the_disk() {
    let mut config = Config::default();
    config.input.history = false;
    let mut desk = Desk::new(Setup { config, ..setup(&["lobby"]) });
    desk.types("one\r");
    assert!(desk.kept().history.is_empty());
}

#[test]
fn up_and_down_go_by_the_rows_of_the_screen() {
    let mut desk = Desk::in_rooms(&["lobby"]);
    desk.types("first\r");
    desk.model.handle(Incoming::Resized(Size { columns: 28, rows: 24 }), Instant::now());
    // The prompt takes 8 columns, so a row has 20.
    desk.types("0123456789abcdefghijKLMNO");
    let press = |desk: &mut Desk, code| {
        desk.model.handle(Incoming::Key(KeyEvent::new(code, KeyModifiers::NONE)), Instant::now());
    };
    press(&mut desk, KeyCode::Up);
    desk.types("|");
    desk.shows("[lobby] 01234|56789");
    press(&mut desk, KeyCode::Down);
    desk.types("|");
    assert_eq!(desk.model.editor.text(), "01234|56789abcdefghijKLMNO|");
    // Above the first row is the history, and below the last one the text comes back.
    press(&mut desk, KeyCode::Up);
    press(&mut desk, KeyCode::Up);
    desk.shows("[lobby] first");
    press(&mut desk, KeyCode::Down);
    desk.shows("[lobby] 01234|56789");
}

/// Answers all requests for history with this page.
fn answer_pages(desk: &mut Desk, page: &HistoryPage) {
    for _ in 0..3 {
        desk.screen();
        let numbers: Vec<_> = desk.requests().iter().filter_map(call_number).collect();
        for number in numbers {
            desk.model.handle(Incoming::Answer(number, Answer::History(Ok(page.clone()))), Instant::now());
        }
    }
}

fn page(seqs: impl Iterator<Item = u64>, gap: Option<Gap>) -> HistoryPage {
    HistoryPage {
        messages: seqs.map(|seq| message(seq, "bob", &format!("text {seq}."))).collect(),
        gaps: gap.into_iter().collect(),
        last_seq: Some(6),
        epoch: Some(epoch()),
        head_seq: 6,
        oldest_seq: 1,
    }
}

/// A room with a gap, which is selected.
fn at_gap(reason: GapReason) -> Desk {
    let mut desk = Desk::in_rooms(&["lobby"]);
    desk.model.handle(Incoming::Resized(Size { columns: 160, rows: 24 }), Instant::now());
    let gap = Gap { from_seq: 2, to_seq: 5, reason };
    desk.net(vec![NetEvent::Gap { room: room("lobby"), gap }]);
    desk.says("lobby", 6, "bob", "after");
    answer_pages(&mut desk, &page(1..=1, (reason == GapReason::Damaged).then_some(gap)));
    desk.alt('v');
    desk.types("k");
    desk
}

#[test]
fn a_damaged_gap_is_read_again() {
    for is_repaired in [false, true] {
        let mut desk = at_gap(GapReason::Damaged);
        desk.shows("can't be read: the server's log is damaged");
        desk.types("y");
        desk.shows("these messages are missing");
        desk.types("\r");
        desk.shows("reading the missing messages again");
        let gap = Gap { from_seq: 2, to_seq: 5, reason: GapReason::Damaged };
        let seqs = (1..=6).filter(|seq| is_repaired || !(2..=5).contains(seq));
        answer_pages(&mut desk, &page(seqs, (!is_repaired).then_some(gap)));
        match is_repaired {
            true => {
                desk.shows("the messages could be read");
                desk.shows("text 3.");
            }
            false => {
                desk.shows("still can't be read");
                desk.shows("messages 2 to 5 can't be read");
                // It is still selected.
                desk.types("y");
                desk.shows("these messages are missing");
            }
        }
    }
}

#[test]
fn what_is_gone_for_good_is_explained() {
    for (reason, shown, told) in [
        (GapReason::Retention, "messages 2 to 5 are gone", "has deleted these: they can't be read again"),
        (GapReason::EpochChanged, "lost messages 2 to 5", "these messages can't be read again"),
    ] {
        let mut desk = at_gap(reason);
        desk.shows(shown);
        desk.types("\r");
        desk.screen();
        assert!(desk.requests().iter().filter_map(call_number).next().is_none(), "{reason:?}");
        let whole = desk.model.answer.clone().expect("an answer").text;
        assert!(whole.contains(told), "{whole}");
    }
}

/// iamb #291: in a window of screen or tmux that nobody looked at, everything was marked as read.
#[test]
fn a_terminal_that_is_left_alone_reads_nothing() {
    let mut desk = Desk::in_rooms(&["lobby"]);
    let read = |desk: &mut Desk| desk.kept().rooms[0].read.map(|(seq, _)| seq);
    desk.joined("lobby", 1);
    desk.says("lobby", 1, "bob", "one");
    desk.screen();
    assert_eq!(read(&mut desk), Some(1));
    // It has no focus to report, and no key was pressed for a while.
    desk.model.tick(Instant::now() + IDLE_TIME);
    desk.says("lobby", 2, "bob", "hi ann");
    desk.shows("── unread");
    assert_eq!((read(&mut desk), desk.model.take_texts()), (Some(1), vec!["\x07".to_owned()]));
    desk.types("x");
    desk.shows("── unread");
    assert_eq!(read(&mut desk), Some(2));
    // A terminal that reports its focus is believed.
    desk.model.handle(Incoming::Focus(true), Instant::now());
    desk.model.tick(Instant::now() + IDLE_TIME);
    desk.says("lobby", 3, "bob", "three");
    desk.screen();
    assert_eq!(read(&mut desk), Some(3));
    // Not so tmux, which reports that it was attached, and not that another of its windows is shown.
    let tmux = Wrapping::new(|name| (name == "TERM").then(|| "tmux-256color".to_owned()));
    let wrapping = std::mem::replace(&mut desk.model.wrapping, tmux);
    desk.model.handle(Incoming::Focus(true), Instant::now());
    desk.model.tick(Instant::now() + IDLE_TIME);
    assert!(!desk.model.has_focus);
    desk.model.wrapping = wrapping;
    desk.model.handle(Incoming::Focus(true), Instant::now());
    // A link that is interrupted shows nothing.
    desk.model.stalled(true);
    desk.says("lobby", 4, "bob", "four");
    desk.screen();
    assert_eq!(read(&mut desk), Some(3));
    desk.model.stalled(false);
    desk.screen();
    assert_eq!(read(&mut desk), Some(4));
}

/// irssi #1115 is about a window that stays where it is after it was cleared.
#[test]
fn a_cleared_room_is_empty_until_something_comes() {
    let mut desk = Desk::in_rooms(&["lobby", "tea"]);
    desk.says("lobby", 1, "bob", "before");
    desk.screen();
    desk.types("/clear\r");
    desk.hides("before");
    desk.hides("no messages yet");
    desk.alt('2');
    desk.alt('1');
    desk.hides("before");
    desk.types("mine\r");
    desk.says("lobby", 2, "bob", "after");
    desk.shows("mine");
    desk.shows("after");
    desk.hides("before");
    desk.model.handle(Incoming::Key(KeyEvent::new(KeyCode::PageUp, KeyModifiers::NONE)), Instant::now());
    desk.shows("before");
}

/// The end of an answer says what to do.
#[test]
fn a_long_answer_is_shown_as_a_whole() {
    let mut desk = Desk::in_rooms(&["lobby"]);
    desk.types("/msg bob secret\r");
    desk.shows("/msg: this server has no private messages");
    desk.shows("their own: /join ROOM");
    desk.model.handle(Incoming::Resized(Size { columns: 40, rows: 8 }), Instant::now());
    desk.shows("[lobby] /msg bob secret");
    desk.shows("/msg: this server has no private");
}

/// The server reports who joins and leaves only of small rooms.
#[test]
fn of_a_large_room_only_the_number_is_known() {
    let mut desk = Desk::in_rooms(&["lobby"]);
    let state = JoinedState {
        time_ms: 1_700_000_000_000,
        epoch: epoch(),
        head_seq: 0,
        oldest_seq: 1,
        members: 5_000,
        topic: String::new(),
        pinned_seqs: Vec::new(),
    };
    desk.net(vec![NetEvent::Joined { room: room("lobby"), state, again: true }]);
    desk.says("lobby", 1, "bob", "hi");
    desk.model.handle(Incoming::Resized(Size { columns: 120, rows: 24 }), Instant::now());
    desk.shows("5000 people");
    desk.shows("│ and 499");
}

/// A mistyped server is not remembered.
#[test]
fn a_server_counts_once_it_has_answered() {
    let mut desk = Desk::new(setup(&["lobby"]));
    assert!(!desk.kept().has_connected);
    desk.shows("connecting to 127.0.0.1");
    desk.net(vec![NetEvent::Ended(Some("host not found".to_owned()))]);
    assert!(!desk.kept().has_connected);
    desk.shows("no connection to 127.0.0.1: host not found");
    desk.net(vec![NetEvent::Connected { fresh: true }]);
    assert!(desk.kept().has_connected);
}
