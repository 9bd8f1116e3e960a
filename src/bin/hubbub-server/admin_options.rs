//! The options of the admin face.

use clap::Args;
use hubbub::address::Address;
use hubbub::arguments::CONNECTION;
use hubbub::server::AdminConfig;

use crate::http_options::{Place, host};

/// Where metrics are shown, unless another address is given.
const DEFAULT_ADDRESS: &str = "127.0.0.1:9464";

#[derive(Debug, Args)]
pub struct AdminOptions {
    /// Show metrics and the server's state here
    ///
    /// HOST:PORT, unix:PATH, or none. /metrics is for Prometheus, /healthz and /readyz are for probes, and /statusz is a page
    /// for people. There is no login: let only your monitoring reach it. If the default address is taken, the server has
    /// none of this.
    #[arg(
        long, value_name = "ADDR", env = "HUBBUB_ADMIN", default_value = DEFAULT_ADDRESS, hide_short_help = true,
        help_heading = CONNECTION, display_order = 15
    )]
    admin: Place,

    /// Name under which --admin is reached; repeatable
    ///
    /// Addresses and localhost are known. Requests for other names are refused, because a page of an attacker could
    /// make its own name point to this machine.
    #[arg(
        long, value_name = "NAME", env = "HUBBUB_ADMIN_HOST", value_delimiter = ',', value_parser = host,
        hide_short_help = true, help_heading = CONNECTION, display_order = 16
    )]
    admin_host: Vec<String>,
}

impl AdminOptions {
    /// The configuration; `None` without an admin face.
    pub fn config(self) -> Option<AdminConfig> {
        let Place::At(address) = self.admin else { return None };
        let may_be_taken = DEFAULT_ADDRESS.parse().is_ok_and(|default: Address| default == address);
        Some(AdminConfig { address, may_be_taken, hosts: self.admin_host })
    }
}
