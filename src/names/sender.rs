//! The sender of a message.

use super::user_name::UserName;

/// The sender of a message, or the member of a room, as others see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    pub name: UserName,
    /// Whether it has logged in, so that the name is that of a user. Otherwise the name is a claim.
    pub authenticated: bool,
}

impl Sender {
    /// One that has not logged in.
    pub fn claim(name: UserName) -> Self {
        Self { name, authenticated: false }
    }
}
