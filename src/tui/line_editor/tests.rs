//! Tests of the input line.

use proptest::prelude::*;
use unicode_segmentation::UnicodeSegmentation as _;

use super::*;

fn typed(text: &str) -> LineEditor {
    let mut editor = LineEditor::default();
    type_text(&mut editor, text);
    editor
}

fn type_text(editor: &mut LineEditor, text: &str) {
    text.chars().for_each(|c| editor.type_char(c).unwrap());
}

fn edit(editor: &mut LineEditor, edits: &[Edit]) {
    edits.iter().for_each(|&edit| {
        let _ = editor.edit(edit);
    });
}

fn enter(editor: &mut LineEditor, text: &str) {
    editor.replace(text).unwrap();
    assert_eq!(editor.enter(), Some(text));
    assert_eq!(editor.take(), text);
}

/// The text with the cursor as a bar.
fn shown(editor: &LineEditor) -> String {
    let (before, after) = editor.text().split_at(editor.cursor());
    format!("{before}|{after}")
}

fn room(name: &str) -> RoomName {
    RoomName::new(name).unwrap()
}

#[test]
fn a_line_is_edited() {
    let mut editor = typed("one two");
    edit(&mut editor, &[Edit::WordLeft, Edit::Backspace, Edit::NewLine, Edit::LineEnd]);
    assert_eq!(shown(&editor), "one\ntwo|");
    edit(&mut editor, &[Edit::Up, Edit::LineStart, Edit::Delete, Edit::Transpose]);
    assert_eq!(shown(&editor), "|ne\ntwo");
    assert!(!editor.edit(Edit::Left) && editor.edit(Edit::Right));
    assert_eq!(editor.take(), "ne\ntwo");
    assert!(editor.is_empty());
}

#[test]
fn killed_text_is_yanked_also_in_another_room() {
    let (tea, dev) = (room("tea"), room("dev"));
    let mut editor = LineEditor::default();
    editor.switch_to(Some(&tea));
    type_text(&mut editor, "make tea now");
    // Kills that follow each other are one.
    edit(&mut editor, &[Edit::KillBlankWordLeft, Edit::KillWordLeft]);
    assert_eq!(shown(&editor), "make |");
    editor.switch_to(Some(&dev));
    edit(&mut editor, &[Edit::Yank]);
    assert_eq!(shown(&editor), "tea now|");
    edit(&mut editor, &[Edit::LineStart, Edit::KillWordRight, Edit::KillToEnd, Edit::Yank, Edit::Yank]);
    assert_eq!(shown(&editor), "tea nowtea now|");
    edit(&mut editor, &[Edit::WordLeft, Edit::KillToStart]);
    assert_eq!(shown(&editor), "|now");
    edit(&mut editor, &[Edit::Undo, Edit::Undo]);
    assert_eq!(editor.text(), "tea now");
}

/// reedline #955: copying, or a move, was a step of undo of its own, so that the first undo did nothing.
#[test]
fn undo_always_changes_something() {
    let mut editor = typed("abc");
    edit(&mut editor, &[Edit::Left, Edit::LineStart, Edit::Right, Edit::KillToEnd]);
    edit(&mut editor, &[Edit::Left, Edit::LineEnd]);
    assert!(editor.edit(Edit::Undo));
    assert_eq!(editor.text(), "abc");
    assert!(editor.edit(Edit::Undo));
    assert_eq!(editor.text(), "");
    assert!(!editor.edit(Edit::Undo));
}

/// WeeChat #1989: after the line had been deleted, the cursor was beyond its end.
#[test]
fn a_cleared_line_can_be_typed_into_and_restored() {
    let mut editor = typed("abc");
    assert!(editor.clear() && editor.is_empty() && !editor.clear());
    type_text(&mut editor, "def");
    edit(&mut editor, &[Edit::LineEnd, Edit::Left]);
    assert_eq!(shown(&editor), "de|f");
    edit(&mut editor, &[Edit::LineEnd, Edit::Yank]);
    assert_eq!(shown(&editor), "defabc|");
    assert!(editor.clear());
    edit(&mut editor, &[Edit::Undo]);
    assert_eq!(editor.text(), "defabc");
}

#[test]
fn each_room_has_a_draft_and_a_history() {
    let (tea, dev) = (room("tea"), room("dev"));
    let mut editor = LineEditor::default();
    editor.switch_to(Some(&tea));
    enter(&mut editor, "in tea");
    type_text(&mut editor, "draft of tea");
    editor.switch_to(Some(&dev));
    assert!(editor.is_empty());
    enter(&mut editor, "in dev");
    assert!(editor.edit(Edit::Up));
    assert_eq!(editor.text(), "in dev");
    assert!(!editor.edit(Edit::Up));
    // The history of all rooms begins with its newest line.
    edit(&mut editor, &[Edit::UpInAll, Edit::UpInAll]);
    assert_eq!(editor.text(), "in tea");
    edit(&mut editor, &[Edit::DownInAll, Edit::DownInAll]);
    assert!(editor.is_empty());
    editor.switch_to(Some(&tea));
    assert_eq!(shown(&editor), "draft of tea|");
    // What replaces a draft is none.
    edit(&mut editor, &[Edit::Up]);
    assert_eq!(editor.drafts().collect::<Vec<_>>(), [(Some(&tea), "draft of tea")]);
    edit(&mut editor, &[Edit::Down]);
    assert_eq!(editor.forget(&tea).as_deref(), Some("draft of tea"));
    assert!(editor.is_empty() && editor.forget(&tea).is_none());
}

/// Looking through the history must not cost the draft, nor the changes to a line of it.
#[test]
fn a_changed_line_of_the_history_can_be_restored() {
    let mut editor = LineEditor::default();
    ["one", "two"].iter().for_each(|line| enter(&mut editor, line));
    type_text(&mut editor, "draft");
    edit(&mut editor, &[Edit::Up]);
    type_text(&mut editor, "!!");
    edit(&mut editor, &[Edit::Up]);
    assert_eq!(editor.text(), "one");
    edit(&mut editor, &[Edit::Undo]);
    assert_eq!(editor.text(), "two!!");
}

/// irssi #462, jackline #121, xchataqua #163: Up and Down cost the typed text, with an empty history or at its end.
#[test]
fn up_and_down_never_cost_the_typed_text() {
    for before in [&[][..], &["one"]] {
        let mut editor = LineEditor::default();
        before.iter().for_each(|line| enter(&mut editor, line));
        type_text(&mut editor, "typed");
        for edits in [[Edit::Up, Edit::Down], [Edit::Down, Edit::Down], [Edit::UpInAll, Edit::DownInAll]] {
            edit(&mut editor, &edits);
            assert_eq!(shown(&editor), "typed|");
        }
    }
}

/// reedline #294, #899, #999: a recalled text of several rows had the cursor in its first row, or jumped.
#[test]
fn a_recalled_text_has_the_cursor_at_its_end() {
    let mut editor = LineEditor::default();
    enter(&mut editor, "one\ntwo\nthree");
    edit(&mut editor, &[Edit::Up]);
    assert_eq!(shown(&editor), "one\ntwo\nthree|");
    edit(&mut editor, &[Edit::Up, Edit::Up, Edit::Right]);
    assert_eq!(shown(&editor), "one\n|two\nthree");
}

#[test]
fn up_goes_through_rows_before_the_history() {
    let mut editor = LineEditor::default();
    enter(&mut editor, "before");
    type_text(&mut editor, "a");
    edit(&mut editor, &[Edit::NewLine]);
    type_text(&mut editor, "b");
    edit(&mut editor, &[Edit::Up]);
    assert_eq!(shown(&editor), "a|\nb");
    edit(&mut editor, &[Edit::Up]);
    assert_eq!(shown(&editor), "before|");
    edit(&mut editor, &[Edit::Down]);
    assert_eq!(shown(&editor), "a\nb|");
}

#[test]
fn a_search_finds_older_and_older_lines() {
    let mut editor = LineEditor::default();
    ["make tea", "drink tea", "make coffee"].iter().for_each(|line| enter(&mut editor, line));
    type_text(&mut editor, "draft");
    editor.edit(Edit::SearchHistory);
    assert!(!editor.is_empty());
    type_text(&mut editor, "TEA");
    assert_eq!(editor.searching(), Some(Searching { pattern: "TEA", failed: false }));
    assert_eq!(shown(&editor), "drink tea|");
    assert!(editor.edit(Edit::SearchHistory));
    assert_eq!(editor.text(), "make tea");
    // More of the pattern keeps the line, if that has it too.
    type_text(&mut editor, " ");
    assert!(editor.searching().unwrap().failed && editor.edit(Edit::Backspace));
    assert_eq!(editor.text(), "drink tea");
    editor.edit(Edit::Backspace);
    editor.edit(Edit::SearchHistory);
    assert_eq!(editor.text(), "make tea");
    type_text(&mut editor, "a");
    assert_eq!(editor.text(), "make tea");
    // The last one found stays.
    assert!(!editor.edit(Edit::SearchHistory));
    assert_eq!((editor.searching().unwrap().failed, editor.text()), (true, "make tea"));
    assert_eq!(editor.drafts().map(|(_, draft)| draft).collect::<Vec<_>>(), ["draft"]);
    // Enter takes it, and does not send it yet.
    assert_eq!(editor.enter(), None);
    assert_eq!(editor.enter(), Some("make tea"));
    edit(&mut editor, &[Edit::Undo]);
    assert_eq!(editor.text(), "draft");
}

#[test]
fn a_search_is_shortened_cancelled_or_left_with_another_key() {
    let mut editor = LineEditor::default();
    ["make tea", "make coffee"].iter().for_each(|line| enter(&mut editor, line));
    type_text(&mut editor, "draft");
    editor.edit(Edit::SearchHistory);
    type_text(&mut editor, "make tx");
    assert_eq!((editor.searching().unwrap().failed, editor.text()), (true, "make tea"));
    assert!(editor.edit(Edit::Backspace));
    assert_eq!((editor.searching().unwrap().failed, editor.text()), (false, "make tea"));
    assert!(editor.cancel() && !editor.cancel());
    assert_eq!(shown(&editor), "draft|");
    editor.edit(Edit::SearchHistory);
    type_text(&mut editor, "coff");
    edit(&mut editor, &[Edit::LineStart]);
    assert_eq!((shown(&editor).as_str(), editor.searching()), ("|make coffee", None));
    // Another room, and Ctrl-C, cancel it.
    editor.edit(Edit::SearchHistory);
    editor.switch_to(Some(&room("tea")));
    editor.switch_to(None);
    assert_eq!(shown(&editor), "|make coffee");
    editor.edit(Edit::SearchHistory);
    assert!(editor.clear());
    assert_eq!(editor.text(), "make coffee");
}

#[test]
fn tab_completes_until_another_key_is_pressed() {
    let names = |_: Wanted| vec!["bob".to_owned(), "bo".to_owned()];
    let mut editor = typed("hi b");
    for text in ["hi bob ", "hi bo ", "hi b", "hi bob "] {
        assert!(editor.complete(false, names));
        assert_eq!(editor.text(), text);
    }
    assert_eq!(editor.completing().unwrap().1, Some(0));
    // Escape ends it, with what it shows.
    assert!(editor.cancel() && editor.completing().is_none());
    type_text(&mut editor, "x");
    assert!(!editor.complete(true, names));
    edit(&mut editor, &[Edit::Undo, Edit::Undo]);
    assert_eq!(editor.text(), "hi b");
    // irssi #1176: the cursor stayed behind when blanks followed a completed word.
    let mut editor = typed("b");
    editor.complete(false, names);
    type_text(&mut editor, "  x");
    assert_eq!(shown(&editor), "bob:   x|");
}

#[test]
fn a_text_that_does_not_fit_is_refused_as_a_whole() {
    let mut editor = typed("draft");
    let long = "x".repeat(TEXT_BYTES_MAX);
    assert_eq!(editor.insert(&long), Err(DoesNotFit { bytes: 5 }));
    assert_eq!(editor.replace(&"x".repeat(REPLACED_BYTES_MAX + 2)), Err(DoesNotFit { bytes: 2 }));
    assert_eq!(editor.text(), "draft");
    assert_eq!(editor.insert(&long[5..]), Ok(()));
    assert!(editor.type_char('x').is_err() && !editor.edit(Edit::NewLine));
    assert_eq!(editor.counter(), Some(Counter { bytes: TEXT_BYTES_MAX, bytes_max: BODY_BYTES_MAX }));
    // A paste is one change.
    edit(&mut editor, &[Edit::Undo]);
    assert_eq!((editor.text(), editor.counter()), ("draft", None));
    editor.replace(&format!("/me {}", "x".repeat(BODY_BYTES_MAX - 100))).unwrap();
    assert_eq!(editor.counter().unwrap().bytes, BODY_BYTES_MAX - 100);
}

/// A text of `$EDITOR` that was longer than the input takes was lost.
#[test]
fn a_long_text_of_the_editor_is_kept_and_can_be_shortened() {
    let mut editor = typed("draft");
    let long = "é\n".repeat(TEXT_BYTES_MAX / 2);
    assert_eq!(editor.replace(&long), Ok(()));
    assert!(editor.type_char('x').is_err() && editor.edit(Edit::Backspace) && editor.edit(Edit::KillBlankWordLeft));
    assert_eq!(editor.counter().map(|counter| counter.bytes > BODY_BYTES_MAX), Some(true));
    edit(&mut editor, &[Edit::Undo, Edit::Undo, Edit::Undo]);
    assert_eq!(editor.text(), "draft");
}

#[test]
fn a_rejected_text_comes_back() {
    let (tea, dev) = (room("tea"), room("dev"));
    let mut editor = LineEditor::default();
    editor.switch_to(Some(&tea));
    enter(&mut editor, "rejected");
    assert!(editor.give_back(Some(&tea), "rejected"));
    assert_eq!(shown(&editor), "rejected|");
    // Never over another text.
    assert!(!editor.give_back(Some(&tea), "second"));
    assert_eq!(shown(&editor), "rejected|");
    edit(&mut editor, &[Edit::Up]);
    assert_eq!(editor.text(), "second");
    // Nor over a draft that the history hides, nor under a search.
    edit(&mut editor, &[Edit::Up, Edit::KillToStart]);
    assert_eq!(editor.text(), "");
    assert!(!editor.give_back(Some(&tea), "third"));
    edit(&mut editor, &[Edit::Down]);
    editor.edit(Edit::SearchHistory);
    assert!(!editor.give_back(Some(&tea), "fourth"));
    // A room that is not shown.
    assert!(editor.give_back(Some(&dev), "fifth"));
    editor.switch_to(Some(&dev));
    assert_eq!(shown(&editor), "fifth|");
}

fn any_edit() -> impl Strategy<Value = Edit> {
    prop::sample::select(vec![
        Edit::Left,
        Edit::Right,
        Edit::WordLeft,
        Edit::WordRight,
        Edit::LineStart,
        Edit::LineEnd,
        Edit::Up,
        Edit::Down,
        Edit::UpInAll,
        Edit::DownInAll,
        Edit::SearchHistory,
        Edit::NewLine,
        Edit::Backspace,
        Edit::Delete,
        Edit::KillWordLeft,
        Edit::KillBlankWordLeft,
        Edit::KillWordRight,
        Edit::KillToStart,
        Edit::KillToEnd,
        Edit::Yank,
        Edit::Transpose,
        Edit::Undo,
    ])
}

#[derive(Clone, Debug)]
enum Step {
    Type(char),
    Edit(Edit),
    Insert(String),
    Switch(usize),
    Complete(bool),
    Cancel,
    Clear,
    Enter,
    GiveBack(String),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => "[a é世👍\u{301}\u{200d}:/@#]".prop_map(|c| Step::Type(c.chars().next().unwrap())),
        6 => any_edit().prop_map(Step::Edit),
        1 => "[a世\n]{0,8}".prop_map(Step::Insert),
        1 => (0..3usize).prop_map(Step::Switch),
        1 => any::<bool>().prop_map(Step::Complete),
        1 => Just(Step::Cancel),
        1 => Just(Step::Clear),
        1 => Just(Step::Enter),
        1 => "[b]{1,4}".prop_map(Step::GiveBack),
    ]
}

proptest! {
    /// Whatever is pressed, the cursor is at a grapheme, and the text fits.
    #[test]
    fn any_keys_leave_a_line_that_can_be_shown(steps in proptest::collection::vec(any_step(), 0..60)) {
        let rooms = [None, Some(room("tea")), Some(room("dev"))];
        let names = |_: Wanted| vec!["bob".to_owned(), "世界".to_owned(), "a\u{301}b".to_owned()];
        let mut editor = LineEditor::default();
        for step in steps {
            match step {
                Step::Type(c) => drop(editor.type_char(c)),
                Step::Edit(edit) => {
        let _ = editor.edit(edit);
    },
                Step::Insert(text) => drop(editor.insert(&text)),
                Step::Switch(at) => editor.switch_to(rooms[at].as_ref()),
                Step::Complete(back) => drop(editor.complete(back, names)),
                Step::Cancel => drop(editor.cancel()),
                Step::Clear => drop(editor.clear()),
                Step::Enter => drop(editor.enter().is_some().then(|| editor.take())),
                Step::GiveBack(text) => drop(editor.give_back(rooms[1].as_ref(), &text)),
            }
            let (text, cursor) = (editor.text(), editor.cursor());
            let is_start = text.grapheme_indices(true).any(|(at, _)| at == cursor);
            prop_assert!(is_start || cursor == text.len(), "{:?} {}", text, cursor);
            prop_assert!(text.len() <= TEXT_BYTES_MAX);
        }
    }

    /// Undo leads back to the start, through texts that differ.
    #[test]
    fn undo_leads_back_to_the_start(steps in proptest::collection::vec(any_edit(), 0..30), text in "[a é世\n]{0,20}") {
        let mut editor = LineEditor::default();
        editor.insert(&text).unwrap();
        let mut before = None;
        for step in steps {
            editor.edit(step);
        }
        editor.cancel();
        while editor.edit(Edit::Undo) {
            prop_assert_ne!(before.as_deref(), Some(editor.text()));
            before = Some(editor.text().to_owned());
        }
        prop_assert_eq!(editor.text(), "");
    }
}
