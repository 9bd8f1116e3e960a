//! What is drawn in front of the messages: a list to choose from, help, a question.

use ratatui::layout::Rect;

use super::super::color::{Role, hue};
use super::super::view::{Help, List, Overlay, Question};
use super::super::width::{Emoji, columns, cut, drawn, drawn_name};
use super::super::wrap::{Styled, wrap};
use super::canvas::Canvas;

/// How wide the left column of a help text may be.
const KEYS_COLUMNS_MAX: usize = 24;

pub fn overlay(canvas: &mut Canvas<'_>, place: Rect, overlay: &Overlay, emoji: Emoji) {
    if place.is_empty() {
        return;
    }
    match overlay {
        Overlay::List(shown) => list(canvas, place, shown, emoji),
        Overlay::Help(shown) => help(canvas, place, shown, emoji),
        Overlay::Question(shown) => question(canvas, place, shown, emoji),
    }
}

/// The place between a title and a last row, which are drawn if there is space.
fn framed(canvas: &mut Canvas<'_>, place: Rect, title: &str, hint: &str) -> Rect {
    canvas.clear(place);
    let mut inner = place;
    if inner.height >= 2 {
        let row = Rect { height: 1, ..inner };
        canvas.bar(row, |canvas| _ = canvas.text_cut(row, 0, 1, title, Role::Title));
        inner = Rect { y: inner.y + 1, height: inner.height - 1, ..inner };
    }
    if inner.height >= 4 && !hint.is_empty() {
        inner.height -= 1;
        canvas.text_cut(Rect { y: inner.y + inner.height, height: 1, ..inner }, 0, 1, hint, Role::Faint);
    }
    inner
}

fn list(canvas: &mut Canvas<'_>, place: Rect, list: &List, emoji: Emoji) {
    let draw = |text: &str| drawn(text, emoji).into_owned();
    let inner = framed(canvas, place, &draw(&list.title), &draw(&list.hint));
    if list.items.is_empty() {
        canvas.text_cut(inner, 0, 1, &draw(&list.empty), Role::Faint);
        return;
    }
    let height = usize::from(inner.height);
    let from = (list.chosen + 1).saturating_sub(height).min(list.items.len().saturating_sub(height));
    let shown = || list.items.iter().skip(from).take(height);
    let width = usize::from(inner.width);
    let places = aligned(&shown().map(|item| draw(&item.place)).collect::<Vec<_>>());
    let place_width = places.iter().map(|place| columns(place)).max().unwrap_or(0).min(width / 2);
    for (at, item) in shown().enumerate() {
        canvas.text(inner, at, 1, &cut(&places[at], place_width), Role::Faint);
        let mut column = 1 + place_width + if place_width > 0 { 2 } else { 0 };
        if !item.name.is_empty() {
            let name = drawn_name(&item.name, emoji);
            column = canvas.text_cut(inner, at, column, &name, Role::Name(hue(&item.name)));
            column = canvas.text(inner, at, column, ": ", Role::Faint);
        }
        let text = item.text.split_whitespace().collect::<Vec<_>>().join(" ");
        canvas.text_cut(inner, at, column, &draw(&text), Role::Text);
        if from + at == list.chosen {
            canvas.highlight(inner, at, Role::Current);
        }
    }
}

/// The places in columns: each has a room and a time, with two blanks between.
fn aligned(places: &[String]) -> Vec<String> {
    let parts = || places.iter().map(|place| place.split_once("  ").unwrap_or((place, "")));
    let (left, right) = (parts().map(|(left, _)| columns(left)).max(), parts().map(|(_, right)| columns(right)).max());
    let (left, right) = (left.unwrap_or(0), right.unwrap_or(0));
    let blanks = |width: usize, text: &str| " ".repeat(width - columns(text));
    let place = |(room, time)| format!("{room}{}  {}{time}", blanks(left, room), blanks(right, time));
    parts().map(place).map(|place| place.trim_end().to_owned()).collect()
}

/// The rows of a help text. Wrapped texts stay in the right column.
pub fn help_rows(help: &Help, width: usize, emoji: Emoji) -> Vec<Styled> {
    let draw = |text: &str| drawn(text, emoji).into_owned();
    let keys = help.lines.iter().filter(|(_, text)| !text.is_empty()).map(|(keys, _)| columns(&draw(keys)));
    let keys_width = keys.max().unwrap_or(0).min(KEYS_COLUMNS_MAX).min(width / 2);
    let mut rows = Vec::new();
    for (keys, text) in &help.lines {
        if text.is_empty() {
            rows.extend(wrap(&Styled::new(&draw(keys), Role::Title), width, usize::MAX).rows);
            continue;
        }
        let indent = keys_width + 2;
        let wrapped = wrap(&Styled::new(&draw(text), Role::Text), width.saturating_sub(indent).max(2), usize::MAX);
        let keys_rows = wrap(&Styled::new(&draw(keys), Role::Key), keys_width.max(1), usize::MAX).rows;
        for at in 0..wrapped.rows.len().max(keys_rows.len()) {
            let mut row = keys_rows.get(at).cloned().unwrap_or_default();
            row.push(&" ".repeat(indent.saturating_sub(row.columns())), Role::Text);
            if let Some(text) = wrapped.rows.get(at) {
                row.append(text);
            }
            rows.push(row);
        }
    }
    rows
}

fn help(canvas: &mut Canvas<'_>, place: Rect, help: &Help, emoji: Emoji) {
    let width = usize::from(place.width).saturating_sub(2);
    let rows = help_rows(help, width, emoji);
    let title = drawn(&help.title, emoji);
    let height = usize::from(place.height.saturating_sub(2)).max(1);
    let from = help.scroll.min(rows.len().saturating_sub(height));
    let hint = match rows.len() > height {
        true => format!("{}–{} of {}", from + 1, (from + height).min(rows.len()), rows.len()),
        false => String::new(),
    };
    let inner = framed(canvas, place, &title, &hint);
    for (at, row) in rows.iter().skip(from).take(usize::from(inner.height)).enumerate() {
        canvas.styled(inner, at, 1, row);
    }
}

/// At the bottom, above the status row. The choices are always there, the preview if there is space.
fn question(canvas: &mut Canvas<'_>, place: Rect, question: &Question, emoji: Emoji) {
    let draw = |text: &str| drawn(text, emoji).into_owned();
    let width = usize::from(place.width).saturating_sub(2);
    let choices = choice_rows(question, width, emoji);
    let most = usize::from(place.height);
    let preview = question.text.len().min(most.saturating_sub(choices.len() + 1));
    let height = (1 + preview + choices.len()).min(most);
    let box_place = Rect { y: place.y + (most - height) as u16, height: height as u16, ..place };
    canvas.clear(box_place);
    let mut at = 0;
    if height > choices.len() {
        let row = Rect { height: 1, ..box_place };
        canvas.bar(row, |canvas| _ = canvas.text_cut(row, 0, 1, &draw(&question.title), Role::Title));
        at += 1;
    }
    for line in question.text.iter().take(preview) {
        canvas.text(box_place, at, 1, "│", Role::Border);
        canvas.text_cut(box_place, at, 3, &draw(line), Role::Faint);
        at += 1;
    }
    for row in &choices {
        canvas.styled(box_place, at, 1, row);
        at += 1;
    }
}

/// The choices in rows, which are broken between them only.
fn choice_rows(question: &Question, width: usize, emoji: Emoji) -> Vec<Styled> {
    const GAP: &str = "   ";
    let mut rows = vec![Styled::default()];
    for (key, text) in &question.choices {
        let mut choice = Styled::new(&format!("[{}] ", drawn(key, emoji)), Role::Key);
        choice.push(&drawn(text, emoji), Role::Text);
        let is_full = rows.last().is_some_and(|row| row.columns() + GAP.len() + choice.columns() > width);
        match rows.last_mut() {
            Some(row) if row.is_empty() => row.append(&choice),
            Some(row) if !is_full => {
                row.push(GAP, Role::Text);
                row.append(&choice);
            }
            _ => rows.push(choice),
        }
    }
    rows
}
