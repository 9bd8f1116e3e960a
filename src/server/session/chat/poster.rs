//! Reports the outcomes of posts to a session.

use std::sync::Arc;

use super::updates::{Update, Updates};
use crate::limits::STORE_RETRY;
use crate::server::append_queue::Poster;
use crate::server::delivery::stream_writer::StreamWriter;
use crate::server::log::{Appended, LogError, Outcome, Post};
use crate::wire::answer::{self, Failed, RejectionCode};

/// Reports the outcomes of posts to a session, unless the message itself does.
pub struct ChatPoster {
    pub writer: Arc<StreamWriter>,
    pub updates: Arc<Updates>,
}

impl Poster for ChatPoster {
    fn settled(&self, posts: &[Post], outcomes: &[Outcome]) {
        let mut answered = false;
        for (post, outcome) in posts.iter().zip(outcomes) {
            // Changes are never posted over a stream.
            let Some(message) = post.message() else { continue };
            self.updates.push(match outcome {
                // The message itself is the acknowledgement.
                Ok(Appended::New(..)) => continue,
                Ok(Appended::Before(room, seq)) => Update::Posted(*room, message.id, *seq),
                Err(error) => {
                    let id = if message.id_chosen { message.id.as_bytes().to_vec() } else { Vec::new() };
                    let (code, entry) = rejected_by_log(Failed::Post(id), error);
                    self.updates.count_rejection(code);
                    Update::Answer(entry)
                }
            });
            answered = true;
        }
        if answered {
            self.writer.look_again();
        }
    }
}

/// The answer to a command that the log refused, and its code.
pub fn rejected_by_log(command: Failed, error: &LogError) -> (RejectionCode, Vec<u8>) {
    let (code, retry_after) = match error {
        LogError::IdTaken(_) | LogError::LooksLike(_) => (RejectionCode::Conflict, None),
        LogError::TooManyRooms(_) => (RejectionCode::TooManyRooms, None),
        // A reply to a message that does not exist. The other errors concern changes.
        LogError::NoMessage(_)
        | LogError::NoRoom(_)
        | LogError::WasDeleted(_)
        | LogError::NotOwn(_)
        | LogError::Edited { .. }
        | LogError::OtherEpoch(_)
        | LogError::TooManyEmojis(_)
        | LogError::TooManyPins => (RejectionCode::Invalid, None),
        LogError::Unavailable(_) | LogError::Full | LogError::Reserve | LogError::Damaged(_) => {
            (RejectionCode::Unavailable, Some(STORE_RETRY))
        }
    };
    (code, answer::rejected(command, code, error.to_string(), retry_after))
}
