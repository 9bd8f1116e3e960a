//! How often a client may ping.

use std::env;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use hubbub::limits;
use hubbub::server::ServerConfig;

use crate::support::chatter::{Chatter, environment};
use crate::support::foreign;
use crate::support::raw::{ACK, PING, PREFACE, Raw};
use crate::support::{ephemeral, start_with, target, wait_for_clients};

/// A client that pinged every 10 s in a silent room was disconnected, after 45 s from Python and 80 s from Node, with
/// "resource exhausted": the server counted as abuse every ping that came within 15 s of the last. The contract says 5
/// s. Here the times are a fiftieth of that, but the default is what the contract says.
#[test]
fn a_client_that_pings_as_often_as_it_may_stays() {
    assert_eq!(ServerConfig::default().ping_interval_min, Duration::from_secs(5));
    let interval = limits::PING_JITTER + Duration::from_millis(100);
    let server = start_with(ServerConfig { ping_interval_min: interval, ..ephemeral() });
    let mut client = Raw::join(&target(&server));
    for _ in 0..12 {
        client.ping().expect("the connection is open");
        assert!(client.is_ping_answered(), "a client that keeps to the contract is disconnected");
        // No clock is asserted: a slow machine only makes the pings rarer.
        thread::sleep(Duration::from_millis(120));
    }
}

/// The limit is there for a client that floods the server with pings; that one is still disconnected.
#[test]
fn a_client_that_floods_pings_is_disconnected() {
    let server = start_with(ephemeral());
    let mut client = Raw::join(&target(&server));
    let mut answers = 0;
    while client.ping().is_ok() && client.is_ping_answered() {
        answers += 1;
        assert!(answers < 100, "nothing stops a flood of pings");
    }
}

#[test]
fn pythons_client_may_ping_in_a_silent_room() {
    let mut client = foreign::python();
    client.arg(foreign::script("pings.py"));
    pings_and_stays(client);
}

#[test]
fn nodes_client_may_ping_in_a_silent_room() {
    let mut client = foreign::node();
    client.arg(foreign::script("pings.js"));
    pings_and_stays(client);
}

/// Runs a client whose keepalive is twice as long as the contract asks for, as 10 s are. `make ping-test` uses the true
/// times, otherwise all is a tenth.
fn pings_and_stays(mut client: Command) {
    let is_long = env::var_os("HUBBUB_PINGS_LONG").is_some();
    let (interval, keepalive_ms) = match is_long {
        true => (ServerConfig::default().ping_interval_min, "10000"),
        // A tenth of what the server really allows, which is a little less than the contract.
        false => (limits::PING_JITTER + Duration::from_millis(400), "1000"),
    };
    let server = start_with(ServerConfig { ping_interval_min: interval, ..ephemeral() });
    let counter = PingCounter::start(&target(&server));
    client.args([counter.target.as_str(), keepalive_ms]).stdin(Stdio::null()).stderr(Stdio::piped());
    let mut client = client.spawn().expect("the client starts");
    wait_for_clients(&server, 1);
    // More pings than any count of them that the library forgives. A client that was disconnected ends.
    while counter.pings.load(Ordering::Relaxed) < 8 {
        assert_stays(&mut client);
        thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(server.client_count(), 1);
    let mut ann = Chatter::join(&environment(), &target(&server), "ann");
    wait_for_clients(&server, 2);
    ann.say("hello");
    let output = client.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn assert_stays(client: &mut Child) {
    if client.try_wait().expect("it is ours").is_some() {
        let mut said = String::new();
        let _ = client.stderr.as_mut().expect("it is piped").read_to_string(&mut said);
        panic!("the client was disconnected: {said}");
    }
}

/// A way to the server on which the clients' pings are counted. Its threads end with their connections, or with the
/// process.
struct PingCounter {
    target: String,
    pings: Arc<AtomicUsize>,
}

impl PingCounter {
    fn start(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let target = listener.local_addr().expect("it is bound").to_string();
        let pings = Arc::new(AtomicUsize::new(0));
        let (counted, server) = (Arc::clone(&pings), server.to_owned());
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let server = TcpStream::connect(&server).expect("the server listens");
                let (mut from, mut to) = (server.try_clone().expect("a socket"), client.try_clone().expect("a socket"));
                thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Both);
                });
                let counted = Arc::clone(&counted);
                thread::spawn(move || count_pings(client, server, &counted));
            }
        });
        Self { target, pings }
    }
}

/// Passes on what a client sends, frame by frame.
fn count_pings(mut client: TcpStream, mut server: TcpStream, pings: &AtomicUsize) -> Option<()> {
    let mut pass = |bytes: &mut [u8]| {
        client.read_exact(bytes).and_then(|()| server.write_all(bytes)).inspect_err(|_| {
            let _ = server.shutdown(Shutdown::Both);
        })
    };
    pass(&mut [0; PREFACE.len()]).ok()?;
    loop {
        let mut header = [0; 9];
        pass(&mut header).ok()?;
        let length = u32::from_be_bytes([0, header[0], header[1], header[2]]);
        pass(&mut vec![0; length as usize]).ok()?;
        if header[3] == PING && header[4] & ACK == 0 {
            pings.fetch_add(1, Ordering::Relaxed);
        }
    }
}
