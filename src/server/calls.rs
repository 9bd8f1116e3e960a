//! The unary calls of `hubbub.v1`, as plain functions that do not depend on a transport.
//!
//! Each takes a request, and returns a response or an error with a code. The functions that read the log may wait for a
//! disk, so a transport MUST NOT run them on a poller; [`post::post_message`] does so only for peers with quotas. Nor must
//! it verify a [`caller`]'s login there. The [`dispatch`]er runs them where they belong.

pub mod error;
pub mod bundle;
pub mod caller;
pub mod login;
pub mod session;
pub mod slots;
pub mod tally;
pub mod paging;
pub mod post;
pub mod change;
pub mod reactions;
pub mod messages;
pub mod rooms;
pub mod search;
pub mod queries;
pub mod dispatch;
