//! What the service manager (systemd) and a program tell each other: readiness, whether it is alive, and inherited sockets.

pub mod notify;
pub mod sockets;
