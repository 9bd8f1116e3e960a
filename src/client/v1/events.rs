//! The settings of a session, and its events.

use std::time::Duration;

use super::change::LoggedChange;
use super::line::Line;
use super::place::{Gap, StartAt};
use super::stored::{Extras, StoredMessage};
use crate::client::connect_error::ConnectError;
use crate::client::limits::{BYTES_MAX, LINES_MAX};
use crate::client::patience::Patience;
use crate::names::{Epoch, Kind, MessageId, RoomName, UserName};

/// The settings of a session.
#[derive(Clone, Debug)]
pub struct Settings {
    pub name: UserName,
    /// The rooms to join first, each once, and where to start in each. If the server refuses one of them, the session
    /// fails.
    pub rooms: Vec<(RoomName, StartAt)>,
    pub patience: Patience,
    /// The maximum of unacknowledged lines, and of their bytes; above it, `Inlet::post` blocks.
    pub lines_max: usize,
    pub bytes_max: usize,
}

/// The events of a session, in order.
#[derive(Debug)]
pub enum Event<'a> {
    /// A room is joined, for the first time or again.
    Joined(RoomJoined<'a>),
    /// The server reported the topic and the pins of a room again, because events that changed them are missing.
    State(RoomJoined<'a>),
    /// A message was posted, possibly by this session, for which this is the acknowledgement.
    Message(Message<'a>),
    /// A message or the room was changed. A message that arrived before may include it already: see
    /// [`Timeline`](super::Timeline), which keeps messages as they are now.
    Changed { room: &'a RoomName, seq: u64, time_ms: u64, change: &'a LoggedChange },
    /// An event of the log of an unknown kind: its seq counts as seen.
    Unknown { room: &'a RoomName, seq: u64, time_ms: u64 },
    /// The requested or missed history ends here.
    CaughtUp { room: &'a RoomName, head_seq: u64 },
    /// A room is left, after `Inlet::leave`: no more of its events follow, unless it was joined
    /// again. Also reported for a room that was left before there was a connection to join it.
    Left { room: &'a RoomName },
    /// The server refuses a room that `Inlet::join` requested. Lines for it are reported as
    /// rejected before.
    NotJoined { room: &'a RoomName, reason: &'a str },
    /// Messages of the room are missing here, or were replaced.
    Gap { room: &'a RoomName, gap: Gap },
    /// Another client joined the room, or left it.
    Presence { room: &'a RoomName, name: &'a str, authenticated: bool, client_id: u64, joined: bool },
    /// A line of this session is stored. Its message has arrived, or will arrive.
    Stored { room: &'a RoomName, id: MessageId, seq: u64 },
    /// A line will never be stored.
    Rejected { line: Line, reason: &'a str },
    /// The server can't store a line at the moment. It is kept, and posted again after the pause.
    Held { reason: &'a str, pause: Duration },
    /// No more events are available at the moment: collected output can be shown.
    Pause,
    /// The connection is lost, or was closed because the server violated the contract (`fault`); the unacknowledged
    /// lines will be posted again.
    Disconnected { reason: String, fault: bool, kept: usize },
    /// The first connection failed, and is retried for this time in all.
    Waiting { error: &'a ConnectError, within: Duration },
    /// There is no connection, for this reason; the next attempt is made after the pause.
    Retrying { reason: &'a str, pause: Duration },
    /// There is a connection again; the rooms are being resumed.
    Reconnected,
}

/// A room at its join, or when the server reports it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoomJoined<'a> {
    pub room: &'a RoomName,
    /// The time of the server's clock.
    pub time_ms: u64,
    pub epoch: Epoch,
    pub head_seq: u64,
    pub oldest_seq: u64,
    pub members: u32,
    /// The topic at `head_seq`; empty for none.
    pub topic: &'a str,
    /// The messages that are pinned at `head_seq`, the last one pinned last.
    pub pinned_seqs: &'a [u64],
}

/// A message of a room. Its texts are not checked: they must be escaped before they are shown on a terminal.
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
    /// The client that posted it, if known: two clients with one name have different numbers, and so has one that
    /// reconnected.
    pub client_id: Option<u64>,
    /// Whether the sender had logged in. Otherwise the name is a claim.
    pub authenticated: bool,
    pub extras: &'a Extras,
    /// This session posted it.
    pub own: bool,
}

impl Message<'_> {
    pub fn to_stored(&self) -> StoredMessage {
        StoredMessage {
            seq: self.seq,
            time_ms: self.time_ms,
            id: self.id,
            sender: self.sender.to_owned(),
            body: self.body.to_owned(),
            kind: self.kind,
            client_id: self.client_id,
            authenticated: self.authenticated,
            extras: self.extras.clone(),
        }
    }
}

impl Settings {
    /// For one room, with default values otherwise.
    pub fn new(name: UserName, room: RoomName, from: StartAt) -> Self {
        Self {
            name,
            rooms: vec![(room, from)],
            patience: Patience::default(),
            lines_max: LINES_MAX,
            bytes_max: BYTES_MAX,
        }
    }
}
