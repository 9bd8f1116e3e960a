//! The life of one stream, whatever contract it speaks.
//!
//! Two threads serve it. The receive thread takes what the client sends and hands posts to the log writer ([`receive`]; for each
//! contract in its own way, [`tutorial`] and [`chat`]). The send thread does what may block on the way out
//! ([`delivery::send`](super::delivery::send)). What need not block is written by whoever learns of it
//! ([`delivery::stream_writer`](super::delivery::stream_writer)).

pub mod receive;
pub mod tutorial;
pub mod chat;
