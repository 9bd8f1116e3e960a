//! `ListRooms` and `ListMembers`: the rooms, and their members.

use unicode_normalization::char::is_combining_mark;

use super::caller::Caller;
use super::error::{CallError, CallResult};
use super::paging::page_size;
use crate::limits::{PAGE_SIZE, PAGE_SIZE_MAX, READ_BYTES_MAX};
use crate::names::{ClientId, RoomName};
use crate::server::auth::access::Act;
use crate::server::hub::Hub;
use crate::server::log::RoomState;
use crate::server::room::followers::Member;
use crate::wire::v1;

/// Lists the rooms that have messages and that the caller may read, by name. A page may have fewer than there are.
pub fn list_rooms(hub: &Hub, caller: &Caller, request: v1::ListRoomsRequest) -> CallResult<v1::ListRoomsResponse> {
    caller.principal.may(Act::ListRooms)?;
    let max = page_size(request.page_size, PAGE_SIZE, PAGE_SIZE_MAX)?;
    let after = match request.page_token.as_str() {
        "" => None,
        token if token.chars().any(|c| !c.is_alphanumeric() && !"-_.".contains(c) && !is_combining_mark(c)) => {
            return Err(CallError::PageToken);
        }
        // A room's name as stored in the log; an earlier version may have stored it in another form.
        token => Some(RoomName::stored(token)),
    };
    // One more than requested shows whether there is another page.
    let mut states = hub.log.rooms(after.as_ref(), max + 1)?;
    let max = fitting(&states, max, |state| state.name.as_str().len() + state.profile.topic.as_str().len());
    let more = states.len() > max;
    states.truncate(max);
    let next_page_token = states.last().filter(|_| more).map_or(String::new(), |last| last.name.as_str().to_owned());
    let may_read = |state: &RoomState| caller.principal.may(Act::Read(&state.name)).is_ok();
    let rooms = states.into_iter().filter(may_read).map(|state| room(hub, state)).collect();
    Ok(v1::ListRoomsResponse { rooms, next_page_token, ..Default::default() })
}

fn room(hub: &Hub, state: RoomState) -> v1::Room {
    v1::Room {
        member_count: hub.rooms.follower_count(&state.name) as u32,
        name: state.name.as_str().to_owned(),
        room_id: state.id.0,
        epoch: state.epoch.get(),
        head_seq: state.head.0,
        oldest_seq: state.oldest.0,
        topic: state.profile.topic.as_str().to_owned(),
        ..Default::default()
    }
}

/// How many items a response has space for, at most `max` and at least one, with names of the given length.
fn fitting<T>(items: &[T], max: usize, name_bytes: impl Fn(&T) -> usize) -> usize {
    let mut bytes = 0;
    let fits = |item: &&T| {
        bytes += name_bytes(item) + ITEM_BYTES_MAX;
        bytes <= READ_BYTES_MAX
    };
    items.iter().take(max).take_while(fits).count().max(1)
}

/// The encoded bytes of an item besides its texts, at most: `Room` with four 64-bit numbers, one of 32 bits, and the
/// lengths of two texts and its own, with their tags.
const ITEM_BYTES_MAX: usize = 4 * (1 + 10) + (1 + 5) + 3 * (1 + 3);

/// Lists the members of a room, by client id.
pub fn list_members(
    hub: &Hub,
    caller: &Caller,
    request: v1::ListMembersRequest,
) -> CallResult<v1::ListMembersResponse> {
    let max = page_size(request.page_size, PAGE_SIZE, PAGE_SIZE_MAX)?;
    let name = RoomName::new(&request.room)?;
    caller.principal.may(Act::Read(&name))?;
    let after = match request.page_token.as_str() {
        "" => ClientId(0),
        token => ClientId(token.parse().map_err(|_| CallError::PageToken)?),
    };
    // A room may have members before it has a message.
    let open = hub.rooms.get(&name);
    if open.is_none() && hub.log.find(&name)?.is_none() {
        return Err(CallError::NoRoom(name));
    }
    let followers = open.iter().flat_map(|room| room.followers().collect::<Vec<_>>());
    let mut members: Vec<_> = followers.filter_map(|follower| follower.member()).collect();
    members.retain(|member| member.client > after);
    members.sort_by_key(|member| member.client);
    let max = fitting(&members, max, |member| member.sender.name.as_str().len());
    let more = members.len() > max;
    members.truncate(max);
    let next_page_token = members.last().filter(|_| more).map_or(String::new(), |last| last.client.to_string());
    let member = |Member { client, sender }: Member| v1::Member {
        client_id: client.0,
        name: sender.name.into(),
        authenticated: sender.authenticated,
        ..Default::default()
    };
    Ok(v1::ListMembersResponse {
        members: members.into_iter().map(member).collect(),
        next_page_token,
        ..Default::default()
    })
}
