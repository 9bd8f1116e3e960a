//! Writes what changed between two screens to the terminal.
//!
//! ratatui's own writer places the cursor only where a run of changed cells begins, so one character that a terminal
//! draws wider than expected moves everything after it. Here:
//!
//! 1. Each row that changed begins with a cursor move.
//! 2. After each character whose width is uncertain, the cursor is placed again.
//! 3. A character that a terminal may draw wider than the rest of its row is replaced, so that it can't continue in the
//!    next row; and the terminal's own line breaks are off while a frame is written.
//! 4. A row that has or had a character that may be wider is cleared and written as a whole, so that nothing is left.
//!
//! So no text changes a cell outside its row, whatever a terminal thinks of it. Of other rows, what is there already is
//! not written again. A frame is one synchronized update (DEC 2026); if nothing changed, it has no bytes.

use std::io::Write as _;
use std::ops::Range;

use ratatui::buffer::{Buffer, Cell};
use ratatui::layout::Position;
use ratatui::style::{Color, Modifier};

use super::width::{cluster_columns, columns_max, is_certain};

const BEGIN: &str = "\x1b[?2026h\x1b[?25l\x1b[?7l";
const END: &str = "\x1b[?7h";
const SHOW_CURSOR: &str = "\x1b[?25h";
const COMMIT: &str = "\x1b[?2026l";

/// What replaces a character that may be too wide for the rest of its row.
const REPLACEMENT: &str = "?";

/// From how many cells on it is shorter to move the cursor than to write them, and to erase them than to write blanks.
const PASSED_MIN: usize = 8;
const ERASED_MIN: usize = 16;

/// What the terminal shows.
#[derive(Debug, Default)]
pub struct Diff {
    shown: Option<Buffer>,
    cursor: Option<Position>,
}

impl Diff {
    /// The terminal shows something unknown: the next frame draws all. After a start, a resize, a suspension, and for
    /// the user's own key.
    pub fn forget(&mut self) {
        self.shown = None;
    }

    /// The bytes that change the terminal to the new screen. They must be written completely, or [`forget`](Self::forget)
    /// must follow.
    pub fn frame(&mut self, next: &Buffer, cursor: Option<Position>) -> Vec<u8> {
        let shown = self.shown.take().filter(|shown| shown.area == next.area);
        let mut writer = Writer { bytes: Vec::new(), style: Look::PLAIN };
        writer.push(BEGIN);
        let start = writer.bytes.len();
        if shown.is_none() {
            writer.push("\x1b[0m\x1b[2J");
        }
        let width = usize::from(next.area.width);
        let blank = vec![Cell::EMPTY; width];
        for y in 0..next.area.height {
            let row = usize::from(y) * width..(usize::from(y) + 1) * width;
            let new = &next.content[row.clone()];
            let old = shown.as_ref().map_or(&blank[..], |shown| &shown.content[row]);
            writer.row(y, old, new);
        }
        let is_changed = writer.bytes.len() > start;
        if !is_changed && self.cursor == cursor {
            self.shown = shown;
            return Vec::new();
        }
        writer.set_style(Look::PLAIN);
        writer.push(END);
        if let Some(Position { x, y }) = cursor {
            writer.go_to(x, y);
            writer.push(SHOW_CURSOR);
        }
        writer.push(COMMIT);
        self.cursor = cursor;
        self.shown = Some(match shown {
            // Without another allocation.
            Some(mut shown) => {
                shown.content.clone_from_slice(&next.content);
                shown
            }
            None => next.clone(),
        });
        writer.bytes
    }
}

struct Writer {
    bytes: Vec<u8>,
    style: Look,
}

/// How a cell looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Look {
    fg: Color,
    bg: Color,
    modifier: Modifier,
}

impl Look {
    const PLAIN: Self = Self { fg: Color::Reset, bg: Color::Reset, modifier: Modifier::empty() };

    fn of(cell: &Cell) -> Self {
        Self { fg: cell.fg, bg: cell.bg, modifier: cell.modifier }
    }

    /// Whether a blank cell looks otherwise than a plain one.
    fn shows_on_blanks(self) -> bool {
        const ON_BLANKS: Modifier = Modifier::UNDERLINED.union(Modifier::REVERSED).union(Modifier::CROSSED_OUT);
        self.bg != Color::Reset || self.modifier.intersects(ON_BLANKS)
    }
}

impl Writer {
    fn row(&mut self, y: u16, old: &[Cell], new: &[Cell]) {
        let Some(first) = (0..new.len()).find(|at| new[*at] != old[*at]) else { return };
        let last = (0..new.len()).rev().find(|at| new[*at] != old[*at]).unwrap_or(first);
        let is_predictable = |row: &[Cell]| row.iter().all(|cell| is_predictable(cell.symbol()));
        // Without a wide character, a cell is a column, and the rest of the row is as it was.
        let is_simple = |row: &[Cell]| row.iter().all(|cell| cell.symbol().len() == 1);
        if is_simple(new) && is_simple(old) {
            return self.cells(y, old, new, first..last + 1);
        }
        if is_predictable(new) && is_predictable(old) {
            // From a cell on that begins a character, in both rows.
            let start = start_of(new, start_of(new, first).min(start_of(old, first)));
            return self.cells(y, old, new, start..new.len());
        }
        self.go_to(0, y);
        self.set_style(Look::PLAIN);
        self.push("\x1b[2K");
        self.cells(y, &vec![Cell::EMPTY; new.len()], new, 0..new.len());
    }

    /// Writes some cells of a row. Long blanks are erased, and what is there already is passed over.
    fn cells(&mut self, y: u16, old: &[Cell], row: &[Cell], cells: Range<usize>) {
        let text_end = row.iter().rposition(|cell| !is_blank(cell)).map_or(0, |last| last + 1);
        let end = cells.end.min(text_end);
        self.go_to(column(cells.start), y);
        let (mut at, mut is_placed) = (cells.start, true);
        while at < end {
            let kept = kept_cells(old, row, at, end);
            if kept >= PASSED_MIN {
                (at, is_placed) = (at + kept, false);
                continue;
            }
            if !is_placed {
                self.go_to(column(at), y);
                is_placed = true;
            }
            let blank = row[at..end].iter().take_while(|cell| is_blank(cell)).count();
            if blank >= ERASED_MIN {
                self.set_style(Look::PLAIN);
                // Writing to memory can't fail.
                let _ = write!(self.bytes, "\x1b[{blank}X");
                (at, is_placed) = (at + blank, false);
                continue;
            }
            let symbol = row[at].symbol();
            let width = cluster_columns(symbol).max(1);
            let look = Look::of(&row[at]);
            if symbol != " " || look.shows_on_blanks() || self.style.shows_on_blanks() {
                self.set_style(look);
            }
            if columns_max(symbol) > row.len() - at {
                // What a terminal that draws it wider would do is unknown.
                (0..width.min(row.len() - at)).for_each(|_| self.push(REPLACEMENT));
            } else {
                self.push(symbol);
                is_placed = is_certain(symbol);
            }
            at += width;
        }
        if at < cells.end {
            if !is_placed {
                self.go_to(column(at), y);
            }
            self.set_style(Look::PLAIN);
            self.push("\x1b[K");
        }
    }

    fn push(&mut self, text: &str) {
        self.bytes.extend_from_slice(text.as_bytes());
    }

    fn go_to(&mut self, x: u16, y: u16) {
        // Writing to memory can't fail.
        let _ = write!(self.bytes, "\x1b[{};{}H", u32::from(y) + 1, u32::from(x) + 1);
    }

    fn set_style(&mut self, style: Look) {
        if style == self.style {
            return;
        }
        self.style = style;
        self.push("\x1b[0");
        const MODIFIERS: [(Modifier, &str); 7] = [
            (Modifier::BOLD, ";1"),
            (Modifier::DIM, ";2"),
            (Modifier::ITALIC, ";3"),
            (Modifier::UNDERLINED, ";4"),
            (Modifier::SLOW_BLINK, ";5"),
            (Modifier::REVERSED, ";7"),
            (Modifier::CROSSED_OUT, ";9"),
        ];
        for (modifier, code) in MODIFIERS {
            if style.modifier.contains(modifier) {
                self.push(code);
            }
        }
        self.color(style.fg, 30);
        self.color(style.bg, 40);
        self.push("m");
    }

    /// `base`: 30 for the foreground, 40 for the background.
    fn color(&mut self, color: Color, base: u32) {
        let _ = match color {
            Color::Indexed(index @ 0..=7) => write!(self.bytes, ";{}", base + u32::from(index)),
            Color::Indexed(index @ 8..=15) => write!(self.bytes, ";{}", base + 52 + u32::from(index)),
            Color::Indexed(index) => write!(self.bytes, ";{};5;{index}", base + 8),
            Color::Rgb(red, green, blue) => write!(self.bytes, ";{};2;{red};{green};{blue}", base + 8),
            // The palette uses no others.
            _ => Ok(()),
        };
    }
}

/// The cell that begins the character which covers a cell.
fn start_of(row: &[Cell], at: usize) -> usize {
    let mut start = 0;
    while start < at {
        let width = cluster_columns(row[start].symbol()).max(1);
        if start + width > at {
            break;
        }
        start += width;
    }
    start.min(at)
}

/// How many cells from there on are the same in both rows. Only plain characters count, at places where a character
/// begins in both: what remains of a wide one that is overwritten is unknown.
fn kept_cells(old: &[Cell], new: &[Cell], at: usize, end: usize) -> usize {
    let is_plain = |cell: &Cell| cell.symbol().len() == 1;
    if at > 0 && !is_plain(&old[at - 1]) && cluster_columns(old[at - 1].symbol()) > 1 {
        return 0;
    }
    let same = |at: &usize| old[*at] == new[*at] && is_plain(&new[*at]);
    (at..end).take_while(same).count()
}

/// Whether the character is never wider than expected, except where a setting of the terminal makes it so.
fn is_predictable(symbol: &str) -> bool {
    is_certain(symbol) || columns_max(symbol) == cluster_columns(symbol)
}

fn is_blank(cell: &Cell) -> bool {
    *cell == Cell::EMPTY
}

fn column(at: usize) -> u16 {
    u16::try_from(at).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests;
