//! The append queue: the orders for the log writer, which takes them from their senders in turn.
//!
//! A queue that is served in the order of arrival makes everybody wait for the client that posts most. Here each stream
//! has a lane of its own, and the writer takes from the lanes by [fair queuing](super::fair_queue), by bytes. A client
//! that floods waits for its own posts; one that posts less than its share is in the next batch.
//!
//! A full lane blocks the receive thread that wants to append, so that HTTP/2 flow control slows only its sender. A
//! call has no thread that could wait: its order is always taken, and the bound is the number of calls in progress.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use parking_lot::{Condvar, Mutex, MutexGuard};

use super::fair_queue::{FairQueue, LaneId};
use super::log::{LogError, Outcome, Post};
use crate::limits::{
    APPEND_LANE_BYTES_MAX, APPEND_QUEUE_BYTES_MAX, BATCH_BYTES_MAX, BATCH_POSTS_MAX, BATCH_ROOMS_MAX, ORDER_COST,
    POST_COST, WRITER_YIELDS,
};
use crate::names::RoomName;
use crate::server::peer::Peer;
use crate::server::room::RoomHandle;

/// An order for the writer.
pub enum Order {
    /// To append posts, in their order.
    Posts { posts: Vec<Post>, poster: Arc<dyn Poster> },
    /// To open a room, stored or not.
    Room { name: RoomName, reply: Sender<Result<RoomHandle, LogError>> },
    /// To set how many rooms there may be.
    RoomsMax(usize),
}

/// The sender of posts, which gets their outcomes.
pub trait Poster: Send + Sync {
    /// Gets the outcome of each post. New messages were published before. Called on the writer's thread: MUST NOT
    /// block.
    fn settled(&self, posts: &[Post], outcomes: &[Outcome]);
}

/// Opens lanes. The writer ends when all of these and all lanes are dropped, and no order waits.
pub struct Lanes {
    queue: Arc<Queue>,
}

/// The place where one stream, or one call, hands over its orders.
pub struct Lane {
    queue: Arc<Queue>,
    id: LaneId,
    space: Arc<Condvar>,
}

/// The writer's end. Dropping it refuses all orders.
pub struct Orders {
    queue: Arc<Queue>,
}

/// Shows how much waits, and keeps neither the queue's writer nor its senders.
#[derive(Clone)]
pub struct Depth {
    queue: Arc<Queue>,
}

/// The writer has ended, and the order was dropped.
#[derive(Debug)]
pub struct WriterEnded;

/// The result of waiting for orders.
#[derive(Debug, PartialEq, Eq)]
pub enum Waited {
    /// A batch was taken.
    Batch,
    TimedOut,
    /// There will be no more.
    Ended,
}

struct Queue {
    // lock order: 3 (a leaf, held to add an order, or to take a batch of them)
    state: Mutex<State>,
    /// There are orders, or there will be no more.
    arrived: Condvar,
}

struct State {
    orders: FairQueue<Peer, Order>,
    /// The cost of all orders in it.
    bytes: u64,
    /// How many may add orders: lanes, and those that open them.
    senders: usize,
    /// The lanes whose senders wait for space.
    blocked: HashMap<LaneId, Arc<Condvar>>,
    writer_waits: bool,
    writer_ended: bool,
}

/// A new queue.
pub fn new() -> (Lanes, Orders) {
    let state = State {
        orders: FairQueue::default(),
        bytes: 0,
        senders: 1,
        blocked: HashMap::new(),
        writer_waits: false,
        writer_ended: false,
    };
    let queue = Arc::new(Queue { state: Mutex::new(state), arrived: Condvar::new() });
    (Lanes { queue: Arc::clone(&queue) }, Orders { queue })
}

impl Order {
    /// The memory that it takes while it waits.
    fn cost(&self) -> u64 {
        let posts = match self {
            Self::Posts { posts, .. } => posts.len() as u64 * POST_COST,
            Self::Room { .. } | Self::RoomsMax(_) => 0,
        };
        ORDER_COST + posts + self.content_bytes() as u64
    }

    /// The bytes that it adds to the log.
    fn content_bytes(&self) -> usize {
        match self {
            Self::Posts { posts, .. } => posts.iter().map(Post::bytes).sum(),
            Self::Room { .. } | Self::RoomsMax(_) => 0,
        }
    }
}

impl Lanes {
    /// Opens a lane. Those of one peer share one share; without a peer it has a share of its own.
    pub fn open(&self, peer: Option<Peer>) -> Lane {
        let mut state = self.queue.state.lock();
        state.senders += 1;
        let id = state.orders.open_lane(peer);
        drop(state);
        Lane { queue: Arc::clone(&self.queue), id, space: Arc::default() }
    }
}

impl Lanes {
    /// For whoever wants to see how much waits.
    pub fn depth(&self) -> Depth {
        Depth { queue: Arc::clone(&self.queue) }
    }
}

impl Depth {
    /// How many orders wait, and their cost in bytes.
    pub fn now(&self) -> (usize, u64) {
        let state = self.queue.state.lock();
        (state.orders.len(), state.bytes)
    }
}

impl Drop for Lanes {
    fn drop(&mut self) {
        self.queue.sender_ends(self.queue.state.lock());
    }
}

impl Lane {
    /// Hands over an order if the lane has space for it, and gives it back otherwise.
    pub fn try_push(&self, order: Order) -> Result<(), Order> {
        let cost = order.cost();
        let state = self.queue.state.lock();
        if state.writer_ended || !state.has_space(self.id, cost) {
            return Err(order);
        }
        self.queue.add(state, self.id, order, cost);
        Ok(())
    }

    /// Hands over an order, after waiting for space in the lane.
    pub fn push(&self, order: Order) -> Result<(), WriterEnded> {
        let cost = order.cost();
        let mut state = self.queue.state.lock();
        while !state.writer_ended && !state.has_space(self.id, cost) {
            state.blocked.insert(self.id, Arc::clone(&self.space));
            self.space.wait(&mut state);
        }
        if state.writer_ended {
            return Err(WriterEnded);
        }
        self.queue.add(state, self.id, order, cost);
        Ok(())
    }

    /// Hands over an order at once, for a caller whose orders are bounded otherwise.
    pub fn push_unbounded(&self, order: Order) -> Result<(), WriterEnded> {
        let cost = order.cost();
        let state = self.queue.state.lock();
        if state.writer_ended {
            return Err(WriterEnded);
        }
        self.queue.add(state, self.id, order, cost);
        Ok(())
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        let mut state = self.queue.state.lock();
        state.orders.close_lane(self.id);
        self.queue.sender_ends(state);
    }
}

impl Queue {
    fn add(&self, mut state: MutexGuard<'_, State>, lane: LaneId, order: Order, cost: u64) {
        state.bytes += cost;
        state.orders.push(lane, order, cost);
        let wake = std::mem::take(&mut state.writer_waits);
        drop(state);
        if wake {
            self.arrived.notify_one();
        }
    }

    fn sender_ends(&self, mut state: MutexGuard<'_, State>) {
        state.senders -= 1;
        let wake = state.senders == 0 && std::mem::take(&mut state.writer_waits);
        drop(state);
        if wake {
            self.arrived.notify_one();
        }
    }
}

impl State {
    /// Whether an order of this cost may be added: to an empty lane always, so that every sender comes forward.
    fn has_space(&self, lane: LaneId, cost: u64) -> bool {
        let Some(waiting) = self.orders.waiting(lane) else { return true };
        waiting + cost <= APPEND_LANE_BYTES_MAX && self.bytes + cost <= APPEND_QUEUE_BYTES_MAX
    }

    /// Takes the next orders, up to the bounds of a batch. Returns whose senders to wake.
    fn take(&mut self, batch: &mut Vec<Order>) -> Vec<Arc<Condvar>> {
        let (mut bytes, mut posts, mut rooms) = (0, 0, 0);
        let mut freed = Vec::new();
        while bytes < BATCH_BYTES_MAX && posts < BATCH_POSTS_MAX && rooms < BATCH_ROOMS_MAX {
            let Some((lane, order)) = self.orders.pop() else { break };
            self.bytes -= order.cost();
            bytes += order.content_bytes();
            match &order {
                Order::Posts { posts: more, .. } => posts += more.len(),
                Order::Room { .. } => rooms += 1,
                Order::RoomsMax(_) => {}
            }
            batch.push(order);
            // A sender that is woken for each order would do little at a time.
            if !self.blocked.is_empty()
                && self.orders.waiting(lane).is_none_or(|left| left <= APPEND_LANE_BYTES_MAX / 2)
            {
                freed.extend(self.blocked.remove(&lane));
            }
        }
        freed
    }
}

impl Orders {
    /// Waits for orders, and adds as many as one batch may hold.
    pub fn next(&self, batch: &mut Vec<Order>, timeout: Option<Duration>) -> Waited {
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        let mut state = self.queue.state.lock();
        let mut yields = 0;
        while state.orders.is_empty() {
            if state.senders == 0 {
                return Waited::Ended;
            }
            if yields < WRITER_YIELDS {
                // Send threads that were just woken can run first, and under load a receive thread may add an order
                // meanwhile.
                yields += 1;
                MutexGuard::unlocked(&mut state, thread::yield_now);
                continue;
            }
            state.writer_waits = true;
            match deadline {
                None => self.queue.arrived.wait(&mut state),
                Some(deadline) => {
                    if self.queue.arrived.wait_until(&mut state, deadline).timed_out() && state.orders.is_empty() {
                        state.writer_waits = false;
                        return Waited::TimedOut;
                    }
                }
            }
        }
        state.writer_waits = false;
        let freed = state.take(batch);
        drop(state);
        wake(freed.iter());
        Waited::Batch
    }
}

fn wake<'a>(senders: impl Iterator<Item = &'a Arc<Condvar>>) {
    for space in senders {
        space.notify_one();
    }
}

impl Drop for Orders {
    fn drop(&mut self) {
        let mut state = self.queue.state.lock();
        state.writer_ended = true;
        let blocked = std::mem::take(&mut state.blocked);
        let mut dropped = Vec::new();
        while let Some((_, order)) = state.orders.pop() {
            dropped.push(order);
        }
        drop(state);
        wake(blocked.values());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::log::conformance::{post_without_id, room};

    const WAIT: Duration = Duration::from_secs(30);

    struct Nobody;

    impl Poster for Nobody {
        fn settled(&self, _posts: &[Post], _outcomes: &[Outcome]) {}
    }

    fn order(sender: &str, bytes: usize) -> Order {
        Order::Posts {
            posts: vec![post_without_id(&room("attic"), sender, &"x".repeat(bytes))],
            poster: Arc::new(Nobody),
        }
    }

    fn sender(order: &Order) -> &str {
        match order {
            Order::Posts { posts, .. } => posts[0].sender.name.as_str(),
            Order::Room { name, .. } => name.as_str(),
            Order::RoomsMax(_) => "",
        }
    }

    #[test]
    fn a_post_beside_floods_is_in_the_next_batch() {
        let (lanes, orders) = new();
        let floods: Vec<_> = (0..100).map(|_| lanes.open(None)).collect();
        for lane in &floods {
            while lane.try_push(order("flood", 1_000)).is_ok() {}
        }
        let mut batch = Vec::new();
        // The first order of each lane is served in the order of arrival.
        while batch.len() <= floods.len() {
            orders.next(&mut batch, None);
        }
        let quiet = lanes.open(None);
        for _ in 0..10 {
            orders.next(&mut batch, None);
            quiet.push(order("quiet", 10)).unwrap();
            batch.clear();
            assert_eq!(orders.next(&mut batch, None), Waited::Batch);
            assert_eq!(sender(&batch[0]), "quiet");
        }
    }

    #[test]
    fn a_full_lane_blocks_its_sender_only() {
        let (lanes, orders) = new();
        let (flood, quiet) = (lanes.open(None), lanes.open(None));
        let mut pushed = 0;
        while flood.try_push(order("flood", 1_000)).is_ok() {
            pushed += 1;
        }
        let fitting = APPEND_LANE_BYTES_MAX / order("flood", 1_000).cost();
        assert!(fitting > 100 && pushed == fitting as usize, "{pushed} orders fit, expected {fitting}");
        quiet.try_push(order("quiet", 1_000)).map_err(|_| "no space").unwrap();
        thread::scope(|scope| {
            let pushing = scope.spawn(|| (0..200).try_for_each(|_| flood.push(order("flood", 1_000))));
            let (mut batch, mut count) = (Vec::new(), 0);
            while count < pushed + 1 + 200 {
                assert_eq!(orders.next(&mut batch, Some(WAIT)), Waited::Batch);
                count += batch.len();
                batch.clear();
            }
            pushing.join().expect("the sender does not panic").expect("the writer has not ended");
        });
    }

    /// A thousand lanes of short posts took three times the memory that was counted.
    #[test]
    fn the_memory_of_short_posts_is_counted() {
        let post = post_without_id(&room("attic"), "ann", "x");
        let memory = size_of_val(&post) + post.sender.name.as_str().len() + post.content().len();
        let order = Order::Posts { posts: vec![post; 500], poster: Arc::new(Nobody) };
        assert!(order.cost() >= 500 * memory as u64, "{} for 500 posts of {memory} bytes", order.cost());
    }

    #[test]
    fn every_lane_may_have_an_order_when_the_queue_is_full() {
        let (lanes, orders) = new();
        let floods: Vec<_> = (0..1_000).map(|_| lanes.open(None)).collect();
        for lane in &floods {
            while lane.try_push(order("flood", 16_000)).is_ok() {}
        }
        let late = lanes.open(None);
        assert!(late.try_push(order("late", 16_000)).is_ok());
        assert!(late.try_push(order("late", 16_000)).is_err());
        let bytes = orders.queue.state.lock().bytes;
        assert!(bytes < APPEND_QUEUE_BYTES_MAX + 1_001 * 17_000, "{bytes}");
    }

    #[test]
    fn the_writer_ends_after_the_last_order() {
        let (lanes, orders) = new();
        let lane = lanes.open(None);
        lane.push(order("last", 1)).unwrap();
        drop(lanes);
        let mut batch = Vec::new();
        drop(lane);
        assert_eq!(orders.next(&mut batch, None), Waited::Batch);
        assert_eq!(orders.next(&mut batch, None), Waited::Ended);
    }

    #[test]
    fn senders_wake_the_writer_and_its_end_wakes_them() {
        let (lanes, orders) = new();
        let lane = lanes.open(None);
        let mut batch = Vec::new();
        assert_eq!(orders.next(&mut batch, Some(Duration::from_millis(1))), Waited::TimedOut);
        thread::scope(|scope| {
            let waiting = scope.spawn(|| {
                let mut batch = Vec::new();
                let waited = orders.next(&mut batch, Some(WAIT));
                // A sender that waits for space is refused.
                (waited, batch.is_empty(), drop(orders))
            });
            lane.push(order("first", 1)).unwrap();
            while lane.push(order("next", 1_000)).is_ok() {}
            assert_eq!(waiting.join().unwrap(), (Waited::Batch, false, ()));
        });
        assert!(lane.try_push(order("late", 1)).is_err());
        assert!(lane.push_unbounded(order("late", 1)).is_err());
        drop(lanes);
    }
}
