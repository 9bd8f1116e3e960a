//! The server's main: reads the arguments, serves until a signal, drains.

use std::io;
use std::io::Write as _;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use hubbub::address::{Address, InvalidPort};
use hubbub::client::switch;
use hubbub::escape::escape;
use hubbub::limits;
use hubbub::server::log::Retention;
use hubbub::server::log::sqlite::{self, Report, Sync};
use hubbub::server::{DEFAULT_DATA, Server, ServerConfig, Storage};
use hubbub::threads;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::Signals;

/// The chat server.
#[derive(Debug, Parser)]
#[command(version, about, after_help = EXAMPLES)]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,

    #[arg(long, value_name = "ADDR", env = "HUBBUB_LISTEN", hide_env = true, value_delimiter = ',', help = LISTEN_HELP)]
    listen: Vec<Address>,

    /// Where to keep what was said; made where there is none
    #[arg(long, value_name = "DIR", env = "HUBBUB_DATA", hide_env = true, default_value = DEFAULT_DATA, global = true)]
    data: PathBuf,

    /// Keep what was said in memory only, until the server ends
    #[arg(long, env = "HUBBUB_EPHEMERAL", hide_env = true, value_parser = switch)]
    ephemeral: bool,

    /// When a message counts as stored: "full" once the disk has it, "os" once the system has it
    #[arg(long, value_name = "SYNC", env = "HUBBUB_SYNC", hide_env = true, default_value = "full", value_parser = sync)]
    sync: Sync,

    /// The data is an older copy: tell clients which messages they have seen are lost. Not needed after `restore`
    #[arg(long, env = "HUBBUB_RESTORED", hide_env = true, value_parser = switch, conflicts_with = "ephemeral")]
    restored: bool,

    /// Keep each message for so long, such as 90d or 12h [default: for ever]
    #[arg(long, value_name = "TIME", env = "HUBBUB_RETAIN_FOR", hide_env = true, value_parser = retain_for)]
    retain_for: Option<Duration>,

    /// Keep the newest so many messages of each room [default: all]
    #[arg(long, value_name = "N", env = "HUBBUB_RETAIN_MESSAGES", hide_env = true)]
    retain_messages: Option<NonZeroU64>,

    /// The name of --retain-messages before
    #[arg(long, value_name = "N", env = "HUBBUB_RETAIN_EVENTS", hide = true)]
    retain_events: Option<NonZeroU64>,

    /// Believe the clock as it is, though it is far from the time that the log has seen. For one start only
    #[arg(long, env = "HUBBUB_TRUST_CLOCK", hide_env = true, value_parser = switch)]
    trust_clock: bool,

    /// The mode of Unix sockets, such as 0660 for a group [default: by the umask, usually the owner only]
    #[arg(long, value_name = "MODE", env = "HUBBUB_SOCKET_MODE", hide_env = true, value_parser = socket_mode)]
    socket_mode: Option<u32>,

    /// How many clients to serve at once; each takes two threads [default: 7500, or as many as the system's limits allow]
    #[arg(long, value_name = "N", env = "HUBBUB_CLIENTS_MAX", hide_env = true)]
    clients_max: Option<usize>,

    /// How many threads poll connections; each connection has one of them [default: one for every two processors]
    #[arg(long, value_name = "N", env = "HUBBUB_POLLERS", hide_env = true, value_parser = clap::value_parser!(u16).range(1..=limits::POLLERS_MAX as i64))]
    pollers: Option<u16>,

    /// How many bytes of messages an ephemeral server keeps in all
    #[arg(long, value_name = "BYTES", env = "HUBBUB_LOG_BYTES_MAX", hide_env = true, default_value_t = limits::MEMORY_LOG_BYTES_MAX)]
    log_bytes_max: usize,
}

/// What to do instead of serving.
#[derive(Debug, Subcommand)]
enum Command {
    /// Write a backup of the data folder's log to FILE, while a server runs or not
    Backup {
        file: PathBuf,
        /// Replace FILE if it exists
        #[arg(long)]
        force: bool,
    },
    /// Replace the data folder's log by a backup, while no server runs
    Restore { file: PathBuf },
    /// Check the log in the data folder, or a backup FILE, completely; exits with 1 if there is a fault
    Verify { file: Option<PathBuf> },
}

/// The exit code of a program that was called wrongly.
const EXIT_USAGE: u8 = 2;

/// Why the server ends without a signal.
const LOG_FAILED: &str = "the log has stopped";

const LISTEN_HELP: &str = "HOST:PORT, [IPV6]:PORT or unix:PATH; may be given several times [default: 127.0.0.1:5000; \
                           PORT sets that port]";

const EXAMPLES: &str = "\
Examples:
  hubbub-server                                        serve this machine on port 5000
  hubbub-server --listen 0.0.0.0:5000 --data /var/lib/hubbub
  hubbub-server --listen unix:/run/hubbub.sock         serve a Unix socket
  hubbub-server --retain-for 90d --retain-messages 1000000
  hubbub-server --ephemeral                            keep nothing
  hubbub-server backup /backups/monday.db              back up ./hubbub-data

Every flag has a variable, such as HUBBUB_LISTEN or HUBBUB_EPHEMERAL=1. RUST_LOG sets what is logged.
Ctrl-C, SIGTERM and SIGHUP drain; another signal, a second later or more, exits at once. Exit codes: 0 done; 1 failed, the
drain did not finish, or the log could not be closed in good order; 2 wrong usage.";

fn main() -> ExitCode {
    hubbub::startup::forget_empty_variables();
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info,grpcio=off")).init();
    let args = Args::parse();
    if let Some(command) = &args.command {
        return match run(command, &args.data) {
            Ok(code) => code,
            Err(error) => {
                complain(&format!("{error:#}"));
                ExitCode::FAILURE
            }
        };
    }
    let config = match config(args) {
        Ok(config) => config,
        Err(error) => {
            complain(&error.to_string());
            return ExitCode::from(EXIT_USAGE);
        }
    };
    match serve(&config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Says why the server ends, whatever `RUST_LOG` has the log leave out.
fn complain(error: &str) {
    let _ = writeln!(std::io::stderr(), "hubbub-server: {}", escape(error));
}

fn run(command: &Command, data: &Path) -> anyhow::Result<ExitCode> {
    match command {
        Command::Backup { file, force } => {
            let bytes = sqlite::backup(data, file, *force)?;
            println!("{}: {bytes} bytes", file.display());
        }
        Command::Restore { file } => {
            let report = sqlite::restore(data, file)?;
            println!("restored into {}: {}", data.display(), summary(&report));
        }
        Command::Verify { file } => {
            let report = sqlite::verify(file.as_deref().unwrap_or(data))?;
            report.faults.iter().for_each(|fault| println!("{fault}"));
            println!("{}", summary(&report));
            if !report.faults.is_empty() {
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn summary(report: &Report) -> String {
    let unchecked = match report.unchecked {
        0 => String::new(),
        count => format!(", {count} segments of an earlier version without a checksum"),
    };
    let faults = match report.faults.len() {
        0 => "no faults".to_owned(),
        1 => "1 fault".to_owned(),
        count => format!("{count} faults"),
    };
    format!("{} rooms, {} messages, {faults}{unchecked}", report.rooms, report.messages)
}

fn serve(config: &ServerConfig) -> anyhow::Result<()> {
    // A file that may not grow any more is like a full disk, which the server outlives; the system would end it.
    signal_hook::flag::register(SIGXFSZ, Arc::default()).context("can't handle signals")?;
    let (stop, stopping) = sync_channel(1);
    let failed = stop.clone();
    let clients = Arc::new(OnceLock::new());
    watch_signals(stop, Arc::clone(&clients)).context("can't handle signals")?;

    hubbub::descriptors::allow_many();
    let server = Server::start(config)?;
    let _ = clients.set(server.client_counter());
    for address in server.addresses() {
        log::info!("listening on {address}");
    }
    let life = server.log_life();
    if let Some(life) = &life {
        life.on_end(Box::new(move || {
            let _ = failed.try_send(LOG_FAILED);
        }));
    }
    if let Ok(cause) = stopping.recv() {
        log::info!("{cause}: draining {} clients; another signal exits at once", server.client_count());
    }
    let cancelled = server.drain();
    let fault = life.as_ref().and_then(|life| life.fault());
    match (cancelled, fault) {
        (0, None) => log::info!("drained"),
        (0, Some(_)) => {}
        (cancelled, _) => log::warn!("{cancelled} clients did not read to the end in time and were cut off"),
    }
    if let Some(fault) = fault {
        anyhow::bail!("the log was not closed in good order: {fault}");
    }
    anyhow::ensure!(cancelled == 0, "the drain did not finish");
    Ok(())
}

/// Starts the thread that waits for signals. The first one begins the drain. One that follows within a second belongs to
/// the same stop: `timeout` signals its child and then the whole group, and a terminal and a supervisor may both signal.
/// A later one ends the process. The thread ends with the process.
fn watch_signals<C: Fn() -> usize + Send + std::marker::Sync + 'static>(
    stop: SyncSender<&'static str>,
    clients: Arc<OnceLock<C>>,
) -> io::Result<()> {
    let mut handled = vec![SIGINT, SIGTERM];
    // Whoever started the server with `nohup` wants it to outlive the terminal.
    if !is_ignored(SIGHUP) {
        handled.push(SIGHUP);
    }
    let mut signals = Signals::new(handled)?;
    let watch = move || {
        let mut first: Option<Instant> = None;
        for signal in signals.forever() {
            let name = signal_hook::low_level::signal_name(signal).unwrap_or("signal");
            match first {
                None => {
                    first = Some(Instant::now());
                    let _ = stop.try_send(name);
                }
                Some(first) if first.elapsed() < limits::SECOND_SIGNAL_AFTER => {}
                Some(_) => {
                    let count = clients.get().map_or(0, |count| count());
                    log::warn!("{name}: exiting at once; {count} clients were not drained");
                    signal_hook::low_level::exit(1);
                }
            }
        }
    };
    threads::spawn("signals", watch)?;
    Ok(())
}

fn is_ignored(signal: libc::c_int) -> bool {
    // SAFETY: sigaction with no new action only writes the current one, to which the pointer is; zeros are valid for it.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal, std::ptr::null(), &raw mut action) == 0 && action.sa_sigaction == libc::SIG_IGN
    }
}

fn config(args: Args) -> Result<ServerConfig, InvalidPort> {
    let listen = if args.listen.is_empty() { vec![Address::default_local()?] } else { args.listen };
    let storage = if args.ephemeral {
        Storage::Memory { bytes_max: args.log_bytes_max }
    } else {
        Storage::Folder { path: args.data, sync: args.sync, restored: args.restored }
    };
    let retention = Retention {
        time: args.retain_for,
        messages: args.retain_messages.or(args.retain_events).map(NonZeroU64::get),
        ..Retention::default()
    };
    let default = ServerConfig::default();
    let clients_max = args.clients_max.unwrap_or(default.clients_max);
    if args.clients_max.is_none() && clients_max < limits::CLIENTS_MAX {
        log::warn!("only {clients_max} clients can be served at once: ulimit -n or vm.max_map_count allows no more");
    }
    let pollers = args.pollers.map_or(default.pollers, usize::from);
    Ok(ServerConfig {
        listen,
        clients_max,
        socket_mode: args.socket_mode,
        storage,
        retention,
        trust_clock: args.trust_clock,
        pollers,
        ..default
    })
}

fn sync(text: &str) -> Result<Sync, String> {
    match text {
        "full" => Ok(Sync::Full),
        "os" => Ok(Sync::Os),
        _ => Err("give \"full\" or \"os\"".to_owned()),
    }
}

fn retain_for(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).map_err(|_| "give a number and a unit, such as 90d, 12h or 30m")?;
    if time.is_zero() { Err("give more than 0, or leave it out to keep all".to_owned()) } else { Ok(time) }
}

fn socket_mode(text: &str) -> Result<u32, String> {
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777);
    mode.ok_or_else(|| "give an octal mode from 0000 to 0777, such as 0660".to_owned())
}
