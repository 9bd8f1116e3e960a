//! The server's main: reads the arguments, serves until a signal, drains.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::Context as _;
use clap::Parser;
use hubbub::address::{Address, InvalidPort};
use hubbub::limits;
use hubbub::server::{Server, ServerConfig};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// The chat server.
#[derive(Debug, Parser)]
#[command(version, about, after_help = EXAMPLES)]
struct Args {
    #[arg(long, value_name = "ADDR", env = "HUBBUB_LISTEN", hide_env = true, value_delimiter = ',', help = LISTEN_HELP)]
    listen: Vec<Address>,

    /// How many clients to serve at once; each takes two threads
    #[arg(long, value_name = "N", env = "HUBBUB_CLIENTS_MAX", hide_env = true, default_value_t = limits::CLIENTS_MAX)]
    clients_max: usize,

    /// How many bytes of events to keep in memory; slow readers find there what they have not read yet
    #[arg(long, value_name = "BYTES", env = "HUBBUB_LOG_BYTES_MAX", hide_env = true, default_value_t = limits::MEMORY_LOG_BYTES_MAX)]
    log_bytes_max: usize,
}

/// The exit code of a program that was called wrongly.
const EXIT_USAGE: u8 = 2;

const LISTEN_HELP: &str = "HOST:PORT, [IPV6]:PORT or unix:PATH; may be given several times [default: 127.0.0.1:5000; \
                           PORT sets that port]";

const EXAMPLES: &str = "\
Examples:
  hubbub-server                                        serve this machine on port 5000
  hubbub-server --listen 0.0.0.0:5000                  serve everybody who can reach it
  hubbub-server --listen unix:/run/hubbub.sock         serve a Unix socket

Every flag has a variable: HUBBUB_LISTEN, HUBBUB_CLIENTS_MAX, HUBBUB_LOG_BYTES_MAX. RUST_LOG sets what is logged.
Ctrl-C drains; a second one exits at once. Exit codes: 0 done, 1 failed, 2 wrong usage.";

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info,grpcio=off")).init();
    let config = match config(Args::parse()) {
        Ok(config) => config,
        Err(error) => {
            log::error!("{error}");
            return ExitCode::from(EXIT_USAGE);
        }
    };
    match serve(&config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn serve(config: &ServerConfig) -> anyhow::Result<()> {
    // A second signal exits at once: the flag is set by the first one, and only then the shutdown is armed.
    let stopping = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::clone(&stopping))
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&stopping)))
            .context("can't handle signals")?;
    }
    let mut signals = Signals::new([SIGINT, SIGTERM]).context("can't handle signals")?;

    hubbub::descriptors::allow_many();
    let server = Server::start(config)?;
    for address in server.addresses() {
        log::info!("listening on {address}");
    }
    if signals.forever().next().is_some() {
        log::info!("draining {} clients; a second signal exits at once", server.client_count());
    }
    match server.drain() {
        0 => log::info!("drained"),
        cancelled => log::warn!("{cancelled} clients did not read to the end in time and were cut off"),
    }
    Ok(())
}

fn config(args: Args) -> Result<ServerConfig, InvalidPort> {
    let listen = if args.listen.is_empty() { vec![Address::default_local()?] } else { args.listen };
    Ok(ServerConfig {
        listen,
        clients_max: args.clients_max,
        memory_log_bytes_max: args.log_bytes_max,
        ..ServerConfig::default()
    })
}
