//! Reaching a server and staying connected: where it listens, who may connect, how it stops.

mod pings;
mod signals;
