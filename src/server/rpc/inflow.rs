//! What a client sends, on its way from the poller that serves the stream to the stream's receive thread.
//!
//! The poller takes each message from the library as it comes and asks for the next at once: nothing waits for the
//! receive thread to be scheduled in between. So a burst is one wake-up, and the posts of it gather for one commit. The
//! poller copies nothing and decodes nothing; that is the receive thread's.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use futures_util::stream::Stream as _;
use grpcio::RequestStream;
use parking_lot::{Condvar, Mutex};

use crate::limits::{INFLOW_BYTES_MAX, INFLOW_MESSAGES_MAX, QUEUE_KEPT};
use crate::wire::Request;

/// The messages that wait for the receive thread. Bound: [`INFLOW_MESSAGES_MAX`] and [`INFLOW_BYTES_MAX`], and one
/// message more; beyond that they stay with the transport, whose flow control holds back this client alone.
#[derive(Default)]
pub struct Inflow {
    // lock order: 3 (a leaf, held for one push or one swap)
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    messages: VecDeque<Request>,
    bytes: usize,
    /// Nothing follows the messages that wait.
    end: Option<End>,
    /// The receive thread is to take nothing more.
    stopped: bool,
    /// The stream is to be let go of.
    released: bool,
    /// Wakes the pump.
    pump: Option<Waker>,
    /// The pump waits for room.
    is_held_back: bool,
}

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The client has ended its sending side.
    HalfClosed,
    /// The call is over.
    Over,
}

/// What the receive thread gets.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken {
    /// What has come, which now stands in the list that was passed.
    Messages,
    Ended(End),
    /// The deadline has passed.
    Late,
    Stopped,
}

/// Moves messages from the stream to the inflow, on a poller. Ends, and lets go of the stream, when it is released.
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

/// What [`Inflow::poll_space`] finds.
enum Space {
    There,
    Released,
}

impl Inflow {
    /// Waits for messages, and swaps them for the list's, which MUST be empty.
    pub fn take(&self, messages: &mut VecDeque<Request>, deadline: Option<Instant>) -> Taken {
        if messages.capacity() > QUEUE_KEPT {
            *messages = VecDeque::new();
        }
        let mut state = self.state.lock();
        loop {
            if state.stopped {
                return Taken::Stopped;
            }
            if !state.messages.is_empty() {
                std::mem::swap(&mut state.messages, messages);
                state.bytes = 0;
                let pump = if std::mem::take(&mut state.is_held_back) { state.pump.clone() } else { None };
                drop(state);
                if let Some(pump) = pump {
                    pump.wake();
                }
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

    /// Whether the receive thread is to take nothing more, nor go on with what it has taken.
    pub fn is_stopped(&self) -> bool {
        self.state.lock().stopped
    }

    /// Ends the wait of the receive thread, for good.
    pub fn stop(&self) {
        self.state.lock().stopped = true;
        self.changed.notify_one();
    }

    /// Has the pump let go of the stream.
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
        // A stream is not asked again after its end.
        if state.end.is_some() {
            return Poll::Pending;
        }
        state.is_held_back = state.messages.len() >= INFLOW_MESSAGES_MAX || state.bytes >= INFLOW_BYTES_MAX;
        if state.is_held_back { Poll::Pending } else { Poll::Ready(Space::There) }
    }

    fn push(&self, message: Request) {
        let mut state = self.state.lock();
        state.bytes += message.len();
        state.messages.push_back(message);
        drop(state);
        self.changed.notify_one();
    }

    /// Nothing follows the messages that wait. The first end stands.
    pub fn end(&self, end: End) {
        self.state.lock().end.get_or_insert(end);
        self.changed.notify_one();
    }
}
