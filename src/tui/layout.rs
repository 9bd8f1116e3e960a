//! Where each part of the screen is. Pure arithmetic.
//!
//! ```text
//! topic                                    the topic row
//!  1 lobby  │ 10:42  ann │ hello   │ ann   rooms, messages and people
//!  2 tea 12 │ 10:43  bob │ hi      │ bob
//! the answer to the last command           if there is one
//! [10:44] [ann] [1:lobby] [Act: 2]         the status row
//! [lobby] type here                        the input, in up to a third of the rows
//! ```
//!
//! The lists are shown if the user wants them, and if the messages keep enough columns. On a low screen, the topic row
//! goes first, then the status row; the input always has a row.

use ratatui::layout::Rect;

use super::color::Role;
use super::view::{Answer, Input, View};
use super::width::{Emoji, columns, cut, drawn, drawn_lines};
use super::wrap::{self, Styled, Typed, Wrapped, typed};

/// The width of the list of rooms, and of people, with the border and a blank column.
const ROOMS_COLUMNS: u16 = 19;
const PEOPLE_COLUMNS: u16 = 17;

/// How many columns the messages keep.
const MESSAGES_COLUMNS_MIN: u16 = 54;

/// How many rows an answer may take.
const ANSWER_ROWS_MAX: usize = 3;

/// From how many rows on there is a topic row, and a status row.
const TOPIC_ROWS_MIN: u16 = 6;
const STATUS_ROWS_MIN: u16 = 3;

/// The place of each part. A part that is not shown is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    pub topic: Rect,
    /// With its border, and a blank column after it.
    pub rooms: Rect,
    pub messages: Rect,
    /// With its border, and a blank column after that.
    pub people: Rect,
    pub answer: Rect,
    pub status: Rect,
    pub input: Rect,
    /// The rows of the input, and the first one that is shown.
    pub typed: Typed,
    pub input_from: usize,
    /// The prompt, which the first row begins with.
    pub prompt: String,
}

impl Layout {
    /// The layout on a screen of that size. The messages of the view are not considered: their rows are made for the
    /// layout.
    pub fn new(screen_columns: u16, screen_rows: u16, view: &View) -> Self {
        let whole = Rect::new(0, 0, screen_columns, screen_rows);
        let mut layout = Self::default();
        if whole.is_empty() {
            return layout;
        }
        layout.lay_out_input(whole, &view.input);
        let mut rest = Rect { height: screen_rows - layout.input.height, ..whole };
        layout.input.y = rest.height;
        if view.bare {
            layout.messages = rest;
            return layout;
        }
        if screen_rows >= STATUS_ROWS_MIN {
            layout.status = take_bottom(&mut rest);
        }
        if let Some(answer) = &view.answer {
            // An answer ends with what to do, so it is shown as a whole if there is space.
            let rows = answer_rows(answer, view.emoji, rest.width, ANSWER_ROWS_MAX).len();
            let rows = rows.min(usize::from(rest.height / 2)).max(1);
            layout.answer = Rect { height: 0, ..rest };
            for _ in 0..rows.min(rest.height.into()) {
                let height = layout.answer.height + 1;
                layout.answer = Rect { height, ..take_bottom(&mut rest) };
            }
        }
        if screen_rows >= TOPIC_ROWS_MIN {
            layout.topic = Rect { height: rest.height.min(1), ..rest };
            rest = Rect { y: rest.y + layout.topic.height, height: rest.height - layout.topic.height, ..rest };
        }
        let has_space = |rest: Rect, list: u16| rest.height > 0 && rest.width >= MESSAGES_COLUMNS_MIN + list;
        if view.shows_rooms && has_space(rest, ROOMS_COLUMNS) {
            layout.rooms = Rect { width: ROOMS_COLUMNS, ..rest };
            rest = Rect { x: rest.x + ROOMS_COLUMNS, width: rest.width - ROOMS_COLUMNS, ..rest };
        }
        if view.shows_people && !view.people.is_empty() && has_space(rest, PEOPLE_COLUMNS) {
            rest.width -= PEOPLE_COLUMNS;
            layout.people = Rect { x: rest.x + rest.width, width: PEOPLE_COLUMNS, ..rest };
        }
        layout.messages = rest;
        layout
    }

    fn lay_out_input(&mut self, whole: Rect, input: &Input) {
        self.prompt = prompt(whole.width, input);
        let indent = columns(&self.prompt);
        self.typed = typed(&input.text, input.cursor, usize::from(whole.width) - indent, drawn_cluster);
        let rows_max = (whole.height / 3).max(1);
        let rows = u16::try_from(self.typed.rows.len()).unwrap_or(u16::MAX).min(rows_max);
        self.input = Rect { height: rows, ..whole };
        // The cursor's row is shown.
        let shown = usize::from(rows);
        self.input_from = self.typed.cursor.0.saturating_sub(shown - 1).min(self.typed.rows.len() - shown);
    }
}

/// The rows of an answer. If there are too many, the last one is cut, with an ellipsis.
pub fn answer_rows(answer: &Answer, emoji: Emoji, width: u16, rows_max: usize) -> Vec<Styled> {
    let role = if answer.is_error { Role::Error } else { Role::Notice };
    let text = drawn_lines(&answer.text, emoji).replace('\n', " ");
    let width = usize::from(width);
    let Wrapped { mut rows, left } = wrap::wrap(&Styled::new(&text, role), width, rows_max);
    if left > 0 {
        let before = wrap::wrap(&Styled::new(&text, role), width, rows_max.saturating_sub(1));
        let last = &text[text.len() - if rows_max > 1 { before.left } else { text.len() }..];
        rows.pop();
        rows.push(Styled::new(&cut(last, width), role));
    }
    rows
}

/// Where Up and Down lead in the input on a screen of that width, in bytes. `None`: there is no such row.
pub fn beside(screen_columns: u16, input: &Input, down: bool) -> Option<usize> {
    let width = usize::from(screen_columns) - columns(&prompt(screen_columns, input));
    wrap::beside(&input.text, input.cursor, width, drawn_cluster, down)
}

/// The prompt as it is drawn: the text needs space too.
fn prompt(screen_columns: u16, input: &Input) -> String {
    let prompt = drawn(&input.prompt, Emoji::Simple);
    cut(&prompt, usize::from(screen_columns / 3)).into_owned()
}

/// A cluster of the input as it is drawn.
fn drawn_cluster(cluster: &str) -> String {
    match cluster {
        "\t" => "    ".to_owned(),
        cluster => drawn(cluster, Emoji::Simple).into_owned(),
    }
}

fn take_bottom(rest: &mut Rect) -> Rect {
    let taken = rest.height.min(1);
    rest.height -= taken;
    Rect { y: rest.y + rest.height, height: taken, ..*rest }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tui::view::{Answer, PersonLine};

    fn view(text: &str, cursor: usize) -> View {
        View {
            shows_rooms: true,
            shows_people: true,
            people: vec![PersonLine::default()],
            input: Input { prompt: "[tea] ".to_owned(), text: text.to_owned(), cursor, ..Input::default() },
            ..View::default()
        }
    }

    #[test]
    fn a_usual_screen_has_the_rooms_and_a_wide_one_the_people_too() {
        let layout = Layout::new(80, 24, &view("", 0));
        assert_eq!(layout.topic, Rect::new(0, 0, 80, 1));
        assert_eq!(layout.rooms, Rect::new(0, 1, 19, 21));
        assert_eq!(layout.messages, Rect::new(19, 1, 61, 21));
        assert!(layout.people.is_empty());
        assert_eq!((layout.status.y, layout.input), (22, Rect::new(0, 23, 80, 1)));
        let layout = Layout::new(200, 60, &view("", 0));
        assert_eq!(layout.people, Rect::new(183, 1, 17, 57));
        assert_eq!(layout.messages.width, 200 - 19 - 17);
        let layout = Layout::new(40, 8, &view("", 0));
        assert!(layout.rooms.is_empty() && layout.people.is_empty());
        assert_eq!(layout.messages, Rect::new(0, 1, 40, 5));
    }

    #[test]
    fn a_long_input_grows_and_scrolls() {
        let text = "x".repeat(1000);
        let layout = Layout::new(80, 24, &view(&text, 0));
        assert_eq!((layout.input.height, layout.input_from), (8, 0));
        let layout = Layout::new(80, 24, &view(&text, 1000));
        assert_eq!((layout.input.height, layout.input_from), (8, layout.typed.rows.len() - 8));
        assert_eq!(Layout::new(80, 24, &view("a\nb", 0)).input.height, 2);
    }

    proptest! {
        /// The parts share no cell, and none is outside the screen, however small it is.
        #[test]
        fn the_parts_are_disjoint(
            columns in 0..220u16, rows in 0..70u16, text in "[a-z\n世 ]{0,200}", cursor in 0..300usize, bare: bool, answer: bool
        ) {
            let mut view = view(&text, cursor);
            view.bare = bare;
            view.answer = answer.then(|| Answer { text: "no".to_owned(), is_error: true });
            let layout = Layout::new(columns, rows, &view);
            let Layout { topic, rooms, messages, people, answer, status, input, .. } = layout;
            let parts = [topic, rooms, messages, people, answer, status, input];
            let area: u32 = parts.iter().map(|part| part.area()).sum();
            prop_assert_eq!(area, u32::from(columns) * u32::from(rows), "{:?}", parts);
            let whole = Rect::new(0, 0, columns, rows);
            for (at, part) in parts.iter().enumerate().filter(|(_, part)| !part.is_empty()) {
                prop_assert_eq!(part.intersection(whole), *part);
                for other in &parts[at + 1..] {
                    prop_assert!(part.intersection(*other).is_empty());
                }
            }
            prop_assert!(columns == 0 || rows == 0 || input.height > 0);
        }
    }
}
