//! The earlier states of a draft, for undo. Pure logic.

use std::collections::VecDeque;

/// How many earlier states of the draft can be restored, and how many bytes they may have.
const STATES_MAX: usize = 100;
const BYTES_MAX: usize = 4 * 1024 * 1024;

/// Earlier drafts with their cursors, the oldest first.
#[derive(Debug, Default)]
pub struct UndoStates(VecDeque<(String, usize)>);

impl UndoStates {
    /// Records the draft before a change.
    pub fn push(&mut self, line: &str, cursor: usize) {
        if self.0.back().is_some_and(|(last, _)| last == line) {
            return;
        }
        self.0.push_back((line.to_owned(), cursor));
        while self.0.len() > STATES_MAX || self.0.iter().map(|(line, _)| line.len()).sum::<usize>() > BYTES_MAX {
            self.0.pop_front();
        }
    }

    /// The last state that differs from the draft.
    pub fn pop(&mut self, line: &str) -> Option<(String, usize)> {
        while let Some(state) = self.0.pop_back() {
            if state.0 != line {
                return Some(state);
            }
        }
        None
    }
}
