//! The receiving side of a `hubbub.v1` session: executes the client's commands, in order.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::bounded;

use super::start::{Start, StartAt};
use super::updates::{Joining, PublishedFlag, Update, Updates};
use crate::limits::{
    HELLO_TIMEOUT, ORDER_BYTES_MAX, ORDER_POSTS_MAX, PRESENCE_MEMBERS_MAX, ROOMS_PER_STREAM_MAX, STACK_TIME,
    STORE_RETRY,
};
use crate::names::{Body, Kind, MessageId, Origin, RoomId, RoomName, Seq, UserName};
use crate::server::append_queue::{Lane, Order, Poster, WriterEnded};
use crate::server::delivery::close::CloseReason;
use crate::server::delivery::fanout::Fanout;
use crate::server::delivery::stream_writer::StreamWriter;
use crate::server::log::{Appended, LogError, Outcome, Post, RoomState};
use crate::server::posting::Author;
use crate::server::quotas::Use;
use crate::server::room::cursor::Cursor;
use crate::server::room::followers::{Follower, Member};
use crate::server::room::{RoomHandle, Rooms};
use crate::server::session::receive::{Conversation, Following, Received, Source};
use crate::threads;
use crate::wire::answer::{self, Change, Failed, GapReason, RejectionCode, RoomAtJoin};

/// A command, checked.
pub enum Command {
    Hello {
        name: UserName,
        client_version: String,
    },
    Join {
        room: RoomName,
        from: StartAt,
    },
    Leave {
        room: String,
    },
    Post {
        room: String,
        id: Option<MessageId>,
        body: Body,
        kind: Kind,
    },
    /// An invalid command.
    Refused(Refusal),
}

/// Why a command can't be executed.
pub struct Refusal {
    pub command: Failed,
    pub code: RejectionCode,
    pub reason: String,
}

/// The receiving side of a session that speaks `hubbub.v1`.
pub struct ChatConversation {
    writer: Arc<StreamWriter>,
    source: Box<dyn Source<Vec<Command>>>,
    rooms: Arc<Rooms>,
    fanout: Arc<Fanout>,
    updates: Arc<Updates>,
    /// The poller that drives the stream, which is also its shard among its rooms' followers.
    shard: usize,
    poster: Arc<ChatPoster>,
    /// `Some` after the first command.
    name: Option<UserName>,
    joined: HashMap<RoomName, Following>,
    author: Author,
    /// Posts that were not handed to the log writer yet.
    posts: Vec<Post>,
    posts_bytes: usize,
    /// Whether there are updates for which the session was not woken yet.
    has_updates: bool,
    /// Whether the thread's stack has grown beyond what it needs to wait.
    went_deep: bool,
}

/// The result of a command for the receive thread.
type Execution = Result<(), CloseReason>;

impl ChatConversation {
    /// `updates` belong to the reader.
    pub fn new(
        writer: Arc<StreamWriter>,
        source: Box<dyn Source<Vec<Command>>>,
        rooms: Arc<Rooms>,
        fanout: Arc<Fanout>,
        updates: Arc<Updates>,
        shard: usize,
        used: Option<Arc<Use>>,
    ) -> Self {
        let author = Author::of_stream(writer.id(), Origin::random(), used);
        let poster = Arc::new(ChatPoster { writer: Arc::clone(&writer), updates: Arc::clone(&updates) });
        Self {
            writer,
            source,
            rooms,
            fanout,
            updates,
            shard,
            poster,
            name: None,
            joined: HashMap::new(),
            author,
            posts: Vec::new(),
            posts_bytes: 0,
            has_updates: false,
            went_deep: false,
        }
    }

    fn carry_out(&mut self, command: Command, lane: &Lane) -> Execution {
        let Some(name) = self.name.clone() else {
            return match command {
                Command::Hello { name, client_version } => {
                    self.welcome(name, &client_version);
                    Ok(())
                }
                _ => Err(CloseReason::HelloExpected),
            };
        };
        match command {
            // What a client said before its end is stored; but its rooms would be joined for nobody.
            Command::Join { .. } | Command::Leave { .. } if self.source.is_over() => {}
            Command::Hello { .. } => return Err(CloseReason::HelloRepeated),
            Command::Join { room, from } => {
                self.hand_over(lane)?;
                self.join(room, from, name, lane)?;
            }
            Command::Leave { room } => {
                self.hand_over(lane)?;
                self.leave(room);
            }
            Command::Post { room, id, body, kind } => {
                self.post(&room, id, name, &body, kind);
                if self.posts.len() >= ORDER_POSTS_MAX || self.posts_bytes >= ORDER_BYTES_MAX {
                    self.hand_over(lane)?;
                }
            }
            Command::Refused(refusal) => self.refuse(refusal),
        }
        Ok(())
    }

    fn welcome(&mut self, name: UserName, client_version: &str) {
        log::debug!("client {} is {:?} on {client_version:?}", self.writer.id(), name.as_str());
        self.name = Some(name);
        self.answer(answer::welcome(self.writer.id()));
    }

    fn post(&mut self, room: &str, id: Option<MessageId>, sender: UserName, body: &Body, kind: Kind) {
        let failed = || Failed::Post(id.map_or(Vec::new(), |id| id.as_bytes().to_vec()));
        let Some((room, following)) = self.joined.get_key_value(room) else {
            return self.refuse(Refusal::not_joined(failed(), room));
        };
        let creates = following.room().head() == Seq::ZERO;
        match self.author.post(room.clone(), creates, sender, id, body, kind) {
            Ok(post) => {
                self.posts_bytes += post.content.len();
                self.posts.push(post);
            }
            Err(fault) => {
                let retry = Some(fault.retry_after());
                self.answer(answer::rejected(failed(), RejectionCode::Limited, fault.to_string(), retry));
            }
        }
    }

    /// Hands the posts to the log writer.
    fn hand_over(&mut self, lane: &Lane) -> Execution {
        if self.posts.is_empty() {
            return Ok(());
        }
        let posts = std::mem::take(&mut self.posts);
        self.posts_bytes = 0;
        let poster = Arc::clone(&self.poster) as _;
        self.order(Order::Posts { posts, poster }, lane)
    }

    /// Slows a client whose address posts faster than it may.
    fn keep_rate(&mut self) {
        let wait = self.author.wait();
        if !wait.is_zero() {
            self.source.pause(Instant::now() + wait);
        }
    }

    fn join(&mut self, name: RoomName, from: StartAt, client_name: UserName, lane: &Lane) -> Execution {
        let failed = Failed::Room(name.as_str().to_owned());
        if self.joined.contains_key(&name) {
            let reason = "the room was joined already: leave it first to read it from another place".to_owned();
            self.refuse(Refusal { command: failed, code: RejectionCode::AlreadyJoined, reason });
            return Ok(());
        }
        if self.joined.len() >= ROOMS_PER_STREAM_MAX {
            let reason =
                format!("{ROOMS_PER_STREAM_MAX} rooms are joined, the maximum for one stream: leave one first");
            self.refuse(Refusal { command: failed, code: RejectionCode::TooManyRooms, reason });
            return Ok(());
        }
        let seen = if let StartAt::After { seq, .. } = from { seq } else { Seq::ZERO };
        let opened = self.open(&name, lane)?.and_then(|hold| Ok((hold.stored(seen)?, hold)));
        match opened {
            Ok((stored, hold)) => self.follow(hold, &stored, from, client_name),
            Err(error) => self.refuse_for_log(failed, &error),
        }
        Ok(())
    }

    /// The room, which the log writer opens if it is not open yet.
    fn open(&mut self, name: &RoomName, lane: &Lane) -> Result<Result<RoomHandle, LogError>, CloseReason> {
        if let Some(hold) = self.rooms.get(name) {
            return Ok(Ok(hold));
        }
        let (reply, opened) = bounded(1);
        self.order(Order::Room { name: name.clone(), reply }, lane)?;
        // The answers so far need not wait for the disk.
        self.send_updates();
        opened.recv().map_err(|_| CloseReason::LogStopped)
    }

    fn follow(&mut self, hold: RoomHandle, stored: &RoomState, from: StartAt, client_name: UserName) {
        let room = Arc::clone(&hold);
        let (head, oldest) = (room.head(), stored.oldest);
        let start = Start::new(from, head, stored);
        let mut entries = answer::joined(&RoomAtJoin {
            id: room.id(),
            name: room.name(),
            epoch: stored.epoch,
            head,
            oldest,
            first: start.next,
            member_count: room.follower_count() + 1,
        });
        if start.is_ahead && self.rooms.may_log_ahead() {
            let (client, name, seen) = (self.writer.id(), room.name(), start.replaced.map_or(head, |(_, seen)| seen));
            log::error!(
                "client {client} reports that it has seen message {seen} of room {name}, which ends at message {head}: was the \
                 data folder restored without hubbub-server restore? Then start the server once with --restored, so that \
                 all clients learn which messages are lost"
            );
        }
        if let Some((from, to)) = start.replaced {
            entries.extend(answer::gap(room.id(), from, to, GapReason::EpochChanged));
        }
        let published = Arc::new(PublishedFlag::default());
        let cursor = Cursor::new(Arc::clone(&room), start.next);
        let joining = Joining { room: room.id(), entries, cursor, published: Arc::clone(&published), head };
        self.tell(Update::Joined(Box::new(joining)));
        let member = Member { client: self.writer.id(), name: client_name };
        let listener = Listener {
            writer: Arc::clone(&self.writer),
            updates: Arc::clone(&self.updates),
            room: room.id(),
            published,
            member,
        };
        let listener = Arc::new(listener);
        let following = Following::new(hold, self.shard, Arc::clone(&listener) as _);
        // For messages committed before the room was followed.
        listener.wake_reader();
        self.tell_presence(&following, Change::Joined);
        self.joined.insert(room.name().clone(), following);
    }

    fn leave(&mut self, room: String) {
        match self.joined.remove_entry(room.as_str()) {
            Some((name, following)) => {
                let id = following.room().id();
                self.tell_presence(&following, Change::Left);
                drop(following);
                self.tell(Update::Left(id, answer::left(id, &name)));
            }
            None => self.refuse(Refusal::not_joined(Failed::Room(room.clone()), &room)),
        }
    }

    /// Sends the presence of this client to the other members of a room, unless there are too many of them.
    fn tell_presence(&self, following: &Following, change: Change) {
        let room = following.room();
        let Some(name) = &self.name else { return };
        if room.follower_count() > PRESENCE_MEMBERS_MAX {
            return;
        }
        let entry: Arc<[u8]> = answer::presence(room.id(), self.writer.id(), name, change).into();
        let is_other =
            |follower: &Arc<dyn Follower>| follower.member().is_none_or(|member| member.client != self.writer.id());
        let others: Vec<_> = room.followers().filter(is_other).collect();
        if !others.is_empty() {
            others.into_iter().for_each(|follower| follower.presence(&entry));
            self.fanout.announce_soon(room);
        }
    }

    fn refuse(&mut self, Refusal { command, code, reason }: Refusal) {
        self.answer(answer::rejected(command, code, reason, None));
    }

    fn refuse_for_log(&mut self, command: Failed, error: &LogError) {
        self.answer(rejected_by_log(command, error));
    }

    fn answer(&mut self, entry: Vec<u8>) {
        self.tell(Update::Answer(entry));
    }

    /// Sends the updates so far: those of a request together, unless the thread has to wait.
    fn send_updates(&mut self) {
        if std::mem::take(&mut self.has_updates) {
            // A frame may be written from here.
            self.writer.look_again();
            self.went_deep = true;
        }
    }

    fn tell(&mut self, update: Update) {
        self.updates.push(update);
        self.has_updates = true;
    }

    /// Hands an order to the log writer. If the lane is full, this waits, so that flow control slows only this client.
    fn order(&mut self, order: Order, lane: &Lane) -> Execution {
        let Err(order) = lane.try_push(order) else { return Ok(()) };
        self.send_updates();
        lane.push(order).map_err(|WriterEnded| CloseReason::LogStopped)
    }
}

impl Conversation for ChatConversation {
    fn run(&mut self, lane: &Lane) {
        let mut deadline = Some(Instant::now() + HELLO_TIMEOUT);
        loop {
            let outcome = match self.source.receive(deadline) {
                Received::Item(commands) => {
                    let outcome = commands.into_iter().try_for_each(|command| self.carry_out(command, lane));
                    let outcome = outcome.and_then(|()| self.hand_over(lane));
                    self.send_updates();
                    self.keep_rate();
                    outcome
                }
                Received::Late if self.name.is_none() => Err(CloseReason::HelloLate),
                Received::Late => {
                    threads::release_stack();
                    self.went_deep = false;
                    Ok(())
                }
                Received::Broken(reason) => Err(reason),
                Received::HalfClosed { .. } if self.name.is_none() => Err(CloseReason::HelloExpected),
                // The sink reports the end of the call to the session. After a half-close the session continues without
                // this thread.
                Received::HalfClosed { .. } | Received::Over => return,
            };
            if let Err(reason) = outcome {
                return self.writer.close(reason);
            }
            if self.name.is_some() {
                deadline = self.went_deep.then(|| Instant::now() + STACK_TIME);
            }
            self.updates.wait_for_room();
        }
    }
}

impl Drop for ChatConversation {
    fn drop(&mut self) {
        for following in self.joined.values() {
            self.tell_presence(following, Change::Left);
        }
        self.joined.clear();
        // Unread updates may be part of a reference cycle.
        self.updates.clear();
    }
}

/// Follows a room on behalf of a session.
struct Listener {
    writer: Arc<StreamWriter>,
    updates: Arc<Updates>,
    room: RoomId,
    published: Arc<PublishedFlag>,
    member: Member,
}

impl Listener {
    fn wake_reader(&self) {
        if self.published.set() {
            self.updates.push(Update::Published(self.room));
        }
    }
}

impl Follower for Listener {
    fn published(self: Arc<Self>) {
        self.wake_reader();
        self.writer.look_again();
    }

    fn member(&self) -> Option<Member> {
        Some(self.member.clone())
    }

    fn presence(self: Arc<Self>, entry: &Arc<[u8]>) {
        if self.updates.push_presence(self.room, Arc::clone(entry)) {
            self.writer.look_again();
        }
    }
}

/// Reports the outcomes of posts to a session, unless the message itself does.
struct ChatPoster {
    writer: Arc<StreamWriter>,
    updates: Arc<Updates>,
}

impl Poster for ChatPoster {
    fn settled(&self, posts: &[Post], outcomes: &[Outcome]) {
        let mut answered = false;
        for (post, outcome) in posts.iter().zip(outcomes) {
            let answer = match outcome {
                // The message itself is the acknowledgement.
                Ok(Appended::New(..)) => continue,
                Ok(Appended::Before(room, seq)) => answer::posted(*room, &post.id, *seq),
                Err(error) => {
                    let id = if post.id_chosen { post.id.as_bytes().to_vec() } else { Vec::new() };
                    rejected_by_log(Failed::Post(id), error)
                }
            };
            self.updates.push(Update::Answer(answer));
            answered = true;
        }
        if answered {
            self.writer.look_again();
        }
    }
}

impl Refusal {
    fn not_joined(command: Failed, room: &str) -> Self {
        let reason = format!("the room {room:?} is not joined: join it first");
        Self { command, code: RejectionCode::NotJoined, reason }
    }
}

fn rejected_by_log(command: Failed, error: &LogError) -> Vec<u8> {
    match error {
        LogError::TooManyRooms(_) => answer::rejected(command, RejectionCode::TooManyRooms, error.to_string(), None),
        LogError::Unavailable(_) | LogError::Full | LogError::Damaged(_) => {
            answer::rejected(command, RejectionCode::Unavailable, error.to_string(), Some(STORE_RETRY))
        }
    }
}
