//! Why a command on accounts fails, with the remedy.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::escape::{escape, escape_name};
use crate::limits::ACCOUNT_EVENTS_MAX;
use crate::names::InvalidText;
use crate::server::auth::principal::UnknownWord;
use crate::server::auth::token::NoRandomness;
use crate::server::log::sqlite::OpenError;

/// Why a command on accounts fails, or why they can't be opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AccountsError {
    #[error(transparent)]
    Folder(#[from] OpenError),
    #[error(
        "{} was created by a newer hubbub-server (its version is {found}, this one supports {supported}): use that one",
        .path.display()
    )]
    Newer { path: PathBuf, found: i64, supported: i64 },
    #[error(
        "{} is damaged, or not a file of hubbub-server ({fault}): put a copy of it in its place, or move it away and add \
         the users again",
        .path.display()
    )]
    Damaged { path: PathBuf, fault: String },
    #[error("{} can't be used: {fault}; free space, or check its owner and permissions", .path.display())]
    File { path: PathBuf, fault: String },
    #[error("{} is in use by another program: end that one (fuser lists it), and run the command again", .path.display())]
    InUse { path: PathBuf },
    #[error(
        "{} {fate} while the server runs: nothing was changed; put it back, or restart the server with the file that is to \
         be used",
        .path.display()
    )]
    Moved { path: PathBuf, fate: String },
    #[error("{} was changed by another program: nothing was changed; restart the server, so that it reads the file", .path.display())]
    Changed { path: PathBuf },
    #[error("writing {} has failed ({fault}), so its state is unknown: restart the server, and check the accounts", .path.display())]
    Failed { path: PathBuf, fault: String },
    #[error(
        "accounts were changed {ACCOUNT_EVENTS_MAX} times, which is the maximum: move accounts.db away and add the users again"
    )]
    TooManyEvents,
    #[error("can't start a thread for the accounts ({0}): raise ulimit -u or the limit of tasks (systemd's TasksMax)")]
    Thread(io::Error),
    #[error("the accounts are closed: the server is stopping; run the command again when it has stopped")]
    Closed,
    #[error(transparent)]
    Randomness(#[from] NoRandomness),

    #[error("{fault} (the name is {:?})", escape(.name))]
    Name { name: String, fault: InvalidText },
    #[error("the name {} is reserved: choose another", quoted(.0))]
    Reserved(String),
    #[error("no user named {}{}; hubbub-server user list prints the names", quoted(.name), similar(.like.as_deref()))]
    NoUser { name: String, like: Option<String> },
    #[error("user {} exists already: hubbub-server invite makes an invitation for another device", quoted(.0))]
    UserExists(String),
    #[error("the name {} looks like that of user {}: choose another", quoted(.name), quoted(.other))]
    LooksLike { name: String, other: String },
    #[error("user {} is banned: run hubbub-server user unban first", quoted(.0))]
    Banned(String),
    #[error("{} is not banned; hubbub-server user list shows who is", quoted(.0))]
    NotBanned(String),
    #[error("no token with the id {:?}; hubbub-server token list and user devices print the ids", escape(.0))]
    NoToken(String),
    #[error("user {} has no device {:?}; hubbub-server user devices prints them", quoted(.user), escape(.device))]
    NoDevice { user: String, device: String },
    #[error("user {} has several devices {:?}: use the id that hubbub-server user devices prints", quoted(.user), escape(.device))]
    Ambiguous { user: String, device: String },
    #[error("user {} has no login and no invitation to revoke", quoted(.0))]
    NothingToRevoke(String),
    #[error("{fault} (the room is {:?})", escape(.room))]
    Room { room: String, fault: InvalidText },
    #[error(transparent)]
    Word(#[from] UnknownWord),
    #[error("{what} are the maximum: {remedy}")]
    TooMany { what: String, remedy: &'static str },
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", escape_name(name))
}

fn similar(other: Option<&str>) -> String {
    other.map_or_else(String::new, |other| format!(" (there is {})", quoted(other)))
}
