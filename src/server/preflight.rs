//! What would stop a server from starting, found without starting it: every fault at once, and nothing is created.

use std::fs;
use std::net::ToSocketAddrs as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{Access, AtFlags, CWD, accessat};

use super::auth::jwt::{Jwt, JwtSettings};
use super::config::{ServerConfig, StartError, Storage, TlsFiles, check_clients};
use super::log::sqlite;
use super::places;
use crate::address::Address;
use crate::certificates::{Authorities, Identity};

/// What was found.
#[derive(Debug, Default)]
pub struct Preflight {
    pub faults: Vec<Finding>,
    /// What is no fault while another server runs with the same configuration.
    pub warnings: Vec<Finding>,
}

/// Something that an option is the reason for.
#[derive(Debug, PartialEq, Eq)]
pub struct Finding {
    /// The option's long name.
    pub key: &'static str,
    pub text: String,
}

/// Looks at everything that a configuration names.
pub fn check(config: &ServerConfig) -> Preflight {
    let mut found = Preflight::default();
    if let Err(error) = check_clients(config.clients_max) {
        found.fault("clients-max", error.to_string());
    }
    found.places(config);
    if let Some(files) = &config.tls {
        found.tls(files);
    }
    if let Some(settings) = &config.logins.jwt {
        found.jwt(settings);
    }
    match &config.storage {
        Storage::Folder { path, .. } => found.folder(path),
        Storage::Memory { .. } if config.logins.tokens => {
            found.fault("auth", StartError::AccountsNeedFolder.to_string());
        }
        Storage::Memory { .. } => {}
    }
    found
}

/// Refuses addresses that other machines can reach, if the server has no TLS or no login.
pub fn check_protected(config: &ServerConfig) -> Result<(), StartError> {
    let Some(missing) = missing_protection(config) else { return Ok(()) };
    for (_, address) in addresses(config) {
        if places::is_exposed(address)? {
            return Err(StartError::Exposed { address: address.clone(), missing });
        }
    }
    let mut sockets = config.inherited.grpc.iter().chain(&config.inherited.http);
    match sockets.find(|socket| socket.is_exposed()) {
        Some(socket) => Err(StartError::Exposed { address: socket.address().clone(), missing }),
        None => Ok(()),
    }
}

/// What a server lacks to be reached by other machines.
fn missing_protection(config: &ServerConfig) -> Option<&'static str> {
    match (config.tls.is_some(), config.logins.are_needed()) {
        _ if config.insecure => None,
        (true, true) => None,
        (true, false) => Some("no login"),
        (false, true) => Some("no TLS"),
        (false, false) => Some("no TLS and no login"),
    }
}

/// Where it is to listen for clients, each with its option.
fn addresses(config: &ServerConfig) -> impl Iterator<Item = (&'static str, &Address)> {
    // The default address of HTTP can't be reached, and must not be looked at: it may be taken.
    let http = config.http.iter().filter(|http| !http.may_be_taken);
    let listen = config.listen.iter().map(|address| ("listen", address));
    listen.chain(http.filter_map(|http| Some(("http", http.address.as_ref()?))))
}

/// Where it is to show metrics. The default address may be taken, too.
fn admin_address(config: &ServerConfig) -> Option<(&'static str, &Address)> {
    let admin = config.admin.as_ref().filter(|admin| !admin.may_be_taken)?;
    Some(("admin", &admin.address))
}

impl Preflight {
    fn fault(&mut self, key: &'static str, text: String) {
        self.faults.push(Finding { key, text });
    }

    fn warn(&mut self, key: &'static str, text: String) {
        self.warnings.push(Finding { key, text });
    }

    fn places(&mut self, config: &ServerConfig) {
        let missing = missing_protection(config);
        let mut known: Vec<(&str, &Address)> = Vec::new();
        for (key, address) in addresses(config).chain(admin_address(config)) {
            let is_any_port = matches!(address, Address::Tcp { port: 0, .. });
            // One that is repeated within an option is found there.
            let same = known.iter().find(|(other, known)| *other != key && *known == address && !is_any_port);
            if let Some((other, _)) = same {
                self.fault(key, format!("{address} is given with --{other} too: each needs an address of its own"));
                continue;
            }
            known.push((key, address));
            match places::check_free(address) {
                Ok(()) => {}
                // By the server that runs, for example.
                Err(error @ StartError::Taken(_)) => self.warn(key, error.to_string()),
                Err(error) => {
                    self.fault(key, error.to_string());
                    continue;
                }
            }
            match missing {
                _ if !is_exposed(address) => {}
                _ if key == "admin" => {
                    let who = "can be reached from other machines, and needs no login";
                    self.warn(key, format!("{address} {who}: let only your monitoring reach it"));
                }
                Some(missing) => {
                    self.fault(key, StartError::Exposed { address: address.clone(), missing }.to_string());
                }
                None => {}
            }
        }
    }

    fn tls(&mut self, files: &TlsFiles) {
        let now = SystemTime::now();
        let pair = [("tls-cert", &files.certificate), ("tls-key", &files.key)];
        let unreadable = pair.map(|(key, path)| self.unreadable(key, path));
        if unreadable == [false, false]
            && let Err(fault) = Identity::read_server(&files.certificate, &files.key, now)
        {
            let key = if fault.path == files.key { "tls-key" } else { "tls-cert" };
            self.fault(key, fault.to_string());
        }
        if let Some(path) = &files.client_ca
            && !self.unreadable("client-ca", path)
            && let Err(fault) = Authorities::read(path, now)
        {
            self.fault("client-ca", fault.to_string());
        }
    }

    /// Each file alone, and then all together.
    fn jwt(&mut self, settings: &JwtSettings) {
        let before = self.faults.len();
        let files = settings
            .keys
            .iter()
            .map(|path| ("jwt-key", path))
            .chain(settings.jwks.iter().map(|path| ("jwt-jwks", path)));
        for (key, path) in files {
            if self.unreadable(key, path) {
                continue;
            }
            let (keys, jwks) = match key {
                "jwt-key" => (vec![path.clone()], None),
                _ => (Vec::new(), Some(path.clone())),
            };
            if let Err(error) = Jwt::open(&JwtSettings { keys, jwks, ..settings.clone() }) {
                self.fault(key, error.to_string());
            }
        }
        if self.faults.len() == before
            && let Err(error) = Jwt::open(settings)
        {
            self.fault("jwt-key", error.to_string());
        }
    }

    /// Whether a file can't be read, which is a fault then.
    fn unreadable(&mut self, key: &'static str, path: &Path) -> bool {
        let fault = match (fs::metadata(path), accessat(CWD, path, Access::READ_OK, AtFlags::EACCESS)) {
            (Err(error), _) => error.to_string(),
            (Ok(metadata), _) if metadata.is_dir() => "it is a folder".to_owned(),
            (Ok(_), Err(error)) => error.to_string(),
            (Ok(_), Ok(())) => return false,
        };
        self.fault(key, format!("can't read {}: {fault}", path.display()));
        true
    }

    fn folder(&mut self, path: &Path) {
        match sqlite::inspect_folder(path) {
            Ok(sqlite::FolderState::Free) => self.writable(path, "write to"),
            Ok(sqlite::FolderState::InUse) => {
                let path = path.display();
                self.warn("data", format!("a server is running with {path}: a second one would not start"));
            }
            Ok(sqlite::FolderState::Missing) => {
                let above = nearest(path);
                let is_folder = above.is_dir();
                match is_folder {
                    true => self.writable(&above, "create the data folder in"),
                    false => self.fault("data", format!("{} is not a folder", above.display())),
                }
            }
            Err(error) => self.fault("data", error.to_string()),
        }
    }

    fn writable(&mut self, folder: &Path, act: &str) {
        let needed = Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK;
        if let Err(error) = accessat(CWD, folder, needed, AtFlags::EACCESS) {
            self.fault("data", format!("this user can't {act} {}: {error}", folder.display()));
        }
    }
}

/// Whether other machines can reach an address that may be taken.
fn is_exposed(address: &Address) -> bool {
    match (places::is_exposed(address), address) {
        (Ok(is_exposed), _) => is_exposed,
        (Err(_), Address::Tcp { host, port }) => {
            let places = (host.as_str(), *port).to_socket_addrs();
            places.is_ok_and(|mut places| places.any(|place| !place.ip().to_canonical().is_loopback()))
        }
        (Err(_), Address::Unix(_)) => false,
    }
}

/// The nearest part of a path that exists.
fn nearest(path: &Path) -> PathBuf {
    let exists = |path: &&Path| path.as_os_str().is_empty() || path.symlink_metadata().is_ok();
    match path.ancestors().skip(1).find(exists) {
        Some(above) if !above.as_os_str().is_empty() => above.to_owned(),
        _ => PathBuf::from("."),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::server::config::{AdminConfig, Logins};

    fn config(path: &Path) -> ServerConfig {
        let storage = Storage::Folder { path: path.to_owned(), sync: sqlite::SyncMode::Full, restored: false };
        ServerConfig { storage, listen: vec![Address::local(0)], ..ServerConfig::default() }
    }

    fn found(config: &ServerConfig) -> (Vec<&'static str>, Vec<&'static str>) {
        let Preflight { faults, warnings } = check(config);
        let keys = |findings: Vec<Finding>| findings.iter().map(|finding| finding.key).collect();
        (keys(faults), keys(warnings))
    }

    #[test]
    fn a_missing_folder_is_not_created() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b");
        assert_eq!(found(&config(&path)), (vec![], vec![]));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        fs::write(folder.path().join("a"), "").unwrap();
        assert_eq!(found(&config(&path)), (vec!["data"], vec![]));
        assert_eq!(found(&config(&folder.path().join("a"))), (vec!["data"], vec![]));
        fs::remove_file(folder.path().join("a")).unwrap();
        std::os::unix::fs::symlink("nowhere", folder.path().join("a")).unwrap();
        assert_eq!(found(&config(&path)), (vec!["data"], vec![]));
    }

    #[test]
    fn a_folder_in_use_is_a_warning_and_one_that_others_may_change_a_fault() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let lock = sqlite::Folder::open(&data).unwrap();
        assert_eq!(found(&config(&data)), (vec![], vec!["data"]));
        drop(lock);
        assert_eq!(found(&config(&data)), (vec![], vec![]));
        fs::set_permissions(&data, fs::Permissions::from_mode(0o777)).unwrap();
        assert_eq!(found(&config(&data)), (vec!["data"], vec![]));
    }

    #[test]
    fn all_faults_are_found_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("empty.pem"), "").unwrap();
        let jwt = JwtSettings {
            keys: vec![path("none.pem"), path("empty.pem")],
            jwks: Some(path("none.json")),
            issuer: "i".to_owned(),
            audience: "a".to_owned(),
            name_claim: "sub".to_owned(),
            role_claim: "role".to_owned(),
            rooms_claim: "rooms".to_owned(),
            acts_claim: "acts".to_owned(),
        };
        let config = ServerConfig {
            listen: vec!["unix:/nowhere/socket".parse().unwrap(), "0.0.0.0:0".parse().unwrap()],
            tls: Some(TlsFiles {
                certificate: path("none.pem"),
                key: path("none.key"),
                client_ca: Some(path("empty.pem")),
            }),
            logins: Logins { jwt: Some(jwt), tokens: true, ..Logins::default() },
            storage: Storage::Memory { bytes_max: 1 << 20 },
            clients_max: usize::MAX,
            ..ServerConfig::default()
        };
        let (faults, warnings) = found(&config);
        let expected =
            ["clients-max", "listen", "tls-cert", "tls-key", "client-ca", "jwt-key", "jwt-key", "jwt-jwks", "auth"];
        assert_eq!((faults, warnings), (expected.to_vec(), vec![]));
        // Without TLS and logins, the address that others can reach is one too, also if a server listens there now.
        let listener = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
        let taken = format!("0.0.0.0:{}", listener.local_addr().unwrap().port()).parse().unwrap();
        let open = ServerConfig { listen: vec![taken], tls: None, logins: Logins::default(), clients_max: 1, ..config };
        assert_eq!(found(&open), (vec!["listen"], vec!["listen"]));
        assert_eq!(found(&ServerConfig { insecure: true, ..open }), (vec![], vec!["listen"]));
    }

    #[test]
    fn each_option_needs_an_address_of_its_own_and_metrics_are_for_this_machine() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let admin = |address: &str, may_be_taken| {
            Some(AdminConfig { address: address.parse().unwrap(), may_be_taken, hosts: Vec::new() })
        };
        let config = ServerConfig {
            listen: vec![Address::from(free)],
            storage: Storage::Memory { bytes_max: 1 << 20 },
            clients_max: 1,
            ..ServerConfig::default()
        };
        let found = |admin| found(&ServerConfig { admin, ..config.clone() });
        assert_eq!(found(admin("127.0.0.1:0", false)), (vec![], vec![]));
        assert_eq!(found(admin(&free.to_string(), false)), (vec!["admin"], vec![]));
        assert_eq!(found(admin(&free.to_string(), true)), (vec![], vec![]));
        assert_eq!(found(admin("0.0.0.0:0", false)), (vec![], vec!["admin"]));
        assert_eq!(found(admin("unix:/nowhere/socket", false)), (vec!["admin"], vec![]));
    }
}
