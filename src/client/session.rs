//! A conversation over `hubbub.v1` that outlives its connections, and loses and repeats nothing.
//!
//! Two threads serve it. `send` takes what waits in the outbox, as many lines at once as a request holds, and writes them
//! to the stream of the moment. `receive` reads that stream, holds the server to each room's place, tells the owner what
//! happens, and when the connection is lost, makes the next one and resumes every room; so there is exactly one place
//! where connections come from. Both end with the session, and [`Session::wait`] joins them.
//!
//! What it guarantees: the owner gets each message of each room once and in the order of seq, or is told of the gap. A
//! line that was handed over is stored once, in its order (`outbox.rs` tells the one exception), or the owner is told
//! that it was rejected, or that the session ended before the server had acknowledged it.

use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use humantime::format_duration;
use thiserror::Error;
use uuid::Uuid;

use super::chat;
use super::connection::{ConnectError, Connector};
use super::outbox::{self, Line, Outbox, Tally};
use super::place::{From, Gap};
use super::reader::Reader;
use super::rooms::Rooms;
use super::state::Shared;
use super::stream::StreamError;
use crate::address::Address;
use crate::names::{Body, Epoch, Kind, MessageId, RoomName, UserName};
use crate::threads::spawn;

/// How many lines may wait for their acknowledgement by default. More than anybody types while a server is away; whoever
/// reads from a file is made to wait.
pub const LINES_MAX: usize = 1024;

/// How many bytes those lines may have by default: 64 of the largest.
pub const BYTES_MAX: usize = 1024 * 1024;

/// How long a session that is finishing waits without any progress by default.
pub const FINISH_TIMEOUT: Duration = Duration::from_secs(10);

/// What a session is to do.
#[derive(Clone, Debug)]
pub struct Settings {
    pub name: UserName,
    /// The rooms to join first, each once, and where to begin in each. If the server refuses one of them, the session fails.
    pub rooms: Vec<(RoomName, From)>,
    pub policy: Policy,
    /// How long the first connection may be tried for; by default the first attempt decides.
    pub connect_within: Duration,
    /// How long there may be no connection before the session fails; `None` is for ever.
    pub outage_max: Option<Duration>,
    /// How long it may take until something is acknowledged when all has been said.
    pub finish_timeout: Duration,
    /// How many lines may wait for their acknowledgement, and how many bytes they may have: then [`Inlet::post`] blocks.
    pub lines_max: usize,
    pub bytes_max: usize,
}

/// What a session does when the connection is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    Reconnect,
    Fail,
}

/// What happens in a session, in order.
#[derive(Debug)]
pub enum Event<'a> {
    /// A room is joined, for the first time or again, at this time of the server's clock.
    Joined { room: &'a RoomName, time_ms: u64, epoch: Epoch, head_seq: u64, oldest_seq: u64, members: u32 },
    /// Somebody said something; perhaps this session, which thus knows that it is stored.
    Message(Message<'a>),
    /// An event of the log of a kind that this client does not know: its seq counts as seen.
    Passed { room: &'a RoomName, seq: u64 },
    /// The history that was asked for, or missed, ends here.
    CaughtUp { room: &'a RoomName, head_seq: u64 },
    /// A room is left, as [`Inlet::leave`] asked: nothing more of it comes, unless it was joined again, and then comes anew. A room
    /// that was left before there was a connection to join it is told too.
    Left { room: &'a RoomName },
    /// The server refuses to join a room that [`Inlet::join`] asked for. Lines for it are told as rejected before.
    NotJoined { room: &'a RoomName, reason: &'a str },
    /// Messages of the room are missing here, or are not what they were.
    Gap { room: &'a RoomName, gap: Gap },
    /// Somebody else came into the room, or left it.
    Presence { room: &'a RoomName, name: &'a str, client_id: u64, came: bool },
    /// A line of this session is stored. Its message came before, or will come.
    Stored { room: &'a RoomName, id: MessageId, seq: u64 },
    /// A line will never be stored.
    Rejected { line: Line, reason: &'a str },
    /// The server asks to wait with a line. It is kept, and posted again after the pause.
    Held { reason: &'a str, pause: Duration },
    /// Nothing more is here at the moment: what was gathered can be shown.
    Pause,
    /// The connection is lost, or was given up because the server broke its contract (`fault`); so many lines will be
    /// posted again.
    Disconnected { reason: String, fault: bool, kept: usize },
    /// The first connection failed, and is tried again for so long in all.
    Waiting { error: &'a ConnectError, within: Duration },
    /// There is no connection, for this reason; the next attempt comes after the pause.
    Retrying { reason: &'a str, pause: Duration },
    /// There is a connection again; the rooms are being resumed.
    Reconnected,
}

/// A message of a room. Nothing about its texts is checked: whoever shows them on a terminal escapes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    pub room: &'a RoomName,
    pub seq: u64,
    /// When it was stored, by the server's clock, in milliseconds since 1970.
    pub time_ms: u64,
    pub id: MessageId,
    pub sender: &'a str,
    pub body: &'a str,
    pub kind: Kind,
    /// The client that posted it, where the server knows: two clients of one name have different numbers, and so has one
    /// that came back on another connection.
    pub client_id: Option<u64>,
    /// This session posted it.
    pub own: bool,
}

/// Why a session failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SessionError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Stream(#[from] StreamError),
    #[error("{error}{}", unacknowledged(*.lines))]
    Lost { error: StreamError, lines: u64 },
    #[error("no connection for {} ({reason}){}", format_duration(*.outage), unacknowledged(*.lines))]
    Outage { outage: Duration, reason: String, lines: u64 },
    #[error("perhaps not stored: {}, because {reason}", outbox::lines(*.lines))]
    Unacknowledged { lines: u64, reason: String },
    #[error("can't join {room}: {reason}")]
    Room { room: RoomName, reason: String },
    #[error("{room} is not joined: join it first")]
    NotJoined { room: RoomName },
    #[error("the session has ended")]
    Ended,
    #[error("no thread can be started ({0}): raise the limit of processes, see ulimit -u")]
    Thread(#[from] io::Error),
}

/// A running session. Its owner waits for its end.
pub struct Session {
    shared: Arc<Shared>,
    finish_timeout: Duration,
    threads: Vec<JoinHandle<()>>,
}

/// Where lines go into a session, and where its rooms are joined and left, from any thread.
#[derive(Clone)]
pub struct Inlet {
    shared: Arc<Shared>,
}

impl Settings {
    /// For one room, and otherwise by default.
    pub fn new(name: UserName, room: RoomName, from: From) -> Self {
        Self {
            name,
            rooms: vec![(room, from)],
            policy: Policy::Reconnect,
            connect_within: Duration::ZERO,
            outage_max: None,
            finish_timeout: FINISH_TIMEOUT,
            lines_max: LINES_MAX,
            bytes_max: BYTES_MAX,
        }
    }
}

impl Session {
    /// Connects and starts. Events come on the session's receive thread, which is held up while one is handled; a handler
    /// that breaks ends the session in good order.
    pub fn start(
        connector: Connector,
        address: Address,
        settings: Settings,
        mut on_event: impl FnMut(Event<'_>) -> ControlFlow<()> + Send + 'static,
    ) -> Result<Self, SessionError> {
        let within = settings.connect_within;
        let connection = connector.open_within(&address, within, |error| {
            // There is nothing to break off yet.
            let _ = on_event(Event::Waiting { error, within });
        })?;
        let (sender, receiver) = chat::open(&connection)?;
        let names = settings.rooms.iter().map(|(room, _)| room.clone());
        let outbox = Outbox::new(names, settings.lines_max, settings.bytes_max);
        let shared = Arc::new(Shared::new(outbox, Rooms::new(&settings.rooms)));
        let finish_timeout = settings.finish_timeout;
        let mut session = Self { shared: shared.clone(), finish_timeout, threads: vec![] };
        let reader = Reader::new(shared.clone(), connector, address, settings, on_event);
        reader.connect(sender, &receiver);
        let spawned = spawn("send", move || send_requests(&shared))
            .map(|thread| session.threads.push(thread))
            .and_then(|()| spawn("receive", move || reader.run(receiver)))
            .map(|thread| session.threads.push(thread));
        // Where one was refused, dropping the session ends the other.
        spawned.map(|()| session).map_err(SessionError::Thread)
    }

    pub fn inlet(&self) -> Inlet {
        Inlet { shared: self.shared.clone() }
    }

    /// Waits until the session has ended: finished, failed, stopped, or broken off by its event handler.
    pub fn wait(mut self) -> Result<(), SessionError> {
        let outcome = self.shared.wait(self.finish_timeout);
        self.join();
        outcome
    }

    fn join(&mut self) {
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so; the session's outcome stands.
            let _ = thread.join();
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.shared.end(Ok(()));
        self.join();
    }
}

impl Inlet {
    /// Joins a room, and reads it from there. Whether there is a connection or not: it is joined when there is one, and resumed
    /// as every room is. False: it is joined already. One that was to be left when its lines are stored stays joined, where it
    /// is. Lines are taken from now on; if the server refuses the room, [`Event::NotJoined`] and [`Event::Rejected`] say so.
    pub fn join(&self, room: &RoomName, from: From) -> Result<bool, SessionError> {
        self.shared.join(room, from)
    }

    /// Leaves a room. It takes no more lines; those that the server has not acknowledged are stored first. Returns how many
    /// these are. [`Event::Left`] says when it is left. Fails if the room is not joined.
    pub fn leave(&self, room: &RoomName) -> Result<usize, SessionError> {
        self.shared.leave(room)
    }

    /// Hands a line over. Blocks while as many wait for their acknowledgement as the settings allow. Fails if the room is not
    /// joined.
    pub fn post(&self, room: &RoomName, body: Body, kind: Kind) -> Result<MessageId, SessionError> {
        let id = new_message_id();
        self.post_as(room, id, body, kind)?;
        Ok(id)
    }

    /// The same, with an id that the owner has chosen: unique for this name and room, not beginning with four zero bytes.
    pub fn post_as(&self, room: &RoomName, id: MessageId, body: Body, kind: Kind) -> Result<(), SessionError> {
        self.shared.post(room, Line { id, body, kind })
    }

    /// Says that no more lines come. The session ends once the server has acknowledged all, and every room has caught up
    /// with the history that was asked for.
    pub fn finish(&self) {
        self.shared.finish();
    }

    /// The lines that the server has not acknowledged, with their rooms.
    pub fn pending(&self) -> Vec<(RoomName, Line)> {
        self.shared.lock().outbox.pending()
    }

    /// The bodies that the server has not acknowledged.
    pub fn unacknowledged(&self) -> Vec<String> {
        self.shared.lock().outbox.bodies()
    }

    /// How many lines wait, and how many no longer do.
    pub fn tally(&self) -> Tally {
        self.shared.lock().outbox.tally()
    }

    /// Ends the session at once. Lines that were not acknowledged may or may not be stored.
    pub fn stop(&self) {
        self.shared.end(Ok(()));
    }
}

/// A new id for a message: a UUID of version 7, whose order in time keeps the server's index small.
pub fn new_message_id() -> MessageId {
    MessageId::from_bytes(*Uuid::now_v7().as_bytes())
}

/// What a message about a failed session ends with: how many lines nobody has acknowledged, if any.
fn unacknowledged(count: u64) -> String {
    match count {
        0 => String::new(),
        count => format!("; perhaps not stored: the last {} you sent", outbox::lines(count)),
    }
}

/// The send thread. Ends with the session.
fn send_requests(shared: &Shared) {
    let mut buffer = Vec::new();
    while let Some((mut sender, request)) = shared.next_request(&mut buffer) {
        // It waits for the request before, so that while one is on its way, the next one gathers.
        // A failure shows at the receiver as well, with its reason.
        let success = sender.send_on(request).is_ok();
        shared.give_back(sender, success);
    }
}
