//! A stream's output: its sink and the reader that feeds it, driven without blocking.

use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use super::close::{CloseReason, Closing};
use crate::server::room::cursor::Look;
use crate::wire::Frame;

/// What a stream is to get: frames made of what its cursors find. Each contract has its own.
pub trait Reader: Send {
    /// Finds what is next. Never blocks.
    fn look(&mut self) -> Look;

    /// Takes the next frame, where [`Reader::look`] has found something; and whether another will certainly follow.
    fn take(&mut self) -> Option<(Frame, bool)>;

    /// Fetches from the log what is next, where [`Reader::look`] said that it is behind the tail. May block.
    fn fetch(&mut self) -> Result<(), CloseReason>;

    /// How many messages of the stream's own client were passed, if anybody may want to know.
    fn own_passed(&self) -> u64 {
        0
    }
}

/// The transport's end of a stream, for writing. One frame is in flight at a time.
pub trait FrameSink: Send {
    /// Asks whether the next frame can be written. If not, or as long as the call lasts, the context's waker is called
    /// when there is reason to ask again: the write is done, or the call has ended.
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Gone>>;

    /// Starts to write a frame, after `poll_ready` said so. Does not block. `more_follows` promises another frame at
    /// once, so the transport may hold this one back to join them.
    fn start_write(&mut self, frame: &Frame, more_follows: bool) -> Result<(), Gone>;

    /// Ends the stream with the status that belongs to the reason. Blocks until the peer has it, at most until the
    /// deadline.
    fn finish(self: Box<Self>, reason: &CloseReason, deadline: Instant);
}

/// The peer has left, or the call is over: nothing more can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

/// Why an output has stopped writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pumped {
    /// Everything there is was written.
    AtHead,
    /// A write is in flight; the stream's writer is woken when it is done.
    Writing,
    /// The send thread has to go on: the log must be read, the stream must end, or there is much to write.
    NeedsSendThread,
    /// The call is over.
    Over,
}

pub struct Output {
    sink: Box<dyn FrameSink>,
    reader: Box<dyn Reader>,
    /// Wakes the stream's writer, which this is a part of. Does nothing before [`Output::watch`].
    waker: Waker,
}

/// What other threads tell the one that writes.
#[derive(Default)]
pub struct Signals {
    pub closing: Closing,
    /// Whether the transport has called since the sink was last asked how it is.
    pub transport_called: AtomicBool,
}

impl Output {
    pub fn new(sink: Box<dyn FrameSink>, reader: Box<dyn Reader>) -> Self {
        Self { sink, reader, waker: Waker::noop().clone() }
    }

    /// Has this waker called when a write is done or the call ends, from now on.
    pub fn watch(&mut self, waker: Waker) -> Result<(), Gone> {
        self.waker = waker;
        match self.poll_ready() {
            Poll::Ready(result) => result,
            Poll::Pending => Ok(()),
        }
    }

    /// Writes up to `frames_max` frames, as long as that needs no waiting.
    pub fn pump(&mut self, signals: &Signals, frames_max: usize) -> Pumped {
        for _ in 0..frames_max {
            let look = self.reader.look();
            match signals.closing.due(self.reader.own_passed(), look == Look::AtHead) {
                None => {}
                Some(CloseReason::ClientLeft) => return Pumped::Over,
                Some(_) => return Pumped::NeedsSendThread,
            }
            if look == Look::AtHead {
                return self.rest_at_head(signals);
            }
            match self.poll_ready() {
                Poll::Pending => return Pumped::Writing,
                Poll::Ready(Err(Gone)) => return gone(signals),
                // The log is read only for a stream that can take more, so a stalled one fetches no page.
                Poll::Ready(Ok(())) if look == Look::BehindTail => return Pumped::NeedsSendThread,
                Poll::Ready(Ok(())) => {}
            }
            if self.write_next() == Err(Gone) {
                return gone(signals);
            }
        }
        Pumped::NeedsSendThread
    }

    /// Fetches from the log what the reader wants next, where it is behind the tail and the stream can take it. May block.
    pub fn catch_up(&mut self) -> Result<(), CloseReason> {
        let behind = self.reader.look() == Look::BehindTail;
        if behind && self.poll_ready() == Poll::Ready(Ok(())) {
            return self.reader.fetch();
        }
        Ok(())
    }

    /// The reason to end the stream now, if there is one.
    pub fn due<'a>(&mut self, signals: &'a Signals) -> Option<&'a CloseReason> {
        let at_head = self.reader.look() == Look::AtHead;
        signals.closing.due(self.reader.own_passed(), at_head)
    }

    /// Ends the stream with the reason's status. Blocks until the peer has it, at most until the reason's deadline.
    pub fn finish(self, reason: &CloseReason) {
        self.sink.finish(reason, reason.deadline());
    }

    fn rest_at_head(&mut self, signals: &Signals) -> Pumped {
        // A write may be in flight still. Whoever publishes next will find it so, or done; asking the sink now would
        // have each write's end wake us for nothing. If it was the transport that called, though, the call may be over.
        if signals.transport_called.swap(false, Ordering::AcqRel) && self.poll_ready() == Poll::Ready(Err(Gone)) {
            return gone(signals);
        }
        Pumped::AtHead
    }

    fn poll_ready(&mut self) -> Poll<Result<(), Gone>> {
        self.sink.poll_ready(&mut Context::from_waker(&self.waker))
    }

    fn write_next(&mut self) -> Result<(), Gone> {
        match self.reader.take() {
            Some((frame, more_follows)) => self.sink.start_write(&frame, more_follows),
            None => Ok(()),
        }
    }
}

fn gone(signals: &Signals) -> Pumped {
    signals.closing.set(CloseReason::ClientLeft);
    Pumped::Over
}
