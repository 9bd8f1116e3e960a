//! Floods of frames, and what a connection may cost at most.

use std::collections::HashMap;
use std::io::{ErrorKind, Read as _, Result, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use hubbub::limits::{RECEIVE_BYTES_MAX, STREAMS_PER_CONNECTION_MAX};
use hubbub::wire::{CHAT_CLIENT, POST_MESSAGE, TUTORIAL_CHAT_CLIENT};

use super::connections::ATTACKER;
use super::flood::{Flood, Opening, open};
use super::scene::{Scene, attack_time};
use crate::support::chatter::environment;
use crate::support::process::ServerProcess;
use crate::support::raw::{
    CONTINUATION, DATA, GOAWAY, HEADERS, PADDED, PING, PREFACE, PRIORITY, RST_STREAM, Raw, SETTINGS, WINDOW_UPDATE,
    encode, frame, headers, prefixed,
};
use crate::support::talker::{Talker, post_message};
use crate::terminal::client_command;

pub fn reset(number: u32) -> Vec<u8> {
    const CANCEL: u32 = 8;
    frame(RST_STREAM, 0, 2 * number + 1, &CANCEL.to_be_bytes())
}

/// The HTTP/2 rapid reset (CVE-2023-44487): 10 MB/s took 2.5 GB of memory in 8 s, and the pair waited for 20 s.
#[test]
fn rapid_resets() {
    for (name, path) in [
        ("resets", CHAT_CLIENT.name),
        ("resets of unary calls", POST_MESSAGE.name),
        ("resets of nothing", "/no.such/x"),
    ] {
        let unit = |number| [open(path, number), reset(number)].concat();
        Flood::of(&unit).attack(name);
    }
}

/// The limits for addresses apply as well, as they do to clients of other machines.
#[test]
fn rapid_resets_of_one_address() {
    let scene = Scene::start(&["--limit-loopback", "--post-rate", "0"]);
    let report = scene.attack("resets of one address", |target| {
        let unit = |number| [open(CHAT_CLIENT.name, number), reset(number)].concat();
        Flood { source: ATTACKER, ..Flood::of(&unit) }.run(target);
    });
    report.assert_bounded();
    scene.recover(&report);
}

/// The same without RST_STREAM frames from the client: a frame that breaks a rule makes the server reset the stream
/// (CVE-2025-8671).
#[test]
fn resets_that_the_server_is_made_to_send() {
    let unit = |number| [open(CHAT_CLIENT.name, number), frame(DATA, PADDED, 2 * number + 1, &[0])].concat();
    Flood::of(&unit).attack("provoked resets");
}

#[test]
fn control_frames() {
    let goaway = [0_u32.to_be_bytes(), 0_u32.to_be_bytes()].concat();
    let open_stream = || open(CHAT_CLIENT.name, 0);
    let half_open_headers = || frame(HEADERS, 0, 1, &headers(CHAT_CLIENT.name, None));
    let kinds: [(&str, Opening<'_>, Vec<u8>); 6] = [
        ("GOAWAY", &Vec::new, frame(GOAWAY, 0, 0, &goaway)),
        ("PING", &Vec::new, frame(PING, 0, 0, &[0; 8])),
        ("SETTINGS", &Vec::new, frame(SETTINGS, 0, 0, &[])),
        ("empty DATA", &open_stream, frame(DATA, 0, 1, &[])),
        ("PRIORITY", &Vec::new, frame(PRIORITY, 0, 1, &[0; 5])),
        ("CONTINUATION", &half_open_headers, frame(CONTINUATION, 0, 1, &[])),
    ];
    for (name, opening, frame) in &kinds {
        Flood { opening, ..Flood::of(&|_| frame.clone()) }.attack(name);
    }
}

/// The answers to pings pile up.
#[test]
fn pings_whose_answers_nobody_reads() {
    Flood { reads: false, ..Flood::of(&|_| frame(PING, 0, 0, &[0; 8])) }.attack("unread PING");
}

/// Opens this many streams without acknowledging SETTINGS.
pub fn open_streams(target: &str, count: u32) -> TcpStream {
    let mut connection = TcpStream::connect(target).expect("the server listens");
    let mut bytes = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
    (0..count).for_each(|number| bytes.extend(open(TUTORIAL_CHAT_CLIENT.name, number)));
    // The server may close the connection at any point.
    let _ = connection.write_all(&bytes);
    connection
}

/// The library applies the maximum of streams only once the client has acknowledged it: one connection took 7,000
/// clients' places and 14,000 threads.
#[test]
fn streams_of_a_client_that_acknowledges_no_settings() {
    const STREAMS: u32 = 7_000;
    let scene = Scene::start(&[]);
    let report = scene.attack("unacknowledged SETTINGS", |target| {
        let _connection = open_streams(target, STREAMS);
        thread::sleep(attack_time());
    });
    report.assert_bounded();
    let threads_max = report.threads_before + 2 * STREAMS_PER_CONNECTION_MAX + 50;
    assert!(report.threads_peak <= threads_max, "{report:?}");
    scene.recover(&report);
}

/// A client may open streams before it knows the maximum. Those above it are refused one by one, so that a library
/// retries them, and the others work.
#[test]
fn streams_above_the_maximum_are_refused_and_the_others_work() {
    const REFUSED_STREAM: u32 = 7;
    const MORE: u32 = 20;
    let scene = Scene::start(&[]);
    let mut raw = Raw::open(scene.server.target());
    let streams = STREAMS_PER_CONNECTION_MAX as u32 + MORE;
    let opened: Vec<u8> = (0..streams).flat_map(|number| open(TUTORIAL_CHAT_CLIENT.name, number)).collect();
    raw.write(&opened);
    for _ in 0..MORE {
        let (stream, code) = raw.next_of(RST_STREAM);
        assert_eq!(code, REFUSED_STREAM.to_be_bytes());
        assert!(stream > 2 * STREAMS_PER_CONNECTION_MAX as u32, "{stream}");
    }
    raw.write(&frame(DATA, 0, 1, &prefixed(0, &encode("ann", "hello"))));
    let (stream, _) = raw.next_of(DATA);
    assert!(stream < 2 * STREAMS_PER_CONNECTION_MAX as u32, "{stream}");
}

/// Five bytes that declare a message of 4 GiB opened the window for all of it: 1 GB was taken in 1.4 s.
#[test]
fn a_message_that_is_declared_too_long_is_refused_at_its_first_bytes() {
    let scene = Scene::start(&[]);
    for path in [CHAT_CLIENT.name, TUTORIAL_CHAT_CLIENT.name, POST_MESSAGE.name] {
        for length in [RECEIVE_BYTES_MAX as u32 + 1, 1 << 31, u32::MAX] {
            let mut raw = Raw::open(scene.server.target());
            raw.write(&[open(path, 0), frame(DATA, 0, 1, &[&[0], &length.to_be_bytes()[..]].concat())].concat());
            let trailers = raw.read_trailers();
            assert!(trailers.contains("grpc-status\u{1}8"), "{path}, {length}: {trailers:?}");
            let text = format!("the message has {length} bytes: send at most {RECEIVE_BYTES_MAX}");
            assert!(trailers.contains(&text), "{path}, {length}: {trailers:?}");
        }
    }
}

#[test]
fn messages_that_are_declared_too_long() {
    let scene = Scene::start(&[]);
    let report = scene.attack("declared 4 GiB", |target| {
        let until = Instant::now() + attack_time();
        while Instant::now() < until {
            // The server may close the connection at any point.
            let _ = send_long_messages(target, until);
        }
    });
    report.assert_bounded();
    scene.recover(&report);
}

/// Sends 60 messages of 4 GiB as far as flow control allows.
pub fn send_long_messages(target: &str, until: Instant) -> Result<()> {
    const STREAMS: u32 = 60;
    const FRAME_BYTES: i64 = 16 * 1024;
    let mut connection = TcpStream::connect(target)?;
    let mut opening = [PREFACE, &frame(SETTINGS, 0, 0, &[]), &frame(SETTINGS, 1, 0, &[])].concat();
    for number in 0..STREAMS {
        opening.extend(open(CHAT_CLIENT.name, number));
        opening.extend(frame(DATA, 0, 2 * number + 1, &[0, 0xff, 0xff, 0xff, 0xff]));
    }
    connection.write_all(&opening)?;
    connection.set_nonblocking(true)?;
    let window = 65_535 - 5;
    let mut windows: HashMap<u32, i64> = (0..STREAMS).map(|number| (2 * number + 1, window)).collect();
    windows.insert(0, 65_535 - i64::from(STREAMS) * 5);
    let (mut received, mut buffer) = (Vec::new(), vec![0; 64 * 1024]);
    while Instant::now() < until {
        match connection.read(&mut buffer) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => received.extend(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::park_timeout(Duration::from_millis(1)),
            Err(error) => return Err(error),
        }
        take_windows(&mut received, &mut windows);
        if windows.len() == 1 {
            // All streams were ended.
            return Ok(());
        }
        for number in 0..STREAMS {
            let stream = 2 * number + 1;
            let both = windows[&0].min(windows.get(&stream).copied().unwrap_or(0)).min(FRAME_BYTES);
            if both <= 0 {
                continue;
            }
            let mut unsent = frame(DATA, 0, stream, &vec![b'x'; both as usize]);
            while !unsent.is_empty() && Instant::now() < until {
                match connection.write(&unsent) {
                    Ok(count) => drop(unsent.drain(..count)),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        thread::park_timeout(Duration::from_millis(1));
                    }
                    Err(error) => return Err(error),
                }
            }
            for id in [0, stream] {
                *windows.get_mut(&id).expect("both have a window") -= both;
            }
        }
    }
    Ok(())
}

/// Takes whole frames out of what was received: windows grow, and streams end.
pub fn take_windows(received: &mut Vec<u8>, windows: &mut HashMap<u32, i64>) {
    while received.len() >= 9 {
        let length = u32::from_be_bytes([0, received[0], received[1], received[2]]) as usize;
        if received.len() < 9 + length {
            return;
        }
        let stream = u32::from_be_bytes([received[5], received[6], received[7], received[8]]);
        match received[3] {
            WINDOW_UPDATE => {
                let more = u32::from_be_bytes([received[9], received[10], received[11], received[12]]);
                windows.entry(stream).and_modify(|window| *window += i64::from(more));
            }
            RST_STREAM => drop(windows.remove(&stream)),
            _ => {}
        }
        received.drain(..9 + length);
    }
}

/// Clients at full speed stay far below the budgets.
#[test]
fn fast_clients_do_not_notice_the_budget() {
    let mut server = ServerProcess::start(&[]);
    let (clients, messages) = (["--clients", "20", "--senders", "4"], ["--messages", "5000", "--quiet", "--json"]);
    for contract in ["v1", "tutorial"] {
        let mut repeat = client_command(env!("CARGO_BIN_EXE_hubbub-repeat"), &["--server", server.target()]);
        let output = repeat.args(clients).args(messages).args(["--contract", contract]).output();
        let output = output.expect("hubbub-repeat starts");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("\"faultless\":true"), "{said}");
    }
    // Unary calls, a hundred at once on one connection.
    let client = Talker::connect(&environment(), server.target(), "ann").client;
    thread::scope(|scope| {
        for number in 0..STREAMS_PER_CONNECTION_MAX - 1 {
            let client = &client;
            scope.spawn(move || {
                for message in 0..50 {
                    post_message(client, "garden", &format!("poster-{number}"), 0, &message.to_string())
                        .expect("the call succeeds");
                }
            });
        }
    });
    server.signal(libc::SIGTERM);
    server.wait();
    let log = server.rest_of_log();
    assert!(!log.iter().any(|line| line.contains("exceeded limits")), "{log:#?}");
}
