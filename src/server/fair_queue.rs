//! A queue that serves its senders in turn: start-time fair queuing (Goyal, Vin and Cheng, 1996).
//!
//! Each sender has a *lane*, in which its items keep their order. Items have a cost. The queue has a virtual time, and
//! the first item of a lane has a start time: the virtual time at which it arrived, or the end of the lane's previous
//! item (start + cost), whichever is later. The item with the earliest start is next, and its start becomes the virtual
//! time; of equal starts, those of lanes that were idle go first. So lanes that always have items get equal shares of
//! the served cost, and an item of a lane that uses less than its share is served at once, however many others wait:
//! only items of other such lanes are before it.
//!
//! Lanes with the same *group* (the streams of one address) share the share of one: the same rule applies first to
//! groups, then to the lanes of a group. A lane without a group is a group of its own.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::hash::Hash;

use slab::Slab;

use crate::limits::QUEUE_KEPT;

/// A queue of items of type `T`, in lanes that may have groups of type `G`.
pub struct FairQueue<G, T> {
    groups: Slab<Group<G>>,
    by_name: HashMap<G, usize>,
    lanes: Slab<Lane<T>>,
    turns: Turns,
    len: usize,
}

/// A lane of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use = "close it with `close_lane`"]
pub struct LaneId(usize);

struct Group<G> {
    name: Option<G>,
    /// How many lanes it has.
    lanes: usize,
    account: Account,
    turns: Turns,
}

struct Lane<T> {
    group: usize,
    account: Account,
    items: VecDeque<(T, u64)>,
    cost: u64,
    /// No item is added any more. The lane is removed when it is empty.
    closed: bool,
}

/// The virtual time at which the last item of a group or of a lane ended.
#[derive(Default)]
struct Account {
    end: u64,
}

/// Which of several groups, or lanes, is next. Each is in it once while it has items.
#[derive(Default)]
struct Turns {
    time: u64,
    arrivals: u64,
    waiting: BinaryHeap<Reverse<Turn>>,
}

/// The place in the order of service.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    start: u64,
    /// Whether it starts where its previous item ended: of equal starts, those that were idle are first.
    was_busy: bool,
    arrival: u64,
    index: usize,
}

impl Turns {
    fn wait(&mut self, account: &Account, index: usize) {
        self.arrivals += 1;
        let (start, was_busy) = (account.end.max(self.time), account.end > self.time);
        self.waiting.push(Reverse(Turn { start, was_busy, arrival: self.arrivals, index }));
    }

    /// Takes the next one, and advances the virtual time to its start.
    fn next(&mut self) -> Option<usize> {
        let Reverse(Turn { start, index, .. }) = self.waiting.pop()?;
        self.time = start;
        Some(index)
    }

    /// Charges the one that [`Turns::next`] returned.
    fn charge(&self, account: &mut Account, cost: u64) {
        // Virtual time does not overflow: it is in bytes, and 64 bits last for centuries.
        account.end = self.time + cost;
    }
}

impl<G, T> Default for FairQueue<G, T> {
    fn default() -> Self {
        let by_name = HashMap::new();
        Self { groups: Slab::new(), by_name, lanes: Slab::new(), turns: Turns::default(), len: 0 }
    }
}

impl<G: Clone + Eq + Hash, T> FairQueue<G, T> {
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many items wait.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn open_lane(&mut self, group: Option<G>) -> LaneId {
        let known = group.as_ref().and_then(|name| self.by_name.get(name)).copied();
        let group = known.unwrap_or_else(|| {
            let new = Group { name: group.clone(), lanes: 0, account: Account::default(), turns: Turns::default() };
            let index = self.groups.insert(new);
            if let Some(name) = group {
                self.by_name.insert(name, index);
            }
            index
        });
        self.groups[group].lanes += 1;
        let lane = Lane { group, account: Account::default(), items: VecDeque::new(), cost: 0, closed: false };
        LaneId(self.lanes.insert(lane))
    }

    /// Adds no more to a lane. Its items stay in the queue.
    pub fn close_lane(&mut self, LaneId(lane): LaneId) {
        self.lanes[lane].closed = true;
        self.remove_if_done(lane);
    }

    /// The cost of the items that wait in a lane; `None` if there are none.
    pub fn waiting(&self, LaneId(lane): LaneId) -> Option<u64> {
        // A closed lane is removed with its last item.
        let lane = self.lanes.get(lane)?;
        (!lane.items.is_empty()).then_some(lane.cost)
    }

    pub fn push(&mut self, LaneId(index): LaneId, item: T, cost: u64) {
        let lane = &mut self.lanes[index];
        debug_assert!(!lane.closed, "nothing is added to a closed lane");
        lane.items.push_back((item, cost));
        lane.cost += cost;
        self.len += 1;
        if lane.items.len() == 1 {
            self.lane_waits(index);
        }
    }

    /// Takes the next item, with its lane.
    pub fn pop(&mut self) -> Option<(LaneId, T)> {
        let group_index = self.turns.next()?;
        let group = &mut self.groups[group_index];
        // Invariant: a group waits while one of its lanes does, and a lane while it has items.
        let index = group.turns.next().expect("a group that waits has a lane that waits");
        let lane = &mut self.lanes[index];
        let (item, cost) = lane.items.pop_front().expect("a lane that waits has an item");
        lane.cost -= cost;
        self.len -= 1;
        group.turns.charge(&mut lane.account, cost);
        self.turns.charge(&mut group.account, cost);
        if lane.items.is_empty() {
            lane.items.shrink_to(QUEUE_KEPT);
        } else {
            group.turns.wait(&lane.account, index);
        }
        if !group.turns.waiting.is_empty() {
            self.turns.wait(&group.account, group_index);
        }
        self.remove_if_done(index);
        Some((LaneId(index), item))
    }

    fn lane_waits(&mut self, index: usize) {
        let lane = &self.lanes[index];
        let group = &mut self.groups[lane.group];
        group.turns.wait(&lane.account, index);
        if group.turns.waiting.len() == 1 {
            self.turns.wait(&group.account, lane.group);
        }
    }

    fn remove_if_done(&mut self, index: usize) {
        let lane = &self.lanes[index];
        if !lane.closed || !lane.items.is_empty() {
            return;
        }
        let Lane { group: group_index, .. } = self.lanes.remove(index);
        let group = &mut self.groups[group_index];
        group.lanes -= 1;
        if group.lanes == 0 {
            let Group { name, .. } = self.groups.remove(group_index);
            if let Some(name) = name {
                self.by_name.remove(&name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use fastrand::Rng;

    use super::*;

    type Queue = FairQueue<&'static str, u64>;

    /// Pops items with a total cost of up to `cost`, which each item has as its value. Returns the cost by lane.
    fn serve(queue: &mut Queue, mut cost: u64) -> HashMap<usize, u64> {
        let mut served = HashMap::new();
        while let Some((LaneId(lane), item)) = queue.pop() {
            *served.entry(lane).or_default() += item;
            match cost.checked_sub(item) {
                Some(rest) if rest > 0 => cost = rest,
                _ => break,
            }
        }
        served
    }

    #[test]
    fn a_lane_keeps_its_order_and_nothing_is_lost() {
        let mut rng = Rng::with_seed(7);
        let mut queue: FairQueue<u8, (usize, u32)> = FairQueue::default();
        let lanes: Vec<_> = (0..10).map(|n| queue.open_lane((n % 3 > 0).then_some(n % 3))).collect();
        let (mut pushed, mut popped) = (vec![0; lanes.len()], vec![0; lanes.len()]);
        for _ in 0..20_000 {
            if rng.u8(..) < 128 {
                let lane = rng.usize(..lanes.len());
                queue.push(lanes[lane], (lane, pushed[lane]), rng.u64(1..5_000));
                pushed[lane] += 1;
            } else if let Some((id, (lane, number))) = queue.pop() {
                assert_eq!((id, number), (lanes[lane], popped[lane]));
                popped[lane] += 1;
            }
            assert_eq!(queue.len as u32, pushed.iter().sum::<u32>() - popped.iter().sum::<u32>());
        }
        while let Some((_, (lane, number))) = queue.pop() {
            assert_eq!(number, popped[lane]);
            popped[lane] += 1;
        }
        assert_eq!(pushed, popped);
        lanes.into_iter().for_each(|lane| queue.close_lane(lane));
        assert!(queue.lanes.is_empty() && queue.groups.is_empty() && queue.by_name.is_empty());
    }

    #[test]
    fn lanes_that_always_have_items_get_equal_shares_of_the_cost() {
        let mut queue = Queue::default();
        let lanes: Vec<_> = (0..3).map(|_| queue.open_lane(None)).collect();
        for (lane, cost) in lanes.iter().zip([10_u64, 100, 1_000]) {
            (0..100_000 / cost).for_each(|_| queue.push(*lane, cost, cost));
        }
        let served = serve(&mut queue, 90_000);
        assert!(served.values().all(|cost| (28_900..=31_100).contains(cost)), "{served:?}");
    }

    #[test]
    fn an_item_of_a_lane_within_its_share_is_next() {
        let mut queue = Queue::default();
        let busy: Vec<_> = (0..1_000).map(|_| queue.open_lane(None)).collect();
        for lane in &busy {
            (0..100).for_each(|_| queue.push(*lane, 1_000, 1_000));
        }
        let quiet = queue.open_lane(None);
        serve(&mut queue, 2_500_000);
        for _ in 0..10 {
            // The share of each lane is about 1,500.
            serve(&mut queue, 1_500_000);
            queue.push(quiet, 400, 400);
            assert_eq!(queue.pop(), Some((quiet, 400)));
        }
        // Beyond its share, it waits as the others do.
        (0..10).for_each(|_| queue.push(quiet, 400, 400));
        let served = serve(&mut queue, 2_000_000);
        assert!((1_600..=2_400).contains(&served[&quiet.0]), "{}", served[&quiet.0]);
    }

    #[test]
    fn the_lanes_of_a_group_share_one_share() {
        let mut queue = Queue::default();
        let crowd: Vec<_> = (0..50).map(|_| queue.open_lane(Some("crowd"))).collect();
        let (lone, other) = (queue.open_lane(None), queue.open_lane(Some("other")));
        for lane in crowd.iter().chain([&lone, &other]) {
            (0..1_000).for_each(|_| queue.push(*lane, 10, 10));
        }
        let served = serve(&mut queue, 30_000);
        let (lone, other) = (served[&lone.0], served[&other.0]);
        let crowd: Vec<_> = crowd.iter().map(|lane| served[&lane.0]).collect();
        for share in [lone, other, crowd.iter().sum()] {
            assert!((9_900..=10_100).contains(&share), "{share}");
        }
        assert!(crowd.iter().all(|share| *share == 200), "{crowd:?}");
    }

    /// A lane that was idle for long gets no more than its share afterwards.
    #[test]
    fn idle_time_is_no_credit() {
        let mut queue = Queue::default();
        let (idle, busy) = (queue.open_lane(None), queue.open_lane(None));
        for lane in [busy, busy, idle] {
            (0..1_000).for_each(|_| queue.push(lane, 10, 10));
            serve(&mut queue, if lane == busy { 5_000 } else { 4_000 });
        }
        let served = serve(&mut queue, 2_000);
        assert!((900..=1_100).contains(&served[&idle.0]), "{served:?}");
    }
}
