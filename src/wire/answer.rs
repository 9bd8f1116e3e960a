//! The events of `hubbub.v1` that are not in the log: answers and notifications of the server. Each function returns an
//! entry, to be joined with others (see [`super::event`]).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use protobuf::{EnumOrUnknown, MessageField};

use super::event::control;
use super::v1;
use crate::limits;
use crate::names::{ClientId, Epoch, MessageId, RoomId, RoomName, Sender, Seq};

/// Which command failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failed {
    /// A post, with its id if it had one.
    Post(Vec<u8>),
    /// A join or leave, with the requested name of the room.
    Room(String),
    /// An unknown command.
    Unknown,
}

/// Why a command failed, for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RejectionCode {
    Invalid,
    NotJoined,
    AlreadyJoined,
    TooManyRooms,
    Unavailable,
    Unknown,
    Limited,
    Conflict,
    Denied,
}

/// Why messages are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GapReason {
    Retention,
    EpochChanged,
    Damaged,
}

/// Whether a client joined or left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Joined,
    Left,
}

/// The contents of `Joined`.
pub struct RoomAtJoin<'a> {
    pub id: RoomId,
    pub name: &'a RoomName,
    pub epoch: Epoch,
    pub head: Seq,
    pub oldest: Seq,
    /// The first event that the client reads.
    pub first: Seq,
    pub member_count: usize,
    pub topic: &'a str,
    /// The messages that are pinned.
    pub pinned: Vec<Seq>,
}

/// The time as encoded in events.
pub fn time_ms(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// The login of a client, as it learns of it.
#[derive(Debug)]
pub struct LoginAtWelcome<'a> {
    /// Empty for a client that has none.
    pub name: &'a str,
    pub authenticated: bool,
    /// The word for its role; empty without a login.
    pub role: &'static str,
    pub ends: Option<SystemTime>,
}

pub fn welcome(client: ClientId, login: &LoginAtWelcome<'_>) -> Vec<u8> {
    let limits = v1::Limits {
        name_chars_max: limits::NAME_CHARS_MAX as u32,
        body_bytes_max: limits::BODY_BYTES_MAX as u32,
        request_bytes_max: limits::RECEIVE_BYTES_MAX as u32,
        commands_max: limits::COMMANDS_MAX as u32,
        rooms_max: limits::ROOMS_PER_STREAM_MAX as u32,
        ..Default::default()
    };
    let welcome = v1::Welcome {
        client_id: client.0,
        server_version: concat!("hubbub-server/", env!("CARGO_PKG_VERSION")).to_owned(),
        limits: MessageField::some(limits),
        name: login.name.to_owned(),
        authenticated: login.authenticated,
        role: login.role.to_owned(),
        login_ends_ms: login.ends.map_or(0, time_ms),
        ..Default::default()
    };
    entry(None, v1::event::Event::Welcome(welcome))
}

pub fn joined(room: &RoomAtJoin<'_>) -> Vec<u8> {
    let joined = v1::Joined {
        room: room.name.as_str().to_owned(),
        epoch: room.epoch.get(),
        head_seq: room.head.0,
        oldest_seq: room.oldest.0,
        first_seq: room.first.0,
        member_count: room.member_count as u32,
        topic: room.topic.to_owned(),
        pinned_seqs: room.pinned.iter().map(|seq| seq.0).collect(),
        ..Default::default()
    };
    entry(Some(room.id), v1::event::Event::Joined(joined))
}

pub fn caught_up(room: RoomId, head: Seq) -> Vec<u8> {
    let caught_up = v1::CaughtUp { head_seq: head.0, ..Default::default() };
    entry(Some(room), v1::event::Event::CaughtUp(caught_up))
}

pub fn gap(room: RoomId, from: Seq, to: Seq, reason: GapReason) -> Vec<u8> {
    let reason = match reason {
        GapReason::Retention => v1::gap::Reason::REASON_RETENTION,
        GapReason::EpochChanged => v1::gap::Reason::REASON_EPOCH_CHANGED,
        GapReason::Damaged => v1::gap::Reason::REASON_DAMAGED,
    };
    let gap = v1::Gap { from_seq: from.0, to_seq: to.0, reason: EnumOrUnknown::new(reason), ..Default::default() };
    entry(Some(room), v1::event::Event::Gap(gap))
}

pub fn presence(room: RoomId, client: ClientId, sender: &Sender, change: Change) -> Vec<u8> {
    let change = match change {
        Change::Joined => v1::presence::Change::CHANGE_JOINED,
        Change::Left => v1::presence::Change::CHANGE_LEFT,
    };
    let presence = v1::Presence {
        client_id: client.0,
        name: sender.name.as_str().to_owned(),
        authenticated: sender.authenticated,
        change: EnumOrUnknown::new(change),
        ..Default::default()
    };
    entry(Some(room), v1::event::Event::Presence(presence))
}

pub fn posted(room: RoomId, id: &MessageId, seq: Seq) -> Vec<u8> {
    let posted = v1::Posted { message_id: id.as_bytes().to_vec(), message_seq: seq.0, ..Default::default() };
    entry(Some(room), v1::event::Event::Posted(posted))
}

pub fn rejected(command: Failed, code: RejectionCode, reason: String, retry_after: Option<Duration>) -> Vec<u8> {
    let command = match command {
        Failed::Post(id) => Some(v1::rejected::Command::MessageId(id)),
        Failed::Room(room) => Some(v1::rejected::Command::Room(room)),
        Failed::Unknown => None,
    };
    let code = match code {
        RejectionCode::Invalid => v1::rejected::Code::CODE_INVALID,
        RejectionCode::NotJoined => v1::rejected::Code::CODE_NOT_JOINED,
        RejectionCode::AlreadyJoined => v1::rejected::Code::CODE_ALREADY_JOINED,
        RejectionCode::TooManyRooms => v1::rejected::Code::CODE_TOO_MANY_ROOMS,
        RejectionCode::Unavailable => v1::rejected::Code::CODE_UNAVAILABLE,
        RejectionCode::Unknown => v1::rejected::Code::CODE_UNKNOWN,
        RejectionCode::Limited => v1::rejected::Code::CODE_LIMITED,
        RejectionCode::Denied => v1::rejected::Code::CODE_DENIED,
        RejectionCode::Conflict => v1::rejected::Code::CODE_CONFLICT,
    };
    let rejected = v1::Rejected {
        command,
        code: EnumOrUnknown::new(code),
        reason,
        retry_after_ms: retry_after.map_or(0, |after| after.as_millis() as u32),
        ..Default::default()
    };
    entry(None, v1::event::Event::Rejected(rejected))
}

pub fn left(room: RoomId, name: &RoomName) -> Vec<u8> {
    entry(Some(room), v1::event::Event::Left(v1::Left { room: name.as_str().to_owned(), ..Default::default() }))
}

pub fn goodbye(reason: String, reconnect_after: Duration) -> Vec<u8> {
    let reconnect_after_ms = reconnect_after.as_millis() as u32;
    entry(None, v1::event::Event::Goodbye(v1::Goodbye { reason, reconnect_after_ms, ..Default::default() }))
}

fn entry(room: Option<RoomId>, event: v1::event::Event) -> Vec<u8> {
    control(&v1::Event {
        room_id: room.map_or(0, |room| room.0),
        time_ms: time_ms(SystemTime::now()),
        event: Some(event),
        ..Default::default()
    })
}
