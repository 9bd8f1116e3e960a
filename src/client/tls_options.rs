//! The options of the client programs for TLS.

use std::path::PathBuf;

use super::connect_error::ConnectError;
use super::known_servers::KnownServers;
use super::tls::ClientTls;
use crate::address::Address;
use crate::arguments::{CONNECTION, Given, switch};

/// Whether and how to connect with TLS. Unix sockets are never connected with TLS.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct TlsOptions {
    /// Connect with TLS
    ///
    /// Trusts the certificate authorities of this machine; SSL_CERT_FILE names another file with them. A server that was
    /// trusted on first use is connected with TLS without this option.
    #[arg(
        long, global = true, env = "HUBBUB_TLS", value_parser = switch, hide_short_help = true,
        help_heading = CONNECTION, display_order = 15
    )]
    tls: bool,

    /// Connect with TLS, and trust only the authorities in this file
    ///
    /// Certificates in PEM.
    #[arg(
        long, global = true, value_name = "FILE", env = "HUBBUB_CA", hide_short_help = true, help_heading = CONNECTION,
        display_order = 16
    )]
    ca: Option<PathBuf>,

    /// Connect with TLS, and show this certificate to the server
    ///
    /// In PEM; needs --key.
    #[arg(
        long, global = true, value_name = "FILE", env = "HUBBUB_CERT", hide_short_help = true,
        help_heading = CONNECTION, display_order = 17
    )]
    cert: Option<PathBuf>,

    /// Private key of the certificate of --cert
    ///
    /// In PEM, not encrypted. Other users may not read the file.
    #[arg(
        long, global = true, value_name = "FILE", env = "HUBBUB_KEY", hide_short_help = true, help_heading = CONNECTION,
        display_order = 18
    )]
    key: Option<PathBuf>,

    /// Name that the server's certificate must have
    ///
    /// By default that of --server. Needed where the server is reached by another name or address.
    #[arg(
        long, global = true, value_name = "NAME", env = "HUBBUB_SERVER_NAME", hide_short_help = true,
        help_heading = CONNECTION, display_order = 19
    )]
    server_name: Option<String>,

    /// Ask whether to trust the server's authority, and remember it
    ///
    /// For a server whose certificate is not from a public authority. Shows the fingerprint and asks, once, on a terminal.
    #[arg(
        long, global = true, env = "HUBBUB_TRUST_ON_FIRST_USE", value_parser = switch, hide_short_help = true,
        help_heading = CONNECTION, display_order = 19
    )]
    trust_on_first_use: bool,
}

/// How to connect with TLS by a profile of the config file.
#[derive(Clone, Debug, Default)]
pub struct TlsProfile {
    pub tls: bool,
    pub ca: Option<PathBuf>,
    pub cert: Option<PathBuf>,
    pub key: Option<PathBuf>,
    pub server_name: Option<String>,
}

impl TlsOptions {
    /// Takes from a profile what the options do not say.
    pub fn complete(&mut self, profile: TlsProfile) {
        let TlsProfile { tls, ca, cert, key, server_name } = profile;
        self.tls |= tls;
        self.ca = self.ca.take().or(ca);
        if self.cert.is_none() && self.key.is_none() {
            (self.cert, self.key) = (cert, key);
        }
        self.server_name = self.server_name.take().or(server_name);
    }

    /// The faults of options that concern each other.
    pub fn check(&self, given: &Given<'_>) -> Vec<String> {
        let mut faults = Vec::new();
        match (&self.cert, &self.key) {
            (Some(_), None) => faults.push(format!("{} needs its private key: give it with --key", given.name("cert"))),
            (None, Some(_)) => faults.push(format!("{} needs its certificate: give it with --cert", given.name("key"))),
            _ => {}
        }
        if self.ca.is_some() && given.is_flag("trust_on_first_use") {
            faults.push("--trust-on-first-use can't be used with --ca: it has an authority already".to_owned());
        }
        if let Some(name) = &self.server_name
            && rustls::pki_types::ServerName::try_from(name.as_str()).is_err()
        {
            faults.push(format!("{}: expected a host name or an IP address", given.name("server_name")));
        }
        faults
    }

    /// Whether they ask for TLS.
    pub fn are_given(&self) -> bool {
        self.tls || self.ca.is_some() || self.cert.is_some() || self.server_name.is_some() || self.trust_on_first_use
    }

    /// How to connect to a server; `None` is without TLS. May ask the user. `needed` says that the server is known to use
    /// TLS.
    pub fn for_server(&self, address: &Address, needed: bool) -> Result<Option<ClientTls>, ConnectError> {
        if let Address::Unix(_) = address {
            return Ok(None);
        }
        let known = KnownServers::of_user();
        let found = match (&self.ca, &known) {
            (Some(path), _) => Some(ClientTls::trusting(path)?),
            (None, Ok(known)) => known.find(address)?,
            (None, Err(_)) => None,
        };
        let tls = match found {
            Some(found) => found,
            None if self.trust_on_first_use => known?.ask(address)?,
            None if needed || self.tls || self.cert.is_some() || self.server_name.is_some() => ClientTls::system()?,
            None => return Ok(None),
        };
        let tls = match (&self.cert, &self.key) {
            (Some(certificate), Some(key)) => tls.with_identity(certificate, key)?,
            _ => tls,
        };
        Ok(Some(tls.with_server_name(self.server_name.clone())))
    }
}
