//! Tests of pastes.

use crossterm::event::KeyModifiers;
use proptest::prelude::*;

use super::*;

fn plan(raw: &str) -> Plan {
    Paste::new(raw).plan(0)
}

fn question(raw: &str) -> Question {
    match plan(raw) {
        Plan::Ask(question) => question,
        plan => panic!("{plan:?}"),
    }
}

fn insert(text: &str) -> Plan {
    Plan::Insert(text.to_owned())
}

fn choices(question: &Question) -> Vec<(char, Choice)> {
    question.choices().map(|(key, choice, _)| (key, choice)).collect()
}

fn key(c: char) -> KeyEvent {
    KeyEvent::new(KeyCode::Char(c), KeyModifiers::NONE)
}

/// crossterm through tmux passes `a\rb\r`; reedline #576.
#[test]
fn lines_end_in_any_way() {
    assert_eq!(plan("a\rb\r"), insert("a\nb"));
    assert_eq!(plan("a\r\nb\r\n"), insert("a\nb"));
    assert_eq!(plan("a\nb\n\n"), insert("a\nb"));
    assert_eq!(clean("a\r\r\n\nb\u{85}c\u{2028}d"), "a\n\n\nb\nc\nd");
}

/// irssi #668, and every selection of a whole line: the break at its end is not meant, and sends nothing.
#[test]
fn a_whole_line_is_pasted_without_its_break() {
    assert_eq!(plan("cargo test\n"), insert("cargo test"));
    assert_eq!(plan("  indented\n"), insert("  indented"));
    assert_eq!([plan("\n"), plan(""), plan("\u{1b}[201~")], [Plan::Nothing, Plan::Nothing, Plan::Nothing]);
    assert_eq!(plan("  \n"), insert("  "));
}

/// claude-code #43167, pi #3167: with tmux's `extended-keys-format csi-u`, line breaks of a paste arrive as keys.
#[test]
fn keys_within_a_paste_are_their_characters() {
    assert_eq!(clean("a\u{1b}[13;1ub\u{1b}[106;5uc\u{1b}[27;5;106~d"), "a\nb\nc\nd");
    assert_eq!(clean("a\u{1b}[13u\nb\u{1b}[109;5uc"), "a\nb\nc");
    assert_eq!(clean("\u{1b}[9;1ux\u{1b}[65;2u\u{1b}[228u\u{1b}[105;5u"), "\txAä\t");
    // Alt does not change what a key types; keys without characters, other control keys and bad numbers are left out.
    assert_eq!(clean("\u{1b}[97;3ua\u{1b}[99;5u\u{1b}[57358u\u{1b}[99999999999uz\u{1b}[1;0u"), "aaz");
}

#[test]
fn colours_titles_and_controls_are_left_out() {
    assert_eq!(clean("\u{1b}[31mred\u{1b}[0m \u{1b}]0;title\u{7}x\u{1b}]8;;http://a\u{1b}\\y"), "red xy");
    assert_eq!(clean("a\u{0}\u{7}\u{8}\u{7f}\u{9b}31mb\u{1b}c"), "abc");
    // A string without an end is text.
    assert_eq!(clean("\u{1b}]0;open\nnext"), "]0;open\nnext");
    assert_eq!(clean("\u{1b}["), "[");
    let long = "1".repeat(100);
    assert_eq!(clean(&format!("\u{1b}[{long}m")), format!("[{long}m"));
    assert_eq!(clean("\u{1b}[世"), "[世");
    // Blanks and other scripts stay.
    assert_eq!(clean("\tfn main() {\n    é世👍🏽"), "\tfn main() {\n    é世👍🏽");
}

#[test]
fn a_long_paste_is_asked_about() {
    assert_eq!(plan("1\n2\n3\n4\n5\n"), insert("1\n2\n3\n4\n5"));
    let six = question("1\n2\n\n3\n4\n5");
    assert_eq!(six.prompt(), "paste of 6 lines (10 bytes)?");
    let all = [('o', Choice::AsOne), ('e', Choice::Edit), ('m', Choice::OneEach), ('c', Choice::Cancel)];
    assert_eq!(choices(&six), all);
    assert_eq!(six.choice(&key('M')), Some(Choice::OneEach));
    assert_eq!(six.choice(&KeyEvent::new(KeyCode::Esc, KeyModifiers::NONE)), Some(Choice::Cancel));
    assert_eq!(six.choice(&KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)), Some(Choice::Cancel));
    for other in [KeyCode::Enter, KeyCode::Char('x'), KeyCode::Char(' ')] {
        assert_eq!(six.choice(&KeyEvent::new(other, KeyModifiers::NONE)), None, "{other:?}");
    }
    assert_eq!(six.clone().answer(Choice::AsOne), Answer::Insert("1\n2\n\n3\n4\n5".to_owned()));
    assert_eq!(six.clone().answer(Choice::Cancel), Answer::Nothing);
    let Answer::Send(bodies) = six.answer(Choice::OneEach) else { panic!() };
    assert_eq!(bodies.iter().map(|(body, _)| body.as_str()).collect::<Vec<_>>(), ["1", "2", "3", "4", "5"]);
}

/// irssi #426: a paste of one long line asked nothing, and flooded the room.
#[test]
fn a_paste_of_one_long_line_is_asked_about() {
    let long = question(&"x".repeat(ASKED_BYTES));
    assert_eq!(long.prompt(), "paste of 1 line (4096 bytes)?");
    assert_eq!(choices(&long), [('o', Choice::AsOne), ('e', Choice::Edit), ('c', Choice::Cancel)]);
    assert!(matches!(plan(&"x".repeat(ASKED_BYTES - 1)), Plan::Insert(_)));
}

#[test]
fn what_can_not_be_sent_is_not_offered() {
    // More than a message takes, alone or with what is typed.
    let long = question(&"x".repeat(BODY_BYTES_MAX + 1));
    assert_eq!(choices(&long), [('e', Choice::Edit), ('c', Choice::Cancel)]);
    assert!(long.prompt().contains("more than the 16384 bytes of a message"));
    assert!(matches!(Paste::new("abc").plan(BODY_BYTES_MAX - 2), Plan::Ask(_)));
    assert!(matches!(Paste::new("abc").plan(BODY_BYTES_MAX - 3), Plan::Insert(_)));
    // Too many messages, and a line that none can have.
    let offers_each = |raw: &str| question(raw).choices().any(|(_, choice, _)| choice == Choice::OneEach);
    assert!(offers_each(&"x\n".repeat(EACH_MAX)) && !offers_each(&"x\n".repeat(EACH_MAX + 1)));
    assert!(!offers_each(&format!("1\n2\n3\n4\n5\n{}", "x".repeat(BODY_BYTES_MAX + 1))));
    // A line that begins with a slash is text.
    let Answer::Send(bodies) = question("/quit\n2\n3\n4\n5\n6").answer(Choice::OneEach) else { panic!() };
    assert_eq!(bodies[0].0.as_str(), "/quit");
}

/// irssi #942, #980: a paste without an end was collected without bound.
#[test]
fn an_endless_paste_is_cut() {
    let paste = Paste::new(&"世".repeat(PASTE_BYTES_MAX));
    assert_eq!((paste.text.len(), paste.is_cut), (PASTE_BYTES_MAX - 1, true));
}

#[test]
fn a_filter_has_one_line() {
    assert_eq!(Paste::new(" tea\n  and\tcake \r").in_one_line(), "tea and cake");
}

/// A paste with the mark of its own end goes on as keys: its Enter would send it, and `/quit` with Enter would leave.
#[test]
fn keys_at_once_after_a_paste_belong_to_it() {
    let start = Instant::now();
    let at = |milliseconds| start + Duration::from_millis(milliseconds);
    let enter = KeyEvent::new(KeyCode::Enter, KeyModifiers::NONE);
    let control = KeyEvent::new(KeyCode::Char('d'), KeyModifiers::CONTROL);
    let mut watch = PasteWatch::default();
    assert_eq!(watch.belongs(&enter, at(0)), None);
    watch.pasted(at(1));
    assert_eq!(watch.belongs(&key('x'), at(2)), Some(Stray::Text('x')));
    assert_eq!(watch.belongs(&enter, at(20)), Some(Stray::LineBreak));
    // As long as they follow each other.
    assert_eq!(watch.belongs(&control, at(45)), Some(Stray::Nothing));
    assert_eq!(watch.belongs(&enter, at(75)), None);
    assert_eq!(watch.belongs(&enter, at(76)), None);
    // A clock that stands still, or steps back.
    watch.pasted(at(100));
    assert_eq!(watch.belongs(&enter, at(90)), Some(Stray::LineBreak));
}

proptest! {
    #[test]
    fn nothing_in_a_paste_acts(raw in "[a\u{1b}\\[0-9;:u~m\u{7}\r\n\t\u{9b}世]{0,60}") {
        let text = clean(&raw);
        prop_assert!(text.chars().all(|c| !c.is_control() || matches!(c, '\n' | '\t')));
        // Nothing that is visible outside of sequences is lost.
        prop_assert_eq!(raw.matches('世').count(), text.matches('世').count());
        // And nothing else comes of cleaning twice.
        prop_assert_eq!(clean(&text), text);
    }

    #[test]
    fn any_paste_has_a_plan(raw in any::<String>(), typed in 0..20_000usize) {
        match Paste::new(&raw).plan(typed) {
            Plan::Insert(text) => prop_assert!(!text.is_empty() && typed + text.len() <= BODY_BYTES_MAX),
            Plan::Ask(question) => prop_assert!(question.choices().count() >= 2),
            Plan::Nothing => {}
        }
    }
}
