//! The list of rooms and the list of people.

use ratatui::layout::Rect;

use super::super::color::{Role, hue};
use super::super::view::{RoomLine, View};
use super::super::width::{columns, cut, drawn, drawn_name};
use super::canvas::Canvas;

/// The largest count that is shown exactly.
const COUNT_MAX: u64 = 999;

/// The rooms: number, name, and what is new. The current one is always in sight.
pub fn rooms(canvas: &mut Canvas<'_>, place: Rect, view: &View) {
    if place.is_empty() {
        return;
    }
    let list = Rect { width: place.width - 2, ..place };
    border(canvas, Rect { x: place.x + list.width, width: 1, ..place });
    let height = usize::from(place.height);
    let current = view.rooms.iter().position(|room| room.is_current).unwrap_or(0);
    let from = if view.rooms.len() <= height { 0 } else { (current + 1).saturating_sub(height) };
    for (at, room) in view.rooms.iter().skip(from).take(height).enumerate() {
        let count = count(room);
        let role = match room {
            RoomLine { mentions: 1.., .. } => Role::ActiveMention,
            RoomLine { unread: 1.., .. } => Role::Active,
            RoomLine { is_outside: true, .. } => Role::Faint,
            _ => Role::Text,
        };
        let number = canvas.text(list, at, 0, &format!("{:>2} ", room.number), Role::Faint);
        let count_at = usize::from(list.width).saturating_sub(columns(&count) + 1);
        let name_width = (if count.is_empty() { count_at + 1 } else { count_at }).saturating_sub(number + 1);
        let name = drawn(&room.name, view.emoji);
        canvas.text(list, at, number, &cut(&name, name_width), role);
        canvas.text(list, at, count_at, &count, role);
        if room.is_current {
            canvas.highlight(list, at, Role::Current);
        }
    }
}

/// `12`, `12+` if there may be more, `@2` for mentions.
fn count(room: &RoomLine) -> String {
    let bounded = |count: u64| if count > COUNT_MAX { format!("{COUNT_MAX}+") } else { count.to_string() };
    match room {
        RoomLine { mentions: 1.., .. } => format!("@{}", bounded(room.mentions)),
        RoomLine { unread: 0, is_outside: true, .. } => "–".to_owned(),
        RoomLine { unread: 0, .. } => String::new(),
        RoomLine { at_least: true, unread: 1..=COUNT_MAX, .. } => format!("{}+", room.unread),
        _ => bounded(room.unread),
    }
}

/// The people in the room. If not all fit, the last row says how many more there are.
pub fn people(canvas: &mut Canvas<'_>, place: Rect, view: &View) {
    if place.is_empty() {
        return;
    }
    border(canvas, Rect { width: 1, ..place });
    let list = Rect { x: place.x + 2, width: place.width - 2, ..place };
    let height = usize::from(place.height);
    let has_all = view.people.len() <= height && view.more_people == 0;
    let fit = view.people.len().min(if has_all { height } else { height - 1 });
    for (at, person) in view.people.iter().take(fit).enumerate() {
        let role = if person.is_own { Role::OwnName } else { Role::Name(hue(&person.name)) };
        canvas.text_cut(list, at, 0, &drawn_name(&person.name, view.emoji), role);
    }
    let more = (view.people.len() - fit) as u64 + view.more_people;
    if more > 0 {
        canvas.text_cut(list, fit, 0, &format!("and {more} more"), Role::Faint);
    }
}

fn border(canvas: &mut Canvas<'_>, place: Rect) {
    (0..usize::from(place.height)).for_each(|row| _ = canvas.text(place, row, 0, "│", Role::Border));
}
