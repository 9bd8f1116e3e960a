//! The server: binds, serves, drains.

pub mod log;
pub mod room;
pub mod session;
pub mod clients;
pub mod hub;
pub mod refusals;
pub mod rpc;
mod listen;

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use grpcio::{ChannelBuilder, Environment, ResourceQuota, ServerBuilder};
use parking_lot::Mutex;
use thiserror::Error;

use self::hub::Hub;
use self::log::clock::{Clock, Machine};
use self::log::sqlite::{OpenError, SharedLife, Sync};
use self::log::{LogError, Retention, Sides, memory, sqlite, writer};
use self::refusals::Logger;
use self::room::Rooms;
use self::room::fanout::{self, Publisher};
use self::rpc::pollers::Pollers;
use self::rpc::queries::QueryThreads;
use self::rpc::{accept, tutorial, unary};
use self::session::close::CloseReason;
use crate::address::{Address, DEFAULT_PORT};
use crate::descriptors;
use crate::limits;
use crate::names::RoomName;
use crate::park::block_on_until;
use crate::threads::{self, Joiner};

/// Where the logs are kept where nothing else is said.
pub const DEFAULT_DATA: &str = "./hubbub-data";

/// What a server can be told. `Default` is what `hubbub-server` starts with.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Where to listen: at least one place.
    pub listen: Vec<Address>,
    /// The mode of Unix sockets, such as 0o660; `None` leaves it to the umask.
    pub socket_mode: Option<u32>,
    /// How many clients are served at once; more are refused with `RESOURCE_EXHAUSTED`.
    pub clients_max: usize,
    /// Where the rooms' logs are kept.
    pub storage: Storage,
    /// How much of each room's history is kept.
    pub retention: Retention,
    /// Believe the clock as it is, however far it is from the time that the log has seen.
    pub trust_clock: bool,
    /// How long a connection may be silent before its peer is asked whether it is still there.
    pub keepalive_time: Duration,
    /// How long the answer may take.
    pub keepalive_timeout: Duration,
    /// How often a client may ping. One that pings more often than that, by more than a second, is disconnected.
    pub ping_interval_min: Duration,
    /// How long a drain waits for readers before it cancels them.
    pub drain_timeout: Duration,
    /// How many threads poll connections, 1 to [`limits::POLLERS_MAX`]. One serves a machine of two cores best; see
    /// docs/performance.md.
    pub pollers: usize,
}

/// Where the rooms' logs are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Storage {
    /// In a folder, which is made where there is none.
    ///
    /// `restored` says that it is an older copy of itself, such as a backup: clients are told what they must forget.
    Folder { path: PathBuf, sync: Sync, restored: bool },
    /// In memory, up to so many bytes of all rooms together, and gone with the server.
    Memory { bytes_max: usize },
}

impl Default for ServerConfig {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            listen: vec![Address::local(DEFAULT_PORT)],
            socket_mode: None,
            clients_max: limits::CLIENTS_MAX.min(possible_clients().0),
            storage: Storage::Folder { path: PathBuf::from(DEFAULT_DATA), sync: Sync::Full, restored: false },
            retention: Retention::default(),
            trust_clock: false,
            keepalive_time: limits::KEEPALIVE_TIME,
            keepalive_timeout: limits::KEEPALIVE_TIMEOUT,
            ping_interval_min: limits::PING_INTERVAL_MIN,
            drain_timeout: limits::DRAIN_TIMEOUT,
            pollers: (cores / 2).max(1),
        }
    }
}

/// Why a server could not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    #[error("no address to listen on: give one with --listen")]
    NoAddress,
    #[error("{0} is taken: another server runs there; stop it, or choose another place with --listen")]
    Taken(Address),
    #[error("can't listen on {address}: {fault}; choose another place with --listen")]
    Bind { address: Address, fault: String },
    #[error("{wanted} clients are more than this machine can serve ({possible}): {bound}")]
    TooManyClients { wanted: usize, possible: usize, bound: &'static str },
    #[error(transparent)]
    Log(#[from] OpenError),
    #[error("the lobby can't be opened: {0}")]
    Lobby(LogError),
    #[error("can't start a thread: {0}")]
    Thread(#[from] io::Error),
    #[error("can't set up gRPC: {0}")]
    Grpc(#[from] grpcio::Error),
}

/// A running server. Dropping it drains it.
pub struct Server {
    // A mutex, so that a server can be asked from several threads: the library's own can't be shared.
    grpc: Mutex<grpcio::Server>,
    addresses: Vec<Address>,
    hub: Arc<Hub>,
    life: Option<SharedLife>,
    log_writer: Option<JoinHandle<()>>,
    fanout_pace: Option<JoinHandle<()>>,
    drain_timeout: Duration,
    // Dropped in this order: what waits for threads first, and the pollers, which those need, last.
    _query_threads: QueryThreads,
    _joiner: Joiner,
    refusal_logger: Logger,
    _pollers: Pollers,
}

impl Server {
    /// Binds every address and serves. Serves nowhere if one of them fails.
    pub fn start(config: &ServerConfig) -> Result<Self, StartError> {
        if config.listen.is_empty() {
            return Err(StartError::NoAddress);
        }
        check_clients(config.clients_max)?;
        for address in &config.listen {
            listen::check_free(address)?;
        }
        let poller_count = config.pollers.clamp(1, limits::POLLERS_MAX);
        let joiner = Joiner::start()?;
        let ((mut appender, log), life) = open_log(config)?;
        let (couriers, fanout_pace) = fanout::start(poller_count)?;
        let rooms = Arc::new(Rooms::new(Arc::clone(&log), Arc::clone(&couriers)));
        let lobby = Arc::new(rooms.insert(appender.open(&RoomName::lobby()).map_err(StartError::Lobby)?));
        let clock = Clock::new(Box::new(Machine), appender.clock(), config.retention.time, config.trust_clock);
        let publisher = Publisher::new(Arc::clone(&rooms), Arc::clone(&couriers));
        let (orders, log_writer) =
            writer::spawn(appender, Arc::clone(&rooms), clock, move |segment| publisher.publish(segment))?;
        let query_threads = QueryThreads::start()?;
        let refusal_logger = Logger::start(config.clients_max)?;
        let refusals = Arc::clone(refusal_logger.refusals());
        let hub = Arc::new(Hub::new(rooms, log, config.clients_max, joiner.spawner(), orders, refusals));

        let pollers = Pollers::start(poller_count);
        for poller in 0..poller_count {
            pollers.run(poller, Arc::clone(&couriers).run(poller));
        }
        let environment = pollers.environment();
        let grpc = ServerBuilder::new(Arc::clone(environment))
            .register_service(tutorial::service(Arc::clone(&hub), lobby, pollers.clone()))
            .register_service(unary::service(Arc::clone(&hub), pollers.clone(), query_threads.queries()))
            .channel_args(connection_settings(environment, config).build_args())
            .build()?;
        let mut server = Self {
            grpc: Mutex::new(grpc),
            addresses: Vec::new(),
            hub,
            life,
            log_writer: Some(log_writer),
            fanout_pace: Some(fanout_pace),
            drain_timeout: config.drain_timeout,
            _query_threads: query_threads,
            _joiner: joiner,
            refusal_logger,
            _pollers: pollers,
        };
        // From here on, an error drops the server, and so ends and joins what was started.
        for address in &config.listen {
            let bound = listen::bind(server.grpc.get_mut(), address, config.socket_mode)?;
            server.addresses.extend(bound);
        }
        accept::watch(server.refusal_logger.refusals());
        server.grpc.get_mut().start();
        Ok(server)
    }

    /// Where it listens, with the ports that the system chose for port 0.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// How many clients are connected.
    pub fn client_count(&self) -> usize {
        self.hub.clients.count()
    }

    /// Counts clients, while the server drains too.
    pub fn client_counter(&self) -> impl Fn() -> usize + Send + std::marker::Sync + 'static + use<> {
        let hub = Arc::clone(&self.hub);
        move || hub.clients.count()
    }

    /// The life of a log that is kept on a disk: it says when the server must end because of the disk, and, once the server
    /// was drained, whether the log was closed in good order.
    pub fn log_life(&self) -> Option<SharedLife> {
        self.life.clone()
    }

    /// Stops: accepts nothing more, lets what was accepted reach everybody, closes the streams with a status.
    ///
    /// Takes at most the drain timeout, and 2 s for streams that must be cancelled after it. Returns how many those were.
    pub fn drain(mut self) -> usize {
        self.stop()
    }

    fn stop(&mut self) -> usize {
        let Some(log_writer) = self.log_writer.take() else { return 0 };
        let deadline = Instant::now() + self.drain_timeout;
        let mut shutdown = self.grpc.get_mut().shutdown();
        self.hub.stop_accepting();
        // The writer ends after what waited for it is committed. From then on the heads of the rooms stand still, and
        // each session ends when it has reached them, of which it must have been told.
        // Every wait of a receive thread ends with the stop, so the writer ends; a bug must not keep the process from it.
        if !threads::join_until(log_writer, deadline) {
            ::log::error!("the log writer did not end in time");
            if let Some(life) = &self.life {
                life.not_closed("the log writer did not end in time".to_owned());
            }
        }
        // The couriers end once all of it is told, and the pace thread with them.
        if let Some(fanout_pace) = self.fanout_pace.take()
            && !threads::join_until(fanout_pace, deadline)
        {
            ::log::error!("the pace thread did not end in time");
        }
        self.hub.clients.close(&CloseReason::Draining { until: deadline });
        self.hub.clients.wait_until_empty(deadline);
        let cancelled = self.hub.clients.count();
        self.grpc.get_mut().cancel_all_calls();
        let deadline = Instant::now() + limits::CLOSE_TIMEOUT;
        self.hub.clients.wait_until_empty(deadline);
        let _ = block_on_until(&mut shutdown, deadline);
        cancelled
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Opens the log, and returns the life of one that is kept on a disk.
fn open_log(config: &ServerConfig) -> Result<(Sides, Option<SharedLife>), StartError> {
    Ok(match &config.storage {
        Storage::Memory { bytes_max } => {
            let (appender, log) = memory::open(*bytes_max, config.retention);
            ((Box::new(appender), log), None)
        }
        Storage::Folder { path, sync, restored } => {
            let (appender, log) = sqlite::open(path, *sync, *restored, config.retention)?;
            let life = Arc::clone(log.life());
            ((Box::new(appender), log), Some(life))
        }
    })
}

fn connection_settings(environment: &Arc<Environment>, config: &ServerConfig) -> ChannelBuilder {
    ChannelBuilder::new(Arc::clone(environment))
        // Two servers on one port would share its clients in silence.
        .reuse_port(false)
        .max_concurrent_stream(limits::STREAMS_PER_CONNECTION_MAX as i32)
        .max_receive_message_len(limits::RECEIVE_BYTES_MAX as i32)
        .set_resource_quota(ResourceQuota::new(Some("server")).resize_memory(limits::GRPC_BYTES_MAX))
        .raw_cfg_int(c"grpc.server_handshake_timeout_ms".to_owned(), limits::HANDSHAKE_TIMEOUT.as_millis() as i32)
        .keepalive_time(config.keepalive_time)
        .keepalive_timeout(config.keepalive_timeout)
        .keepalive_permit_without_calls(true)
        .http2_max_pings_without_data(0)
        .http2_min_recv_ping_interval_without_data(config.ping_interval_min.saturating_sub(limits::PING_JITTER))
        // No message is inflated: 64 KiB of it could become 64 MB, on a poller. Who compresses gets UNIMPLEMENTED.
        .raw_cfg_int(c"grpc.compression_enabled_algorithms_bitset".to_owned(), 1)
        .raw_cfg_int(rpc::channel_stack::lean_argument().to_owned(), 1)
        // What the library would count and note of each connection for its channelz service, which is not served.
        .raw_cfg_int(c"grpc.enable_channelz".to_owned(), 0)
        // Its probes answer each small message with a ping and learn nothing: messages here are far below a window.
        .http2_bdp_probe(false)
}

/// Refuses what would end in an abort, or in clients that wait for a descriptor for ever.
fn check_clients(wanted: usize) -> Result<(), StartError> {
    descriptors::allow_many();
    match possible_clients() {
        (possible, bound) if wanted > possible || possible == 0 => {
            Err(StartError::TooManyClients { wanted, possible, bound })
        }
        _ => Ok(()),
    }
}

/// How many clients this machine lets the process serve, and what bounds them.
fn possible_clients() -> (usize, &'static str) {
    // A thread that gets its stack but no map for its signal stack can't be refused. Other systems have no such bound.
    let maps = fs::read_to_string("/proc/sys/vm/max_map_count").ok().and_then(|maps| maps.trim().parse::<usize>().ok());
    let by_maps = maps.map_or(usize::MAX, |maps| maps.saturating_sub(limits::MAPS_RESERVED) / limits::MAPS_PER_CLIENT);
    let by_descriptors = descriptors::hard_limit().saturating_sub(limits::DESCRIPTORS_RESERVED);
    if by_descriptors < by_maps {
        (by_descriptors, "each takes a file descriptor; allow fewer with --clients-max, or raise ulimit -n")
    } else {
        (by_maps, "each takes 8 memory maps; allow fewer with --clients-max, or raise vm.max_map_count")
    }
}
