//! `ListReactions`: the users who reacted to a message.

use super::caller::Caller;
use super::error::{CallError, CallResult};
use super::paging::page_size;
use crate::limits::{PAGE_SIZE, PAGE_SIZE_MAX};
use crate::names::{Emoji, RoomName, Seq};
use crate::server::auth::access::Act;
use crate::server::hub::Hub;
use crate::server::log::LogError;
use crate::wire::{change, v1};

/// Lists the users who reacted to a message with one emoji, in the order of their reactions.
pub fn list_reactions(
    hub: &Hub,
    caller: &Caller,
    request: v1::ListReactionsRequest,
) -> CallResult<v1::ListReactionsResponse> {
    let max = page_size(request.page_size, PAGE_SIZE, PAGE_SIZE_MAX)?;
    let (room, message) = (RoomName::new(&request.room)?, Seq(request.message_seq));
    let emoji = Emoji::new(request.emoji)?;
    caller.principal.may(Act::Read(&room))?;
    // The event of the last reaction of the page before.
    let after = match request.page_token.as_str() {
        "" => Seq::ZERO,
        token => Seq(token.parse().map_err(|_| CallError::PageToken)?),
    };
    let Some(state) = hub.log.find(&room)? else { return Err(CallError::NoRoom(room)) };
    if !(state.oldest..=state.head).contains(&message) {
        return Err(LogError::NoMessage(message).into());
    }
    // One more than requested shows whether there is another page.
    let mut reactors = hub.log.reactors(state.id, message, &emoji, after, max + 1)?;
    let more = reactors.len() > max;
    reactors.truncate(max);
    let next_page_token = reactors.last().filter(|_| more).map_or(String::new(), |(seq, _)| seq.to_string());
    let people = reactors.iter().map(|(_, sender)| change::person(sender)).collect();
    Ok(v1::ListReactionsResponse { people, next_page_token, ..Default::default() })
}
