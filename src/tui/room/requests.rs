//! The pages of history that a room needs, and those that were requested. Plain data.

use crate::client::PagePlace;

/// How many messages a page has.
pub const PAGE_MESSAGES: u32 = 200;

/// A page of history that the room needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The newest one.
    Newest,
    /// The messages before this seq, or after it.
    Before(u64),
    After(u64),
    /// The messages on both sides of this seq.
    Around(u64),
}

impl Wanted {
    /// What to ask the server for, and how many messages.
    pub fn place(self) -> (PagePlace, u32) {
        let place = match self {
            Self::Newest => PagePlace::Newest,
            Self::Before(seq) => PagePlace::Before(seq),
            Self::After(seq) => PagePlace::After(seq),
            Self::Around(seq) => PagePlace::Before(seq.saturating_add(u64::from(PAGE_MESSAGES / 2))),
        };
        (place, PAGE_MESSAGES)
    }
}

/// The pages that were requested.
#[derive(Clone, Debug, Default)]
pub struct Requests {
    /// Requested, and not answered yet.
    pub pending: Option<Wanted>,
    /// The user wants to be there.
    pub target: Option<Wanted>,
    /// The last request failed: wait until the user moves, or the room is joined again.
    pub has_failed: bool,
    /// There is nothing before this seq.
    pub start_seq: Option<u64>,
}

impl Requests {
    /// Requests may succeed again.
    pub fn resume(&mut self) {
        self.has_failed = false;
    }

    pub fn is_loading(&self) -> bool {
        self.pending.is_some()
    }
}
