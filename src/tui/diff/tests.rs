use proptest::prelude::*;
use ratatui::layout::Rect;
use ratatui::style::Style;
use unicode_segmentation::UnicodeSegmentation as _;
use vt100::Parser;

use super::*;
use crate::tui::width::{Emoji, columns, drawn};

/// How a terminal draws what terminals disagree about.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// A variation selector makes a symbol 2 columns wide; the members of a joined emoji are drawn one after another.
    Wide,
    /// Variation selectors change nothing.
    Narrow,
}

const KINDS: [Kind; 2] = [Kind::Wide, Kind::Narrow];

/// A terminal. The emulator is of the wide kind: for the other one, the selectors are left out of its input.
struct Terminal {
    parser: Parser,
    kind: Kind,
}

impl Terminal {
    fn new(columns: u16, rows: u16, kind: Kind) -> Self {
        Self { parser: Parser::new(rows.try_into().unwrap(), columns.try_into().unwrap(), 0), kind }
    }

    fn write(&mut self, bytes: &[u8]) {
        let text = std::str::from_utf8(bytes).expect("frames are text");
        match self.kind {
            Kind::Wide => self.parser.process(bytes),
            Kind::Narrow => self.parser.process(text.replace('\u{fe0f}', "").as_bytes()),
        }
    }

    fn row(&self, row: u16) -> String {
        let screen = self.parser.screen();
        let columns = screen.size().1;
        (0..columns.get()).filter_map(|column| screen.cell(row, column)).fold(String::new(), |mut text, cell| {
            match cell.contents() {
                "" if cell.is_wide_continuation() => {}
                "" => text.push(' '),
                contents => text.push_str(contents),
            }
            text
        })
    }
}

/// A buffer with those drawn texts, a row each.
fn buffer(columns: u16, rows: &[String]) -> Buffer {
    let mut buffer = Buffer::empty(Rect::new(0, 0, columns, rows.len() as u16));
    for (y, row) in rows.iter().enumerate() {
        let mut x = 0;
        for cluster in row.graphemes(true) {
            let width = cluster_columns(cluster) as u16;
            if x + width > columns {
                break;
            }
            buffer[(x, y as u16)].set_symbol(cluster);
            x += width;
        }
    }
    buffer
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap().replace('\x1b', "^")
}

#[test]
fn only_what_changed_is_written() {
    let mut diff = Diff::default();
    let rows = |rows: &[&str]| rows.iter().map(|row| (*row).to_owned()).collect::<Vec<_>>();
    let first = buffer(10, &rows(&["hello", "", "x"]));
    let frame = diff.frame(&first, Some(Position::new(1, 2)));
    assert_eq!(text(&frame), "^[?2026h^[?25l^[?7l^[0m^[2J^[1;1Hhello^[3;1Hx^[?7h^[3;2H^[?25h^[?2026l");
    assert_eq!(diff.frame(&first, Some(Position::new(1, 2))), b"", "nothing changed");
    let moved = diff.frame(&first, Some(Position::new(2, 2)));
    assert_eq!(text(&moved), "^[?2026h^[?25l^[?7l^[?7h^[3;3H^[?25h^[?2026l");
    let second = buffer(10, &rows(&["help", "世 a", "x"]));
    assert_eq!(text(&diff.frame(&second, None)), "^[?2026h^[?25l^[?7l^[1;4Hp^[K^[2;1H世 a^[K^[?7h^[?2026l");
    diff.forget();
    assert!(text(&diff.frame(&second, None)).contains("^[2J"));
}

#[test]
fn long_blanks_are_erased_and_long_equal_parts_are_passed_over() {
    let row = |left: &str, right: &str| buffer(40, &[format!("{left}{}{right}", " ".repeat(38 - left.len()))]);
    let mut diff = Diff::default();
    diff.frame(&row("a long text at the left", "|x"), None);
    let shorter = text(&diff.frame(&row("a", "|y"), None));
    assert_eq!(shorter, "^[?2026h^[?25l^[?7l^[1;3H^[36X^[1;39H|y^[?7h^[?2026l");
    let longer = text(&diff.frame(&row("b", "|z"), None));
    assert_eq!(longer, "^[?2026h^[?25l^[?7l^[1;1Hb^[1;40Hz^[?7h^[?2026l");
}

#[test]
fn styles_are_written_where_they_change() {
    let mut next = buffer(6, &["abcdef".to_owned()]);
    next.set_style(Rect::new(1, 0, 2, 1), Style::new().fg(Color::Indexed(214)).add_modifier(Modifier::BOLD));
    next.set_style(Rect::new(3, 0, 1, 1), Style::new().fg(Color::Indexed(9)).bg(Color::Indexed(236)));
    let frame = text(&Diff::default().frame(&next, None));
    assert!(frame.contains("^[1;1Ha^[0;1;38;5;214mbc^[0;91;48;5;236md^[0mef"), "{frame}");
}

/// A blank shows no foreground, so it needs no style of its own, unless what was written before shows on it.
#[test]
fn blanks_have_a_style_only_where_it_shows() {
    let mut next = buffer(5, &["a b c".to_owned()]);
    next.set_style(Rect::new(0, 0, 1, 1), Style::new().fg(Color::Indexed(214)));
    next.set_style(Rect::new(2, 0, 1, 1), Style::new().add_modifier(Modifier::UNDERLINED));
    let frame = text(&Diff::default().frame(&next, None));
    assert!(frame.contains("^[0;38;5;214ma ^[0;4mb^[0m c"), "{frame}");
}

/// What replaces the wide character must not move the rest, and nothing is drawn in the last column that may not fit.
#[test]
fn a_character_that_may_not_fit_is_replaced() {
    let mut diff = Diff::default();
    let frame = diff.frame(&buffer(4, &["abc☺".to_owned(), "ab☺d".to_owned()]), None);
    let frame = text(&frame);
    assert!(frame.contains("^[2K^[1;1Habc?"), "{frame}");
    assert!(frame.contains("^[2K^[2;1Hab☺^[2;4Hd"), "{frame}");
}

/// Texts that terminals disagree about, each in a row of its own between rows that must stay as they are.
const HARD: [&str; 12] = [
    "☺️☺️☺️ x",
    "☺️☺️☺️☺️☺️☺️☺️☺️☺️☺️☺️☺️☺️☺️☺️☺️☺️☺️☺️☺️☺️",
    "👩‍👩‍👧‍👦👩‍👩‍👧‍👦👩‍👩‍👧‍👦👩‍👩‍👧‍👦👩‍👩‍👧‍👦👩‍👩‍👧‍👦👩‍👩‍👧‍👦👩‍👩‍👧‍👦👩‍👩‍👧‍👦👩‍👩‍👧‍👦",
    "1️⃣2️⃣3️⃣ 🇩🇪🇫🇷🇮🇹🇩🇪🇫🇷🇮🇹🇩🇪🇫🇷🇮🇹🇩🇪",
    "a\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}b",
    "क्षत्रिय क्षत्रिय क्षत्रिय",
    "ﷺ ﷽ ﷽ ﷽ ﷽ ﷽ ﷽ ﷽ ﷽ ﷽",
    "\u{17d8}\u{17d8}\u{17d8}\u{17d8}\u{17d8}\u{17d8}\u{17d8}\u{17d8}",
    "世界世界世界世界世界世界世界世界世界世界",
    "│││││││││││││││││││││││││",
    "\u{1b}[2J\u{1b}[H\u{9b}1;1H\r\n\n\u{85}\u{2028}x",
    "👍🏽👍🏽👍🏽👍🏽👍🏽👍🏽👍🏽👍🏽👍🏽👍🏽👍🏽",
];

/// Rows: a fixed one, a hard one, a fixed one, and so on.
fn scene(columns: u16, hard: &[String]) -> Vec<String> {
    let mut rows = Vec::new();
    for (number, text) in hard.iter().enumerate() {
        let number = format!("{number}");
        rows.push(format!("{}{number}", ".".repeat(usize::from(columns) - number.len())));
        rows.push(text.clone());
    }
    rows.push("=".repeat(usize::from(columns)));
    rows
}

/// The fixed rows are on the terminal as they should be.
fn check_fixed_rows(terminal: &Terminal, rows: &[String]) {
    for (y, row) in rows.iter().enumerate().step_by(2) {
        assert_eq!(terminal.row(y as u16), *row, "row {y} on a {:?} terminal", terminal.kind);
    }
}

#[test]
fn hard_text_stays_in_its_row() {
    for emoji in [Emoji::Simple, Emoji::Full] {
        for columns in [8, 19, 20, 21, 40] {
            for kind in KINDS {
                let hard: Vec<_> = HARD.iter().map(|text| drawn(text, emoji).into_owned()).collect();
                let rows = scene(columns, &hard);
                let mut terminal = Terminal::new(columns, rows.len() as u16, kind);
                let mut diff = Diff::default();
                terminal.write(&diff.frame(&buffer(columns, &rows), None));
                check_fixed_rows(&terminal, &rows);
                // In another order, over what is there: nothing of it is left.
                let mut turned = hard.clone();
                turned.rotate_left(5);
                let turned = scene(columns, &turned);
                terminal.write(&diff.frame(&buffer(columns, &turned), None));
                check_fixed_rows(&terminal, &turned);
                let plain = scene(columns, &vec!["plain".to_owned(); hard.len()]);
                terminal.write(&diff.frame(&buffer(columns, &plain), None));
                for (y, row) in plain.iter().enumerate() {
                    assert_eq!(terminal.row(y as u16).trim_end(), row.trim_end(), "row {y} on a {kind:?} terminal");
                }
            }
        }
    }
}

/// A separator after hard text is in its column, on both kinds of terminals.
#[test]
fn the_columns_after_hard_text_stay() {
    for kind in KINDS {
        for text in HARD {
            let text = drawn(text, Emoji::Full);
            let text = super::super::width::cut(&text, 20).into_owned();
            let row = format!("{text}{}| ann", " ".repeat(24 - columns(&text)));
            let mut terminal = Terminal::new(30, 1, kind);
            terminal.write(&Diff::default().frame(&buffer(30, &[row]), None));
            let screen = terminal.parser.screen();
            let shown: String = (24..29).map(|column| screen.cell(0, column).unwrap().contents()).collect();
            assert_eq!(shown, "| ann", "{text:?} on a {kind:?} terminal");
        }
    }
}

/// The bytes of whole screens, with the texts of attackers, on both kinds of terminals.
#[test]
fn a_hostile_room_stays_in_its_rows() {
    use crate::tui::paint::tests::{SIZES, hostile_screens};
    for (columns, rows) in SIZES {
        for kind in KINDS {
            let mut diff = Diff::default();
            let mut terminal = Terminal::new(columns, rows, kind);
            for (screen, cursor) in hostile_screens(columns, rows) {
                terminal.write(&diff.frame(&screen, cursor));
                // The status row and the input are below all messages.
                let status = terminal.row(rows - 2);
                assert!(status.starts_with(" [21:03] [ann] [2:tea]"), "{status:?} on a {kind:?} terminal");
                assert!(terminal.row(rows - 1).starts_with("[tea] "));
                // The columns of the messages are where they belong.
                for y in 1..rows - 3 {
                    let column = if columns < 80 {
                        15
                    } else if columns < 200 {
                        38
                    } else {
                        42
                    };
                    let cell = terminal.parser.screen().cell(y, column).unwrap().contents();
                    assert!(["│", "", " ", "─"].iter().any(|line| cell.starts_with(line)), "row {y}: {cell:?}");
                }
                let place = cursor.map(|cursor| (cursor.y, cursor.x));
                assert_eq!(place, Some(terminal.parser.screen().cursor_position()));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    /// After any sequence of screens, the terminal shows the last one.
    #[test]
    fn the_terminal_shows_the_last_screen(
        screens in proptest::collection::vec(proptest::collection::vec("[ a-c世é]{0,9} {0,20}[ab世]{0,3}", 4), 1..6)
    ) {
        let mut diff = Diff::default();
        let mut terminal = Terminal::new(30, 4, Kind::Wide);
        for screen in &screens {
            terminal.write(&diff.frame(&buffer(30, screen), None));
            let expected = buffer(30, screen);
            let mut fresh = Terminal::new(30, 4, Kind::Wide);
            fresh.write(&Diff::default().frame(&expected, None));
            for y in 0..4 {
                prop_assert_eq!(terminal.row(y), fresh.row(y));
                let row: String = screen[usize::from(y)].graphemes(true).scan(0, |used, cluster| {
                    *used += cluster_columns(cluster);
                    (*used <= 30).then_some(cluster)
                }).collect();
                let shown = terminal.row(y);
                prop_assert_eq!(shown.trim_end(), row.trim_end());
            }
        }
    }

    /// Whatever the text, the rows above and below it stay.
    #[test]
    fn any_text_stays_in_its_row(text in "(\\PC|[\u{200d}\u{fe0f}\u{301}☺👩👍🇩\u{7}\u{1b}]){0,40}", columns in 4..30u16, full: bool) {
        let emoji = if full { Emoji::Full } else { Emoji::Simple };
        let rows = scene(columns, &[drawn(&text, emoji).into_owned()]);
        for kind in KINDS {
            let mut terminal = Terminal::new(columns, 3, kind);
            terminal.write(&Diff::default().frame(&buffer(columns, &rows), None));
            check_fixed_rows(&terminal, &rows);
        }
    }
}
