//! A stream's output: its sink and the reader that feeds it, driven without blocking.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use super::close::{CloseReason, Closing};
use super::record::SessionRecord;
use super::sent::Sent;
use crate::server::room::cursor::Look;
use crate::wire::Frame;

/// Builds the frames of a stream from its cursors. Each contract has its own reader.
pub trait Reader: Send {
    /// Looks for the next message. Never blocks.
    fn look(&mut self) -> Look;

    /// Takes the next frame, if [`Reader::look`] has found one.
    fn take(&mut self) -> Option<Taken>;

    /// Fetches the next messages from the log, if [`Reader::look`] returned that they are behind the tail. May block.
    fn fetch(&mut self) -> Result<(), CloseReason>;

    /// How many messages of the stream's own client were passed, if that may be needed.
    fn own_passed(&self) -> u64 {
        0
    }
}

/// A frame that was taken from a reader.
pub struct Taken {
    pub frame: Frame,
    /// How many events of the log it has.
    pub events: u64,
    /// Whether another frame will certainly follow.
    pub more_follows: bool,
}

/// The transport's end of a stream, for writing. One frame is in flight at a time.
pub trait FrameSink: Send {
    /// Checks whether the next frame can be written. If not, or as long as the call lasts, the context's waker is
    /// called when the sink should be polled again: the write is done, or the call has ended.
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Gone>>;

    /// Starts to write a frame, after `poll_ready` returned ready. Does not block. `more_follows` guarantees another
    /// frame at once, so the transport may hold this one back to join them.
    fn start_write(&mut self, frame: &Frame, more_follows: bool) -> Result<(), Gone>;

    /// Ends the stream with the status for the reason. The future is done when the peer has it; dropping it earlier
    /// cancels the call.
    fn finish(self: Box<Self>, reason: &CloseReason) -> Finish;
}

/// Sends the status of a stream.
pub type Finish = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The peer has left, or the call is over: nothing more can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

/// Why an output has stopped writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pumped {
    /// Everything was written.
    AtHead,
    /// A write is in flight; the stream's writer is woken when it is done.
    Writing,
    /// The send thread has to continue: the log must be read, or there is much to write.
    NeedsSendThread,
    /// The stream must end.
    Due,
    /// The call is over.
    Over,
}

pub struct Output {
    sink: Box<dyn FrameSink>,
    reader: Box<dyn Reader>,
    sent: Arc<Sent>,
    /// Wakes the stream's writer, which contains this output. Does nothing before [`Output::watch`].
    waker: Waker,
}

/// Signals from other threads to the writing thread.
#[derive(Default)]
pub struct Signals {
    pub closing: Closing,
    /// Whether the transport has woken the writer since the sink was last polled.
    pub transport_called: AtomicBool,
}

impl Output {
    /// What is written is counted in `sent`.
    pub fn new(sink: Box<dyn FrameSink>, reader: Box<dyn Reader>, sent: Arc<Sent>) -> Self {
        Self { sink, reader, sent, waker: Waker::noop().clone() }
    }

    /// Registers the waker for the completion of writes and the end of the call.
    pub fn watch(&mut self, waker: Waker) -> Result<(), Gone> {
        self.waker = waker;
        match self.poll_ready() {
            Poll::Ready(result) => result,
            Poll::Pending => Ok(()),
        }
    }

    /// Writes up to `frames_max` frames, as long as that does not block.
    pub fn pump(&mut self, signals: &Signals, record: &SessionRecord, frames_max: usize) -> Pumped {
        for _ in 0..frames_max {
            let look = self.reader.look();
            match signals.closing.due(self.reader.own_passed(), look == Look::AtHead) {
                None => {}
                Some(CloseReason::ClientLeft) => return Pumped::Over,
                Some(_) => return Pumped::Due,
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
            if self.write_next(record) == Err(Gone) {
                return gone(signals);
            }
        }
        Pumped::NeedsSendThread
    }

    /// Fetches the reader's next messages from the log, if they are behind the tail and the stream can take them. May
    /// block.
    pub fn catch_up(&mut self) -> Result<(), CloseReason> {
        let behind = self.reader.look() == Look::BehindTail;
        if behind && self.poll_ready() == Poll::Ready(Ok(())) {
            return self.reader.fetch();
        }
        Ok(())
    }

    /// The reason to end the stream now, if any.
    pub fn due<'a>(&mut self, signals: &'a Signals) -> Option<&'a CloseReason> {
        let at_head = self.reader.look() == Look::AtHead;
        signals.closing.due(self.reader.own_passed(), at_head)
    }

    /// Ends the stream with the reason's status.
    pub fn finish(self, reason: &CloseReason) -> Finish {
        self.sink.finish(reason)
    }

    fn rest_at_head(&mut self, signals: &Signals) -> Pumped {
        // A write may still be in flight. The next publication will find that, or find it done; polling the sink now
        // would cause a useless wake-up for each completion. But if the transport woke this writer, the call may be
        // over.
        if signals.transport_called.swap(false, Ordering::AcqRel) && self.poll_ready() == Poll::Ready(Err(Gone)) {
            return gone(signals);
        }
        Pumped::AtHead
    }

    fn poll_ready(&mut self) -> Poll<Result<(), Gone>> {
        self.sink.poll_ready(&mut Context::from_waker(&self.waker))
    }

    fn write_next(&mut self, record: &SessionRecord) -> Result<(), Gone> {
        let Some(Taken { frame, events, more_follows }) = self.reader.take() else { return Ok(()) };
        self.sink.start_write(&frame, more_follows)?;
        self.sent.count(events, frame.len());
        record.wrote(events, frame.len());
        Ok(())
    }
}

fn gone(signals: &Signals) -> Pumped {
    signals.closing.set(CloseReason::ClientLeft);
    Pumped::Over
}
