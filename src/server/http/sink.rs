//! The sink of a stream: writes frames to its socket without waiting.
//!
//! A frame is written by reference: the stored bytes go from the room's tail to the kernel. What a full socket does not
//! take stays here, and [`watch`](super::watch) wakes the stream's writer when there is space again.

use std::future::poll_fn;
use std::io::{IoSlice, Write as _};
use std::sync::Arc;
use std::task::{Context, Poll};

use super::answer::word;
use super::connect::{END_OF_STREAM, ENVELOPE_BYTES, MESSAGE};
use super::form::{Body, StreamForm};
use super::held::Held;
use super::watch::Watching;
use crate::limits::RECONNECT_AFTER;
use crate::server::calls::error::Code;
use crate::server::delivery::close::CloseReason;
use crate::server::delivery::output::{Finish, FrameSink, Gone};
use crate::wire::{Frame, answer};

/// The sink of a stream over HTTP.
pub struct HttpSink {
    watching: Watching,
    form: StreamForm,
    /// Whether the response is chunked: HTTP/1.0 has no chunks, so its response ends with the connection.
    is_chunked: bool,
    /// The head of the response, until the first piece.
    head: Vec<u8>,
    /// What the socket has not taken yet.
    rest: Rest,
    /// What the connection counts for.
    _held: Option<Held>,
}

/// A piece of the response: its parts, one after another, of which `sent` bytes were written.
#[derive(Default)]
struct Rest {
    start: Vec<u8>,
    body: Body,
    end: &'static [u8],
    sent: usize,
}

impl HttpSink {
    /// A sink that first writes this head, together with the first frame: some proxies hold a head back until then.
    pub fn new(watching: Watching, form: StreamForm, is_chunked: bool, head: Vec<u8>, held: Option<Held>) -> Self {
        let mut sink = Self { watching, form, is_chunked, head, rest: Rest::default(), _held: held };
        let preamble = sink.form.preamble();
        if !preamble.is_empty() {
            sink.begin_chunk(preamble.len());
            sink.head = std::mem::take(&mut sink.rest.start);
            sink.head.extend_from_slice(preamble);
            sink.head.extend_from_slice(std::mem::take(&mut sink.rest.end));
        }
        sink
    }

    /// Writes what is left, until the socket takes no more.
    fn flush(&mut self) -> Poll<Result<(), Gone>> {
        if self.rest.is_empty() {
            return Poll::Ready(Ok(()));
        }
        while !self.rest.is_sent() {
            match self.watching.socket().send_parts(&self.rest.parts()) {
                Ok(Some(count)) => self.rest.sent += count,
                Ok(None) => return Poll::Pending,
                Err(_) => return Poll::Ready(Err(Gone)),
            }
        }
        self.rest.clear();
        self.watching.written();
        Poll::Ready(Ok(()))
    }

    /// Begins a piece of the response.
    fn begin_chunk(&mut self, length: usize) {
        self.rest.start.append(&mut self.head);
        if self.is_chunked {
            // Writing into a vector can't fail.
            let _ = write!(self.rest.start, "{length:x}\r\n");
            self.rest.end = b"\r\n";
        }
    }

    /// Adds a message of the stream to what must be written.
    fn put(&mut self, kind: u8, body: Body) {
        let length = body.bytes().len();
        let envelope = if self.form.has_envelopes() { ENVELOPE_BYTES } else { 0 };
        self.begin_chunk(length + envelope);
        if self.form.has_envelopes() {
            self.rest.start.push(kind);
            self.rest.start.extend((length as u32).to_be_bytes());
        }
        self.rest.body = body;
    }

    fn put_text(&mut self, kind: u8, text: Vec<u8>) {
        if !text.is_empty() || self.form.has_envelopes() {
            self.put(kind, Body::Text(Arc::new(text)));
        }
    }
}

impl FrameSink for HttpSink {
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        // Before the socket is found full: it may take bytes again at once.
        self.watching.set_waker(context.waker());
        if self.watching.is_gone() {
            return Poll::Ready(Err(Gone));
        }
        let flushed = self.flush();
        if flushed == Poll::Ready(Ok(())) && self.watching.must_show_life() {
            self.put_text(MESSAGE, self.form.alive());
            return self.flush();
        }
        flushed
    }

    fn start_write(&mut self, frame: &Frame, _more_follows: bool) -> Result<(), Gone> {
        let body = self.form.body(frame, self.watching.texts());
        self.put(MESSAGE, body);
        match self.flush() {
            Poll::Ready(result) => result,
            Poll::Pending => Ok(()),
        }
    }

    fn finish(mut self: Box<Self>, reason: &CloseReason) -> Finish {
        let reason = reason.clone();
        Box::pin(async move {
            let sink = &mut *self;
            if poll_fn(|context| sink.poll_ready(context)).await == Err(Gone) {
                return;
            }
            if matches!(reason, CloseReason::Draining { .. }) {
                let goodbye = Frame::new(answer::goodbye(reason.to_string(), RECONNECT_AFTER));
                // The next use reports an error again.
                let _ = sink.start_write(&goodbye, true);
                let _ = poll_fn(|context| sink.poll_ready(context)).await;
            }
            let error = Code::of_end(&reason).map(|code| (word(code), reason.to_string()));
            sink.put_text(END_OF_STREAM, sink.form.end(error));
            let _ = poll_fn(|context| sink.poll_ready(context)).await;
            sink.rest.start.append(&mut sink.head);
            if sink.is_chunked {
                sink.rest.start.extend_from_slice(b"0\r\n\r\n");
            }
            let _ = poll_fn(|context| sink.poll_ready(context)).await;
            sink.watching.socket().end_output();
        })
    }
}

impl Rest {
    fn parts(&self) -> [IoSlice<'_>; 3] {
        let mut skipped = self.sent;
        [&self.start, self.body.bytes(), self.end].map(|part| {
            let skip = skipped.min(part.len());
            skipped -= skip;
            IoSlice::new(&part[skip..])
        })
    }

    fn len(&self) -> usize {
        self.start.len() + self.body.bytes().len() + self.end.len()
    }

    fn is_empty(&self) -> bool {
        self.start.is_empty() && self.body.bytes().is_empty()
    }

    fn is_sent(&self) -> bool {
        self.sent == self.len()
    }

    fn clear(&mut self) {
        // Its memory is kept for the next piece, unless it was a head's.
        self.start.clear();
        self.start.shrink_to(64);
        (self.body, self.end, self.sent) = (Body::default(), b"", 0);
    }
}
