//! The checks of a receiver on `hubbub.v1`: each message of each sender exactly once and in order, including its own;
//! the seqs without a hole from its first; and at each seq the same message as all others. Pure logic: no connection,
//! no session.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;

use crate::names::MessageId;
use crate::repeat::numbers::{Counts, Numbers, RoomCounts};

/// How many seqs a page of the ledger has: 32 KiB.
const PAGE_SEQS: u64 = 4096;

/// A fingerprint of the message at each seq of the room, written by its first receiver. Eight bytes a message.
#[derive(Default)]
pub struct Ledger {
    pages: RwLock<HashMap<u64, Arc<LedgerPage>>>,
}

type LedgerPage = [AtomicU64; PAGE_SEQS as usize];

/// Which messages of a sender the server has acknowledged to it. A bit for each.
#[derive(Debug)]
pub struct Acknowledged {
    bits: Vec<u64>,
    count: u64,
}

/// One receiver's checks.
pub struct Verifier {
    numbers: Numbers,
    counts: Counts,
    room: RoomCounts,
    /// The last received seq, or the one before the receiver's first.
    last: Option<u64>,
    /// The ledger's page that the receiver is on.
    page: Option<(u64, Arc<LedgerPage>)>,
}

/// The verdict of all receivers together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    pub counts: Counts,
    pub room: RoomCounts,
    pub acknowledged: u64,
    /// Missing deliveries of acknowledged messages.
    pub lost: u64,
    /// Acknowledged messages that at least one client did not get.
    pub acknowledged_lost: u64,
}

/// A fingerprint of a message: of its id, its sender, and its body.
pub fn fingerprint(id: &MessageId, sender: &str, body: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(id.as_bytes());
    hasher.write(sender.as_bytes());
    // No valid text has this byte, so the split between the two is unambiguous.
    hasher.write_u8(0xff);
    hasher.write(body.as_bytes());
    // 0 means none.
    hasher.finish().max(1)
}

impl Ledger {
    fn page(&self, number: u64) -> Arc<LedgerPage> {
        if let Some(page) = self.pages.read().get(&number) {
            return Arc::clone(page);
        }
        let mut pages = self.pages.write();
        let page = pages.entry(number).or_insert_with(|| Arc::new(std::array::from_fn(|_| AtomicU64::new(0))));
        Arc::clone(page)
    }
}

impl Acknowledged {
    pub fn new(messages: u32) -> Self {
        Self { bits: vec![0; messages as usize / 64 + 1], count: 0 }
    }

    /// Records a message; repeated acknowledgements count once.
    pub fn insert(&mut self, number: u32) {
        if let Some(bits) = self.bits.get_mut(number as usize / 64) {
            let bit = 1 << (number % 64);
            self.count += u64::from(*bits & bit == 0);
            *bits |= bit;
        }
    }

    pub fn has(&self, number: u32) -> bool {
        self.bits.get(number as usize / 64).is_some_and(|bits| bits & (1 << (number % 64)) != 0)
    }

    pub fn count(&self) -> u64 {
        self.count
    }
}

impl Verifier {
    pub fn new(senders: u16, messages: u32) -> Self {
        Self {
            numbers: Numbers::new(senders, messages),
            counts: Counts::default(),
            room: RoomCounts::default(),
            last: None,
            page: None,
        }
    }

    /// The receiver begins after this seq. A later join changes nothing.
    pub fn start(&mut self, head_seq: u64) {
        self.last.get_or_insert(head_seq);
    }

    /// Takes a message of any sender.
    pub fn place(&mut self, seq: u64, fingerprint: u64, ledger: &Ledger) {
        if self.last.is_none_or(|last| last.checked_add(1) != Some(seq)) {
            self.room.holes += 1;
        }
        self.last = Some(seq);
        let number = seq / PAGE_SEQS;
        let page = match &mut self.page {
            Some((at, page)) if *at == number => page,
            page => &mut page.insert((number, ledger.page(number))).1,
        };
        let place = &page[(seq % PAGE_SEQS) as usize];
        // Usually another receiver has written it before.
        let mut there = place.load(Ordering::Relaxed);
        if there == 0 {
            there = match place.compare_exchange(0, fingerprint, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => fingerprint,
                Err(other) => other,
            };
        }
        self.counts.order_differs += u64::from(there != fingerprint);
    }

    /// Takes the body of a message, if it belongs to this run. Returns whether it is new, and by how many messages the
    /// receiver advanced.
    pub fn take(&mut self, sender: u16, number: u32) -> (bool, u32) {
        if !self.numbers.knows(sender, number) {
            self.counts.unknown += 1;
            return (false, 0);
        }
        self.numbers.take(sender, number, &mut self.counts)
    }

    /// The server reports that messages are missing. Within a run that is always a fault.
    pub fn gap(&mut self, from_seq: u64, to_seq: u64, begins_again: bool) {
        // An empty gap also shows that history was lost.
        self.room.gaps = self.room.gaps.saturating_add(to_seq.saturating_add(1).saturating_sub(from_seq).max(1));
        self.last = Some(if begins_again { from_seq.saturating_sub(1) } else { to_seq });
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
        verdict.counts.add(&receiver.counts);
        verdict.room.holes += receiver.room.holes;
        verdict.room.gaps = verdict.room.gaps.saturating_add(receiver.room.gaps);
        for sender in 0..receiver.numbers.senders() {
            let promised = &acknowledged[usize::from(sender)];
            for (first, last) in receiver.numbers.absent(sender, promised.numbers()) {
                for number in (first..=last).filter(|&number| promised.has(number)) {
                    verdict.lost += 1;
                    lost[usize::from(sender)].insert(number);
                }
            }
        }
    }
    verdict.acknowledged_lost = lost.iter().map(Acknowledged::count).sum();
    verdict
}

impl Acknowledged {
    /// The highest number that fits, or slightly more.
    fn numbers(&self) -> u32 {
        (self.bits.len() * 64 - 1) as u32
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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
        fn a_loss_is_found_as_such_and_as_a_hole(room in room(), at: prop::sample::Index) {
            let mut got = room.clone();
            let at = at.index(TOTAL);
            got.remove(at);
            let found = verdict(&room, &got);
            let delivered = 2 * TOTAL as u64 - 1;
            let expected = Verdict {
                counts: Counts { delivered, ..clean().counts },
                // Losing the last message leaves no hole.
                room: RoomCounts { holes: u64::from(at + 1 < TOTAL), gaps: 0 },
                lost: 1,
                acknowledged_lost: 1,
                ..clean()
            };
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn a_loss_that_is_hidden_is_found_all_the_same(room in room(), at: prop::sample::Index) {
            let mut got = room.clone();
            let at = at.index(TOTAL);
            got.remove(at);
            let found = verdict(&room, &renumbered(got));
            prop_assert_eq!((found.lost, found.acknowledged_lost, found.room.holes), (1, 1, 0));
            prop_assert_eq!(found.counts.order_differs, (TOTAL - 1 - at) as u64);
        }

        #[test]
        fn a_message_that_nobody_got_is_found_though_all_agree(room in room(), at: prop::sample::Index) {
            let mut got = room.clone();
            got.remove(at.index(TOTAL));
            let got = renumbered(got);
            let found = verdict(&got, &got);
            prop_assert_eq!((found.lost, found.acknowledged_lost), (2, 1));
            prop_assert_eq!((found.room.holes, found.counts.order_differs, found.counts.out_of_order), (0, 0, 0));
        }

        #[test]
        fn a_delivery_twice_is_found(room in room(), at: prop::sample::Index) {
            let mut got = room.clone();
            let at = at.index(TOTAL);
            got.insert(at, got[at]);
            let found = verdict(&room, &got);
            prop_assert_eq!((found.counts.duplicated, found.room.holes), (1, 1));
            prop_assert_eq!((found.lost, found.counts.delivered), (0, clean().counts.delivered));
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
        fn a_swap_of_one_senders_is_found_though_all_agree(room in room(), sender in 0..SENDERS, number in 1..MESSAGES) {
            let mut got = room.clone();
            let find = |number| room.iter().position(|event| (event.1, event.2) == (sender, number)).unwrap();
            got.swap(find(number), find(number + 1));
            let got = renumbered(got);
            prop_assert_eq!(verdict(&got, &got).counts.out_of_order, 2);
        }

        #[test]
        fn a_hole_in_the_seqs_is_found_though_nothing_is_lost(room in room(), at: prop::sample::Index) {
            let mut got = room.clone();
            got[at.index(TOTAL)..].iter_mut().for_each(|event| event.0 += 1);
            let found = verdict(&got, &got);
            prop_assert_eq!((found.room.holes, found.lost, found.counts.order_differs), (2, 0, 0));
        }

        #[test]
        fn only_what_was_acknowledged_can_be_lost(room in room(), promised in 0..=MESSAGES) {
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
            prop_assert_eq!((found.acknowledged, found.lost, found.acknowledged_lost), (all, all, all));
            prop_assert_eq!(judge(&[some], &acknowledged(promised)).lost, all.saturating_sub(1));
        }
    }

    #[test]
    fn bodies_that_differ_are_found() {
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
    fn a_gap_is_a_fault_and_what_nobody_sent_too() {
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
