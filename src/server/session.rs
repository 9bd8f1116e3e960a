//! The life cycle of one stream, for both contracts.
//!
//! Two threads serve it. The receive thread reads the client's requests and hands posts to the log writer ([`receive`];
//! for the two contracts [`tutorial`] and [`chat`]). The send thread does the sending work that may block
//! ([`delivery::send`](super::delivery::send)). Writes that do not block are done by the thread that has the news
//! ([`delivery::stream_writer`](super::delivery::stream_writer)).

pub mod rejections;
pub mod receive;
pub mod tutorial;
pub mod chat;
