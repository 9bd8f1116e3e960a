//! The whole server against a naive model: random joins, posts, leaves, lost connections, restarts, restored backups,
//! trims and slow reads.
//!
//! The model ([`naive`]) is a list of the messages of each room. The messages that a client receives must be a part of
//! that list: from the requested position on, each once and in order, with gaps only where retention may have deleted
//! messages or history was lost.

mod naive;

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use fastrand::Rng;
use grpcio::Environment;
use hubbub::address::Address;
use hubbub::limits::MEMORY_LOG_BYTES_MAX;
use hubbub::server::log::Retention;
use hubbub::server::log::sqlite::SyncMode;
use hubbub::server::{Server, ServerConfig, Storage};
use hubbub::wire::v1::event::Event as Kind;
use hubbub::wire::v1::{self, join, list_messages_request};
use hubbub::wire::{LIST_MESSAGES, v1::ListMessagesRequest};
use tempfile::TempDir;

use self::naive::{Client, Joins, Place, Room, View};
use super::support::chatter::environment;
use super::support::talker::{Talker, after, call, join as join_command, leave, message_id, post, post_message};
use super::support::target;

const ROOMS: [&str; 3] = ["attic", "cellar", "garden"];
const STEPS: usize = 400;
const CLIENTS_MAX: usize = 6;

/// The maximum lengths of bodies: most are short, some so long that a lagging reader is soon behind the room's tail.
const SHORT_BYTES_MAX: usize = 400;
const LONG_BYTES_MAX: usize = 16_000;

struct World {
    rng: Rng,
    storage: Storage,
    retention: Retention,
    server: Option<Server>,
    environment: Arc<Environment>,
    rooms: HashMap<&'static str, Room>,
    clients: Vec<Client>,
    names: usize,
    /// The positions of clients that left, from which others resume.
    left: Vec<Place>,
    /// A copy of the data folder, and the rooms at that time.
    backup: Option<(TempDir, HashMap<&'static str, Room>)>,
    /// How many gaps were received, and how many backups restored.
    gaps: usize,
    restored: usize,
}

impl World {
    fn new(seed: u64, storage: Storage, retention: Retention) -> Self {
        let mut world = Self {
            rng: Rng::with_seed(seed),
            storage,
            retention,
            server: None,
            environment: environment(),
            rooms: HashMap::new(),
            clients: Vec::new(),
            names: 0,
            left: Vec::new(),
            backup: None,
            gaps: 0,
            restored: 0,
        };
        world.forget_rooms();
        world.start();
        world
    }

    fn forget_rooms(&mut self) {
        let room = Room { kept: self.retention.messages, ..Room::default() };
        self.rooms = ROOMS.iter().map(|name| (*name, room.clone())).collect();
    }

    fn start(&mut self) {
        let config = ServerConfig {
            listen: vec![Address::local(0)],
            storage: self.storage.clone(),
            retention: self.retention,
            ..ServerConfig::default()
        };
        self.server = Some(Server::start(&config).expect("the server starts"));
    }

    fn target(&self) -> String {
        target(self.server.as_ref().expect("the server runs"))
    }

    fn step(&mut self) {
        match self.rng.u32(0..100) {
            0..10 => self.connect(),
            10..25 => self.join(),
            25..60 => self.post(),
            60..70 => self.call(),
            70..75 => self.list(),
            75..83 => self.catch_up_one(),
            83..88 => self.leave(),
            88..93 => self.disconnect(),
            93..97 => self.restart(),
            _ => self.catch_up_all(),
        }
    }

    fn connect(&mut self) {
        if self.clients.len() < CLIENTS_MAX {
            // Names are used repeatedly.
            let name = format!("user-{}", self.names % 8);
            self.names += 1;
            let talker = Talker::hello(&self.environment, &self.target(), &name);
            self.clients.push(Client { name, talker, views: Vec::new(), posted_due: 0 });
        }
    }

    fn pick_client(&mut self) -> Option<usize> {
        (!self.clients.is_empty()).then(|| self.rng.usize(0..self.clients.len()))
    }

    fn pick_room(&mut self) -> &'static str {
        ROOMS[self.rng.usize(0..ROOMS.len())]
    }

    fn body(&mut self) -> String {
        let bytes_max = if self.rng.u8(..10) == 0 { LONG_BYTES_MAX } else { SHORT_BYTES_MAX };
        "x".repeat(self.rng.usize(1..=bytes_max))
    }

    /// Joins a room that the client is not in: at the head, with some history, or at a real or claimed earlier
    /// position.
    fn join(&mut self) {
        let Some(index) = self.pick_client() else { return };
        let room = self.pick_room();
        if self.clients[index].views.iter().any(|view| view.room == room) {
            return;
        }
        let known = &self.rooms[room];
        let (head, epoch) = (known.head(), known.epoch);
        let (from, place) = match self.rng.u32(0..10) {
            0 => (None, None),
            1 | 2 => (Some(join::From::Last(self.rng.u32(0..30))), None),
            3 => (after(self.rng.u64(0..=head + 3), 0), None),
            4 => (after(self.rng.u64(0..=head + 3), epoch), None),
            5 => (after([0, head, head + 1, u64::MAX][self.rng.usize(0..4)], self.rng.u64(1..)), None),
            _ => match self.left.iter().rfind(|place| place.room == room) {
                Some(place) => (after(place.seq, place.epoch), Some(place.clone())),
                None => (after(0, 0), None),
            },
        };
        // Requested history is read first, so that the answer is the next event of this room.
        self.catch_up(index);
        let client = &mut self.clients[index];
        client.talker.send(vec![join_command(room, from.clone())]);
        self.gaps += usize::from(client.joined(&mut self.rooms, Joins { room, from, place }));
    }

    /// Posts in a room that the client is in. Some posts repeat earlier ones.
    fn post(&mut self) {
        let Some(index) = self.pick_client() else { return };
        if self.clients[index].views.is_empty() {
            return;
        }
        let views = &self.clients[index].views;
        let room = views[self.rng.usize(0..views.len())].room;
        let mut commands = Vec::new();
        // Four long bodies fit into one request.
        for _ in 0..self.rng.usize(1..5).min(64 * 1024 / LONG_BYTES_MAX - 1) {
            let (id, body) = (u128::from(self.rng.u64(1..200)), self.body());
            let (client, known) = (&mut self.clients[index], self.rooms.get_mut(room).expect("all rooms are known"));
            // With another body, the id would be refused.
            let body = known.body(&client.name, id).unwrap_or(body);
            client.posted_due += usize::from(known.say(&client.name, id, &body).is_err());
            commands.push(post(room, id, &body));
        }
        if !commands.is_empty() {
            self.clients[index].talker.send(commands);
        }
        // Posts of other clients must come later, so the client waits until its own are stored.
        self.catch_up(index);
    }

    /// Posts by a call, without a stream.
    fn call(&mut self) {
        let Some(index) = self.pick_client() else { return };
        let room = self.pick_room();
        let (name, id) = (format!("user-{}", self.rng.u32(0..8)), u128::from(self.rng.u64(1..200)));
        let known = self.rooms.get_mut(room).expect("all rooms are known");
        let body = known.body(&name, id).unwrap_or_else(|| "called".to_owned());
        let response = post_message(&self.clients[index].talker.client, room, &name, id, &body).unwrap();
        let expected = match known.say(&name, id, &body) {
            Ok(seq) => (seq, false),
            Err(seq) => (seq, true),
        };
        assert_eq!((response.seq, response.was_stored), expected, "{name} called with {id} in {room}");
        assert_eq!(response.message_id, message_id(id));
    }

    /// Reads a page of history.
    fn list(&mut self) {
        let Some(index) = self.pick_client() else { return };
        let room = self.pick_room();
        let known = &self.rooms[room];
        if known.head() == 0 {
            return;
        }
        let (after, size) = (self.rng.u64(0..=known.head()), self.rng.u32(1..50));
        let place = Some(list_messages_request::Place::AfterSeq(after));
        let request = ListMessagesRequest { room: room.to_owned(), place, page_size: size, ..Default::default() };
        let page = call(&self.clients[index].talker.client, &LIST_MESSAGES, &request).unwrap();
        assert_eq!(page.head_seq, known.head());
        known.check_oldest(page.oldest_seq);
        let is_short = page.events.is_empty() && after < known.head();
        assert!(page.events.len() <= size as usize && !is_short, "{} events after {after}", page.events.len());
        for (event, seq) in page.events.iter().zip((after + 1).max(page.oldest_seq)..) {
            let Some(Kind::Message(message)) = &event.event else { panic!("expected a message: {event:?}") };
            assert_eq!(event.seq, seq);
            known.check(seq, message);
        }
    }

    fn leave(&mut self) {
        let Some(index) = self.pick_client() else { return };
        self.catch_up(index);
        let client = &mut self.clients[index];
        if client.views.is_empty() {
            return;
        }
        let view = client.views.swap_remove(self.rng.usize(0..client.views.len()));
        client.talker.send(vec![leave(view.room)]);
        loop {
            match client.talker.next().event {
                Some(Kind::Left(left)) => break assert_eq!(left.room, view.room),
                Some(Kind::Presence(_)) => {}
                other => panic!("{}: expected to leave, got {other:?}", client.name),
            }
        }
        self.remember([view]);
    }

    fn remember(&mut self, views: impl IntoIterator<Item = View>) {
        self.left.extend(views.into_iter().map(|view| self.rooms[view.room].place_before(view.room, view.next)));
    }

    /// A client disconnects, perhaps before it has read all events.
    fn disconnect(&mut self) {
        let Some(index) = self.pick_client() else { return };
        let client = self.clients.swap_remove(index);
        self.remember(client.views);
    }

    /// Restarts the server, sometimes with an older copy of its data.
    fn restart(&mut self) {
        while let Some(client) = self.clients.pop() {
            self.remember(client.views);
        }
        drop(self.server.take());
        match &mut self.storage {
            Storage::Memory { .. } => self.forget_rooms(),
            Storage::Folder { path, restored, .. } => {
                *restored = false;
                match self.backup.take() {
                    Some((copy, rooms)) if self.rng.bool() => {
                        *restored = true;
                        self.restored += 1;
                        copy_files(copy.path(), path);
                        // The server knows the start of a room's newest epoch only. So a client that was not there
                        // during an epoch in between does not resume.
                        self.left.retain(|place| place.epoch == self.rooms[place.room].epoch);
                        self.rooms = rooms;
                        self.rooms.values_mut().for_each(|room| room.epoch = 0);
                    }
                    Some(backup) => self.backup = Some(backup),
                    None => {
                        let copy = tempfile::tempdir().expect("a folder can be made");
                        copy_files(path, copy.path());
                        self.backup = Some((copy, self.rooms.clone()));
                    }
                }
            }
        }
        self.start();
    }

    fn catch_up_one(&mut self) {
        if let Some(index) = self.pick_client() {
            self.catch_up(index);
        }
    }

    fn catch_up_all(&mut self) {
        (0..self.clients.len()).for_each(|index| self.catch_up(index));
    }

    /// Makes a client read until it has all messages of the model.
    fn catch_up(&mut self, index: usize) {
        let client = &mut self.clients[index];
        let is_behind = |view: &View| view.history_to.is_some() || view.next <= self.rooms[view.room].head();
        while client.posted_due > 0 || client.views.iter().any(is_behind) {
            let event: v1::Event = client.talker.next();
            self.gaps += client.take(&self.rooms, event);
        }
    }
}

/// Replaces the files of a folder by those of another one.
fn copy_files(from: &Path, to: &Path) {
    fs::remove_dir_all(to).expect("the folder is there");
    fs::create_dir(to).expect("a folder can be made");
    for file in fs::read_dir(from).expect("the folder is there").flatten() {
        fs::copy(file.path(), to.join(file.file_name())).expect("a file can be copied");
    }
}

/// Runs the world with some seeds. Returns how many gaps were received, and how many backups restored.
fn run(seeds: std::ops::Range<u64>, storage: impl Fn(&Path) -> Storage, messages_kept: Option<u64>) -> (usize, usize) {
    let (mut gaps, mut restored) = (0, 0);
    for seed in seeds {
        let folder = tempfile::tempdir().unwrap();
        println!("seed {seed}");
        let retention = Retention { messages: messages_kept, ..Retention::default() };
        let mut world = World::new(seed, storage(folder.path()), retention);
        for _ in 0..STEPS {
            world.step();
        }
        world.catch_up_all();
        gaps += world.gaps;
        restored += world.restored;
        world.clients.clear();
    }
    (gaps, restored)
}

fn folder(path: &Path) -> Storage {
    Storage::Folder { path: path.to_owned(), sync: SyncMode::Os, restored: false }
}

fn memory(_path: &Path) -> Storage {
    Storage::Memory { bytes_max: MEMORY_LOG_BYTES_MAX }
}

#[test]
fn a_durable_server_agrees_with_the_model() {
    let (_, restored) = run(0..6, folder, None);
    assert!(restored > 0, "no run restored a backup");
}

#[test]
fn a_server_in_memory_agrees_with_the_model() {
    // Each restart loses all messages, which is reported.
    assert!(run(10..16, memory, None).0 > 0);
}

#[test]
fn a_server_with_short_retention_agrees_with_the_model() {
    for storage in [folder, memory] {
        assert!(run(20..26, storage, Some(10)).0 > 0, "nothing was trimmed before it was read");
    }
}
