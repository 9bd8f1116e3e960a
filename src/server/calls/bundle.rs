//! Posts of calls that go to the log writer together, as one order.

use std::sync::Arc;

use futures_channel::oneshot;
use parking_lot::Mutex;

use crate::server::append_queue::{Order, Poster};
use crate::server::hub::Hub;
use crate::server::log::{Outcome, Post};
use crate::server::peer::Peer;

/// Posts of calls of one client, which the log writer gets together, in their order.
#[derive(Default)]
pub struct Bundle {
    // lock order: 3 (a leaf)
    posts: Mutex<Posts>,
}

#[derive(Default)]
struct Posts {
    posts: Vec<Post>,
    calls: Vec<oneshot::Sender<Outcome>>,
}

/// The calls that wait for the outcomes of an order.
struct Waiting {
    // lock order: 3 (a leaf)
    calls: Mutex<Vec<oneshot::Sender<Outcome>>>,
}

impl Bundle {
    /// Adds a post. Its outcome comes after [`Bundle::hand_over`]; if that never happens, the channel is dropped.
    pub fn add(&self, post: Post) -> oneshot::Receiver<Outcome> {
        let (call, outcome) = oneshot::channel();
        let mut posts = self.posts.lock();
        posts.posts.push(post);
        posts.calls.push(call);
        outcome
    }

    /// Hands the posts to the log writer, and does not block. If a drain has begun, they are dropped, and their channels
    /// with them.
    pub fn hand_over(&self, hub: &Hub, peer: Peer) {
        let Posts { posts, calls } = std::mem::take(&mut *self.posts.lock());
        if posts.is_empty() {
            return;
        }
        let poster = Arc::new(Waiting { calls: Mutex::new(calls) });
        if let Some(lane) = hub.open_lane(Some(peer)) {
            let _ = lane.push_unbounded(Order::Posts { posts, poster });
        }
    }
}

impl Poster for Waiting {
    fn settled(&self, _posts: &[Post], outcomes: &[Outcome]) {
        let calls = std::mem::take(&mut *self.calls.lock());
        for (call, outcome) in calls.into_iter().zip(outcomes) {
            // The client may be gone.
            let _ = call.send(outcome.clone());
        }
    }
}
