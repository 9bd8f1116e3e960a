//! From a commit to the wire: which followers are notified, and which thread writes to which stream.
//!
//! The [`fanout`] notifies the followers of a room that there are new messages. A follower that is a stream has a
//! [`stream_writer`], which writes the frames of the stream's reader to its [`output`], and leaves work that may block
//! to the [`send`] thread. A stream ends for one of the reasons in [`close`]; its [`record`] is what the log gets of it.

pub mod fanout;
pub mod record;
pub mod stream_writer;
pub mod sent;
pub mod output;
pub mod send;
pub mod close;
