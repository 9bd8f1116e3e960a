//! Retention: deletions, and the guarantees that they must not break.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use hubbub::client::{Connector, Session, Settings, StartAt};
use hubbub::limits::MEMORY_LOG_BYTES_MAX;
use hubbub::names::{Body, Kind, RoomName, UserName};
use hubbub::server::log::Retention;
use hubbub::server::log::sqlite::SyncMode;
use hubbub::server::{ServerConfig, Storage};
use hubbub::wire::v1::event::Event as Wire;
use hubbub::wire::{LIST_ROOMS, v1};
use parking_lot::Mutex;

use super::support::chatter::environment;
use super::support::process::ServerProcess;
use super::support::talker::{Talker, call, post_message};
use super::support::{start_with, target, wait_for};

/// A relay in front of a server. It can hold back the server's messages, and then cut the connection.
struct Relay {
    address: String,
    is_deaf: Arc<AtomicBool>,
    connections: Arc<Mutex<Vec<TcpStream>>>,
}

impl Relay {
    fn start(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound").to_string();
        let (is_deaf, connections) = (Arc::new(AtomicBool::new(false)), Arc::<Mutex<Vec<TcpStream>>>::default());
        let (deaf, all) = (Arc::clone(&is_deaf), Arc::clone(&connections));
        // It ends with the test's process.
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let server = TcpStream::connect(&server).expect("the server listens");
                let ends = [&client, &server].map(|end| end.try_clone().expect("a descriptor is free"));
                all.lock().extend(ends);
                let (from, to) = [&client, &server].map(|end| end.try_clone().expect("a descriptor is free")).into();
                thread::spawn(move || pass_on(from, to, &AtomicBool::new(false)));
                let deaf = Arc::clone(&deaf);
                thread::spawn(move || pass_on(server, client, &deaf));
            }
        });
        Self { address, is_deaf, connections }
    }

    fn cut(&self) {
        self.connections.lock().drain(..).for_each(|end| drop(end.shutdown(Shutdown::Both)));
        self.is_deaf.store(false, Ordering::SeqCst);
    }
}

fn pass_on(mut from: TcpStream, mut to: TcpStream, is_deaf: &AtomicBool) {
    let mut bytes = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        if !is_deaf.load(Ordering::SeqCst) && to.write_all(&bytes[..count]).is_err() {
            return;
        }
    }
}

/// `hubbub send` with a server that keeps 20 messages lost its connection after its line was stored and before the echo
/// arrived. Before it reconnected, others had posted 60 messages, and retention had deleted the line and its id. So the
/// line was stored a second time, with seq 63, and a member received it twice.
#[test]
fn a_line_that_retention_deleted_before_its_echo_is_not_stored_twice() {
    let folder = tempfile::tempdir().unwrap();
    let durable = Storage::Folder { path: folder.path().to_owned(), sync: SyncMode::Os, restored: false };
    for storage in [durable, Storage::Memory { bytes_max: MEMORY_LOG_BYTES_MAX }] {
        let retention = Retention { messages: Some(20), ..Retention::default() };
        let server = start_with(ServerConfig { storage, retention, ..ServerConfig::default() });
        let relay = Relay::start(target(&server));
        let mut member = Talker::join(&environment(), &target(&server), "bob", "talk");
        let (room, name) = (RoomName::new("talk").unwrap(), UserName::new("ann").unwrap());
        let address = relay.address.parse().unwrap();
        let caught_up = Arc::new(AtomicBool::new(false));
        let noted = Arc::clone(&caught_up);
        let settings = Settings::new(name, room.clone(), StartAt::Head);
        let session = Session::start(Connector::new(1), address, settings, move |event| {
            noted.fetch_or(matches!(event, hubbub::client::Event::CaughtUp { .. }), Ordering::SeqCst);
            ControlFlow::Continue(())
        });
        let session = session.expect("the session starts");
        wait_for("ann to catch up", || caught_up.load(Ordering::SeqCst));

        relay.is_deaf.store(true, Ordering::SeqCst);
        let inlet = session.inlet();
        inlet.post(&room, Body::new("the line").unwrap(), Kind::Text).unwrap();
        let mut lines = 0;
        let mut received = 0;
        let mut hear = |until: u64| {
            while received < until {
                let event = member.next();
                if let Some(Wire::Message(message)) = event.event {
                    received = event.seq;
                    lines += u32::from(message.body == "the line");
                }
            }
            lines
        };
        assert_eq!(hear(1), 1);
        let others = Talker::connect(&environment(), &target(&server), "others");
        for _ in 0..60 {
            post_message(&others.client, "talk", "eve", 0, "meanwhile").unwrap();
        }
        let oldest = || {
            let (joined, _) = Talker::hello(&environment(), &target(&server), "eve").join_room("talk", None);
            joined.oldest_seq
        };
        wait_for("retention to delete the line", || oldest() > 1);
        relay.cut();
        inlet.finish();
        session.wait().expect("the line is stored");
        assert_eq!(post_message(&others.client, "talk", "eve", 0, "the end").unwrap().seq, 62);
        assert_eq!(hear(62), 1, "a member received the line twice");
    }
}

/// A bound on the size of the whole log: the oldest messages of all rooms are deleted, whatever their room.
#[test]
fn a_log_on_disk_is_bounded_in_bytes() {
    const MAX: u64 = 16 * 1024 * 1024;
    let folder = tempfile::tempdir().expect("a folder can be created");
    let arguments =
        ["--log-bytes-max", "16MiB", "--sync", "os", "--data", folder.path().to_str().expect("it is UTF-8")];
    let mut server = ServerProcess::start(&arguments);
    let client = Talker::connect(&environment(), server.target(), "ann").client;
    let body = "x".repeat(15_000);
    let post = |room: &str| post_message(&client, room, "ann", 0, &body).expect("it is stored");
    let rooms = || {
        let response = call(&client, &LIST_ROOMS, &v1::ListRoomsRequest::default()).expect("rooms are listed");
        response.rooms.into_iter().map(|room| (room.name, room.oldest_seq, room.head_seq)).collect::<Vec<_>>()
    };
    (0..600).for_each(|_| drop(post("old")));
    assert_eq!(rooms(), [("old".to_owned(), 1, 600)]);
    for n in 0..2_000 {
        post(["left", "right"][n % 2]);
    }
    let size = || fs::metadata(folder.path().join("hubbub.db")).expect("the database is there").len();
    wait_for("the log is trimmed", || rooms()[1] == ("old".to_owned(), 601, 600));
    // The newest messages fill the space that is allowed.
    wait_for("the newest are kept", || {
        let kept: u64 = rooms().iter().map(|(_, oldest, head)| head + 1 - oldest).sum();
        (600..MAX / 15_000).contains(&kept)
    });
    let [left, right] = [&rooms()[0], &rooms()[2]].map(|room| room.1);
    assert!(left.abs_diff(right) < 100, "the oldest of both are deleted alike: {left}, {right}");
    assert!(size() < MAX + MAX / 2, "{} bytes", size());
    server.signal(libc::SIGTERM);
    assert_eq!(server.wait().code(), Some(0));
}
