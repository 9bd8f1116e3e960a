//! Draws a [`View`] into a buffer of cells. [`diff`](super::diff) writes the cells to the terminal.

mod canvas;
mod bars;
mod lists;
mod overlays;

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};

use self::canvas::Canvas;
use super::color::{Palette, Role};
use super::layout::{Layout, answer_rows};
use super::view::{Answer, Overlay, View};
use super::width::{columns, drawn, has_right_to_left};
use super::wrap::{Styled, wrap};

/// Draws the view over the whole buffer. Returns where the cursor is, if it is shown.
pub fn paint(view: &View, palette: Palette, buffer: &mut Buffer) -> Option<Position> {
    buffer.reset();
    let area = buffer.area;
    let layout = Layout::new(area.width, area.height, view);
    let mut canvas = Canvas::new(buffer, palette);
    bars::topic(&mut canvas, layout.topic, view);
    lists::rooms(&mut canvas, layout.rooms, view);
    lists::people(&mut canvas, layout.people, view);
    messages(&mut canvas, layout.messages, view);
    if let Some(answer) = &view.answer {
        self::answer(&mut canvas, layout.answer, answer, view);
    }
    bars::status(&mut canvas, layout.status, view);
    let cursor = input(&mut canvas, &layout, view);
    if let Some(overlay) = &view.overlay {
        let top = layout.topic.y + layout.topic.height;
        let place =
            Rect { x: 0, y: top, width: area.width, height: (layout.messages.y + layout.messages.height) - top };
        overlays::overlay(&mut canvas, place, overlay, view.emoji);
    }
    keep_columns(buffer);
    // Keys answer these, and nothing is typed.
    let is_typing = !matches!(view.overlay, Some(Overlay::Help(_) | Overlay::Question(_)));
    cursor.filter(|_| is_typing)
}

/// The messages, at the bottom of their place; or the welcome.
fn messages(canvas: &mut Canvas<'_>, place: Rect, view: &View) {
    let height = usize::from(place.height);
    if view.messages.is_empty() && !view.welcome.is_empty() {
        return welcome(canvas, place, view);
    }
    let shown = &view.messages[view.messages.len().saturating_sub(height)..];
    let start = height - shown.len();
    for (at, row) in shown.iter().enumerate() {
        canvas.styled(place, start + at, 0, &row.row);
        if row.is_selected {
            canvas.highlight(place, start + at, Role::Current);
        }
    }
}

fn welcome(canvas: &mut Canvas<'_>, place: Rect, view: &View) {
    let margin = usize::from(place.width / 10).min(4);
    let width = usize::from(place.width) - 2 * margin;
    let mut at = usize::from(place.height >= 12);
    for (number, line) in view.welcome.iter().enumerate() {
        let role = if number == 0 { Role::Title } else { Role::Text };
        for row in wrap(&Styled::new(&drawn(line, view.emoji), role), width, usize::from(place.height)).rows {
            canvas.styled(place, at, margin, &row);
            at += 1;
        }
    }
}

fn answer(canvas: &mut Canvas<'_>, place: Rect, answer: &Answer, view: &View) {
    let rows = answer_rows(answer, view.emoji, place.width, place.height.into());
    rows.iter().enumerate().for_each(|(at, row)| _ = canvas.styled(place, at, 0, row));
}

/// The input. Returns where the cursor is.
fn input(canvas: &mut Canvas<'_>, layout: &Layout, view: &View) -> Option<Position> {
    let place = layout.input;
    if place.is_empty() {
        return None;
    }
    let indent = columns(&layout.prompt);
    let height = usize::from(place.height);
    for (at, row) in layout.typed.rows.iter().enumerate().skip(layout.input_from).take(height) {
        let y = at - layout.input_from;
        if at == 0 {
            canvas.text(place, y, 0, &layout.prompt, Role::Prompt);
        }
        canvas.text(place, y, indent, row, Role::Text);
        if at + 1 == layout.typed.rows.len() {
            canvas.text_cut(place, y, indent + columns(row), &drawn(&view.input.hint, view.emoji), Role::Faint);
        }
    }
    let (row, column) = layout.typed.cursor;
    let (x, y) = (indent + column, row.saturating_sub(layout.input_from));
    let (x, y) = (u16::try_from(x).ok()?, u16::try_from(y).ok()?);
    (x < place.width && y < place.height).then(|| Position::new(place.x + x, place.y + y))
}

/// Some terminals reorder a row that has text from right to left, and would exchange what is on both sides of a
/// separator. A mark of direction after each separator prevents that.
fn keep_columns(buffer: &mut Buffer) {
    const LEFT_TO_RIGHT_MARK: char = '\u{200e}';
    let width = usize::from(buffer.area.width);
    for row in buffer.content.chunks_mut(width.max(1)) {
        if !row.iter().any(|cell| has_right_to_left(cell.symbol())) {
            continue;
        }
        for cell in row.iter_mut().filter(|cell| matches!(cell.symbol(), "│" | "·")) {
            let marked = format!("{}{LEFT_TO_RIGHT_MARK}", cell.symbol());
            cell.set_symbol(&marked);
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
