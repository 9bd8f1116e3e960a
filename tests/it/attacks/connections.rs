//! Connections that take a place and do nothing.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use grpcio::{CallOption, ChannelBuilder, Client, Error, RpcStatusCode};
use hubbub::limits::{CONNECTION_IDLE_MAX, STREAMS_PER_CONNECTION_MAX};
use hubbub::server::ServerConfig;
use hubbub::wire::{CHAT_CLIENT, LIST_ROOMS};

use super::scene::{Scene, attack_time};
use crate::support::chatter::environment;
use crate::support::process::{ServerProcess, command};
use crate::support::raw::{
    ACK, END_HEADERS, GOAWAY, HEADERS, PING, PREFACE, RST_STREAM, Raw, SETTINGS, connect_from, frame, headers, reset,
};
use crate::support::talker::{Talker, post_message};
use crate::support::{DEADLINE, ephemeral, start_with, target, wait_for};
use crate::terminal::client_command;

/// Where the attacks come from: an address of this machine that is not the others'.
pub const ATTACKER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 66);

/// A server that may open this many descriptors.
fn with_descriptors(count: u64, arguments: &[&str]) -> Command {
    let mut server = command();
    server.args(["--listen", "127.0.0.1:0", "--ephemeral"]).args(arguments);
    let limit = libc::rlimit { rlim_cur: count, rlim_max: count };
    // SAFETY: setrlimit is async-signal-safe.
    unsafe {
        server.pre_exec(move || match libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        });
    }
    server
}

/// Connects as often as possible and keeps what is not closed; `begin` says what each connection sends. Returns the
/// connections that the server has not closed in the end.
pub fn hold(source: Ipv4Addr, target: &str, count: usize, begin: &[u8], until: Instant) -> Vec<TcpStream> {
    let mut held: Vec<TcpStream> = Vec::new();
    while Instant::now() < until {
        while held.len() < count && Instant::now() < until {
            let Ok(mut connection) = connect_from(source, target) else { break };
            if connection.write_all(begin).is_err() || connection.set_nonblocking(true).is_err() {
                break;
            }
            held.push(connection);
        }
        held.retain_mut(is_open);
        thread::park_timeout(Duration::from_millis(5));
    }
    held.retain_mut(is_open);
    held
}

/// Whether the server has not closed a connection. Discards what it sent.
fn is_open(connection: &mut TcpStream) -> bool {
    let mut discarded = [0; 4096];
    loop {
        match connection.read(&mut discarded) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) => return error.kind() == ErrorKind::WouldBlock,
        }
    }
}

/// 1,005 connections of 33 bytes took all descriptors: nobody could connect any more, and the log had no line about it.
#[test]
fn silent_connections() {
    let scene = Scene::of(with_descriptors(1_024, &["--clients-max", "400", "--limit-loopback", "--post-rate", "0"]));
    let begin = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
    let report = scene.attack("silent connections", |target| {
        let held = hold(ATTACKER, target, 1_100, &begin, Instant::now() + attack_time());
        println!("{} silent connections are open", held.len());
        assert!(held.len() <= 32, "{}", held.len());
    });
    report.assert_bounded();
    let log = scene.recover(&report);
    assert!(log.iter().any(|line| line.contains("127.0.0.66")), "{log:#?}");
}

/// Reads what the server says until it closes the connection: the kinds of the frames and their payloads.
fn read_to_close(mut connection: &TcpStream) -> Vec<(u8, Vec<u8>)> {
    connection.set_read_timeout(Some(DEADLINE)).expect("a timeout is set");
    let (mut said, mut frames) = (Vec::new(), Vec::new());
    // The server may also reset the connection, after what it has said.
    let _ = connection.read_to_end(&mut said);
    let mut rest = &said[..];
    while let [a, b, c, kind, _, _, _, _, _, after @ ..] = rest {
        let Some((payload, after)) = after.split_at_checked(u32::from_be_bytes([0, *a, *b, *c]) as usize) else {
            break;
        };
        frames.push((*kind, payload.to_vec()));
        rest = after;
    }
    frames
}

/// Connects, and waits until the server speaks HTTP/2 or refuses the connection: then it is returned why.
fn try_connect(source: Ipv4Addr, target: &str) -> Result<TcpStream, String> {
    let mut connection = connect_from(source, target).expect("the system accepts for the server");
    let hello = [PREFACE, &frame(SETTINGS, 0, 0, &[]), &frame(PING, 0, 0, &[0; 8])].concat();
    let _ = connection.write_all(&hello);
    connection.set_read_timeout(Some(DEADLINE)).expect("a timeout is set");
    let mut said = Vec::new();
    loop {
        let mut more = [0; 1024];
        match connection.read(&mut more) {
            Ok(count) if count > 0 => said.extend(&more[..count]),
            _ => return Err(String::from_utf8_lossy(&said).into_owned()),
        }
        // The answer to a ping comes only on a connection that is served.
        let pong = frame(PING, ACK, 0, &[0; 8]);
        if said.windows(pong.len()).any(|window| window == pong) {
            return Ok(connection);
        }
    }
}

const HERE: Ipv4Addr = Ipv4Addr::LOCALHOST;

#[test]
fn an_address_has_so_many_connections_and_its_clients_read_why() {
    let mut server = ServerProcess::start(&["--limit-loopback", "--post-rate", "0", "--connections-per-address", "5"]);
    let mut held: Vec<_> = (0..5).map(|_| try_connect(HERE, server.target()).expect("there is a place")).collect();
    let refusal = try_connect(HERE, server.target()).unwrap_err();
    assert!(refusal.contains("your address has 5 connections open"), "{refusal}");
    // A client of ours shows it to its user.
    let output = client_command(env!("CARGO_BIN_EXE_hubbub"), &["--server", server.target()]).arg("rooms").output();
    let output = output.expect("hubbub starts");
    let shown = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && shown.contains("your address has 5 connections open"), "{shown}");
    // Others have their own places.
    let other = try_connect(ATTACKER, server.target()).expect("there is a place");
    held.pop();
    wait_for("the place of a connection that ended", || try_connect(HERE, server.target()).is_ok());
    server.wait_for_log("connections refused because their address has too many");
    drop(other);
}

/// A refused client tried again at once, hundreds of times a second, and its call waited until its deadline.
#[test]
fn a_refused_client_fails_at_once_and_waits_before_it_tries_again() {
    let mut server = ServerProcess::start(&["--limit-loopback", "--post-rate", "0", "--connections-per-address", "1"]);
    let held = try_connect(HERE, server.target()).expect("there is a place");
    let channel = ChannelBuilder::new(environment()).use_local_subchannel_pool(true).connect(server.target());
    let client = Client::new(channel);
    let call = |option: CallOption| client.unary_call(&LIST_ROOMS, &Default::default(), option.timeout(DEADLINE));
    match call(CallOption::default()) {
        Err(Error::RpcFailure(status)) => assert_eq!(status.code(), RpcStatusCode::UNAVAILABLE, "{status:?}"),
        other => panic!("expected a failure: {other:?}"),
    }
    let releasing = thread::spawn(move || {
        thread::park_timeout(Duration::from_secs(2));
        drop(held);
    });
    call(CallOption::default().wait_for_ready(true)).expect("the client connects once there is a place");
    releasing.join().expect("the place is released");
    server.signal(libc::SIGTERM);
    server.wait();
    let log = server.rest_of_log().concat();
    let refused: Vec<_> = log.split("clients exceeded limits: ").skip(1).collect();
    let refused = refused.iter().filter_map(|line| line.split(' ').next()?.parse::<usize>().ok()).sum::<usize>();
    assert!((1..=10).contains(&refused), "{refused} attempts: {log}");
}

#[test]
fn an_address_opens_so_many_connections_a_second() {
    let server = ServerProcess::start(&["--limit-loopback", "--post-rate", "0"]);
    let mut opened = 0;
    let refusal = loop {
        match try_connect(ATTACKER, server.target()) {
            Ok(_) => opened += 1,
            Err(refusal) => break refusal,
        }
        assert!(opened < 1_000, "no connection is refused");
    };
    assert!(opened >= 32, "{opened}");
    assert!(refusal.contains("opens connections too fast"), "{refusal}");
    // The address in that network is exempt.
    let server =
        ServerProcess::start(&["--limit-loopback", "--post-rate", "0", "--exempt", "127.0.0.64/28,10.0.0.0/8"]);
    for _ in 0..150 {
        try_connect(ATTACKER, server.target()).expect("the address is exempt");
    }
}

/// Connections end in many ways, some before HTTP/2 has begun. Each gives its place back, once.
#[test]
fn every_connection_gives_its_place_back() {
    const PLACES: usize = 20;
    let server = ServerProcess::start(&["--connections-max", &PLACES.to_string()]);
    let call = frame(HEADERS, END_HEADERS, 1, &headers(CHAT_CLIENT.name, None));
    let greeting = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
    for round in 0..25 {
        let ways: [&[u8]; 6] =
            [&[], b"GET / HTTP/1.1\r\n\r\n", &PREFACE[..9], &greeting, &[&greeting[..], &call].concat(), &[0xff; 300]];
        for way in ways {
            let mut connection = connect_from(HERE, server.target()).expect("the server listens");
            let _ = connection.write_all(way);
            if round % 2 == 0 {
                reset(connection);
            }
        }
    }
    wait_for("all places to be free", || {
        let held: Vec<_> = (0..PLACES).map_while(|_| try_connect(HERE, server.target()).ok()).collect();
        held.len() == PLACES
    });
    wait_for("the places of those to be free again", || {
        let held: Vec<_> = (0..PLACES).map_while(|_| try_connect(HERE, server.target()).ok()).collect();
        let refusal = (held.len() == PLACES).then(|| try_connect(HERE, server.target()).unwrap_err());
        refusal.is_some_and(|refusal| refusal.contains(&format!("{PLACES} connections are open")))
    });
}

/// A client that answered pings kept its connection for ever.
#[test]
fn a_connection_without_a_call_is_closed_and_one_with_a_call_is_not() {
    let idle_max = Duration::from_millis(500);
    let keepalive_time = idle_max / 5;
    let server = start_with(ServerConfig { connection_idle_max: idle_max, keepalive_time, ..ephemeral() });
    let target = target(&server);
    let environment = environment();
    let mut talker = Talker::join(&environment, &target, "ann", "garden");
    let mut idle = Raw::open(&target);
    let reason = idle.wait_for_close();
    // Without the patches the library does it, and gives no reason.
    assert!(reason.contains("connect again") || !cfg!(feature = "core-patches"), "{reason:?}");
    // The pause is long enough for another connection to be closed meanwhile.
    let mut later = Raw::open(&target);
    later.wait_for_close();
    talker.post("garden", 0, "still here");
    assert_eq!(talker.hear().2, "still here");
    assert!(CONNECTION_IDLE_MAX >= Duration::from_secs(60), "a client that calls once a minute keeps its connection");
}

/// The library's clients connect again for their next call.
#[test]
fn a_client_whose_idle_connection_was_closed_does_not_notice() {
    let (connection_idle_max, keepalive_time) = (Duration::from_millis(100), Duration::from_millis(50));
    let server = start_with(ServerConfig { connection_idle_max, keepalive_time, ..ephemeral() });
    let client = Talker::connect(&environment(), &target(&server), "ann").client;
    for number in 0..10 {
        post_message(&client, "garden", "ann", 0, &number.to_string()).expect("the call succeeds");
        thread::park_timeout(Duration::from_millis(300));
    }
}

/// A byte at a time, a preface took two minutes, and a descriptor for as long.
#[test]
fn a_slow_preface_is_cut_off() {
    let server = start_with(ServerConfig { handshake_timeout: Duration::from_millis(500), ..ephemeral() });
    let mut connection = connect_from(HERE, &target(&server)).expect("the server listens");
    for byte in PREFACE {
        // The first failure comes after the server has closed the connection.
        if connection.write_all(&[*byte]).is_err() {
            return;
        }
        thread::park_timeout(Duration::from_millis(200));
    }
    panic!("the server took the whole preface");
}

/// The reason is in GOAWAY and in the status of the calls that were open.
#[test]
fn a_connection_over_its_budget_reads_why() {
    const ENHANCE_YOUR_CALM: u32 = 11;
    let mut server = ServerProcess::start(&[]);
    let connection = connect_from(HERE, server.target()).expect("the server listens");
    let mut bytes = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
    bytes.extend(frame(HEADERS, END_HEADERS, 1, &headers(CHAT_CLIENT.name, None)));
    for number in 1..=2 * STREAMS_PER_CONNECTION_MAX as u32 {
        bytes.extend(frame(HEADERS, END_HEADERS, 2 * number + 1, &headers(CHAT_CLIENT.name, None)));
        bytes.extend(frame(RST_STREAM, 0, 2 * number + 1, &8_u32.to_be_bytes()));
    }
    (&connection).write_all(&bytes).expect("the server reads");
    let frames = read_to_close(&connection);
    let text = "too many streams of this connection were reset";
    let payloads = |wanted: u8| frames.iter().filter(move |(kind, _)| *kind == wanted).map(|(_, payload)| payload);
    let goaways: Vec<_> = payloads(GOAWAY).collect();
    assert_eq!(goaways.len(), 1, "{frames:?}");
    assert_eq!(goaways[0][4..8], ENHANCE_YOUR_CALM.to_be_bytes());
    assert!(String::from_utf8_lossy(&goaways[0][8..]).contains(text));
    let mut trailers = payloads(HEADERS).map(|payload| String::from_utf8_lossy(payload));
    assert!(trailers.any(|trailers| trailers.contains("grpc-status\u{1}8") && trailers.contains(text)), "{frames:?}");
    let line = server.wait_for_log("clients exceeded limits");
    assert!(line.contains("1 connections closed because too many of their streams were reset"), "{line}");
    assert!(line.contains("most often by 127.0.0.1 (1 times)"), "{line}");
}
