//! A stream of the library's, as the core knows it: a sink for frames, and a source of what the client sends.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use futures_util::sink::Sink as _;
use futures_util::stream::{AbortHandle, Abortable, StreamExt as _};
use grpcio::{DuplexSink, Error, RequestStream, RpcContext, WriteFlags};

use super::status;
use crate::limits::RECONNECT_AFTER;
use crate::park::{block_on, block_on_until};
use crate::server::session::close::CloseReason;
use crate::server::session::outlet::{FrameSink, Gone};
use crate::server::session::receive::{Received, Source, Stopper};
use crate::wire::Frame;
use crate::wire::answer;

/// Ends a call that was not admitted.
pub fn refuse<Q: Send + 'static>(
    context: &RpcContext<'_>,
    stream: RequestStream<Q>,
    sink: DuplexSink<Frame>,
    reason: &CloseReason,
) {
    let refusal = sink.fail(status::of(reason));
    context.spawn(async move {
        // The client may be gone already, in which case there is nobody left to tell.
        let _ = refusal.await;
        drop(stream);
    });
}

/// The sink of a stream. The library's own must not be touched after its first error, so this one forgets it then.
pub struct StreamSink {
    sink: Option<DuplexSink<Frame>>,
    /// Whether the contract has a word for the server's going.
    says_goodbye: bool,
}

impl StreamSink {
    pub fn new(sink: DuplexSink<Frame>, says_goodbye: bool) -> Self {
        Self { sink: Some(sink), says_goodbye }
    }

    fn check(&mut self, result: Result<(), Error>) -> Result<(), Gone> {
        result.map_err(|_| {
            self.sink = None;
            Gone
        })
    }

    /// Writes a last frame, as far as the peer takes it in time.
    fn say_goodbye(&mut self, reason: &CloseReason, deadline: Instant) {
        let mut ready = std::future::poll_fn(|context| self.poll_ready(context));
        if block_on_until(&mut ready, deadline) == Some(Ok(())) {
            let frame = Frame::new(answer::goodbye(reason.to_string(), RECONNECT_AFTER));
            // An error shows again at the next use.
            let _ = self.start_write(&frame, true);
        }
    }
}

impl FrameSink for StreamSink {
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

    fn finish(mut self: Box<Self>, reason: &CloseReason, deadline: Instant) {
        if self.says_goodbye && matches!(reason, CloseReason::Draining { .. }) {
            self.say_goodbye(reason, deadline);
        }
        if let Some(sink) = self.sink {
            // An error says that the peer is gone; a passed deadline, that it stopped reading. Either way it is over.
            let _ = block_on_until(&mut sink.fail(status::of(reason)), deadline);
        }
    }
}

/// The request stream, which can be stopped from outside, and what turns a message of it into what the core takes.
pub struct StreamSource<Q, F> {
    stream: Abortable<RequestStream<Q>>,
    abort: AbortHandle,
    translate: F,
    end_after_half_close: bool,
}

impl<Q, F> StreamSource<Q, F> {
    pub fn new(stream: RequestStream<Q>, end_after_half_close: bool, translate: F) -> Self {
        let (abort, registration) = AbortHandle::new_pair();
        Self { stream: Abortable::new(stream, registration), abort, translate, end_after_half_close }
    }
}

impl<Q, T, F> Source<T> for StreamSource<Q, F>
where
    Q: Send + 'static,
    F: Fn(Q) -> Result<T, CloseReason> + Send,
{
    fn receive(&mut self, deadline: Option<Instant>) -> Received<T> {
        let mut next = self.stream.next();
        let message = match deadline {
            None => block_on(next),
            Some(deadline) => match block_on_until(&mut next, deadline) {
                Some(message) => message,
                None => return Received::Late,
            },
        };
        match message {
            Some(Ok(message)) => match (self.translate)(message) {
                Ok(item) => Received::Item(item),
                Err(reason) => Received::Broken(reason),
            },
            Some(Err(Error::Codec(fault))) => Received::Broken(CloseReason::Undecodable(fault.to_string())),
            Some(Err(_)) => Received::Over,
            None if self.abort.is_aborted() => Received::Over,
            None => Received::HalfClosed { end_when_posted: self.end_after_half_close },
        }
    }

    fn stopper(&self) -> Stopper {
        let abort = self.abort.clone();
        Arc::new(move || abort.abort())
    }
}
