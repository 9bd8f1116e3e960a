//! The days on which tokens were last used, and which of them are not stored yet.
//!
//! A login notes the day in memory. The thread of the accounts stores the days of many tokens together, later.

use std::mem;

use super::list::{Uses, day};
use crate::server::auth::token::TokenId;

/// The last use of each token.
#[derive(Debug, Default)]
pub struct LastUses {
    days: Uses,
    /// Not stored yet. Each token is in it once for each day at most.
    pending: Vec<TokenId>,
}

impl LastUses {
    pub fn new(days: Uses) -> Self {
        Self { days, pending: Vec::new() }
    }

    pub fn days(&self) -> &Uses {
        &self.days
    }

    /// Notes a login. Whether it is the first one that must be stored.
    pub fn note(&mut self, id: TokenId, now_ms: u64) -> bool {
        let today = day(now_ms);
        match self.days.insert(id, today) {
            // A clock that was set back must not have the day stored at each login.
            Some(before) if before >= today => {
                self.days.insert(id, before);
                false
            }
            _ => {
                self.pending.push(id);
                self.pending.len() == 1
            }
        }
    }

    pub fn forget(&mut self, id: TokenId) {
        self.days.remove(&id);
    }

    pub fn is_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// The days to store. They count as stored from now on, until [`put_back`](Self::put_back).
    pub fn take(&mut self) -> Vec<(TokenId, u32)> {
        let mut pending = mem::take(&mut self.pending);
        pending.sort_unstable();
        pending.dedup();
        pending.into_iter().filter_map(|id| self.days.get(&id).map(|day| (id, *day))).collect()
    }

    /// Has days stored later that could not be stored.
    pub fn put_back(&mut self, days: &[(TokenId, u32)]) {
        self.pending.extend(days.iter().map(|(id, _)| *id));
        self.pending.sort_unstable();
        self.pending.dedup();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 24 * 60 * 60 * 1000;

    #[test]
    fn a_day_is_stored_once() {
        let [one, other] = ["0a1b2c3d", "1a1b2c3d"].map(|id| TokenId::parse(id).unwrap());
        let mut uses = LastUses::default();
        assert!(uses.note(one, 5 * DAY + 7));
        assert!(!uses.note(one, 5 * DAY + 9) && !uses.note(other, 5 * DAY));
        assert_eq!(uses.take(), [(one, 5), (other, 5)]);
        assert!(!uses.is_pending() && !uses.note(one, 6 * DAY - 1) && !uses.note(one, 3 * DAY));
        assert!(!uses.is_pending());
        assert!(uses.note(one, 6 * DAY));
        let days = uses.take();
        uses.put_back(&days);
        uses.put_back(&days);
        assert_eq!(uses.take(), [(one, 6)]);
        uses.put_back(&days);
        uses.forget(one);
        assert_eq!(uses.take(), []);
    }
}
