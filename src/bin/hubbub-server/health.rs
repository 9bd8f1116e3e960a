//! `hubbub-server health`: a probe, for containers and supervisors.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, bail};
use hubbub::address::Address;
use hubbub::arguments::{CONNECTION, EXIT_USAGE, switch, timeout};
use hubbub::certificates::{Authorities, Facts};
use hubbub::client::{ClientTls, Connector, check_health};
use hubbub::escape::escape;
use rustls::pki_types::ServerName;

use crate::options::Args;
use crate::words::complain;

pub const EXAMPLES: &str = "\
Examples:
  hubbub-server health                     the server of this environment
  hubbub-server health chat.example.org:5000 --tls
  hubbub-server health unix:/run/hubbub.sock --timeout 1
  hubbub-server health --service hubbub.v1.ChatService";

/// Which server to ask, and how.
#[derive(Debug, clap::Args)]
pub struct HealthProbe {
    /// Address of the server [default: the first of HUBBUB_LISTEN]
    ///
    /// HOST:PORT, [IPV6]:PORT or unix:PATH. By default the first address of HUBBUB_LISTEN or of the file of --config, on
    /// this machine, or 127.0.0.1:5000; the variable PORT changes the port.
    #[arg(value_name = "ADDR")]
    address: Option<Address>,

    /// Service to ask about, for example hubbub.v1.ChatService
    ///
    /// By default the server as a whole.
    #[arg(
        long, value_name = "NAME", env = "HUBBUB_SERVICE", default_value = "", hide_default_value = true,
        help_heading = CONNECTION, display_order = 50
    )]
    service: String,

    /// How long the whole check may take
    #[arg(
        long, value_name = "TIME", env = "HUBBUB_TIMEOUT", value_parser = timeout, default_value = "3",
        help_heading = CONNECTION, display_order = 51
    )]
    timeout: Duration,

    /// Connect with TLS
    ///
    /// Trusts the certificate authorities of this machine. Without these options, but with HUBBUB_TLS_CERT or tls-cert in
    /// the file of --config, as the server has it: connects with TLS and expects that certificate.
    #[arg(long, env = "HUBBUB_TLS", value_parser = switch, help_heading = CONNECTION, display_order = 52)]
    tls: bool,

    /// Connect with TLS, and trust only the authorities in this file
    #[arg(long, value_name = "FILE", env = "HUBBUB_CA", help_heading = CONNECTION, display_order = 53)]
    ca: Option<PathBuf>,

    /// Connect with TLS, and show this certificate; needs --key
    #[arg(long, value_name = "FILE", env = "HUBBUB_CERT", help_heading = CONNECTION, display_order = 54)]
    cert: Option<PathBuf>,

    /// Private key of the certificate of --cert
    #[arg(long, value_name = "FILE", env = "HUBBUB_KEY", help_heading = CONNECTION, display_order = 55)]
    key: Option<PathBuf>,

    /// Name that the server's certificate must have
    #[arg(long, value_name = "NAME", env = "HUBBUB_SERVER_NAME", help_heading = CONNECTION, display_order = 56)]
    server_name: Option<String>,
}

/// Asks, and prints a line. The exit code is 0 if the server serves, and 1 otherwise.
pub fn run(probe: &HealthProbe, args: &Args) -> anyhow::Result<ExitCode> {
    if probe.cert.is_some() != probe.key.is_some() {
        complain("--cert and --key (HUBBUB_CERT and HUBBUB_KEY) need each other: give both");
        return Ok(ExitCode::from(EXIT_USAGE));
    }
    if probe.server_name.as_deref().is_some_and(|name| ServerName::try_from(name).is_err()) {
        complain("--server-name (HUBBUB_SERVER_NAME): expected a host name or an IP address");
        return Ok(ExitCode::from(EXIT_USAGE));
    }
    let address = match &probe.address {
        Some(address) => address.clone(),
        None => own_address(args)?,
    };
    let connector = Connector::new(1).with_tls(probe.tls(&address, args.tls_certificate())?);
    let is_serving = check_health(&connector, &address, &probe.service, probe.timeout)?;
    let service = if probe.service.is_empty() { String::new() } else { format!("{}: ", escape(&probe.service)) };
    if is_serving {
        println!("{address}: {service}SERVING");
        return Ok(ExitCode::SUCCESS);
    }
    println!("{address}: {service}NOT_SERVING: it starts, shuts down, or can't store messages; see its log");
    Ok(ExitCode::FAILURE)
}

/// Where the server of this environment listens, as clients on this machine reach it.
fn own_address(args: &Args) -> anyhow::Result<Address> {
    let first = match args.listen().first() {
        Some(address) => address.clone(),
        None => Address::default_local()?,
    };
    match first {
        Address::Tcp { port: 0, .. } => bail!("the server's port is 0, so the system chose one: give the address"),
        Address::Tcp { host, port } => {
            let host = match host.parse::<IpAddr>() {
                Ok(IpAddr::V4(ip)) if ip.is_unspecified() => "127.0.0.1".to_owned(),
                Ok(IpAddr::V6(ip)) if ip.is_unspecified() => "::1".to_owned(),
                _ => host,
            };
            Ok(Address::Tcp { host, port })
        }
        socket => Ok(socket),
    }
}

impl HealthProbe {
    /// How to connect with TLS; `None` is without. `own` is the certificate of the server of this environment.
    fn tls(&self, address: &Address, own: Option<&Path>) -> anyhow::Result<Option<ClientTls>> {
        if let Address::Unix(_) = address {
            return Ok(None);
        }
        let is_asked_for = self.tls || self.cert.is_some() || self.server_name.is_some();
        let tls = match (&self.ca, own) {
            (Some(ca), _) => ClientTls::trusting(ca)?,
            (None, Some(own)) if !is_asked_for => return expecting(own).map(Some),
            (None, _) if is_asked_for => ClientTls::system()?,
            (None, _) => return Ok(None),
        };
        let tls = match (&self.cert, &self.key) {
            (Some(certificate), Some(key)) => tls.with_identity(certificate, key)?,
            _ => tls,
        };
        Ok(Some(tls.with_server_name(self.server_name.clone())))
    }
}

/// Trusts this certificate only, under one of its names: a probe reaches its server at an address of this machine.
fn expecting(certificate: &Path) -> anyhow::Result<ClientTls> {
    let authorities = Authorities::read(certificate, SystemTime::now())?;
    let facts = authorities.certificates.first().and_then(|first| Facts::of(first).ok());
    let names = facts.map(|facts| facts.names).unwrap_or_default();
    let is_host = |name: &&String| name.parse::<IpAddr>().is_err();
    let name = names.iter().find(is_host).or(names.first());
    let name = name.with_context(|| format!("{} has no name of a server", certificate.display()))?;
    // A wildcard stands for any one label.
    let name = name.replacen('*', "health", 1);
    Ok(ClientTls::trusting(certificate)?.with_server_name(Some(name)))
}
