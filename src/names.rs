//! The identifiers of the domain. Each is checked on construction, so other code need not check it again.

mod invalid;
mod form;
mod joiners;
mod characters;
mod skeleton;
mod user_name;
mod sender;
mod room_name;
mod body;
mod mentions;
mod emoji;
mod topic;
mod message_id;
mod numbers;

pub use self::body::{Body, Kind, cleaned};
pub use self::emoji::Emoji;
pub use self::form::composed;
pub use self::invalid::InvalidText;
pub use self::joiners::{is_joiner, shows as joiner_shows};
pub use self::mentions::{EVERYBODY, Mentions};
pub use self::message_id::{MessageId, Origin};
pub use self::numbers::{ClientId, Epoch, Generation, RoomId, Seq};
pub use self::room_name::RoomName;
pub use self::sender::Sender;
pub use self::skeleton::skeleton;
pub use self::topic::Topic;
pub use self::user_name::{CLAIM_MARK, UserName};
