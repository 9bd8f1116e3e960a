//! Repeated posts: a post with the id of a stored message is that message only if it says the same.
//!
//! Without this check, a client that uses an id first, under another's name, would take the place of the owner's
//! message, which would be acknowledged and never stored.

use std::sync::Arc;

use super::command::NewMessage;
use super::{Appended, LogError, Outcome, Page, Post, Segment};
use crate::names::{RoomId, Seq};
use crate::wire::event::{Content, Entry, read_content};

/// Refuses the messages whose ids belong to other messages. `read` reads a stored message. One that was deleted or is
/// damaged can't be compared, and counts as the same.
pub fn refuse_others<'a>(
    posts: impl IntoIterator<Item = &'a Post>,
    outcomes: &mut [Outcome],
    mut read: impl FnMut(RoomId, Seq) -> Option<Page>,
) {
    // Repeated posts are usually neighbours, as they were at first.
    let mut last: Option<Arc<Segment>> = None;
    for (post, outcome) in posts.into_iter().zip(outcomes) {
        let (&mut Ok(Appended::Before(room, seq)), Some(message)) = (&mut *outcome, post.message()) else { continue };
        let is_in = |segment: &Arc<Segment>| segment.room() == room && segment.holds(seq);
        if !last.as_ref().is_some_and(is_in) {
            last = match read(room, seq) {
                Some(Page::Segments(segments)) => segments.into_iter().find(is_in),
                _ => None,
            };
        }
        let Some(segment) = &last else { continue };
        let stored = segment.entries().nth((seq.0 - segment.first().0) as usize);
        if stored.is_some_and(|stored| !says_the_same(&stored, message)) {
            *outcome = Err(LogError::IdTaken(seq));
        }
    }
}

/// Whether they are one message. Its client may differ: it may have connected again. Its text can't be compared after
/// it was edited or deleted. A claim to a name is not the user of that name.
fn says_the_same(stored: &Entry<'_>, posted: &NewMessage) -> bool {
    let (Some(stored), Ok(posted)) = (stored.message(), read_content(&posted.content)) else { return false };
    let has_first_text = stored.edited == Seq::ZERO && !stored.is_deleted;
    let said = |content: &Content<'_>| (content.kind, content.reply_to, content.authenticated);
    said(&stored) == said(&posted) && (!has_first_text || stored.body == posted.body)
}
