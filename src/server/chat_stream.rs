//! Begins the streams of `hubbub.v1`, for every transport: `Chat`, and `Follow`, whose client sends nothing more.

use std::sync::Arc;
use std::time::Instant;

use super::auth::credentials::Credentials;
use super::delivery::close::CloseReason;
use super::delivery::output::FrameSink;
use super::delivery::stream_writer::StreamWriter;
use super::hub::{Admission, Hub, Stream};
use super::session::chat::{ChatConversation, ChatReader, Commands, FollowSource, Updates};
use super::session::receive::{Source, Stopper};
use crate::threads::OnDemand;

/// A client's stream, as the transport has it.
pub struct ChatStream<S> {
    pub credentials: Credentials,
    pub sink: Box<dyn FrameSink>,
    /// Makes the source of its commands.
    pub source: S,
    pub stop_receiving: Stopper,
    /// Takes the receive thread, which it starts when there is something to receive.
    pub start_receiving: Box<dyn FnOnce(Box<dyn OnDemand>)>,
    /// The shard of the fan-out, which is that of the thread that drives the stream.
    pub shard: usize,
}

/// A follower's stream.
pub struct FollowStream {
    pub credentials: Credentials,
    pub sink: Box<dyn FrameSink>,
    pub commands: Commands,
    /// When the stream ends, if its client has given a time.
    pub until: Option<Instant>,
    pub shard: usize,
}

/// Begins a stream. Never blocks.
pub fn begin<S>(hub: &Arc<Hub>, admission: Admission, stream: ChatStream<S>)
where
    S: FnOnce(&Arc<StreamWriter>) -> Box<dyn Source<Commands>>,
{
    let ChatStream { credentials, sink, source, stop_receiving: stop, start_receiving, shard } = stream;
    let updates = Arc::new(Updates::new(Arc::clone(&hub.rejections)));
    let held_back = Arc::clone(&updates);
    let login = hub.login(credentials);
    let stream = Stream {
        sink,
        reader: Box::new(ChatReader::new(Arc::clone(&updates))),
        start_receiving,
        // A receive thread waits for its client in two places.
        stop_receiving: Arc::new(move |when| {
            stop(when);
            held_back.close();
        }),
        // Its client must say Hello.
        may_be_displaced: false,
        login: login.cell(),
        shard,
    };
    let (rooms, fanout) = (Arc::clone(&hub.rooms), Arc::clone(&hub.fanout));
    hub.begin(admission, stream, move |writer, used| {
        let source = source(&writer);
        ChatConversation::new(writer, source, rooms, fanout, updates, shard, login.from_address(used))
    });
}

/// Begins the stream of a follower. Never blocks.
pub fn follow(hub: &Arc<Hub>, admission: Admission, stream: FollowStream) {
    let FollowStream { credentials, sink, commands, until, shard } = stream;
    let source = FollowSource::new(commands);
    let (stop_receiving, deadlines) = (source.stopper(), hub.deadlines());
    let source = move |writer: &Arc<StreamWriter>| {
        let deadline = until.map(|until| {
            // Weak, since the deadline belongs to the stream.
            let writer = Arc::downgrade(writer);
            deadlines.set(until, move || {
                if let Some(writer) = writer.upgrade() {
                    writer.close(CloseReason::TimeOver);
                }
            })
        });
        Box::new(source.until(deadline)) as _
    };
    // Its work is there.
    let start_receiving = Box::new(|thread: Box<dyn OnDemand>| thread.begin());
    begin(hub, admission, ChatStream { credentials, sink, source, stop_receiving, start_receiving, shard });
}
