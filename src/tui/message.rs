//! The rows of an entry: time, name and text in columns.
//!
//! ```text
//! 10:42    ann │ hello
//!              │ and more
//! 10:43      * │ bob waves
//! 10:44        · joined: cat
//! ```
//!
//! Whose row it is can't be forged: the separator is in a fixed column, and is another one for lines of the client. So
//! no text can begin a row that looks like another user's, and no name looks like a notice.

use crate::client::{Extras, Gap, StoredMessage};
use crate::names::{EVERYBODY, Kind};
use crate::terminal::format::{gap as gap_text, shown_name};
use crate::terminal::local_time::LocalTime;

use super::color::{Role, hue};
use super::entry::{HeldMessage, Notice, Pending, Presence, Tone};
use super::marks;
use super::width::{Emoji, columns, cut, drawn, drawn_lines, drawn_name};
use super::wrap::{Styled, wrap};

/// A text of more rows than this is folded, and then so many rows are shown.
const ROWS_MAX: usize = 16;
const FOLDED_ROWS: usize = 12;

/// How many rows an unfolded text may have.
const UNFOLDED_ROWS_MAX: usize = 1000;

/// How many columns the names have, if the screen has space for them and they are that long.
const NAME_COLUMNS_MIN: usize = 6;
const NAME_COLUMNS_MAX: usize = 16;

/// The separators of messages, notices and faults.
const OF_MESSAGE: &str = "│";
const OF_NOTICE: &str = "·";
const OF_FAULT: &str = "!";

/// How entries are shown. Rows that were made with another style are out of date.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowStyle {
    pub columns: usize,
    pub name_columns: usize,
    pub shows_times: bool,
    /// With the numbers of messages.
    pub shows_numbers: bool,
    /// Names of senders that had not logged in are marked.
    pub marks_claims: bool,
    pub emoji: Emoji,
    /// Without columns, for copying.
    pub bare: bool,
    pub own_name: String,
    pub zone: Zone,
}

/// The time zone of the times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Zone {
    #[default]
    Local,
    /// For tests whose results must not depend on the machine.
    #[cfg(test)]
    Utc,
}

impl Zone {
    /// `None` if the time is impossible.
    pub fn time(self, time_ms: u64) -> Option<LocalTime> {
        match self {
            Self::Local => LocalTime::new(time_ms),
            #[cfg(test)]
            Self::Utc => LocalTime::in_utc(time_ms),
        }
    }
}

impl RowStyle {
    /// The style of a place with that many columns.
    pub fn new(columns: u16, own_name: &str) -> Self {
        let columns = usize::from(columns);
        Self {
            columns,
            name_columns: (columns / 5).clamp(1, NAME_COLUMNS_MAX),
            shows_times: columns >= 28,
            shows_numbers: false,
            marks_claims: false,
            emoji: Emoji::Simple,
            bare: false,
            own_name: own_name.to_owned(),
            zone: Zone::Local,
        }
    }

    /// The same for names of at most that many columns, which leave more space to the texts.
    pub fn narrowed(&self, widest: usize) -> Self {
        Self { name_columns: self.name_columns.min(widest.max(NAME_COLUMNS_MIN)), ..self.clone() }
    }

    /// How many columns precede the text.
    fn prefix_columns(&self) -> usize {
        let time = if self.shows_times { "10:42 ".len() } else { 0 };
        time + self.name_columns + 3
    }

    fn minute(&self, time_ms: u64) -> String {
        self.zone.time(time_ms).map_or_else(|| "--:--".to_owned(), |time| time.minute())
    }

    /// The columns before the text of a first row.
    fn prefix(&self, time: &str, name: &str, name_role: Role, separator: (&str, Role)) -> Styled {
        let mut prefix = Styled::default();
        if self.shows_times {
            prefix.push(&format!("{time:5} "), Role::Faint);
        }
        let name = cut(name, self.name_columns);
        prefix.push(&" ".repeat(self.name_columns - columns(&name)), Role::Text);
        prefix.push(&name, name_role);
        prefix.push(" ", Role::Text);
        prefix.push(separator.0, separator.1);
        prefix.push(" ", Role::Text);
        prefix
    }

    /// The rows of a text under a prefix.
    fn under(&self, first: &Styled, separator: (&str, Role), text: &Styled, rows_max: usize) -> Laid {
        let rest = self.rest(separator);
        let join = |(at, row): (usize, &Styled)| if at == 0 { joined(first, row) } else { joined(&rest, row) };
        if self.bare {
            let mut whole = first.clone();
            whole.append(text);
            let wrapped = wrap(&whole, self.columns.saturating_sub(rest.columns()).max(2), rows_max);
            let rows = wrapped.rows.iter().enumerate();
            let rows = rows.map(|(at, row)| if at == 0 { row.clone() } else { joined(&rest, row) });
            return Laid { rows: rows.collect(), left: wrapped.left };
        }
        let wrapped = wrap(text, self.columns.saturating_sub(self.prefix_columns()).max(2), rows_max);
        Laid { rows: wrapped.rows.iter().enumerate().map(join).collect(), left: wrapped.left }
    }

    /// The columns before a row that is not the first.
    fn rest(&self, separator: (&str, Role)) -> Styled {
        match self.bare {
            true => Styled::new("  ", Role::Text),
            false => self.prefix("", "", Role::Text, separator),
        }
    }

    fn name(&self, name: &str, authenticated: bool) -> String {
        drawn_name(&shown_name(name, self.marks_claims && !authenticated), self.emoji).into_owned()
    }
}

struct Laid {
    rows: Vec<Styled>,
    /// The bytes of the text that are not in the rows.
    left: usize,
}

fn joined(first: &Styled, second: &Styled) -> Styled {
    let mut joined = first.clone();
    joined.append(second);
    joined
}

/// A message, with what its rows depend on.
pub struct Shown<'a> {
    pub held: &'a HeldMessage,
    /// The message that it replies to, if it is known.
    pub reply_target: Option<&'a StoredMessage>,
    /// The user wants the whole text.
    pub is_unfolded: bool,
}

impl Shown<'_> {
    pub fn rows(&self, style: &RowStyle) -> Vec<Styled> {
        let HeldMessage { message, is_own, mentions_me } = self.held;
        let StoredMessage { sender, extras, authenticated, .. } = message;
        let name_role = match (is_own, mentions_me) {
            (true, _) => Role::OwnName,
            (false, true) => Role::Mention,
            (false, false) => Role::Name(hue(sender)),
        };
        let name = style.name(sender, *authenticated);
        let mut text = Styled::default();
        if style.shows_numbers {
            text.push(&format!("#{} ", message.seq), Role::Faint);
        }
        match &extras.deleted_by {
            Some(by) if by.name == *sender => text.push("(deleted)", Role::Faint),
            Some(by) => {
                text.push(&format!("(deleted by {})", style.name(&by.name, by.authenticated)), Role::Faint);
            }
            None => {
                if message.kind == Kind::Action && !style.bare {
                    text.push(&name, name_role);
                    text.push(" ", Role::Text);
                }
                text.append(&body(&message.body, extras, style));
                if extras.edited_seq > 0 {
                    text.push(" (edited)", Role::Faint);
                }
            }
        }
        let first = self.first(style, &name, name_role);
        let mut rows = Vec::new();
        let quote = extras.reply_to.filter(|_| !extras.is_deleted());
        if let Some(seq) = quote {
            rows.push(quote_row(style, &first, seq, self.reply_target));
        }
        let separator = (OF_MESSAGE, Role::Border);
        // If there is a quote, its row has the name.
        let first = if rows.is_empty() { first } else { style.prefix("", "", Role::Text, separator) };
        let first = if style.bare && !rows.is_empty() { Styled::new("  ", Role::Text) } else { first };
        rows.extend(self.folded(style, &first, &text));
        if let Some(reactions) = reactions(extras, style) {
            rows.extend(style.under(&style.rest(separator), separator, &reactions, ROWS_MAX).rows);
        }
        rows
    }

    fn first(&self, style: &RowStyle, name: &str, name_role: Role) -> Styled {
        let message = &self.held.message;
        let is_action = message.kind == Kind::Action;
        if style.bare {
            return bare_prefix(name, name_role, is_action);
        }
        let name = if is_action { "*" } else { name };
        style.prefix(&style.minute(message.time_ms), name, name_role, (OF_MESSAGE, Role::Border))
    }

    /// The rows of the text, and how much of it is not shown.
    fn folded(&self, style: &RowStyle, first: &Styled, text: &Styled) -> Vec<Styled> {
        let separator = (OF_MESSAGE, Role::Border);
        let rows_max = if self.is_unfolded { UNFOLDED_ROWS_MAX } else { ROWS_MAX };
        let laid = style.under(first, separator, text, rows_max);
        if laid.left == 0 {
            return laid.rows;
        }
        let shown = if self.is_unfolded { UNFOLDED_ROWS_MAX } else { FOLDED_ROWS };
        let mut laid = style.under(first, separator, text, shown);
        let more = Styled::new(&format!("▸ {} more", size(laid.left)), Role::Link);
        laid.rows.push(joined(&style.rest(separator), &more));
        laid.rows
    }
}

/// `ann: `, or `*ann* `.
fn bare_prefix(name: &str, name_role: Role, is_action: bool) -> Styled {
    let mut prefix = Styled::default();
    prefix.push(if is_action { "*" } else { "" }, Role::Text);
    let name = if is_action { name.replace('*', "\\u{2a}") } else { name.to_owned() };
    prefix.push(&name, name_role);
    prefix.push(if is_action { "* " } else { ": " }, Role::Text);
    prefix
}

/// `1.2 KB`, or `310 bytes`.
fn size(bytes: usize) -> String {
    match bytes {
        0..=999 => format!("{bytes} bytes"),
        _ => format!("{}.{} KB", bytes / 1000, bytes % 1000 / 100),
    }
}

/// The text with its links and mentions.
fn body(body: &str, extras: &Extras, style: &RowStyle) -> Styled {
    let drawn = drawn_lines(body, style.emoji);
    let mut text = Styled::new(&drawn, Role::Text);
    for name in &extras.mentions {
        let is_me = *name == style.own_name || name == EVERYBODY;
        let role = if is_me { Role::Mention } else { Role::Name(hue(name)) };
        marks::mentions(&drawn, name).into_iter().for_each(|range| text.set_role(range, role));
    }
    marks::names(&drawn, &style.own_name).into_iter().for_each(|range| text.set_role(range, Role::Mention));
    marks::links(&drawn).into_iter().for_each(|range| text.set_role(range, Role::Link));
    text
}

/// The row that quotes the message that another one replies to: `↳ ann: shall we go?`.
fn quote_row(style: &RowStyle, first: &Styled, seq: u64, target: Option<&StoredMessage>) -> Styled {
    let quote = match target {
        None => format!("↳ #{seq}"),
        Some(message) if message.extras.is_deleted() => format!("↳ #{seq} (deleted)"),
        Some(message) => {
            let line = message.body.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
            let name = style.name(&message.sender, message.authenticated);
            format!("↳ {name}: {}", drawn(line.trim(), style.emoji))
        }
    };
    let mut row = first.clone();
    let left = style.columns.saturating_sub(first.columns());
    row.push(&cut(&quote, left.max(2)), Role::Faint);
    row
}

/// `👍 3  🎉 1`
fn reactions(extras: &Extras, style: &RowStyle) -> Option<Styled> {
    let mut text = Styled::default();
    for reaction in extras.reactions.iter().filter(|_| !extras.is_deleted()) {
        if !text.is_empty() {
            text.push("  ", Role::Faint);
        }
        let is_own = reaction.people.iter().any(|person| person.name == style.own_name);
        let role = if is_own { Role::Key } else { Role::Faint };
        text.push(&format!("{} {}", drawn(&reaction.emoji, style.emoji), reaction.count), role);
    }
    (!text.is_empty()).then_some(text)
}

/// The rows of an own message that is not stored yet.
pub fn pending_rows(pending: &Pending, style: &RowStyle) -> Vec<Styled> {
    let name = style.name(&style.own_name, true);
    let drawn_body = drawn_lines(&pending.body, style.emoji);
    let is_action = pending.kind == Kind::Action;
    let mut text = Styled::default();
    if is_action && !style.bare {
        text.push(&name, Role::Pending);
        text.push(" ", Role::Pending);
    }
    text.push(&drawn_body, Role::Pending);
    let separator = match &pending.failed {
        None => (OF_MESSAGE, Role::Border),
        Some(reason) => {
            text.push(&format!("\nnot sent: {}", drawn(reason, style.emoji)), Role::Error);
            (OF_FAULT, Role::Error)
        }
    };
    let first = match style.bare {
        true => bare_prefix(&name, Role::Pending, is_action),
        false => style.prefix("  …", if is_action { "*" } else { &name }, Role::Pending, separator),
    };
    style.under(&first, separator, &text, ROWS_MAX).rows
}

pub fn presence_rows(presence: &Presence, style: &RowStyle) -> Vec<Styled> {
    let text = presence.text(|name| drawn_name(name, style.emoji).into_owned());
    client_rows(style, presence.time_ms, &Styled::new(&text, Role::Faint), (OF_NOTICE, Role::Faint))
}

pub fn notice_rows(notice: &Notice, style: &RowStyle) -> Vec<Styled> {
    let (role, separator) = match notice.tone {
        Tone::Notice => (Role::Notice, OF_NOTICE),
        Tone::Warning => (Role::Warning, OF_NOTICE),
        Tone::Error => (Role::Error, OF_FAULT),
    };
    let text = Styled::new(&drawn_lines(&notice.text, style.emoji), role);
    client_rows(style, notice.time_ms, &text, (separator, role))
}

pub fn gap_rows(gap: &Gap, style: &RowStyle) -> Vec<Styled> {
    let text = Styled::new(&gap_text(gap), Role::Warning);
    let separator = (OF_FAULT, Role::Warning);
    let first = if style.bare { Styled::new("* ", Role::Warning) } else { style.prefix("", "", Role::Text, separator) };
    style.under(&first, separator, &text, ROWS_MAX).rows
}

fn client_rows(style: &RowStyle, time_ms: u64, text: &Styled, separator: (&str, Role)) -> Vec<Styled> {
    let first = match style.bare {
        true => Styled::new("* ", separator.1),
        false => style.prefix(&style.minute(time_ms), "", Role::Text, separator),
    };
    style.under(&first, separator, text, ROWS_MAX).rows
}

/// A line through the messages with a text: `── unread ────`.
pub fn line_row(text: &str, role: Role, style: &RowStyle) -> Styled {
    let text = cut(&format!("── {text} "), style.columns).into_owned();
    let rest = style.columns.saturating_sub(columns(&text));
    Styled::new(&(text + &"─".repeat(rest)), role)
}

#[cfg(test)]
mod tests;
