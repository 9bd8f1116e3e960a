//! What a client may do: one table, for all faces of the server.

use thiserror::Error;

use super::principal::{Principal, Role, Via};
use crate::names::{RoomName, UserName};

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act<'a> {
    /// To read a room's messages, live or stored, and to see its members.
    Read(&'a RoomName),
    /// To post to a room, which its first message creates.
    Post(&'a RoomName),
    /// To change a message, or to react to one.
    Change(&'a RoomName),
    /// To pin messages, and to change the room. Without logins everybody may; otherwise moderators.
    Moderate(&'a RoomName),
    /// To list rooms. The list has those that may be read.
    ListRooms,
}

/// Why a client may not do what it asks for.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Denied {
    #[error("your login may not be used to {act}: ask the server's operator for one that may")]
    Act { act: &'static str },
    #[error("your login may not be used in room {room}: ask the server's operator for one that may")]
    Room { room: RoomName },
    #[error("only moderators may {act} here: ask the server's operator to make you one")]
    Moderators { act: &'static str },
    #[error("you are logged in as {own}, and can't use the name {asked}: leave the name out, or log in as {asked}")]
    Name { own: UserName, asked: UserName },
}

impl Principal {
    /// Whether it may do this.
    pub fn may(&self, act: Act<'_>) -> Result<(), Denied> {
        let (allowed, word, room) = match act {
            Act::Read(room) => (self.grants.acts.read, "read", Some(room)),
            Act::Post(room) | Act::Change(room) | Act::Moderate(room) => (self.grants.acts.post, "post", Some(room)),
            Act::ListRooms => (self.grants.acts.read, "read", None),
        };
        if !allowed {
            return Err(Denied::Act { act: word });
        }
        if matches!(act, Act::Moderate(_)) && !self.is_moderator() && self.via != Via::Open {
            return Err(Denied::Moderators { act: "pin messages and change rooms" });
        }
        match (&self.grants.rooms, room) {
            (Some(rooms), Some(room)) if !rooms.contains(room) => Err(Denied::Room { room: room.clone() }),
            _ => Ok(()),
        }
    }

    /// Whether it may delete others' messages. A claim to a name never may.
    pub fn is_moderator(&self) -> bool {
        self.via != Via::Open && self.role >= Role::Moderator
    }

    /// The name under which it acts, if it asks for this one. `None` asks for its own.
    pub fn acts_as(&self, asked: Option<UserName>) -> Result<Option<UserName>, Denied> {
        match (&self.name, asked) {
            (Some(own), Some(asked)) if *own != asked => Err(Denied::Name { own: own.clone(), asked }),
            (Some(own), _) => Ok(Some(own.clone())),
            (None, asked) => Ok(asked),
        }
    }
}
