//! A minimal HTTP/2 client for a load generator: one gRPC call on each connection, prior knowledge, no compression of
//! headers, and receive windows that never slow the server down.

pub mod frames;
pub mod parser;
pub mod request;
pub mod stream;
