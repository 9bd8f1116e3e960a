//! Creates posts: every post is created here, whatever its transport.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::log::command::NewMessage;
use super::log::{Post, What};
use super::quotas::{OverQuota, Use};
use crate::names::{ClientId, Origin, RoomName, Sender};
use crate::wire::event;
use crate::wire::request::CheckedPost;

/// Creates the posts of one stream or one call. It generates the ids of posts without one, each once, and keeps to the
/// quotas of the client's address.
pub struct Author {
    /// The client, if a stream is posting.
    client: Option<ClientId>,
    origin: Origin,
    issued: u64,
    /// What its address has taken; `None` if it is exempt.
    used: Option<Arc<Use>>,
    /// The rooms that its posts create, each of which counts once.
    creates: HashSet<RoomName>,
    /// The posts, and their bytes, for which it has not waited yet.
    unpaid: (usize, usize),
}

impl Author {
    /// The client of a stream. Its reader may know it by `origin`.
    pub fn of_stream(client: ClientId, origin: Origin, used: Option<Arc<Use>>) -> Self {
        Self::new(Some(client), origin, used)
    }

    /// The client of a call.
    pub fn of_call(used: Option<Arc<Use>>) -> Self {
        Self::new(None, Origin::random(), used)
    }

    fn new(client: Option<ClientId>, origin: Origin, used: Option<Arc<Use>>) -> Self {
        Self { client, origin, issued: 0, used, creates: HashSet::new(), unpaid: (0, 0) }
    }

    /// A post, ready for the log. All its parts were checked on construction. `creates` says that it is the room's
    /// first.
    pub fn post(
        &mut self,
        room: RoomName,
        creates: bool,
        sender: Sender,
        post: CheckedPost,
    ) -> Result<Post, OverQuota> {
        let CheckedPost { id, body, kind, reply_to, mentions } = post;
        if let Some(used) = &self.used {
            if creates && !self.creates.contains(&room) {
                used.create_room()?;
                self.creates.insert(room.clone());
            }
            used.store(body.as_str().len())?;
            self.unpaid.0 += 1;
            self.unpaid.1 += body.as_str().len();
        }
        let id_chosen = id.is_some();
        let id = id.unwrap_or_else(|| {
            self.issued += 1;
            self.origin.id(self.issued)
        });
        let (client, body, mentions) = (self.client, &body, &mentions);
        let content =
            event::content(&event::NewMessage { id: &id, sender: &sender, client, body, kind, reply_to, mentions });
        Ok(Post { room, sender, what: What::Message(NewMessage { id, id_chosen, reply_to, content }) })
    }

    /// How long the stream must wait after its posts so far.
    pub fn wait(&mut self) -> Duration {
        let (count, bytes) = std::mem::take(&mut self.unpaid);
        match &self.used {
            Some(used) if count > 0 => used.posted(count, bytes),
            _ => Duration::ZERO,
        }
    }
}
