//! A panic in a thread that others depend on. It ends the process with a code, or the session with an error, and never
//! leaves a program that runs and does nothing.

use std::collections::BTreeSet;
use std::env;
use std::ops::ControlFlow;
use std::process::Command;
use std::time::{Duration, Instant};

use grpcio::{ChannelBuilder, Client};
use hubbub::address::Address;
use hubbub::client::{Connector, Event, Session, SessionError, Settings, StartAt};
use hubbub::names::{RoomName, UserName};
use hubbub::threads;

use super::support::chatter::environment;
use super::support::process::{ServerProcess, command};
use super::support::talker::{Talker, after, join, post_message};
use super::support::{DEADLINE, start, target};

const ROOM: &str = "tea";

/// The exit code.
const EXIT_PANIC: i32 = 70;

/// Where a panic is asked for, and the thread that it is in.
const PLACES: [(&str, &str); 13] = [
    // Between a commit and its acknowledgement.
    ("commit", "log-writer"),
    // While followers are notified.
    ("fanout", "poll"),
    ("log-writer", "log-writer"),
    ("log-keeper", "log-keeper"),
    ("fanout-pace", "fanout-pace"),
    ("query-0", "query-0"),
    ("deadlines", "deadlines"),
    ("gauges", "gauges"),
    ("refusals", "refusals"),
    ("joiner", "joiner"),
    ("signals", "signals"),
    ("accounts", "accounts"),
    ("operator-0", "operator-0"),
];

#[test]
fn a_panic_ends_the_server_with_a_code_and_loses_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let serve = |panic_in: Option<&str>| {
        let mut command = command();
        command.args(["--listen", "127.0.0.1:0", "--data"]).arg(folder.path());
        command.args(panic_in.map(|place| format!("--panic-in={place}")));
        ServerProcess::listening(command)
    };
    let mut stored = BTreeSet::new();
    let mut next = 0;
    for (place, thread) in PLACES {
        let mut server = serve(Some(place));
        // Its joining is announced to it, so the answers to its join may not come any more.
        let mut follower = Talker::hello(&environment(), server.target(), "bob");
        follower.send(vec![join(ROOM, None)]);
        let client = Client::new(ChannelBuilder::new(environment()).connect(server.target()));
        let begun = Instant::now();
        loop {
            next += 1;
            let body = format!("message {next}");
            match post_message(&client, ROOM, "ann", next, &body) {
                Ok(_) => drop(stored.insert(body)),
                Err(_) => break,
            }
            assert!(begun.elapsed() < DEADLINE, "{place}: the server goes on");
        }
        let status = server.wait();
        let took = begun.elapsed();
        assert_eq!(status.code(), Some(EXIT_PANIC), "{place}: {status:?}");
        // The panic comes after half a second.
        assert!(took < Duration::from_secs(5), "{place}: it took {took:?}");
        let log = server.rest_of_log();
        let line = log.iter().find(|line| line.contains("a thread has failed (")).expect("it is logged");
        assert!(line.contains(&format!("({thread}")) && line.contains("report it"), "{place}: {line}");
        drop(follower);
    }
    // All that was acknowledged is there, once.
    let server = serve(None);
    let mut reader = Talker::hello(&environment(), server.target(), "reader");
    let (_, events) = reader.join_room(ROOM, after(0, 0));
    let bodies: Vec<_> = events.iter().map(|event| event.message().body.clone()).collect();
    let distinct: BTreeSet<_> = bodies.iter().cloned().collect();
    assert_eq!(bodies.len(), distinct.len());
    assert!(distinct.is_superset(&stored) && stored.len() > PLACES.len(), "{} of {}", distinct.len(), stored.len());
}

fn session(target: &str, on_event: impl FnMut(Event<'_>) -> ControlFlow<()> + Send + 'static) -> Session {
    let settings = Settings::new(UserName::new("ann").expect("a name"), RoomName::lobby(), StartAt::Head);
    let address: Address = target.parse().expect("an address");
    Session::start(Connector::new(1), address, settings, on_event).expect("the server is there")
}

/// The handler of a session's owner runs on the session's receive thread.
#[test]
fn a_panic_in_an_event_handler_ends_the_session() {
    let server = start();
    let session = session(&target(&server), |event| match event {
        Event::Joined { .. } => panic!("a handler's bug, made for this test"),
        _ => ControlFlow::Continue(()),
    });
    let end = session.wait();
    assert!(matches!(end, Err(SessionError::Panicked { thread: "receive" })), "{end:?}");
}

/// The test runs itself with this variable set.
const IN_CHILD: &str = "HUBBUB_TEST_PANIC_IN";

#[test]
fn a_panic_of_either_thread_ends_the_session() {
    if let Ok(thread) = env::var(IN_CHILD) {
        // With the hook too, a session's end is its owner's to see.
        threads::end_process_on_panic();
        threads::ask_for_panic(format!("session-{thread}"));
        let server = start();
        let end = session(&target(&server), |_| ControlFlow::Continue(())).wait();
        assert!(matches!(&end, Err(SessionError::Panicked { thread: panicked }) if *panicked == thread), "{end:?}");
        return;
    }
    for thread in ["send", "receive"] {
        let mut child = Command::new(env::current_exe().expect("this program"));
        child.args(["--exact", "panics::a_panic_of_either_thread_ends_the_session", "--nocapture"]);
        let output = child.env(IN_CHILD, thread).output().expect("it runs");
        let printed = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && printed.contains("a panic was asked for in"), "{thread}: {printed}");
    }
}
