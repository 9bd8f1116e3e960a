//! `hubbub.v1`: rooms, history, resuming, and refused commands.

use std::collections::HashSet;
use std::time::Duration;

use grpcio::RpcStatusCode;
use hubbub::limits::{COMMANDS_MAX, PRESENCES_MAX};
use hubbub::server::ServerConfig;
use hubbub::wire::v1::event::Event as Kind;
use hubbub::wire::v1::rejected::Code;
use hubbub::wire::v1::{gap, join, presence};

use super::support::chatter::{Chatter, environment};
use super::support::talker::{End, Talker, after, hello, join, leave, message_id, post, post_message};
use super::support::{DEADLINE, ephemeral, start, start_with, target, wait_for_clients};

#[test]
fn all_members_get_each_message_once_in_the_same_order() {
    let server = start();
    let (environment, target) = (environment(), target(&server));
    let mut ann = Talker::join(&environment, &target, "ann", "garden");
    let mut bob = Talker::join(&environment, &target, "bob", "garden");
    let mut eve = Talker::join(&environment, &target, "eve", "cellar");
    ann.send((1..=100).map(|n| post("garden", n, &format!("ann {n}"))).collect());
    bob.send((1..=100).map(|n| post("garden", n, &format!("bob {n}"))).collect());
    let received: Vec<_> = (0..200).map(|_| ann.hear()).collect();
    assert_eq!((0..200).map(|_| bob.hear()).collect::<Vec<_>>(), received);
    assert_eq!(received.iter().map(|(seq, ..)| *seq).collect::<Vec<_>>(), (1..=200).collect::<Vec<_>>());
    for name in ["ann", "bob"] {
        let bodies: Vec<_> =
            received.iter().filter(|(_, sender, _)| sender == name).map(|(.., body)| body.clone()).collect();
        assert_eq!(bodies, (1..=100).map(|n| format!("{name} {n}")).collect::<Vec<_>>());
    }
    eve.post("cellar", 1, "nobody here");
    assert_eq!(eve.hear(), (1, "eve".to_owned(), "nobody here".to_owned()));
}

#[test]
fn one_stream_follows_many_rooms() {
    let server = start();
    let (environment, target) = (environment(), target(&server));
    let mut ann = Talker::hello(&environment, &target, "ann");
    let rooms: Vec<String> = (0..50).map(|n| format!("room-{n}")).collect();
    for room in &rooms {
        ann.join_room(room, None);
    }
    ann.send(rooms.iter().map(|room| post(room, 1, room)).collect());
    let mut received: Vec<_> = rooms.iter().map(|_| ann.hear()).map(|(seq, _, body)| (body, seq)).collect();
    received.sort();
    let mut expected: Vec<_> = rooms.iter().map(|room| (room.clone(), 1)).collect();
    expected.sort();
    assert_eq!(received, expected);
    // No event follows from a room that was left.
    ann.send(vec![leave("room-7"), post("room-7", 2, "lost"), post("room-8", 2, "received")]);
    assert!(matches!(ann.next().event, Some(Kind::Left(left)) if left.room == "room-7"));
    assert_eq!(ann.rejected().code.enum_value(), Ok(Code::CODE_NOT_JOINED));
    assert_eq!(ann.hear().2, "received");
}

#[test]
fn a_join_starts_at_the_requested_position() {
    let server = start();
    let (environment, target) = (environment(), target(&server));
    let mut ann = Talker::join(&environment, &target, "ann", "garden");
    for n in 1..=10 {
        ann.post("garden", n, &n.to_string());
    }
    (0..10).for_each(|_| drop(ann.hear()));
    let seqs = |from| {
        let mut reader = Talker::hello(&environment, &target, "reader");
        let (joined, history) = reader.join_room("garden", from);
        assert_eq!((joined.head_seq, joined.oldest_seq), (10, 1));
        assert!(history.iter().all(|event| matches!(event.event, Some(Kind::Message(_)))));
        (joined.epoch, history.iter().map(|event| event.seq).collect::<Vec<_>>())
    };
    assert_eq!(seqs(None).1, [0; 0]);
    assert_eq!(seqs(Some(join::From::Last(0))).1, [0; 0]);
    assert_eq!(seqs(Some(join::From::Last(3))).1, [8, 9, 10]);
    assert_eq!(seqs(Some(join::From::Last(99))).1, (1..=10).collect::<Vec<_>>());
    let (epoch, all) = seqs(after(0, 0));
    assert_eq!(all, (1..=10).collect::<Vec<_>>());
    assert_eq!(seqs(after(7, epoch)).1, [8, 9, 10]);
    assert_eq!(seqs(after(10, epoch)).1, [0; 0]);
}

#[test]
fn a_change_of_the_epoch_is_reported_with_the_replaced_messages() {
    let server = start();
    let (environment, target) = (environment(), target(&server));
    let mut ann = Talker::join(&environment, &target, "ann", "garden");
    ann.post("garden", 1, "hello");
    ann.hear();
    let mut reader = Talker::hello(&environment, &target, "reader");
    reader.send(vec![join("garden", after(5, 4711))]);
    assert!(matches!(reader.next().event, Some(Kind::Joined(_))));
    match reader.next().event {
        Some(Kind::Gap(gap)) => {
            assert_eq!(gap.reason.enum_value(), Ok(gap::Reason::REASON_EPOCH_CHANGED));
            assert_eq!((gap.from_seq, gap.to_seq), (1, 5));
        }
        other => panic!("expected a gap: {other:?}"),
    }
    assert_eq!(reader.hear().0, 1);
    assert!(matches!(reader.next().event, Some(Kind::CaughtUp(_))));
}

#[test]
fn a_repeated_post_is_stored_once() {
    let server = start();
    let (environment, target) = (environment(), target(&server));
    let mut ann = Talker::join(&environment, &target, "ann", "garden");
    ann.post("garden", 1, "once");
    assert_eq!(ann.hear().0, 1);
    ann.send(vec![post("garden", 1, "once"), post("garden", 2, "twice"), post("garden", 2, "twice")]);
    // A new message is its own acknowledgement; the others are acknowledged by `Posted`.
    let (mut received, mut posted) = (Vec::new(), Vec::new());
    while received.len() + posted.len() < 3 {
        let event = ann.next();
        match event.event {
            Some(Kind::Message(message)) => received.push((event.seq, message.body)),
            Some(Kind::Posted(again)) => posted.push((again.message_id, again.message_seq)),
            other => panic!("expected a message: {other:?}"),
        }
    }
    assert_eq!(received, [(2, "twice".to_owned())]);
    assert_eq!(posted, [(message_id(1), 1), (message_id(2), 2)]);
    // The same id of another sender is another message.
    let mut bob = Talker::join(&environment, &target, "bob", "garden");
    bob.post("garden", 1, "mine");
    assert_eq!(bob.hear().0, 3);
}

/// Clients of the tutorial's contract and of `hubbub.v1` share one room.
#[test]
fn both_contracts_share_the_lobby() {
    let server = start();
    let (environment, target) = (environment(), target(&server));
    let mut old = Chatter::join(&environment, &target, "old");
    let mut older = Chatter::join(&environment, &target, "older");
    wait_for_clients(&server, 2);
    let mut new = Talker::join(&environment, &target, "new", "lobby");
    let mut expected = Vec::new();
    for n in 0..20 {
        new.post("lobby", n + 1, &format!("new {n}"));
        assert_eq!(old.hear(), format!("new {n}"));
        assert_eq!(new.hear().2, format!("new {n}"));
        old.say(&format!("old {n}"));
        assert_eq!(new.hear(), (2 * n as u64 + 2, "old".to_owned(), format!("old {n}")));
        expected.extend([format!("new {n}"), format!("old {n}")]);
    }
    assert_eq!(expected.iter().map(|_| older.hear()).collect::<Vec<_>>(), expected);
    // Messages of the tutorial's clients are in the history.
    let mut late = Talker::hello(&environment, &target, "late");
    let (_, history) = late.join_room("lobby", after(0, 0));
    assert_eq!(history.len(), 40);
}

#[test]
fn joins_and_leaves_are_announced() {
    let server = start();
    let (environment, target) = (environment(), target(&server));
    let mut ann = Talker::join(&environment, &target, "ann", "garden");
    let mut expect = |name: &str, change| match ann.next().event {
        Some(Kind::Presence(presence)) => {
            assert_eq!((presence.name.as_str(), presence.change.enum_value()), (name, Ok(change)));
        }
        other => panic!("expected a presence event: {other:?}"),
    };
    let mut bob = Talker::join(&environment, &target, "bob", "garden");
    expect("bob", presence::Change::CHANGE_JOINED);
    bob.send(vec![leave("garden")]);
    expect("bob", presence::Change::CHANGE_LEFT);
    let eve = Talker::join(&environment, &target, "eve", "garden");
    expect("eve", presence::Change::CHANGE_JOINED);
    drop(eve);
    expect("eve", presence::Change::CHANGE_LEFT);
}

/// With the maximum number of waiting presence events, none of them is dropped.
#[test]
fn a_client_that_leaves_many_rooms_is_announced_in_each() {
    const ROOMS: usize = PRESENCES_MAX;
    let server = start();
    let (environment, target) = (environment(), target(&server));
    let rooms: Vec<String> = (0..ROOMS).map(|number| format!("room-{number}")).collect();
    let mut ann = Talker::hello(&environment, &target, "ann");
    let mut bob = Talker::hello(&environment, &target, "bob");
    for room in &rooms {
        ann.join_room(room, None);
    }
    let mut announced = |change| {
        let mut rooms = HashSet::new();
        while rooms.len() < ROOMS {
            let event = ann.next();
            match event.event {
                Some(Kind::Presence(presence)) => {
                    assert_eq!(presence.change.enum_value(), Ok(change));
                    assert!(rooms.insert(event.room_id), "bob is announced twice");
                }
                other => panic!("expected a presence event: {other:?}"),
            }
        }
    };
    for room in &rooms {
        bob.join_room(room, None);
    }
    announced(presence::Change::CHANGE_JOINED);
    drop(bob);
    announced(presence::Change::CHANGE_LEFT);
}

#[test]
fn a_rejected_command_does_not_affect_others() {
    let server = start();
    let (environment, target) = (environment(), target(&server));
    let mut ann = Talker::join(&environment, &target, "ann", "garden");
    let mut zero = post("garden", 9, "x");
    zero.mut_post().message_id = vec![0; 16];
    let mut short = post("garden", 9, "x");
    short.mut_post().message_id = vec![1; 5];
    for (command, code, says) in [
        (join("", None), Code::CODE_INVALID, "the room's name is empty"),
        (join("a b", None), Code::CODE_INVALID, "' '"),
        (join("garden", None), Code::CODE_ALREADY_JOINED, "leave it first"),
        (leave("cellar"), Code::CODE_NOT_JOINED, "join it first"),
        (post("cellar", 1, "x"), Code::CODE_NOT_JOINED, "join it first"),
        (post("garden", 1, " "), Code::CODE_INVALID, "the body is empty"),
        (zero, Code::CODE_INVALID, "four zero bytes"),
        (short, Code::CODE_INVALID, "16"),
        (Default::default(), Code::CODE_UNKNOWN, "older than your client"),
    ] {
        ann.send(vec![command]);
        let rejected = ann.rejected();
        assert_eq!(rejected.code.enum_value(), Ok(code), "{rejected:?}");
        assert!(rejected.reason.contains(says), "{rejected:?}");
        assert_eq!(rejected.retry_after_ms, 0);
    }
    ann.post("garden", 1, "fine");
    assert_eq!(ann.hear().2, "fine");
}

#[test]
fn a_client_that_does_not_begin_with_hello_is_disconnected() {
    let server = start();
    let (environment, target) = (environment(), target(&server));
    let ends = |commands| {
        let mut talker = Talker::connect(&environment, &target, "nobody");
        talker.send(commands);
        loop {
            match talker.next_within(Duration::from_secs(20)) {
                Some(Ok(_)) => {}
                Some(Err(End { code, .. })) => return code,
                None => panic!("the server did not end the stream"),
            }
        }
    };
    assert_eq!(ends(vec![join("garden", None)]), RpcStatusCode::FAILED_PRECONDITION);
    assert_eq!(ends(vec![hello("ann"), hello("ann")]), RpcStatusCode::FAILED_PRECONDITION);
    assert_eq!(ends(vec![hello(" ")]), RpcStatusCode::INVALID_ARGUMENT);
    let many = std::iter::once(hello("ann")).chain((0..COMMANDS_MAX).map(|_| leave("x"))).collect();
    assert_eq!(ends(many), RpcStatusCode::INVALID_ARGUMENT);
    let mut gone = Talker::connect(&environment, &target, "gone");
    gone.half_close();
    assert_eq!(gone.end().code, RpcStatusCode::FAILED_PRECONDITION);
    let mut silent = Talker::connect(&environment, &target, "silent");
    match silent.next_within(Duration::from_secs(20)) {
        Some(Err(end)) => assert_eq!(end.code, RpcStatusCode::DEADLINE_EXCEEDED),
        other => panic!("the server did not end the stream: {other:?}"),
    }
}

/// Unread answers are bounded: further commands wait.
#[test]
fn a_client_that_does_not_read_answers_is_slowed_and_gets_all_of_them() {
    let server = start();
    let (environment, target) = (environment(), target(&server));
    let mut ann = Talker::join(&environment, &target, "ann", "garden");
    // 40,000 rejections of about 100 bytes, far more than the windows of HTTP/2 hold.
    let sending = std::thread::scope(|scope| {
        let target = &target;
        let environment = &environment;
        scope
            .spawn(move || {
                let mut other = Talker::join(environment, target, "other", "garden");
                for round in 0..40 {
                    other.send((0..1000).map(|n| post("cellar", round * 1000 + n + 1, "x")).collect());
                }
                for n in 0..40_000 {
                    assert_eq!(other.rejected().message_id(), message_id(n + 1));
                }
            })
            .join()
    });
    assert!(sending.is_ok());
    ann.post("garden", 1, "fine");
    assert_eq!(ann.hear().2, "fine");
}

/// A client that sent commands and never read blocked its receive thread, which blocked the log writer, so that a drain
/// never ended.
#[test]
fn a_client_that_does_not_read_answers_does_not_delay_a_drain() {
    let config = ServerConfig { drain_timeout: Duration::from_millis(200), ..ephemeral() };
    let server = start_with(config);
    let (environment, target) = (environment(), target(&server));
    let mut ann = Talker::hello(&environment, &target, "ann");
    let (full, is_full) = std::sync::mpsc::channel();
    let sending = std::thread::spawn(move || {
        for round in 0..200 {
            ann.send((0..1000).map(|n| post("cellar", round * 1000 + n + 1, "x")).collect());
            let _ = full.send(());
        }
    });
    // When sending a request takes this long, the earlier ones wait until the answers are read.
    while is_full.recv_timeout(Duration::from_secs(1)).is_ok() {}
    let (done, drained) = std::sync::mpsc::channel();
    std::thread::spawn(move || done.send(server.drain()));
    assert!(drained.recv_timeout(DEADLINE).is_ok(), "the drain did not end");
    sending.join().unwrap();
}

/// The answer to an invalid name was six times as long as the name, and might never be read.
#[test]
fn the_answer_to_an_invalid_name_is_short() {
    let server = start();
    let mut ann = Talker::join(&environment(), &target(&server), "ann", "garden");
    let long = "\u{7f}".repeat(60_000);
    for command in [join(&long, None), leave(&long), post(&long, 1, "x")] {
        ann.send(vec![command]);
        let rejected = ann.rejected();
        assert!(rejected.reason.len() + rejected.room().len() < 1_000, "{} bytes", rejected.reason.len());
    }
}

#[test]
fn a_half_closed_stream_still_receives() {
    let server = start();
    let (environment, target) = (environment(), target(&server));
    let mut ann = Talker::join(&environment, &target, "ann", "garden");
    ann.half_close();
    let poster = Talker::connect(&environment, &target, "poster");
    assert_eq!(post_message(&poster.client, "garden", "bot", 1, "hello").unwrap().seq, 1);
    assert_eq!(ann.hear().2, "hello");
}

#[test]
fn a_drain_sends_goodbye() {
    let server = start();
    let (environment, target) = (environment(), target(&server));
    let mut ann = Talker::join(&environment, &target, "ann", "garden");
    server.drain();
    // The library's client may report the status before an event that came earlier.
    match ann.next_within(Duration::from_secs(20)) {
        Some(Ok(event)) => {
            assert!(matches!(event.event, Some(Kind::Goodbye(goodbye)) if goodbye.reconnect_after_ms > 0));
            assert_eq!(ann.end().code, RpcStatusCode::UNAVAILABLE);
        }
        Some(Err(end)) => assert_eq!(end.code, RpcStatusCode::UNAVAILABLE),
        None => panic!("the server sent no goodbye"),
    }
}
