//! The parts of a server that its configuration changes or switches off: how each of them is opened or started.

use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Instant;

use super::admin::server::AdminServer;
use super::auth::accounts::Accounts;
use super::auth::authenticator::Authenticator;
use super::auth::jwt::Jwt;
use super::calls::dispatch::Dispatcher;
use super::config::{ServerConfig, StartError, Storage};
use super::health::HealthState;
use super::http::fence::Fence;
use super::http::server::{Doors, HttpServer, Places};
use super::http::watch::WatchThread;
use super::hub::Hub;
use super::log::faults::LogFaults;
use super::log::sqlite::SharedLife;
use super::log::{Log, Sides, memory, sqlite};
use super::operator::Operator;
use super::operator::protocol::Status;
use super::reload::Reloadable;
use super::reserve::{DiskReserve, ReserveSize};
use super::rpc::tls::Tls;
use super::search::{SearchConfig, SearchThread};
use super::{places, search};
use crate::address::Address;
use crate::threads::Spawner;

pub fn authenticator(config: &ServerConfig) -> Result<Authenticator, StartError> {
    let logins = &config.logins;
    let accounts = match &config.storage {
        Storage::Folder { path, .. } => Some(Arc::new(Accounts::open(path)?)),
        Storage::Memory { .. } if logins.tokens => return Err(StartError::AccountsNeedFolder),
        Storage::Memory { .. } => None,
    };
    Ok(Authenticator {
        accounts,
        accepts_tokens: logins.tokens,
        jwt: logins.jwt.as_ref().map(Jwt::open).transpose()?.map(Arc::new),
        certificates: logins.certificates,
        allows_tutorial: logins.allows_tutorial,
    })
}

/// Starts the HTTP face. If its default address is taken, the server has none.
pub fn start_http(
    config: &ServerConfig,
    dispatcher: Dispatcher,
    spawner: Spawner,
    doors: Doors,
    watch: Option<&WatchThread>,
) -> Result<Option<HttpServer>, StartError> {
    let (Some(http), Some(watch)) = (&config.http, watch) else { return Ok(None) };
    let watch = Arc::clone(watch.watch());
    let fence = Fence { hosts: http.hosts.clone(), origins: http.origins.clone() };
    let places = Places { address: http.address.as_ref(), inherited: &config.inherited.http };
    match HttpServer::start(places, config.socket_mode, fence, dispatcher, spawner, doors, watch) {
        Err(StartError::Taken(address)) if http.may_be_taken => {
            ::log::warn!(
                "{address} is taken, so this server has no HTTP: give another address with --http, or --http none"
            );
            Ok(None)
        }
        started => started.map(Some),
    }
}

/// Starts the admin face. If its default address is taken, the server has none.
pub fn start_admin(config: &ServerConfig, health: &Arc<HealthState>) -> Result<Option<AdminServer>, StartError> {
    let Some(admin) = &config.admin else { return Ok(None) };
    if !admin.may_be_taken && places::is_exposed(&admin.address)? {
        ::log::warn!(
            "everybody who can reach {} can read the server's metrics and its state, which need no login: let only your \
             monitoring reach it",
            admin.address
        );
    }
    match AdminServer::start(admin, config.socket_mode, Arc::clone(health)) {
        Err(StartError::Taken(address)) if admin.may_be_taken => {
            ::log::warn!(
                "{address} is taken, so this server shows no metrics: give another address with --admin, or --admin none"
            );
            Ok(None)
        }
        started => started.map(Some),
    }
}

/// Starts the search index. One that is switched off must not keep what is deleted meanwhile, so its file is deleted.
pub fn start_search(
    config: &ServerConfig,
    log: &Arc<dyn Log>,
    reserve_size: &Arc<ReserveSize>,
) -> Result<Option<SearchThread>, StartError> {
    let folder = folder(config);
    let folder = folder.as_deref();
    if !config.search {
        match folder.map_or(Ok(false), search::place::remove) {
            Ok(true) => ::log::info!("search is off: its index is deleted"),
            Ok(false) => {}
            Err(fault) => return Err(StartError::Search(fault)),
        }
        return Ok(None);
    }
    let has_space: Box<dyn FnMut() -> bool + Send> = match reserve(config, reserve_size) {
        Some(mut reserve) => Box::new(move || reserve.check(0, || 0, Instant::now()).is_ok()),
        None => Box::new(|| true),
    };
    let search = SearchConfig { folder, retention: config.retention, has_space };
    Ok(Some(SearchThread::start(Arc::clone(log), search)?))
}

/// What the operator's commands learn about a running server.
pub fn status(config: &ServerConfig, addresses: &[Address], tls: Option<&Tls>) -> Status {
    let (name, authority) = tls.map(Tls::for_links).unwrap_or_default();
    let port = addresses.iter().find_map(|address| match address {
        Address::Tcp { port, .. } => Some(*port),
        Address::Unix(_) => None,
    });
    let by_certificate = name.zip(port).map(|(host, port)| Address::Tcp { host, port }.to_string());
    Status {
        modes: config.logins.words().map(str::to_owned).collect(),
        addresses: addresses.iter().map(Address::to_string).collect(),
        accounts: config.logins.tokens,
        public: config.public_address.clone().or(by_certificate),
        authority: authority.map(|authority| authority.hex()),
    }
}

/// The files with the keys that verify JSON web tokens. A login ends with its key.
pub struct KeysOfTokens {
    pub jwt: Arc<Jwt>,
    pub hub: Weak<Hub>,
}

impl Reloadable for KeysOfTokens {
    fn name(&self) -> &'static str {
        "the keys for JSON web tokens"
    }

    fn files(&self) -> Vec<PathBuf> {
        self.jwt.files()
    }

    fn reload(&mut self) -> Result<String, String> {
        self.jwt.reload().map_err(|error| error.to_string())?;
        self.hub.upgrade().iter().for_each(|hub| hub.close_invalid_logins());
        Ok(format!("reloaded: {} keys", self.jwt.key_count()))
    }
}

/// Opens the socket for the operator's commands on accounts, in the data folder.
pub fn start_operator(
    config: &ServerConfig,
    authenticator: &Authenticator,
    status: Status,
) -> Result<Option<Operator>, StartError> {
    let (Storage::Folder { path, .. }, Some(accounts)) = (&config.storage, &authenticator.accounts) else {
        return Ok(None);
    };
    let operator = Operator::start(path, Arc::clone(accounts), Box::new(move || status.clone()));
    operator.map(Some).map_err(StartError::Operator)
}

/// The data folder; `None` for a log in memory.
pub fn folder(config: &ServerConfig) -> Option<PathBuf> {
    match &config.storage {
        Storage::Folder { path, .. } => Some(path.clone()),
        Storage::Memory { .. } => None,
    }
}

pub fn reserve(config: &ServerConfig, size: &Arc<ReserveSize>) -> Option<DiskReserve> {
    match &config.storage {
        Storage::Memory { .. } => None,
        Storage::Folder { path, .. } => Some(DiskReserve::new(path.clone(), Arc::clone(size))),
    }
}

/// A log, and what only one on a disk has.
pub struct Opened {
    pub sides: Sides,
    pub life: Option<SharedLife>,
    pub faults: Option<Arc<LogFaults>>,
}

pub fn open_log(config: &ServerConfig) -> Result<Opened, StartError> {
    Ok(match &config.storage {
        Storage::Memory { bytes_max } => {
            let (appender, log) = memory::open(*bytes_max, config.retention);
            Opened { sides: (Box::new(appender), log), life: None, faults: None }
        }
        Storage::Folder { path, sync, restored } => {
            let (appender, log) = sqlite::open(path, *sync, *restored, config.retention)?;
            let (life, faults) = (Arc::clone(log.life()), log.faults());
            Opened { sides: (Box::new(appender), log), life: Some(life), faults: Some(faults) }
        }
    })
}
