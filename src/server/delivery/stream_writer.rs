//! A stream's writer: decides which thread writes to a stream, and when.
//!
//! A thread that has something to write (the fan-out after a commit, the transport after the completion of a write)
//! takes the stream's [`baton`](crate::threads::baton) and drives the [`output`](super::output) directly. Work that may
//! block is left to the stream's send thread ([`send`](super::send)): reading the log for a cursor that lags, and
//! ending the stream.
//!
//! | call | by | does |
//! | --- | --- | --- |
//! | `look_again`, `wake`, `close` | any thread with a reason to look | takes the baton, and with it drives |
//! | `drive` | the thread that got the baton | pumps, and gives the baton back, or on to the send thread |
//! | `finish` | the thread that found, with the baton, that the stream must end | starts to send the status, or leaves that to a send thread that has begun |
//! | `end` | the thread that found, with the baton, that the call is over | releases the stream, or leaves that to a send thread that has begun |
//! | `pump` | the baton's holder | writes what can be written without waiting |
//! | `turn` | the send thread, with the baton | reads the log where needed, and pumps, until the stream must end |

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::task::{Wake, Waker};
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

use super::close::CloseReason;
use super::output::{FrameSink, Gone, Output, Pumped, Reader, Signals};
use super::record::SessionRecord;
use super::sent::Sent;
use crate::limits::{BORROWED_FRAMES_MAX, SEND_IDLE_MAX};
use crate::names::ClientId;
use crate::server::room::position::Position;
use crate::threads::OnDemand;
use crate::threads::baton::Baton;

/// The state that all threads of one stream share.
pub struct StreamWriter {
    record: SessionRecord,
    baton: Baton,
    // Invariant: only the holder of the baton locks it, so no thread ever waits for this lock. `None` after the end.
    output: Mutex<Option<Output>>,
    pub(super) signals: Signals,
    /// Passes the baton to the send thread.
    pub(super) handover: Handover,
    /// Where its reader is, if it reads one room only and follows that by itself.
    position: OnceLock<Arc<Position>>,
}

/// A send thread that has not started: [begin](OnDemand::begin) starts it with [run](super::send::run), and
/// [forgo](OnDemand::forgo) is called when the call is over.
pub trait ToSend: OnDemand {
    /// The stream must end, and the caller holds the baton, which it never gives back: sends the status without the
    /// thread. Never blocks.
    fn finish(self: Box<Self>);
}

/// Hands the baton to the send thread. Waiting on a queue would spin before it blocks.
#[derive(Default)]
pub(super) struct Handover {
    // lock order: 3 (a leaf)
    state: Mutex<HandoverState>,
    changed: Condvar,
}

#[derive(Default)]
struct HandoverState {
    given: bool,
    /// `Some` while the stream has no send thread.
    to_send: Option<Box<dyn ToSend>>,
}

impl Handover {
    fn give(&self) {
        let to_send = {
            let mut state = self.state.lock();
            state.given = true;
            state.to_send.take()
        };
        match to_send {
            Some(to_send) => to_send.begin(),
            None => drop(self.changed.notify_one()),
        }
    }

    /// Waits for the baton, as the thread that has this share of the stream. Without it for [`SEND_IDLE_MAX`], the share
    /// stays here for another thread (`None`), and the calling one must end.
    pub(super) fn take<T: ToSend + 'static>(&self, share: Box<T>) -> Option<Box<T>> {
        let until = Instant::now() + SEND_IDLE_MAX;
        let mut state = self.state.lock();
        while !std::mem::take(&mut state.given) {
            if self.changed.wait_until(&mut state, until).timed_out() && !state.given {
                state.to_send = Some(share);
                return None;
            }
        }
        Some(share)
    }
}

impl StreamWriter {
    /// A session whose baton is held by the caller, which must call [begin](Self::begin).
    /// What is written is counted in `sent` and in the record.
    pub fn new(record: SessionRecord, sink: Box<dyn FrameSink>, reader: Box<dyn Reader>, sent: Arc<Sent>) -> Arc<Self> {
        let output = Mutex::new(Some(Output::new(sink, reader, sent)));
        let (signals, handover, position) = Default::default();
        Arc::new(Self { record, baton: Baton::held(), output, signals, handover, position })
    }

    pub fn id(&self) -> ClientId {
        self.record.id()
    }

    /// What is known of the session, and what it has done.
    pub fn record(&self) -> &SessionRecord {
        &self.record
    }

    /// Shows other threads where the reader is, if it reads one room only. Called once.
    pub fn show_position(&self, position: Arc<Position>) {
        let _ = self.position.set(position);
    }

    pub fn shown_position(&self) -> Option<&Position> {
        self.position.get().map(|position| &**position)
    }

    /// Writes the pending frames, and from now on wakes the session, also when the call ends. `to_send` starts when
    /// there is blocking work. This function never blocks.
    pub fn begin(self: &Arc<Self>, to_send: Box<dyn ToSend>) {
        self.handover.state.lock().to_send = Some(to_send);
        let watched = self.with_output(|output| output.watch(Waker::from(Arc::clone(self))));
        if watched == Err(Gone) {
            self.signals.closing.set(CloseReason::ClientLeft);
        }
        self.drive();
    }

    /// There are new messages for the reader.
    pub fn look_again(self: &Arc<Self>) {
        if self.baton.published() {
            self.drive();
        }
    }

    /// Closes the session. The first reason is kept.
    pub fn close(self: &Arc<Self>, reason: CloseReason) {
        self.signals.closing.set(reason);
        if self.baton.woken() {
            self.drive();
        }
    }

    /// Takes the output out, if that was not done before. For the baton's holder, which never gives it back, and for
    /// the thread that releases the stream.
    pub fn take_output(&self) -> Option<Output> {
        self.output.try_lock().and_then(|mut output| output.take())
    }

    /// For the baton's holder.
    pub(super) fn with_output<T>(&self, act: impl FnOnce(&mut Output) -> T) -> T {
        let mut output = self.output.try_lock().expect("only the baton's holder locks the output");
        // Invariant: a thread that takes the output out never gives the baton back.
        act(output.as_mut().expect("the baton goes round only while there is an output"))
    }

    /// Writes the pending frames without blocking. The caller holds the baton, and passes it on with this call.
    fn drive(self: &Arc<Self>) {
        match self.pump(BORROWED_FRAMES_MAX) {
            Pumped::AtHead | Pumped::Writing => {}
            Pumped::NeedsSendThread => self.handover.give(),
            Pumped::Due => self.finish(),
            Pumped::Over => self.end(),
        }
    }

    /// The stream must end. The send thread sends the status, if it has started.
    fn finish(&self) {
        let to_send = {
            let mut state = self.handover.state.lock();
            // It may decide to start the thread.
            state.given = true;
            state.to_send.take()
        };
        match to_send {
            Some(to_send) => to_send.finish(),
            None => self.handover.give(),
        }
    }

    /// The reason for which the stream must end now, if any. For the baton's holder.
    pub fn due(&self) -> Option<CloseReason> {
        self.with_output(|output| output.due(&self.signals).cloned())
    }

    /// The call is over, and no blocking work is left, so a send thread that has not started is not started. The baton
    /// is never given back: no thread drives the session any more.
    fn end(&self) {
        let to_send = self.handover.state.lock().to_send.take();
        match to_send {
            Some(to_send) => {
                drop(self.take_output());
                to_send.forgo();
            }
            None => self.handover.give(),
        }
    }

    /// Writes up to `frames_max` frames. With `AtHead` and `Writing` the baton is given back.
    pub(super) fn pump(self: &Arc<Self>, frames_max: usize) -> Pumped {
        loop {
            let pumped = self.with_output(|output| output.pump(&self.signals, &self.record, frames_max));
            let given_back = match pumped {
                Pumped::AtHead => self.baton.rest(),
                Pumped::Writing => self.baton.rest_writing(),
                Pumped::NeedsSendThread | Pumped::Due | Pumped::Over => return pumped,
            };
            if given_back {
                return pumped;
            }
        }
    }
}

/// The transport wakes a session when a write is done or the call has ended.
impl Wake for StreamWriter {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.signals.transport_called.store(true, Ordering::Release);
        if self.baton.woken() {
            self.drive();
        }
    }
}
