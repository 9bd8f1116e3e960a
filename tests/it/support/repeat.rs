//! The repeat client in a process of its own, in one room whose whole history is checked at the end.

use std::collections::{HashMap, HashSet};
use std::io::{self, Read};
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use grpcio::{CallOption, ChannelBuilder, Client};
use hubbub::wire::v1::event::Event as Kind;
use hubbub::wire::{LIST_MESSAGES, v1};

use super::chatter::environment;
use super::talker::{Talker, after};
use crate::terminal::client_command;

const CLIENTS: usize = 12;
const SENDERS: u64 = 6;

/// How long the run may take after the last fault.
const FINISH_MAX: Duration = Duration::from_secs(120);

/// The process. Killed when dropped.
pub struct Repeat {
    child: Child,
    /// Its output, and its errors.
    output: Vec<JoinHandle<io::Result<String>>>,
    room: String,
    /// Messages of each sender.
    messages: u64,
}

/// Reads the head of a room, over a connection of its own.
pub struct Watch {
    client: Client,
    room: String,
}

impl Repeat {
    /// Sends at least this many messages to a new room, at this rate in messages a second.
    pub fn start(target: &str, room: &str, messages: u64, rate: u64) -> Self {
        let messages = messages.div_ceil(SENDERS);
        let mut command: Command = client_command(env!("CARGO_BIN_EXE_hubbub-repeat"), &["--server", target]);
        let (clients, senders) = (CLIENTS.to_string(), SENDERS.to_string());
        command.args(["--room", room, "--clients", &clients, "--senders", &senders, "--json", "--quiet"]);
        command.args(["--messages", &messages.to_string(), "--rate", &rate.to_string()]);
        command.args(["--idle-timeout", "60", "--reconnect-timeout", "60"]);
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("hubbub-repeat starts");
        let output = child.stdout.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>);
        let errors = child.stderr.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>);
        let readers = [output, errors].into_iter().flatten();
        let output = readers.map(|pipe| thread::spawn(move || io::read_to_string(pipe))).collect();
        Self { child, output, room: room.to_owned(), messages }
    }

    /// How many messages there will be in all.
    pub fn total(&self) -> u64 {
        SENDERS * self.messages
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("it is our child").is_some()
    }

    /// Waits for its end, and checks its verdict and the room itself. Returns how often its clients lost a connection.
    pub fn finish(mut self, server: &str) -> u64 {
        let deadline = Instant::now() + FINISH_MAX;
        while !self.has_ended() {
            assert!(Instant::now() < deadline, "hubbub-repeat does not end");
            thread::park_timeout(Duration::from_millis(10));
        }
        let output = self.output.drain(..).map(|reader| reader.join().expect("it reads").expect("the output is UTF-8"));
        let [json, errors] = output.collect::<Vec<_>>().try_into().expect("two pipes are read");
        let report: serde_json::Value = serde_json::from_str(&json).unwrap_or_else(|_| panic!("{json:?} {errors:?}"));
        let number = |key: &str| report[key].as_u64().unwrap_or_else(|| panic!("{key} is a number in {json}"));
        for fault in [
            "lost",
            "duplicated",
            "out_of_order",
            "order_differs",
            "unknown",
            "failed",
            "acknowledged_lost",
            "holes",
            "gaps",
            "faults",
            "rejected",
        ] {
            assert_eq!(number(fault), 0, "{fault}: {json} {errors}");
        }
        let total = self.total();
        assert_eq!((number("sent"), number("acknowledged")), (total, total), "{json}");
        assert_eq!(report["faultless"], true, "{json}");
        self.check_room(server);
        number("reconnects")
    }

    /// Reads the whole room: it has each sent message once, and those of a sender in order.
    fn check_room(&self, server: &str) {
        let (joined, events) = Talker::hello(&environment(), server, "reader").join_room(&self.room, after(0, 0));
        assert_eq!((joined.oldest_seq, joined.head_seq, events.len() as u64), (1, self.total(), self.total()));
        let (mut ids, mut numbers) = (HashSet::new(), HashMap::new());
        for (event, seq) in events.into_iter().zip(1..) {
            let Some(Kind::Message(message)) = event.event else { panic!("{event:?} is not a message") };
            assert_eq!(event.seq, seq);
            assert!(ids.insert((message.sender.clone(), message.message_id)), "{seq} is stored twice");
            let text = message.body.split_once(": message ").and_then(|(_, rest)| rest.split_once(" of "));
            let number = text.and_then(|(number, _)| number.parse::<u64>().ok());
            let last = numbers.entry(message.sender).or_insert(0);
            *last += 1;
            assert_eq!(number, Some(*last), "{} is not the next message of its sender", message.body);
        }
        assert!(numbers.values().all(|last| *last == self.messages) && numbers.len() as u64 == SENDERS);
    }
}

impl Drop for Repeat {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Watch {
    pub fn start(server: &str, room: &str) -> Self {
        let client = Client::new(ChannelBuilder::new(environment()).connect(server));
        Self { client, room: room.to_owned() }
    }

    /// How many messages the room has; 0 if there is no room yet. `None` if the server can't be reached.
    pub fn head(&self) -> Option<u64> {
        let request = v1::ListMessagesRequest { room: self.room.clone(), page_size: 1, ..Default::default() };
        let option = CallOption::default().timeout(Duration::from_secs(5));
        match self.client.unary_call(&LIST_MESSAGES, &request, option) {
            Ok(response) => Some(response.head_seq),
            Err(grpcio::Error::RpcFailure(status)) if status.code() == grpcio::RpcStatusCode::NOT_FOUND => Some(0),
            Err(_) => None,
        }
    }
}
