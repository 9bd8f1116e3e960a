//! The search for messages.

use super::{CallError, Caller, stored};
use crate::client::v1::StoredMessage;
use crate::names::{RoomName, UserName};
use crate::wire::{SEARCH_MESSAGES, v1};

/// What to find.
#[derive(Clone, Debug, Default)]
pub struct SearchQuery {
    /// Words that all occur, in any order; "words in quotes" stand together; `word*` is the beginning of words.
    pub text: String,
    /// `None`: in all rooms that the caller may read.
    pub room: Option<RoomName>,
    /// `None`: of everybody.
    pub sender: Option<UserName>,
    /// Only messages from this time on, and before that one. 0: no bound.
    pub after_ms: u64,
    pub before_ms: u64,
}

/// Some of what was found, the newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchPage {
    pub found: Vec<FoundMessage>,
    /// The token of the next page; empty if there is none.
    pub next_page_token: String,
    /// How many events are stored but not searched yet, at most.
    pub behind_count: u64,
}

/// A message that was found, as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundMessage {
    /// The name of its room. Not checked.
    pub room: String,
    pub message: StoredMessage,
}

impl Caller {
    /// Finds messages after a token; the first page is after the empty one. A page may be empty and not the last.
    pub fn search(&mut self, query: &SearchQuery, max: u32, page_token: &str) -> Result<SearchPage, CallError> {
        let request = v1::SearchMessagesRequest {
            query: query.text.clone(),
            room: query.room.as_ref().map_or(String::new(), |room| room.as_str().to_owned()),
            sender: query.sender.as_ref().map_or(String::new(), |sender| sender.as_str().to_owned()),
            after_ms: query.after_ms,
            before_ms: query.before_ms,
            page_size: max,
            page_token: page_token.to_owned(),
            ..Default::default()
        };
        let response = self.call(&SEARCH_MESSAGES, &request)?;
        let mut found = Vec::with_capacity(response.found.len());
        for v1::Found { room, event, .. } in response.found {
            let Some(message) = event.into_option().map(stored).transpose()?.flatten() else { continue };
            found.push(FoundMessage { room, message });
        }
        let v1::SearchMessagesResponse { next_page_token, behind_count, .. } = response;
        Ok(SearchPage { found, next_page_token, behind_count })
    }
}
