//! The requests of a client, between the poller that serves the stream and the stream's receive thread.
//!
//! The poller takes each message from the library as it arrives and requests the next at once, without waiting for the
//! receive thread to be scheduled. So a burst causes one wake-up, and its posts are collected for one commit. The
//! poller does not copy or decode; the receive thread does.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use futures_util::stream::Stream as _;
use grpcio::RequestStream;
use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::limits::{INFLOW_BYTES_MAX, INFLOW_MESSAGES_MAX, QUEUE_KEPT};
use crate::threads::OnDemand;
use crate::wire::Request;

/// The messages that wait for the receive thread. Bound, together with those that it has taken: [`INFLOW_MESSAGES_MAX`]
/// and [`INFLOW_BYTES_MAX`], plus one message; beyond that they stay with the transport, whose flow control slows only
/// this client.
#[derive(Default)]
pub struct Inflow {
    // lock order: 3 (a leaf, held for one push or one swap)
    state: Mutex<InflowState>,
    changed: Condvar,
}

#[derive(Default)]
struct InflowState {
    messages: VecDeque<Request>,
    bytes: usize,
    /// The messages that the receive thread has taken and not executed yet, and their bytes.
    taken: usize,
    taken_bytes: usize,
    /// How the stream ended, after the waiting messages.
    end: Option<End>,
    /// The receive thread must take nothing more.
    stopped: bool,
    /// The stream must be released.
    released: bool,
    /// Wakes the pump.
    pump: Option<Waker>,
    /// The pump waits for space.
    is_held_back: bool,
    /// The receive thread, until it is started.
    to_receive: Option<Box<dyn OnDemand>>,
}

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The client has ended its sending side.
    HalfClosed,
    /// The call is over.
    Over,
}

/// The result for the receive thread.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken {
    /// Messages have arrived; they are now in the list that was passed.
    Messages,
    Ended(End),
    /// The deadline has passed.
    Late,
    Stopped,
}

/// Moves messages from the stream to the inflow, on a poller. Ends and drops the stream when it is released.
pub fn pump(mut stream: RequestStream<Request>, inflow: Arc<Inflow>) -> impl Future<Output = ()> + Send + 'static {
    poll_fn(move |context| {
        loop {
            match inflow.poll_space(context) {
                Poll::Ready(Space::There) => {}
                Poll::Ready(Space::Released) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
            match Pin::new(&mut stream).poll_next(context) {
                Poll::Ready(Some(Ok(message))) => inflow.push(message),
                Poll::Ready(Some(Err(_))) => inflow.end(End::Over),
                Poll::Ready(None) => inflow.end(End::HalfClosed),
                Poll::Pending => return Poll::Pending,
            }
        }
    })
}

/// The result of [`Inflow::poll_space`].
enum Space {
    There,
    Released,
}

impl Inflow {
    /// Waits for messages, and swaps them for the list's, which MUST be empty: those that were in it are executed.
    pub fn take(&self, messages: &mut VecDeque<Request>, deadline: Option<Instant>) -> Taken {
        if messages.capacity() > QUEUE_KEPT {
            *messages = VecDeque::new();
        }
        let mut state = self.state.lock();
        (state.taken, state.taken_bytes) = (0, 0);
        if state.is_held_back && state.has_space() {
            state.is_held_back = false;
            if let Some(pump) = state.pump.clone() {
                MutexGuard::unlocked(&mut state, || pump.wake());
            }
        }
        loop {
            if state.stopped {
                return Taken::Stopped;
            }
            if !state.messages.is_empty() {
                std::mem::swap(&mut state.messages, messages);
                state.taken = messages.len();
                state.taken_bytes = std::mem::take(&mut state.bytes);
                return Taken::Messages;
            }
            if let Some(end) = state.end {
                return Taken::Ended(end);
            }
            match deadline {
                None => self.changed.wait(&mut state),
                Some(deadline) if self.changed.wait_until(&mut state, deadline).timed_out() => return Taken::Late,
                Some(_) => {}
            }
        }
    }

    /// Waits until then. Returns at once when the call is over, or the receive thread must stop.
    pub fn pause(&self, until: Instant) {
        let mut state = self.state.lock();
        while !state.stopped && state.end != Some(End::Over) {
            if self.changed.wait_until(&mut state, until).timed_out() {
                return;
            }
        }
    }

    pub fn is_over(&self) -> bool {
        let state = self.state.lock();
        state.stopped || state.end == Some(End::Over)
    }

    /// Whether the receive thread must stop, also with the messages that it has taken.
    pub fn is_stopped(&self) -> bool {
        self.state.lock().stopped
    }

    /// Starts the receive thread as soon as there is something for it: at once if there is already.
    pub fn start_on_demand(&self, to_receive: Box<dyn OnDemand>) {
        let mut state = self.state.lock();
        if state.stopped || state.end == Some(End::Over) {
            drop(state);
            to_receive.forgo();
        } else if state.end.is_some() || !state.messages.is_empty() {
            drop(state);
            to_receive.begin();
        } else {
            state.to_receive = Some(to_receive);
        }
    }

    /// Permanently ends the wait of the receive thread.
    pub fn stop(&self) {
        let mut state = self.state.lock();
        state.stopped = true;
        let to_receive = state.to_receive.take();
        drop(state);
        match to_receive {
            Some(to_receive) => to_receive.forgo(),
            None => drop(self.changed.notify_one()),
        }
    }

    /// Makes the pump drop the stream.
    pub fn release(&self) {
        let pump = {
            let mut state = self.state.lock();
            state.released = true;
            state.pump.take()
        };
        if let Some(pump) = pump {
            pump.wake();
        }
    }

    fn poll_space(&self, context: &Context<'_>) -> Poll<Space> {
        let mut state = self.state.lock();
        if state.released {
            return Poll::Ready(Space::Released);
        }
        if !state.pump.as_ref().is_some_and(|pump| pump.will_wake(context.waker())) {
            state.pump = Some(context.waker().clone());
        }
        // A stream is not polled again after its end.
        if state.end.is_some() {
            return Poll::Pending;
        }
        state.is_held_back = !state.has_space();
        if state.is_held_back { Poll::Pending } else { Poll::Ready(Space::There) }
    }

    fn push(&self, message: Request) {
        let mut state = self.state.lock();
        state.bytes += message.len();
        state.messages.push_back(message);
        let to_receive = state.to_receive.take();
        drop(state);
        match to_receive {
            Some(to_receive) => to_receive.begin(),
            None => drop(self.changed.notify_one()),
        }
    }

    /// Records the end of the stream. A call may be over after the client has ended its sending side, not the reverse.
    pub fn end(&self, end: End) {
        let mut state = self.state.lock();
        if state.end != Some(End::Over) {
            state.end = Some(end);
        }
        let to_receive = state.to_receive.take();
        drop(state);
        match to_receive {
            Some(to_receive) if end == End::Over => to_receive.forgo(),
            Some(to_receive) => to_receive.begin(),
            None => drop(self.changed.notify_one()),
        }
    }
}

impl InflowState {
    /// Whether another message may be taken from the transport.
    fn has_space(&self) -> bool {
        self.messages.len() + self.taken < INFLOW_MESSAGES_MAX && self.bytes + self.taken_bytes < INFLOW_BYTES_MAX
    }
}
