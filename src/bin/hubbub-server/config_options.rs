//! The options for the configuration file.

use std::path::PathBuf;

use hubbub::arguments::CONFIGURATION;

/// Where the other options may be given.
#[derive(Debug, clap::Args)]
pub struct ConfigOptions {
    /// Read options from this file, in TOML
    ///
    /// Each option of the server is a key, by its name without the dashes. An option on the command line overrides its
    /// variable, and that overrides the file. A command reads --data there. A server that was not started from a terminal
    /// reads the file again on SIGHUP: docs/configuration.md lists the keys that then take effect.
    #[arg(
        long, value_name = "FILE", env = "HUBBUB_CONFIG", global = true, hide_short_help = true,
        help_heading = CONFIGURATION, display_order = 90
    )]
    pub config: Option<PathBuf>,

    /// Check the options and the files that they name, and exit
    ///
    /// Reports every fault, and exits with 2 if there is one. Starts nothing and creates nothing. Run it as the user who
    /// runs the server.
    #[arg(long, hide_short_help = true, help_heading = CONFIGURATION, display_order = 91)]
    pub check_config: bool,

    /// Print a configuration file with all keys, and exit
    ///
    /// Keys that are not given have a # before them. The server accepts the file as it is.
    #[arg(long, hide_short_help = true, help_heading = CONFIGURATION, display_order = 92)]
    pub print_config: bool,
}
