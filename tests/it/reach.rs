//! Reaching a server and staying connected: where it listens, who may connect, how it stops.

mod listening;
mod pings;
mod signals;
