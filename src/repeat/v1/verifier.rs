//! The checks of a receiver on `hubbub.v1`: each message of each sender exactly once and in order, including its own;
//! the seqs without a hole from its first; and at each seq the same message as all others. Pure logic: no connection,
//! no session.

use super::acknowledged::Acknowledged;
use super::ledger::{Ledger, LedgerCursor};
use crate::repeat::numbers::{Counts, Numbers, RoomCounts};

/// One receiver's checks.
pub struct Verifier {
    numbers: Numbers,
    counts: Counts,
    room: RoomCounts,
    /// The last received seq, or the one before the receiver's first.
    last: Option<u64>,
    /// The receiver's position in the ledger.
    cursor: LedgerCursor,
}

/// The verdict of all receivers together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    pub counts: Counts,
    pub room: RoomCounts,
    pub acknowledged: u64,
    /// Acknowledged messages that at least one client did not get.
    pub acknowledged_lost: u64,
}

impl Verifier {
    pub fn new(senders: u16, messages: u32) -> Self {
        Self {
            numbers: Numbers::new(senders, messages),
            counts: Counts::default(),
            room: RoomCounts::default(),
            last: None,
            cursor: LedgerCursor::default(),
        }
    }

    /// The receiver begins after this seq. A later join changes nothing.
    pub fn start(&mut self, head_seq: u64) {
        self.last.get_or_insert(head_seq);
    }

    /// Takes an event that is not compared with those of others: it is not a message, or the message was changed.
    pub fn pass(&mut self, seq: u64) {
        if self.last.is_none_or(|last| last.checked_add(1) != Some(seq)) {
            self.room.holes += 1;
        }
        self.last = Some(seq);
    }

    /// Takes a message of any sender, with its fingerprint.
    pub fn place(&mut self, seq: u64, fingerprint: u64, ledger: &Ledger) {
        self.pass(seq);
        self.counts.order_differs += u64::from(!self.cursor.agrees(ledger, seq, fingerprint));
    }

    /// Takes the body of a message, if it belongs to this run. Returns whether it is new, and by how many messages the
    /// receiver advanced.
    pub fn take(&mut self, sender: u16, number: u32) -> (bool, u32) {
        if !self.numbers.contains(sender, number) {
            self.counts.unknown += 1;
            return (false, 0);
        }
        self.numbers.take(sender, number, &mut self.counts)
    }

    /// The server reports that messages are missing. Within a run that is always a fault.
    pub fn gap(&mut self, from_seq: u64, to_seq: u64, restarts: bool) {
        // An empty gap also shows that history was lost.
        self.room.gaps = self.room.gaps.saturating_add(to_seq.saturating_add(1).saturating_sub(from_seq).max(1));
        self.last = Some(if restarts { from_seq.saturating_sub(1) } else { to_seq });
    }

    /// The number of different messages received so far.
    pub fn delivered(&self) -> u64 {
        self.counts.delivered
    }
}

/// Adds up the receivers' results, and compares them with the acknowledgements.
pub fn judge(receivers: &[Verifier], acknowledged: &[Acknowledged]) -> Verdict {
    let mut verdict =
        Verdict { acknowledged: acknowledged.iter().map(Acknowledged::count).sum(), ..Verdict::default() };
    let mut lost: Vec<Acknowledged> = acknowledged.iter().map(|sender| Acknowledged::new(sender.numbers())).collect();
    for receiver in receivers {
        verdict.counts += receiver.counts;
        verdict.room.holes += receiver.room.holes;
        verdict.room.gaps = verdict.room.gaps.saturating_add(receiver.room.gaps);
        for sender in 0..receiver.numbers.senders() {
            let acknowledged = &acknowledged[usize::from(sender)];
            for (first, last) in receiver.numbers.absent(sender, acknowledged.numbers()) {
                for number in (first..=last).filter(|&number| acknowledged.contains(number)) {
                    verdict.counts.lost += 1;
                    lost[usize::from(sender)].insert(number);
                }
            }
        }
    }
    verdict.acknowledged_lost = lost.iter().map(Acknowledged::count).sum();
    verdict
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::ledger::fingerprint;
    use super::*;
    use crate::names::MessageId;

    const SENDERS: u16 = 3;
    const MESSAGES: u32 = 8;
    const TOTAL: usize = SENDERS as usize * MESSAGES as usize;
    /// The room's head before the run.
    const HEAD: u64 = 4_090;

    /// A message at its seq.
    type Event = (u64, u16, u32);

    /// The messages of a room without faults: all messages of all senders, in one order, across a page's end.
    fn room() -> impl Strategy<Value = Vec<Event>> {
        let steps: Vec<u16> = (0..SENDERS).flat_map(|s| std::iter::repeat_n(s, MESSAGES as usize)).collect();
        Just(steps).prop_shuffle().prop_map(|steps| {
            let mut number = [0; SENDERS as usize];
            let mut next = |(at, sender): (usize, u16)| {
                number[usize::from(sender)] += 1;
                (HEAD + 1 + at as u64, sender, number[usize::from(sender)])
            };
            steps.into_iter().enumerate().map(&mut next).collect()
        })
    }

    fn print((_, sender, number): Event) -> u64 {
        fingerprint(&MessageId::from_bytes([number as u8; 16]), &sender.to_string(), "")
    }

    /// The verdict if two receivers get these events, and everything is acknowledged.
    fn verdict(first: &[Event], second: &[Event]) -> Verdict {
        let ledger = Ledger::default();
        let receivers = [first, second].map(|events| {
            let mut verifier = Verifier::new(SENDERS, MESSAGES);
            verifier.start(HEAD);
            for &event in events {
                verifier.place(event.0, print(event), &ledger);
                verifier.take(event.1, event.2);
            }
            verifier
        });
        judge(&receivers, &acknowledged(MESSAGES))
    }

    fn acknowledged(messages: u32) -> Vec<Acknowledged> {
        let mut senders: Vec<_> = (0..SENDERS).map(|_| Acknowledged::new(MESSAGES)).collect();
        senders.iter_mut().for_each(|sender| (1..=messages).for_each(|number| sender.insert(number)));
        senders
    }

    fn clean() -> Verdict {
        let counts = Counts { delivered: 2 * TOTAL as u64, ..Counts::default() };
        Verdict { counts, acknowledged: TOTAL as u64, ..Verdict::default() }
    }

    /// The events with new seqs, dense from the first, as a server would send them that hides its fault.
    fn renumbered(mut events: Vec<Event>) -> Vec<Event> {
        events.iter_mut().enumerate().for_each(|(at, event)| event.0 = HEAD + 1 + at as u64);
        events
    }

    proptest! {
        #[test]
        fn a_faultless_room_passes(room in room()) {
            prop_assert_eq!(verdict(&room, &room), clean());
        }

        #[test]
        fn a_loss_is_found_and_leaves_a_hole(room in room(), at: prop::sample::Index) {
            let mut got = room.clone();
            let at = at.index(TOTAL);
            got.remove(at);
            let found = verdict(&room, &got);
            let delivered = 2 * TOTAL as u64 - 1;
            let expected = Verdict {
                counts: Counts { delivered, lost: 1, ..clean().counts },
                // Losing the last message leaves no hole.
                room: RoomCounts { holes: u64::from(at + 1 < TOTAL), gaps: 0 },
                acknowledged_lost: 1,
                ..clean()
            };
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn a_loss_without_a_hole_is_found(room in room(), at: prop::sample::Index) {
            let mut got = room.clone();
            let at = at.index(TOTAL);
            got.remove(at);
            let found = verdict(&room, &renumbered(got));
            prop_assert_eq!((found.counts.lost, found.acknowledged_lost, found.room.holes), (1, 1, 0));
            prop_assert_eq!(found.counts.order_differs, (TOTAL - 1 - at) as u64);
        }

        #[test]
        fn a_message_that_all_receivers_miss_is_found(room in room(), at: prop::sample::Index) {
            let mut got = room.clone();
            got.remove(at.index(TOTAL));
            let got = renumbered(got);
            let found = verdict(&got, &got);
            prop_assert_eq!((found.counts.lost, found.acknowledged_lost), (2, 1));
            prop_assert_eq!((found.room.holes, found.counts.order_differs, found.counts.out_of_order), (0, 0, 0));
        }

        #[test]
        fn a_repeated_delivery_is_found(room in room(), at: prop::sample::Index) {
            let mut got = room.clone();
            let at = at.index(TOTAL);
            got.insert(at, got[at]);
            let found = verdict(&room, &got);
            prop_assert_eq!((found.counts.duplicated, found.room.holes), (1, 1));
            prop_assert_eq!((found.counts.lost, found.counts.delivered), (0, clean().counts.delivered));
        }

        /// The server stored a message twice, and all clients received it twice.
        #[test]
        fn a_message_stored_twice_is_found(room in room(), at: prop::sample::Index, later in 1..5usize) {
            let mut got = room.clone();
            let at = at.index(TOTAL);
            got.insert((at + later).min(TOTAL), got[at]);
            let got = renumbered(got);
            let found = verdict(&got, &got);
            prop_assert_eq!((found.counts.duplicated, found.room.holes, found.counts.order_differs), (2, 0, 0));
        }

        #[test]
        fn a_swap_is_found_at_one_receiver(room in room(), at: prop::sample::Index) {
            let mut got = room.clone();
            let at = at.index(TOTAL - 1);
            got.swap(at, at + 1);
            let found = verdict(&room, &renumbered(got.clone()));
            let same_sender = got[at].1 == got[at + 1].1;
            prop_assert_eq!((found.counts.order_differs, found.counts.out_of_order), (2, u64::from(same_sender)));
            prop_assert!(verdict(&room, &got).room.holes >= 2);
        }

        #[test]
        fn a_swap_of_one_senders_messages_is_found_at_all_receivers(room in room(), sender in 0..SENDERS, number in 1..MESSAGES) {
            let mut got = room.clone();
            let find = |number| room.iter().position(|event| (event.1, event.2) == (sender, number)).unwrap();
            got.swap(find(number), find(number + 1));
            let got = renumbered(got);
            prop_assert_eq!(verdict(&got, &got).counts.out_of_order, 2);
        }

        #[test]
        fn a_hole_in_the_seqs_without_a_loss_is_found(room in room(), at: prop::sample::Index) {
            let mut got = room.clone();
            got[at.index(TOTAL)..].iter_mut().for_each(|event| event.0 += 1);
            let found = verdict(&got, &got);
            prop_assert_eq!((found.room.holes, found.counts.lost, found.counts.order_differs), (2, 0, 0));
        }

        #[test]
        fn only_acknowledged_messages_can_be_lost(room in room(), promised in 0..=MESSAGES) {
            let ledger = Ledger::default();
            let mut nobody = Verifier::new(SENDERS, MESSAGES);
            nobody.start(HEAD);
            let mut some = Verifier::new(SENDERS, MESSAGES);
            some.start(HEAD);
            for &event in room.iter().take(1) {
                some.place(event.0, print(event), &ledger);
                some.take(event.1, event.2);
            }
            let found = judge(&[nobody], &acknowledged(promised));
            let all = u64::from(promised) * u64::from(SENDERS);
            prop_assert_eq!((found.acknowledged, found.counts.lost, found.acknowledged_lost), (all, all, all));
            prop_assert_eq!(judge(&[some], &acknowledged(promised)).counts.lost, all.saturating_sub(1));
        }
    }

    #[test]
    fn different_bodies_are_found() {
        let ledger = Ledger::default();
        let id = MessageId::from_bytes([1; 16]);
        let receivers = ["one", "two"].map(|body| {
            let mut verifier = Verifier::new(1, 1);
            verifier.start(0);
            verifier.place(1, fingerprint(&id, "ann", body), &ledger);
            verifier
        });
        assert_eq!(judge(&receivers, &[Acknowledged::new(1)]).counts.order_differs, 1);
        assert_ne!(fingerprint(&id, "ann", "x"), fingerprint(&id, "an", "nx"));
    }

    #[test]
    fn gaps_and_unsent_messages_are_faults() {
        let ledger = Ledger::default();
        let mut verifier = Verifier::new(1, 2);
        verifier.start(10);
        verifier.start(99);
        verifier.gap(11, 13, false);
        verifier.place(14, 7, &ledger);
        verifier.gap(13, 14, true);
        verifier.place(13, 8, &ledger);
        verifier.gap(14, 13, true);
        for (sender, number) in [(1, 1), (0, 0), (0, 3)] {
            assert_eq!(verifier.take(sender, number), (false, 0));
        }
        let found = judge(&[verifier], &[Acknowledged::new(2)]);
        assert_eq!(found.room, RoomCounts { holes: 0, gaps: 6 });
        assert_eq!(found.counts.unknown, 3);
    }
}
