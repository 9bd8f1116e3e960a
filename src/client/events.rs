//! What a session is asked for, and what it reports.

use std::io;
use std::time::Duration;

use humantime::format_duration;
use thiserror::Error;

use super::connect_error::ConnectError;
use super::outbox::{self, Line};
use super::place::{Gap, StartAt};
use super::stream::StreamError;
use crate::names::{Epoch, Kind, MessageId, RoomName, UserName};

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
    pub rooms: Vec<(RoomName, StartAt)>,
    pub policy: Policy,
    /// How long the first connection may be tried for; by default the first attempt decides.
    pub connect_within: Duration,
    /// How long there may be no connection before the session fails; `None` is for ever.
    pub outage_max: Option<Duration>,
    /// How long it may take until something is acknowledged when all has been said.
    pub finish_timeout: Duration,
    /// How many lines may wait for their acknowledgement, and how many bytes they may have: then [`Inlet::post`](super::Inlet::post) blocks.
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
    /// A room is left, as [`Inlet::leave`](super::Inlet::leave) asked: nothing more of it comes, unless it was joined again, and then comes anew. A room
    /// that was left before there was a connection to join it is told too.
    Left { room: &'a RoomName },
    /// The server refuses to join a room that [`Inlet::join`](super::Inlet::join) asked for. Lines for it are told as rejected before.
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
    #[error("can't start a thread ({0}): raise the process limit, see ulimit -u")]
    Thread(#[from] io::Error),
}

impl Settings {
    /// For one room, and otherwise by default.
    pub fn new(name: UserName, room: RoomName, from: StartAt) -> Self {
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

/// What a message about a failed session ends with: how many lines nobody has acknowledged, if any.
fn unacknowledged(count: u64) -> String {
    match count {
        0 => String::new(),
        count => format!("; perhaps not stored: the last {} you sent", outbox::lines(count)),
    }
}
