//! Sessions of the client library that join and leave rooms while they run.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use hubbub::address::Address;
use hubbub::client::{Connector, Event, Inlet, Session, SessionError, Settings, StartAt};
use hubbub::limits::ROOMS_PER_STREAM_MAX;
use hubbub::names::{Body, Kind, RoomName, UserName};

use super::support::chatter::environment;
use super::support::process::{ServerProcess, command, lasting_address};
use super::support::proxy::Proxy;
use super::support::talker::{Talker, post_message};
use super::support::{seed, start, target, wait_for};
use super::terminal::model::Model;

fn room(name: &str) -> RoomName {
    RoomName::new(name).expect("a room's name")
}

fn body(text: impl Into<String>) -> Body {
    Body::new(text).expect("a body")
}

/// A session that records its events.
struct Ann {
    session: Session,
    inlet: Inlet,
    events: Arc<Mutex<Vec<String>>>,
}

impl Ann {
    fn start(target: &str, rooms: &[&str]) -> Self {
        let events = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&events);
        let address: Address = target.parse().expect("an address");
        let rooms = rooms.iter().map(|name| (room(name), StartAt::Last(50))).collect();
        let name = UserName::new("ann").expect("a name");
        let settings = Settings { rooms, ..Settings::new(name, RoomName::lobby(), StartAt::Head) };
        let session = Session::start(Connector::new(1), address, settings, move |event| {
            if let Some(line) = line(&event) {
                log.lock().expect("nobody panics").push(line);
            }
            ControlFlow::Continue(())
        })
        .expect("the server listens");
        Self { inlet: session.inlet(), session, events }
    }

    fn join(&self, name: &str) -> bool {
        self.inlet.join(&room(name), StartAt::Last(50)).expect("the session runs")
    }

    fn leave(&self, name: &str) -> usize {
        self.inlet.leave(&room(name)).expect("it is joined")
    }

    fn say(&self, name: &str, text: &str) {
        self.inlet.post(&room(name), body(text), Kind::Text).expect("the line is accepted");
    }

    fn events(&self) -> Vec<String> {
        self.events.lock().expect("nobody panics").clone()
    }

    fn wait_for(&self, line: &str) {
        wait_for(line, || self.events().iter().any(|event| event == line));
    }
}

fn line(event: &Event<'_>) -> Option<String> {
    Some(match event {
        Event::Joined(joined) => format!("{} joined", joined.room),
        Event::Message(message) => format!("{} {} {}: {}", message.room, message.seq, message.sender, message.body),
        Event::CaughtUp { room, .. } => format!("{room} caught up"),
        Event::Left { room } => format!("{room} left"),
        Event::NotJoined { room, reason } => format!("{room} not joined: {reason}"),
        Event::Rejected { line, reason } => format!("rejected {}: {reason}", line.body.as_str()),
        Event::Gap { room, .. } => format!("{room} gap"),
        Event::Disconnected { fault, .. } => format!("disconnected{}", if *fault { ": a fault" } else { "" }),
        Event::Reconnected => "reconnected".to_owned(),
        _ => return None,
    })
}

#[test]
fn rooms_are_joined_and_left_while_the_session_runs() {
    let server = start();
    let target = target(&server);
    let bob = Talker::hello(&environment(), &target, "bob");
    let post = |room: &str, body: &str| drop(post_message(&bob.client, room, "bob", 0, body).expect("it is stored"));
    post("tea", "old");
    let ann = Ann::start(&target, &["lobby"]);
    assert!(ann.join("tea"));
    assert!(!ann.join("tea"), "it is joined already");
    // A line that is posted at once waits for the join.
    ann.say("tea", "hello");
    ann.wait_for("tea 2 ann: hello");
    assert_eq!(ann.leave("tea"), 0);
    ann.wait_for("tea left");
    post("tea", "nobody is here");
    assert!(matches!(ann.inlet.post(&room("tea"), body("x"), Kind::Text), Err(SessionError::NotJoined { .. })));
    assert!(matches!(ann.inlet.leave(&room("tea")), Err(SessionError::NotJoined { .. })));
    // The second join reads the last messages again.
    assert!(ann.join("tea"));
    ann.wait_for("tea 3 bob: nobody is here");
    // After many leaves and joins, the last one counts.
    for _ in 0..20 {
        ann.leave("tea");
        assert!(ann.join("tea"));
    }
    ann.say("tea", "still here");
    ann.wait_for("tea 4 ann: still here");
    // After all rooms are left, the session still runs.
    ann.leave("tea");
    ann.leave("lobby");
    ann.wait_for("lobby left");
    ann.join("cellar");
    ann.say("cellar", "first");
    ann.wait_for("cellar 1 ann: first");
    ann.inlet.finish();
    ann.session.wait().expect("all lines are stored");
}

/// A room was left while a line was in flight, so that its outcome was unknown.
#[test]
fn a_room_is_left_once_its_lines_are_stored() {
    let server = ServerProcess::start(&[]);
    let ann = Ann::start(server.target(), &["tea"]);
    ann.wait_for("tea caught up");
    server.freeze();
    ann.say("tea", "one");
    ann.say("tea", "two");
    assert_eq!(ann.leave("tea"), 2);
    assert!(matches!(ann.inlet.post(&room("tea"), body("x"), Kind::Text), Err(SessionError::NotJoined { .. })));
    server.signal(libc::SIGCONT);
    ann.wait_for("tea left");
    assert_eq!(ann.events(), ["tea joined", "tea caught up", "tea 1 ann: one", "tea 2 ann: two", "tea left"]);
    assert_eq!(ann.inlet.pending(), []);
}

#[test]
fn rooms_are_joined_and_left_without_a_connection() {
    let (address, folder) = (lasting_address(), tempfile::tempdir().unwrap());
    let start = || {
        let mut command = command();
        command.args(["--listen", &address, "--data"]).arg(folder.path());
        ServerProcess::listening(command)
    };
    let server = start();
    let ann = Ann::start(&address, &["tea", "attic"]);
    ann.wait_for("tea caught up");
    ann.wait_for("attic caught up");
    server.crash();
    ann.wait_for("disconnected");
    // The room tea has a line that must be stored first; attic is left at once.
    ann.say("tea", "before I go");
    assert_eq!((ann.leave("tea"), ann.leave("attic")), (1, 0));
    ann.wait_for("attic left");
    ann.join("cellar");
    ann.say("cellar", "hello");
    let server = start();
    ann.wait_for("cellar 1 ann: hello");
    ann.wait_for("tea left");
    let events = ann.events();
    let place =
        |line: &str| events.iter().position(|event| event == line).unwrap_or_else(|| panic!("{line} in {events:?}"));
    assert!(place("tea 1 ann: before I go") < place("tea left"));
    assert!(!events[place("attic left")..].iter().any(|line| line.starts_with("attic") && line != "attic left"));
    // The room cellar is resumed like any other.
    server.crash();
    let server = start();
    wait_for("the second reconnect", || ann.events().iter().filter(|line| *line == "reconnected").count() == 2);
    let bob = Talker::hello(&environment(), server.target(), "bob");
    for name in ["tea", "attic", "cellar"] {
        post_message(&bob.client, name, "bob", 1, "anybody?").unwrap();
    }
    ann.wait_for("cellar 2 bob: anybody?");
    assert_eq!(ann.events().iter().filter(|line| line.contains("anybody?")).count(), 1);
}

/// A session that has reached the maximum number of rooms stays in its rooms.
#[test]
fn a_refused_join_is_reported_and_does_not_affect_other_rooms() {
    let server = ServerProcess::start(&[]);
    let ann = Ann::start(server.target(), &["lobby"]);
    for n in 1..ROOMS_PER_STREAM_MAX {
        ann.join(&format!("room-{n}"));
    }
    ann.wait_for(&format!("room-{} caught up", ROOMS_PER_STREAM_MAX - 1));
    // The server is frozen so that the line is posted before the answer arrives.
    server.freeze();
    ann.join("one-too-many");
    ann.say("one-too-many", "hello?");
    server.signal(libc::SIGCONT);
    let reason = format!("{ROOMS_PER_STREAM_MAX} rooms are joined, the maximum for one stream: leave one first");
    ann.wait_for(&format!("one-too-many not joined: {reason}"));
    ann.wait_for(&format!("rejected hello?: one-too-many is not joined: {reason}"));
    assert!(matches!(
        ann.inlet.post(&room("one-too-many"), body("x"), Kind::Text),
        Err(SessionError::NotJoined { .. })
    ));
    ann.leave("room-1");
    ann.join("one-too-many");
    ann.say("one-too-many", "hello!");
    ann.wait_for("one-too-many 1 ann: hello!");
    ann.inlet.finish();
    ann.session.wait().expect("the session ends without an error");
}

/// On a server whose rooms get their numbers with their first message, a client gets `Joined` again, with the new
/// number.
#[test]
fn a_room_may_get_another_number() {
    let model = Model::start();
    let ann = Ann::start(&model.target, &["tea", "lobby"]);
    ann.wait_for("lobby caught up");
    model.renumber("tea");
    model.say("tea", "bob", "one");
    ann.wait_for("tea 1 bob: one");
    assert_eq!(ann.events().iter().filter(|line| line.as_str() == "tea joined").count(), 1);
}

/// The messages that a session received in the rooms that it joined and left. A visit must have no hole and no
/// repetition.
#[derive(Default)]
struct Visits {
    /// The next seq in each joined room; `None` before its first message.
    next: HashMap<String, Option<u64>>,
    messages: usize,
    faults: Vec<String>,
}

impl Visits {
    fn note(&mut self, event: &Event<'_>) {
        match event {
            Event::Joined(joined) => drop(self.next.entry(joined.room.to_string()).or_default()),
            // A room that was left before it could be joined is not in the map.
            Event::Left { room } => drop(self.next.remove(room.as_str())),
            Event::Message(message) => {
                self.messages += 1;
                match self.next.get_mut(message.room.as_str()) {
                    None => self
                        .faults
                        .push(format!("message {} {} arrived in a room that is not joined", message.room, message.seq)),
                    Some(next) => {
                        if next.is_some_and(|next| next != message.seq) {
                            self.faults
                                .push(format!("message {} {} arrived instead of {next:?}", message.room, message.seq));
                        }
                        *next = Some(message.seq + 1);
                    }
                }
            }
            Event::Gap { .. }
            | Event::Disconnected { fault: true, .. }
            | Event::NotJoined { .. }
            | Event::Rejected { .. } => {
                self.faults.push(format!("{event:?}"));
            }
            _ => {}
        }
    }
}

/// 300 joins and leaves under load, with connections that are cut: during a visit, all messages of the room arrive once
/// and in order, and every line is stored once.
#[test]
fn joins_and_leaves_under_load_lose_and_repeat_nothing() {
    const ROOMS: usize = 6;
    let server = start();
    let direct = target(&server);
    let proxy = Proxy::start(&direct);
    let mut random = fastrand::Rng::with_seed(seed());
    let visits = Arc::new(Mutex::new(Visits::default()));
    let log = Arc::clone(&visits);
    let name = UserName::new("ann").expect("a name");
    let settings = Settings { rooms: vec![], ..Settings::new(name, RoomName::lobby(), StartAt::Head) };
    let address: Address = proxy.target().parse().expect("an address");
    let session = Session::start(Connector::new(1), address, settings, move |event| {
        log.lock().expect("nobody panics").note(&event);
        ControlFlow::Continue(())
    })
    .expect("the server listens");
    let inlet = session.inlet();
    let (is_done, posted) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let load = {
        let (is_done, posted, direct) = (Arc::clone(&is_done), Arc::clone(&posted), direct.clone());
        thread::spawn(move || {
            let bob = Talker::hello(&environment(), &direct, "bob");
            while !is_done.load(Ordering::SeqCst) {
                let n = posted.fetch_add(1, Ordering::SeqCst);
                post_message(&bob.client, &format!("room-{}", n % ROOMS), "bob", 0, "x").expect("it is stored");
            }
        })
    };
    let mut posted_lines = 0;
    for turn in 0..300 {
        let name = room(&format!("room-{}", random.usize(..ROOMS)));
        if !inlet.join(&name, StartAt::Last(random.u32(..20))).expect("the session runs") {
            for _ in 0..random.usize(..3) {
                inlet.post(&name, body(format!("line {posted_lines}")), Kind::Text).expect("it is joined");
                posted_lines += 1;
            }
            inlet.leave(&name).expect("it is joined");
        }
        if turn % 30 == 29 {
            proxy.strike(&mut random);
        }
        // Commands follow earlier ones that are still pending, and others that are done.
        thread::park_timeout(Duration::from_millis(random.u64(..8)));
    }
    is_done.store(true, Ordering::SeqCst);
    load.join().expect("all posts are stored");
    inlet.finish();
    session.wait().expect("all lines are stored");
    let visits = visits.lock().expect("nobody panics");
    assert_eq!(visits.faults, [""; 0]);
    assert!(visits.messages > 100, "only {} messages arrived", visits.messages);
    let mut reader = Talker::hello(&environment(), &direct, "reader");
    let mut stored = Vec::new();
    for n in 0..ROOMS {
        let (_, events) = reader.join_room(&format!("room-{n}"), super::support::talker::after(0, 0));
        stored.extend(
            events.iter().filter(|event| event.message().sender == "ann").map(|event| event.message().body.clone()),
        );
    }
    stored.sort_by_key(|line| line["line ".len()..].parse::<usize>().expect("a number"));
    assert_eq!(stored, (0..posted_lines).map(|n| format!("line {n}")).collect::<Vec<_>>());
}
