//! The server's options, and the configuration that they give.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{ArgAction, Parser};
use hubbub::address::{Address, InvalidPort};
use hubbub::arguments::{CONNECTION, Given, LIMITS, OUTPUT, ProgramOptions, STORAGE, duration, number, size, switch};
use hubbub::limits;
use hubbub::logging::LogFormat;
use hubbub::server::bucket::Rate;
use hubbub::server::log::Retention;
use hubbub::server::log::sqlite::SyncMode;
use hubbub::server::network::{Exempt, Network};
use hubbub::server::quotas::AddressLimits;
use hubbub::server::{DEFAULT_DATA, ServerConfig, Storage};
use hubbub::supervisor::sockets::InheritedSockets;

use crate::admin_options::AdminOptions;
use crate::auth_options::AuthOptions;
use crate::commands::Command;
use crate::config_options::ConfigOptions;
use crate::http_options::HttpOptions;
use crate::tls_options::TlsOptions;
use crate::words;

/// The Hubbub chat server.
///
/// Listens on 127.0.0.1:5000 and stores messages in ./hubbub-data by default. Ctrl-C, SIGTERM and SIGHUP drain the
/// server: it accepts nothing new, and delivers accepted messages to every client. A second signal, at least a second
/// later, ends it at once. A server with TLS or --config that was not started from a terminal reads its certificate and
/// its configuration again on SIGHUP, and a service of systemd never ends on SIGHUP.
#[derive(Debug, Parser)]
#[command(name = "hubbub-server", version, after_long_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    pub command: Option<Command>,

    /// Listen here; repeatable [default: 127.0.0.1:5000]
    ///
    /// HOST:PORT, [IPV6]:PORT or unix:PATH. 0.0.0.0 is IPv4 only and [::] is IPv6 only; give both to listen on both.
    /// The variable PORT changes the default port.
    #[arg(
        long, value_name = "ADDR", env = "HUBBUB_LISTEN", value_delimiter = ',', help_heading = CONNECTION,
        display_order = 10
    )]
    listen: Vec<Address>,

    /// Mode of Unix sockets, for example 0660
    ///
    /// By default only the server's user can connect. 0660 lets a group connect too.
    #[arg(
        long, value_name = "MODE", env = "HUBBUB_SOCKET_MODE", value_parser = socket_mode, hide_short_help = true,
        help_heading = CONNECTION, display_order = 11
    )]
    socket_mode: Option<u32>,

    #[command(flatten)]
    http: HttpOptions,

    /// Describe the contract to gRPC clients: on or off [default: on]
    ///
    /// Server reflection (grpc.reflection.v1 and v1alpha), with which grpcurl, grpcui, Postman and programs call the server
    /// without a .proto file. It needs no login, and shows nothing that is not in the source of this version.
    #[arg(
        long, value_name = "REFLECTION", env = "HUBBUB_REFLECTION", action = ArgAction::Set, value_parser = on_or_off,
        hide_short_help = true, help_heading = CONNECTION, display_order = 14
    )]
    reflection: Option<bool>,

    #[command(flatten)]
    admin: AdminOptions,

    /// Folder for messages
    ///
    /// Created if missing.
    #[arg(
        long, value_name = "DIR", env = "HUBBUB_DATA", default_value = DEFAULT_DATA, global = true,
        help_heading = STORAGE, display_order = 20
    )]
    pub data: PathBuf,

    /// Durability: full or os
    ///
    /// When a message counts as stored. full: when the disk has it; it survives a power cut. os: when the operating
    /// system has it; it survives a crash of the server only.
    #[arg(
        long, value_name = "SYNC", env = "HUBBUB_SYNC", default_value = "full", hide_possible_values = true,
        hide_short_help = true, help_heading = STORAGE, display_order = 21
    )]
    sync: SyncMode,

    /// Keep messages in memory only
    ///
    /// They are lost when the server exits.
    #[arg(
        long, env = "HUBBUB_EPHEMERAL", value_parser = switch, hide_short_help = true, help_heading = STORAGE,
        display_order = 22
    )]
    ephemeral: bool,

    /// Delete the oldest messages beyond this size
    ///
    /// Those of all rooms together. Bytes, or a number with a unit such as 64MiB or 20GB. On a disk: without the
    /// write-ahead log, at least 16MiB; by default all messages are kept. With --ephemeral: the memory for messages, at
    /// least 64KiB, 256MiB by default.
    #[arg(
        long, value_name = "SIZE", env = "HUBBUB_LOG_BYTES_MAX", value_parser = size(limits::MEMORY_LOG_BYTES_MIN..),
        hide_short_help = true,
        help_heading = STORAGE, display_order = 23
    )]
    log_bytes_max: Option<usize>,

    /// Refuse messages while less of the disk is free [default: 1GiB]
    ///
    /// Reading and deleting go on. On a disk of less than 20GiB the default is a twentieth of it. 0 uses all of it.
    #[arg(
        long, value_name = "SIZE", env = "HUBBUB_DISK_RESERVE", value_parser = size(0..), hide_short_help = true,
        help_heading = STORAGE, display_order = 24
    )]
    disk_reserve: Option<usize>,

    /// Delete messages older than this, for example 90d
    ///
    /// A number with a unit such as 12h or 90d. By default messages are kept forever. Deleted text is overwritten in
    /// all files of the folder within a minute, later if another program keeps the database open for reading. A
    /// message's id and its sender's name stay for a day.
    #[arg(
        long, value_name = "TIME", env = "HUBBUB_RETAIN_FOR", value_parser = duration, hide_short_help = true,
        help_heading = STORAGE, display_order = 25
    )]
    retain_for: Option<Duration>,

    /// Keep the newest N messages of each room
    ///
    /// Older ones are deleted. By default all are kept.
    #[arg(
        long, value_name = "N", env = "HUBBUB_RETAIN_MESSAGES", value_parser = number(1_u64..), hide_short_help = true,
        help_heading = STORAGE, display_order = 26
    )]
    retain_messages: Option<u64>,

    /// Index the words of messages for search: on or off
    ///
    /// The index is the file search.db in the data folder, about as large as the messages. off deletes it; on makes it
    /// again while the server serves. By default on; with --ephemeral off, because the index would be in memory and take
    /// about as much as the messages.
    #[arg(
        long, value_name = "SEARCH", env = "HUBBUB_SEARCH", action = ArgAction::Set, value_parser = on_or_off,
        hide_short_help = true, help_heading = STORAGE, display_order = 29
    )]
    search: Option<bool>,

    /// The former name of --retain-messages.
    #[arg(long, value_name = "N", env = "HUBBUB_RETAIN_EVENTS", value_parser = number(1_u64..), hide = true)]
    retain_events: Option<u64>,

    /// How soon deleted text is overwritten, for tests.
    #[arg(long, value_name = "TIME", env = "HUBBUB_ERASE_AFTER", value_parser = duration, hide = true)]
    erase_after: Option<Duration>,

    /// The thread, or the point in the code, that panics: for tests of what follows.
    #[arg(long, value_name = "PLACE", hide = true)]
    pub panic_in: Option<String>,

    /// Report lost messages to clients, after an older copy was put in place by hand
    ///
    /// Not needed after hubbub-server restore.
    #[arg(
        long, env = "HUBBUB_RESTORED", value_parser = switch, hide_short_help = true, help_heading = STORAGE,
        display_order = 27
    )]
    restored: bool,

    /// Create at most N rooms in all
    ///
    /// Beyond it, a message that would create another room is rejected; hubbub-server room delete makes space. Existing
    /// rooms stay usable, even if there are more.
    #[arg(
        long, value_name = "N", env = "HUBBUB_ROOMS_MAX", default_value_t = limits::ROOMS_MAX,
        value_parser = number(1_usize..), hide_short_help = true, help_heading = LIMITS, display_order = 43
    )]
    rooms_max: usize,

    /// Trust the clock, although it is far from the time in the log
    ///
    /// For one start, if the log warns that the clock jumped and the clock is right. Otherwise nothing is deleted by
    /// age until the clock has been stable for a day, or for half of a shorter --retain-for.
    #[arg(
        long, env = "HUBBUB_TRUST_CLOCK", value_parser = switch, hide_short_help = true, help_heading = STORAGE,
        display_order = 28
    )]
    trust_clock: bool,

    /// Serve at most N clients at once [default: 7500]
    ///
    /// Each client takes up to two threads. The default is lower if ulimit -n or vm.max_map_count allow fewer. More clients
    /// are refused with RESOURCE_EXHAUSTED.
    #[arg(
        long, value_name = "N", env = "HUBBUB_CLIENTS_MAX", value_parser = number(1..=CLIENTS_MAX), hide_short_help = true,
        help_heading = LIMITS, display_order = 40
    )]
    clients_max: Option<usize>,

    /// Poll connections on this many threads [default: half the processors]
    ///
    /// 1 to 256. docs/performance-notes.md has figures.
    #[arg(
        long, value_name = "N", env = "HUBBUB_POLLERS", value_parser = number(1..=limits::POLLERS_MAX),
        hide_short_help = true, help_heading = LIMITS, display_order = 41
    )]
    pollers: Option<usize>,

    /// Accept at most N connections at once [default: twice --clients-max]
    ///
    /// The default is lower on a machine with little memory. More connections are refused with the reason.
    #[arg(
        long, value_name = "N", env = "HUBBUB_CONNECTIONS_MAX", value_parser = number(1..=CLIENTS_MAX),
        hide_short_help = true, help_heading = LIMITS, display_order = 42
    )]
    connections_max: Option<usize>,

    /// Form of log lines: text or json [default: text]
    ///
    /// Log lines go to standard error. text: for people; under systemd, with the level in the form of its journal. json:
    /// one object a line. docs/logs.md lists the lines and their fields. RUST_LOG sets what is logged.
    #[arg(
        long, value_name = "FORMAT", env = "HUBBUB_LOG_FORMAT", default_value_t, hide_default_value = true,
        hide_short_help = true, global = true, help_heading = OUTPUT, display_order = 80
    )]
    pub log_format: LogFormat,

    #[command(flatten)]
    address: AddressOptions,

    #[command(flatten)]
    tls: TlsOptions,

    #[command(flatten)]
    auth: AuthOptions,

    #[command(flatten)]
    pub config: ConfigOptions,
}

/// The limits of each address.
#[derive(Debug, clap::Args)]
struct AddressOptions {
    /// Serve at most N clients of one address
    ///
    /// An address is an IPv4 address, or the first 64 bits of an IPv6 address. Like the other limits of an address, it
    /// does not apply to clients of this machine, unless --limit-loopback is given. 0 is no limit.
    #[arg(
        long, value_name = "N", env = "HUBBUB_CLIENTS_PER_ADDRESS", default_value_t = limits::CLIENTS_PER_ADDRESS_MAX,
        value_parser = number(0_usize..), hide_short_help = true, help_heading = LIMITS, display_order = 44
    )]
    clients_per_address: usize,

    /// Messages a second that one address may post
    ///
    /// After a pause, the messages of 5 seconds at once. A client that posts faster is read more slowly, and a call is
    /// refused with RESOURCE_EXHAUSTED. 0 is no limit.
    #[arg(
        long, value_name = "N", env = "HUBBUB_POST_RATE", default_value_t = limits::POSTS_PER_SECOND as usize,
        value_parser = number(0_usize..), hide_short_help = true, help_heading = LIMITS, display_order = 45
    )]
    post_rate: usize,

    /// Bytes a second that one address may post
    ///
    /// The same for the bodies of messages; after a pause, the bytes of 16 seconds at once. 0 is no limit.
    #[arg(
        long, value_name = "SIZE", env = "HUBBUB_POST_BYTES_RATE", default_value = "64KiB", value_parser = size(0..),
        hide_short_help = true, help_heading = LIMITS, display_order = 46
    )]
    post_bytes_rate: usize,

    /// Bytes that one address may have stored in a day
    ///
    /// Beyond it, its messages are rejected until later. 0 is no limit.
    #[arg(
        long, value_name = "SIZE", env = "HUBBUB_STORED_PER_DAY", default_value = "100MiB", value_parser = size(0..),
        hide_short_help = true, help_heading = LIMITS, display_order = 47
    )]
    stored_per_day: usize,

    /// Rooms that one address may create in an hour
    ///
    /// Beyond it, a message that would create another room is rejected. 0 is no limit.
    #[arg(
        long, value_name = "N", env = "HUBBUB_ROOM_RATE", default_value_t = limits::ROOMS_PER_HOUR as usize,
        value_parser = number(0_usize..), hide_short_help = true, help_heading = LIMITS, display_order = 48
    )]
    room_rate: usize,

    /// Rooms that one address may create in all
    ///
    /// Counted since the start of the server. Beyond it, a message that would create another room is rejected. 0 is no
    /// limit.
    #[arg(
        long, value_name = "N", env = "HUBBUB_ROOMS_PER_ADDRESS", default_value_t = limits::ROOMS_PER_ADDRESS_MAX,
        value_parser = number(0_usize..), hide_short_help = true, help_heading = LIMITS, display_order = 48
    )]
    rooms_per_address: usize,

    /// Accept at most N connections at once from each address
    ///
    /// It may open 32 connections at once, and 3 a second in the long run.
    #[arg(
        long, value_name = "N", env = "HUBBUB_CONNECTIONS_PER_ADDRESS",
        default_value_t = limits::ADDRESS_CONNECTIONS_MAX, value_parser = number(1..=CLIENTS_MAX),
        hide_short_help = true, help_heading = LIMITS, display_order = 43
    )]
    connections_per_address: usize,

    /// Exempt a network from the limits for each address, for example 10.0.0.0/8; repeatable
    ///
    /// Needed for a proxy, from which all clients have the same address.
    #[arg(
        long, value_name = "NETWORK", env = "HUBBUB_EXEMPT", value_delimiter = ',', hide_short_help = true,
        help_heading = LIMITS, display_order = 49
    )]
    exempt: Vec<Network>,

    /// Limit the clients of this machine as one address
    ///
    /// For tests. Unix sockets stay exempt.
    #[arg(
        long, env = "HUBBUB_LIMIT_LOOPBACK", value_parser = switch, hide_short_help = true, help_heading = LIMITS,
        display_order = 50
    )]
    limit_loopback: bool,
}

impl AddressOptions {
    fn limits(&self) -> AddressLimits {
        let rate = |per_second: f64, seconds: f64| Rate::over(unless_zero(per_second), seconds);
        AddressLimits {
            connections_max: self.connections_per_address,
            clients_max: or_none(self.clients_per_address),
            posts: rate(self.post_rate as f64, limits::POSTS_BURST_TIME),
            bytes: rate(self.post_bytes_rate as f64, limits::POST_BYTES_BURST_TIME),
            stored: rate(self.stored_per_day as f64 / DAY, DAY),
            rooms: rate(self.room_rate as f64 / HOUR, HOUR),
            rooms_max: or_none(self.rooms_per_address),
        }
    }
}

/// In seconds.
const HOUR: f64 = 3_600.0;
const DAY: f64 = 24.0 * HOUR;

/// 0 is no limit.
fn or_none(max: usize) -> usize {
    if max == 0 { usize::MAX } else { max }
}

fn unless_zero(rate: f64) -> f64 {
    if rate == 0.0 { f64::INFINITY } else { rate }
}

/// The maximum of --clients-max. The machine's own limits are checked at the start.
const CLIENTS_MAX: usize = u32::MAX as usize;

const EXAMPLES: &str = "\
Examples:
  hubbub-server                            serve this machine on port 5000
  hubbub-server --listen 0.0.0.0:5000 --tls-cert chat.pem --tls-key chat.key \\
    --auth accounts              for other machines; add users with user add
  hubbub-server --listen unix:/run/hubbub.sock --socket-mode 0660
  hubbub-server --retain-for 90d --log-bytes-max 20GB
  hubbub-server --ephemeral --log-bytes-max 1GB
  hubbub-server --print-config > hubbub.toml
  hubbub-server --config hubbub.toml --check-config
  hubbub-server backup /backups/monday.db  back up ./hubbub-data

An option overrides its variable, and that its key in the file of --config; an empty variable counts as unset. RUST_LOG
sets what is logged.
Exit codes: 0 done; 1 failed, the drain did not finish, or the log was not closed cleanly; 2 wrong usage; 70 a thread
failed, which is a bug; stored messages are safe.";

impl ProgramOptions for Args {
    const PROGRAM: &'static str = words::PROGRAM;

    fn check(&mut self, given: &Given<'_>) -> Vec<String> {
        if self.command.is_some() { Vec::new() } else { self.check_serving(given) }
    }

    /// The probe finds its server by what the server was started with.
    fn read_by(sub_command: &str) -> &'static [&'static str] {
        if sub_command == "health" { &["listen", "tls_cert"] } else { &[] }
    }
}

impl Args {
    /// Where it listens, if that is said.
    pub fn listen(&self) -> &[Address] {
        &self.listen
    }

    /// The certificate of the server, if it speaks TLS.
    pub fn tls_certificate(&self) -> Option<&Path> {
        self.tls.certificate()
    }

    fn check_serving(&self, given: &Given<'_>) -> Vec<String> {
        let mut faults = Vec::new();
        if self.ephemeral {
            let ids = ["data", "sync", "restored", "trust_clock", "disk_reserve"];
            faults.extend(given.useless("ephemeral", &ids, "an ephemeral server stores nothing on disk"));
        } else if self.log_bytes_max.is_some_and(|bytes| bytes < limits::LOG_BYTES_MIN) {
            let name = given.name("log_bytes_max");
            faults.push(format!("{name}: expected at least 16MiB for a log on a disk (--ephemeral takes less)"));
        }
        if given.is_meant("socket_mode", "listen")
            && !self.listen.iter().any(|address| matches!(address, Address::Unix(_)))
        {
            let name = given.name("socket_mode");
            faults.push(format!("{name} needs a Unix socket: give one with --listen unix:PATH"));
        }
        if self.retain_messages.is_some() {
            faults.extend(given.useless("retain_messages", &["retain_events"], "they are the same option"));
        }
        for (index, address) in self.listen.iter().enumerate() {
            let is_any_port = matches!(address, Address::Tcp { port: 0, .. });
            if !is_any_port && self.listen[..index].contains(address) {
                faults.push(format!("{} {address} is given several times: leave one out", given.name("listen")));
            }
        }
        faults.extend(self.tls.check(given));
        faults.extend(self.auth.check(given, self.tls.has_client_ca()));
        if self.listen.is_empty() {
            faults.extend(Address::default_local().err().map(|fault| fault.to_string()));
        }
        faults
    }
}

/// The configuration of a server that serves. The default address is not used with an inherited socket.
pub fn config(args: Args, inherited: InheritedSockets) -> Result<ServerConfig, InvalidPort> {
    let has_default = args.listen.is_empty() && inherited.grpc.is_empty();
    let listen = if has_default { vec![Address::default_local()?] } else { args.listen };
    let storage = if args.ephemeral {
        Storage::Memory { bytes_max: args.log_bytes_max.unwrap_or(limits::MEMORY_LOG_BYTES_MAX) }
    } else {
        Storage::Folder { path: args.data, sync: args.sync, restored: args.restored }
    };
    let retention = Retention {
        time: args.retain_for,
        messages: args.retain_messages.or(args.retain_events),
        bytes: args.log_bytes_max.filter(|_| !args.ephemeral).map(|bytes| bytes as u64),
        erase_after: args.erase_after.unwrap_or(limits::ERASE_AFTER),
        ..Retention::default()
    };
    let default = ServerConfig::default();
    let clients_max = args.clients_max.unwrap_or(default.clients_max);
    // Without any, the start fails with the reason.
    if args.clients_max.is_none() && (1..limits::CLIENTS_MAX).contains(&clients_max) {
        log::warn!("only {clients_max} clients can be served at once: ulimit -n or vm.max_map_count allows no more");
    }
    let pollers = args.pollers.unwrap_or(default.pollers);
    Ok(ServerConfig {
        listen,
        clients_max,
        address_limits: args.address.limits(),
        socket_mode: args.socket_mode,
        http: args.http.config(!inherited.http.is_empty()),
        admin: args.admin.config(),
        inherited,
        connections_max: args.connections_max,
        tls: args.tls.files(),
        logins: args.auth.logins(),
        insecure: args.auth.insecure,
        public_address: args.auth.public_address,
        exempt: Exempt { networks: args.address.exempt, limits_loopback: args.address.limit_loopback },
        storage,
        rooms_max: args.rooms_max,
        disk_reserve: args.disk_reserve.map(|bytes| bytes as u64),
        retention,
        reflection: args.reflection.unwrap_or(true),
        search: args.search.unwrap_or(!args.ephemeral),
        trust_clock: args.trust_clock,
        pollers,
        ..default
    })
}

fn socket_mode(text: &str) -> Result<u32, String> {
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777);
    mode.ok_or_else(|| "expected an octal mode from 0000 to 0777, for example 0660".to_owned())
}

fn on_or_off(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("expected on or off".to_owned()),
    }
}
