//! The lines that were entered before.

use std::collections::VecDeque;

/// The most that a history keeps, in bytes.
const BYTES_MAX: usize = 1024 * 1024;

/// Entered lines, the oldest first.
#[derive(Debug)]
pub struct History {
    lines: VecDeque<String>,
    bytes: usize,
    lines_max: usize,
}

impl History {
    pub fn new(lines_max: usize) -> Self {
        Self { lines: VecDeque::new(), bytes: 0, lines_max }
    }

    /// Adds a line, unless it is blank or the same as the last one.
    pub fn push(&mut self, line: &str) {
        if line.trim().is_empty() || self.lines.back().is_some_and(|last| last == line) || line.len() > BYTES_MAX {
            return;
        }
        self.lines.push_back(line.to_owned());
        self.bytes += line.len();
        while self.lines.len() > self.lines_max || self.bytes > BYTES_MAX {
            self.bytes -= self.lines.pop_front().map_or(0, |line| line.len());
        }
    }

    pub fn len(&self) -> usize {
        self.lines.len()
    }

    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    pub fn get(&self, at: usize) -> Option<&str> {
        self.lines.get(at).map(String::as_str)
    }

    /// The newest line before `end` that contains the text, without regard to case.
    pub fn rfind(&self, text: &str, end: usize) -> Option<usize> {
        let text = text.to_lowercase();
        (0..end.min(self.len())).rev().find(|at| self.lines[*at].to_lowercase().contains(&text))
    }
}

/// The line of a history that is shown in place of the draft.
#[derive(Debug, Default)]
pub struct Recall {
    /// Its place, and the draft that it replaced.
    shown: Option<(usize, String)>,
}

impl Recall {
    /// The line before or after the shown one, or the draft after the newest. `None`: there is none.
    pub fn step(&mut self, history: &History, back: bool, current: &str) -> Option<String> {
        let at = self.shown.as_ref().map_or(history.len(), |(at, _)| *at);
        let wanted = if back { at.checked_sub(1)? } else { at + 1 };
        if wanted > history.len() {
            return None;
        }
        let draft = self.shown.take().map_or_else(|| current.to_owned(), |(_, draft)| draft);
        match history.get(wanted) {
            Some(line) => {
                self.shown = Some((wanted, draft));
                Some(line.to_owned())
            }
            None => Some(draft),
        }
    }

    /// Begins again at the newest line, of another history. The draft is kept.
    pub fn restart(&mut self, history: &History) {
        if let Some((at, _)) = &mut self.shown {
            *at = history.len();
        }
    }

    /// The shown line is the draft now. Returns the draft that it replaced.
    pub fn end(&mut self) -> Option<String> {
        self.shown.take().map(|(_, draft)| draft)
    }

    /// The draft that the shown line replaces.
    pub fn draft(&self) -> Option<&str> {
        self.shown.as_ref().map(|(_, draft)| draft.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(lines: &[&str]) -> History {
        let mut history = History::new(3);
        lines.iter().for_each(|line| history.push(line));
        history
    }

    #[test]
    fn a_history_is_bounded_and_has_no_repeats() {
        let history = history(&["a", "b", "b", " ", "c", "d"]);
        assert_eq!((0..4).map(|at| history.get(at)).collect::<Vec<_>>(), [Some("b"), Some("c"), Some("d"), None]);
        let mut history = History::new(1000);
        for n in 0..100 {
            history.push(&format!("{n}{}", "x".repeat(64 * 1024)));
        }
        assert!(history.len() < 17 && history.bytes <= BYTES_MAX);
        history.push(&"y".repeat(BYTES_MAX + 1));
        assert!(history.get(history.len() - 1).unwrap().starts_with("99"));
    }

    #[test]
    fn lines_are_recalled_and_the_draft_comes_back() {
        let history = history(&["one", "two"]);
        let mut recall = Recall::default();
        assert_eq!(recall.step(&history, false, "draft"), None);
        assert_eq!(recall.step(&history, true, "draft").as_deref(), Some("two"));
        assert_eq!(recall.step(&history, true, "two").as_deref(), Some("one"));
        assert_eq!(recall.step(&history, true, "one"), None);
        assert_eq!(recall.draft(), Some("draft"));
        assert_eq!(recall.step(&history, false, "one").as_deref(), Some("two"));
        assert_eq!(recall.step(&history, false, "two").as_deref(), Some("draft"));
        assert_eq!((recall.step(&history, false, "draft"), recall.draft()), (None, None));
    }

    #[test]
    fn lines_are_found_by_a_part() {
        let history = history(&["Make tea", "make coffee", "drink"]);
        assert_eq!(history.rfind("MAKE", 3), Some(1));
        assert_eq!(history.rfind("make", 1), Some(0));
        assert_eq!(history.rfind("milk", 3), None);
    }
}
