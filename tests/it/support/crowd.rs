//! Clients in one room that lose their connections repeatedly, and continue as the contract requires: they join after
//! the last message that they have seen, and post unacknowledged messages again. They don't use the client library, so
//! any fault that they find is a fault of the server.
//!
//! All clients compare the received messages with one record of the room.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use grpcio::Environment;
use hubbub::wire::v1;
use hubbub::wire::v1::event::Event as Kind;

use super::chatter::environment;
use super::talker::{Talker, after, hello, join, message_id, post};
use super::{DEADLINE, wait_for};

/// How many messages of a sender may wait for their acknowledgement.
const IN_FLIGHT_MAX: usize = 64;

/// The maximum number of messages that a sender posts at once, and its longest pause between two such bursts.
const BURST_MAX: usize = 16;
const REST_MAX: Duration = Duration::from_millis(80);

/// How long a client waits for an event before it does its other work.
const WAIT: Duration = Duration::from_millis(10);

/// The clients. Those that send do so until [`Crowd::finish`].
pub struct Crowd {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
}

/// The work of a crowd.
#[derive(Debug)]
pub struct Summary {
    pub messages: u64,
    pub reconnects: usize,
    /// How many messages were posted again although they were stored.
    pub stored_before: usize,
}

struct Shared {
    target: String,
    room: String,
    record: Mutex<Record>,
    sending: AtomicBool,
    /// How many messages are posted and not acknowledged.
    in_flight: AtomicUsize,
    /// How many different messages were posted.
    posted: AtomicU64,
    /// The room's last seq, once it is known.
    end_seq: AtomicU64,
    connected: AtomicUsize,
    reconnects: AtomicUsize,
    stored_before: AtomicUsize,
}

/// The room, as recorded by the first receiver of each message.
#[derive(Default)]
struct Record {
    epoch: u64,
    messages: Vec<v1::Event>,
    /// The acknowledged messages: id and seq.
    acknowledged: HashMap<Vec<u8>, u64>,
}

struct Client {
    shared: Arc<Shared>,
    environment: Arc<Environment>,
    number: usize,
    sends: bool,
    name: String,
    last: u64,
    posted_number: u64,
    /// The unacknowledged messages, in order.
    outbox: VecDeque<u64>,
    burst_at: Instant,
    random: fastrand::Rng,
}

impl Crowd {
    /// This many clients, of which the first `senders` send.
    pub fn start(target: &str, room: &str, clients: usize, senders: usize, seed: u64) -> Self {
        let shared = Shared {
            target: target.to_owned(),
            room: room.to_owned(),
            record: Mutex::default(),
            sending: AtomicBool::new(true),
            in_flight: AtomicUsize::new(0),
            posted: AtomicU64::new(0),
            end_seq: AtomicU64::new(u64::MAX),
            connected: AtomicUsize::new(0),
            reconnects: AtomicUsize::new(0),
            stored_before: AtomicUsize::new(0),
        };
        let shared = Arc::new(shared);
        let environment = environment();
        let client = |number| {
            let client = Client {
                shared: Arc::clone(&shared),
                environment: Arc::clone(&environment),
                number,
                sends: number < senders,
                name: format!("client-{number}"),
                last: 0,
                posted_number: 0,
                outbox: VecDeque::new(),
                burst_at: Instant::now(),
                random: fastrand::Rng::with_seed(seed ^ number as u64),
            };
            thread::Builder::new().name(client.name.clone()).spawn(move || client.run()).expect("a thread starts")
        };
        let clients = (0..clients).map(client).collect();
        Self { shared, clients }
    }

    /// How many messages are unacknowledged now.
    fn in_flight(&self) -> usize {
        self.shared.in_flight.load(Ordering::Relaxed)
    }

    /// How many clients have joined the room on their current connection.
    pub fn connected(&self) -> usize {
        self.shared.connected.load(Ordering::Relaxed)
    }

    /// How many messages were posted so far.
    fn posted(&self) -> u64 {
        self.shared.posted.load(Ordering::Relaxed)
    }

    /// Whether a client has found a fault, and so has ended.
    pub fn has_failed(&self) -> bool {
        self.clients.iter().any(JoinHandle::is_finished)
    }

    /// Stops sending, waits until all clients have all messages, and compares them with the history.
    pub fn finish(self) -> Summary {
        self.shared.sending.store(false, Ordering::Release);
        wait_for("all messages are acknowledged", || self.in_flight() == 0 || self.has_failed());
        // Each message is stored once, even if it was posted several times.
        let messages = self.posted();
        self.shared.end_seq.store(messages, Ordering::Release);
        for client in self.clients {
            client.join().expect("a client of the crowd has found no fault");
        }
        let shared = self.shared;
        let mut record = std::mem::take(&mut *shared.record());
        assert_eq!(record.messages.len() as u64, messages);
        record.check_acknowledgements();
        record.check_new_reader(&shared);
        Summary {
            messages,
            reconnects: shared.reconnects.load(Ordering::Relaxed),
            stored_before: shared.stored_before.load(Ordering::Relaxed),
        }
    }
}

impl Shared {
    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().expect("no client has found a fault")
    }
}

impl Record {
    /// Records the event at its seq, or compares it with the recorded one.
    fn record_event(&mut self, reader: &str, event: v1::Event) {
        let place = event.seq as usize - 1;
        match self.messages.get(place) {
            Some(recorded) => assert_eq!(&event, recorded, "{reader} sees another message than others did"),
            None => {
                assert_eq!(place, self.messages.len(), "no reader skips a message");
                self.messages.push(event);
            }
        }
    }

    fn check_acknowledgements(&self) {
        let mut ids = HashMap::new();
        for event in &self.messages {
            let Some(Kind::Message(message)) = &event.event else { panic!("{event:?} is not a message") };
            let before = ids.insert(message.message_id.clone(), event.seq);
            assert_eq!(before, None, "{message:?} is stored twice, the second time as {}", event.seq);
        }
        assert_eq!(ids, self.acknowledged, "the stored messages are the acknowledged ones");
    }

    fn check_new_reader(&mut self, shared: &Shared) {
        let mut reader = Talker::hello(&environment(), &shared.target, "reader");
        let (joined, history) = reader.join_room(&shared.room, after(0, 0));
        let last = self.messages.len() as u64;
        assert_eq!((joined.epoch, joined.head_seq, joined.oldest_seq), (self.epoch, last, 1));
        assert_eq!(history.len(), self.messages.len());
        for (event, recorded) in history.iter().zip(&self.messages) {
            // The room keeps its number as long as its data folder exists.
            assert_eq!(event, recorded);
        }
    }
}

impl Client {
    fn run(mut self) {
        while self.last < self.shared.end_seq.load(Ordering::Acquire) {
            let talker = Talker::connect(&self.environment, &self.shared.target, &self.name);
            if self.converse(talker) {
                self.shared.connected.fetch_sub(1, Ordering::Relaxed);
                self.shared.reconnects.fetch_add(1, Ordering::Relaxed);
            }
            thread::park_timeout(WAIT.mul_f64(self.random.f64()));
        }
    }

    /// Runs until the connection ends or all messages have arrived. Returns whether the client had joined.
    fn converse(&mut self, mut talker: Talker) -> bool {
        let epoch = self.shared.record().epoch;
        let mut commands = vec![hello(&self.name), join(&self.shared.room, after(self.last, epoch))];
        commands.extend(self.outbox.iter().map(|posted_number| self.post(*posted_number)));
        talker.send(commands);
        let mut joined = false;
        let mut received_at = Instant::now();
        while self.last < self.shared.end_seq.load(Ordering::Acquire) {
            match talker.next_within(WAIT) {
                Some(Ok(event)) => {
                    received_at = Instant::now();
                    for joined in talker.numbered.drain(..) {
                        self.shared.record().epoch = joined.epoch;
                    }
                    if self.take(event) {
                        joined = true;
                        self.shared.connected.fetch_add(1, Ordering::Relaxed);
                    }
                }
                // The client reconnects after any end.
                Some(Err(_)) => return joined,
                None => assert!(received_at.elapsed() < DEADLINE, "{} receives nothing after {}", self.name, self.last),
            }
            self.post_more(&mut talker);
        }
        joined
    }

    /// Posts the next burst when it is due.
    fn post_more(&mut self, talker: &mut Talker) {
        if !self.sends || !self.shared.sending.load(Ordering::Acquire) || Instant::now() < self.burst_at {
            return;
        }
        let burst = self.random.usize(1..=BURST_MAX).min(IN_FLIGHT_MAX - self.outbox.len());
        let mut commands = Vec::new();
        for _ in 0..burst {
            self.posted_number += 1;
            self.outbox.push_back(self.posted_number);
            commands.push(self.post(self.posted_number));
        }
        self.shared.in_flight.fetch_add(burst, Ordering::Relaxed);
        self.shared.posted.fetch_add(burst as u64, Ordering::Relaxed);
        self.burst_at = Instant::now() + REST_MAX.mul_f64(self.random.f64());
        if !commands.is_empty() {
            talker.send(commands);
        }
    }

    fn post(&self, posted_number: u64) -> v1::Command {
        post(&self.shared.room, self.id(posted_number), &self.body(posted_number))
    }

    fn id(&self, posted_number: u64) -> u128 {
        (self.number as u128) << 64 | u128::from(posted_number)
    }

    fn body(&self, posted_number: u64) -> String {
        format!("{} says {posted_number} {}", self.name, "·".repeat(posted_number as usize % 100))
    }

    /// Processes an event. Returns whether it is `Joined`.
    fn take(&mut self, event: v1::Event) -> bool {
        match &event.event {
            Some(Kind::Message(message)) => {
                assert_eq!(event.seq, self.last + 1, "{} receives the messages without a gap", self.name);
                self.last = event.seq;
                if message.sender == self.name {
                    let posted_number = self.acknowledge(&message.message_id, event.seq);
                    let body = posted_number.map(|posted_number| self.body(posted_number));
                    assert!(body.is_none_or(|body| body == message.body), "{event:?} differs from the posted message");
                }
                let shared = Arc::clone(&self.shared);
                shared.record().record_event(&self.name, event);
            }
            Some(Kind::Posted(posted)) => {
                self.shared.stored_before.fetch_add(1, Ordering::Relaxed);
                self.acknowledge(&posted.message_id, posted.message_seq);
            }
            Some(Kind::Joined(joined)) => {
                let mut record = self.shared.record();
                let is_pending = joined.head_seq == 0;
                assert!(
                    is_pending || record.epoch == 0 || record.epoch == joined.epoch,
                    "the epoch has changed: {joined:?}"
                );
                assert!(
                    joined.head_seq >= self.last,
                    "{} had received {}, and now the room has {joined:?}",
                    self.name,
                    self.last
                );
                // A room without messages gets another epoch with its first.
                if !is_pending {
                    record.epoch = joined.epoch;
                }
                return true;
            }
            // After a goodbye the server ends the stream.
            Some(Kind::Welcome(_) | Kind::CaughtUp(_) | Kind::Presence(_) | Kind::Goodbye(_)) => {}
            other => panic!("{} got an unexpected event: {other:?}", self.name),
        }
        false
    }

    /// Records an acknowledgement. Returns the number of the message, if it was unacknowledged.
    fn acknowledge(&mut self, id: &[u8], seq: u64) -> Option<u64> {
        let mut record = self.shared.record();
        let before = record.acknowledged.insert(id.to_vec(), seq);
        assert!(before.is_none_or(|before| before == seq), "{id:?} is at {seq}, and was at {before:?}");
        drop(record);
        let place = self.outbox.iter().position(|posted_number| message_id(self.id(*posted_number)) == id)?;
        self.shared.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.outbox.remove(place)
    }
}
