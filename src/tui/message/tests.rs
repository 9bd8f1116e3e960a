use proptest::prelude::*;

use super::super::room::tests::message;
use super::*;
use crate::client::{GapReason, Person, Reaction};
use crate::names::MessageId;
use crate::tui::entry::PresenceChange;

fn style(columns: u16) -> RowStyle {
    RowStyle { zone: Zone::Utc, ..RowStyle::new(columns, "ann") }
}

fn held(message: StoredMessage) -> HeldMessage {
    HeldMessage { message, is_own: false, mentions_me: false }
}

fn texts(rows: &[Styled]) -> Vec<&str> {
    rows.iter().map(Styled::text).collect()
}

fn rows(message: StoredMessage, style: &RowStyle) -> Vec<Styled> {
    Shown { held: &held(message), reply_target: None, is_unfolded: false }.rows(style)
}

fn person(name: &str, authenticated: bool) -> Person {
    Person { name: name.to_owned(), authenticated }
}

#[test]
fn the_columns_follow_the_width() {
    let text = |columns| rows(message(1, "bob", "hi"), &style(columns))[0].text().to_owned();
    assert_eq!(text(100), "20:01              bob │ hi");
    assert_eq!(text(40), "20:01      bob │ hi");
    // A narrow screen has no times.
    assert_eq!(text(27), "  bob │ hi");
    assert_eq!(text(10), "b… │ hi");
    assert_eq!(text(1), "… │ hi");
}

#[test]
fn claims_are_marked_where_others_are_not() {
    let style = RowStyle { marks_claims: true, ..style(60) };
    let claim = rows(message(1, "bob", "hi"), &style)[0].text().to_owned();
    let known = rows(StoredMessage { authenticated: true, ..message(1, "bob", "hi") }, &style)[0].text().to_owned();
    assert!(claim.contains("~bob │") && known.contains(" bob │"), "{claim} {known}");
}

#[test]
fn numbers_and_bare_texts() {
    let numbered = RowStyle { shows_numbers: true, ..style(40) };
    assert_eq!(texts(&rows(message(7, "bob", "hi"), &numbered)), ["20:07      bob │ #7 hi"]);
    let bare = RowStyle { bare: true, ..style(20) };
    let long = message(7, "bob", "a text that is longer than a row");
    assert_eq!(texts(&rows(long, &bare)), ["bob: a text that ", "  is longer than a ", "  row"]);
    let action = StoredMessage { kind: Kind::Action, ..message(7, "b* c", "waves") };
    assert_eq!(texts(&rows(action, &bare)), ["*b\\u{2a} c* waves"]);
}

#[test]
fn links_and_mentions_have_their_roles() {
    let mut named = message(1, "bob", "@ann and @cat, see http://a.example/ann.");
    named.extras.mentions = vec!["ann".to_owned(), "cat".to_owned()];
    let rows = rows(named, &style(80));
    let parts: Vec<_> = rows[0].parts().filter(|(text, _)| !text.trim().is_empty()).collect();
    assert!(parts.contains(&("@ann", Role::Mention)) && parts.contains(&("@cat", Role::Name(hue("cat")))), "{parts:?}");
    assert!(parts.contains(&("http://a.example/ann", Role::Link)), "{parts:?}");
}

#[test]
fn who_deleted_a_message_is_shown_and_its_text_is_not() {
    let mut deleted = message(1, "bob", "");
    deleted.extras.deleted_by = Some(person("bob", false));
    // A server that breaks the rules keeps these.
    deleted.extras.reply_to = Some(3);
    deleted.extras.reactions = vec![Reaction { emoji: "👍".to_owned(), count: 1, people: Vec::new() }];
    assert_eq!(texts(&rows(deleted.clone(), &style(40))), ["20:01      bob │ (deleted)"]);
    deleted.extras.deleted_by = Some(person("cat", true));
    assert_eq!(texts(&rows(deleted, &style(50))), ["20:01        bob │ (deleted by cat)"]);
}

#[test]
fn a_long_text_is_folded_and_a_text_of_blank_lines_is_bounded() {
    let long = message(1, "bob", &"a line\n".repeat(40));
    let folded = rows(long.clone(), &style(60));
    assert_eq!(folded.len(), FOLDED_ROWS + 1);
    assert!(folded.last().unwrap().text().ends_with("│ ▸ 196 bytes more"), "{:?}", folded.last());
    let held_long = held(long);
    let whole = Shown { held: &held_long, reply_target: None, is_unfolded: true }.rows(&style(60));
    assert_eq!(whole.len(), 41);
    let blank = held(message(1, "bob", &"\n".repeat(16_000)));
    let whole = Shown { held: &blank, reply_target: None, is_unfolded: true }.rows(&style(60));
    assert_eq!(whole.len(), UNFOLDED_ROWS_MAX + 1);
}

/// The separator tells whose row it is: it is in its column in every row, and of its kind.
#[test]
fn lines_of_the_client_have_other_separators() {
    let style = style(60);
    let separator = |rows: &[Styled]| {
        let all: Vec<_> = rows.iter().map(|row| row.text().chars().nth(19).unwrap()).collect();
        assert!(all.iter().all(|separator| *separator == all[0]), "{all:?}");
        all[0]
    };
    let notice = |tone| Notice { time_ms: 0, text: "bob │ hi\nbob │ hi".to_owned(), tone };
    assert_eq!(separator(&rows(message(1, "* bob", "bob │ hi\nbob · hi"), &style)), '│');
    assert_eq!(separator(&notice_rows(&notice(Tone::Notice), &style)), '·');
    assert_eq!(separator(&notice_rows(&notice(Tone::Error), &style)), '!');
    assert_eq!(separator(&gap_rows(&Gap { from_seq: 1, to_seq: 9, reason: GapReason::Damaged }, &style)), '!');
    let mut presence = Presence::default();
    presence.record(PresenceChange { name: "x; left: ann".to_owned(), joined: true, spoke: false });
    assert_eq!(separator(&presence_rows(&presence, &style)), '·');
}

proptest! {
    /// Whatever somebody sends, every row fits, and its columns before the text are as they should be.
    #[test]
    fn rows_fit_and_keep_their_columns(
        sender in "(\\PC|[\u{200d}\u{301}│: *>\u{1b}]){1,12}",
        body in "(\\PC|[ \n\u{200d}\u{fe0f}\u{301}☺👩│\u{7}\u{1b}]){0,120}",
        columns in 12..90u16,
        is_action: bool,
        reply in 0..3u64,
    ) {
        let style = style(columns);
        let mut sent = message(1, &sender, &body);
        sent.kind = if is_action { Kind::Action } else { Kind::Text };
        sent.extras.reply_to = Some(reply).filter(|reply| *reply > 0);
        sent.extras.reactions = vec![Reaction { emoji: body.chars().take(5).collect(), count: 3, people: Vec::new() }];
        let target = message(2, &sender, &body);
        let shown = Shown { held: &held(sent), reply_target: (reply == 2).then_some(&target), is_unfolded: true };
        let pending = Pending {
            id: MessageId::from_bytes([1; 16]),
            body: body.clone(),
            kind: Kind::Text,
            reply_to: None,
            failed: Some(sender.clone()),
        };
        let prefix = style.prefix_columns();
        for row in shown.rows(&style).iter().chain(&pending_rows(&pending, &style)) {
            prop_assert!(row.columns() <= usize::from(columns).max(prefix + 2), "{:?}", row.text());
            let mut used = 0;
            let mut before = String::new();
            for (cluster, _) in row.clusters().take_while(|(cluster, _)| {
                let is_before = used + 2 < prefix;
                used += columns_of(cluster);
                is_before
            }) {
                before.push_str(cluster);
            }
            prop_assert_eq!(columns_of(&before), prefix - 2);
            prop_assert!(!before.contains('│'), "{:?}", row.text());
            let separator = row.text()[before.len()..].chars().next().unwrap();
            prop_assert!(matches!(separator, '│' | '!'), "{:?}", row.text());
        }
    }
}

fn columns_of(text: &str) -> usize {
    columns(text)
}
