//! A session that speaks the tutorial's contract: one cursor, at the head of the lobby, that skips its own client's
//! messages; each message is a separate frame.

use std::sync::Arc;
use std::time::Instant;

use super::receive::{Conversation, Following, Received, Source};
use crate::names::{Body, Kind, MessageId, Origin, Sender, Seq, UserName};
use crate::server::append_queue::{Lane, Order, Poster};
use crate::server::delivery::close::CloseReason;
use crate::server::delivery::output::{Reader, Taken};
use crate::server::delivery::stream_writer::StreamWriter;
use crate::server::log::segment::Rendering;
use crate::server::log::{Outcome, Post, Segment};
use crate::server::posting::Author;
use crate::server::quotas::Use;
use crate::server::room::cursor::{Cursor, Fetched, Look};
use crate::server::room::followers::{Follower, Member, Presence};
use crate::server::room::position::Position;
use crate::wire::event::Content;
use crate::wire::request::CheckedPost;
use crate::wire::{self, Frame};

/// The bodies of one message of a client: none, one, or several pieces.
pub struct Said {
    pub name: UserName,
    pub bodies: Vec<Body>,
}

/// The sending side.
pub struct TutorialReader {
    cursor: Cursor,
    /// The origin of the ids of the client's own messages.
    own: Origin,
    own_passed: u64,
}

/// A segment's messages as frames of the contract. `None` is a deleted message, or an event of another kind, which the
/// contract can't express.
struct TutorialFrames(Box<[Option<TutorialFrame>]>);

struct TutorialFrame {
    id: MessageId,
    frame: Frame,
}

impl Rendering for TutorialFrames {
    fn of(segment: &Segment) -> Self {
        let frame = |content: Content<'_>| (!content.is_deleted).then(|| TutorialFrame::of(&content));
        Self(segment.entries().map(|entry| entry.message().and_then(frame)).collect())
    }
}

impl TutorialFrames {
    /// The frame of the message at `seq` of this segment, whose frames these are.
    fn get(&self, segment: &Segment, seq: Seq) -> Option<&TutorialFrame> {
        self.0.get(seq.0.checked_sub(segment.first().0)? as usize)?.as_ref()
    }
}

impl TutorialFrame {
    fn of(content: &Content<'_>) -> Self {
        let frame = match content.kind {
            Kind::Text => wire::encode_from_server(content.sender, content.body),
            Kind::Action => wire::encode_from_server(content.sender, &format!("/me {}", content.body)),
        };
        Self { id: content.id, frame }
    }
}

/// The receiving side.
pub struct TutorialConversation {
    writer: Arc<StreamWriter>,
    source: Box<dyn Source<Said>>,
    following: Following,
    author: Author,
    /// Whether its names are marked, because other clients of the server must log in.
    is_guest: bool,
}

impl TutorialReader {
    pub fn new(cursor: Cursor, own: Origin) -> Self {
        Self { cursor, own, own_passed: 0 }
    }
}

impl Reader for TutorialReader {
    fn look(&mut self) -> Look {
        loop {
            let look = self.cursor.look();
            let next = self.cursor.next();
            match self.cursor.segment().and_then(|segment| segment.rendering::<TutorialFrames>().get(segment, next)) {
                Some(message) if look == Look::Ready && self.own.has_issued(&message.id) => {
                    self.own_passed += 1;
                    self.cursor.advance();
                }
                // The contract can't express it.
                None if look == Look::Ready => self.cursor.advance(),
                _ => return look,
            }
        }
    }

    fn take(&mut self) -> Option<Taken> {
        let (segment, next) = (self.cursor.segment()?, self.cursor.next());
        let frame = segment.rendering::<TutorialFrames>().get(segment, next)?.frame.clone();
        self.cursor.advance();
        // Only a message that certainly follows may hold this frame back: not own messages, which `look` skips.
        Some(Taken { frame, events: 1, more_follows: self.look() == Look::Ready })
    }

    fn fetch(&mut self) -> Result<(), CloseReason> {
        match self.cursor.fetch() {
            Ok(Fetched::Page) => Ok(()),
            // The contract can't express it; it was logged.
            Ok(Fetched::Damaged { to }) => {
                self.cursor.skip_to(to.next());
                Ok(())
            }
            Ok(Fetched::Trimmed(trimmed)) => Err(CloseReason::BehindRetention(trimmed)),
            Err(error) => Err(CloseReason::LogUnreadable(error)),
        }
    }

    fn own_passed(&self) -> u64 {
        self.own_passed
    }
}

impl TutorialConversation {
    /// `following` is the lobby, on behalf of the session; `origin` is the reader's.
    pub fn new(
        writer: Arc<StreamWriter>,
        source: Box<dyn Source<Said>>,
        following: Following,
        origin: Origin,
        used: Option<Arc<Use>>,
        is_guest: bool,
    ) -> Self {
        let author = Author::of_stream(writer.id(), origin, used);
        Self { writer, source, following, author, is_guest }
    }
}

impl Conversation for TutorialConversation {
    fn run(&mut self, lane: &Lane) {
        let mut posted = 0;
        loop {
            match self.source.receive(None) {
                // A user pressed Enter without typing anything.
                Received::Item(Said { bodies, .. }) if bodies.is_empty() => {}
                Received::Item(Said { name, bodies }) => {
                    let name = if self.is_guest { name.marked() } else { name };
                    let room = self.following.room().name();
                    // The lobby is a room of every server.
                    let post = |body| {
                        self.author.post(room.clone(), false, Sender::claim(name.clone()), CheckedPost::text(body))
                    };
                    let posts: Vec<_> = match bodies.into_iter().map(post).collect() {
                        Ok(posts) => posts,
                        // The contract can't express that a message was not stored.
                        Err(fault) => return self.writer.close(CloseReason::OverQuota(fault)),
                    };
                    posted += posts.len() as u64;
                    self.writer.record().named(&name, false);
                    self.writer.record().posted(posts.len());
                    // A full lane blocks here, so that flow control slows only this client.
                    if lane.push(Order::Posts { posts, poster: Arc::new(Arc::clone(&self.writer)) }).is_err() {
                        return self.writer.close(CloseReason::LogStopped);
                    }
                    let wait = self.author.wait();
                    if !wait.is_zero() {
                        self.source.pause(Instant::now() + wait);
                    }
                }
                Received::HalfClosed { end_when_posted: true } => {
                    return self.writer.close(CloseReason::Finished { posted });
                }
                // The sink reports the end of the call to the session. After a half-close the session continues without
                // this thread.
                Received::HalfClosed { end_when_posted: false } | Received::Over | Received::Late => return,
                Received::Broken(reason) => return self.writer.close(reason),
            }
        }
    }
}

impl Follower for StreamWriter {
    fn published(self: Arc<Self>) {
        self.look_again();
    }

    fn position(&self) -> Option<&Position> {
        self.shown_position()
    }

    fn member(&self) -> Option<Member> {
        None
    }

    fn presence(self: Arc<Self>, _presence: &Arc<Presence>) {
        // The contract can't express it.
    }
}

impl Poster for Arc<StreamWriter> {
    fn settled(&self, _posts: &[Post], outcomes: &[Outcome]) {
        // The contract can't express that a message was not stored.
        if let Some(error) = outcomes.iter().find_map(|outcome| outcome.as_ref().err()) {
            self.close(CloseReason::NotStored(error.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::log::conformance::{DamagedLog, at, post_without_id, room};
    use crate::server::log::{Appender as _, Retention, memory};
    use crate::server::room::tail::Tails;
    use crate::server::room::{Room, RoomKey};

    /// A client whose cursor reached damage was disconnected with INTERNAL. Its contract can't express a gap, so it
    /// gets the later messages.
    #[test]
    fn damaged_messages_are_skipped() {
        let (mut appender, log) = memory::open(usize::MAX, Retention::default());
        let attic = room("attic");
        for body in ["one", "two", "three", "four"] {
            appender.append(&[post_without_id(&attic, "ann", body)], at(1)).unwrap();
        }
        let state = appender.find(&attic).unwrap().unwrap();
        let log = Arc::new(DamagedLog(log, 2));
        // In a room that was just opened, everything is behind the tail.
        let room = Room::new(RoomKey(1), state, log, usize::MAX, Arc::new(Tails::new(usize::MAX)), 0);
        let mut reader = TutorialReader::new(Cursor::new(Arc::new(room), Seq(1)), Origin::random());
        let mut received = Vec::new();
        loop {
            match reader.look() {
                Look::Ready => received.push(reader.take().expect("the reader is ready").frame),
                Look::BehindTail => reader.fetch().expect("damage does not end the stream"),
                Look::AtHead => break,
            }
        }
        let frames = ["one", "three"].map(|body| wire::encode_from_server("ann", body));
        assert_eq!(received.iter().map(Frame::as_slice).collect::<Vec<_>>(), frames.each_ref().map(Frame::as_slice));
    }
}
