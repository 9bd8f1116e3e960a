//! `SearchMessages`: finds messages by their words.
//!
//! The index returns candidates. Each result is read from the log and checked again, since the index may lag, and two
//! senders may share a term.

use std::collections::HashSet;
use std::sync::Arc;

use protobuf::Message as _;

use super::caller::Caller;
use super::error::{CallError, CallResult};
use super::paging::page_size;
use crate::limits::{
    READ_BYTES_MAX, SEARCH_ENTRIES_MAX, SEARCH_PAGE_SIZE, SEARCH_PAGE_SIZE_MAX, SEARCH_READS_MAX, SEARCH_ROOM_TERMS_MAX,
};
use crate::names::{RoomId, RoomName, UserName};
use crate::server::auth::access::Act;
use crate::server::hub::Hub;
use crate::server::log::{Log, Page, Segment};
use crate::server::search::{Hit, Lookup, Query, Search, Wanted};
use crate::wire::event::Entry;
use crate::wire::v1;

/// Finds messages in the rooms that the caller may read, newest first. A page may have fewer than requested, or none,
/// and still be followed by another.
pub fn search_messages(
    hub: &Hub,
    caller: &Caller,
    request: v1::SearchMessagesRequest,
) -> CallResult<v1::SearchMessagesResponse> {
    let search = hub.search.as_ref().ok_or(CallError::NoSearch)?;
    let size = page_size(request.page_size, SEARCH_PAGE_SIZE, SEARCH_PAGE_SIZE_MAX)?;
    let query = Query::parse(&request.query)?;
    let sender = if request.sender.is_empty() { None } else { Some(UserName::new(&request.sender)?) };
    let room = if request.room.is_empty() { None } else { Some(RoomName::new(&request.room)?) };
    match &room {
        Some(room) => caller.principal.may(Act::Read(room))?,
        None => caller.principal.may(Act::ListRooms)?,
    }
    let lookup = search.lookup()?;
    let may_read = |name: &RoomName| caller.principal.may(Act::Read(name)).is_ok();
    let is_wanted = |name: &RoomName| room.as_ref().is_none_or(|room| room == name) && may_read(name);
    // Before the search: events that are indexed meanwhile are counted as missing rather than overlooked.
    let behind_count = search.behind(is_wanted);
    let rooms = rooms(search, caller, room)?;
    let before = match request.page_token.as_str() {
        "" => None,
        token => Some(lookup.id(token).ok_or(CallError::SearchPageToken)?),
    };
    let (after_ms, before_ms) = (request.after_ms, request.before_ms);
    let mut page = Finder {
        log: &*hub.log,
        search,
        query: &query,
        sender: sender.as_ref().map(UserName::as_str),
        after_ms,
        before_ms,
        segments: Vec::new(),
        found: Vec::new(),
        bytes: 0,
    };
    let next = page.fill(&lookup, rooms.as_deref(), before, size)?;
    Ok(v1::SearchMessagesResponse {
        found: page.found,
        next_page_token: next.map_or(String::new(), |id| lookup.token(id)),
        behind_count,
        ..Default::default()
    })
}

/// The only rooms to search in; `None` for all.
fn rooms(search: &Search, caller: &Caller, room: Option<RoomName>) -> CallResult<Option<Vec<RoomId>>> {
    Ok(match (room, &caller.principal.grants.rooms) {
        (Some(room), _) => match search.room_id(&room) {
            Some(id) => Some(vec![id]),
            None => return Err(CallError::NoRoom(room)),
        },
        (None, Some(granted)) => Some(granted.iter().filter_map(|name| search.room_id(name)).collect()),
        (None, None) => None,
    })
}

/// Fills a page.
struct Finder<'a> {
    log: &'a dyn Log,
    search: &'a Search,
    query: &'a Query,
    sender: Option<&'a str>,
    after_ms: u64,
    before_ms: u64,
    /// The segments that were read: several hits may be in one.
    segments: Vec<Arc<Segment>>,
    found: Vec<v1::Found>,
    bytes: usize,
}

impl Finder<'_> {
    /// Returns the id of the entry before which the next page begins, if there may be more.
    fn fill(
        &mut self,
        lookup: &Lookup<'_>,
        rooms: Option<&[RoomId]>,
        mut before: Option<i64>,
        size: usize,
    ) -> CallResult<Option<i64>> {
        if rooms.is_some_and(<[RoomId]>::is_empty) {
            return Ok(None);
        }
        let as_terms = rooms.filter(|rooms| rooms.len() <= SEARCH_ROOM_TERMS_MAX);
        let only: Option<HashSet<RoomId>> =
            rooms.filter(|_| as_terms.is_none()).map(|rooms| rooms.iter().copied().collect());
        let Self { query, sender, after_ms, before_ms, .. } = *self;
        let wanted = Wanted { query, rooms: as_terms, sender, after_ms, before_ms };
        let (mut looked_at, mut reads) = (0, 0);
        loop {
            // Most hits are shown, unless rooms are skipped.
            let max = if only.is_some() { SEARCH_READS_MAX } else { size + 1 };
            let hits = lookup.find(&wanted, before, max)?;
            for hit in &hits {
                if self.found.len() == size || self.bytes >= READ_BYTES_MAX || reads == SEARCH_READS_MAX {
                    return Ok(before);
                }
                looked_at += 1;
                before = Some(hit.id);
                if only.as_ref().is_none_or(|only| only.contains(&hit.room)) {
                    reads += 1;
                    self.show(hit)?;
                }
            }
            if hits.len() < max {
                return Ok(None);
            }
            if looked_at >= SEARCH_ENTRIES_MAX {
                return Ok(before);
            }
        }
    }

    /// Adds the message, if it still matches.
    fn show(&mut self, hit: &Hit) -> CallResult<()> {
        let Some((room, epoch)) = self.search.room(hit.room) else { return Ok(()) };
        let Some(segment) = self.read(hit)? else { return Ok(()) };
        let Some(entry) = segment.entries().find(|entry| entry.seq == hit.seq) else { return Ok(()) };
        if !self.matches(&entry) {
            return Ok(());
        }
        let bytes = &segment.frame().as_slice()[segment.offset(hit.seq)..segment.offset(hit.seq.next())];
        // An entry is a response with one event.
        let event =
            v1::ChatResponse::parse_from_bytes(bytes).ok().and_then(|response| response.events.into_iter().next());
        self.bytes += bytes.len();
        self.found.push(v1::Found {
            room: room.as_str().to_owned(),
            epoch: epoch.get(),
            event: event.into(),
            ..Default::default()
        });
        Ok(())
    }

    fn matches(&self, entry: &Entry<'_>) -> bool {
        let is_in_time = entry.time_ms >= self.after_ms && (self.before_ms == 0 || entry.time_ms < self.before_ms);
        is_in_time
            && entry.message().is_some_and(|message| {
                !message.is_deleted
                    && self.sender.is_none_or(|sender| sender == message.sender)
                    && self.query.matches(message.body)
            })
    }

    /// The segment with the message; `None` if the log no longer has it.
    fn read(&mut self, hit: &Hit) -> CallResult<Option<Arc<Segment>>> {
        let has = |segment: &&Arc<Segment>| segment.room() == hit.room && segment.holds(hit.seq);
        if let Some(segment) = self.segments.iter().find(has) {
            return Ok(Some(Arc::clone(segment)));
        }
        let Page::Segments(segments) = self.log.read(hit.room, hit.seq, 1)? else { return Ok(None) };
        let segment = segments.into_iter().next();
        self.segments.extend(segment.clone());
        Ok(segment.filter(|segment| has(&segment)))
    }
}
