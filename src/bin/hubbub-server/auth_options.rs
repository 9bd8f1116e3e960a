//! The options for logins.

use hubbub::arguments::{Given, LOGIN, switch};
use hubbub::server::auth::certificate::ClientName;
use hubbub::server::config::Logins;

use crate::jwt_options::JwtOptions;

/// Who may use the server.
#[derive(Debug, clap::Args)]
pub struct AuthOptions {
    /// Logins: open, accounts, jwt, mtls [default: open]
    ///
    /// open: anyone who can connect, under any name. accounts: users with a token, which they get for an invitation from
    /// hubbub-server user add. jwt: users with a JSON web token from another system. mtls: users with a client
    /// certificate. Several, except open: --auth accounts,jwt.
    #[arg(
        long, value_name = "LOGIN", env = "HUBBUB_AUTH", value_delimiter = ',', value_parser = ["open", "accounts", "jwt", "mtls"],
        hide_possible_values = true, hide_default_value = true, default_value = "open", help_heading = LOGIN, display_order = 60
    )]
    auth: Vec<String>,

    /// Listen beyond this machine without TLS or login
    ///
    /// Without it, that is refused: anyone on the network could read every room and post under any name.
    #[arg(long, env = "HUBBUB_INSECURE", value_parser = switch, hide_short_help = true, help_heading = LOGIN, display_order = 61)]
    pub insecure: bool,

    /// Where clients reach the server, for invitation links: HOST or HOST:PORT
    ///
    /// By default, with TLS: the first name in the certificate, and the port. Without TLS, links have no address.
    #[arg(
        long, value_name = "ADDR", env = "HUBBUB_PUBLIC_ADDRESS", hide_short_help = true, help_heading = LOGIN,
        display_order = 62
    )]
    pub public_address: Option<String>,

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
        let mut faults = self.jwt.check(self.has("jwt"), given);
        let auth = given.name("auth");
        if self.has("open") && self.auth.len() > 1 {
            faults.push(format!("{auth}: open can't be combined with logins: leave it out"));
        }
        match (self.has("mtls"), has_client_ca) {
            (true, false) => faults.push(format!(
                "{auth} mtls needs --client-ca: the authority that signs the certificates of the clients"
            )),
            (false, true) if given.is_meant("client_ca", "auth") => {
                faults.push(format!("{} needs --auth mtls: add that, or leave it out", given.name("client_ca")));
            }
            _ => {}
        }
        if !self.has("mtls") && given.is_meant("client_name", "auth") {
            faults.push(format!("{} needs --auth mtls: add that, or leave it out", given.name("client_name")));
        }
        if self.has("open") && given.is_meant("allow_tutorial_clients", "auth") {
            let name = given.name("allow_tutorial_clients");
            faults.push(format!("{name} has no effect without logins: leave it out"));
        }
        faults
    }

    /// How clients log in.
    pub fn logins(&self) -> Logins {
        Logins {
            tokens: self.has("accounts"),
            jwt: self.jwt.settings().filter(|_| self.has("jwt")),
            certificates: self.has("mtls").then_some(self.client_name),
            allows_tutorial: self.allow_tutorial_clients,
        }
    }
}
