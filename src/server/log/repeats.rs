//! Repeated posts: a post with the id of a stored message counts as a repeat only if its content is the same.
//!
//! Without this check, a client could post under another user's name with an id that this user is about to use. The
//! user's own message would then be acknowledged, but never stored.

use std::sync::Arc;

use super::command::NewMessage;
use super::{Appended, LogError, Outcome, Page, Post, Segment};
use crate::names::{RoomId, Seq};
use crate::wire::event::{Content, Entry, read_content};

/// Refuses the messages whose ids belong to other messages. `read` reads a stored message. A message that
/// retention deleted, or that is damaged, can't be compared and counts as the same.
pub fn refuse_others<'a>(
    posts: impl IntoIterator<Item = &'a Post>,
    outcomes: &mut [Outcome],
    mut read: impl FnMut(RoomId, Seq) -> Option<Page>,
) {
    // Repeated posts usually follow each other, as the original posts did.
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

/// Whether both are the same message. The client ids may differ, since the client may have reconnected. The text can't
/// be compared after an edit or a deletion. A sender without a login is not the user of the same name.
fn says_the_same(stored: &Entry<'_>, posted: &NewMessage) -> bool {
    let (Some(stored), Ok(posted)) = (stored.message(), read_content(&posted.content)) else { return false };
    let has_first_text = stored.edited == Seq::ZERO && !stored.is_deleted;
    let said = |content: &Content<'_>| (content.kind, content.reply_to, content.authenticated);
    said(&stored) == said(&posted) && (!has_first_text || stored.body == posted.body)
}
