//! The HTTP face: the unary calls of `hubbub.v1` over the Connect protocol and HTTP/1.1, for `curl`, browsers and any
//! Connect client.
//!
//! A connection has a thread while it asks: it reads a request, has the call executed, writes the response, and reads the
//! next one. The thread ends when the connection has been idle for [`HTTP_IDLE_MAX`](crate::limits::HTTP_IDLE_MAX), after
//! a fault, and when the server drains. Whatever could be understood differently by a proxy and by this server is refused
//! ([`head`]).

pub mod socket;
mod idle;
pub mod head;
pub mod input;
pub mod answer;
pub mod fence;
pub mod methods;
pub mod connect;
mod refuse;
mod cookie;
mod session;
mod page;
mod held;
mod form;
pub mod watch;
mod sink;
mod follow;
mod connection;
pub mod server;
#[cfg(fuzzing)]
pub mod fuzz;
