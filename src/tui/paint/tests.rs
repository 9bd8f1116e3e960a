//! Every state of the screen at three sizes, as text. `cargo insta review` shows what a change does to them.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier};

use super::super::color::{Background, Depth};
use super::super::message::{RowStyle, Zone};
use super::super::room::Room;
use super::super::view::*;
use super::super::width::Emoji;
use super::*;

mod scenes;
mod states;

pub const SIZES: [(u16, u16); 3] = [(40, 8), (80, 24), (200, 60)];

const PALETTE: Palette = Palette { depth: Depth::Many, background: Background::Dark };

/// The view with the rows of the room for that size.
fn filled(view: &View, room: Option<&mut Room>, columns: u16, rows: u16) -> View {
    let mut view = view.clone();
    let layout = Layout::new(columns, rows, &view);
    if let Some(room) = room {
        let style = row_style(&layout, &view);
        let screen = room.shown(&style, usize::from(layout.messages.height));
        view.messages = screen.rows;
        view.status.below = screen.below;
    }
    view
}

fn row_style(layout: &Layout, view: &View) -> RowStyle {
    RowStyle { zone: Zone::Utc, bare: view.bare, ..RowStyle::new(layout.messages.width, "ann") }
}

fn painted(view: &View, columns: u16, rows: u16) -> (Buffer, Option<Position>) {
    let mut buffer = Buffer::empty(Rect::new(0, 0, columns, rows));
    let cursor = paint(view, PALETTE, &mut buffer);
    (buffer, cursor)
}

/// The screen as text. The cursor is below, and blanks at the ends of rows are left out.
fn text(buffer: &Buffer, cursor: Option<Position>) -> String {
    let mut text = String::new();
    for row in buffer.content.chunks(usize::from(buffer.area.width)) {
        let (mut line, mut skip) = (String::new(), 0);
        for cell in row {
            if skip == 0 {
                line.push_str(cell.symbol());
                skip = super::super::width::cluster_columns(cell.symbol()).max(1);
            }
            skip -= 1;
        }
        text += line.trim_end();
        text.push('\n');
    }
    match cursor {
        Some(Position { x, y }) => text + &format!("cursor: row {y}, column {x}\n"),
        None => text + "no cursor\n",
    }
}

/// The styles of the cells as letters, to see what is emphasized.
fn styles(buffer: &Buffer) -> String {
    let letter = |cell: &ratatui::buffer::Cell| {
        let has = |modifier| cell.modifier.contains(modifier);
        match (cell.fg, cell.bg) {
            _ if has(Modifier::REVERSED) => 'R',
            (Color::Reset, Color::Reset) if has(Modifier::BOLD) => 'B',
            (Color::Reset, Color::Reset) => '.',
            (Color::Indexed(_), Color::Reset) if has(Modifier::UNDERLINED) => 'u',
            (Color::Indexed(_), Color::Reset) if has(Modifier::BOLD) => 'C',
            (Color::Indexed(_), Color::Reset) => 'c',
            (_, Color::Indexed(_)) if has(Modifier::BOLD) => 'S',
            (_, Color::Indexed(_)) => 's',
            _ => '?',
        }
    };
    let rows = buffer.content.chunks(usize::from(buffer.area.width));
    rows.map(|row| row.iter().map(letter).collect::<String>().trim_end_matches('.').to_owned() + "\n").collect()
}

/// The state at all sizes, compared with its snapshot.
fn check(name: &str, view: &View, mut room: Option<Room>) {
    let mut all = String::new();
    for (columns, rows) in SIZES {
        let view = filled(view, room.as_mut(), columns, rows);
        let (buffer, cursor) = painted(&view, columns, rows);
        all += &format!("{columns} × {rows}\n{}\n", text(&buffer, cursor));
    }
    snapshot(name, &all);
}

/// The styles of the state at the usual size, compared with their snapshot.
fn check_styles(name: &str, view: &View, mut room: Room) {
    let view = filled(view, Some(&mut room), 80, 24);
    snapshot(name, &styles(&painted(&view, 80, 24).0));
}

fn snapshot(name: &str, content: &str) {
    insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!(name, content);
    });
}

/// Screens with the texts of attackers, one after another, for the test of the bytes.
pub fn hostile_screens(columns: u16, rows: u16) -> Vec<(Buffer, Option<Position>)> {
    let mut view = scenes::view();
    view.status.activity.clear();
    let mut screens = Vec::new();
    for emoji in [Emoji::Full, Emoji::Simple] {
        view.emoji = emoji;
        let mut messages = scenes::HOSTILE.to_vec();
        for _ in 0..messages.len() {
            messages.rotate_left(1);
            let mut room = scenes::room_with(None, &messages);
            let mut view = view.clone();
            let layout = Layout::new(columns, rows, &view);
            let style = RowStyle { emoji, ..row_style(&layout, &view) };
            view.messages = room.shown(&style, usize::from(layout.messages.height)).rows;
            screens.push(painted(&view, columns, rows));
        }
    }
    screens
}
