//! `ListMessages`: a room's history, page by page.

use protobuf::Message as _;

use super::caller::Caller;
use super::error::{CallError, CallResult};
use super::paging::page_size;
use crate::limits::{MESSAGES_PAGE_SIZE, PAGE_SIZE_MAX, READ_BYTES_MAX};
use crate::names::{RoomId, RoomName, Seq};
use crate::server::auth::access::Act;
use crate::server::hub::Hub;
use crate::server::log::{History, Part, Piece};
use crate::wire::answer::{self, GapReason};
use crate::wire::event;
use crate::wire::{Frame, v1};

/// Reads a page of a room's history, from the oldest or the newest end. The response is already encoded: its entries
/// are copied from the log.
pub fn list_messages(hub: &Hub, caller: &Caller, request: v1::ListMessagesRequest) -> CallResult<Frame> {
    use v1::list_messages_request::Place;
    let max = page_size(request.page_size, MESSAGES_PAGE_SIZE, PAGE_SIZE_MAX)? as u64;
    let name = RoomName::new(&request.room)?;
    caller.principal.may(Act::Read(&name))?;
    let (part, keep) = match request.place {
        Some(Place::AfterSeq(seq)) => (Part::From(Seq(seq.saturating_add(1))), Keep::Oldest),
        Some(Place::BeforeSeq(seq)) => (Part::Before(Seq(seq)), Keep::Newest),
        _ => (Part::Before(Seq(u64::MAX)), Keep::Newest),
    };
    // The room and the messages are read from one state, so that a page is empty only if there are no more messages,
    // even if retention deletes some meanwhile.
    let found = hub.log.history(&name, part, max, READ_BYTES_MAX)?;
    let Some(History { room, pieces }) = found else { return Err(CallError::NoRoom(name)) };
    let entries = page(room.id, &pieces, part, max, keep);
    let rest = v1::ListMessagesResponse {
        epoch: room.epoch.get(),
        head_seq: room.head.0,
        oldest_seq: room.oldest.0,
        ..Default::default()
    };
    // The entries are the first field, as stored in the log, and the other fields follow.
    let mut response = entries;
    // Invariant: writing into a vector can't fail.
    rest.write_to_vec(&mut response).expect("encoding into memory succeeds");
    response.shrink_to_fit();
    Ok(Frame::new(response))
}

/// Which messages a page keeps if not all fit.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keep {
    Oldest,
    Newest,
}

/// The entries of this part in the pieces: at most `max` messages, and at most [`READ_BYTES_MAX`] bytes. A gap replaces
/// messages that can't be read.
fn page(room: RoomId, pieces: &[Piece], part: Part, max: u64, keep: Keep) -> Vec<u8> {
    let (Some(first), Some(last)) = (pieces.first(), pieces.last()) else { return Vec::new() };
    let (from, to) = match part {
        Part::From(from) => {
            let from = from.max(first.first());
            (from, Seq(from.0.saturating_add(max - 1)).min(last.last()))
        }
        Part::Before(before) => {
            let to = Seq(before.0.saturating_sub(1)).min(last.last());
            (Seq((to.0 + 1).saturating_sub(max)).max(first.first()), to)
        }
    };
    // The entries of each piece, so that they can be cut.
    let mut entries: Vec<Vec<u8>> = Vec::new();
    for piece in pieces {
        let (start, end) = (piece.first().max(from), piece.last().min(to));
        match piece {
            _ if start > end => {}
            Piece::Segment(segment) => {
                entries.push(segment.frame().as_slice()[segment.offset(start)..segment.offset(end.next())].to_vec());
            }
            // The whole known range, so that the next page begins with a readable message.
            Piece::Damaged { from, to } => entries.push(match part {
                Part::From(asked) => answer::gap(room, asked.max(*from), *to, GapReason::Damaged),
                Part::Before(asked) => {
                    answer::gap(room, *from, Seq(asked.0.saturating_sub(1)).min(*to), GapReason::Damaged)
                }
            }),
        }
    }
    cut(entries, keep)
}

/// Joins entries, and cuts them down to [`READ_BYTES_MAX`] bytes, but to at least one entry.
fn cut(pieces: Vec<Vec<u8>>, keep: Keep) -> Vec<u8> {
    let mut ends: Vec<usize> = Vec::new();
    let mut entries: Vec<u8> = Vec::new();
    for piece in pieces {
        let begin = entries.len();
        let whole = event::entries(&piece).map_while(Result::ok).map(|(_, end)| begin + end);
        ends.extend(whole);
        entries.extend_from_slice(&piece);
        // A gap is not an event of the log, and is one entry.
        if ends.last().is_none_or(|end| *end <= begin) {
            ends.push(entries.len());
        }
    }
    let len = entries.len();
    if len <= READ_BYTES_MAX {
        return entries;
    }
    match keep {
        Keep::Oldest => {
            let end = ends.iter().take_while(|end| **end <= READ_BYTES_MAX).last().or(ends.first());
            entries.truncate(end.copied().unwrap_or(len));
        }
        Keep::Newest => {
            // From the first position from which the rest fits; the last entry begins at the last end but one.
            let last = ends.iter().rev().nth(1).copied().unwrap_or(0);
            let start = ends.iter().copied().find(|end| len - end <= READ_BYTES_MAX).unwrap_or(last).min(last);
            entries.drain(..start);
        }
    }
    entries
}
