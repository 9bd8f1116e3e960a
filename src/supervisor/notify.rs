//! Notifies the service manager: sd_notify(3), by its protocol of datagrams.
//!
//! Without a service manager that asked for it (`NOTIFY_SOCKET`), nothing is sent. A datagram that can't be sent is not
//! an error of the program: the service manager then acts as if the program were not ready, or had stopped.

use std::env;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::process;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// How long one datagram may wait for a service manager that does not read.
const SEND_TIMEOUT: Duration = Duration::from_secs(1);

/// The service manager, if it asked to be notified.
#[derive(Debug, Default)]
pub struct Notifier {
    socket: Option<UnixDatagram>,
}

impl Notifier {
    /// The service manager that `NOTIFY_SOCKET` names.
    pub fn from_environment() -> Self {
        let Some(name) = env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else { return Self::default() };
        match connect(name.as_encoded_bytes()) {
            Ok(socket) => Self { socket: Some(socket) },
            Err(error) => {
                log::warn!("the service manager can't be notified at NOTIFY_SOCKET={}: {error}", name.display());
                Self::default()
            }
        }
    }

    /// Whether anybody is notified.
    pub fn is_present(&self) -> bool {
        self.socket.is_some()
    }

    /// The server serves, or does so again after [`Self::reloading`].
    pub fn ready(&self, status: &str) {
        self.send(&format!("READY=1\nSTATUS={}", line(status)));
    }

    /// The files are read again. [`Self::ready`] MUST follow.
    pub fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let microseconds = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1_000;
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={microseconds}\nSTATUS=reading its files again"));
    }

    /// The server has begun to drain.
    pub fn stopping(&self, status: &str) {
        self.send(&format!("STOPPING=1\nSTATUS={}", line(status)));
    }

    /// The server is alive: to be sent more often than [`watchdog_timeout`].
    pub fn alive(&self) {
        self.send("WATCHDOG=1");
    }

    fn send(&self, text: &str) {
        if let Some(socket) = &self.socket
            && let Err(error) = socket.send(text.as_bytes())
        {
            log::warn!("the service manager can't be notified: {error}");
        }
    }
}

/// After how long without [`Notifier::alive`] the service manager kills this process; `None` if it does not.
pub fn watchdog_timeout() -> Option<Duration> {
    let value = |name| env::var(name).ok();
    timeout(value("WATCHDOG_USEC").as_deref(), value("WATCHDOG_PID").as_deref())
}

fn timeout(microseconds: Option<&str>, pid: Option<&str>) -> Option<Duration> {
    let is_ours = pid.is_none_or(|pid| pid.parse() == Ok(process::id()));
    let microseconds = microseconds?.parse().ok().filter(|microseconds| is_ours && *microseconds > 0)?;
    Some(Duration::from_micros(microseconds))
}

/// A line break would begin another assignment.
fn line(status: &str) -> String {
    status.replace(char::is_control, " ")
}

/// `@` begins an abstract name of Linux.
fn connect(name: &[u8]) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    match name {
        #[cfg(target_os = "linux")]
        [b'@', name @ ..] => {
            use std::os::linux::net::SocketAddrExt as _;
            socket.connect_addr(&std::os::unix::net::SocketAddr::from_abstract_name(name)?)?;
        }
        [b'/', ..] => {
            use std::os::unix::ffi::OsStrExt as _;
            socket.connect(std::ffi::OsStr::from_bytes(name))?;
        }
        _ => return Err(io::Error::other("expected an absolute path, or @ and an abstract name")),
    }
    socket.set_write_timeout(Some(SEND_TIMEOUT))?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(socket: &UnixDatagram) -> String {
        let mut datagram = [0; 256];
        let length = socket.recv(&mut datagram).unwrap();
        String::from_utf8(datagram[..length].to_vec()).unwrap()
    }

    #[test]
    fn a_status_stays_one_line() {
        let folder = tempfile::tempdir().unwrap();
        let manager = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        let name = folder.path().join("notify");
        let notifier = Notifier { socket: Some(connect(name.as_os_str().as_encoded_bytes()).unwrap()) };
        notifier.ready("listening on unix:/a\nSTOPPING=1");
        assert_eq!(received(&manager), "READY=1\nSTATUS=listening on unix:/a STOPPING=1");
        notifier.reloading();
        let reloading = received(&manager);
        let mut lines = reloading.lines();
        assert_eq!(lines.next(), Some("RELOADING=1"));
        let time = lines.next().unwrap().strip_prefix("MONOTONIC_USEC=").unwrap();
        assert!(time.parse::<u64>().unwrap() > 0);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn abstract_names_begin_with_an_at_sign() {
        use std::os::linux::net::SocketAddrExt as _;
        let name = format!("hubbub-test-{}", process::id());
        let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
        let manager = UnixDatagram::bind_addr(&address).unwrap();
        Notifier { socket: Some(connect(format!("@{name}").as_bytes()).unwrap()) }.alive();
        assert_eq!(received(&manager), "WATCHDOG=1");
        assert!(connect(b"relative").is_err());
    }

    #[test]
    fn a_watchdog_of_another_process_is_not_ours() {
        let own = process::id().to_string();
        assert_eq!(timeout(Some("2000000"), None), Some(Duration::from_secs(2)));
        assert_eq!(timeout(Some("2000000"), Some(&own)), Some(Duration::from_secs(2)));
        assert_eq!(timeout(Some("2000000"), Some("1")), None);
        assert_eq!((timeout(None, None), timeout(Some("0"), None), timeout(Some("soon"), None)), (None, None, None));
    }
}
