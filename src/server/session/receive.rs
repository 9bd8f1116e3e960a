//! The receive thread: takes what the client sends, and hands posts to the log writer.

use std::sync::Arc;

use crossbeam_channel::Sender;

use super::Session;
use super::close::CloseReason;
use crate::names::RoomName;
use crate::server::log::{Event, Post};
use crate::wire::Frame;

/// The transport's end of a stream, for reading.
pub trait Source: Send {
    /// Waits for what comes next. After anything but a frame it is not called again.
    fn receive(&mut self) -> Received;

    /// A way to end the wait from another thread, for good.
    fn stopper(&self) -> Arc<dyn Fn() + Send + Sync>;
}

/// What a receive thread gets from its stream.
pub enum Received {
    /// Something to say, checked and encoded for its receivers.
    Frame(Frame),
    /// The client has ended its sending side; with `end_when_posted` it wants the stream ended once what it sent is
    /// committed.
    HalfClosed { end_when_posted: bool },
    /// The stream is over, or its source was stopped.
    Over,
    /// The client broke a rule: the stream must end.
    Broken(CloseReason),
}

/// Receives until the stream gives no more. Returns the source, whose end cancels the call: it must outlive the status.
pub fn run(
    mut source: Box<dyn Source>,
    session: &Arc<Session>,
    room: &RoomName,
    posts: &Sender<Post>,
) -> Box<dyn Source> {
    let mut posted = 0;
    loop {
        match source.receive() {
            Received::Frame(frame) => {
                let event = Event { sender: session.id(), frame };
                // A full queue blocks here, so that flow control holds back this client alone.
                if posts.send(Post { room: room.clone(), event }).is_err() {
                    session.close(CloseReason::LogStopped);
                    break;
                }
                posted += 1;
            }
            Received::HalfClosed { end_when_posted: true } => {
                session.close(CloseReason::Finished { posted });
                break;
            }
            // The session learns of the call's end from its sink. After a half-close it goes on without this thread.
            Received::HalfClosed { end_when_posted: false } | Received::Over => break,
            Received::Broken(reason) => {
                session.close(reason);
                break;
            }
        }
    }
    source
}
