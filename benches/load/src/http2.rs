//! As much of an HTTP/2 client as a load generator needs: one gRPC call on each connection, prior knowledge, no
//! compression of headers, receive windows so large that they never slow the server down.

pub mod frames;
pub mod parser;
pub mod request;
