//! Lines of the history in place of the typed text.

use super::{LineEditor, Search, Searching};

impl LineEditor {
    /// The search in the history, if one has begun.
    pub fn searching(&self) -> Option<Searching<'_>> {
        self.search.as_ref().map(Search::state)
    }

    pub(super) fn recall(&mut self, back: bool, in_all: bool) -> bool {
        let Self { lines, all, room, .. } = self;
        let line = lines.entry(room.clone()).or_default();
        let history = if in_all { &*all } else { &line.history };
        if line.recalls_all != in_all {
            line.recalls_all = in_all;
            line.recall.restart(history);
        }
        match line.recall.step(history, back, line.text.text()) {
            Some(text) => line.text.set_at_end(text),
            None => return false,
        }
        true
    }

    pub(super) fn show_found(&mut self) {
        if let Some(search) = &self.search {
            let (text, cursor) = search.shown(&self.all);
            let line = self.lines.entry(self.room.clone()).or_default();
            line.text.set(text.to_owned(), cursor);
        }
    }

    /// Ends a search, with what it found or with the text before. False: there was none.
    pub(super) fn end_search(&mut self, accept: bool) -> bool {
        let Some(search) = self.search.take() else { return false };
        let line = self.line_mut();
        if accept {
            line.recall.end();
        } else {
            let (text, cursor) = search.into_replaced();
            line.text.set(text, cursor);
        }
        true
    }
}
