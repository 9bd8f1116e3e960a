//! Calls beside the chat: health checks and server reflection. They need no login, so they are bounded by themselves, for
//! each peer and in all, and they take no thread: each is a task on a poller, with at most one write in flight.
//!
//! A task is woken by the library, by a change of the server's health, and by a deadline. So a drain needs no list of
//! them: they see it, and end.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use parking_lot::{Condvar, Mutex};
use slab::Slab;
use thiserror::Error;

use crate::server::deadlines::Deadlines;
use crate::server::health::{Health, HealthState};
use crate::server::peer::Peer;

/// The calls of one kind that are in progress.
pub struct SideCalls {
    peer_max: usize,
    all_max: usize,
    health: Arc<HealthState>,
    deadlines: Deadlines,
    // lock order: 3 (a leaf)
    state: Mutex<SideCallsState>,
    emptied: Condvar,
}

#[derive(Default)]
struct SideCallsState {
    by_peer: HashMap<Peer, usize>,
    /// What wakes the task of each call; `None` until it waits.
    wakers: Slab<Option<Waker>>,
}

/// A call in progress. Dropping it frees its place.
pub struct SideCall {
    calls: Arc<SideCalls>,
    peer: Peer,
    key: usize,
}

/// Why a call can't begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TooMany {
    #[error("your address, or your connection, has {0} such calls in progress, the maximum: end one first")]
    OfPeer(usize),
    #[error("{0} such calls are in progress, the maximum: try again in a moment")]
    OfAll(usize),
}

/// Why a call stops waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interruption {
    Draining,
    /// The time is over.
    Late,
}

impl SideCalls {
    pub fn new(peer_max: usize, all_max: usize, health: &Arc<HealthState>, deadlines: Deadlines) -> Arc<Self> {
        let (state, emptied) = Default::default();
        let calls = Arc::new(Self { peer_max, all_max, health: Arc::clone(health), deadlines, state, emptied });
        let woken = Arc::downgrade(&calls);
        health.on_change(Box::new(move || woken.upgrade().iter().for_each(|calls| calls.wake_all())));
        calls
    }

    pub fn health(&self) -> Health {
        self.health.get()
    }

    pub fn deadlines(&self) -> &Deadlines {
        &self.deadlines
    }

    /// Takes a place for a call. Does not block.
    pub fn begin(self: &Arc<Self>, peer: Peer) -> Result<SideCall, TooMany> {
        let mut state = self.state.lock();
        if state.wakers.len() >= self.all_max {
            return Err(TooMany::OfAll(self.all_max));
        }
        let of_peer = state.by_peer.get(&peer).copied().unwrap_or(0);
        // All connections to a Unix socket have the same name.
        let is_bounded = !matches!(&peer, Peer::Exempt(name) if name.starts_with("unix:"));
        if of_peer >= self.peer_max && is_bounded {
            return Err(TooMany::OfPeer(self.peer_max));
        }
        state.by_peer.insert(peer.clone(), of_peer + 1);
        let key = state.wakers.insert(None);
        drop(state);
        Ok(SideCall { calls: Arc::clone(self), peer, key })
    }

    /// Waits until none is left. `false` means that the deadline passed first.
    pub fn wait_until_empty(&self, deadline: Instant) -> bool {
        let mut state = self.state.lock();
        while !state.wakers.is_empty() {
            if self.emptied.wait_until(&mut state, deadline).timed_out() {
                return state.wakers.is_empty();
            }
        }
        true
    }

    fn wake_all(&self) {
        let wakers: Vec<_> = self.state.lock().wakers.iter().filter_map(|(_, waker)| waker.clone()).collect();
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Wakes a call, or one that has its place now, which then sees that there is nothing for it.
    fn wake(&self, key: usize) {
        let waker = self.state.lock().wakers.get(key).cloned().flatten();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl SideCall {
    pub fn calls(&self) -> &Arc<SideCalls> {
        &self.calls
    }

    /// Wakes this task at the next change of the health, and at deadlines.
    pub fn watch(&self, context: &Context<'_>) {
        let mut state = self.calls.state.lock();
        // Invariant: the place is this call's until it is dropped.
        let waker = &mut state.wakers[self.key];
        if waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            return;
        }
        let before = waker.replace(context.waker().clone());
        drop(state);
        drop(before);
    }

    /// Waits until `poll` is ready, or until then. A drain ends the wait too, unless it is for a write, which a client that
    /// reads ends at once.
    pub async fn wait<T>(
        &self,
        until: Instant,
        ends_at_drain: bool,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Result<T, Interruption> {
        let (calls, key) = (Arc::clone(&self.calls), self.key);
        let _deadline = self.calls.deadlines.set(until, move || calls.wake(key));
        poll_fn(|context| {
            self.watch(context);
            if ends_at_drain && self.calls.health() == Health::Draining {
                return Poll::Ready(Err(Interruption::Draining));
            }
            match poll(context) {
                Poll::Ready(value) => Poll::Ready(Ok(value)),
                Poll::Pending if Instant::now() >= until => Poll::Ready(Err(Interruption::Late)),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }
}

impl Drop for SideCall {
    fn drop(&mut self) {
        let mut state = self.calls.state.lock();
        let waker = state.wakers.remove(self.key);
        if let Some(count) = state.by_peer.get_mut(&self.peer) {
            *count -= 1;
            if *count == 0 {
                state.by_peer.remove(&self.peer);
            }
        }
        if state.wakers.is_empty() {
            self.calls.emptied.notify_all();
        }
        drop(state);
        drop(waker);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::time::Duration;

    use super::*;
    use crate::server::deadlines::DeadlineThread;
    use crate::threads::park::block_on_until;

    const LONG: Duration = Duration::from_secs(60);

    fn peer(name: &str) -> Peer {
        Peer::Exempt(name.to_owned())
    }

    fn calls(health: &Arc<HealthState>) -> Arc<SideCalls> {
        SideCalls::new(2, 5, health, Deadlines::default())
    }

    #[test]
    fn calls_are_bounded_for_each_peer_and_in_all() {
        let calls = calls(&Arc::default());
        let begin = |name: &str| calls.begin(peer(name));
        let mut open = vec![begin("ipv4:127.0.0.1:1").unwrap(), begin("ipv4:127.0.0.1:1").unwrap()];
        assert_eq!(begin("ipv4:127.0.0.1:1").err(), Some(TooMany::OfPeer(2)));
        open.extend((0..3).map(|_| begin("unix:").unwrap()));
        assert_eq!(begin("ipv4:127.0.0.1:2").err(), Some(TooMany::OfAll(5)));
        open.remove(0);
        open.push(begin("ipv4:127.0.0.1:1").unwrap());
        assert!(!calls.wait_until_empty(Instant::now()));
        drop(open);
        assert!(calls.wait_until_empty(Instant::now() + LONG));
        let state = calls.state.lock();
        assert!(state.by_peer.is_empty() && state.wakers.is_empty());
    }

    #[test]
    fn a_waiting_call_sees_the_drain() {
        let health = Arc::<HealthState>::default();
        let calls = calls(&health);
        let call = calls.begin(peer("a")).unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| {
                let mut wait = pin!(call.wait(Instant::now() + LONG, true, |_| Poll::<()>::Pending));
                block_on_until(&mut wait, Instant::now() + LONG)
            });
            health.set_serving();
            health.set_draining();
            assert_eq!(waiting.join().unwrap(), Some(Err(Interruption::Draining)));
        });
        // A write goes on.
        let mut wait = pin!(call.wait(Instant::now() + LONG, false, |_| Poll::Ready(7)));
        assert_eq!(block_on_until(&mut wait, Instant::now() + LONG), Some(Ok(7)));
    }

    #[test]
    fn a_waiting_call_ends_at_its_deadline() {
        let thread = DeadlineThread::start().unwrap();
        let calls = SideCalls::new(1, 1, &Arc::default(), thread.deadlines());
        let call = calls.begin(peer("a")).unwrap();
        let until = Instant::now() + Duration::from_millis(20);
        let mut wait = pin!(call.wait(until, true, |_| Poll::<()>::Pending));
        assert_eq!(block_on_until(&mut wait, Instant::now() + LONG), Some(Err(Interruption::Late)));
        assert!(Instant::now() >= until);
    }
}
