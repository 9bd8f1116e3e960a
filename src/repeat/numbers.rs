//! The numbered messages that were received from each sender. Pure logic.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use serde::Serialize;

/// The counts of a receiver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Different messages that were received.
    pub delivered: u64,
    /// Messages that should have been received and were not.
    pub lost: u64,
    pub duplicated: u64,
    /// Messages that were received after a later one of the same sender.
    pub out_of_order: u64,
    /// Messages that were received in another order than by others.
    pub order_differs: u64,
    /// The receiver's own messages, if it should not get them.
    pub own: u64,
    /// Messages with a number or sender that does not exist.
    pub unknown: u64,
}

/// The numbers that a receiver has.
#[derive(Debug)]
pub struct Numbers {
    messages: u32,
    /// For each sender, the highest received number.
    highest: Vec<u32>,
    /// For each sender, the missing numbers below the highest: first and last of each range.
    missing: Vec<BTreeMap<u32, u32>>,
}

/// The faults of the room itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RoomCounts {
    /// How often a seq did not follow the last one.
    pub holes: u64,
    /// Messages that the server reported as missing.
    pub gaps: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.delivered += other.delivered;
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.out_of_order += other.out_of_order;
        self.order_differs += other.order_differs;
        self.own += other.own;
        self.unknown += other.unknown;
    }
}

impl Numbers {
    /// For this number of senders and of messages of each.
    pub fn new(senders: u16, messages: u32) -> Self {
        Self { messages, highest: vec![0; senders.into()], missing: vec![BTreeMap::new(); senders.into()] }
    }

    /// Whether such a message exists.
    pub fn contains(&self, sender: u16, number: u32) -> bool {
        usize::from(sender) < self.highest.len() && (1..=self.messages).contains(&number)
    }

    /// Counts an existing message. Returns whether it is new, and by how many messages the receiver advanced, including
    /// those that it must have missed.
    pub fn take(&mut self, sender: u16, number: u32, counts: &mut Counts) -> (bool, u32) {
        let highest = &mut self.highest[usize::from(sender)];
        let missing = &mut self.missing[usize::from(sender)];
        let further = number.saturating_sub(*highest);
        if further > 0 {
            if further > 1 {
                missing.insert(*highest + 1, number - 1);
            }
            *highest = number;
        } else if remove(missing, number) {
            counts.out_of_order += 1;
        } else {
            counts.duplicated += 1;
            return (false, 0);
        }
        counts.delivered += 1;
        (true, further)
    }

    /// The missing numbers of a sender up to `sent`: first and last of each range.
    pub fn absent(&self, sender: u16, sent: u32) -> impl Iterator<Item = (u32, u32)> + '_ {
        let highest = self.highest[usize::from(sender)];
        let ranges = self.missing[usize::from(sender)].iter().map(|(&first, &last)| (first, last));
        ranges.chain((highest < sent).then_some((highest + 1, sent)))
    }

    pub fn senders(&self) -> u16 {
        self.highest.len() as u16
    }
}

/// Removes a number from the missing ranges. False means that it was not missing.
fn remove(missing: &mut BTreeMap<u32, u32>, number: u32) -> bool {
    let Some((&first, &last)) = missing.range(..=number).next_back() else { return false };
    if last < number {
        return false;
    }
    missing.remove(&first);
    if first < number {
        missing.insert(first, number - 1);
    }
    if number < last {
        missing.insert(number + 1, last);
    }
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn received_and_missing_numbers_add_up(got in proptest::collection::vec(1..=20u32, 0..60), sent in 0..=20u32) {
            let (mut numbers, mut counts) = (Numbers::new(1, 20), Counts::default());
            for &number in &got {
                numbers.take(0, number, &mut counts);
            }
            let absent: Vec<u32> = numbers.absent(0, sent).flat_map(|(first, last)| first..=last).collect();
            let highest = got.iter().copied().max().unwrap_or(0);
            let expected: Vec<u32> = (1..=highest.max(sent)).filter(|number| !got.contains(number)).collect();
            prop_assert_eq!(absent, expected);
            prop_assert_eq!(counts.delivered + counts.duplicated, got.len() as u64);
        }
    }
}
