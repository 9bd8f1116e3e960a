//! The command line, and the run that it requests.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};

use crate::chat;
use crate::endpoint::Endpoint;
use crate::message::{BODY_BYTES_MAX, BODY_BYTES_MIN, SENDERS_MAX};
use crate::process::PID_MAX;
use crate::seating::Seating;

const IN_FLIGHT: u64 = 64;
const APPEND_IN_FLIGHT: u64 = 8_192;
/// The most connections that post in one run: a server accepts 1,024 that are not streams.
const FOLLOW_SENDERS_MAX: usize = 1_000;
/// A sender makes a call at least this often: a server closes an idle connection after 15 s.
const FOLLOW_IDLE_S_MAX: usize = 10;
const RATE: u32 = 200;
const SLOW_RATE: u32 = 10_000;
const CHURN_CLIENTS: usize = 8;
/// The deliveries a second in all rooms, in the scenario `rooms`.
const ROOMS_DELIVERIES_PER_S: f64 = 20_000.0;
const ROOMS: usize = 100;
/// The contract's bound for one stream.
const JOINED_MAX: usize = 1_000;
const MESSAGES: u64 = 1_000_000;

/// Loads a chat server, checks every delivery, and reports what it saw.
///
/// A delivery is one message at one receiver. Over v1 a sender gets its own messages back, and they count: the server
/// does that work too. Over the tutorial's contract it must not get them. Over follow the senders only post: each has a
/// connection, on which it does not wait for the answers. A message is in flight until every receiver has it,
/// and over follow until its call is answered. Exits with 1 if a message was lost, repeated, out of order, damaged, or delivered to a wrong client.
#[derive(Parser)]
#[command(name = "hubbub-load", version)]
pub struct Args {
    /// The server's address, over follow that of its HTTP; only loopback addresses are accepted
    #[arg(long, value_name = "IP:PORT")]
    server: SocketAddr,
    /// Connect with TLS, and trust only the authority in this PEM file; the certificate must be for the address in
    /// --server
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Log all clients in with the token in this file, which must be that of a user named "load" [v1,
    /// follow]
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// The server's process, whose CPU time and memory are measured
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=i64::from(PID_MAX)))]
    pid: u32,
    #[arg(long, value_enum)]
    scenario: Scenario,
    /// Wire contract
    #[arg(long = "contract", value_enum, default_value_t = Wire::V1)]
    wire: Wire,
    /// Messages in flight, of all senders together [a-c; default: 64, in append 8192]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    in_flight: Option<u64>,
    /// Clients that stay; in f, clients at a time [default: 100, in c, e and rooms 1000, in f 8, in append 2, in lone
    /// 1, in slow 5]
    #[arg(long, value_name = "N")]
    clients: Option<usize>,
    /// How many of the clients send [default: 1, in b, d and catchup 10, in slow 2, in rooms all]; over follow, how many
    /// connections post, with the same defaults
    #[arg(long, value_name = "N")]
    senders: Option<usize>,
    /// Number of rooms for the clients [e, rooms; default: 1, in rooms 100]
    #[arg(long, value_name = "N")]
    rooms: Option<usize>,
    /// How many rooms each client joins [e, rooms; default: 1]
    #[arg(long, value_name = "N")]
    joined: Option<usize>,
    /// How long to measure, after one second to warm up
    #[arg(long, value_name = "S", default_value_t = 5.0)]
    seconds: f64,
    /// Messages a second, of all senders together [d, catchup, slow, rooms; default: 200, in slow 10000, in rooms the
    /// rate for 20000 deliveries]
    #[arg(long, value_name = "R", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: Option<u32>,
    /// How many messages a reader is behind [catchup, slow]
    #[arg(long, value_name = "N", default_value_t = MESSAGES, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    messages: u64,
    /// The length of a message's body
    #[arg(long, value_name = "B", default_value_t = 64)]
    body_bytes: usize,
    /// Print one JSON object instead of the table
    #[arg(long)]
    pub json: bool,
}

/// The scenario of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// 100 clients, one sends as fast as messages in flight allow
    A,
    /// The same with 10 senders
    B,
    /// 1,000 clients, one sends as fast as messages in flight allow
    C,
    /// 100 clients, 10 send at a steady pace
    D,
    /// 1,000 clients spread over 100 rooms, all send to their rooms in turn at a steady pace [v1]
    Rooms,
    /// 1,000 idle clients
    E,
    /// Clients join, post one message, and leave when it is delivered to them, or (tutorial) to another client
    F,
    /// Two clients, one sends with thousands of messages in flight: the throughput of the log [v1]
    Append,
    /// One client that sends one message at a time: the time until it is stored and delivered [v1]
    Lone,
    /// Readers that join one after another and read a long history, beside d [v1]
    Catchup,
    /// One client that stops reading for many messages, then reads them, beside others at a steady pace [v1]
    Slow,
}

/// The wire contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Wire {
    /// hubbub.v1 over gRPC: a stream for each client, by which it also posts
    V1,
    /// hubbub.v1 over HTTP/1.1: clients follow, and senders post with calls [a-f, lone]
    Follow,
    /// The tutorial's
    Tutorial,
}

/// How messages are paced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// At most this many in flight.
    InFlight(u64),
    /// This many a second, independently of the server.
    PerSecond(u32),
}

/// A run, checked.
#[derive(Clone, Debug)]
pub struct Run {
    pub server: Endpoint,
    pub pid: u32,
    pub scenario: Scenario,
    pub wire: Wire,
    pub seating: Seating,
    /// The first this many of the clients send.
    pub senders: usize,
    pub pace: Pace,
    pub window: Duration,
    /// How many messages a reader is behind, in catchup and slow.
    pub messages: u64,
    pub body_bytes: usize,
}

impl Scenario {
    pub fn name(self) -> &'static str {
        match self {
            Scenario::A => "a",
            Scenario::B => "b",
            Scenario::C => "c",
            Scenario::D => "d",
            Scenario::Rooms => "rooms",
            Scenario::E => "e",
            Scenario::F => "f",
            Scenario::Append => "append",
            Scenario::Lone => "lone",
            Scenario::Catchup => "catchup",
            Scenario::Slow => "slow",
        }
    }

    /// Its default numbers of clients and senders.
    fn cast(self) -> (usize, usize) {
        match self {
            Scenario::A => (100, 1),
            Scenario::B | Scenario::D | Scenario::Catchup => (100, 10),
            Scenario::C => (1_000, 1),
            Scenario::Rooms => (1_000, 1_000),
            Scenario::E => (1_000, 0),
            Scenario::F => (CHURN_CLIENTS, CHURN_CLIENTS),
            Scenario::Append => (2, 1),
            Scenario::Lone => (1, 1),
            Scenario::Slow => (5, 2),
        }
    }

    /// Whether it can be run over this contract.
    fn is_for(self, wire: Wire) -> bool {
        match self {
            Scenario::Rooms | Scenario::Append | Scenario::Catchup | Scenario::Slow => wire == Wire::V1,
            Scenario::Lone => wire != Wire::Tutorial,
            _ => true,
        }
    }
}

impl Wire {
    pub fn name(self) -> &'static str {
        match self {
            Wire::V1 => "v1",
            Wire::Follow => "follow",
            Wire::Tutorial => "tutorial",
        }
    }
}

impl Run {
    pub fn window_ns(&self) -> u64 {
        self.window.as_nanos() as u64
    }
}

impl Args {
    /// Applies the scenario's defaults and checks the values. The error names the option and its valid values.
    pub fn run(&self) -> Result<Run, String> {
        if !self.server.ip().is_loopback() {
            let server = self.server;
            return Err(format!("--server {server} is not on this machine: only loopback addresses are loaded"));
        }
        if !self.scenario.is_for(self.wire) {
            let name = self.scenario.name();
            return Err(format!("--scenario {name} is not for --contract {}: use --contract v1", self.wire.name()));
        }
        if self.ca.is_some() && self.wire == Wire::Follow {
            return Err("--ca is not for --contract follow: a server's HTTP has no TLS".to_owned());
        }
        if self.token_file.is_some() && self.wire == Wire::Tutorial {
            return Err("--token-file needs --contract v1 or follow: the tutorial's contract has no login".to_owned());
        }
        let (clients, senders) = self.scenario.cast();
        let clients = self.clients.unwrap_or(clients);
        // Over the tutorial's contract, at least one client only listens: it determines the order.
        let listeners = if self.wire == Wire::Tutorial && self.scenario != Scenario::F { 1 } else { 0 };
        check("--clients", clients, 1 + listeners..=SENDERS_MAX)?;
        let senders = match self.scenario {
            Scenario::E => 0,
            Scenario::F => clients,
            _ if self.wire == Wire::Follow => {
                let senders = self.senders.unwrap_or(senders);
                check("--senders", senders, 1..=FOLLOW_SENDERS_MAX)?;
                senders
            }
            _ => {
                let senders = if self.scenario == Scenario::Rooms { clients } else { senders };
                let senders = self.senders.unwrap_or(senders.min(clients - listeners));
                check("--senders", senders, 1..=clients - listeners)?;
                senders
            }
        };
        let seating = self.seating(clients)?;
        check("--body-bytes", self.body_bytes, BODY_BYTES_MIN..=BODY_BYTES_MAX)?;
        if !(0.1..=3_600.0).contains(&self.seconds) {
            return Err(format!("--seconds {} must be between 0.1 and 3600", self.seconds));
        }
        let pace = match self.scenario {
            Scenario::Rooms => {
                let rate = ROOMS_DELIVERIES_PER_S / seating.members_mean();
                Pace::PerSecond(self.rate.unwrap_or(rate.round().max(1.0) as u32))
            }
            Scenario::D | Scenario::Catchup => Pace::PerSecond(self.rate.unwrap_or(RATE)),
            Scenario::Slow => Pace::PerSecond(self.rate.unwrap_or(SLOW_RATE)),
            Scenario::Append => Pace::InFlight(self.in_flight.unwrap_or(APPEND_IN_FLIGHT)),
            Scenario::Lone => Pace::InFlight(1),
            _ => Pace::InFlight(self.in_flight.unwrap_or(IN_FLIGHT)),
        };
        if let (Wire::Follow, Pace::PerSecond(rate)) = (self.wire, pace)
            && senders > FOLLOW_IDLE_S_MAX * rate as usize
        {
            return Err(format!(
                "--senders {senders} are too many for a --rate of {rate}: the server would close them"
            ));
        }
        let server = Endpoint::read(self.server, self.ca.as_deref(), self.token_file.as_deref())?;
        Ok(Run {
            server,
            pid: self.pid,
            scenario: self.scenario,
            wire: self.wire,
            seating,
            senders,
            pace,
            window: Duration::from_secs_f64(self.seconds),
            messages: self.messages,
            body_bytes: self.body_bytes,
        })
    }
}

impl Args {
    /// The assignment of clients to rooms.
    fn seating(&self, clients: usize) -> Result<Seating, String> {
        let several = matches!(self.scenario, Scenario::Rooms | Scenario::E) && self.wire != Wire::Tutorial;
        if !several && (self.rooms.is_some() || self.joined.is_some()) {
            return Err("--rooms and --joined need --scenario e or rooms, and not the tutorial's contract".to_owned());
        }
        let joined = self.joined.unwrap_or(1);
        check("--joined", joined, 1..=JOINED_MAX)?;
        let rooms_max = chat::ROOMS_MAX.min(clients * joined);
        let rooms = self.rooms.unwrap_or(if self.scenario == Scenario::Rooms {
            ROOMS.clamp(joined, rooms_max)
        } else {
            joined
        });
        check("--rooms", rooms, joined..=rooms_max)?;
        Ok(Seating { clients, rooms, joined })
    }
}

fn check(flag: &str, value: usize, range: RangeInclusive<usize>) -> Result<(), String> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(format!("{flag} {value} must be between {} and {}", range.start(), range.end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(flags: &str) -> Result<Run, String> {
        let line = format!("hubbub-load --pid 1 {flags}");
        Args::try_parse_from(line.split(' ')).map_err(|error| error.to_string())?.run()
    }

    #[test]
    fn scenarios_have_defaults() {
        let a = run("--server 127.0.0.1:1 --scenario a").unwrap();
        assert_eq!((a.seating.clients, a.senders, a.pace, a.body_bytes), (100, 1, Pace::InFlight(64), 64));
        let d = run("--server [::1]:1 --scenario d --rate 9").unwrap();
        assert_eq!((d.seating.clients, d.senders, d.pace), (100, 10, Pace::PerSecond(9)));
        let b = run("--server 127.0.0.1:1 --scenario b --clients 4").unwrap();
        assert_eq!((b.seating.clients, b.senders), (4, 4));
        let b = run("--server 127.0.0.1:1 --scenario b --clients 4 --contract tutorial").unwrap();
        assert_eq!((b.seating.clients, b.senders), (4, 3));
    }

    #[test]
    fn clients_are_spread_over_rooms() {
        let rooms = |flags: &str| run(&format!("--server 127.0.0.1:1 --scenario {flags}"));
        let run = rooms("rooms").unwrap();
        assert_eq!(run.seating, Seating { clients: 1_000, rooms: 100, joined: 1 });
        assert_eq!((run.senders, run.pace), (1_000, Pace::PerSecond(2_000)));
        let run = rooms("rooms --clients 100 --rooms 10000 --joined 100").unwrap();
        assert_eq!((run.seating.seats(), run.pace), (10_000, Pace::PerSecond(20_000)));
        assert_eq!(rooms("e --clients 7").unwrap().seating, Seating::together(7));
        for flags in [
            "d --rooms 2",
            "e --rooms 2 --contract tutorial",
            "rooms --clients 9 --rooms 10",
            "rooms --rooms 9 --joined 10",
            "rooms --joined 1001",
            "rooms --clients 101 --joined 1000 --rooms 100001",
        ] {
            assert!(rooms(flags).is_err(), "{flags}");
        }
    }

    #[test]
    fn senders_over_follow_are_connections() {
        let follow = |flags: &str| run(&format!("--server 127.0.0.1:1 --contract follow --scenario {flags}"));
        for (flags, expected) in [
            ("b", (100, 10)),
            ("c --in-flight 1024", (1_000, 1)),
            ("b --in-flight 1024 --senders 200 --clients 2", (2, 200)),
            ("d", (100, 10)),
            ("e --clients 10000", (10_000, 0)),
            ("f", (8, 8)),
            ("lone", (1, 1)),
        ] {
            assert_eq!(follow(flags).map(|run| (run.seating.clients, run.senders)), Ok(expected), "{flags}");
        }
        assert_eq!(follow("e --rooms 9 --joined 9").unwrap().seating.rooms, 9);
        for flags in ["b --senders 1001", "d --senders 100 --rate 9", "d --ca ca.pem", "d --rooms 2", "rooms", "append"]
        {
            assert!(follow(flags).is_err(), "{flags}");
        }
    }

    #[test]
    fn only_loopback_is_loaded() {
        assert!(run("--server 192.0.2.1:1 --scenario a").unwrap_err().contains("loopback"));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for flags in
            ["--clients 0", "--senders 101", "--body-bytes 31", "--seconds 0", "--seconds NaN", "--in-flight 0"]
        {
            assert!(run(&format!("--server 127.0.0.1:1 --scenario a {flags}")).is_err(), "{flags}");
        }
        for flags in ["a --clients 1", "a --senders 100", "append", "lone", "catchup", "slow", "a --token-file t"] {
            let line = format!("--server 127.0.0.1:1 --contract tutorial --scenario {flags}");
            assert!(run(&line).is_err(), "{flags}");
        }
    }
}
