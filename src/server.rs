//! The server: binds, serves, drains.

pub mod counter;
pub mod log;
pub mod search;
pub mod deadlines;
pub mod network;
pub mod bucket;
pub mod refusals;
pub mod gauges;
pub mod health;
pub mod reload;
pub mod peer;
pub mod quotas;
pub mod auth;
pub mod operator;
pub mod config;
pub mod room;
pub mod fair_queue;
pub mod append_queue;
mod reserve;
mod storing;
pub mod commits;
pub mod writer;
pub mod posting;
pub mod delivery;
pub mod session;
pub mod clients;
mod trim;
pub mod stream_end;
mod hub;
pub mod pulse;
mod chat_stream;
pub mod adjuster;
pub mod places;
pub mod preflight;
pub mod connections;
pub mod calls;
pub mod http;
pub mod rpc;
pub mod admin;
mod parts;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use self::adjuster::Adjuster;
use self::admin::server::AdminServer;
use self::admin::sources::Sources;
use self::admin::storage::Folder;
use self::calls::dispatch::Dispatcher;
use self::calls::queries::QueryThreads;
use self::commits::Commits;
use self::config::check_clients;
pub use self::config::{AdminConfig, DEFAULT_DATA, HttpConfig, ServerConfig, StartError, Storage};
use self::connections::{Bounds, Connections};
use self::deadlines::DeadlineThread;
use self::delivery::close::CloseReason;
use self::delivery::fanout::{self, Publisher};
use self::gauges::GaugeLogger;
use self::health::HealthState;
use self::http::server::{Doors, HttpServer};
use self::http::watch::WatchThread;
use self::hub::{Admissions, Hub};
use self::log::clock::{Clock, Machine};
use self::log::sqlite::SharedLife;
use self::operator::Operator;
use self::parts::{KeysOfTokens, folder, reserve};
use self::preflight::check_protected;
use self::pulse::Pulse;
use self::quotas::Quotas;
use self::refusals::Logger;
use self::reload::{ReloadThread, Reloadable, Reloader};
use self::reserve::ReserveSize;
use self::room::Rooms;
use self::rpc::pollers::Pollers;
use self::rpc::server::{GrpcServer, Reports};
use self::rpc::tls::Tls;
use self::rpc::unary::Unary;
use self::search::SearchThread;
use self::writer::Watch;
use crate::address::Address;
use crate::limits;
use crate::names::RoomName;
use crate::threads::park::block_on_until;
use crate::threads::{self, Joiner};

/// A running server. Dropping it drains it.
///
/// Its pollers log too: a logger MUST NOT block, as that of [`logging`](crate::logging) does not.
pub struct Server {
    grpc: GrpcServer,
    http: Option<HttpServer>,
    addresses: Vec<Address>,
    hub: Arc<Hub>,
    health: Arc<HealthState>,
    life: Option<SharedLife>,
    log_writer: Option<JoinHandle<()>>,
    fanout_pace: Option<JoinHandle<()>>,
    search: Option<SearchThread>,
    drain_timeout: Duration,
    contents_at_start: (usize, u64),
    adjuster: Adjuster,
    // Dropped in this order: first the fields that join threads, and last the pollers, which those threads need.
    _operator: Option<Operator>,
    _query_threads: QueryThreads,
    _deadline_thread: DeadlineThread,
    _joiner: Joiner,
    _http_watch: Option<WatchThread>,
    _refusal_logger: Logger,
    _gauge_logger: GaugeLogger,
    reload_thread: Option<ReloadThread>,
    // It answers until the end.
    admin: Option<AdminServer>,
    pollers: Pollers,
}

impl Server {
    /// Binds every address and serves. If one of them fails, it serves on none.
    pub fn start(config: &ServerConfig) -> Result<Self, StartError> {
        let inherited = &config.inherited;
        if config.listen.is_empty() && inherited.grpc.is_empty() {
            return Err(StartError::NoAddress);
        }
        if let (None, Some(socket)) = (&config.http, inherited.http.first()) {
            let fault = "it is for HTTP, which is switched off (--http none)";
            return Err(StartError::Adopt { address: socket.address().clone(), fault });
        }
        check_clients(config.clients_max)?;
        for address in &config.listen {
            places::check_free(address)?;
        }
        let health = Arc::<HealthState>::default();
        // First, so that it shows that the server starts: opening a large log may take long.
        let admin = parts::start_admin(config, &health)?;
        let tls = config.tls.as_ref().map(|files| Tls::open(files, config.logins.require_certificate())).transpose()?;
        check_protected(config)?;
        let poller_count = config.pollers.clamp(1, limits::POLLERS_MAX);
        let joiner = Joiner::start(config::possible_threads())?;
        let parts::Opened { sides: (mut appender, log), life, faults: log_faults } = parts::open_log(config)?;
        if let Some(life) = &life {
            let health = Arc::clone(&health);
            life.on_end(Box::new(move || health.set_failed("the log has stopped".to_owned())));
        }
        // HTTP has a driver of its own.
        let http_shard = config.http.is_some().then_some(poller_count);
        let (fanout, fanout_pace) = fanout::start(poller_count + usize::from(http_shard.is_some()))?;
        let rooms = Arc::new(Rooms::new(Arc::clone(&log), fanout.shards()));
        let lobby = RoomName::lobby();
        let lobby = Arc::new(rooms.open(&lobby, appender.find(&lobby).map_err(StartError::Lobby)?));
        let clock = Clock::new(Box::new(Machine), appender.clock(), config.retention.time, config.trust_clock);
        let publisher = Publisher::new(Arc::clone(&rooms), Arc::clone(&fanout));
        writer::set_rooms_max(&mut *appender, config.rooms_max);
        let contents_at_start = (appender.room_count(), appender.messages_at_open());
        let gauge_logger = GaugeLogger::start()?;
        let gauges = Arc::clone(gauge_logger.gauges());
        let refusal_logger = Logger::start(config.clients_max)?;
        let refusals = Arc::clone(refusal_logger.refusals());
        let reserve_size = ReserveSize::new(config.disk_reserve);
        let search = parts::start_search(config, &log, &reserve_size)?;
        let commits = Arc::<Commits>::default();
        let announcer = search.as_ref().map(SearchThread::announcer);
        let (lanes, log_writer) = writer::spawn(
            appender,
            Arc::clone(&rooms),
            clock,
            reserve(config, &reserve_size),
            Watch {
                refusals: Arc::clone(&refusals),
                gauges: Arc::clone(&gauges),
                commits: Arc::clone(&commits),
                health: Arc::clone(&health),
            },
            Box::new(move |published| {
                announcer.iter().for_each(|announcer| announcer.published(&published));
                publisher.publish(published);
            }),
        )?;
        let append_queue = lanes.depth();
        let query_threads = QueryThreads::start()?;
        let deadline_thread = DeadlineThread::start()?;
        let authenticator = Arc::new(parts::authenticator(config)?);
        let admissions = Admissions {
            authenticator: Arc::clone(&authenticator),
            has_tls: config.tls.is_some(),
            clients_max: config.clients_max,
            quotas: Quotas::new(config.address_limits.clone(), Arc::clone(&refusals)),
            exempt: Mutex::new(config.exempt.clone()),
            refusals: Arc::clone(&refusals),
            gauges: Arc::clone(&gauges),
        };
        let hub = Arc::new(Hub::new(
            rooms,
            Arc::clone(&fanout),
            (log, search.as_ref().map(SearchThread::search)),
            admissions,
            joiner.spawner(),
            deadline_thread.deadlines(),
            lanes,
        ));

        if let Some(accounts) = &authenticator.accounts {
            let hub = Arc::downgrade(&hub);
            accounts.on_change(Box::new(move || hub.upgrade().iter().for_each(|hub| hub.close_invalid_logins())));
        }

        let pollers = Pollers::start(poller_count)?;
        for poller in 0..poller_count {
            pollers.run(poller, Arc::clone(&fanout).run(poller));
        }
        let http_watch =
            http_shard.map(|shard| WatchThread::start(shard, Arc::clone(&fanout).run(shard))).transpose()?;
        let dispatcher = Dispatcher::new(Arc::clone(&hub), query_threads.queries());
        let unary = Unary::new(dispatcher.clone(), deadline_thread.deadlines());
        let bounds = Bounds {
            all_max: config.connections_max(),
            address_max: config.address_limits.connections_max,
            exempt: config.exempt.clone(),
        };
        let connections = Arc::new(Connections::new(bounds));
        let adjuster = Adjuster::new(&hub, &connections, &reserve_size);
        let reports = Reports {
            connections: Arc::clone(&connections),
            refusals: Arc::clone(&refusals),
            gauges: Arc::clone(&gauges),
        };
        let grpc = GrpcServer::new(config, &pollers, unary, &hub, lobby, reports, &health)?;
        let doors = Doors { connections: Arc::clone(&connections), refusals: Arc::clone(&refusals) };
        let calls = dispatcher.load();
        let http = parts::start_http(config, dispatcher, joiner.spawner(), doors, http_watch.as_ref())?;
        let mut server = Self {
            grpc,
            http,
            addresses: Vec::new(),
            hub,
            health,
            life,
            log_writer: Some(log_writer),
            fanout_pace: Some(fanout_pace),
            search,
            drain_timeout: config.drain_timeout,
            contents_at_start,
            adjuster,
            _operator: None,
            _query_threads: query_threads,
            _deadline_thread: deadline_thread,
            _joiner: joiner,
            _http_watch: http_watch,
            _refusal_logger: refusal_logger,
            _gauge_logger: gauge_logger,
            reload_thread: None,
            admin,
            pollers,
        };
        // From here on, an error drops the server, which ends and joins the started threads.
        for address in &config.listen {
            let bound = server.grpc.bind(address, config.socket_mode, tls.as_ref())?;
            server.addresses.extend(bound);
        }
        for socket in &inherited.grpc {
            let adopted = server.grpc.adopt(socket, tls.as_ref())?;
            server.addresses.push(adopted);
        }
        let status = parts::status(config, &server.addresses, tls.as_ref());
        server._operator = parts::start_operator(config, &authenticator, status)?;
        server.grpc.start();
        if let Some(tls) = &tls {
            ::log::info!("TCP addresses speak TLS, with a certificate {}", tls.description());
        }
        if let Some(admin) = &server.admin {
            let http_connections: Box<dyn Fn() -> usize + Send + Sync> = match &server.http {
                Some(http) => Box::new(http.connection_counter()),
                None => Box::new(|| 0),
            };
            let addresses = server.addresses.iter().map(Address::to_string);
            let http = server.http_addresses().iter().map(|address| format!("{address} (HTTP)"));
            admin.show(Sources {
                hub: Arc::downgrade(&server.hub),
                clients_max: config.clients_max,
                connections,
                refusals,
                gauges,
                commits,
                append_queue,
                calls,
                search: server.hub.search.clone(),
                http_connections,
                folder: folder(config)
                    .zip(reserve(config, &reserve_size))
                    .map(|(path, reserve)| Folder::new(path, reserve)),
                log_faults,
                certificate_expiry: tls.as_ref().map(|tls| Box::new(tls.expiry()) as _),
                addresses: addresses.chain(http).collect(),
            });
        }
        let certificate = tls.map(|tls| Box::new(tls.reloadable()) as Box<dyn Reloadable>);
        let hub = Arc::downgrade(&server.hub);
        let keys = authenticator.jwt.clone().map(|jwt| Box::new(KeysOfTokens { jwt, hub }) as Box<dyn Reloadable>);
        let reloadables: Vec<_> = certificate.into_iter().chain(keys).collect();
        if !reloadables.is_empty() {
            server.reload_thread = Some(ReloadThread::start(reloadables)?);
        }
        server.health.set_serving();
        Ok(server)
    }

    /// Where it listens, with the ports that the system chose for port 0.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// Where it serves HTTP.
    pub fn http_addresses(&self) -> &[Address] {
        self.http.as_ref().map_or(&[], HttpServer::addresses)
    }

    /// What the log had when it was opened: rooms, and messages.
    pub fn contents_at_start(&self) -> (usize, u64) {
        self.contents_at_start
    }

    /// Where it shows its metrics and its state.
    pub fn admin_addresses(&self) -> &[Address] {
        self.admin.as_ref().map_or(&[], AdminServer::addresses)
    }

    /// Whether it serves.
    pub fn health(&self) -> &Arc<HealthState> {
        &self.health
    }

    /// How many clients are connected.
    pub fn client_count(&self) -> usize {
        self.hub.clients.count()
    }

    /// Reads the certificate and the key again on request; `None` if the server has no such files.
    pub fn reloader(&self) -> Option<Reloader> {
        self.reload_thread.as_ref().map(ReloadThread::reloader)
    }

    /// Probes whether the server is alive.
    pub fn pulse(&self) -> Pulse {
        Pulse::new(Arc::clone(&self.hub))
    }

    /// Changes settings while the server runs.
    pub fn adjuster(&self) -> Adjuster {
        self.adjuster.clone()
    }

    /// Lets one more thing be read again, by the same thread and requests as the server's own files.
    pub fn also_reload(&mut self, item: Box<dyn Reloadable>) -> Result<(), StartError> {
        match &self.reload_thread {
            Some(thread) => thread.add(item),
            None => self.reload_thread = Some(ReloadThread::start(vec![item])?),
        }
        Ok(())
    }

    /// Counts clients, also while the server drains.
    pub fn client_counter(&self) -> impl Fn() -> usize + Send + std::marker::Sync + 'static + use<> {
        let hub = Arc::clone(&self.hub);
        move || hub.clients.count()
    }

    /// Keeps the library's threads after the drain, until the process ends. A program that exits then MUST call it: if the
    /// system has refused a thread to the library, it would wait forever for that thread's end.
    pub fn keep_library_until_exit(&self) {
        self.pollers.keep_until_exit();
    }

    /// The life of a log on disk: it reports when the server must exit because of the disk, and, after the drain,
    /// whether the log was closed cleanly.
    pub fn log_life(&self) -> Option<SharedLife> {
        self.life.clone()
    }

    /// Stops: accepts no clients and posts any more, delivers accepted posts to all clients, and closes the streams with a
    /// status. Until the last stream has ended, the server still answers health checks (with NOT_SERVING), so that those
    /// who watch it learn why it refuses clients; then it accepts no connections and calls any more.
    ///
    /// Takes at most the drain timeout, plus half a second for the answers to health checks, 2 s for streams that must be
    /// cancelled after it, and 5 s to finish the search index. Returns the number of cancelled streams.
    pub fn drain(mut self) -> usize {
        self.stop()
    }

    fn stop(&mut self) -> usize {
        let Some(log_writer) = self.log_writer.take() else { return 0 };
        let deadline = Instant::now() + self.drain_timeout;
        self.health.set_draining();
        if let Some(http) = &mut self.http {
            http.stop_accepting();
        }
        self.hub.stop_accepting();
        // The writer ends after it has committed the waiting posts. From then on the heads of the rooms do not change,
        // and each session ends when it has reached them, so it must have been notified of them. Every wait of a
        // receive thread ends with the stop, so the writer ends; the deadline covers a bug.
        if !threads::join_until(log_writer, deadline) {
            ::log::error!("the log writer did not end in time");
            if let Some(life) = &self.life {
                life.not_closed("the log writer did not end in time".to_owned());
            }
        }
        // The fan-out ends once all followers are notified, and the pace thread with it.
        if let Some(fanout_pace) = self.fanout_pace.take()
            && !threads::join_until(fanout_pace, deadline)
        {
            ::log::error!("the pace thread did not end in time");
        }
        if let Some(http) = &self.http {
            http.wait_until_idle(deadline);
        }
        self.hub.clients.close(&CloseReason::Draining { until: deadline });
        self.hub.clients.wait_until_empty(deadline);
        let cancelled = self.hub.clients.count();
        self.grpc.wait_for_side_calls(Instant::now() + limits::SIDE_STREAMS_DRAIN);
        let mut shutdown = self.grpc.shut_down();
        self.grpc.cancel_all_calls();
        self.http.iter().for_each(HttpServer::cancel_streams);
        let deadline = Instant::now() + limits::CLOSE_TIMEOUT;
        self.hub.clients.wait_until_empty(deadline);
        let _ = block_on_until(&mut shutdown, deadline);
        // All that is stored is published now.
        if let Some(mut search) = self.search.take() {
            search.stop();
        }
        cancelled
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}
