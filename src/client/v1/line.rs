//! A line to post: a message that has no seq yet.

use crate::names::{Body, Kind, Mentions, MessageId};

/// A line to post.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Unique for its sender and room, not beginning with four zero bytes.
    pub id: MessageId,
    pub body: Body,
    pub kind: Kind,
    /// The message of the same room that it replies to.
    pub reply_to: Option<u64>,
    pub mentions: Mentions,
}

impl Line {
    /// A line that replies to no message and mentions nobody.
    pub fn new(id: MessageId, body: Body, kind: Kind) -> Self {
        Self { id, body, kind, reply_to: None, mentions: Mentions::default() }
    }
}
