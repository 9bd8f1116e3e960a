//! The options of the client programs for a login.

use std::path::PathBuf;

use super::login::{Login, StoredLogin};
use crate::arguments::{CONNECTION, switch};

/// How to log in.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct LoginOptions {
    /// File with a token, to log in with it
    ///
    /// Or the variable HUBBUB_TOKEN has the token itself. By default, the login of hubbub login for the server is used, if
    /// there is one. Other users may not read the file; it is read again for each connection.
    #[arg(
        long, global = true, value_name = "FILE", env = "HUBBUB_TOKEN_FILE", hide_short_help = true,
        help_heading = CONNECTION, display_order = 19
    )]
    pub token_file: Option<PathBuf>,

    /// Send a token without TLS to another machine
    ///
    /// Whoever can read the network could use it.
    #[arg(
        long, global = true, env = "HUBBUB_INSECURE", value_parser = switch, hide_short_help = true,
        help_heading = CONNECTION, display_order = 19
    )]
    pub insecure: bool,
}

impl LoginOptions {
    /// The login to present, and the name of its user if it is the stored one.
    pub fn choose(&self, stored: Option<StoredLogin>) -> (Option<Login>, Option<String>) {
        let (login, name) = match (&self.token_file, Login::from_variable(), stored) {
            (Some(path), ..) => (Some(Login::file(path.clone())), None),
            (None, Some(login), _) => (Some(login), None),
            (None, None, Some(stored)) => (Some(Login::token(stored.token.as_str())), Some(stored.name)),
            (None, None, None) => (None, None),
        };
        (login.map(|login| login.allowing_plaintext(self.insecure)), name)
    }
}
