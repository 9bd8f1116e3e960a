//! The checks of a receiver: each message of each other sender exactly once, in order, never its own, and in the same
//! order for all. Pure logic: no connection, no thread.
//!
//! A room is a log and a client is a cursor into it, so all receivers see one order. One receiver that sends nothing is
//! the reference: it gives each message its rank. Another receiver agrees if the ranks of its messages only increase;
//! its own messages, which it doesn't get, leave gaps that don't matter. It may get a message before the reference
//! does; then it keeps the message until the rank is known.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::repeat::numbers::{Counts, Numbers};

/// The order in which the reference got the messages. Four bytes a message.
pub struct Reference {
    messages: u32,
    /// Each message's rank, from 1; 0 until the reference has it. Only the reference writes.
    ranks: Vec<AtomicU32>,
    last: AtomicU32,
}

/// One receiver's checks.
#[derive(Debug)]
pub struct Verifier {
    own: Option<u16>,
    numbers: Numbers,
    counts: Counts,
    order: OrderCheck,
}

/// Compares the order of received messages with the reference's.
#[derive(Debug)]
struct OrderCheck {
    /// The reference itself, which writes instead of comparing.
    leads: bool,
    /// Messages received here but not yet at the reference; bounded.
    ahead: VecDeque<u32>,
    ahead_max: usize,
    last: u32,
    differs: u64,
}

impl Reference {
    /// For this number of senders and of messages of each.
    ///
    /// # Panics
    ///
    /// If the total number of messages does not fit into 32 bits, which the plan checks.
    pub fn new(senders: u16, messages: u32) -> Self {
        let total = u64::from(senders) * u64::from(messages);
        assert!(total < u64::from(u32::MAX), "a run has fewer messages than fit into 32 bits");
        let ranks = (0..total).map(|_| AtomicU32::new(0)).collect();
        Self { messages, ranks, last: AtomicU32::new(0) }
    }

    fn index(&self, sender: u16, number: u32) -> u32 {
        u32::from(sender) * self.messages + number - 1
    }

    fn push(&self, index: u32) {
        let rank = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        self.ranks[index as usize].store(rank, Ordering::Relaxed);
    }

    fn rank(&self, index: u32) -> Option<u32> {
        match self.ranks[index as usize].load(Ordering::Relaxed) {
            0 => None,
            rank => Some(rank),
        }
    }
}

impl Verifier {
    /// Checks for a receiver that is the sender `own`, if it sends at all. `leads` makes it the reference. `ahead_max`
    /// is how far a receiver can be ahead of the reference: as many messages as are in flight at once.
    pub fn new(own: Option<u16>, senders: u16, messages: u32, leads: bool, ahead_max: usize) -> Self {
        Self {
            own,
            numbers: Numbers::new(senders, messages),
            counts: Counts::default(),
            order: OrderCheck { leads, ahead: VecDeque::new(), ahead_max, last: 0, differs: 0 },
        }
    }

    /// Takes a message. Returns by how many messages the receiver advanced, including those that it must have missed.
    pub fn deliver(&mut self, sender: u16, number: u32, reference: &Reference) -> u32 {
        if !self.numbers.contains(sender, number) {
            self.counts.unknown += 1;
            return 0;
        }
        if self.own == Some(sender) {
            self.counts.own += 1;
            return 0;
        }
        let (new, further) = self.numbers.take(sender, number, &mut self.counts);
        if new {
            self.order.take(reference.index(sender, number), reference);
        }
        further
    }

    /// The number of different messages received so far.
    pub fn delivered(&self) -> u64 {
        self.counts.delivered
    }

    /// The result, when no more messages arrive and the reference is complete. Each sender has sent this many messages.
    pub fn finish(mut self, sent: &[u32], reference: &Reference) -> Counts {
        self.order.settle(reference, true);
        self.counts.order_differs = self.order.differs;
        let others = (0..self.numbers.senders()).filter(|&sender| self.own != Some(sender));
        let absent = others.flat_map(|sender| self.numbers.absent(sender, sent[usize::from(sender)]));
        self.counts.lost = absent.map(|(first, last)| u64::from(last - first) + 1).sum();
        self.counts
    }
}

impl OrderCheck {
    fn take(&mut self, index: u32, reference: &Reference) {
        if self.leads {
            reference.push(index);
        } else {
            self.ahead.push_back(index);
            self.settle(reference, false);
        }
    }

    /// Compares with the reference's messages so far. A message that the reference should have received long ago is
    /// lost, and counted as such; the order of the others is still checked.
    fn settle(&mut self, reference: &Reference, all: bool) {
        while let Some(&index) = self.ahead.front() {
            match reference.rank(index) {
                Some(rank) if rank < self.last => self.differs += 1,
                Some(rank) => self.last = rank,
                None if all || self.ahead.len() > self.ahead_max => {}
                None => return,
            }
            self.ahead.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SENDERS: u16 = 3;
    const MESSAGES: u32 = 8;

    type Message = (u16, u32);

    /// One total order of all messages of all senders.
    fn total_order() -> impl Strategy<Value = Vec<Message>> {
        let steps: Vec<u16> = (0..SENDERS).flat_map(|s| std::iter::repeat_n(s, MESSAGES as usize)).collect();
        Just(steps).prop_shuffle().prop_map(|steps| {
            let mut number = [0; SENDERS as usize];
            let next = |sender: u16| {
                number[usize::from(sender)] += 1;
                (sender, number[usize::from(sender)])
            };
            steps.into_iter().map(next).collect()
        })
    }

    /// The result of a receiver for a sequence; the reference receives its messages either before or after it.
    fn verify(order: &[Message], own: Option<u16>, got: &[Message], early: bool) -> Counts {
        let reference = Reference::new(SENDERS, MESSAGES);
        let lead = || {
            let mut leader = Verifier::new(None, SENDERS, MESSAGES, true, 0);
            for &(sender, number) in order {
                leader.deliver(sender, number, &reference);
            }
        };
        let mut verifier = Verifier::new(own, SENDERS, MESSAGES, false, order.len() + 1);
        if !early {
            lead();
        }
        for &(sender, number) in got {
            verifier.deliver(sender, number, &reference);
        }
        if early {
            lead();
        }
        verifier.finish(&[MESSAGES; SENDERS as usize], &reference)
    }

    fn received(order: &[Message], own: Option<u16>) -> Vec<Message> {
        order.iter().copied().filter(|&(s, _)| Some(s) != own).collect()
    }

    fn clean(delivered: usize) -> Counts {
        Counts { delivered: delivered as u64, ..Counts::default() }
    }

    proptest! {
        #[test]
        fn a_faultless_room_passes(order in total_order(), own in proptest::option::of(0..SENDERS), early: bool) {
            let got = received(&order, own);
            prop_assert_eq!(verify(&order, own, &got, early), clean(got.len()));
        }

        #[test]
        fn a_loss_is_found(order in total_order(), own in proptest::option::of(0..SENDERS), early: bool, at: prop::sample::Index) {
            let mut got = received(&order, own);
            got.remove(at.index(got.len()));
            prop_assert_eq!(verify(&order, own, &got, early), Counts { lost: 1, ..clean(got.len()) });
        }

        #[test]
        fn a_duplicate_is_found(order in total_order(), early: bool, at: prop::sample::Index, later in 0..5usize) {
            let mut got = received(&order, None);
            let at = at.index(got.len());
            got.insert((at + 1 + later).min(got.len()), got[at]);
            let expected = Counts { duplicated: 1, ..clean(order.len()) };
            prop_assert_eq!(verify(&order, None, &got, early), expected);
        }

        #[test]
        fn an_own_message_is_found(order in total_order(), own in 0..SENDERS, early: bool, at: prop::sample::Index) {
            let mut got = received(&order, Some(own));
            let delivered = got.len();
            got.insert(at.index(got.len()), (own, 1));
            let expected = Counts { own: 1, ..clean(delivered) };
            prop_assert_eq!(verify(&order, Some(own), &got, early), expected);
        }

        #[test]
        fn a_swap_is_found(order in total_order(), early: bool, at: prop::sample::Index) {
            let mut got = received(&order, None);
            let at = at.index(got.len() - 1);
            got.swap(at, at + 1);
            let same_sender = got[at].0 == got[at + 1].0;
            let expected = Counts { order_differs: 1, out_of_order: u64::from(same_sender), ..clean(order.len()) };
            prop_assert_eq!(verify(&order, None, &got, early), expected);
        }

        #[test]
        fn combined_faults_add_up(order in total_order(), got in proptest::collection::vec((0..SENDERS, 1..=MESSAGES), 0..60), early: bool) {
            let counts = verify(&order, None, &got, early);
            let mut different = got.clone();
            different.sort_unstable();
            different.dedup();
            prop_assert_eq!(counts.delivered, different.len() as u64);
            prop_assert_eq!(counts.duplicated, (got.len() - different.len()) as u64);
            prop_assert_eq!(counts.lost, (order.len() - different.len()) as u64);
        }
    }

    #[test]
    fn an_unsent_message_is_found() {
        let reference = Reference::new(1, 2);
        let mut verifier = Verifier::new(None, 1, 2, false, 8);
        for (sender, number) in [(1, 1), (0, 0), (0, 3)] {
            assert_eq!(verifier.deliver(sender, number, &reference), 0);
        }
        assert_eq!(verifier.finish(&[0], &reference).unknown, 3);
    }

    #[test]
    fn a_loss_of_the_reference_blocks_nothing() {
        let reference = Reference::new(1, 10);
        let mut leader = Verifier::new(None, 1, 10, true, 0);
        let mut other = Verifier::new(None, 1, 10, false, 3);
        for number in 1..=10 {
            if number != 2 {
                leader.deliver(0, number, &reference);
            }
            other.deliver(0, number, &reference);
            assert!(other.order.ahead.len() <= 4);
        }
        assert_eq!(other.finish(&[10], &reference), clean(10));
        assert_eq!(leader.finish(&[10], &reference), Counts { lost: 1, ..clean(9) });
    }
}
