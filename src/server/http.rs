//! The HTTP face: the page for browsers, and the calls and streams of `hubbub.v1` over the Connect protocol and HTTP/1.1,
//! for `curl`, browsers and any Connect client.
//!
//! A connection has a thread while it asks (`connection`): it reads a request, has the call executed, writes the response,
//! and reads the next one. Posts that came together are executed together (`owed`). The thread ends when the connection
//! has been idle for [`HTTP_IDLE_MAX`](crate::limits::HTTP_IDLE_MAX), after a fault, when the server drains, and when the
//! connection becomes a stream: that has no thread (`sink`), and one thread watches all of them ([`watch`]). Whatever a
//! proxy and this server could understand differently is refused (`head`).

pub mod socket;
mod idle;
pub mod head;
pub mod input;
pub mod answer;
pub mod fence;
mod methods;
mod connect;
pub mod refuse;
mod cookie;
mod session;
mod page;
mod held;
mod form;
pub mod watch;
mod sink;
mod follow;
mod open;
mod shared;
mod owed;
mod connection;
pub mod server;
#[cfg(fuzzing)]
pub mod fuzz;
