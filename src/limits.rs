//! Every bound of the server, with its reason.
//!
//! Bounds that can be set are fields of [`crate::server::ServerConfig`]; their defaults are here.
//!
//! The client library's bounds are in `client/limits.rs`. Bounds of one program's own interface, such as the line
//! editor of the terminal client or the plan of the repeat client, stay beside their code, and so do the sizes that a
//! foreign format defines, such as SQLite's files.

mod admin;
mod contract;
mod health;
mod http;
mod log;
mod logging;
mod logins;
mod options;
mod search;
mod transport;

pub use self::{
    admin::*, contract::*, health::*, http::*, log::*, logging::*, logins::*, options::*, search::*, transport::*,
};
