//! Where a server listens, who may connect there, and how many.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;

use hubbub::address::Address;
use hubbub::server::auth::certificate::ClientName;
use hubbub::server::config::{Logins, TlsFiles};
use hubbub::server::{Server, ServerConfig, StartError};

use crate::support::ephemeral;
use crate::support::process::{ServerProcess, command};
use crate::tls::authority::{Authority, Pair};

fn listen(places: &[String]) -> Result<Server, StartError> {
    let listen = places.iter().map(|place| place.parse().expect("an address")).collect();
    Server::start(&ServerConfig { listen, insecure: true, ..ephemeral() })
}

fn port(server: &Server) -> u16 {
    match &server.addresses()[0] {
        Address::Tcp { port, .. } => *port,
        Address::Unix(_) => panic!("a TCP address"),
    }
}

fn answers(ip: impl Into<std::net::IpAddr>, port: u16) -> bool {
    TcpStream::connect(SocketAddr::new(ip.into(), port)).is_ok()
}

/// `--listen 0.0.0.0:5000` listened on IPv6 as well, and so past a firewall that was set up for IPv4.
#[test]
#[cfg_attr(not(feature = "core-patches"), ignore = "the C core alone does otherwise")]
fn a_wildcard_is_of_the_family_that_was_written() {
    let server = listen(&["0.0.0.0:0".to_owned()]).expect("it starts");
    assert!(answers(Ipv4Addr::LOCALHOST, port(&server)) && !answers(Ipv6Addr::LOCALHOST, port(&server)));
    let server = listen(&["[::]:0".to_owned()]).expect("it starts");
    assert!(!answers(Ipv4Addr::LOCALHOST, port(&server)) && answers(Ipv6Addr::LOCALHOST, port(&server)));
}

/// Both wildcards on one port were refused: the first had taken both families.
#[test]
#[cfg_attr(not(feature = "core-patches"), ignore = "the C core alone does otherwise")]
fn two_wildcards_share_a_port() {
    let first = listen(&["[::]:0".to_owned()]).expect("it starts");
    let port_number = port(&first);
    // In one server, or in two.
    let second = listen(&[format!("0.0.0.0:{port_number}")]).expect("the other family is free");
    assert!(answers(Ipv4Addr::LOCALHOST, port_number) && answers(Ipv6Addr::LOCALHOST, port_number));
    assert!(matches!(listen(&[format!("[::]:{port_number}")]), Err(StartError::Taken(_))));
    drop((first, second));
    let both = listen(&[format!("0.0.0.0:{port_number}"), format!("[::]:{port_number}")]).expect("both are free");
    assert!(answers(Ipv4Addr::LOCALHOST, port_number) && answers(Ipv6Addr::LOCALHOST, port_number));
    drop(both);
}

/// An address of IPv6 that is not a wildcard, and one of IPv4, are what they say as well.
#[test]
fn a_loopback_address_is_of_its_family() {
    let server = listen(&["[::1]:0".to_owned()]).expect("it starts");
    assert!(answers(Ipv6Addr::LOCALHOST, port(&server)) && !answers(Ipv4Addr::LOCALHOST, port(&server)));
    let server = listen(&["127.0.0.1:0".to_owned()]).expect("it starts");
    assert!(answers(Ipv4Addr::LOCALHOST, port(&server)) && !answers(Ipv6Addr::LOCALHOST, port(&server)));
}

/// Only its owner could use a Unix socket, and there was no setting for it. The socket is gone after the server.
#[test]
fn a_unix_socket_has_the_mode_that_was_asked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("socket");
    for mode in [0o660, 0o600, 0o777] {
        let config = ServerConfig { listen: vec![Address::Unix(path.clone())], socket_mode: Some(mode), ..ephemeral() };
        let server = Server::start(&config).expect("it starts");
        assert_eq!(path.metadata().expect("the socket is there").permissions().mode() & 0o7777, mode);
        drop(server);
        assert!(!path.exists(), "a socket is left over");
    }
    let output = command().args(["--socket-mode", "9"]).output().expect("hubbub-server starts");
    assert_eq!(output.status.code(), Some(2));
}

/// With `ulimit -n 64` the server accepted `--clients-max 7500`, and the 40th client waited for ever.
#[test]
fn the_limit_of_descriptors_is_checked_at_the_start() {
    let limited = |arguments: &[&str]| {
        let mut command = command();
        command.args(["--ephemeral", "--listen", "127.0.0.1:0"]).args(arguments);
        // SAFETY: setrlimit may be called between fork and exec.
        unsafe {
            command.pre_exec(|| {
                let limit = libc::rlimit { rlim_cur: 64, rlim_max: 64 };
                libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
                Ok(())
            });
        }
        command
    };
    let output = limited(&["--clients-max", "7500"]).output().expect("hubbub-server starts");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("raise ulimit -n"), "{output:?}");
    let mut server = ServerProcess::spawn(limited(&[]));
    server.wait_for_log("only 16 clients can be served at once");
    server.wait_for_listening();
}

#[test]
fn an_address_that_others_can_reach_needs_tls_and_a_login() {
    let authority = Authority::new();
    let Pair { certificate, key } = authority.server("server");
    let tls = TlsFiles { certificate, key, client_ca: None };
    let logins = Logins { certificates: Some(ClientName::default()), ..Logins::default() };
    for (tls, logins, expected) in [
        (None, Logins::default(), "no TLS and no login"),
        (Some(tls), Logins::default(), "no login"),
        (None, logins, "no TLS"),
    ] {
        for others in [&["0.0.0.0:0"][..], &["127.0.0.1:0", "0.0.0.0:0"]] {
            let listen = others.iter().map(|address| address.parse().expect("an address")).collect();
            let config = ServerConfig { listen, tls: tls.clone(), logins: logins.clone(), ..ephemeral() };
            match Server::start(&config).err() {
                Some(StartError::Exposed { missing, .. }) => assert_eq!(missing, expected),
                other => panic!("{expected}: {other:?}"),
            }
        }
    }
}
