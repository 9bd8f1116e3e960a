//! The format of messages for people: lines, escaped for terminals.

use std::borrow::Cow;
use std::fmt::Write as _;

use uuid::Uuid;

use super::local_time::LocalTime;
use crate::client::{Gap, GapReason};
use crate::escape::{escape, escape_name};
use crate::names::{CLAIM_MARK, Kind, MessageId};

/// How many line breaks of a message start a row.
const ROWS_MAX: usize = 200;

/// How messages are printed, a line each.
#[derive(Clone, Copy, Debug)]
pub struct Format {
    pub json: bool,
    /// The prefix of a line that is not JSON.
    pub time: bool,
    pub seq: bool,
    /// The columns are for people: aligned, and easy to read.
    pub aligned: bool,
    /// Names of senders that had not logged in are marked.
    pub marks_claims: bool,
}

impl Format {
    /// The columns before a line that is not JSON.
    pub fn columns(&self, seq: u64, time_ms: u64) -> String {
        let mut shown = String::new();
        // Writing into a string can't fail.
        if self.seq {
            let width = if self.aligned { 5 } else { 0 };
            let _ = write!(shown, "{seq:>width$} ");
        }
        if self.time {
            shown += &match LocalTime::new(time_ms) {
                Some(time) if self.aligned => time.readable(),
                Some(time) => time.rfc3339(),
                // An impossible time.
                None => "-".to_owned(),
            };
            shown.push(' ');
        }
        shown
    }
}

/// A name as it is shown: with a mark in front if it is a claim, on a server where other names are not. On an open
/// server, all names are claims, and a mark would distinguish none.
pub fn shown_name(name: &str, is_claim: bool) -> Cow<'_, str> {
    if !is_claim || name.starts_with(CLAIM_MARK) { name.into() } else { format!("{CLAIM_MARK}{name}").into() }
}

/// A message id as 32 hexadecimal digits.
pub fn hex(id: &MessageId) -> String {
    Uuid::from_bytes(*id.as_bytes()).simple().to_string()
}

/// A message for people: `ann: hello`, or `*ann* waves`.
///
/// No message can look like another user's line, or like a notice: the first colon followed by a blank ends the name of
/// the sender; a line that begins with a star and no blank is an action, and the second star ends the name. A bracket
/// at the start of a name is escaped, because rooms are shown in brackets there.
pub fn line(sender: &str, body: &str, kind: Kind) -> String {
    match kind {
        Kind::Text => {
            let name = escape_name(sender);
            match name.strip_prefix('[') {
                Some(rest) => format!("\\u{{5b}}{rest}: {}", escape(body)),
                None => format!("{name}: {}", escape(body)),
            }
        }
        Kind::Action => {
            let name = escape_name(sender);
            let name = if name.contains('*') { Cow::Owned(name.replace('*', "\\u{2a}")) } else { name };
            format!("*{name}* {}", escape(body))
        }
    }
}

/// The text for a gap.
pub fn gap(gap: &Gap) -> String {
    let Gap { from_seq, to_seq, reason } = *gap;
    let range = match to_seq.checked_sub(from_seq) {
        None => return "the server lost messages that you had not seen".to_owned(),
        Some(0) => format!("message {from_seq}"),
        Some(_) => format!("messages {from_seq} to {to_seq}"),
    };
    let are = if from_seq == to_seq { "is" } else { "are" };
    let them = if from_seq == to_seq { "it" } else { "them" };
    match reason {
        GapReason::Retention => format!("{range} {are} gone: the server no longer keeps {them}"),
        GapReason::EpochChanged => format!("the server lost {range}, which you may have seen: others take their place"),
        GapReason::Damaged => {
            format!("{range} can't be read: the server's log is damaged there; its operator can restore a backup")
        }
        GapReason::Other => {
            format!("{range} {are} missing, for a reason that this client is too old to know: update it")
        }
    }
}

/// The same message for a terminal: its body's line breaks are kept, and the rest is escaped. All rows but the first
/// must be indented.
pub fn paragraph(sender: &str, body: &str, kind: Kind) -> String {
    let shown = line(sender, "", kind);
    shown + &escape_rows(body)
}

/// The text with its line breaks kept and tabs as blanks; everything else that acts on a terminal is escaped. Line
/// breaks beyond [`ROWS_MAX`] are escaped too, so that no message fills the screen with empty rows.
pub fn escape_rows(text: &str) -> String {
    let text = text.replace("\r\n", "\n").replace('\r', "\n").replace('\t', "    ");
    text.splitn(ROWS_MAX, '\n').map(escape).collect::<Vec<_>>().join("\n")
}

/// The start of a text, in one line and in quotes, to identify it.
pub fn start_of(body: &str) -> String {
    const CHARS_MAX: usize = 40;
    let mut words = String::new();
    for word in body.split_whitespace() {
        words.push_str(if words.is_empty() { "" } else { " " });
        words.push_str(word);
        if words.len() > 4 * CHARS_MAX {
            break;
        }
    }
    let start: String = words.chars().take(CHARS_MAX).collect();
    let more = if start.len() < words.len() { "…" } else { "" };
    format!("{}{more}", escape(&format!("{start:?}")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn columns_precede_the_line() {
        let show = |time, seq, aligned| {
            Format { json: false, time, seq, aligned, marks_claims: true }.columns(7, 1_700_000_000_000)
        };
        assert_eq!(show(false, false, true), "");
        assert_eq!(show(false, true, true), "    7 ");
        assert_eq!(show(false, true, false), "7 ");
        let time = LocalTime::new(1_700_000_000_000).unwrap();
        assert_eq!(show(true, true, false), format!("7 {} ", time.rfc3339()));
        assert_eq!(show(true, false, true), format!("{} ", time.readable()));
    }

    #[test]
    fn actions_texts_and_notices_are_distinguishable() {
        assert_eq!(line("ann", "hello", Kind::Text), "ann: hello");
        assert_eq!(line("[tea] ann", "hello", Kind::Text), "\\u{5b}tea] ann: hello");
        assert_eq!(line("ann", "waves", Kind::Action), "*ann* waves");
        assert_eq!(line("ann* x", "bob: no", Kind::Action), "*ann\\u{2a} x* bob: no");
        assert_eq!(line(" disconnected", "x", Kind::Action), "*\\u{20}disconnected* x");
    }

    #[test]
    fn a_paragraph_keeps_line_breaks_and_escapes_the_rest() {
        assert_eq!(paragraph("ann", "a\r\n\tb\rc\x1b[2J", Kind::Text), "ann: a\n    b\nc\\u{1b}[2J");
        assert_eq!(paragraph("ann", "waves\ntwice", Kind::Action), "*ann* waves\ntwice");
        let many = paragraph("ann", &"\n".repeat(16_000), Kind::Text);
        assert_eq!(many.lines().count(), ROWS_MAX);
    }

    #[test]
    fn a_gap_names_the_missing_messages() {
        let text = |from_seq, to_seq, reason| gap(&Gap { from_seq, to_seq, reason });
        assert!(text(3, 3, GapReason::Retention).contains("message 3 is gone: the server no longer keeps it"));
        assert!(text(3, 9, GapReason::EpochChanged).contains("lost messages 3 to 9,"));
        assert!(text(3, 2, GapReason::EpochChanged).contains("had not seen"));
        assert!(text(3, 9, GapReason::Damaged).starts_with("messages 3 to 9 can't be read: "));
        // The page of the full-screen client has the same words.
        let page = include_str!("../../docs/terminal.md");
        for reason in [GapReason::Retention, GapReason::Damaged, GapReason::EpochChanged, GapReason::Other] {
            assert!(page.contains(&format!("| {} |", text(4, 25, reason))), "{reason:?}");
        }
    }

    proptest! {
        #[test]
        fn the_second_star_ends_the_name(name in "[a:* >\u{200d}\u{7}]{1,12}", body in any::<String>()) {
            let shown = line(&name, &body, Kind::Action);
            prop_assert_eq!(shown.split("* ").next().unwrap().matches('*').count(), 1);
            prop_assert!(!shown.starts_with("* "));
        }
    }
}
