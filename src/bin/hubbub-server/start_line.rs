//! The line that the log gets when the server has started: what it is, and how it is set up.

use std::borrow::Cow;
use std::fmt::Display;

use hubbub::server::{Server, ServerConfig, Storage};

/// Logs the start of a server with these settings.
pub fn log(config: &ServerConfig, server: &Server) {
    let data = match &config.storage {
        Storage::Folder { path, .. } => path.to_string_lossy(),
        Storage::Memory { .. } => Cow::Borrowed("memory"),
    };
    let (rooms, messages) = server.contents_at_start();
    let [listen, http, admin] = [server.addresses(), server.http_addresses(), server.admin_addresses()].map(list);
    let login = list(config.logins.words());
    log::info!(
        version = env!("CARGO_PKG_VERSION"), data = data.as_ref(), rooms, messages, listen = listen.as_str(),
        http = http.as_str(), admin = admin.as_str(), tls = config.tls.is_some(), login = login.as_str(),
        clients_max = config.clients_max, connections_max = config.connections_max();
        "server started"
    );
}

/// A list with commas; none is a word too.
fn list(parts: impl IntoIterator<Item = impl Display>) -> String {
    let parts: Vec<_> = parts.into_iter().map(|part| part.to_string()).collect();
    if parts.is_empty() { "none".to_owned() } else { parts.join(",") }
}
