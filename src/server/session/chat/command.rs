//! The commands of a client, checked.

use super::start::StartAt;
use crate::names::{RoomName, UserName};
use crate::server::auth::access::Denied;
use crate::server::auth::credentials::Bearer;
use crate::server::delivery::close::CloseReason;
use crate::wire::answer::{Failed, RejectionCode};
use crate::wire::request::CheckedPost;

/// A command, checked.
pub enum Command {
    Hello {
        /// `None` for the name of the login.
        name: Option<UserName>,
        client_version: String,
    },
    /// In place of `Hello`: the client has no presence in its rooms.
    Listen,
    Join {
        room: RoomName,
        from: StartAt,
    },
    Leave {
        room: String,
    },
    Post {
        room: String,
        post: CheckedPost,
    },
    Renew {
        token: Bearer,
    },
    /// An invalid command.
    Refused(Refusal),
}

/// The commands of a request, in order. One that can't be decoded ends the stream.
pub type Commands = Box<dyn Iterator<Item = Result<Command, CloseReason>> + Send>;

/// Why a command can't be executed.
pub struct Refusal {
    pub command: Failed,
    pub code: RejectionCode,
    pub reason: String,
}

impl Refusal {
    pub fn denied(command: Failed, denied: &Denied) -> Self {
        Self { command, code: RejectionCode::Denied, reason: denied.to_string() }
    }

    pub fn not_joined(command: Failed, room: &str) -> Self {
        let reason = format!("the room {room:?} is not joined: join it first");
        Self { command, code: RejectionCode::NotJoined, reason }
    }
}
