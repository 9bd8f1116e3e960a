//! Adapts a stream of the library to the core: a sink for frames, and a source of requests.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use futures_util::sink::Sink;
use grpcio::{DuplexSink, Error, RequestStream, RpcContext, RpcStatus, ServerStreamingSink, WriteFlags};

use super::inflow::{self, End, Inflow, Taken};
use super::status;
use crate::limits::RECONNECT_AFTER;
use crate::server::delivery::close::CloseReason;
use crate::server::delivery::output::{Finish, FrameSink, Gone};
use crate::server::session::receive::{Received, Source, Stop, Stopper};
use crate::threads::OnDemand;
use crate::wire::answer;
use crate::wire::{Frame, Request};

/// The library's sink of a stream of frames.
pub trait LibrarySink: Sink<(Frame, WriteFlags), Error = Error> + Send + Unpin + 'static {
    /// Ends the call with a status. The future is done when the peer has it.
    fn end(self, status: RpcStatus) -> impl Future<Output = ()> + Send + 'static;
}

impl LibrarySink for DuplexSink<Frame> {
    async fn end(self, status: RpcStatus) {
        // An error means that the peer is gone, so the call is over.
        let _ = self.fail(status).await;
    }
}

impl LibrarySink for ServerStreamingSink<Frame> {
    async fn end(self, status: RpcStatus) {
        // The same.
        let _ = self.fail(status).await;
    }
}

/// Ends a call that was not admitted. `stream` is what its client sends, if it sends a stream.
pub fn refuse(context: &RpcContext<'_>, stream: impl Send + 'static, sink: impl LibrarySink, reason: &CloseReason) {
    let refusal = sink.end(status::of_stream(reason));
    context.spawn(async move {
        refusal.await;
        drop(stream);
    });
}

/// The sink of a stream. The library's own sink must not be touched after its first error, so this one drops it then.
pub struct StreamSink<S> {
    sink: Option<S>,
    /// Whether the contract can express that the server shuts down.
    says_goodbye: bool,
}

impl<S: LibrarySink> StreamSink<S> {
    pub fn new(sink: S, says_goodbye: bool) -> Self {
        Self { sink: Some(sink), says_goodbye }
    }

    fn check(&mut self, result: Result<(), Error>) -> Result<(), Gone> {
        result.map_err(|_| {
            self.sink = None;
            Gone
        })
    }

    /// Writes a last frame.
    async fn say_goodbye(&mut self, reason: &CloseReason) {
        if std::future::poll_fn(|context| self.poll_ready(context)).await == Ok(()) {
            let frame = Frame::new(answer::goodbye(reason.to_string(), RECONNECT_AFTER));
            // The next use reports an error again.
            let _ = self.start_write(&frame, true);
        }
    }
}

impl<S: LibrarySink> FrameSink for StreamSink<S> {
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        let Some(sink) = &mut self.sink else { return Poll::Ready(Err(Gone)) };
        Pin::new(sink).poll_ready(context).map(|result| self.check(result))
    }

    fn start_write(&mut self, frame: &Frame, more_follows: bool) -> Result<(), Gone> {
        let Some(sink) = &mut self.sink else { return Err(Gone) };
        let flags = WriteFlags::default().buffer_hint(more_follows);
        let result = Pin::new(sink).start_send((frame.clone(), flags));
        self.check(result)
    }

    fn finish(mut self: Box<Self>, reason: &CloseReason) -> Finish {
        let reason = reason.clone();
        Box::pin(async move {
            if self.says_goodbye && matches!(reason, CloseReason::Draining { .. }) {
                self.say_goodbye(&reason).await;
            }
            if let Some(sink) = self.sink {
                sink.end(status::of_stream(&reason)).await;
            }
        })
    }
}

/// The source of a stream: its inflow, and the function that decodes a message for the core.
pub struct StreamSource<T> {
    inflow: Arc<Inflow>,
    /// Messages that were taken from the inflow and not returned yet.
    messages: VecDeque<Request>,
    translate: fn(Request) -> Result<T, CloseReason>,
    end_after_half_close: bool,
}

impl<T> StreamSource<T> {
    /// From now on the poller takes messages from the stream.
    pub fn new(
        context: &RpcContext<'_>,
        stream: RequestStream<Request>,
        end_after_half_close: bool,
        translate: fn(Request) -> Result<T, CloseReason>,
    ) -> Self {
        let inflow = Arc::new(Inflow::default());
        context.spawn(inflow::pump(stream, Arc::clone(&inflow)));
        Self { inflow, messages: VecDeque::new(), translate, end_after_half_close }
    }
}

impl<T> StreamSource<T> {
    /// Starts the receive thread when there is something to receive.
    pub fn starter(&self) -> impl FnOnce(Box<dyn OnDemand>) + Send + use<T> {
        let inflow = Arc::clone(&self.inflow);
        move |thread| inflow.start_on_demand(thread)
    }
}

impl<T> Source<T> for StreamSource<T> {
    fn receive(&mut self, deadline: Option<Instant>) -> Received<T> {
        if self.inflow.is_stopped() {
            return Received::Over;
        }
        if self.messages.is_empty() {
            match self.inflow.take(&mut self.messages, deadline) {
                Taken::Messages => {}
                Taken::Late => return Received::Late,
                Taken::Ended(End::HalfClosed) => {
                    return Received::HalfClosed { end_when_posted: self.end_after_half_close };
                }
                Taken::Ended(End::Over) | Taken::Stopped => return Received::Over,
            }
        }
        let Some(message) = self.messages.pop_front() else { return Received::Over };
        match (self.translate)(message) {
            Ok(item) => Received::Item(item),
            Err(reason) => Received::Broken(reason),
        }
    }

    fn pause(&mut self, until: Instant) {
        self.inflow.pause(until);
    }

    fn is_over(&self) -> bool {
        self.inflow.is_over()
    }

    fn stopper(&self) -> Stopper {
        let inflow = Arc::clone(&self.inflow);
        Arc::new(move |when| match when {
            Stop::AfterWhatCame => {
                inflow.end(End::Over);
                inflow.release();
            }
            Stop::AtOnce => inflow.stop(),
        })
    }
}

impl<T> Drop for StreamSource<T> {
    /// Makes the poller drop the stream, which ends the call if it is not over.
    fn drop(&mut self) {
        self.inflow.release();
    }
}
