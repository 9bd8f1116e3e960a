//! Writing drawn text into cells. Positions are relative to a place, and nothing is written outside it.

use std::borrow::Cow;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Style};
use unicode_segmentation::UnicodeSegmentation;

use super::super::color::{Palette, Role};
use super::super::width::{cluster_columns, cut};
use super::super::wrap::Styled;

/// A buffer with the palette.
pub struct Canvas<'a> {
    buffer: &'a mut Buffer,
    palette: Palette,
    /// Whether it draws a bar, which has a background.
    is_bar: bool,
}

impl<'a> Canvas<'a> {
    pub fn new(buffer: &'a mut Buffer, palette: Palette) -> Self {
        Self { buffer, palette, is_bar: false }
    }

    /// Draws a bar: the first row of the place gets its background.
    pub fn bar(&mut self, place: Rect, draw: impl FnOnce(&mut Self)) {
        let place = Rect { height: place.height.min(1), ..place };
        self.buffer.set_style(place, self.palette.bar_style(Role::Bar));
        self.is_bar = true;
        draw(self);
        self.is_bar = false;
    }

    /// Draws the text, as much of it as fits. Returns the column after it.
    pub fn text(&mut self, place: Rect, row: usize, column: usize, text: &str, role: Role) -> usize {
        let style = self.style(role);
        let (width, height) = (usize::from(place.width), usize::from(place.height));
        let mut column = column;
        if row >= height {
            return column;
        }
        for cluster in text.graphemes(true) {
            let columns = cluster_columns(cluster);
            if column + columns > width {
                break;
            }
            // Both fit into the place, which is in the buffer.
            let (x, y) = (place.x + column as u16, place.y + row as u16);
            for offset in 0..columns as u16 {
                let Some(cell) = self.buffer.cell_mut((x + offset, y)) else { return column };
                cell.set_symbol(if offset == 0 { cluster } else { " " }).set_style(style);
            }
            column += columns;
        }
        column
    }

    /// The same; an ellipsis shows that something is missing.
    pub fn text_cut(&mut self, place: Rect, row: usize, column: usize, text: &str, role: Role) -> usize {
        let left = usize::from(place.width).saturating_sub(column);
        let text: Cow<'_, str> = cut(text, left);
        self.text(place, row, column, &text, role)
    }

    pub fn styled(&mut self, place: Rect, row: usize, column: usize, styled: &Styled) -> usize {
        styled.parts().fold(column, |column, (text, role)| self.text(place, row, column, text, role))
    }

    /// Draws a row over what is there. All of it gets the same colours: reversed, each part would be another block.
    pub fn highlight(&mut self, place: Rect, row: usize, role: Role) {
        if row < usize::from(place.height) {
            let row = Rect { y: place.y + row as u16, height: 1, ..place };
            let style = Style::new().fg(Color::Reset).bg(Color::Reset).patch(self.style(role));
            self.buffer.set_style(row, style);
        }
    }

    /// Empties a place.
    pub fn clear(&mut self, place: Rect) {
        for y in place.top()..place.bottom() {
            for x in place.left()..place.right() {
                if let Some(cell) = self.buffer.cell_mut((x, y)) {
                    cell.reset();
                }
            }
        }
    }

    fn style(&self, role: Role) -> Style {
        if self.is_bar { self.palette.bar_style(role) } else { self.palette.style(role) }
    }
}
