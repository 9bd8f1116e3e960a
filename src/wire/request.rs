//! What clients of `hubbub.v1` send, as checked types: what a stream and a call have in common.

use protobuf::EnumOrUnknown;

use super::v1;
use crate::names::{Body, InvalidText, Kind, MessageId};

/// What a post says, checked.
pub struct CheckedPost {
    /// The id that the sender chose, if it chose one.
    pub id: Option<MessageId>,
    pub body: Body,
    pub kind: Kind,
}

impl CheckedPost {
    pub fn new(message_id: &[u8], body: String, kind: EnumOrUnknown<v1::Kind>) -> Result<Self, InvalidText> {
        let id = if message_id.is_empty() { None } else { Some(MessageId::chosen(message_id)?) };
        let kind = match kind.enum_value() {
            Ok(v1::Kind::KIND_ACTION) => Kind::Action,
            // A kind of a later version is text to this one.
            _ => Kind::Text,
        };
        Ok(Self { id, body: Body::new(body)?, kind })
    }
}
