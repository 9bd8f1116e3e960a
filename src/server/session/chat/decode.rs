//! Decodes the requests of clients into commands.

use std::ops::Range;

use protobuf::{CodedInputStream, UnknownFields};

use super::command::{Command, Commands, Refusal};
use super::start::StartAt;
use crate::limits::{COMMANDS_MAX, NAME_CHARS_MAX, ROOMS_PER_STREAM_MAX};
use crate::names::{Epoch, InvalidText, RoomName, Seq, UserName};
use crate::server::auth::credentials::Bearer;
use crate::server::delivery::close::CloseReason;
use crate::wire::answer::{Failed, RejectionCode};
use crate::wire::request::CheckedPost;
use crate::wire::{self, v1};

/// The commands of a request, which are decoded one at a time: decoded, a request of many short posts takes several times
/// its memory, for as long as it waits for the log.
struct Encoded {
    request: Vec<u8>,
    at: usize,
}

/// The bytes of a request are not a message of the contract.
pub fn undecodable(fault: impl ToString) -> CloseReason {
    CloseReason::Undecodable(fault.to_string())
}

/// Checks how many commands a `ChatRequest` has, and returns them.
pub fn commands(request: Vec<u8>) -> Result<Commands, CloseReason> {
    let (mut count, mut at) = (0, 0);
    while let Some(command) = field(&request, &mut at).map_err(undecodable)? {
        count += usize::from(command.is_some());
    }
    if count > COMMANDS_MAX {
        return Err(CloseReason::TooManyCommands(count));
    }
    Ok(Box::new(Encoded { request, at: 0 }))
}

/// The commands of a `FollowRequest`: its hello, and a join for each of its rooms.
pub fn follow(request: v1::FollowRequest) -> Result<Commands, CloseReason> {
    if !(1..=ROOMS_PER_STREAM_MAX).contains(&request.rooms.len()) {
        return Err(CloseReason::RoomsToFollow(request.rooms.len()));
    }
    let hello = request.hello.into_option().map_or(Ok(Command::Listen), hello)?;
    Ok(Box::new(std::iter::once(hello).chain(request.rooms.into_iter().map(join)).map(Ok)))
}

impl Iterator for Encoded {
    type Item = Result<Command, CloseReason>;

    fn next(&mut self) -> Option<Self::Item> {
        // Invariant: the fields of the request were read before.
        while let Ok(Some(field)) = field(&self.request, &mut self.at) {
            let Some(bytes) = field else { continue };
            return Some(wire::parse(&self.request[bytes]).map_err(undecodable).and_then(command));
        }
        None
    }
}

/// `ChatRequest.commands`: field 1, length-delimited.
const COMMANDS: u32 = 0x0a;

/// Reads the next field of a request: where its command is, or `None` for another field. `None` at the end.
fn field(request: &[u8], at: &mut usize) -> protobuf::Result<Option<Option<Range<usize>>>> {
    let mut input = CodedInputStream::from_bytes(&request[*at..]);
    let Some(tag) = input.read_raw_tag_or_eof()? else { return Ok(None) };
    let command = if tag == COMMANDS {
        let length = input.read_raw_varint32()?;
        let start = *at + input.pos() as usize;
        input.skip_raw_bytes(length)?;
        Some(start..start + length as usize)
    } else {
        protobuf::rt::read_unknown_or_skip_group(tag, &mut input, &mut UnknownFields::new())?;
        None
    };
    *at += input.pos() as usize;
    Ok(Some(command))
}

/// An invalid command is rejected; only an invalid `Hello` ends the stream.
fn command(command: v1::Command) -> Result<Command, CloseReason> {
    use v1::command::Command as Wire;
    Ok(match command.command {
        Some(Wire::Hello(hello)) => self::hello(hello)?,
        Some(Wire::Join(join)) => self::join(join),
        Some(Wire::Leave(leave)) => Command::Leave { room: echo(leave.room) },
        Some(Wire::Post(post)) => self::post(post),
        Some(Wire::Renew(renew)) => Command::Renew { token: Bearer::new(renew.token) },
        None => {
            let reason = "the command is unknown: this server is older than your client".to_owned();
            Command::Refused(Refusal { command: Failed::Unknown, code: RejectionCode::Unknown, reason })
        }
    })
}

fn hello(hello: v1::Hello) -> Result<Command, CloseReason> {
    Ok(Command::Hello {
        name: if hello.name.is_empty() { None } else { Some(UserName::new(hello.name)?) },
        client_version: hello.client_version.chars().take(NAME_CHARS_MAX).collect(),
    })
}

fn join(join: v1::Join) -> Command {
    let from = match join.from {
        None => StartAt::Head,
        Some(v1::join::From::Last(count)) => StartAt::Last(count),
        Some(v1::join::From::After(place)) => StartAt::After { seq: Seq(place.seq), epoch: Epoch::new(place.epoch) },
    };
    match RoomName::new(&join.room) {
        Ok(room) => Command::Join { room, from },
        Err(fault) => invalid(Failed::Room(echo(join.room)), &fault),
    }
}

fn post(post: v1::Post) -> Command {
    let v1::Post { room, message_id, body, kind, reply_to_seq, mentions, .. } = post;
    match CheckedPost::new(&message_id, body, kind, reply_to_seq, mentions) {
        Ok(post) => Command::Post { room: echo(room), post },
        Err(fault) => invalid(Failed::Post(message_id.into_iter().take(16).collect()), &fault),
    }
}

fn invalid(command: Failed, fault: &InvalidText) -> Command {
    Command::Refused(Refusal { command, code: RejectionCode::Invalid, reason: fault.to_string() })
}

/// The requested name of a room, truncated to the maximum length: it is part of answers, of which many may be queued.
fn echo(room: String) -> String {
    if room.chars().count() <= NAME_CHARS_MAX { room } else { room.chars().take(NAME_CHARS_MAX).collect() }
}
