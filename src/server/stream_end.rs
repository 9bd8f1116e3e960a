//! The end of a stream: its status is sent, its threads end, and its resources are released.
//!
//! | step | by | does |
//! | --- | --- | --- |
//! | close | any thread, with [`StreamWriter::close`] | keeps the first reason; the next holder of the baton sees when it is due ([`close`](super::delivery::close)) |
//! | finish | the send thread, with the baton, which it never gives back | sends the reason's status, and waits until the client has it, up to the reason's deadline |
//! | stop receiving | the send thread when it ends, or without one the thread that found the call over | stops the source once the requests that have arrived are processed |
//! | release | the last of the two threads | drops the conversation, which leaves its rooms; frees the output; removes the client from the map |
//!
//! | state | is in | next |
//! | --- | --- | --- |
//! | open | no reason is set | closing, when a reason is set |
//! | closing | a reason is set that is not due: the cursor is not far enough | due, when it is, or when a reason that does not wait is set |
//! | due | the reason is due | finishing, when the send thread gets the baton; or over |
//! | finishing | the send thread has taken the output out, and the baton is never given back | over |
//! | over | the output is gone | released, when both threads have ended |
//! | released | the client is not in the map | |
//!
//! The states are not one enum: each is held by what only its owner changes (the reason: the first thread that sets it;
//! the output: the baton's holder; the map: the last of the two threads), so that no thread waits for a state to
//! change.
//!
//! A stream whose call is over is not finished: no client would get the status. Its send thread is not started for the
//! end, unless the conversation has to be dropped, which may take long. Each step also happens if a thread panics,
//! because it is done by a drop.

use std::sync::Arc;

use parking_lot::Mutex;

use super::clients::Clients;
use super::delivery::close::CloseReason;
use super::delivery::send;
use super::delivery::stream_writer::{StreamWriter, ToSend};
use super::quotas::Seat;
use super::session::receive::{Conversation, Stop, Stopper};
use crate::threads::Prepared;

/// The share of each of a stream's two threads in its end. Dropping the last one releases the stream.
pub struct StreamEnd {
    clients: Arc<Clients>,
    writer: Arc<StreamWriter>,
    /// The receiving side of the stream, after it has ended.
    // lock order: 3 (a leaf)
    conversation: Mutex<Option<Box<dyn Conversation>>>,
    /// Its place among the clients of its address.
    _seat: Option<Seat>,
}

/// A send thread that has not started, and the resources that it will hold.
struct SendSide {
    thread: Prepared,
    sending: Sending,
}

/// The resources that the send thread holds while the stream lasts.
struct Sending {
    end: Arc<StreamEnd>,
    stop_receiving: Stopper,
}

impl StreamEnd {
    /// The end of a stream whose client is in the map.
    pub fn new(clients: Arc<Clients>, writer: Arc<StreamWriter>, seat: Option<Seat>) -> Arc<Self> {
        Arc::new(Self { clients, writer, conversation: Mutex::default(), _seat: seat })
    }

    /// The receive thread has ended, or was never started. The conversation lasts as long as the stream.
    pub fn stopped_receiving(&self, conversation: Box<dyn Conversation>) {
        self.conversation.lock().replace(conversation);
    }

    /// The send thread's share.
    pub fn send_side(self: Arc<Self>, thread: Prepared, stop_receiving: Stopper) -> Box<dyn ToSend> {
        Box::new(SendSide { thread, sending: Sending { end: self, stop_receiving } })
    }
}

impl ToSend for SendSide {
    fn begin(self: Box<Self>) {
        let Self { thread, sending } = *self;
        thread.run(move || {
            let writer = &sending.end.writer;
            finish(writer, &send::run(writer));
            drop(sending);
        });
    }

    fn forgo(self: Box<Self>) {
        let Self { thread, sending } = *self;
        // If the receive thread has already ended, the release must not run on a poller: a conversation may be in a
        // thousand rooms.
        if sending.end.conversation.lock().is_some() {
            thread.run(move || drop(sending));
        }
    }
}

/// Sends the status, unless the call is over. Blocks until the client has it, at most until the reason's deadline.
fn finish(writer: &StreamWriter, reason: &CloseReason) {
    if let CloseReason::LogUnreadable(error) = reason {
        log::error!("client {} is disconnected: the log can't be read: {error}", writer.id());
    } else if reason.is_surprising() {
        log::warn!("client {} is disconnected: {reason}", writer.id());
    } else {
        log::debug!("client {} ends: {reason}", writer.id());
    }
    if let Some(output) = writer.take_output() {
        output.finish(reason);
    }
}

impl Drop for Sending {
    /// Stops receiving.
    fn drop(&mut self) {
        (self.stop_receiving)(Stop::AfterWhatCame);
    }
}

impl Drop for StreamEnd {
    /// Releases the stream.
    fn drop(&mut self) {
        drop(self.conversation.get_mut().take());
        // The output refers to the writer that contains it.
        drop(self.writer.take_output());
        self.clients.remove(self.writer.id());
    }
}
