//! Reaching a server and staying connected: where it listens, who may connect, how it stops.

mod full;
mod listening;
mod names;
mod pings;
mod proxies;
mod signals;
