//! The server's main: reads the arguments, serves until a signal, drains.

#![allow(rustdoc::broken_intra_doc_links, reason = "help texts show addresses in brackets")]

mod auth_options;
mod http_options;
mod admin_options;
mod config_options;
mod commands;
mod dev_cert;
mod health;
mod jwt_options;
mod options;
mod configuration;
mod rooms;
mod stats;
mod start_line;
mod progress;
mod tls_options;
mod operate;
mod supervised;
mod users;
mod tokens;
mod words;

use std::env;
use std::io::{self, IsTerminal as _};
use std::process::ExitCode;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use anyhow::Context as _;
use hubbub::address::Address;
use hubbub::arguments::version::SYNCS_DATA_ONLY;
use hubbub::arguments::{self, EXIT_USAGE, Reading};
use hubbub::escape::escape;
use hubbub::limits;
use hubbub::logging;
use hubbub::server::adjuster::Adjuster;
use hubbub::server::log::sqlite::SyncMode;
use hubbub::server::reload::Reloader;
use hubbub::server::{Server, ServerConfig, StartError, Storage};
use hubbub::supervisor::sockets::InheritedSockets;
use hubbub::threads;
use log::{Level, log_enabled};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::Signals;

use self::configuration::RunningConfig;
use self::options::Args;
use self::supervised::Supervised;
use self::words::{PROGRAM, complain};

/// The variable that lets the C core log what it reads and writes, to the last byte.
const CORE_TRACE: &str = "GRPC_TRACE";

/// Why the server exits without a signal.
const LOG_FAILED: &str = "the log has stopped";

fn main() -> ExitCode {
    // Whatever this program creates is for its user alone, also what SQLite and gRPC create.
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    hubbub::startup::forget_empty_variables();
    threads::end_process_on_panic();
    let arguments: Vec<_> = env::args_os().collect();
    arguments::generate_if_asked::<Args>(&arguments);
    let mut reading =
        arguments::inspect::<Args>(&arguments, option_env!("HUBBUB_COMMIT")).unwrap_or_else(|help| help.exit());
    let (checks, prints) = match &reading.options {
        Some(args) => (args.config.check_config, args.config.print_config),
        None => (false, false),
    };
    if checks {
        return configuration::check(reading);
    }
    let args = match reading.options.take() {
        Some(args) if reading.faults.is_empty() => args,
        _ => {
            arguments::complain(PROGRAM, &reading.faults);
            return ExitCode::from(EXIT_USAGE);
        }
    };
    if prints {
        return configuration::print(&reading.settings);
    }
    let logging = logging::install(args.log_format);
    // Without a handler, a file that reaches its size limit would end the program; with it, the write fails as on a
    // full disk.
    if let Err(error) = signal_hook::flag::register(SIGXFSZ, Arc::default()) {
        log::warn!("can't handle SIGXFSZ: {error}");
    }
    if let Some(command) = &args.command {
        let run = || commands::run(command, &args);
        return match check_descriptors().and_then(|()| run()) {
            Ok(code) => code,
            Err(error) => {
                complain(&format!("{error:#}"));
                ExitCode::FAILURE
            }
        };
    }
    for warning in configuration::warnings(&reading) {
        log::warn!("{}", escape(&warning));
    }
    if env::var_os(CORE_TRACE).is_some_and(|value| !value.is_empty()) && log_enabled!(target: "grpcio", Level::Info) {
        log::warn!("{CORE_TRACE} is set, so the log may show messages and tokens: unset it, except for tests");
    }
    let has_file = args.config.config.is_some();
    let running = has_file.then(|| {
        let Reading { settings, file_is_empty, .. } = reading;
        move |adjuster| RunningConfig::new(arguments, settings, file_is_empty, adjuster)
    });
    args.panic_in.iter().cloned().for_each(threads::ask_for_panic);
    let inherited = match InheritedSockets::from_environment() {
        Ok(inherited) => inherited,
        Err(error) => {
            complain(&error.to_string());
            return ExitCode::FAILURE;
        }
    };
    let config = match options::config(args, inherited) {
        Ok(config) => config,
        Err(error) => {
            logging.report(PROGRAM, &error.to_string());
            return ExitCode::from(EXIT_USAGE);
        }
    };
    let log_thread = logging.start_thread();
    if let Err(error) = &log_thread {
        log::warn!("log lines are written by the threads that log, because no thread can be started: {error}");
    }
    let outcome = serve(&config, running);
    // The lines come before the error.
    drop(log_thread);
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            logging.report(PROGRAM, &format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// A command that runs out of descriptors fails with SQLite's text, "unable to open database file".
fn check_descriptors() -> anyhow::Result<()> {
    hubbub::descriptors::allow_many();
    let (limit, least) = (hubbub::descriptors::limit(), limits::COMMAND_DESCRIPTORS_MIN);
    anyhow::ensure!(limit >= least, "only {limit} file descriptors are allowed: raise ulimit -n to {least} or more");
    Ok(())
}

/// Serves until the server is drained. `running` makes the configuration that is read again, if there is a file.
fn serve(config: &ServerConfig, running: Option<impl FnOnce(Adjuster) -> RunningConfig>) -> anyhow::Result<()> {
    let (stop, stopping) = sync_channel(1);
    let failed = stop.clone();
    let clients = Arc::new(OnceLock::new());
    let supervised = Supervised::from_environment();
    // A terminal that is closed sends it too.
    let has_files = running.is_some() || config.has_files_to_reload();
    let reloads = has_files && !io::stderr().is_terminal() || supervised.is_present();
    let reloader = reloads.then(Arc::<OnceLock<Reloader>>::default);
    let reload = reloader.clone().map(|reloader| {
        let supervised = Arc::clone(&supervised);
        move || supervised.reload(&reloader)
    });
    watch_signals(stop, Arc::clone(&clients), reload).context("can't handle signals")?;

    hubbub::descriptors::allow_many();
    if !SYNCS_DATA_ONLY && matches!(config.storage, Storage::Folder { sync: SyncMode::Full, .. }) {
        log::warn!(
            "this program was built without LIBSQLITE3_FLAGS=-DHAVE_FDATASYNC=1, so each commit takes longer: docs/install.md says \
             how to build it"
        );
    }
    let mut server = Server::start(config)?;
    if let Some(running) = running.filter(|_| reloads) {
        let adjuster = server.adjuster();
        server.also_reload(Box::new(running(adjuster)))?;
    }
    server.keep_library_until_exit();
    let _ = clients.set(server.client_counter());
    if let (Some(slot), Some(reloader)) = (&reloader, server.reloader()) {
        let _ = slot.set(reloader);
    }
    for address in server.addresses() {
        log::info!("listening on {address}");
    }
    for address in server.http_addresses() {
        match address {
            Address::Tcp { .. } => log::info!("serving HTTP on {address} (a page for browsers: http://{address}/)"),
            Address::Unix(_) => log::info!("serving HTTP on {address}"),
        }
    }
    for address in server.admin_addresses() {
        match address {
            Address::Tcp { .. } => {
                log::info!("showing metrics on {address} (the state for people: http://{address}/statusz)")
            }
            Address::Unix(_) => log::info!("showing metrics on {address}"),
        }
    }
    start_line::log(config, &server);
    let watchdog = supervised.serves(&server).map_err(StartError::from)?;
    let life = server.log_life();
    if let Some(life) = &life {
        life.on_end(Box::new(move || {
            let _ = failed.try_send(LOG_FAILED);
        }));
    }
    if let Ok(cause) = stopping.recv() {
        log::info!("{cause}: draining {} clients; another signal exits at once", server.client_count());
        drop(watchdog);
        supervised.stops(cause);
    }
    let cancelled = server.drain();
    let fault = life.as_ref().and_then(|life| life.fault());
    match (cancelled, fault) {
        (0, None) => log::info!("drained"),
        (0, Some(_)) => {}
        (cancelled, _) => log::warn!("{cancelled} clients did not read all messages in time and were cut off"),
    }
    if let Some(fault) = fault {
        anyhow::bail!("the log was not closed cleanly: {fault}");
    }
    anyhow::ensure!(cancelled == 0, "the drain did not finish");
    Ok(())
}

/// Starts the thread that waits for signals. The first one begins the drain. One that follows within a second belongs
/// to the same stop: `timeout` signals its child and then the whole group, and a terminal and a supervisor may both
/// signal. A later one ends the process. With `reload`, SIGHUP calls that instead. The thread ends with the process.
fn watch_signals<C: Fn() -> usize + Send + std::marker::Sync + 'static>(
    stop: SyncSender<&'static str>,
    clients: Arc<OnceLock<C>>,
    reload: Option<impl Fn() + Send + 'static>,
) -> io::Result<()> {
    let mut handled = vec![SIGINT, SIGTERM];
    // With `nohup`, the server should survive the terminal.
    if !is_ignored(SIGHUP) {
        handled.push(SIGHUP);
    }
    let mut signals = Signals::new(handled)?;
    let watch = move || {
        let mut first: Option<Instant> = None;
        for signal in signals.forever() {
            let name = signal_hook::low_level::signal_name(signal).unwrap_or("signal");
            if signal == SIGHUP
                && let Some(reload) = &reload
            {
                reload();
                continue;
            }
            match first {
                None => {
                    first = Some(Instant::now());
                    let _ = stop.try_send(name);
                }
                Some(first) if first.elapsed() < limits::SECOND_SIGNAL_AFTER => {}
                Some(_) => {
                    let count = clients.get().map_or(0, |count| count());
                    log::warn!("{name}: exiting at once; {count} clients were not drained");
                    log::logger().flush();
                    signal_hook::low_level::exit(1);
                }
            }
        }
    };
    threads::spawn("signals", watch).map_err(|error| io::Error::other(StartError::from(error)))?;
    Ok(())
}

fn is_ignored(signal: libc::c_int) -> bool {
    // SAFETY: sigaction with no new action only writes the current one, to which the pointer is; zeros are valid for
    // it.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal, std::ptr::null(), &raw mut action) == 0 && action.sa_sigaction == libc::SIG_IGN
    }
}
