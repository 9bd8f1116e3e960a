//! The settings of a server, why it can't start, and how many clients a machine allows.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use super::auth::accounts::error::AccountsError;
use super::auth::certificate::ClientName;
use super::auth::jwt::{JwtError, JwtSettings};
use super::log::sqlite::{OpenError, SyncMode};
use super::log::{LogError, Retention};
use super::network::Exempt;
use super::quotas::AddressLimits;
use crate::address::{Address, DEFAULT_PORT};
use crate::certificates::FileFault;
use crate::limits;
use crate::supervisor::sockets::InheritedSockets;
use crate::{descriptors, memory};

/// The default folder of the logs.
pub const DEFAULT_DATA: &str = "./hubbub-data";

/// The settings of a server. `Default` has the defaults of `hubbub-server`.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Where to listen: at least one address, or an inherited socket.
    pub listen: Vec<Address>,
    /// The sockets of the service manager to listen on, besides.
    pub inherited: InheritedSockets,
    /// The mode of Unix sockets, such as 0o660; `None` applies the umask.
    pub socket_mode: Option<u32>,
    /// Whether and where it serves HTTP. Needed for inherited sockets, too.
    pub http: Option<HttpConfig>,
    /// Where it shows its metrics and its state, if it does.
    pub admin: Option<AdminConfig>,
    /// How many clients are served at once; more are refused with `RESOURCE_EXHAUSTED`.
    pub clients_max: usize,
    /// How many connections may be open; `None` for two for each client, or fewer if the machine has little memory.
    pub connections_max: Option<usize>,
    /// What one address may take.
    pub address_limits: AddressLimits,
    /// Whether and how its TCP addresses speak TLS.
    pub tls: Option<TlsFiles>,
    /// How clients log in.
    pub logins: Logins,
    /// Where clients reach it, for invitation links: `HOST` or `HOST:PORT`.
    pub public_address: Option<String>,
    /// Listen beyond this machine also without TLS or logins.
    pub insecure: bool,
    /// Whose addresses are not limited.
    pub exempt: Exempt,
    /// Where the rooms' logs are kept.
    pub storage: Storage,
    /// How many bytes of the disk must stay free, so that posts are refused while fewer are; `None` for the default,
    /// the smaller of [`limits::DISK_RESERVE_MAX`] and a share of [`limits::DISK_RESERVE_SHARE`].
    pub disk_reserve: Option<u64>,
    /// How many rooms the log may have.
    pub rooms_max: usize,
    /// How much of each room's history is kept.
    pub retention: Retention,
    /// Serve gRPC server reflection.
    pub reflection: bool,
    /// Keep an index of the words of all messages, so that they can be searched.
    pub search: bool,
    /// Trust the clock, even if it is far from the log's time.
    pub trust_clock: bool,
    /// How long a connection may take to start HTTP/2.
    pub handshake_timeout: Duration,
    /// How long a connection may carry no call before it is closed.
    pub connection_idle_max: Duration,
    /// How long a connection may be silent before it is pinged.
    pub keepalive_time: Duration,
    /// How long the answer may take.
    pub keepalive_timeout: Duration,
    /// How often a client may ping. One that pings more often than that, by more than a second, is disconnected.
    pub ping_interval_min: Duration,
    /// How long a drain waits for readers before it cancels them.
    pub drain_timeout: Duration,
    /// How many threads poll connections, 1 to [`limits::POLLERS_MAX`]. One serves a machine of two cores best; see
    /// docs/performance-notes.md.
    pub pollers: usize,
}

/// The files for TLS, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, and those of the authorities between it and the root.
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// The authorities that sign the certificates of clients.
    pub client_ca: Option<PathBuf>,
}

/// How clients log in. Without any login, the server is open.
#[derive(Clone, Debug, Default)]
pub struct Logins {
    /// With the tokens of accounts. Needs a data folder.
    pub tokens: bool,
    pub jwt: Option<JwtSettings>,
    /// With client certificates, of which this field has the user's name.
    pub certificates: Option<ClientName>,
    /// Serve the tutorial's contract, which has no login, also if others must log in.
    pub allows_tutorial: bool,
}

impl Logins {
    /// Whether clients must log in.
    pub fn are_needed(&self) -> bool {
        self.tokens || self.jwt.is_some() || self.certificates.is_some()
    }

    /// Whether a client without a certificate has no way to log in, so that it is not even connected.
    pub fn require_certificate(&self) -> bool {
        self.certificates.is_some() && !self.tokens && self.jwt.is_none()
    }

    /// Their names, as the option `--auth` takes them.
    pub fn words(&self) -> impl Iterator<Item = &'static str> {
        let logins = [
            (!self.are_needed(), "open"),
            (self.tokens, "accounts"),
            (self.jwt.is_some(), "jwt"),
            (self.certificates.is_some(), "mtls"),
        ];
        logins.into_iter().filter_map(|(is_on, word)| is_on.then_some(word))
    }
}

/// Where the rooms' logs are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Storage {
    /// In a folder, which is created if missing.
    ///
    /// `restored` means that the folder is an older copy, such as a backup: clients learn which messages they must
    /// discard.
    Folder { path: PathBuf, sync: SyncMode, restored: bool },
    /// In memory, up to this many bytes in all rooms together, until the server exits.
    Memory { bytes_max: usize },
}

/// The HTTP face.
#[derive(Clone, Debug)]
pub struct HttpConfig {
    /// `None` if it is served on inherited sockets only.
    pub address: Option<Address>,
    /// Whether the server starts without HTTP if the address is taken.
    pub may_be_taken: bool,
    /// Names under which it is reached, in lower case.
    pub hosts: Vec<String>,
    /// Other sites whose pages may use it.
    pub origins: Vec<String>,
}

/// The admin face.
#[derive(Clone, Debug)]
pub struct AdminConfig {
    pub address: Address,
    /// Whether the server starts without it if the address is taken.
    pub may_be_taken: bool,
    /// Names under which it is reached, in lower case.
    pub hosts: Vec<String>,
}

impl Default for ServerConfig {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            listen: vec![Address::local(DEFAULT_PORT)],
            inherited: InheritedSockets::default(),
            socket_mode: None,
            http: None,
            admin: None,
            clients_max: limits::CLIENTS_MAX.min(possible_clients().0),
            connections_max: None,
            address_limits: AddressLimits::default(),
            exempt: Exempt::default(),
            tls: None,
            logins: Logins::default(),
            public_address: None,
            insecure: false,
            storage: Storage::Folder { path: PathBuf::from(DEFAULT_DATA), sync: SyncMode::Full, restored: false },
            disk_reserve: None,
            rooms_max: limits::ROOMS_MAX,
            retention: Retention::default(),
            reflection: true,
            search: true,
            trust_clock: false,
            handshake_timeout: limits::HANDSHAKE_TIMEOUT,
            connection_idle_max: limits::CONNECTION_IDLE_MAX,
            keepalive_time: limits::KEEPALIVE_TIME,
            keepalive_timeout: limits::KEEPALIVE_TIMEOUT,
            ping_interval_min: limits::PING_INTERVAL_MIN,
            drain_timeout: limits::DRAIN_TIMEOUT,
            pollers: (cores / 2).max(1),
        }
    }
}

impl ServerConfig {
    /// Whether the server has files that are read again when they change.
    pub fn has_files_to_reload(&self) -> bool {
        self.tls.is_some() || self.logins.jwt.is_some()
    }

    /// How many connections may be open.
    pub fn connections_max(&self) -> usize {
        let by_memory = memory::share(limits::CONNECTIONS_SHARE * limits::CONNECTION_BYTES);
        let default = limits::CONNECTIONS_PER_CLIENT.saturating_mul(self.clients_max).min(by_memory);
        self.connections_max.unwrap_or(default)
    }
}

/// Why a server could not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    #[error("no address to listen on: give one with --listen")]
    NoAddress,
    #[error(
        "{0} is taken: another server runs there; stop it, or choose another address with --listen, --http or --admin"
    )]
    Taken(Address),
    #[error("can't listen on {address}: {fault}; choose another address with --listen, --http or --admin")]
    Bind { address: Address, fault: String },
    #[error(
        "can't listen on {address}, which the service manager has opened: {fault}; stop its socket unit, and let the server open \
         its addresses itself (--listen)"
    )]
    Adopt { address: Address, fault: &'static str },
    #[error(
        "{wanted} clients are more than this machine can serve ({possible}): {bound}; allow fewer with --clients-max, \
         or {remedy}"
    )]
    TooManyClients { wanted: usize, possible: usize, bound: &'static str, remedy: &'static str },
    #[error("this machine can serve no client: {bound}, and the server needs some for itself; {remedy}")]
    NoClients { bound: &'static str, remedy: &'static str },
    #[error(transparent)]
    Log(#[from] OpenError),
    #[error(transparent)]
    Tls(#[from] FileFault),
    #[error(
        "{address} can be reached from other machines, but this server has {missing}: anyone there could read every room and \
         post under any name. For TLS, make a certificate with hubbub-server dev-cert, or get one, and give --tls-cert and \
         --tls-key; for logins, give --auth accounts, and add users with hubbub-server user add. To listen there without \
         protection, give --insecure"
    )]
    Exposed { address: Address, missing: &'static str },
    #[error("accounts are kept in the data folder: leave out --ephemeral, or log in with --auth jwt or mtls")]
    AccountsNeedFolder,
    #[error("can't listen for the operator's commands in the data folder: {0}")]
    Operator(io::Error),
    #[error("can't delete the search index, which is switched off: {0}")]
    Search(io::Error),
    #[error(transparent)]
    Accounts(#[from] AccountsError),
    #[error(transparent)]
    Jwt(#[from] JwtError),
    #[error("can't open the lobby: {0}")]
    Lobby(LogError),
    #[error(
        "can't start a thread ({0}): raise ulimit -u or the limit of tasks (systemd's TasksMax, a container's pids \
         limit)"
    )]
    Thread(io::Error),
    #[error("can't set up gRPC: {0}")]
    Grpc(#[source] Box<dyn std::error::Error + Send + Sync>),
}

// Not by thiserror's `from`, with which the error would also be the source, and be shown twice.
impl From<io::Error> for StartError {
    fn from(error: io::Error) -> Self {
        Self::Thread(error)
    }
}

/// Refuses a number of clients that could cause an abort, or clients that wait for a descriptor forever.
pub fn check_clients(wanted: usize) -> Result<(), StartError> {
    descriptors::allow_many();
    match possible_clients() {
        (0, bound, remedy) => Err(StartError::NoClients { bound, remedy }),
        (possible, bound, remedy) if wanted > possible => {
            Err(StartError::TooManyClients { wanted, possible, bound, remedy })
        }
        _ => Ok(()),
    }
}

/// How many threads of streams and connections the process can have on this machine. A thread that gets its stack but no
/// map for its signal stack can't be refused, so no more are started. Other systems have no such bound.
pub fn possible_threads() -> usize {
    let maps = fs::read_to_string("/proc/sys/vm/max_map_count").ok().and_then(|maps| maps.trim().parse::<usize>().ok());
    maps.map_or(usize::MAX, |maps| maps.saturating_sub(limits::MAPS_RESERVED) / limits::MAPS_PER_THREAD)
}

/// How many clients the process can serve on this machine, the limiting resource, and how to get more of it.
fn possible_clients() -> (usize, &'static str, &'static str) {
    let by_maps = possible_threads();
    let by_descriptors = descriptors::hard_limit().saturating_sub(limits::DESCRIPTORS_RESERVED);
    if by_descriptors < by_maps {
        (by_descriptors, "each takes a file descriptor", "raise ulimit -n")
    } else {
        (by_maps, "each may take a thread, of 4 memory maps", "raise vm.max_map_count")
    }
}
