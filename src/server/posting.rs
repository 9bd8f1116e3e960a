//! Creates posts: every post is created here, whatever its transport.

use super::log::Post;
use crate::names::{Body, ClientId, Kind, MessageId, Origin, RoomName, UserName};
use crate::wire::event::{self, EntryKind};

/// Creates the posts of one stream or one call. It generates the ids of posts without one, each once.
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

    /// The client of a call.
    pub fn of_call() -> Self {
        Self { client: None, origin: Origin::random(), issued: 0 }
    }

    /// A post, ready for the log. All its parts were checked on construction.
    pub fn post(&mut self, room: RoomName, sender: UserName, id: Option<MessageId>, body: &Body, kind: Kind) -> Post {
        let id_chosen = id.is_some();
        let id = id.unwrap_or_else(|| {
            self.issued += 1;
            self.origin.id(self.issued)
        });
        let content = event::content(&id, &sender, self.client, body, kind);
        Post { room, sender, id, id_chosen, kind: EntryKind::MESSAGE, content }
    }
}
