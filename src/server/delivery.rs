//! From a commit to the wire: who is told of it, and which thread writes to which stream.
//!
//! The [`fanout`] tells the followers of a room that there is something to read. A follower that is a stream has a
//! [`stream_writer`], which writes to its [`output`] what the stream's reader finds, or has the [`send`] thread do what may block. A
//! stream ends for one of the reasons in [`close`].

pub mod fanout;
pub mod stream_writer;
pub mod output;
pub mod send;
pub mod close;
