//! The newest changes of a room, kept for pages of its history that are older than the stream. Pure logic.

use std::collections::VecDeque;

use super::change::LoggedChange;
use super::stored::StoredMessage;

/// How many changes are kept, and how many bytes of text.
pub const CHANGES_MAX: usize = 1_000;
const BYTES_MAX: usize = 1024 * 1024;

/// The newest changes, in the order of seq.
#[derive(Clone, Debug, Default)]
pub struct KeptChanges {
    changes: VecDeque<KeptChange>,
    bytes: usize,
    /// All changes above this seq are kept.
    after: u64,
}

#[derive(Clone, Debug)]
struct KeptChange {
    seq: u64,
    time_ms: u64,
    change: LoggedChange,
}

impl KeptChanges {
    /// Forgets all: only changes above this seq will arrive.
    pub fn start(&mut self, after: u64) {
        *self = Self { after, ..Self::default() };
    }

    /// A change arrived.
    pub fn keep(&mut self, seq: u64, time_ms: u64, change: &LoggedChange) {
        self.bytes += bytes(change);
        self.changes.push_back(KeptChange { seq, time_ms, change: change.clone() });
        while self.changes.len() > CHANGES_MAX || self.bytes > BYTES_MAX {
            let Some(kept) = self.changes.pop_front() else { return };
            self.bytes -= bytes(&kept.change);
            self.after = self.after.max(kept.seq);
        }
    }

    /// Whether all changes after a page with that head are kept.
    pub fn reach(&self, head_seq: u64) -> bool {
        head_seq >= self.after
    }

    /// Applies the changes above the page's head to a message of the page.
    pub fn apply_above(&self, head_seq: u64, message: &mut StoredMessage) {
        for kept in self.changes.iter().filter(|kept| kept.seq > head_seq) {
            if kept.change.message_seq() == Some(message.seq) {
                kept.change.apply(kept.seq, kept.time_ms, message);
            }
        }
    }
}

fn bytes(change: &LoggedChange) -> usize {
    match change {
        LoggedChange::Edited { body, .. } => body.len(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kept_changes_are_bounded() {
        let mut kept = KeptChanges::default();
        kept.start(10);
        assert!(kept.reach(10) && !kept.reach(9));
        let edited = |body: String| LoggedChange::Edited { message_seq: 1, body, mentions: Vec::new() };
        (11..=10 + CHANGES_MAX as u64).for_each(|seq| kept.keep(seq, seq, &edited("x".to_owned())));
        assert!(kept.reach(10) && kept.bytes == CHANGES_MAX);
        kept.keep(2_000, 2_000, &edited("x".repeat(BYTES_MAX)));
        assert!(!kept.reach(1_000) && kept.reach(2_000) && kept.bytes <= BYTES_MAX);
    }
}
