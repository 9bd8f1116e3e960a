//! `ListMessages`: a room's history, page by page.

use std::borrow::Cow;

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
use crate::wire::event::{self, EntryKind};
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

/// The messages of this part in the pieces: at most `max`, and at most [`READ_BYTES_MAX`] bytes, but at least one. A gap
/// replaces messages that can't be read. Other events are left out.
fn page(room: RoomId, pieces: &[Piece], part: Part, max: u64, keep: Keep) -> Vec<u8> {
    let (from, to) = match part {
        Part::From(from) => (from, Seq(u64::MAX)),
        Part::Before(before) => (Seq::ZERO, Seq(before.0.saturating_sub(1))),
    };
    // Each with the number of its messages.
    let mut entries: Vec<(u64, Cow<'_, [u8]>)> = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Segment(segment) => {
                let (bytes, mut start) = (segment.frame().as_slice(), 0);
                for (entry, end) in event::entries(bytes).map_while(Result::ok) {
                    if entry.kind == EntryKind::MESSAGE && (from..=to).contains(&entry.seq) {
                        entries.push((1, Cow::Borrowed(&bytes[start..end])));
                    }
                    start = end;
                }
            }
            // The whole known range, so that the next page begins with a readable message.
            Piece::Damaged { from: first, to: last } => {
                let (first, last) = (from.max(*first), to.min(*last));
                let gap = answer::gap(room, first, last, GapReason::Damaged);
                entries.push((last.0.saturating_sub(first.0) + 1, Cow::Owned(gap)));
            }
        }
    }
    let (mut messages, mut bytes) = (0, 0);
    let mut fits = |(count, entry): &(u64, Cow<'_, [u8]>)| {
        let fits = bytes == 0 || (messages < max && bytes + entry.len() <= READ_BYTES_MAX);
        (messages, bytes) = (messages + count, bytes + entry.len());
        fits
    };
    let kept = match keep {
        Keep::Oldest => 0..entries.iter().take_while(|entry| fits(entry)).count(),
        Keep::Newest => entries.len() - entries.iter().rev().take_while(|entry| fits(entry)).count()..entries.len(),
    };
    entries[kept].iter().fold(Vec::new(), |mut page, (_, entry)| {
        page.extend_from_slice(entry);
        page
    })
}
