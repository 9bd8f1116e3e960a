//! The search in the history with Ctrl-R.

use crate::editing::History;

/// A search. Each further Ctrl-R finds an older line.
#[derive(Debug)]
pub struct Search {
    pattern: String,
    /// The place of the line that was found.
    found: Option<usize>,
    /// Nothing older has the pattern.
    failed: bool,
    /// The text that the line replaces, and its cursor.
    replaced: (String, usize),
}

/// A search as the screen shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Searching<'a> {
    pub pattern: &'a str,
    /// No line, or no older one, has the pattern.
    pub failed: bool,
}

impl Search {
    pub fn new(text: String, cursor: usize) -> Self {
        Self { pattern: String::new(), found: None, failed: false, replaced: (text, cursor) }
    }

    pub fn state(&self) -> Searching<'_> {
        Searching { pattern: &self.pattern, failed: self.failed }
    }

    /// The text before the search.
    pub fn replaced(&self) -> &str {
        &self.replaced.0
    }

    pub fn into_replaced(self) -> (String, usize) {
        self.replaced
    }

    /// Adds to the pattern. The line that was found stays if it has the longer pattern too.
    pub fn extend(&mut self, text: &str, history: &History) {
        self.pattern.push_str(text);
        let end = self.found.map_or(history.len(), |found| found + 1);
        self.find(history, end);
    }

    /// Removes the last character of the pattern. False: it is empty.
    pub fn shorten(&mut self, history: &History) -> bool {
        let removed = self.pattern.pop().is_some();
        self.find(history, history.len());
        removed
    }

    /// Finds an older line. False: there is none.
    pub fn next(&mut self, history: &History) -> bool {
        let end = self.found.unwrap_or(history.len());
        self.find(history, end);
        !self.failed
    }

    fn find(&mut self, history: &History, end: usize) {
        if self.pattern.is_empty() {
            (self.found, self.failed) = (None, false);
            return;
        }
        let found = history.rfind(&self.pattern, end);
        self.failed = found.is_none();
        // The last one found stays on the screen.
        self.found = found.or(self.found);
    }

    /// The text to show, with the cursor behind the pattern.
    pub fn shown<'a>(&'a self, history: &'a History) -> (&'a str, usize) {
        match self.found.and_then(|at| history.get(at)) {
            Some(line) => {
                let at = line.to_lowercase().find(&self.pattern.to_lowercase());
                // Small letters may take other bytes; then the end serves.
                let same = line.to_lowercase().len() == line.len();
                let end = at.filter(|_| same).map(|at| at + self.pattern.len());
                (line, end.filter(|end| line.is_char_boundary(*end)).unwrap_or(line.len()))
            }
            None => (&self.replaced.0, self.replaced.1),
        }
    }
}
