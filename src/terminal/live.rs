//! The live rows at the bottom of the terminal, which are redrawn on every change: the status row, if any, and the
//! draft. Pure text, no terminal.
//!
//! Everything else scrolls up above them. Both rows are shorter than the terminal's width, so they can be erased
//! exactly, unless the window was narrowed since they were drawn: most terminals then reflow them into several rows,
//! the others truncate them. A remaining part of the draft would look like a sent line, so the rows that they take now
//! are counted.

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

use super::wrap::columns_of_text;

/// The rows as they were drawn last.
#[derive(Debug, Default)]
pub struct Drawn {
    status: Option<String>,
    /// The draft's row with its prompt, and the number of columns before the cursor.
    draft: String,
    cursor: usize,
}

impl Drawn {
    /// Draws the rows, from the first column on. `cursor` is in columns of the draft, without the prompt.
    pub fn draw(&mut self, status: Option<String>, prompt: &str, draft: &str, cursor: usize) -> String {
        let (draft, cursor) = (format!("{prompt}{draft}"), columns_of_text(prompt) + cursor);
        let output = match &status {
            Some(status) => format!("{status}\n{draft}\r\x1b[{cursor}C"),
            None => format!("{draft}\r\x1b[{cursor}C"),
        };
        *self = Self { status, draft, cursor };
        output
    }

    /// Rewrites the status row, if it has changed.
    pub fn rewrite_status(&mut self, status: String) -> Option<String> {
        if self.status.as_ref() == Some(&status) {
            return None;
        }
        let output = format!("\r\x1b[A{status}\x1b[K\n\r\x1b[{}C", self.cursor);
        self.status = Some(status);
        Some(output)
    }

    /// Goes to the start of the first row and erases all of them, on a terminal with this many columns now.
    pub fn erase(&mut self, columns: usize, reflows: bool) -> String {
        let up = match reflows {
            true => {
                let status = self.status.as_deref().map_or(0, |status| rows_above(status, usize::MAX, columns) + 1);
                status + rows_above(&self.draft, self.cursor, columns)
            }
            false => usize::from(self.status.is_some()),
        };
        *self = Self::default();
        match up {
            0 => "\r\x1b[J".to_owned(),
            up => format!("\r\x1b[{up}A\x1b[J"),
        }
    }
}

/// The row of the cursor, from 0, when the text is broken into rows of `columns` columns. The cursor is after `cursor`
/// columns of the text.
fn rows_above(text: &str, cursor: usize, columns: usize) -> usize {
    let (mut rows, mut used, mut before) = (0, 0, 0);
    for cluster in text.graphemes(true) {
        let width = cluster.width();
        if used + width > columns {
            (rows, used) = (rows + 1, 0);
        }
        if before >= cursor {
            return rows;
        }
        (used, before) = (used + width, before + width);
    }
    rows
}

/// Whether a terminal reflows rows when it is narrowed. Few don't, and most of them can be identified.
pub fn reflows(variable: impl Fn(&str) -> Option<String>) -> bool {
    let is_set = |name: &str| variable(name).is_some_and(|value| !value.is_empty());
    if is_set("TMUX") {
        return true;
    }
    let term = variable("TERM").unwrap_or_default();
    let cuts = ["linux", "screen", "st", "vt"];
    let is_one = |name: &str| term == name || term.strip_prefix(name).is_some_and(|rest| rest.starts_with(['-', '.']));
    !(is_set("XTERM_VERSION") || is_set("STY") || cuts.into_iter().any(is_one) || term.starts_with("vt"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawn_rows_are_erased_exactly() {
        let mut drawn = Drawn::default();
        assert_eq!(drawn.draw(None, "> ", "abc", 1), "> abc\r\x1b[3C");
        assert_eq!(drawn.erase(80, true), "\r\x1b[J");
        assert_eq!(drawn.draw(Some("* offline".to_owned()), "> ", "世x", 2), "* offline\n> 世x\r\x1b[4C");
        assert_eq!(drawn.rewrite_status("* offline".to_owned()), None);
        assert_eq!(drawn.rewrite_status("* on".to_owned()).as_deref(), Some("\r\x1b[A* on\x1b[K\n\r\x1b[4C"));
        assert_eq!(drawn.erase(80, true), "\r\x1b[1A\x1b[J");
        assert_eq!(drawn.erase(80, true), "\r\x1b[J", "nothing is left");
    }

    /// A regression: narrowing the window left the draft's first row above, where it looked like a line that was sent.
    #[test]
    fn a_narrower_terminal_has_more_rows_to_erase() {
        let up = |status: Option<&str>, draft: &str, cursor: usize, columns: usize, reflows: bool| {
            let mut drawn = Drawn::default();
            drawn.draw(status.map(str::to_owned), "> ", draft, cursor);
            let erase = drawn.erase(columns, reflows);
            erase.strip_prefix("\r\x1b[").and_then(|rest| rest.split('A').next()?.parse().ok()).unwrap_or(0)
        };
        let draft = "x".repeat(18);
        assert_eq!(up(None, &draft, 18, 20, true), 0);
        assert_eq!(up(None, &draft, 18, 10, true), 1, "the cursor waits at the right edge");
        assert_eq!(up(None, &draft, 8, 10, true), 1, "the cursor stands on the second row's first character");
        assert_eq!(up(None, &draft, 7, 10, true), 0);
        assert_eq!(up(None, &draft, 18, 6, true), 3);
        assert_eq!(up(Some("* offline"), &draft, 18, 6, true), 5);
        assert_eq!(up(Some("* offline"), &draft, 18, 6, false), 1);
        // A wide character does not fit into the last column.
        assert_eq!(up(None, "世世世", 6, 5, true), 1);
        assert_eq!(up(None, "世世世", 6, 3, true), 3);
    }

    #[test]
    fn terminals_that_truncate_rows_are_identified() {
        let reflows = |variables: &[(&str, &str)]| {
            reflows(|name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
        };
        assert!(reflows(&[("TERM", "xterm-256color")]) && reflows(&[("TERM", "screen-256color"), ("TMUX", "x")]));
        assert!(reflows(&[("TERM", "foot"), ("XTERM_VERSION", "")]));
        for variables in [
            &[("TERM", "xterm-256color"), ("XTERM_VERSION", "XTerm(390)")][..],
            &[("TERM", "screen.xterm-256color"), ("STY", "1.pts")],
            &[("TERM", "linux")],
            &[("TERM", "st-256color")],
            &[("TERM", "vt220")],
        ] {
            assert!(!reflows(variables), "{variables:?}");
        }
    }
}
