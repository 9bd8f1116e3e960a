//! The damage that was found, so that each range of messages is logged once and not for each reader that reaches it.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::limits::DAMAGE_FINDINGS_MAX;
use crate::names::Seq;
use crate::server::log::faults::LogFaults;

/// The remedy for damage.
pub const REMEDY: &str = "hubbub-server verify lists all damage, and hubbub-server restore restores a backup";

/// Shared by all who use one open database.
#[derive(Default)]
pub struct Damage {
    // lock order: 3 (a leaf, held for one lookup)
    told: Mutex<HashSet<(String, Finding)>>,
    is_full: AtomicBool,
    faults: Arc<LogFaults>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Finding {
    /// Messages that can't be read, by the last of them.
    Messages(Seq),
    /// The room accepts no posts.
    Posts,
    /// Retention can't delete all due messages.
    Retention,
}

impl Damage {
    /// Where it is counted.
    pub fn faults(&self) -> &Arc<LogFaults> {
        &self.faults
    }

    /// Logs that messages can't be read, unless that was logged before.
    pub fn messages(&self, room: &str, from: Seq, to: Seq) {
        if self.is_new(room, Finding::Messages(to)) {
            let range = range(from, to);
            log::error!("room {room}: {range} can't be read, because the log is damaged; clients skip them; {REMEDY}");
        }
    }

    /// Logs that posts to a room are rejected, unless that was logged before.
    pub fn posts(&self, room: &str, fault: &str) {
        if self.is_new(room, Finding::Posts) {
            log::error!("room {room}: posts are rejected, because the log is damaged ({fault}); {REMEDY}");
        }
    }

    /// Logs that retention leaves messages of a room in the log, unless that was logged before.
    pub fn retention(&self, room: &str, fault: &str) {
        if self.is_new(room, Finding::Retention) {
            log::error!(
                "room {room}: retention can't delete damaged messages ({fault}); they are no longer served; {REMEDY}"
            );
        }
    }

    fn is_new(&self, room: &str, finding: Finding) -> bool {
        let mut told = self.told.lock();
        if told.len() < DAMAGE_FINDINGS_MAX {
            let is_new = told.insert((room.to_owned(), finding));
            if is_new {
                self.faults.damaged_places.add(1);
            }
            return is_new;
        }
        drop(told);
        if !self.is_full.swap(true, Ordering::Relaxed) {
            log::error!("more than {DAMAGE_FINDINGS_MAX} places of the log are damaged; {REMEDY}");
        }
        false
    }
}

/// A range of messages in words.
pub fn range(from: Seq, to: Seq) -> String {
    if from == to { format!("message {from}") } else { format!("messages {from} to {to}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_counts_once() {
        let damage = Damage::default();
        for _ in 0..2 {
            damage.messages("tea", Seq(2), Seq(3));
            // A reader that begins within it.
            damage.messages("tea", Seq(3), Seq(3));
            damage.messages("attic", Seq(3), Seq(3));
            damage.posts("tea", "its end can't be read");
        }
        assert_eq!(damage.faults().damaged_places.get(), 3);
    }
}
