//! Floods of commands, all within the rules: the latency of others must not depend on the client that sends most.

use std::collections::HashMap;
use std::io::{ErrorKind, Read as _, Result, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use hubbub::limits::STREAMS_PER_CONNECTION_MAX;
use hubbub::wire::CHAT_CLIENT;
use hubbub::wire::v1::{ChatRequest, Command};
use protobuf::Message as _;

use super::frames::take_windows;
use super::scene::{Scene, attack_time};
use crate::support::preload;
use crate::support::process::command;
use crate::support::raw::{DATA, END_HEADERS, HEADERS, PREFACE, SETTINGS, connect_from, frame, headers, prefixed};
use crate::support::talker::{hello, join, leave, post};

const FRAME_BYTES_MIN: i64 = 4 * 1024;
const FRAME_BYTES_MAX: i64 = 16 * 1024;

/// Sends requests on each of many streams as fast as flow control allows, and reads nothing.
pub struct CommandFlood {
    pub streams: usize,
    /// Where the connections come from.
    pub source: Ipv4Addr,
    /// The commands of each request.
    pub commands: Vec<Command>,
}

/// One stream of a flood.
struct Stream {
    id: u32,
    /// The message that it sends: first its name and room, then the same commands repeatedly.
    message: Vec<u8>,
    sent: usize,
}

impl CommandFlood {
    /// Floods a server, and checks its memory and the service of others.
    fn attack(&self, name: &'static str, scene: Scene) {
        let report = scene.attack(name, |target| {
            self.run(target, Instant::now() + attack_time()).expect("a flood within the rules goes on");
        });
        report.assert_bounded();
        scene.recover(&report);
    }

    /// A flood of clients of this machine.
    pub fn of(streams: usize, commands: Vec<Command>) -> Self {
        Self { streams, source: Ipv4Addr::LOCALHOST, commands }
    }

    /// Sends until then, on as many connections as the streams need. A connection that fails ends. Returns how many bytes
    /// of messages were sent.
    pub fn run(&self, target: &str, until: Instant) -> Result<usize> {
        thread::scope(|scope| {
            let connections = (0..self.streams).step_by(STREAMS_PER_CONNECTION_MAX).map(|first| {
                let count = (self.streams - first).min(STREAMS_PER_CONNECTION_MAX);
                scope.spawn(move || self.connection(target, until, count))
            });
            let connections: Vec<_> = connections.collect();
            connections.into_iter().map(|connection| connection.join().expect("no thread panics")).sum()
        })
    }

    fn connection(&self, target: &str, until: Instant, count: usize) -> Result<usize> {
        let mut connection = connect_from(self.source, target)?;
        let mut opening = [PREFACE, &frame(SETTINGS, 0, 0, &[]), &frame(SETTINGS, 1, 0, &[])].concat();
        let first = encode(vec![hello("flood"), join("flood", None)]);
        let mut streams: Vec<_> =
            (0..count as u32).map(|n| Stream { id: 2 * n + 1, message: first.clone(), sent: 0 }).collect();
        for stream in &streams {
            opening.extend(frame(HEADERS, END_HEADERS, stream.id, &headers(CHAT_CLIENT.name, None)));
        }
        connection.write_all(&opening)?;
        connection.set_nonblocking(true)?;
        let request = encode(self.commands.clone());
        let mut windows: HashMap<u32, i64> = streams.iter().map(|stream| (stream.id, 65_535)).collect();
        windows.insert(0, 65_535);
        let (mut received, mut buffer, mut sent) = (Vec::new(), vec![0; 64 * 1024], 0);
        while Instant::now() < until {
            let mut idle = true;
            match connection.read(&mut buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(read) => {
                    received.extend(&buffer[..read]);
                    idle = false;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            take_windows(&mut received, &mut windows);
            for stream in &mut streams {
                let left = (stream.message.len() - stream.sent) as i64;
                let Some(window) = windows.get(&stream.id) else { return Err(ErrorKind::ConnectionReset.into()) };
                let bytes = left.min(*window).min(windows[&0]).min(FRAME_BYTES_MAX);
                // Small frames would be another attack.
                if bytes < left.min(FRAME_BYTES_MIN) {
                    continue;
                }
                idle = false;
                let part = &stream.message[stream.sent..stream.sent + bytes as usize];
                write_all(&mut connection, &frame(DATA, 0, stream.id, part), until)?;
                for id in [0, stream.id] {
                    *windows.get_mut(&id).expect("both have a window") -= bytes;
                }
                stream.sent += bytes as usize;
                sent += bytes as usize;
                if stream.sent == stream.message.len() {
                    stream.message.clone_from(&request);
                    stream.sent = 0;
                }
            }
            if idle {
                thread::park_timeout(Duration::from_millis(1));
            }
        }
        Ok(sent)
    }
}

fn encode(commands: Vec<Command>) -> Vec<u8> {
    let request = ChatRequest { commands, ..Default::default() };
    prefixed(0, &request.write_to_bytes().expect("it can be encoded"))
}

/// Writes to a socket that does not block.
fn write_all(connection: &mut TcpStream, mut bytes: &[u8], until: Instant) -> Result<()> {
    while !bytes.is_empty() && Instant::now() < until {
        match connection.write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::park_timeout(Duration::from_millis(1)),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn flood(name: &'static str, flood: &CommandFlood) {
    // Memory of the log itself does not count.
    flood.attack(name, Scene::start(&["--log-bytes-max", "16MiB"]));
}

pub fn posts(count: usize, body_bytes: usize) -> Vec<Command> {
    (0..count).map(|_| post("flood", 0, &"x".repeat(body_bytes))).collect()
}

/// The pair's median was 274 ms, and a third of the newcomers' posts failed.
#[test]
fn one_stream_of_many_short_posts() {
    flood("1 stream, 500 short posts a request", &CommandFlood::of(1, posts(500, 20)));
}

/// The pair's median was 3.6 s, and most of the newcomers' posts failed.
#[test]
fn a_hundred_streams_of_many_short_posts() {
    flood("100 streams, 500 short posts a request", &CommandFlood::of(100, posts(500, 20)));
}

#[test]
fn a_hundred_streams_of_the_longest_posts() {
    flood("100 streams, posts of 16 KiB", &CommandFlood::of(100, posts(1, 16 * 1024)));
}

#[test]
fn a_thousand_streams_of_many_short_posts() {
    flood("1,000 streams, 500 short posts a request", &CommandFlood::of(1_000, posts(500, 20)));
}

/// The pair's median was 1.2 s.
#[test]
fn a_stream_of_posts_on_a_slow_disk() {
    let folder = tempfile::tempdir().expect("a folder is created");
    let mut server = command();
    // The files of the search index are opened during the attack, and would count as its descriptors.
    server.args(["--listen", "127.0.0.1:0", "--log-bytes-max", "16MiB", "--search", "off"]);
    server.arg("--data").arg(folder.path().join("data"));
    server.env("LD_PRELOAD", preload::compile("slow", folder.path())).env("HUBBUB_SLOW_SYNC_US", "5000");
    let flood = CommandFlood::of(1, posts(500, 20));
    flood.attack("1 stream, 500 short posts a request, 5 ms more for a sync", Scene::of(server));
}

pub fn joins() -> Vec<Command> {
    let both = |n| {
        let room = format!("room-{n}");
        [join(&room, None), leave(&room)]
    };
    (0..100).flat_map(both).collect()
}

/// A thousand streams that joined rooms for 6 s kept the server at work for 65 s after they were gone.
#[test]
fn joins_and_leaves() {
    flood("45 streams that join and leave", &CommandFlood::of(45, joins()));
}
