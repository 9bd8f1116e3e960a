//! The screen's place in a room, how it moves, and what it shows. Plain data.

use super::super::entry::Key;
use super::super::message::RowStyle;
use super::super::view::ShownRow;

/// The screen's place in the room.
#[derive(Clone, Debug, Default)]
pub struct Pane {
    /// The last row of the screen; `None` at the end.
    pub anchor: Option<Anchor>,
    /// As they were shown last.
    pub style: Option<RowStyle>,
    pub height: usize,
    /// The first and the last slot that were shown.
    pub slots: (usize, usize),
    /// At the end, what is up to this entry is not shown.
    pub cleared: Option<Key>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchor {
    pub key: Key,
    pub row: usize,
}

/// What is shown.
#[derive(Clone, Debug, Default)]
pub struct Screenful {
    pub rows: Vec<ShownRow>,
    /// How many messages and other lines are below.
    pub below: u64,
    /// Nothing is below.
    pub at_end: bool,
}

/// How to scroll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scroll {
    /// By a number of rows; negative is up.
    Rows(isize),
    /// By half a screen, or by a whole one without two rows; negative is up.
    HalfPages(isize),
    Pages(isize),
    /// To the first row in memory. What is before it is read from the server.
    Start,
    /// To the newest message.
    End,
    /// The same, and what is there now is scrolled away.
    Clear,
    /// To the line of unread messages.
    Unread,
    /// To the next mention of the user above the screen, or below it.
    MentionAbove,
    MentionBelow,
}

impl Pane {
    /// The key of the last entry on the screen; `None` at the end.
    pub fn anchor_key(&self) -> Option<Key> {
        self.anchor.map(|anchor| anchor.key)
    }

    pub fn shown_slots(&self) -> (usize, usize) {
        self.slots
    }

    pub fn go_to_end(&mut self) {
        self.anchor = None;
    }
}

/// Which message to choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Older,
    Newer,
}
