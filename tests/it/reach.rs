//! Reaching a server and staying connected: addresses, permissions, keepalive, and shutdown.

pub mod full;
mod listening;
mod names;
mod pings;
mod proxies;
mod signals;
mod threads;
