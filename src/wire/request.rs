//! Checked types for the requests of `hubbub.v1`, shared by streams and calls.

use protobuf::EnumOrUnknown;

use super::v1;
use crate::names::{Body, InvalidText, Kind, MessageId};

/// The contents of a post, checked.
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
            // A kind of a later version is treated as text.
            _ => Kind::Text,
        };
        Ok(Self { id, body: Body::new(body)?, kind })
    }
}
