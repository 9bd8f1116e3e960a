//! The unary calls of `hubbub.v1` as plain functions: a request in, a response or an error with a code out.
//!
//! Nothing here knows a transport. The functions that read the log may wait for a disk, so a transport MUST NOT run them on a
//! poller; [`post::post_message`] does not block.

pub mod error;
pub mod paging;
pub mod post;
pub mod messages;
pub mod rooms;
