//! The two channels of the full-screen client: everything that the model learns, and everything that it asks for.
//!
//! The model is on one thread and knows no terminal, no connection and no disk. Each other thread passes what happened
//! as an [`Incoming`] through one bounded channel; the model answers with [`Outgoing`] through another. So the screen
//! knows the network only through one channel each way, and a test can be the network.
//!
//! Rules:
//! 1. A sender of [`Incoming`] MAY block while the channel is full: the terminal's input waits, and so does the stream
//!    of the server, which slows down by flow control.
//! 2. The model MUST NOT block on [`Outgoing`]: it counts what is under way, and refuses more with a notice.
//! 3. An event is never dropped. Only frames are: the painter draws the newest one.

use std::sync::Arc;
use std::time::Duration;

use crossterm::event::{KeyEvent, MouseEvent};
use serde::{Deserialize, Serialize};

use crate::client::{
    Gap, HistoryPage, Line, LoggedChange, Member, PagePlace, RoomInfo, SearchPage, SearchQuery, StartAt, StoredMessage,
};
use crate::names::{Body, Emoji, Epoch, Mentions, MessageId, RoomName, Topic};

/// How many [`Incoming`] may wait for the model. A batch of network events counts as one.
pub const INCOMING_MAX: usize = 256;

/// How many network events are passed at once.
pub const EVENTS_MAX: usize = 256;

/// What the model learns.
#[derive(Debug)]
pub enum Incoming {
    /// A key was pressed.
    Key(KeyEvent),
    /// A text was pasted, with the line breaks that it came with.
    Paste(String),
    Mouse(MouseEvent),
    /// The terminal's window has the keyboard, or has lost it.
    Focus(bool),
    /// The terminal has this size now.
    Resized(Size),
    /// The program was continued after it was stopped: everything must be drawn again.
    Continued,
    /// Another program asked this one to stop, as Ctrl-Z does.
    StopAsked,
    /// Events of the session, in their order.
    Events(Vec<NetEvent>),
    /// The answer to a [`Call`], with its number.
    Answer(u64, Answer),
    /// What could not be done, such as keeping text on the disk, and why.
    Fault(String),
    /// The text that came back from `$EDITOR`, or why it did not.
    Edited(Result<String, String>),
    /// The program must end: a signal, or the terminal is gone.
    End(End),
}

/// The size of the terminal, in cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    pub columns: u16,
    pub rows: u16,
}

/// Why the program must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Signal(i32),
    /// The terminal is gone.
    HungUp,
}

/// An event of the session, as [`crate::client::Event`], which it owns.
#[derive(Debug)]
pub enum NetEvent {
    /// There is no connection yet, or none any more, for this reason. The next attempt is made after the pause.
    Retrying {
        reason: String,
        pause: Duration,
    },
    /// The connection is lost.
    Disconnected {
        reason: String,
    },
    /// There is a connection again; or (`fresh`) there is a new session, which has joined no room and has no lines.
    Connected {
        fresh: bool,
    },
    /// A room is joined, for the first time or again; or (`again`) its topic and pins are reported once more.
    Joined {
        room: RoomName,
        state: JoinedState,
        again: bool,
    },
    Message {
        room: RoomName,
        message: Box<StoredMessage>,
        own: bool,
    },
    Changed {
        room: RoomName,
        seq: u64,
        time_ms: u64,
        change: Box<LoggedChange>,
    },
    /// An event of the log of an unknown kind: its seq counts as seen.
    Unknown {
        room: RoomName,
        seq: u64,
    },
    CaughtUp {
        room: RoomName,
        head_seq: u64,
    },
    Left {
        room: RoomName,
    },
    NotJoined {
        room: RoomName,
        reason: String,
    },
    Gap {
        room: RoomName,
        gap: Gap,
    },
    Presence {
        room: RoomName,
        name: String,
        authenticated: bool,
        client_id: u64,
        joined: bool,
    },
    /// A line of this client is stored.
    Stored {
        room: RoomName,
        id: MessageId,
        seq: u64,
    },
    /// A line of this client will never be stored.
    Rejected {
        line: Box<Line>,
        reason: String,
    },
    /// The server can't store a line at the moment; it is posted again after the pause.
    Held {
        reason: String,
        pause: Duration,
    },
    /// The time from a post to its acknowledgement.
    RoundTrip(Duration),
    /// The session has ended, or could not start: with a reason if it failed. There is another one only after
    /// [`Outgoing::Reconnect`].
    Ended(Option<String>),
}

/// A room at its join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinedState {
    /// The time of the server's clock.
    pub time_ms: u64,
    pub epoch: Epoch,
    pub head_seq: u64,
    pub oldest_seq: u64,
    pub members: u32,
    pub topic: String,
    pub pinned_seqs: Vec<u64>,
}

/// What the model asks for.
#[derive(Debug)]
pub enum Outgoing {
    Join {
        room: RoomName,
        from: StartAt,
    },
    /// Leaves a room once its lines are stored.
    Leave {
        room: RoomName,
    },
    Post {
        room: RoomName,
        line: Line,
    },
    /// A unary call. Calls are made one after the other, in their order.
    Call(u64, Call),
    /// Keep this on the disk. Only the newest one counts.
    Keep(Arc<Kept>),
    /// Connect at once, instead of after the pause.
    Reconnect,
    /// Have a text edited by `$EDITOR`.
    Edit(String),
    /// Stop this program, as Ctrl-Z does.
    Suspend,
    /// Draw everything again: another program has written to the terminal.
    Redraw,
    /// Open this link in a browser.
    Browse(String),
    /// Have the terminal report the mouse, or not.
    Mouse(bool),
    /// End the program with this exit code, once what is kept is on the disk.
    Quit(i32),
}

/// A unary call. The caller's own name is added where the contract has it.
#[derive(Clone, Debug)]
pub enum Call {
    History { room: RoomName, place: PagePlace, max: u32 },
    Members { room: RoomName },
    Rooms,
    Search { query: SearchQuery, max: u32, page_token: String },
    Edit { room: RoomName, seq: u64, epoch: Option<Epoch>, body: Body, mentions: Mentions, seen: Option<u64> },
    Delete { room: RoomName, seq: u64, epoch: Option<Epoch> },
    React { room: RoomName, seq: u64, epoch: Option<Epoch>, emoji: Emoji, removed: bool },
    Pin { room: RoomName, seq: u64, epoch: Option<Epoch>, removed: bool },
    SetTopic { room: RoomName, topic: Topic },
}

impl Call {
    /// The answer to a call that failed for this reason.
    pub fn failed(&self, reason: String) -> Answer {
        match self {
            Self::History { .. } => Answer::History(Err(reason)),
            Self::Members { .. } => Answer::Members(Err(reason)),
            Self::Rooms => Answer::Rooms(Err(reason)),
            Self::Search { .. } => Answer::Search(Err(reason)),
            Self::Edit { .. } | Self::Delete { .. } | Self::React { .. } | Self::Pin { .. } | Self::SetTopic { .. } => {
                Answer::Changed(Err(reason))
            }
        }
    }
}

/// The answer to a call; a reason is for the user.
#[derive(Debug)]
pub enum Answer {
    History(Result<HistoryPage, String>),
    Members(Result<Vec<Member>, String>),
    Rooms(Result<Vec<RoomInfo>, String>),
    Search(Result<SearchPage, String>),
    /// A change was made by the event with that seq, possibly long ago.
    Changed(Result<u64, String>),
}

/// Everything that outlives the client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// The joined rooms, in the order of their numbers.
    pub rooms: Vec<KeptRoom>,
    /// The name of the room that is shown.
    pub current: Option<RoomName>,
    /// Lines that are not known to be stored, in their order.
    pub unsent: Vec<KeptLine>,
    /// Drafts. Several of a room are one when they are restored.
    pub drafts: Vec<(RoomName, String)>,
    pub look: Look,
    /// There was a connection to the server.
    pub has_connected: bool,
    /// The lines that were entered, the oldest first.
    pub history: Arc<Vec<EnteredLine>>,
}

/// What the screen shows, as the user has set it with keys and commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Look {
    /// The lists of rooms and of people.
    pub rooms: bool,
    pub people: bool,
    /// The numbers of messages.
    pub numbers: bool,
}

impl Default for Look {
    fn default() -> Self {
        Self { rooms: true, people: true, numbers: false }
    }
}

/// A line that was entered: text, or a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnteredLine {
    /// The room that was shown.
    pub room: Option<RoomName>,
    /// When, in milliseconds since 1970.
    pub time_ms: u64,
    pub text: String,
}

/// How far a room was read, and whether it is muted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptRoom {
    pub name: RoomName,
    /// The last event that was read, and the epoch in which it has that seq.
    pub read: Option<(u64, Epoch)>,
    /// The user muted it while chatting, not in the config.
    pub is_muted: bool,
}

/// A line that is not known to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptLine {
    pub room: RoomName,
    pub line: Line,
    /// When it was entered, or kept first, in milliseconds since 1970, by this machine's clock.
    pub since_ms: u64,
}
