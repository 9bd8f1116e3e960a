//! The receiving side of a `hubbub.v1` session: executes the client's commands, in order.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::bounded;

use super::command::{Command, Commands, Refusal};
use super::joined::JoinedRooms;
use super::listener::Listener;
use super::poster::{ChatPoster, rejected_by_log};
use super::start::{Start, StartAt};
use super::updates::{Joining, Update, Updates};
use crate::limits::{HELLO_TIMEOUT, ORDER_BYTES_MAX, ORDER_POSTS_MAX, ROOMS_PER_STREAM_MAX, STACK_TIME};
use crate::names::{InvalidText, Origin, RoomName, Sender, Seq, UserName};
use crate::server::append_queue::{Lane, Order, WriterEnded};
use crate::server::auth::access::Act;
use crate::server::auth::credentials::Bearer;
use crate::server::auth::principal::Principal;
use crate::server::auth::stream_login::StreamLogin;
use crate::server::delivery::close::CloseReason;
use crate::server::delivery::fanout::Fanout;
use crate::server::delivery::stream_writer::StreamWriter;
use crate::server::log::{LogError, Post, RoomState};
use crate::server::posting::Author;
use crate::server::quotas::OverQuota;
use crate::server::room::cursor::Cursor;
use crate::server::room::followers::Member;
use crate::server::room::{Now, RoomHandle, Rooms};
use crate::server::session::receive::{Conversation, Received, Source};
use crate::threads;
use crate::wire::answer::{self, Failed, GapReason, LoginAtWelcome, RejectionCode, RoomAtJoin};
use crate::wire::request::CheckedPost;

/// The receiving side of a session that speaks `hubbub.v1`.
pub struct ChatConversation {
    writer: Arc<StreamWriter>,
    source: Box<dyn Source<Commands>>,
    updates: Arc<Updates>,
    poster: Arc<ChatPoster>,
    login: StreamLogin,
    /// The client, and who it is. `Some` after the first command.
    client: Option<Client>,
    joined: JoinedRooms,
    author: Author,
    /// Posts that were not handed to the log writer yet.
    posts: Vec<Post>,
    posts_bytes: usize,
    /// Whether there are updates for which the session was not woken yet.
    has_updates: bool,
    /// Whether the thread's stack has grown beyond what it needs to wait.
    went_deep: bool,
}

/// The client of a session.
#[derive(Clone)]
struct Client {
    /// Its presence in its rooms, and the sender of its posts. `None` for one that only listens.
    member: Option<Member>,
    principal: Arc<Principal>,
}

/// The result of a command for the receive thread.
type Execution = Result<(), CloseReason>;

impl ChatConversation {
    /// `updates` are the reader's; `shard` is the poller that drives the stream.
    pub fn new(
        writer: Arc<StreamWriter>,
        source: Box<dyn Source<Commands>>,
        rooms: Arc<Rooms>,
        fanout: Arc<Fanout>,
        updates: Arc<Updates>,
        shard: usize,
        login: StreamLogin,
    ) -> Self {
        let author = Author::of_stream(writer.id(), Origin::random(), login.used());
        let poster = Arc::new(ChatPoster { writer: Arc::clone(&writer), updates: Arc::clone(&updates) });
        Self {
            writer,
            source,
            updates,
            poster,
            login,
            client: None,
            joined: JoinedRooms::new(rooms, fanout, shard),
            author,
            posts: Vec::new(),
            posts_bytes: 0,
            has_updates: false,
            went_deep: false,
        }
    }

    // Not inlined: its frame would be on the stack while the thread waits, and cost each idle client another page.
    #[inline(never)]
    fn execute_all(&mut self, commands: Commands, lane: &Lane) -> Execution {
        for command in commands {
            self.execute(command?, lane)?;
            // One request may have a thousand commands, each with an answer.
            if self.has_updates && self.updates.is_full() {
                self.hand_over(lane)?;
                self.send_updates();
                self.updates.wait_for_room();
            }
        }
        Ok(())
    }

    fn execute(&mut self, command: Command, lane: &Lane) -> Execution {
        let Some(client) = self.client.clone() else {
            return match command {
                Command::Hello { name, client_version } => self.hello(name, &client_version),
                Command::Listen => self.listen(),
                _ => Err(CloseReason::HelloExpected),
            };
        };
        match command {
            // What a client posted before its end is stored; but there is no client to join a room for.
            Command::Join { .. } | Command::Leave { .. } if self.source.is_over() => {}
            Command::Hello { .. } | Command::Listen => return Err(CloseReason::HelloRepeated),
            Command::Join { room, from } => {
                self.hand_over(lane)?;
                self.join(room, from, client, lane)?;
            }
            Command::Leave { room } => {
                self.hand_over(lane)?;
                self.leave(room, client.member.as_ref());
            }
            Command::Renew { token } => {
                self.hand_over(lane)?;
                self.renew(&token, client);
            }
            Command::Post { room, post } => {
                self.post(&room, post, &client);
                if self.posts.len() >= ORDER_POSTS_MAX || self.posts_bytes >= ORDER_BYTES_MAX {
                    self.hand_over(lane)?;
                }
            }
            Command::Refused(refusal) => self.refuse(refusal),
        }
        Ok(())
    }

    fn hello(&mut self, asked: Option<UserName>, client_version: &str) -> Execution {
        let principal = self.login.log_in(expire(&self.writer)).map_err(CloseReason::Login)?;
        let name = principal.acts_as(asked).map_err(CloseReason::Denied)?.ok_or(InvalidText::NameEmpty)?;
        log::debug!("client {} is {:?} on {client_version:?}", self.writer.id(), name.as_str());
        self.writer.record().named(&name, principal.is_authenticated());
        self.writer.record().started();
        let sender = Sender { name, authenticated: principal.is_authenticated() };
        self.welcome(Client { member: Some(Member { client: self.writer.id(), sender }), principal });
        Ok(())
    }

    fn listen(&mut self) -> Execution {
        let principal = self.login.log_in(expire(&self.writer)).map_err(CloseReason::Login)?;
        if let Some(name) = &principal.name {
            self.writer.record().named(name, true);
        }
        self.writer.record().started();
        self.welcome(Client { member: None, principal });
        Ok(())
    }

    fn welcome(&mut self, client: Client) {
        let Client { member, principal } = &client;
        let authenticated = principal.is_authenticated();
        let name = member.as_ref().map(|member| &member.sender.name).or(principal.name.as_ref());
        let login = LoginAtWelcome {
            name: name.map_or("", UserName::as_str),
            authenticated,
            role: if authenticated { principal.role.word() } else { "" },
            ends: principal.until,
        };
        self.answer(answer::welcome(self.writer.id(), &login));
        self.client = Some(client);
    }

    /// Replaces the login, and leaves the rooms that the new one does not allow to read.
    fn renew(&mut self, token: &Bearer, client: Client) {
        let principal = match self.login.renew(token, expire(&self.writer)) {
            Ok(principal) => principal,
            Err(error) => {
                let (command, reason) = (Failed::Unknown, error.to_string());
                return self.refuse(Refusal { command, code: RejectionCode::Denied, reason });
            }
        };
        let may_not_read = |room: &RoomName| principal.may(Act::Read(room)).is_err();
        for room in self.joined.names().filter(|room| may_not_read(room)).cloned().collect::<Vec<_>>() {
            self.leave(room.as_str().to_owned(), client.member.as_ref());
        }
        self.welcome(Client { principal, ..client });
    }

    fn post(&mut self, room: &str, post: CheckedPost, client: &Client) {
        let id = post.id;
        let failed = || Failed::Post(id.map_or(Vec::new(), |id| id.as_bytes().to_vec()));
        let Some(room) = self.joined.find(room) else {
            return self.refuse(Refusal::not_joined(failed(), room));
        };
        let Some(Member { sender, .. }) = client.member.clone() else {
            let reason = "a client that only listens can't post".to_owned();
            return self.refuse(Refusal { command: failed(), code: RejectionCode::Invalid, reason });
        };
        if let Err(denied) = client.principal.may(Act::Post(room.name())) {
            return self.refuse(Refusal::denied(failed(), &denied));
        }
        let creates = room.head() == Seq::ZERO;
        match self.author.post(room.name().clone(), creates, sender, post) {
            Ok(post) => {
                self.posts_bytes += post.bytes();
                self.posts.push(post);
            }
            Err(fault) => {
                let code = match fault {
                    OverQuota::RoomsInAll(_) => RejectionCode::TooManyRooms,
                    _ => RejectionCode::Limited,
                };
                self.reject(code, answer::rejected(failed(), code, fault.to_string(), fault.retry_after()));
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
        self.writer.record().posted(posts.len());
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

    fn join(&mut self, name: RoomName, from: StartAt, client: Client, lane: &Lane) -> Execution {
        let failed = Failed::Room(name.as_str().to_owned());
        if let Err(denied) = client.principal.may(Act::Read(&name)) {
            self.refuse(Refusal::denied(failed, &denied));
            return Ok(());
        }
        if self.joined.find(name.as_str()).is_some() {
            let reason = "the room was joined already: leave it first to read it from another place".to_owned();
            self.refuse(Refusal { command: failed, code: RejectionCode::AlreadyJoined, reason });
            return Ok(());
        }
        if self.joined.count() >= ROOMS_PER_STREAM_MAX {
            let reason =
                format!("{ROOMS_PER_STREAM_MAX} rooms are joined, the maximum for one stream: leave one first");
            self.refuse(Refusal { command: failed, code: RejectionCode::TooManyRooms, reason });
            return Ok(());
        }
        let seen = if let StartAt::After { seq, .. } = from { seq } else { Seq::ZERO };
        let opened = self.open(&name, lane)?.and_then(|hold| {
            // The head first: if it is above 0, the state is not that of a pending room.
            let now = hold.now();
            let stored = hold.stored(seen)?;
            let start = match from {
                StartAt::Last(count) => Start::at(hold.first_of_last(count, &now)?.max(stored.oldest)),
                from => Start::new(from, now.head, &stored),
            };
            Ok((now, stored, start, hold))
        });
        match opened {
            Ok((now, stored, start, hold)) => self.follow(hold, &now, &stored, &start, client.member),
            Err(error) => self.refuse_for_log(failed, &error),
        }
        Ok(())
    }

    /// The room, which the log writer opens if it is not open yet.
    fn open(&mut self, name: &RoomName, lane: &Lane) -> Result<Result<RoomHandle, LogError>, CloseReason> {
        if let Some(hold) = self.joined.open_rooms().get(name) {
            return Ok(Ok(hold));
        }
        let (reply, opened) = bounded(1);
        self.order(Order::Room { name: name.clone(), reply }, lane)?;
        // The answers so far need not wait for the disk.
        self.send_updates();
        opened.recv().map_err(|_| CloseReason::LogStopped)
    }

    fn follow(&mut self, hold: RoomHandle, now: &Now, stored: &RoomState, start: &Start, member: Option<Member>) {
        let room = Arc::clone(&hold);
        let (id, oldest, head) = (stored.id, stored.oldest, now.head);
        let mut entries = answer::joined(&RoomAtJoin {
            id,
            name: room.name(),
            epoch: stored.epoch,
            head,
            oldest,
            first: start.next,
            member_count: room.follower_count() + 1,
            topic: now.profile.topic.as_str(),
            pinned: now.profile.pinned_from(oldest),
        });
        if start.is_ahead && self.joined.open_rooms().may_log_ahead() {
            let (client, name, seen) = (self.writer.id(), room.name(), start.replaced.map_or(head, |(_, seen)| seen));
            log::error!(
                "client {client} reports that it has seen message {seen} of room {name}, which ends at message {head}: was the \
                 data folder restored without hubbub-server restore? Then start the server once with --restored, so that \
                 all clients learn which messages are lost"
            );
        }
        if let Some((from, to)) = start.replaced {
            entries.extend(answer::gap(id, from, to, GapReason::EpochChanged));
        }
        let cursor = Cursor::new(Arc::clone(&room), start.next);
        let position = Arc::clone(cursor.position());
        let joining = Joining { room: room.key(), id, entries, cursor, head };
        self.push_update(Update::Joined(Box::new(joining)));
        let listener = Arc::new(Listener {
            writer: Arc::clone(&self.writer),
            updates: Arc::clone(&self.updates),
            room: room.key(),
            position,
            member: member.clone(),
        });
        self.joined.add(hold, Arc::clone(&listener) as _, member.as_ref());
        // For messages committed before the room was followed.
        listener.wake_reader();
    }

    fn leave(&mut self, room: String, member: Option<&Member>) {
        match self.joined.remove(&room, member) {
            Some((key, name)) => self.push_update(Update::Left(key, name)),
            None => self.refuse(Refusal::not_joined(Failed::Room(room.clone()), &room)),
        }
    }

    fn refuse(&mut self, Refusal { command, code, reason }: Refusal) {
        self.reject(code, answer::rejected(command, code, reason, None));
    }

    fn refuse_for_log(&mut self, command: Failed, error: &LogError) {
        let (code, entry) = rejected_by_log(command, error);
        self.reject(code, entry);
    }

    /// Answers with a rejection.
    fn reject(&mut self, code: RejectionCode, entry: Vec<u8>) {
        self.updates.count_rejection(code);
        self.answer(entry);
    }

    fn answer(&mut self, entry: Vec<u8>) {
        self.push_update(Update::Answer(entry));
    }

    /// Sends the updates so far: those of a request together, unless the thread has to wait.
    fn send_updates(&mut self) {
        if std::mem::take(&mut self.has_updates) {
            // A frame may be written from here.
            self.writer.look_again();
            self.went_deep = true;
        }
    }

    fn push_update(&mut self, update: Update) {
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

/// Ends the stream when its login has expired. Weak, since the login belongs to the stream.
fn expire(writer: &Arc<StreamWriter>) -> impl FnOnce() + Send + 'static {
    let writer = Arc::downgrade(writer);
    move || {
        if let Some(writer) = writer.upgrade() {
            writer.close(CloseReason::LoginExpired);
        }
    }
}

impl Conversation for ChatConversation {
    fn first_due(&self) -> Option<(Duration, CloseReason)> {
        Some((HELLO_TIMEOUT, CloseReason::HelloLate))
    }

    /// It leaves its rooms.
    fn is_heavy(&self) -> bool {
        self.joined.count() > 0
    }

    fn run(&mut self, lane: &Lane) {
        let mut deadline = Some(Instant::now() + HELLO_TIMEOUT);
        loop {
            let outcome = match self.source.receive(deadline) {
                Received::Item(commands) => {
                    let outcome = self.execute_all(commands, lane).and_then(|()| self.hand_over(lane));
                    self.send_updates();
                    self.keep_rate();
                    outcome
                }
                Received::Late if self.client.is_none() => Err(CloseReason::HelloLate),
                Received::Late => {
                    threads::release_stack();
                    self.went_deep = false;
                    Ok(())
                }
                Received::Broken(reason) => Err(reason),
                Received::HalfClosed { .. } if self.client.is_none() => Err(CloseReason::HelloExpected),
                // The sink reports the end of the call to the session. After a half-close the session continues without
                // this thread.
                Received::HalfClosed { .. } | Received::Over => return,
            };
            if let Err(reason) = outcome {
                return self.writer.close(reason);
            }
            if self.client.is_some() {
                deadline = self.went_deep.then(|| Instant::now() + STACK_TIME);
            }
            self.updates.wait_for_room();
        }
    }
}

impl Drop for ChatConversation {
    fn drop(&mut self) {
        if let Some(Client { member, .. }) = &self.client {
            self.joined.clear(member.as_ref());
        }
        // Unread updates may be part of a reference cycle.
        self.updates.clear();
    }
}
