//! A minimal HTTP/1.1 client for a load generator: streams, whose response is chunked and has no end, and calls on
//! connections that stay, whose requests may be sent before earlier ones are answered.

pub mod calls;
pub mod chunks;
pub mod head;
pub mod request;
pub mod stream;
