//! The end of a stream: its status is sent, its threads end, and its resources are released.
//!
//! | step | by | does |
//! | --- | --- | --- |
//! | close | any thread, with [`StreamWriter::close`] | keeps the first reason; the next holder of the baton sees when it is due ([`close`](super::delivery::close)) |
//! | finish | the send thread, or if none has started the thread that found the reason due; with the baton, which it never gives back | sends the reason's status, and waits until the client has it, up to the reason's deadline: the send thread blocks, otherwise [`Deadlines`] waits |
//! | stop receiving | the send thread when it ends, or without one whoever waited for the status, or found the call over | stops the source once the requests that have arrived are processed |
//! | release | the last of the two shares | drops the conversation, which leaves its rooms; frees the output; logs the end; removes the client from the map |
//!
//! | state | is in | next |
//! | --- | --- | --- |
//! | open | no reason is set | closing, when a reason is set |
//! | closing | a reason is set that is not due: the cursor is not far enough | due, when it is, or when a reason that does not wait is set |
//! | due | the reason is due | finishing, when a thread gets the baton; or over |
//! | finishing | the output was taken out, and the baton is never given back | over |
//! | over | the output is gone | released, when both shares are given back |
//! | released | the client is not in the map | |
//!
//! The states are not one enum: each is held by what only its owner changes (the reason: the first thread that sets it;
//! the output: the baton's holder; the map: the last of the two shares), so that no thread waits for a state to
//! change.
//!
//! A thread is started when it is needed: the receive thread for the client's first message, the send thread for work
//! that blocks. So a stream that is reset at once has none, nor has a client that only listens. The end of a stream
//! needs none, unless the conversation has to be dropped, which may take long. If the
//! system has no thread, the stream ends with a status that says so. A stream whose call is over is not finished: no
//! client would get the status. Each step also happens if a thread panics, because it is done by a drop.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;

use super::append_queue::Lane;
use super::clients::Clients;
use super::deadlines::{Deadline, Deadlines};
use super::delivery::close::CloseReason;
use super::delivery::send;
use super::delivery::stream_writer::{StreamWriter, ToSend};
use super::quotas::Seat;
use super::refusals::{Refusals, Shortage};
use super::session::receive::{Conversation, Stop, Stopper};
use super::trim::Trimmer;
use crate::threads::park::block_on_until;
use crate::threads::{OnDemand, Spawner};

/// What the ends of all streams share.
pub struct Ends {
    pub clients: Arc<Clients>,
    pub spawner: Spawner,
    pub deadlines: Deadlines,
    pub refusals: Arc<Refusals>,
    pub trimmer: Arc<Trimmer>,
}

/// The share of each of a stream's two threads in its end. Dropping the last one releases the stream.
pub struct StreamEnd {
    shared: Arc<Ends>,
    writer: Arc<StreamWriter>,
    /// The number of the client, for the names of the threads.
    number: u64,
    /// The receiving side of the stream, after it has ended.
    // lock order: 3 (a leaf)
    conversation: Mutex<Option<Box<dyn Conversation>>>,
    /// Its place among the clients of its address.
    _seat: Option<Seat>,
}

/// A receive thread that has not started, and the resources that it will hold.
struct Receiving {
    end: Arc<StreamEnd>,
    conversation: Box<dyn Conversation>,
    lane: Lane,
    /// For the client's first message.
    deadline: Option<Deadline>,
}

/// A send thread that has not started: the resources that it will hold while the stream lasts.
struct Sending {
    end: Arc<StreamEnd>,
    stop_receiving: Stopper,
}

impl StreamEnd {
    /// The end of a stream whose client is in the map.
    pub fn new(shared: Arc<Ends>, writer: Arc<StreamWriter>, number: u64, seat: Option<Seat>) -> Arc<Self> {
        Arc::new(Self { shared, writer, number, conversation: Mutex::default(), _seat: seat })
    }

    /// The receive thread has ended, or was never started. The conversation lasts as long as the stream.
    pub fn stopped_receiving(&self, conversation: Box<dyn Conversation>) {
        self.conversation.lock().replace(conversation);
    }

    /// The receive thread's share.
    pub fn receive_side(self: Arc<Self>, conversation: Box<dyn Conversation>, lane: Lane) -> Box<dyn OnDemand> {
        let deadline = conversation.first_due().map(|(within, late)| {
            let writer = Arc::clone(&self.writer);
            self.shared.deadlines.set(Instant::now() + within, move || writer.close(late))
        });
        Box::new(Receiving { end: self, conversation, lane, deadline })
    }

    /// The send thread's share.
    pub fn send_side(self: Arc<Self>, stop_receiving: Stopper) -> Box<dyn ToSend> {
        Box::new(Sending { end: self, stop_receiving })
    }
}

impl Ends {
    /// Runs this on a thread. Without a thread, returns it with the reason for which the stream must end.
    fn start<T: Send + 'static>(&self, name: String, share: T, run: fn(T)) -> Result<(), (T, CloseReason)> {
        match self.spawner.prepare(name) {
            Ok(thread) => {
                thread.run(move || run(share));
                Ok(())
            }
            Err(error) => {
                self.refusals.count(Shortage::Threads);
                Err((share, CloseReason::NoThread(error.to_string())))
            }
        }
    }
}

impl OnDemand for Receiving {
    fn begin(self: Box<Self>) {
        let (shared, name) = (Arc::clone(&self.end.shared), format!("recv-{}", self.end.number));
        shared.clients.spoke(self.end.writer.id());
        let started = shared.start(name, self, |receiving| {
            let Self { end, mut conversation, lane, deadline } = *receiving;
            drop(deadline);
            conversation.run(&lane);
            // The log writer waits for the end of all lanes; the conversation itself lasts as long as the stream.
            drop(lane);
            end.stopped_receiving(conversation);
        });
        if let Err((receiving, reason)) = started {
            let writer = Arc::clone(&receiving.end.writer);
            receiving.forgo();
            writer.close(reason);
        }
    }

    fn forgo(self: Box<Self>) {
        let Self { end, conversation, lane, deadline } = *self;
        drop((lane, deadline));
        end.stopped_receiving(conversation);
    }
}

impl OnDemand for Sending {
    fn begin(self: Box<Self>) {
        let (shared, name) = (Arc::clone(&self.end.shared), self.thread_name());
        let started = shared.start(name, self, |sending| {
            let writer = &Arc::clone(&sending.end.writer);
            let Some((_sending, reason)) = send::run(writer, sending) else { return };
            writer.record().ends(&reason);
            if let Some(output) = writer.take_output() {
                // If the deadline passes, the peer has stopped reading: the call is cancelled.
                let _ = block_on_until(&mut output.finish(&reason), reason.deadline());
            }
        });
        if let Err((sending, reason)) = started {
            sending.finish_with(&reason);
        }
    }

    fn forgo(self: Box<Self>) {
        self.end.writer.record().ends(&CloseReason::ClientLeft);
        release(self);
    }
}

impl ToSend for Sending {
    fn finish(self: Box<Self>) {
        let reason = self.end.writer.due().unwrap_or(CloseReason::ClientLeft);
        self.finish_with(&reason);
    }
}

impl Sending {
    fn thread_name(&self) -> String {
        format!("send-{}", self.end.number)
    }

    /// Sends the status without a thread.
    fn finish_with(self: Box<Self>, reason: &CloseReason) {
        self.end.writer.record().ends(reason);
        match self.end.writer.take_output() {
            Some(output) => {
                let (deadlines, finish) = (self.end.shared.deadlines.clone(), output.finish(reason));
                // Released only then, also if the deadline passes: dropping the conversation ends the call.
                let release = Release(Some(self));
                deadlines.send(reason.deadline(), async move {
                    finish.await;
                    drop(release);
                });
            }
            None => release(self),
        }
    }
}

/// Releases the send thread's share on drop.
struct Release(Option<Box<Sending>>);

impl Drop for Release {
    fn drop(&mut self) {
        self.0.take().into_iter().for_each(release);
    }
}

/// Gives the send thread's share back. If the receive thread has already ended, that releases the stream, which must not
/// be done by a poller if it takes long: a conversation may be in a thousand rooms.
fn release(sending: Box<Sending>) {
    let is_heavy = sending.end.conversation.lock().as_ref().is_some_and(|conversation| conversation.is_heavy());
    if is_heavy {
        let (shared, name) = (Arc::clone(&sending.end.shared), sending.thread_name());
        // Without a thread, it is done here.
        drop(shared.start(name, sending, drop));
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
        self.shared.clients.ended().count(self.writer.record().ended());
        self.shared.clients.remove(self.writer.id());
        self.shared.trimmer.stream_ended();
    }
}
