//! How far the user has read a room: the mark that is kept across restarts, the line on the screen, and the counts of
//! unread messages. Pure logic.
//!
//! - The mark moves only when the room was seen to its end with the terminal focused, or when the user sends something.
//! - The line is where the mark was when the user entered the room, or when the terminal lost the focus. It stays there
//!   while the user looks at the room; otherwise it would vanish at the first glance.
//! - A room that the user marked as unread stays so until it is entered again.

use super::super::entry::HeldMessage;

/// How far a room was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// All messages up to this seq are read. `None` before the first join.
    mark: Option<u64>,
    /// The line is shown before the first message of somebody else above this seq.
    line: Option<u64>,
    unread: u64,
    mentions: u64,
    /// Unread messages may be missing in the counts.
    is_minimum: bool,
    /// The events that were counted: from the first to the last one.
    counted: Option<(u64, u64)>,
    /// The user marked the room as unread and still looks at it.
    is_kept_unread: bool,
}

impl Reading {
    /// With the mark of an earlier chat.
    pub fn new(mark: Option<u64>) -> Self {
        Self { mark, ..Self::default() }
    }

    /// The room was joined. Without a mark of an earlier chat, everything before is read.
    pub fn joined(&mut self, head_seq: u64) {
        self.mark.get_or_insert(head_seq);
    }

    /// A message arrived live, or in the history of the join.
    pub fn arrived(&mut self, held: &HeldMessage) {
        let seq = held.message.seq;
        self.is_minimum |= self.counted.is_none() && self.mark.is_some_and(|mark| mark.saturating_add(1) < seq);
        self.count(held);
        let (first, last) = self.counted.unwrap_or((seq, seq));
        self.counted = Some((first, last.max(seq)));
    }

    /// A page of older messages arrived, which ends where the counted ones begin.
    pub fn older<'a>(&mut self, first_seq: u64, messages: impl Iterator<Item = &'a HeldMessage>) {
        let Some((first, last)) = self.counted else { return };
        messages.filter(|held| held.message.seq < first).for_each(|held| self.count(held));
        self.counted = Some((first.min(first_seq), last));
        if self.mark.is_some_and(|mark| first_seq <= mark.saturating_add(1)) {
            self.is_minimum = false;
        }
    }

    fn count(&mut self, held: &HeldMessage) {
        if !held.is_own && self.mark.is_some_and(|mark| held.message.seq > mark) {
            self.unread += 1;
            self.mentions += u64::from(held.mentions_me);
        }
    }

    /// The user entered the room.
    pub fn entered(&mut self) {
        self.is_kept_unread = false;
        self.line = self.mark.filter(|_| self.unread > 0);
    }

    /// The terminal lost the focus while the room was shown: what comes now is below the line.
    pub fn lost_focus(&mut self) {
        if self.unread == 0 {
            self.line = self.mark;
        }
    }

    /// The room was seen to its end, which is this seq, with the terminal focused. True: something changed.
    pub fn seen(&mut self, head_seq: u64) -> bool {
        if self.is_kept_unread {
            return false;
        }
        let before = (self.mark, self.unread);
        self.mark = self.mark.max(Some(head_seq));
        (self.unread, self.mentions, self.is_minimum) = (0, 0, false);
        before != (self.mark, self.unread)
    }

    /// The user sent something, or wants the line to go.
    pub fn done(&mut self, head_seq: u64) {
        self.is_kept_unread = false;
        self.seen(head_seq);
        self.line = None;
    }

    /// The user marked the room as unread from that message on. `held` are the messages from there on.
    pub fn mark_unread<'a>(&mut self, from_seq: u64, held: impl Iterator<Item = &'a HeldMessage>) {
        let mark = from_seq.saturating_sub(1);
        (self.mark, self.line) = (Some(mark), Some(mark));
        (self.unread, self.mentions, self.is_kept_unread) = (0, 0, true);
        held.for_each(|held| self.count(held));
    }

    /// The history above this seq was replaced.
    pub fn replaced(&mut self, last_seq: u64) {
        self.mark = self.mark.map(|mark| mark.min(last_seq));
        self.line = self.line.map(|line| line.min(last_seq));
        self.counted = None;
    }

    /// The mark, which is kept across restarts.
    pub fn mark(&self) -> Option<u64> {
        self.mark
    }

    pub fn line(&self) -> Option<u64> {
        self.line
    }

    pub fn unread(&self) -> u64 {
        self.unread
    }

    pub fn mentions(&self) -> u64 {
        self.mentions
    }

    /// There may be more unread messages than counted.
    pub fn is_minimum(&self) -> bool {
        self.is_minimum && self.unread > 0
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::message;
    use super::*;

    fn held(seq: u64) -> HeldMessage {
        HeldMessage { message: message(seq, "bob", "hi"), is_own: false, mentions_me: seq.is_multiple_of(10) }
    }

    #[test]
    fn at_the_first_start_the_history_is_read() {
        let mut reading = Reading::new(None);
        reading.joined(50);
        (1..=50).for_each(|seq| reading.arrived(&held(seq)));
        assert_eq!((reading.unread(), reading.line()), (0, None));
        reading.arrived(&held(51));
        assert_eq!((reading.unread(), reading.is_minimum()), (1, false));
    }

    #[test]
    fn what_came_since_the_last_chat_is_unread() {
        let mut reading = Reading::new(Some(30));
        reading.joined(50);
        (41..=50).for_each(|seq| reading.arrived(&held(seq)));
        assert_eq!((reading.unread(), reading.mentions(), reading.is_minimum()), (10, 1, true));
        // A page of older messages completes the counts, whatever of it was counted before.
        let page: Vec<_> = (21..=45).map(held).collect();
        reading.older(21, page.iter());
        assert_eq!((reading.unread(), reading.mentions(), reading.is_minimum()), (20, 2, false));
    }

    #[test]
    fn own_messages_are_not_unread() {
        let mut reading = Reading::new(Some(0));
        reading.joined(0);
        reading.arrived(&HeldMessage { is_own: true, ..held(1) });
        assert_eq!(reading.unread(), 0);
    }

    /// The line would vanish at once if it followed the mark.
    #[test]
    fn the_line_stays_while_the_user_reads() {
        let mut reading = Reading::new(Some(30));
        reading.joined(40);
        (31..=40).for_each(|seq| reading.arrived(&held(seq)));
        reading.entered();
        assert!(reading.seen(40));
        assert!(!reading.seen(40));
        assert_eq!((reading.mark(), reading.line(), reading.unread()), (Some(40), Some(30), 0));
        // Back in the room, there is nothing new.
        reading.entered();
        assert_eq!(reading.line(), None);
        // What comes while the terminal has no focus is below the line.
        reading.lost_focus();
        reading.arrived(&held(41));
        reading.lost_focus();
        assert_eq!((reading.line(), reading.unread()), (Some(40), 1));
        reading.done(41);
        assert_eq!((reading.line(), reading.unread(), reading.mark()), (None, 0, Some(41)));
    }

    #[test]
    fn a_room_that_was_marked_unread_stays_so_while_it_is_looked_at() {
        let mut reading = Reading::new(Some(50));
        let from: Vec<_> = (45..=50).map(held).collect();
        reading.mark_unread(45, from.iter());
        assert!(!reading.seen(50));
        assert_eq!((reading.mark(), reading.line(), reading.unread()), (Some(44), Some(44), 6));
        reading.entered();
        assert!(reading.seen(50));
        assert_eq!(reading.unread(), 0);
    }

    #[test]
    fn a_replaced_history_moves_the_mark_back() {
        let mut reading = Reading::new(Some(100));
        reading.replaced(80);
        reading.joined(90);
        (81..=90).for_each(|seq| reading.arrived(&held(seq)));
        assert_eq!((reading.mark(), reading.unread(), reading.is_minimum()), (Some(80), 10, false));
    }
}
