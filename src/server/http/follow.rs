//! The streams: `Follow` over Connect, and `/rooms/ROOM/events` as Server-Sent Events.

use std::time::Duration;

use super::connect::{self, Form, FormFault, Refusal};
use super::form::{Place, StreamForm, parse_id};
use super::head::Head;
use crate::names::RoomName;
use crate::server::calls::error::Code;
use crate::wire::v1;

/// A request to follow rooms.
pub struct Following {
    pub request: v1::FollowRequest,
    pub form: StreamForm,
    /// How long the client wants to follow.
    pub timeout: Option<Duration>,
}

/// The room of a path `/rooms/ROOM/events`, still encoded.
pub fn room_of(path: &str) -> Option<&str> {
    path.strip_prefix("/rooms/")?.strip_suffix("/events").filter(|room| !room.contains('/'))
}

/// Reads the request of a stream of Server-Sent Events.
pub fn events(head: &Head, room: &str) -> Result<Following, FormFault> {
    let room = connect::decode(room).and_then(|room| String::from_utf8(room).ok());
    let room = room.ok_or(FormFault::Invalid("the path has a malformed percent sign, or is not UTF-8"))?;
    let room = RoomName::new(&room).map_err(FormFault::Text)?;
    let mut from = None;
    let place = |id: &str| {
        let (epoch, seq) = parse_id(id).ok_or(FormFault::Invalid("the place is not of the form EPOCH-SEQ"))?;
        Ok::<_, FormFault>(v1::join::From::After(v1::Position { seq, epoch, ..Default::default() }))
    };
    for (name, value) in connect::parameters(&head.query)? {
        let value = String::from_utf8(value).map_err(|_| FormFault::Invalid("the query is not UTF-8"))?;
        from = match name.as_str() {
            "last" => {
                let count = value.parse().map_err(|_| FormFault::Invalid("last is not a number"))?;
                Some(v1::join::From::Last(count))
            }
            "after" => Some(place(&value)?),
            _ => from,
        };
    }
    // What a browser has got is newer than the address that it began with.
    if let Some(id) = head.one("last-event-id")?.filter(|id| !id.is_empty()) {
        from = Some(place(id)?);
    }
    let join = v1::Join { room: room.as_str().to_owned(), from, ..Default::default() };
    let request = v1::FollowRequest { rooms: vec![join], ..Default::default() };
    Ok(Following { request, form: StreamForm::Events(Place::default()), timeout: None })
}

/// Reads the request of `Follow`: one message, in an envelope.
pub fn connect(form: Form, body: &[u8]) -> Result<Following, Refusal> {
    let message = connect::envelope(form, body)?;
    let invalid = |message| Refusal { code: Code::InvalidArgument, message };
    let request = form.codec.decode(&message).map_err(invalid)?;
    Ok(Following { request, form: StreamForm::of(form.codec), timeout: form.timeout })
}
