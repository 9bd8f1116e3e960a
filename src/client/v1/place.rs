//! The position of a client in a room's log, and which events may follow. Pure logic: no connection, no thread.
//!
//! The contract promises each message once, in the order of seq, or a gap with the missing range. A place verifies it:
//! anything else is a fault, after which the client reconnects and resumes at its place. So the owner gets each message
//! once and in order, even with a faulty server or network.

use thiserror::Error;

use crate::names::Epoch;
use crate::wire::v1;

/// Where to start in a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartAt {
    /// With the messages posted from now on.
    Head,
    /// With this number of the last messages, or all if there are fewer.
    Last(u32),
    /// After the message with that seq; 0 is the position before the first one. The epoch is the one in which it was
    /// seen, if known.
    After { seq: u64, epoch: Option<Epoch> },
}

/// Messages that a room's reader does not get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    pub from_seq: u64,
    /// Below `from_seq` if nothing is missing, which is possible only with [`GapReason::EpochChanged`].
    pub to_seq: u64,
    pub reason: GapReason,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GapReason {
    /// They were deleted by retention.
    Retention,
    /// The server lost history that this client may have seen. Others will arrive, or have arrived, in their place.
    EpochChanged,
    /// They were damaged on the server's disk.
    Damaged,
    /// For a reason that is newer than this client.
    Other,
}

impl GapReason {
    /// `None` if a server gave none.
    pub fn of(gap: &v1::Gap) -> Option<Self> {
        match gap.reason.enum_value() {
            Ok(v1::gap::Reason::REASON_UNSPECIFIED) => None,
            Ok(v1::gap::Reason::REASON_RETENTION) => Some(Self::Retention),
            Ok(v1::gap::Reason::REASON_EPOCH_CHANGED) => Some(Self::EpochChanged),
            Ok(v1::gap::Reason::REASON_DAMAGED) => Some(Self::Damaged),
            Err(_) => Some(Self::Other),
        }
    }
}

/// A violation of the contract by the server.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Fault {
    #[error("it sent message {got} instead of {expected}")]
    OutOfOrder { expected: u64, got: u64 },
    #[error("it sent a gap from {from} to {to} instead of message {expected}")]
    FalseGap { expected: u64, from: u64, to: u64 },
    #[error("it sent a gap without a reason")]
    NoReason,
    #[error("it ended the history at {head}, but sent only the messages up to {last}")]
    ShortHistory { head: u64, last: u64 },
    #[error("it changed the room's epoch without a gap")]
    SilentEpoch,
    #[error("it sent no epoch for the room")]
    NoEpoch,
    #[error("it sent the number {}, which no message can have", u64::MAX)]
    TooGreat,
}

/// A place in a room.
#[derive(Clone, Debug)]
pub struct Place {
    from: StartAt,
    at: Option<At>,
    /// The room's epoch, while it differs from that of the place and no gap has reported it yet.
    changed: Option<Epoch>,
    /// An alternative to the next seq: for a position that did not exist, the server may choose.
    or: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct At {
    /// The last message that arrived, or that will never arrive.
    seq: u64,
    epoch: Epoch,
}

impl Place {
    pub fn new(from: StartAt) -> Self {
        Self { from, at: None, changed: None, or: None }
    }

    /// The position for a join: at first the one that the owner requested, then the place.
    pub fn join(&self) -> Option<v1::join::From> {
        let after = |seq, epoch| Some(v1::join::From::After(v1::Position { seq, epoch, ..Default::default() }));
        match (self.at, self.from) {
            // If nothing was seen, the epoch does not matter.
            (Some(At { seq: 0, .. }), _) => after(0, 0),
            (Some(At { seq, epoch }), _) => after(seq, epoch.get()),
            (None, StartAt::Head) => None,
            (None, StartAt::Last(n)) => Some(v1::join::From::Last(n)),
            (None, StartAt::After { seq, epoch }) => after(seq, epoch.map_or(0, Epoch::get)),
        }
    }

    /// The seq of the last message that arrived, or that will never arrive; `None` before the first join is answered.
    pub fn last(&self) -> Option<u64> {
        self.at.map(|at| at.seq)
    }

    pub fn joined(&mut self, joined: &v1::Joined) -> Result<(), Fault> {
        let epoch = Epoch::new(joined.epoch).ok_or(Fault::NoEpoch)?;
        let head = joined.head_seq;
        if head == u64::MAX {
            return Err(Fault::TooGreat);
        }
        (self.changed, self.or) = (None, None);
        let at = match (self.at, self.from) {
            (Some(at), _) => at,
            // Other events of the log take seqs too, so the server reports where it begins.
            (None, StartAt::Head | StartAt::Last(_)) if joined.first_seq > 0 => {
                At { seq: (joined.first_seq - 1).min(head), epoch }
            }
            (None, StartAt::Head) => At { seq: head, epoch },
            (None, StartAt::Last(n)) => {
                At { seq: head.saturating_sub(n.into()).max(joined.oldest_seq.saturating_sub(1)), epoch }
            }
            (None, StartAt::After { seq, epoch: seen }) => At { seq, epoch: seen.unwrap_or(epoch) },
        };
        if at.seq == 0 {
            // Nothing was seen, so nothing can be lost. A room without messages keeps its epoch only while a client is
            // in it.
            self.at = Some(At { seq: 0, epoch });
            return Ok(());
        }
        if at.epoch != epoch {
            self.changed = Some(epoch);
        } else if at.seq > head {
            // The position does not exist, so it was a guess. The room continues at its head, unless the server waits
            // for the requested seq.
            self.or = at.seq.checked_add(1);
            self.at = Some(At { seq: head, epoch });
            return Ok(());
        }
        self.at = Some(at);
        Ok(())
    }

    /// Takes a message, or another event of the log.
    pub fn message(&mut self, seq: u64) -> Result<(), Fault> {
        let Some(at) = &mut self.at else { return Err(Fault::OutOfOrder { expected: 0, got: seq }) };
        if self.changed.is_some() {
            return Err(Fault::SilentEpoch);
        }
        // Invariant: the place is never at the greatest number, except if its owner asked for it.
        if seq == u64::MAX {
            return Err(Fault::TooGreat);
        }
        if at.seq.checked_add(1) != Some(seq) && self.or != Some(seq) {
            return Err(Fault::OutOfOrder { expected: at.seq.saturating_add(1), got: seq });
        }
        at.seq = seq;
        self.or = None;
        Ok(())
    }

    /// Takes a gap.
    pub fn gap(&mut self, gap: &v1::Gap) -> Result<Gap, Fault> {
        let v1::Gap { from_seq, to_seq, .. } = *gap;
        let expected = self.at.map_or(0, |at| at.seq.saturating_add(1));
        let falsehood = Fault::FalseGap { expected, from: from_seq, to: to_seq };
        let Some(at) = &mut self.at else { return Err(falsehood) };
        let reason = GapReason::of(gap).ok_or(Fault::NoReason)?;
        match reason {
            GapReason::Retention | GapReason::Damaged | GapReason::Other => {
                if self.changed.is_some() {
                    return Err(Fault::SilentEpoch);
                }
                if (from_seq != expected && self.or != Some(from_seq)) || to_seq < from_seq || to_seq == u64::MAX {
                    return Err(falsehood);
                }
                at.seq = to_seq;
                self.or = None;
            }
            GapReason::EpochChanged => {
                // The missing messages were seen, or were next.
                if from_seq == 0 || from_seq > expected || to_seq == u64::MAX {
                    return Err(falsehood);
                }
                at.seq = from_seq - 1;
                at.epoch = self.changed.take().unwrap_or(at.epoch);
                // The room continues with the first of the lost seqs if others replaced them, or else after them.
                self.or = (to_seq >= from_seq).then_some(to_seq + 1);
            }
        }
        Ok(Gap { from_seq, to_seq, reason })
    }

    /// Takes the end of history.
    pub fn caught_up(&mut self, head: u64) -> Result<(), Fault> {
        if self.changed.is_some() {
            return Err(Fault::SilentEpoch);
        }
        let last = self.last().unwrap_or(0);
        let next = self.or.map_or(last, |or| last.max(or.saturating_sub(1)));
        if next < head { Err(Fault::ShortHistory { head, last }) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: u64 = 7;
    const NEW: u64 = 8;

    fn joined(epoch: u64, oldest_seq: u64, head_seq: u64) -> v1::Joined {
        v1::Joined { epoch, head_seq, oldest_seq, ..Default::default() }
    }

    fn gap(from_seq: u64, to_seq: u64, reason: v1::gap::Reason) -> v1::Gap {
        v1::Gap { from_seq, to_seq, reason: reason.into(), ..Default::default() }
    }

    fn retention(from: u64, to: u64) -> v1::Gap {
        gap(from, to, v1::gap::Reason::REASON_RETENTION)
    }

    fn epoch_changed(from: u64, to: u64) -> v1::Gap {
        gap(from, to, v1::gap::Reason::REASON_EPOCH_CHANGED)
    }

    /// A place after the message of that seq, in the old epoch.
    fn at(seq: u64) -> Place {
        let mut place = Place::new(StartAt::After { seq, epoch: Epoch::new(OLD) });
        place.joined(&joined(OLD, 1, seq)).unwrap();
        place
    }

    fn resumes_after(place: &Place) -> (u64, u64) {
        match place.join() {
            Some(v1::join::From::After(position)) => (position.seq, position.epoch),
            other => panic!("{other:?} is not a position"),
        }
    }

    #[test]
    fn a_join_begins_at_the_requested_position() {
        for (from, oldest, head, first) in [
            (StartAt::Head, 1, 10, 11),
            (StartAt::Head, 1, 0, 1),
            (StartAt::Last(3), 1, 10, 8),
            (StartAt::Last(30), 1, 10, 1),
            (StartAt::Last(30), 6, 10, 6),
            (StartAt::Last(30), 11, 10, 11),
            (StartAt::Last(0), 1, 10, 11),
            (StartAt::After { seq: 0, epoch: None }, 1, 10, 1),
            (StartAt::After { seq: 4, epoch: None }, 1, 10, 5),
        ] {
            let mut place = Place::new(from);
            place.joined(&joined(OLD, oldest, head)).unwrap();
            assert!(place.clone().message(first + 1).is_err(), "{from:?}");
            assert!(first == 1 || place.clone().message(first - 1).is_err(), "{from:?}");
            place.message(first).unwrap();
            assert_eq!(resumes_after(&place), (first, OLD));
        }
    }

    /// If the log has other events too, the last three messages begin earlier than three seqs before the head.
    #[test]
    fn the_server_reports_where_the_last_messages_begin() {
        let mut place = Place::new(StartAt::Last(3));
        place.joined(&v1::Joined { first_seq: 5, ..joined(OLD, 1, 10) }).unwrap();
        assert!(place.clone().message(8).is_err());
        place.message(5).unwrap();
        // When the room is joined again, the place counts, not the first seq of the server.
        place.joined(&v1::Joined { first_seq: 6, ..joined(OLD, 1, 10) }).unwrap();
        place.message(6).unwrap();
    }

    #[test]
    fn losses_and_repeats_are_faults_and_do_not_move_the_place() {
        let mut place = at(5);
        assert_eq!(place.message(7), Err(Fault::OutOfOrder { expected: 6, got: 7 }));
        assert_eq!(place.message(5), Err(Fault::OutOfOrder { expected: 6, got: 5 }));
        assert_eq!(place.message(0), Err(Fault::OutOfOrder { expected: 6, got: 0 }));
        assert_eq!(resumes_after(&place), (5, OLD));
        place.message(6).unwrap();
        assert_eq!(place.caught_up(8), Err(Fault::ShortHistory { head: 8, last: 6 }));
        place.caught_up(6).unwrap();
    }

    #[test]
    fn a_retention_gap_moves_the_place_behind_it() {
        let mut place = at(5);
        for (from, to) in [(7, 9), (5, 9), (6, 5), (6, u64::MAX)] {
            assert!(matches!(place.gap(&retention(from, to)), Err(Fault::FalseGap { .. })), "{from} to {to}");
        }
        let reported = place.gap(&retention(6, 9)).unwrap();
        assert_eq!(reported, Gap { from_seq: 6, to_seq: 9, reason: GapReason::Retention });
        assert!(place.clone().message(9).is_err());
        place.message(10).unwrap();
        assert_eq!(place.gap(&gap(11, 12, v1::gap::Reason::REASON_UNSPECIFIED)), Err(Fault::NoReason));
    }

    /// A regression: an unknown reason was a fault, so the client reconnected and got the same gap in an endless loop.
    #[test]
    fn damage_and_unknown_reasons_are_gaps_like_retention() {
        let mut place = at(5);
        let damaged = |from, to| gap(from, to, v1::gap::Reason::REASON_DAMAGED);
        assert!(matches!(place.gap(&damaged(7, 9)), Err(Fault::FalseGap { .. })));
        assert_eq!(place.gap(&damaged(6, 9)).map(|gap| gap.reason), Ok(GapReason::Damaged));
        assert_eq!(resumes_after(&place), (9, OLD));
        let to_come = v1::Gap { reason: protobuf::EnumOrUnknown::from_i32(99), ..retention(10, 12) };
        assert_eq!(place.gap(&to_come).map(|gap| gap.reason), Ok(GapReason::Other));
        place.message(13).unwrap();
    }

    #[test]
    fn lost_history_is_a_gap_and_the_room_continues_after_it() {
        let mut place = at(100);
        place.joined(&joined(NEW, 1, 90)).unwrap();
        // Until the gap has arrived, the next connection resumes in the old epoch; otherwise the gap would be lost.
        assert_eq!(resumes_after(&place), (100, OLD));
        assert_eq!(place.clone().message(101), Err(Fault::SilentEpoch));
        assert_eq!(place.clone().caught_up(0), Err(Fault::SilentEpoch));
        assert_eq!(place.clone().gap(&retention(101, 102)), Err(Fault::SilentEpoch));
        assert!(place.clone().gap(&epoch_changed(102, 110)).is_err());
        let reported = place.gap(&epoch_changed(81, 100)).unwrap();
        assert_eq!((reported.from_seq, reported.to_seq, reported.reason), (81, 100, GapReason::EpochChanged));
        assert_eq!(resumes_after(&place), (80, NEW));
        let mut after = place.clone();
        place.message(81).unwrap();
        place.message(82).unwrap();
        after.message(101).unwrap();
    }

    #[test]
    fn a_changed_epoch_without_a_loss_is_not_a_fault() {
        let mut place = at(70);
        place.joined(&joined(NEW, 1, 90)).unwrap();
        place.gap(&epoch_changed(71, 70)).unwrap();
        assert!(place.clone().message(72).is_err());
        place.message(71).unwrap();
        assert_eq!(resumes_after(&place), (71, NEW));
    }

    /// A regression: a client waited in a room without messages, which a restarted server does not know, so the room
    /// has another epoch when the client reconnects. The client reported lost messages, or a fault.
    #[test]
    fn a_client_that_has_seen_no_message_has_lost_none() {
        for from in [StartAt::Head, StartAt::Last(50), StartAt::After { seq: 0, epoch: Epoch::new(OLD) }] {
            let mut place = Place::new(from);
            place.joined(&joined(OLD, 1, 0)).unwrap();
            place.caught_up(0).unwrap();
            assert_eq!(resumes_after(&place), (0, 0));
            place.joined(&joined(NEW, 1, 2)).unwrap();
            let mut with_gap = place.clone();
            place.message(1).unwrap();
            assert_eq!(resumes_after(&place), (1, NEW));
            // A server may report a changed epoch nevertheless.
            with_gap.gap(&epoch_changed(1, 0)).unwrap();
            with_gap.message(1).unwrap();
            // Retention deleted messages during the outage.
            let mut trimmed = Place::new(from);
            trimmed.joined(&joined(OLD, 1, 0)).unwrap();
            trimmed.joined(&joined(NEW, 3, 4)).unwrap();
            trimmed.gap(&retention(1, 2)).unwrap();
            trimmed.message(3).unwrap();
        }
    }

    #[test]
    fn a_loss_and_a_trim_are_two_gaps() {
        let mut place = at(100);
        place.joined(&joined(NEW, 86, 90)).unwrap();
        place.gap(&epoch_changed(81, 100)).unwrap();
        place.gap(&retention(81, 85)).unwrap();
        place.message(86).unwrap();
    }

    #[test]
    fn a_place_beyond_the_head_continues_at_either_position() {
        for next in [11, 51] {
            let mut place = Place::new(StartAt::After { seq: 50, epoch: None });
            place.joined(&joined(OLD, 1, 10)).unwrap();
            place.caught_up(10).unwrap();
            assert!(place.clone().message(12).is_err());
            place.message(next).unwrap();
            assert!(place.message(52.min(next)).is_err());
        }
    }

    /// The story: `Joined` with the greatest number, the message of that number, and any other message made the sum
    /// overflow, and the client hung.
    #[test]
    fn the_greatest_number_is_a_fault_wherever_it_comes() {
        const MAX: u64 = u64::MAX;
        let starts = [StartAt::Head, StartAt::Last(3), StartAt::Last(u32::MAX)]
            .into_iter()
            .chain([0, 1, MAX - 1, MAX].map(|seq| StartAt::After { seq, epoch: None }));
        for from in starts {
            assert_eq!(Place::new(from).joined(&joined(OLD, 1, MAX)), Err(Fault::TooGreat));
            for (oldest_seq, first_seq) in [(1, 0), (MAX, 0), (MAX, MAX), (1, MAX), (0, MAX - 1)] {
                let mut place = Place::new(from);
                place.joined(&v1::Joined { first_seq, ..joined(OLD, oldest_seq, MAX - 1) }).unwrap();
                assert!(place.clone().message(MAX).is_err(), "{from:?}");
                assert!(place.clone().gap(&retention(1, MAX)).is_err());
                assert!(place.clone().gap(&epoch_changed(MAX, MAX)).is_err());
                // The last number that a message may have, by each way that the place allows.
                for seq in [1, 2, MAX - 2, MAX - 1] {
                    let mut place = place.clone();
                    let _ = (place.message(seq), place.message(seq), place.message(MAX), place.caught_up(MAX));
                    let _ = (place.gap(&epoch_changed(seq, MAX - 1)), place.gap(&retention(seq, MAX - 1)));
                    let _ = (place.message(1), place.message(MAX - 1), place.message(MAX), place.join());
                    let _ = place.joined(&joined(NEW, MAX, MAX - 1));
                    let _ = (place.gap(&epoch_changed(seq, seq)), place.message(seq), place.caught_up(MAX - 1));
                }
            }
        }
    }

    #[test]
    fn events_before_the_join_are_faults() {
        let mut place = Place::new(StartAt::Head);
        assert!(place.message(1).is_err() && place.gap(&retention(1, 1)).is_err());
        assert_eq!(place.joined(&joined(0, 1, 0)), Err(Fault::NoEpoch));
    }
}
