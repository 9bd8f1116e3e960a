//! Checked types for the requests of `hubbub.v1`, shared by streams and calls.

use protobuf::EnumOrUnknown;

use super::v1;
use crate::names::{Body, InvalidText, Kind, Mentions, MessageId, Seq};

/// The contents of a post, checked.
pub struct CheckedPost {
    /// The id that the sender chose, if it chose one.
    pub id: Option<MessageId>,
    pub body: Body,
    pub kind: Kind,
    /// The message that it replies to; [`Seq::ZERO`] for none.
    pub reply_to: Seq,
    pub mentions: Mentions,
}

impl CheckedPost {
    /// Ordinary text.
    pub fn text(body: Body) -> Self {
        Self { id: None, body, kind: Kind::Text, reply_to: Seq::ZERO, mentions: Mentions::default() }
    }

    pub fn new(
        message_id: &[u8],
        body: String,
        kind: EnumOrUnknown<v1::Kind>,
        reply_to_seq: u64,
        mentions: Vec<String>,
    ) -> Result<Self, InvalidText> {
        let id = if message_id.is_empty() { None } else { Some(MessageId::chosen(message_id)?) };
        let kind = match kind.enum_value() {
            Ok(v1::Kind::KIND_ACTION) => Kind::Action,
            // A kind of a later version is treated as text.
            _ => Kind::Text,
        };
        let (body, mentions) = (Body::new(body)?, Mentions::new(mentions)?);
        Ok(Self { id, body, kind, reply_to: Seq(reply_to_seq), mentions })
    }
}
