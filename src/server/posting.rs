//! The one door for what is said: every post is made here, whatever it came by.

use super::log::Post;
use crate::names::{Body, ClientId, Kind, MessageId, Origin, RoomName, UserName};
use crate::wire::event;

/// Says things, on one stream or by one call. It issues the ids of posts whose sender chose none, each once.
pub struct Author {
    /// The client, if a stream is posting.
    client: Option<ClientId>,
    origin: Origin,
    issued: u64,
}

impl Author {
    /// The client of a stream. Its reader may know it by `origin`.
    pub fn of_stream(client: ClientId, origin: Origin) -> Self {
        Self { client: Some(client), origin, issued: 0 }
    }

    /// Whoever makes a call.
    pub fn of_call() -> Self {
        Self { client: None, origin: Origin::random(), issued: 0 }
    }

    /// A post, ready for the log. All of it was checked when it was made.
    pub fn post(&mut self, room: RoomName, sender: UserName, id: Option<MessageId>, body: &Body, kind: Kind) -> Post {
        let id_chosen = id.is_some();
        let id = id.unwrap_or_else(|| {
            self.issued += 1;
            self.origin.id(self.issued)
        });
        let content = event::content(&id, &sender, self.client, body, kind);
        Post { room, sender, id, id_chosen, content }
    }
}
