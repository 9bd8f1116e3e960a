//! The topic row and the status row.

use ratatui::layout::Rect;

use super::super::color::Role;
use super::super::view::{Connection, StatusLine, View};
use super::super::width::{columns, drawn};
use super::super::wrap::Styled;
use super::canvas::Canvas;

/// How many rooms the status row lists as active.
const ACTIVE_MAX: usize = 20;

/// The room and its topic, and how many people and pinned messages it has.
pub fn topic(canvas: &mut Canvas<'_>, place: Rect, view: &View) {
    if place.is_empty() {
        return;
    }
    let count = |n: u64, one: &str, many: &str| if n == 1 { format!("1 {one}") } else { format!("{n} {many}") };
    let members = view.topic.members.map(|members| count(members, "person", "people"));
    let pins = (view.topic.pins > 0).then(|| count(view.topic.pins as u64, "pin", "pins"));
    let counts: Vec<_> = members.into_iter().chain(pins).collect();
    let counts = counts.join(", ");
    let width = usize::from(place.width);
    canvas.bar(place, |canvas| {
        let room = drawn(&view.topic.room, view.emoji);
        let end = canvas.text_cut(place, 0, 1, &room, Role::Title);
        let topic = drawn(&view.topic.topic, view.emoji);
        // The counts are left out if the topic needs the space.
        let counts_at = width.saturating_sub(columns(&counts) + 1);
        let has_counts = !counts.is_empty() && end + 2 + columns(&topic).min(width / 2) < counts_at;
        let topic_place = Rect { width: if has_counts { counts_at as u16 - 2 } else { place.width }, ..place };
        if !topic.is_empty() {
            canvas.text_cut(topic_place, 0, end + 2, &topic, Role::Bar);
        }
        if has_counts {
            canvas.text(place, 0, counts_at, &counts, Role::Bar);
        }
    });
}

/// A part of the status row, and how long it stays when there is not enough space.
struct Segment {
    priority: u8,
    text: Styled,
    /// Shown if the text does not fit.
    short: Option<Styled>,
}

pub fn status(canvas: &mut Canvas<'_>, place: Rect, view: &View) {
    if place.is_empty() {
        return;
    }
    let mut segments = segments(view);
    let width = usize::from(place.width).saturating_sub(1);
    let total = |segments: &[Segment]| segments.iter().map(|segment| segment.text.columns() + 1).sum::<usize>();
    while total(&segments) > width && segments.len() > 1 {
        if let Some(segment) = segments.iter_mut().find(|segment| segment.short.is_some()) {
            segment.text = segment.short.take().unwrap_or_default();
            continue;
        }
        let least = (0..segments.len()).min_by_key(|at| segments[*at].priority);
        let Some(least) = least else { break };
        segments.remove(least);
    }
    canvas.bar(place, |canvas| {
        let mut column = 1;
        for segment in &segments {
            column = canvas.styled(place, 0, column, &segment.text) + 1;
        }
    });
}

fn segments(view: &View) -> Vec<Segment> {
    let status = &view.status;
    let draw = |text: &str| drawn(text, view.emoji).into_owned();
    let mut segments = Vec::new();
    let mut add = |priority: u8, text: Styled, short: Option<Styled>| segments.push(Segment { priority, text, short });
    if let Some(mode) = &status.mode {
        add(9, Styled::new(&format!("[{}]", draw(mode)), Role::BarStrong), None);
    }
    if !status.time.is_empty() {
        add(2, Styled::new(&format!("[{}]", status.time), Role::Bar), None);
    }
    if !status.name.is_empty() {
        add(1, Styled::new(&format!("[{}]", draw(&status.name)), Role::Bar), None);
    }
    if let Some((number, name)) = &status.room {
        add(5, Styled::new(&format!("[{number}:{}]", draw(name)), Role::Bar), None);
    }
    if !status.activity.is_empty() {
        add(7, activity(status), None);
    }
    if status.below > 0 {
        add(8, Styled::new(&format!("-- {} below --", status.below), Role::BarStrong), None);
    }
    if let Some((used, most)) = view.input.counter {
        let role = if used > most { Role::BarStrong } else { Role::Bar };
        add(8, Styled::new(&format!("[{used}/{most}]"), role), None);
    }
    if status.pending > 0 {
        add(6, Styled::new(&format!("[{} not sent yet]", status.pending), Role::Bar), None);
    }
    if status.behind > 0 {
        add(4, Styled::new(&format!("[{} behind]", status.behind), Role::Bar), None);
    }
    if let Some(lag_ms) = status.lag_ms {
        add(3, Styled::new(&format!("[lag {}.{} s]", lag_ms / 1000, lag_ms % 1000 / 100), Role::Bar), None);
    }
    let retry = |seconds: &Option<u64>| match seconds {
        Some(seconds) => format!("retry in {seconds} s"),
        None => "retrying".to_owned(),
    };
    let both = |what: &str, reason: &str, seconds: &Option<u64>| {
        let long = Styled::new(&format!("{what}: {}; {}", draw(reason), retry(seconds)), Role::BarStrong);
        (long, Styled::new(&format!("{what}, {}", retry(seconds)), Role::BarStrong))
    };
    match &status.connection {
        Connection::Online => {}
        Connection::Connecting { server } => {
            let short = Styled::new("connecting …", Role::BarStrong);
            add(10, Styled::new(&format!("connecting to {} …", draw(server)), Role::BarStrong), Some(short));
        }
        Connection::Offline { reason, retry_seconds } => {
            let (long, short) = both("offline", reason, retry_seconds);
            add(10, long, Some(short));
        }
        Connection::Ended { reason } => {
            let long = format!("offline: {}; /reconnect tries again", draw(reason));
            let short = Styled::new("offline: /reconnect", Role::BarStrong);
            add(10, Styled::new(&long, Role::BarStrong), Some(short));
        }
        Connection::Held { reason, retry_seconds } => {
            let (long, short) = both("the server can't store", reason, retry_seconds);
            add(10, long, Some(short));
        }
    }
    segments
}

/// `[Act: 2,5@]`: the rooms with something new; `@` is a mention.
fn activity(status: &StatusLine) -> Styled {
    let mut text = Styled::new("[Act: ", Role::Bar);
    for (at, activity) in status.activity.iter().take(ACTIVE_MAX).enumerate() {
        text.push(if at == 0 { "" } else { "," }, Role::Bar);
        match activity.mention {
            true => text.push(&format!("{}@", activity.number), Role::ActiveMention),
            false => text.push(&activity.number.to_string(), Role::Active),
        }
    }
    text.push(if status.activity.len() > ACTIVE_MAX { ",…]" } else { "]" }, Role::Bar);
    text
}
