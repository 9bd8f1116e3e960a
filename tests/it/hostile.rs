//! Peers that keep to no rule of HTTP/2, of gRPC or of the contracts, and vanish at any moment: they hurt nobody. The
//! process lives, the others hear each other, and nothing of these peers stays behind.

use std::env;
use std::io::{ErrorKind, Read as _, Result, Write as _};
use std::iter::repeat_with;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use hubbub::wire::v1::{ChatRequest, PostMessageRequest};
use hubbub::wire::{CHAT_CLIENT, LIST_MESSAGES, LIST_ROOMS, POST_MESSAGE, TUTORIAL_CHAT_CLIENT};
use protobuf::Message as _;

use super::support::chatter::{Chatter, Next, environment};
use super::support::process::ServerProcess;
use super::support::raw::{
    DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PREFACE, RST_STREAM, SETTINGS, WINDOW_UPDATE, encode, field,
    frame, headers, prefixed, reset,
};
use super::support::talker::{Talker, hello, join, leave, post};
use super::support::{DEADLINE, seed, wait_for};

/// The room that the tutorial's clients are in: whoever comes is in it with all others.
const ROOM: &str = "lobby";

/// The names of those who behave. No hostile peer takes one of them.
const TALKER: &str = "talker";
const CHATTER: &str = "chatter";

/// How many connections misbehave at once.
const AT_ONCE: usize = 8;

/// How much one connection does at most.
const ACTIONS_MAX: usize = 25;

/// What those who behave say in one go.
const BURST: usize = 10;

/// How many threads the library may start meanwhile and keep, beside one pool: for its timers, above all.
const LIBRARY_THREADS_MAX: usize = 4;

const STREAMS: [&str; 2] = [CHAT_CLIENT.name, TUTORIAL_CHAT_CLIENT.name];
const CALLS: [&str; 4] = [POST_MESSAGE.name, LIST_ROOMS.name, LIST_MESSAGES.name, "/no.such.Service/Method"];

/// How many connections misbehave in all; a variable makes it more.
fn connections() -> usize {
    let connections = env::var("HUBBUB_HOSTILE_CONNECTIONS");
    connections.map_or(2_000, |count| count.parse().expect("HUBBUB_HOSTILE_CONNECTIONS is a number"))
}

#[test]
fn peers_that_keep_to_no_rule_hurt_nobody() {
    hurt_nobody(seed());
}

/// One message kept its receive thread at 100 % of a processor forever: the library's `read_to_end` does not return if a
/// slice of the message is empty.
#[test]
fn no_message_keeps_its_thread_forever() {
    hurt_nobody(1572024890662526986);
}

fn hurt_nobody(seed: u64) {
    let mut rng = Rng::with_seed(seed);
    let mut server = ServerProcess::start(&[]);
    let mut witnesses = Witnesses::join(&server);
    witnesses.talk();
    let (clients, sockets) = (server.client_threads(), server.sockets());
    let (own, files, threads) = (server.own_threads(), server.files(), server.threads());

    thread::scope(|scope| {
        let target = server.target();
        let seeds = repeat_with(|| rng.fork()).take(AT_ONCE);
        let hostile: Vec<_> = seeds.map(|rng| scope.spawn(move || misbehave(target, rng))).collect();
        while !hostile.iter().all(|thread| thread.is_finished()) {
            witnesses.talk();
        }
    });
    assert!(witnesses.overheard > 0, "no hostile peer ever said anything that counts, so none came far");

    wait_for("no thread of a hostile peer", || server.client_threads() == clients);
    wait_for("no other thread more than before", || server.own_threads() <= own);
    wait_for("no connection of one", || server.sockets() == sockets);
    wait_for("no file more than before", || server.files() <= files);
    let now = server.threads();
    println!("threads: {threads} before, {now} after; messages of hostile peers: {}", witnesses.overheard);
    assert!(now <= threads + pool_threads_max() + LIBRARY_THREADS_MAX, "{threads} threads became {now}");

    // Nor is anything broken that would show only now.
    witnesses.talk();
    server.signal(libc::SIGTERM);
    assert_eq!(server.wait().code(), Some(0));
    let log = server.rest_of_log();
    assert!(!log.iter().any(|line| line.contains("panicked")), "{log:#?}");
}

/// Has one connection after the other misbehave.
fn misbehave(target: &str, mut rng: Rng) {
    (0..connections() / AT_ONCE).for_each(|_| misbehave_once(target, rng.fork()));
}

/// Has one connection misbehave.
pub fn misbehave_once(target: &str, rng: Rng) {
    Hostile::connect(target, rng).misbehave();
}

/// How many threads the library's pool for odd jobs may have: two for each processor that the system knows of.
fn pool_threads_max() -> usize {
    // SAFETY: asks the system for a number, and has no conditions.
    let processors = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_CONF) };
    2 * usize::try_from(processors).expect("the system knows its processors")
}

/// Two clients that behave, in the room that the others disturb: one of each contract.
struct Witnesses {
    talker: Talker,
    chatter: Chatter,
    said: usize,
    /// How many messages of hostile peers they have heard.
    overheard: usize,
}

impl Witnesses {
    fn join(server: &ServerProcess) -> Self {
        let environment = environment();
        let chatter = Chatter::join(&environment, server.target(), CHATTER);
        let talker = Talker::join(&environment, server.target(), TALKER, ROOM);
        Self { talker, chatter, said: 0, overheard: 0 }
    }

    /// Has each hear all that the other says now, in order, and nothing twice. The chatter begins: once it is heard it
    /// has joined, which it can't tell in any other way.
    fn talk(&mut self) {
        let bodies: Vec<_> = (self.said..self.said + BURST).map(|number| number.to_string()).collect();
        self.said += BURST;
        bodies.iter().for_each(|body| self.chatter.say(body));
        for body in &bodies {
            assert_eq!(self.talker_hears(), *body);
        }
        bodies.iter().for_each(|body| self.talker.post(ROOM, 0, body));
        for body in &bodies {
            assert_eq!(self.chatter_hears(), *body);
        }
    }

    /// What the chatter says next, as far as the talker knows.
    fn talker_hears(&mut self) -> String {
        loop {
            match self.talker.hear() {
                (_, sender, body) if sender == CHATTER => return body,
                (_, sender, _) if sender == TALKER => {}
                _ => self.overheard += 1,
            }
        }
    }

    /// What the talker says next, as far as the chatter knows.
    fn chatter_hears(&mut self) -> String {
        loop {
            match self.chatter.next() {
                Next::Message { name, body } if name == TALKER => return body,
                Next::Message { .. } => self.overheard += 1,
                ended @ Next::Ended { .. } => panic!("the chatter expected a message: {ended:?}"),
            }
        }
    }
}

/// A connection that does at random what it may do, and what it may not.
struct Hostile {
    rng: Rng,
    connection: TcpStream,
    /// What it has done but not sent yet, so that the server gets much at once.
    unsent: Vec<u8>,
    streams: Vec<Stream>,
}

/// A stream that was opened; it may be over.
#[derive(Clone, Copy)]
struct Stream {
    id: u32,
    path: &'static str,
}

impl Hostile {
    fn connect(target: &str, rng: Rng) -> Self {
        let connection = TcpStream::connect(target).expect("the server listens");
        connection.set_write_timeout(Some(DEADLINE)).expect("a timeout is set");
        Self { rng, connection, unsent: Vec::new(), streams: Vec::new() }
    }

    fn misbehave(mut self) {
        // The server hangs up on most of what follows, as it should, so any step may be the last.
        let _ = self.act_at_random();
        if self.rng.u8(0..10) < 4 {
            reset(self.connection);
        }
    }

    fn act_at_random(&mut self) -> Result<()> {
        self.greet();
        for _ in 0..self.rng.usize(0..=ACTIONS_MAX) {
            self.act()?;
        }
        self.flush()?;
        if self.rng.bool() { self.read_for(Duration::from_millis(20)) } else { Ok(()) }
    }

    fn act(&mut self) -> Result<()> {
        match self.rng.u8(0..100) {
            _ if self.streams.is_empty() => self.open(),
            0..25 => self.open(),
            25..60 => self.say(),
            60..65 => self.say_part(),
            65..69 => self.say_with_flag(),
            69..71 => self.announce_too_much(),
            71..74 => self.half_close(),
            74..79 => self.reset_stream(),
            79..82 => self.widen_window(),
            82..85 => self.ping(),
            85..88 => self.go_away(),
            88..91 => self.send_odd_frame(),
            91..93 => self.send_noise(),
            93..95 => return self.flush(),
            _ => return self.read_once(),
        }
        Ok(())
    }

    /// Begins as every client does, but may leave the server next to no room to answer.
    fn greet(&mut self) {
        const INITIAL_WINDOW_SIZE: u16 = 4;
        let mut settings = Vec::new();
        if self.rng.u8(0..10) < 3 {
            let bytes: u32 = self.pick(&[0, 1, 10, 65_535]);
            settings.extend(INITIAL_WINDOW_SIZE.to_be_bytes());
            settings.extend(bytes.to_be_bytes());
        }
        self.unsent.extend(PREFACE);
        self.frame(SETTINGS, 0, 0, &settings);
    }

    /// Opens a stream, now and then one that is soon over, or whose messages are said to be compressed.
    fn open(&mut self) {
        let path = if self.rng.u8(0..10) < 8 { self.pick(&STREAMS) } else { self.pick(&CALLS) };
        let timeout = self.pick(&["0n", "1m", "10m", "1S"]);
        let encoding = self.pick(&["gzip", "identity", "bogus"]);
        let timeout = (self.rng.u8(0..10) == 0).then_some(("grpc-timeout", timeout));
        let encoding = (self.rng.u8(0..20) == 0).then_some(("grpc-encoding", encoding));
        let end = if self.rng.u8(0..20) == 0 { END_STREAM } else { 0 };
        let stream = Stream { id: 2 * self.streams.len() as u32 + 1, path };
        self.frame(HEADERS, END_HEADERS | end, stream.id, &headers(path, timeout.into_iter().chain(encoding)));
        self.streams.push(stream);
    }

    /// Sends a whole message, which may be the last.
    fn say(&mut self) {
        let stream = self.stream();
        let message = self.message(stream);
        let end = if self.rng.u8(0..10) == 0 { END_STREAM } else { 0 };
        self.frame(DATA, end, stream.id, &prefixed(0, &message));
    }

    /// Sends the beginning of a message. What is sent next on this stream is taken for the rest of it.
    fn say_part(&mut self) {
        let stream = self.stream();
        let message = prefixed(0, &self.message(stream));
        let length = self.rng.usize(..message.len());
        self.frame(DATA, 0, stream.id, &message[..length]);
    }

    /// Sends a message that calls itself compressed, or has a flag that means nothing.
    fn say_with_flag(&mut self) {
        let stream = self.stream();
        let message = self.message(stream);
        let flag = self.pick(&[1, 2, 255]);
        self.frame(DATA, 0, stream.id, &prefixed(flag, &message));
    }

    /// Announces a message longer than the server takes, and sends some of it.
    fn announce_too_much(&mut self) {
        let length: u32 = self.pick(&[70_000, 1 << 31, u32::MAX]);
        let mut data = vec![0];
        data.extend(length.to_be_bytes());
        data.resize(data.len() + self.rng.usize(..9_000), b'x');
        let stream = self.stream();
        self.frame(DATA, 0, stream.id, &data);
    }

    fn half_close(&mut self) {
        let stream = self.stream();
        self.frame(DATA, END_STREAM, stream.id, &[]);
    }

    fn reset_stream(&mut self) {
        const CODE_MAX: u32 = 13;
        let (stream, code) = (self.stream(), self.rng.u32(0..=CODE_MAX));
        self.frame(RST_STREAM, 0, stream.id, &code.to_be_bytes());
    }

    /// Widens the window of a stream, or of the connection: also by nothing, and by so much that it overflows.
    fn widen_window(&mut self) {
        let stream = self.stream();
        let (id, bytes): (_, u32) = (self.pick(&[0, stream.id]), self.pick(&[0, 1, 1_000, 0x7fff_ffff]));
        self.frame(WINDOW_UPDATE, 0, id, &bytes.to_be_bytes());
    }

    fn ping(&mut self) {
        self.frame(PING, 0, 0, &[0; 8]);
    }

    /// Says that this is the end, and goes on all the same.
    fn go_away(&mut self) {
        const NO_ERROR: u32 = 0;
        let last = self.stream().id;
        self.frame(GOAWAY, 0, 0, &[last.to_be_bytes(), NO_ERROR.to_be_bytes()].concat());
    }

    /// Sends a frame of any kind, also of one that is not defined, with any flags and content. Its stream may not
    /// exist.
    fn send_odd_frame(&mut self) {
        const KIND_MAX: u8 = 12;
        let stream = self.stream();
        let id = self.pick(&[0, stream.id, stream.id + 2, 999]);
        let (kind, flags, payload) = (self.rng.u8(0..=KIND_MAX), self.rng.u8(..), self.noise(30));
        self.frame(kind, flags, id, &payload);
    }

    /// Sends bytes that are not a frame.
    fn send_noise(&mut self) {
        let noise = self.noise(40);
        self.unsent.extend(noise);
    }

    /// Sends what it has done so far.
    fn flush(&mut self) -> Result<()> {
        self.connection.write_all(&std::mem::take(&mut self.unsent))
    }

    /// Sends what it has done so far, and reads a little of the answers.
    fn read_once(&mut self) -> Result<()> {
        self.flush()?;
        let time = self.pick(&[1, 10, 50].map(Duration::from_millis));
        self.read_within(time).map(|_| ())
    }

    /// Reads for some time, or until the server has hung up.
    fn read_for(&mut self, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || self.read_within(left)? == Some(0) {
                return Ok(());
            }
        }
    }

    /// Reads once. `None` when nothing came in time.
    fn read_within(&mut self, time: Duration) -> Result<Option<usize>> {
        self.connection.set_read_timeout(Some(time))?;
        match self.connection.read(&mut [0; 4096]) {
            Ok(count) => Ok(Some(count)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.unsent.extend(frame(kind, flags, stream, payload));
    }

    /// Any of the streams it opened. There is one.
    fn stream(&mut self) -> Stream {
        self.streams[self.rng.usize(..self.streams.len())]
    }

    /// A message that the stream's method takes, or nearly.
    fn message(&mut self, stream: Stream) -> Vec<u8> {
        let name = format!("hostile-{}", self.rng.u16(..));
        if stream.path == TUTORIAL_CHAT_CLIENT.name {
            // Without a body it breaks a rule.
            return encode(&name, &"body".repeat(self.rng.usize(0..=20)));
        }
        if stream.path == CHAT_CLIENT.name {
            return self.commands(&name);
        }
        // To the other calls, what posts a message is a request with fields of the wrong types, and with unknown ones.
        let (room, sender, body) = (ROOM.to_owned(), name, "body".to_owned());
        let request = PostMessageRequest { room, sender, body, ..Default::default() };
        request.write_to_bytes().expect("encoding into memory succeeds")
    }

    /// A request with commands in any order. Half of them begin as they ought to.
    fn commands(&mut self, name: &str) -> Vec<u8> {
        let any = [hello(name), join(ROOM, None), leave(ROOM), post(ROOM, 0, "body")];
        let mut commands = if self.rng.bool() { any[..2].to_vec() } else { Vec::new() };
        let more = self.rng.usize(0..=4);
        commands.extend(repeat_with(|| self.rng.choice(&any).expect("there are some").clone()).take(more));
        let request = ChatRequest { commands, ..Default::default() };
        let mut request = request.write_to_bytes().expect("encoding into memory succeeds");
        if self.rng.u8(0..3) == 0 {
            request.extend(field(1, &self.noise(20)));
        }
        request
    }

    /// Up to so many random bytes.
    fn noise(&mut self, length_max: usize) -> Vec<u8> {
        let length = self.rng.usize(0..=length_max);
        repeat_with(|| self.rng.u8(..)).take(length).collect()
    }

    fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.rng.usize(..choices.len())]
    }
}
