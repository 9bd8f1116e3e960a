//! The options of the HTTP face.

use std::str::FromStr;

use clap::Args;
use hubbub::address::Address;
use hubbub::arguments::CONNECTION;
use hubbub::server::HttpConfig;

/// Where HTTP is served, unless another address is given.
const DEFAULT_ADDRESS: &str = "127.0.0.1:5080";

/// The help of the option for origins, short and long.
const ORIGIN_HELP: &str = "Site whose pages may use HTTP; repeatable";
const ORIGIN_LONG_HELP: &str = "Site whose pages may use HTTP; repeatable\n\n\
                                For example https://app.example.org. Pages of other sites are refused.";

#[derive(Debug, Args)]
pub struct HttpOptions {
    /// Serve HTTP here
    ///
    /// HOST:PORT, unix:PATH, or none. A page for browsers, and the calls of the contract over HTTP/1.1, for curl and Connect
    /// clients. HTTP has no TLS of its own: for other machines, put a proxy with TLS in front of it. If the default address
    /// is taken, the server has no HTTP.
    #[arg(
        long, value_name = "ADDR", env = "HUBBUB_HTTP", default_value = DEFAULT_ADDRESS, help_heading = CONNECTION,
        display_order = 12
    )]
    http: Place,

    /// Name under which HTTP is reached; repeatable
    ///
    /// Addresses and localhost are known. Requests for other names are refused, because a page of an attacker could
    /// make its own name point to this machine. A proxy passes on the name that its clients ask for.
    #[arg(
        long, value_name = "NAME", env = "HUBBUB_HTTP_HOST", value_delimiter = ',', value_parser = host,
        hide_short_help = true, help_heading = CONNECTION, display_order = 13
    )]
    http_host: Vec<String>,

    #[arg(
        long, value_name = "ORIGIN", env = "HUBBUB_HTTP_ORIGIN", value_delimiter = ',', value_parser = origin,
        help = ORIGIN_HELP, long_help = ORIGIN_LONG_HELP, hide_short_help = true, help_heading = CONNECTION,
        display_order = 14
    )]
    http_origin: Vec<String>,
}

/// Where to serve HTTP, or the metrics.
#[derive(Clone, Debug)]
pub enum Place {
    None,
    At(Address),
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self::None),
            _ => text.parse().map(Self::At).map_err(|error: hubbub::address::InvalidAddress| error.to_string()),
        }
    }
}

impl HttpOptions {
    /// The configuration; `None` without HTTP. An inherited socket for HTTP replaces the default address.
    pub fn config(self, has_inherited: bool) -> Option<HttpConfig> {
        let Place::At(address) = self.http else { return None };
        let is_default = DEFAULT_ADDRESS.parse().is_ok_and(|default: Address| default == address);
        let address = Some(address).filter(|_| !(is_default && has_inherited));
        let may_be_taken = is_default && address.is_some();
        Some(HttpConfig { address, may_be_taken, hosts: self.http_host, origins: self.http_origin })
    }
}

/// The name of a host, in lower case.
pub fn host(text: &str) -> Result<String, String> {
    let is_in_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let name = text.trim().trim_end_matches('.');
    match !name.is_empty() && name.bytes().all(is_in_name) {
        true => Ok(name.to_ascii_lowercase()),
        false => Err("expected a name such as chat.example.org, without a port".to_owned()),
    }
}

fn origin(text: &str) -> Result<String, String> {
    let origin = text.trim().trim_end_matches('/');
    let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
    match host {
        Some(host) if !host.is_empty() && !host.contains(['/', '*', ' ']) => {
            // A browser leaves the usual port out.
            let usual = if origin.starts_with("https://") { ":443" } else { ":80" };
            Ok(origin.strip_suffix(usual).unwrap_or(origin).to_ascii_lowercase())
        }
        _ => Err("expected https://NAME or http://NAME, with a port if it is not the usual one".to_owned()),
    }
}
