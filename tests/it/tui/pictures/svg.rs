//! Draws the cells of a screen as a picture.
//!
//! Each run of text is placed by its column and stretched to its columns, so that the picture is aligned with any font, and
//! wide characters are in the middle of their cells. Lines are drawn as lines.

use std::fmt::Write as _;

use super::super::screen::{Cell, Screen};

/// The size of a cell, of the text in it and of the margin, in pixels.
const CELL_WIDTH: f64 = 8.4;
const CELL_HEIGHT: f64 = 18.0;
const FONT_SIZE: f64 = 14.0;
const BASELINE: f64 = 13.5;
const MARGIN: f64 = 12.0;

const FONTS: &str = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', 'Liberation Mono', monospace";

/// The terminal's own colours.
pub struct Theme {
    pub foreground: &'static str,
    pub background: &'static str,
}

pub const DARK: Theme = Theme { foreground: "#d7dae0", background: "#1b1d23" };
pub const LIGHT: Theme = Theme { foreground: "#22262e", background: "#fbfbfa" };

/// How a run of cells looks.
#[derive(Clone, PartialEq, Eq)]
struct Look {
    foreground: String,
    /// `None`: that of the terminal.
    background: Option<String>,
    bold: bool,
    underlined: bool,
}

/// How a cell is drawn.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    /// A character of two cells, and the second one of them.
    Wide,
    Rest,
    /// A part of a line.
    Upright,
    Level,
}

impl Kind {
    fn of(cell: &Cell) -> Self {
        match cell.text.as_str() {
            "│" => Self::Upright,
            "─" => Self::Level,
            _ if cell.is_wide => Self::Wide,
            _ if cell.is_rest => Self::Rest,
            _ => Self::Text,
        }
    }
}

/// The picture. The same cells give the same text.
pub fn svg(screen: &Screen, theme: &Theme, title: &str) -> String {
    let rows = screen.cells();
    let width = rows[0].len() as f64 * CELL_WIDTH + 2.0 * MARGIN;
    let height = rows.len() as f64 * CELL_HEIGHT + 2.0 * MARGIN;
    let mut picture = Picture { text: String::new(), theme };
    picture.line(format_args!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" \
         height=\"{height:.0}\" role=\"img\" font-family=\"{FONTS}\" font-size=\"{FONT_SIZE}\">"
    ));
    picture.line(format_args!("<title>{}</title>", escaped(title)));
    picture.line(format_args!(
        "<rect width=\"{width:.0}\" height=\"{height:.0}\" rx=\"8\" fill=\"{}\" stroke=\"#808080\" stroke-opacity=\".4\"/>",
        theme.background
    ));
    for (y, row) in rows.iter().enumerate() {
        picture.backgrounds(y, row);
        picture.texts(y, row);
    }
    if let Some((row, column)) = screen.cursor() {
        let (x, y) = (left(column.into()), top(row.into()));
        picture.line(format_args!(
            "<rect x=\"{x:.1}\" y=\"{y:.0}\" width=\"{CELL_WIDTH}\" height=\"{CELL_HEIGHT}\" fill=\"{}\" opacity=\".6\"/>",
            theme.foreground
        ));
    }
    picture.line(format_args!("</svg>"));
    picture.text
}

/// The texts of a picture, for a message that a person reads.
pub fn texts(svg: &str) -> String {
    let lines = svg.lines().filter(|line| line.starts_with("<text"));
    let texts = lines.filter_map(|line| line.split_once('>')?.1.strip_suffix("</text>"));
    texts.collect::<Vec<_>>().join("\n")
}

struct Picture<'a> {
    text: String,
    theme: &'a Theme,
}

impl Picture<'_> {
    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        writeln!(self.text, "{line}").expect("memory takes everything");
    }

    fn backgrounds(&mut self, y: usize, row: &[Cell]) {
        for (x, run) in runs(row, |cell| self.look(cell).background) {
            let Some(background) = self.look(&run[0]).background else { continue };
            let (x, y, width) = (left(x), top(y), run.len() as f64 * CELL_WIDTH);
            self.line(format_args!(
                "<rect x=\"{x:.1}\" y=\"{y:.0}\" width=\"{width:.1}\" height=\"{CELL_HEIGHT}\" fill=\"{background}\"/>"
            ));
        }
    }

    fn texts(&mut self, y: usize, row: &[Cell]) {
        for (x, run) in runs(row, |cell| (Kind::of(cell), self.text_look(cell))) {
            let look = self.look(&run[0]);
            let (foreground, middle) = (&look.foreground, top(y) + CELL_HEIGHT / 2.0);
            match Kind::of(&run[0]) {
                Kind::Upright => {
                    let (x, y) = (left(x) + CELL_WIDTH / 2.0, top(y));
                    self.line(format_args!(
                        "<path d=\"M{x:.1} {y:.0}v{CELL_HEIGHT}\" stroke=\"{foreground}\" stroke-opacity=\".6\"/>"
                    ));
                }
                Kind::Level => {
                    let (x, width) = (left(x), run.len() as f64 * CELL_WIDTH);
                    self.line(format_args!(
                        "<path d=\"M{x:.1} {middle:.1}h{width:.1}\" stroke=\"{foreground}\" stroke-opacity=\".6\"/>"
                    ));
                }
                Kind::Wide => run.iter().enumerate().for_each(|(at, cell)| {
                    let x = left(x + at) + CELL_WIDTH;
                    self.text(x, y, " text-anchor=\"middle\"", &look, &cell.text);
                }),
                Kind::Rest => {}
                Kind::Text => {
                    for (start, cells) in phrases(run) {
                        let text: String = cells.iter().map(|cell| cell.text.as_str()).collect();
                        let length = cells.len() as f64 * CELL_WIDTH;
                        let attributes = format!(" textLength=\"{length:.1}\" lengthAdjust=\"spacingAndGlyphs\"");
                        self.text(left(x + start), y, &attributes, &look, &text);
                    }
                }
            }
        }
    }

    fn text(&mut self, x: f64, y: usize, attributes: &str, look: &Look, text: &str) {
        let y = top(y) + BASELINE;
        let bold = if look.bold { " font-weight=\"bold\"" } else { "" };
        let underline = if look.underlined { " text-decoration=\"underline\"" } else { "" };
        let (fill, text) = (&look.foreground, escaped(text));
        self.line(format_args!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" fill=\"{fill}\"{bold}{underline}{attributes}>{text}</text>"
        ));
    }

    /// What is common to the text of a run. Blanks belong to every run, unless they are underlined.
    fn text_look(&self, cell: &Cell) -> Look {
        Look { background: None, ..self.look(cell) }
    }

    fn look(&self, cell: &Cell) -> Look {
        let foreground = color(cell.fg).unwrap_or_else(|| self.theme.foreground.to_owned());
        let background = color(cell.bg);
        let (foreground, background) = match cell.reversed {
            true => (background.unwrap_or_else(|| self.theme.background.to_owned()), Some(foreground)),
            false => (foreground, background),
        };
        Look { foreground, background, bold: cell.bold, underlined: cell.underlined }
    }
}

/// The parts of a run with single blanks, each with its first cell: programs that show pictures make one blank of several.
fn phrases(run: &[Cell]) -> Vec<(usize, &[Cell])> {
    let is_blank = |at: usize| run.get(at).is_none_or(|cell| cell.text == " ");
    let mut phrases = Vec::new();
    let mut start = None;
    for at in 0..=run.len() {
        match start {
            None if !is_blank(at) => start = Some(at),
            Some(first) if is_blank(at) && is_blank(at + 1) => {
                phrases.push((first, &run[first..at]));
                start = None;
            }
            _ => {}
        }
    }
    phrases
}

/// The cells that follow each other with the same key, each run with its first column.
fn runs<K: PartialEq>(row: &[Cell], key: impl Fn(&Cell) -> K) -> Vec<(usize, &[Cell])> {
    let mut column = 0;
    let chunks = row.chunk_by(|a, b| key(a) == key(b));
    chunks
        .map(|run| {
            let start = column;
            column += run.len();
            (start, run)
        })
        .collect()
}

fn left(column: usize) -> f64 {
    MARGIN + column as f64 * CELL_WIDTH
}

fn top(row: usize) -> f64 {
    MARGIN + row as f64 * CELL_HEIGHT
}

/// `None`: the terminal's own colour. The client uses the fixed part of the table of 256 colours.
fn color(color: vt100::Color) -> Option<String> {
    let [red, green, blue] = match color {
        vt100::Color::Default => return None,
        vt100::Color::Rgb(red, green, blue) => [red, green, blue],
        vt100::Color::Idx(index @ 16..=231) => {
            let index = index - 16;
            [index / 36, index / 6 % 6, index % 6].map(|level| if level == 0 { 0 } else { level * 40 + 55 })
        }
        vt100::Color::Idx(index @ 232..) => [(index - 232) * 10 + 8; 3],
        vt100::Color::Idx(index) => panic!("colour {index} depends on the terminal's theme"),
    };
    Some(format!("#{red:02x}{green:02x}{blue:02x}"))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
