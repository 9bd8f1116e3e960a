//! The options for logins.

use hubbub::arguments::{Given, LOGIN, switch};
use hubbub::server::auth::certificate::ClientName;
use hubbub::server::config::Logins;

use crate::jwt_options::JwtOptions;

/// Who may use the server.
#[derive(Debug, clap::Args)]
pub struct AuthOptions {
    /// Who may use the server: open, or accounts, jwt, mtls
    ///
    /// open: anyone who can connect, under any name. accounts: users with a token, which they get for an invitation from
    /// hubbub-server user add. jwt: users with a JSON web token from another system. mtls: users with a client
    /// certificate. Several, except open: --auth accounts,jwt.
    #[arg(
        long, value_name = "LOGIN", env = "HUBBUB_AUTH", value_delimiter = ',', value_parser = ["open", "accounts", "jwt", "mtls"],
        hide_possible_values = true, default_value = "open", help_heading = LOGIN, display_order = 60
    )]
    auth: Vec<String>,

    /// Listen beyond this machine without TLS or login
    ///
    /// Without it, that is refused: anyone on the network could read every room and post under any name.
    #[arg(long, env = "HUBBUB_INSECURE", value_parser = switch, help_heading = LOGIN, display_order = 61)]
    pub insecure: bool,

    /// Serve the tutorial's clients, which can't log in
    ///
    /// They are guests in the lobby, and their names begin with ~. Without logins they are always served.
    #[arg(
        long, env = "HUBBUB_ALLOW_TUTORIAL_CLIENTS", value_parser = switch, hide_short_help = true, help_heading = LOGIN,
        display_order = 62
    )]
    allow_tutorial_clients: bool,

    /// Field of a client certificate that has the user's name: dns, cn, uri or email
    ///
    /// It must have exactly one value.
    #[arg(
        long, value_name = "FIELD", env = "HUBBUB_CLIENT_NAME", default_value = "dns", hide_short_help = true,
        help_heading = LOGIN, display_order = 63
    )]
    client_name: ClientName,

    #[command(flatten)]
    jwt: JwtOptions,
}

impl AuthOptions {
    fn has(&self, login: &str) -> bool {
        self.auth.iter().any(|other| other == login)
    }

    /// The faults of options that concern each other.
    pub fn check(&self, given: &Given<'_>, has_client_ca: bool) -> Vec<String> {
        let mut faults = Vec::new();
        let name = given.name("auth");
        if self.has("open") && self.auth.len() > 1 {
            faults.push(format!("{name}: open can't be used with other logins: leave it out"));
        }
        let (_, jwt_faults) = self.jwt.settings(given);
        if self.has("jwt") {
            faults.extend(jwt_faults);
        } else {
            let ids = JwtOptions::IDS.iter().filter(|id| given.is_flag(id) || given.is_variable(id));
            faults.extend(ids.map(|id| format!("{} needs --auth jwt", given.name(id))));
        }
        match (self.has("mtls"), has_client_ca) {
            (true, false) => faults.push(format!("{name} mtls needs the authority that signs the clients' certificates: --client-ca")),
            (false, true) => faults.push("--client-ca needs --auth mtls".to_owned()),
            _ => {}
        }
        if !self.has("mtls") && given.is_flag("client_name") {
            faults.push("--client-name needs --auth mtls".to_owned());
        }
        if self.has("open") && given.is_flag("allow_tutorial_clients") {
            faults.push("--allow-tutorial-clients has no effect without logins: leave it out, or set --auth".to_owned());
        }
        faults
    }

    /// The logins of the server.
    pub fn logins(&self, given: Option<&Given<'_>>) -> Logins {
        let _ = given;
        Logins {
            tokens: self.has("accounts"),
            jwt: None,
            certificates: self.has("mtls").then_some(self.client_name),
            allows_tutorial: self.allow_tutorial_clients,
        }
    }
}
