//! The options for TLS.

use std::path::{Path, PathBuf};

use hubbub::arguments::{CONNECTION, Given};
use hubbub::server::config::TlsFiles;

/// Whether and how the server speaks TLS.
#[derive(Debug, clap::Args)]
pub struct TlsOptions {
    /// Certificate of the server, in PEM, with those between it and its authority
    ///
    /// With it, all TCP addresses speak TLS (1.2 or later); Unix sockets do not. The file is read again when it changes,
    /// or on SIGHUP. hubbub-server dev-cert makes one for trying.
    #[arg(
        long, value_name = "FILE", env = "HUBBUB_TLS_CERT", hide_short_help = true, help_heading = CONNECTION,
        display_order = 12
    )]
    tls_cert: Option<PathBuf>,

    /// Private key of that certificate, in PEM, not encrypted
    ///
    /// ECDSA (P-256 or P-384) or RSA. Other users may not read the file.
    #[arg(
        long, value_name = "FILE", env = "HUBBUB_TLS_KEY", hide_short_help = true, help_heading = CONNECTION,
        display_order = 13
    )]
    tls_key: Option<PathBuf>,

    /// Authorities that sign the certificates of clients, in PEM
    ///
    /// A client's certificate is its login: see --auth mtls. Use an authority of your own: everyone to whom it gives a
    /// certificate can log in.
    #[arg(
        long, value_name = "FILE", env = "HUBBUB_CLIENT_CA", hide_short_help = true, help_heading = CONNECTION,
        display_order = 14
    )]
    client_ca: Option<PathBuf>,
}

impl TlsOptions {
    /// The faults of options that concern each other.
    pub fn check(&self, given: &Given<'_>) -> Vec<String> {
        let mut faults = Vec::new();
        match (&self.tls_cert, &self.tls_key) {
            (Some(_), None) => {
                faults.push(format!("{} needs its private key: give it with --tls-key", given.name("tls_cert")))
            }
            (None, Some(_)) => {
                faults.push(format!("{} needs its certificate: give it with --tls-cert", given.name("tls_key")))
            }
            (None, None) if self.client_ca.is_some() => {
                faults.push(format!("{} needs TLS: give --tls-cert and --tls-key", given.name("client_ca")));
            }
            _ => {}
        }
        faults
    }

    pub fn certificate(&self) -> Option<&Path> {
        self.tls_cert.as_deref()
    }

    pub fn has_client_ca(&self) -> bool {
        self.client_ca.is_some()
    }

    pub fn files(self) -> Option<TlsFiles> {
        let (certificate, key) = self.tls_cert.zip(self.tls_key)?;
        Some(TlsFiles { certificate, key, client_ca: self.client_ca })
    }
}
