//! The position at which a client that joins a room starts to read.

use crate::names::{Epoch, Seq};
use crate::server::log::RoomState;

/// The requested position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartAt {
    Head,
    Last(u32),
    After { seq: Seq, epoch: Option<Epoch> },
}

/// The start of a cursor.
#[derive(Debug, PartialEq, Eq)]
pub struct Start {
    pub next: Seq,
    /// The lost messages that the client may have seen in an earlier epoch: first and last. Empty (the last below the
    /// first) if the epoch has changed, but the client has lost nothing.
    pub replaced: Option<(Seq, Seq)>,
    /// Whether the client has seen messages of this epoch that this log never had. Then either an older copy of the log
    /// was put in its place without `--restored`, or the client's claim is false.
    pub is_ahead: bool,
}

impl Start {
    /// With an event that the client has not seen.
    pub fn at(next: Seq) -> Self {
        Self { next, replaced: None, is_ahead: false }
    }

    /// `head` is the newest published message; newer ones may be stored.
    pub fn new(from: StartAt, head: Seq, stored: &RoomState) -> Self {
        let &RoomState { epoch, epoch_first, oldest, .. } = stored;
        let at = Self::at;
        match from {
            StartAt::Head => at(head.next()),
            // If the client has seen nothing, it has lost nothing, in any epoch: a room without messages keeps its
            // epoch only while a client is in it.
            StartAt::After { seq: Seq::ZERO, .. } => at(Seq(1)),
            StartAt::Last(count) => at(Seq(head.0.saturating_sub(count.into())).next().max(oldest)),
            StartAt::After { seq, epoch: Some(theirs) } if theirs != epoch || seq > head.max(stored.head) => {
                // If the log is an older copy of itself, the end of the copy is unknown: other messages may have been
                // stored since. So the gap covers all messages that may have been replaced. If the room was deleted and
                // created again, or a backup has brought back an earlier room of the name, those are all messages.
                let first = if theirs.is_same_room(epoch) { epoch_first } else { Seq(1) };
                let next = Seq(seq.0.saturating_add(1)).min(first);
                Self { next, replaced: Some((next, seq)), is_ahead: theirs == epoch }
            }
            StartAt::After { seq, epoch: Some(_) } => at(seq.next()),
            StartAt::After { seq, epoch: None } => at(seq.min(head).next()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::{RoomId, RoomName};

    /// A room with messages 5 to 10, whose epoch began with 8.
    fn start(from: StartAt) -> Start {
        let (name, epoch) = (RoomName::lobby(), Epoch::new(2).unwrap());
        let (epoch_first, head, oldest) = (Seq(8), Seq(10), Seq(5));
        let empty = RoomState::empty(RoomId(1), name, epoch);
        Start::new(from, head, &RoomState { epoch_first, head, oldest, ..empty })
    }

    fn after(seq: u64, epoch: u64) -> StartAt {
        StartAt::After { seq: Seq(seq), epoch: Epoch::new(epoch) }
    }

    #[test]
    fn a_cursor_starts_at_the_requested_position() {
        let at = |next| Start { next: Seq(next), replaced: None, is_ahead: false };
        assert_eq!(start(StartAt::Head), at(11));
        assert_eq!(start(StartAt::Last(0)), at(11));
        assert_eq!(start(StartAt::Last(3)), at(8));
        assert_eq!(start(StartAt::Last(100)), at(5));
        assert_eq!(start(after(7, 2)), at(8));
        assert_eq!(start(after(10, 2)), at(11));
        // Trimmed messages are detected when they are read.
        assert_eq!(start(after(0, 0)), at(1));
        assert_eq!(start(after(0, 2)), at(1));
        // A client that has seen nothing has lost nothing.
        assert_eq!(start(after(0, 1)), at(1));
        assert_eq!(start(after(99, 0)), at(11));
    }

    #[test]
    fn messages_seen_in_another_epoch_are_reported_as_replaced() {
        let replaced =
            |next, from, to| Start { next: Seq(next), replaced: Some((Seq(from), Seq(to))), is_ahead: false };
        assert_eq!(start(after(9, 1)), replaced(8, 8, 9));
        assert_eq!(start(after(70, 1)), replaced(8, 8, 70));
        assert_eq!(start(after(u64::MAX, 1)), replaced(8, 8, u64::MAX));
        // This client has lost none of the messages that it has seen: an empty range.
        assert_eq!(start(after(6, 1)), replaced(7, 7, 6));
    }

    /// An operator deleted a room, which was created again, and then restored a backup with the deleted room: a client
    /// that had seen messages of the new room must not keep them beside those of the old one.
    #[test]
    fn messages_of_another_room_of_the_same_name_are_all_replaced() {
        let other = 7 << 32;
        let replaced = |to| Start { next: Seq(1), replaced: Some((Seq(1), Seq(to))), is_ahead: false };
        assert_eq!(start(after(3, other)), replaced(3));
        assert_eq!(start(after(9, other)), replaced(9));
        assert_eq!(start(after(0, other)), Start { next: Seq(1), replaced: None, is_ahead: false });
    }

    /// An operator copied an older database back by hand, and then messages 9 and 10 were stored. A client that had
    /// seen other messages 9 to 12 got a report that 11 and 12 were lost, and kept the old 9 and 10.
    #[test]
    fn a_position_ahead_of_the_log_is_treated_as_from_another_epoch() {
        let ahead = |to| Start { next: Seq(8), replaced: Some((Seq(8), Seq(to))), is_ahead: true };
        assert_eq!(start(after(11, 2)), ahead(11));
        assert_eq!(start(after(12, 2)), ahead(12));
        assert_eq!(start(after(u64::MAX, 2)), ahead(u64::MAX));
    }

    /// A message that is stored and not published yet may have been seen on another connection.
    #[test]
    fn a_position_ahead_of_the_published_messages_is_not_ahead_of_the_log() {
        let (name, epoch) = (RoomName::lobby(), Epoch::new(2).unwrap());
        let stored = RoomState { head: Seq(10), ..RoomState::empty(RoomId(1), name, epoch) };
        let start = Start::new(after(10, 2), Seq(9), &stored);
        assert_eq!(start, Start { next: Seq(11), replaced: None, is_ahead: false });
    }
}
