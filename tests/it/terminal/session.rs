//! The client library over `hubbub.v1`: it resumes, repeats posts, and reports events, with servers that fail.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hubbub::address::Address;
use hubbub::client::{
    CallError, Caller, Connector, Event, GapReason, Inlet, Line, PagePlace, Patience, Policy, Session, SessionError,
    Settings, StartAt, new_message_id,
};
use hubbub::names::{Body, Kind, RoomName, UserName};

use super::model::{Delivery, Model, Verdict};
use crate::support::{DEADLINE, start, target, wait_for};

/// A session that records its events.
struct Ann {
    session: Option<Session>,
    inlet: Inlet,
    events: Arc<Mutex<Vec<String>>>,
}

fn room() -> RoomName {
    RoomName::lobby()
}

fn settings(from: StartAt) -> Settings {
    Settings::new(UserName::new("ann").expect("a name"), room(), from)
}

fn patient(patience: Patience) -> Settings {
    Settings { patience, ..settings(StartAt::Head) }
}

impl Ann {
    fn join(model: &Model, from: StartAt) -> Self {
        Self::start(&model.target, settings(from))
    }

    fn start(target: &str, settings: Settings) -> Self {
        let events = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&events);
        let address: Address = target.parse().expect("an address");
        let session = Session::start(Connector::new(1), address, settings, move |event| {
            if let Some(line) = line(&event) {
                log.lock().expect("no thread panicked").push(line);
            }
            ControlFlow::Continue(())
        })
        .expect("the server is there");
        Self { inlet: session.inlet(), session: Some(session), events }
    }

    fn post(&self, body: &str) {
        self.inlet.post(&room(), Body::new(body).expect("a body"), Kind::Text).expect("the session is running");
    }

    fn events(&self) -> Vec<String> {
        self.events.lock().expect("no thread panicked").clone()
    }

    fn wait_for(&self, line: &str) {
        wait_for(&format!("{line:?} in {:?}", self.events()), || self.events().iter().any(|events| events == line));
    }

    fn finish(&mut self) -> Result<(), SessionError> {
        self.inlet.finish();
        self.end()
    }

    fn end(&mut self) -> Result<(), SessionError> {
        self.session.take().expect("it ends once").wait()
    }

    /// The messages that this session received, in order.
    fn messages(&self) -> Vec<String> {
        let events = self.events();
        events.iter().filter(|line| line.starts_with('#')).cloned().collect()
    }
}

fn line(event: &Event<'_>) -> Option<String> {
    Some(match event {
        Event::Message(message) => {
            let own = if message.own { " (own)" } else { "" };
            format!("#{} {}: {}{own}", message.seq, message.sender, message.body)
        }
        Event::Joined(joined) => format!("joined at {}", joined.head_seq),
        Event::State(room) => format!("state at {}: {} {:?}", room.head_seq, room.topic, room.pinned_seqs),
        Event::Changed { seq, change, .. } => format!("#{seq} {change:?}"),
        Event::Unknown { seq, .. } => format!("unknown event {seq}"),
        Event::CaughtUp { head_seq, .. } => format!("caught up at {head_seq}"),
        Event::Gap { gap, .. } => format!("gap {}-{} {:?}", gap.from_seq, gap.to_seq, gap.reason),
        Event::Stored { seq, .. } => format!("stored #{seq}"),
        Event::Rejected { line, reason } => format!("rejected {}: {reason}", line.body.as_str()),
        Event::Held { reason, .. } => format!("held: {reason}"),
        Event::Disconnected { kept, fault, .. } => {
            format!("disconnected, {kept} kept{}", if *fault { ": a fault" } else { "" })
        }
        Event::Reconnected => "reconnected".to_owned(),
        Event::Left { room } => format!("left {room}"),
        Event::NotJoined { room, reason } => format!("not joined {room}: {reason}"),
        Event::Presence { .. } | Event::Retrying { .. } | Event::Waiting { .. } | Event::Pause => return None,
    })
}

#[test]
fn history_live_and_own_messages_arrive_in_one_order() {
    let model = Model::start();
    (1..=5).for_each(|n| model.say("lobby", "bob", &n.to_string()));
    let mut ann = Ann::join(&model, StartAt::Last(2));
    ann.wait_for("caught up at 5");
    model.say("lobby", "bob", "six");
    ann.wait_for("#6 bob: six");
    ann.post("seven");
    ann.finish().expect("all is stored");
    let expected = ["joined at 5", "#4 bob: 4", "#5 bob: 5", "caught up at 5", "#6 bob: six", "#7 ann: seven (own)"];
    assert_eq!(ann.events(), expected);
}

/// The owner wants another connection: the lines on the old one are posted again, and stored once.
#[test]
fn a_session_connects_again_when_its_owner_wants() {
    let model = Model::start();
    let mut ann = Ann::join(&model, StartAt::Head);
    ann.wait_for("caught up at 0");
    ann.post("one");
    ann.inlet.reconnect();
    ann.wait_for("reconnected");
    ann.post("two");
    wait_for("both", || model.bodies("lobby").len() == 2);
    // Without a connection, the pause ends.
    model.world().is_down = true;
    model.break_streams();
    wait_for("a second loss", || ann.events().iter().filter(|line| line.starts_with("disconnected")).count() >= 2);
    model.world().is_down = false;
    ann.inlet.reconnect();
    ann.post("three");
    ann.finish().expect("all is stored");
    assert_eq!(model.bodies("lobby"), ["one", "two", "three"]);
}

#[test]
fn lost_connections_lose_and_repeat_nothing() {
    let model = Model::start();
    // Of each hundred posts, one is stored without an acknowledgement, and one is not stored.
    let mut posts = 0;
    model.world().judge = Box::new(move |_| {
        posts += 1;
        match posts % 100 {
            30 => Verdict::StoreAndBreak,
            60 => Verdict::Break,
            _ => Verdict::Store,
        }
    });
    let mut ann = Ann::join(&model, StartAt::Head);
    let mut bob =
        Ann::start(&model.target, Settings { name: UserName::new("bob").expect("a name"), ..settings(StartAt::Head) });
    bob.wait_for("caught up at 0");
    for n in 1..=400 {
        ann.post(&n.to_string());
    }
    ann.finish().expect("all is stored");
    let numbers: Vec<_> = (1..=400).map(|n| n.to_string()).collect();
    assert_eq!(model.bodies("lobby"), numbers);
    assert_eq!(ann.messages(), (1..=400).map(|n| format!("#{n} ann: {n} (own)")).collect::<Vec<_>>());
    bob.wait_for("#400 ann: 400");
    assert_eq!(bob.messages(), (1..=400).map(|n| format!("#{n} ann: {n}")).collect::<Vec<_>>());
    assert!(ann.events().iter().filter(|line| *line == "reconnected").count() >= 4, "{:?}", ann.events());
    bob.finish().expect("nothing is unacknowledged");
}

#[test]
fn after_a_wrong_order_the_client_reconnects_and_resumes() {
    for wrong in [Delivery::Never, Delivery::Twice, Delivery::Late] {
        let model = Model::start();
        let mut once = Some(wrong);
        model.world().deliver = Box::new(move |_, event| match event.seq {
            3 => once.take().unwrap_or(Delivery::Once),
            _ => Delivery::Once,
        });
        let mut ann = Ann::join(&model, StartAt::Head);
        ann.wait_for("caught up at 0");
        (1..=6).for_each(|n| model.say("lobby", "bob", &n.to_string()));
        ann.wait_for("#6 bob: 6");
        assert_eq!(ann.messages(), (1..=6).map(|n| format!("#{n} bob: {n}")).collect::<Vec<_>>(), "{wrong:?}");
        assert_eq!(ann.events().iter().filter(|line| *line == "reconnected").count(), 1, "{wrong:?}");
        assert!(ann.events().contains(&"disconnected, 0 kept: a fault".to_owned()), "{wrong:?}");
        ann.finish().expect("nothing is unacknowledged");
    }
}

/// A regression: a newer server may have other events than messages in its log. After such an event at seq 2, a client
/// always failed with "message 3 instead of 2".
#[test]
fn an_event_of_an_unknown_kind_counts_as_seen() {
    let model = Model::start();
    (1..=4).for_each(|n| model.say("lobby", "bob", &n.to_string()));
    model.make_unknown("lobby", 2);
    model.make_unknown("lobby", 4);
    let mut ann = Ann::join(&model, StartAt::After { seq: 0, epoch: None });
    ann.wait_for("caught up at 4");
    model.break_streams();
    ann.wait_for("reconnected");
    model.say("lobby", "bob", "5");
    ann.wait_for("#5 bob: 5");
    assert_eq!(ann.messages(), ["#1 bob: 1", "#3 bob: 3", "#5 bob: 5"]);
    assert!(!ann.events().iter().any(|line| line.contains("a fault")), "{:?}", ann.events());
    ann.finish().expect("nothing is unacknowledged");
}

#[test]
fn trimmed_messages_are_a_gap_and_the_room_continues() {
    let model = Model::start();
    let mut ann = Ann::join(&model, StartAt::Head);
    ann.wait_for("caught up at 0");
    model.say("lobby", "bob", "one");
    ann.wait_for("#1 bob: one");
    {
        let mut world = model.world();
        // The session reconnects after the posts and the trim below.
        world.goodbye_ms = Some(300);
    }
    model.break_streams();
    (2..=9).for_each(|n| model.say("lobby", "bob", &n.to_string()));
    model.trim("lobby", 6);
    ann.wait_for("#9 bob: 9");
    let events = ann.events();
    let resumed = events.iter().skip_while(|line| *line != "reconnected").collect::<Vec<_>>();
    let gap = format!("gap 2-6 {:?}", GapReason::Retention);
    assert_eq!(
        resumed[1..],
        ["joined at 9", &gap, "#7 bob: 7", "#8 bob: 8", "#9 bob: 9", "caught up at 9"][..resumed.len() - 1]
    );
    ann.finish().expect("nothing is unacknowledged");
}

/// Events that changed the topic or the pins may be in a gap.
#[test]
fn the_state_of_a_room_is_told_again_after_a_gap() {
    let model = Model::start();
    model.say("lobby", "bob", "one");
    let mut ann = Ann::join(&model, StartAt::Head);
    ann.wait_for("caught up at 1");
    model.tell_state("lobby", "tea", &[1]);
    ann.wait_for("state at 1: tea [1]");
    model.say("lobby", "bob", "two");
    ann.wait_for("#2 bob: two");
    ann.post("three");
    ann.finish().expect("all is stored");
    assert!(!ann.events().iter().any(|line| line.contains("a fault")), "{:?}", ann.events());
}

#[test]
fn lost_history_is_a_gap_and_its_replacement_is_read() {
    let model = Model::start();
    let mut ann = Ann::join(&model, StartAt::Head);
    ann.wait_for("caught up at 0");
    (1..=5).for_each(|n| model.say("lobby", "bob", &n.to_string()));
    ann.wait_for("#5 bob: 5");
    model.lose_history("lobby", 3);
    model.say("lobby", "bob", "other");
    ann.wait_for("#4 bob: other");
    assert!(ann.events().contains(&format!("gap 4-5 {:?}", GapReason::EpochChanged)), "{:?}", ann.events());
    // The new epoch is kept: the next reconnection reports no gap.
    model.break_streams();
    model.say("lobby", "bob", "last");
    ann.wait_for("#5 bob: last");
    assert_eq!(ann.events().iter().filter(|line| line.starts_with("gap")).count(), 1);
    ann.finish().expect("nothing is unacknowledged");
}

#[test]
fn temporarily_rejected_lines_are_posted_again() {
    let model = Model::start();
    let mut refusals = 3;
    model.world().judge = Box::new(move |_| {
        if refusals > 0 {
            refusals -= 1;
            return Verdict::Reject { reason: "the disk is full", retry_after_ms: 50 };
        }
        Verdict::Store
    });
    let mut ann = Ann::join(&model, StartAt::Head);
    for n in 1..=20 {
        ann.post(&n.to_string());
    }
    ann.finish().expect("all is stored in the end");
    // Each is stored once. The order of those stored while others were rejected depends on the server.
    let mut bodies: Vec<u32> = model.bodies("lobby").iter().map(|body| body.parse().expect("a number")).collect();
    assert!(ann.events().contains(&"held: the disk is full".to_owned()));
    bodies.sort_unstable();
    assert_eq!(bodies, (1..=20).collect::<Vec<_>>());
}

#[test]
fn a_permanently_rejected_line_is_reported() {
    let model = Model::start();
    model.world().judge = Box::new(|post| match post.body.as_str() {
        "2" => Verdict::Reject { reason: "not that", retry_after_ms: 0 },
        _ => Verdict::Store,
    });
    let mut ann = Ann::join(&model, StartAt::Head);
    ["1", "2", "3"].iter().for_each(|body| ann.post(body));
    ann.finish().expect("nothing is left");
    assert_eq!(model.bodies("lobby"), ["1", "3"]);
    assert!(ann.events().contains(&"rejected 2: not that".to_owned()), "{:?}", ann.events());
}

#[test]
fn unacknowledged_lines_are_counted() {
    let model = Model::start();
    model.world().judge = Box::new(|_| Verdict::Reject { reason: "the disk is full", retry_after_ms: 60_000 });
    let settings = patient(Patience { finish_timeout: Duration::from_millis(200), ..Patience::default() });
    let mut ann = Ann::start(&model.target, settings);
    ann.post("one");
    ann.post("two");
    ann.wait_for("held: the disk is full");
    let error = ann.finish().expect_err("nothing is stored").to_string();
    assert_eq!(error, "perhaps not stored: 2 lines, because the server can't store messages: the disk is full");
}

#[test]
fn a_goodbye_sets_the_pause() {
    let model = Model::start();
    let mut ann = Ann::join(&model, StartAt::Head);
    ann.wait_for("caught up at 0");
    model.world().goodbye_ms = Some(1_500);
    let since = Instant::now();
    model.break_streams();
    ann.wait_for("reconnected");
    assert!(since.elapsed() >= Duration::from_millis(1_500));
    ann.finish().expect("nothing is unacknowledged");
}

/// A regression: only a connection with messages reset the pauses. With a server that was killed often, clients that
/// waited for a disconnected one got no messages, so their pauses grew until the clients were never connected at the
/// same time.
#[test]
fn a_connection_without_messages_resets_the_pause() {
    let model = Model::start();
    let pauses = Arc::new(Mutex::new(Vec::new()));
    let (events, caught_up) = (Arc::clone(&pauses), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&caught_up);
    let address: Address = model.target.parse().expect("an address");
    let session = Session::start(Connector::new(1), address, settings(StartAt::Head), move |event| {
        match event {
            Event::Retrying { pause, .. } => events.lock().expect("no thread panicked").push(pause),
            Event::CaughtUp { .. } => drop(counted.fetch_add(1, Ordering::SeqCst)),
            _ => {}
        }
        ControlFlow::Continue(())
    })
    .expect("the server is there");
    for breaks in 1..=6 {
        wait_for("the room", || caught_up.load(Ordering::SeqCst) == breaks);
        model.break_streams();
    }
    wait_for("the room", || caught_up.load(Ordering::SeqCst) == 7);
    drop(session);
    let pauses = pauses.lock().expect("no thread panicked");
    assert!(pauses.len() == 6 && pauses.iter().all(|pause| *pause <= Duration::from_millis(300)), "{pauses:?}");
}

#[test]
fn an_outage_is_limited() {
    let model = Model::start();
    let settings = patient(Patience { outage_max: Some(Duration::from_millis(700)), ..Patience::default() });
    let mut ann = Ann::start(&model.target, settings);
    ann.wait_for("caught up at 0");
    drop(model);
    ann.post("anybody there?");
    let since = Instant::now();
    let error = ann.end().expect_err("nobody is there").to_string();
    assert!(since.elapsed() < DEADLINE);
    assert!(error.starts_with("no connection for 700ms (") && error.ends_with("the last 1 line you sent"), "{error}");
}

#[test]
fn without_reconnecting_a_lost_connection_is_a_failure() {
    let model = Model::start();
    let mut ann = Ann::start(&model.target, patient(Patience { policy: Policy::Fail, ..Patience::default() }));
    ann.wait_for("caught up at 0");
    model.break_streams();
    assert_eq!(ann.end().expect_err("it is broken").to_string(), "the model breaks");
}

#[test]
fn many_rooms_are_read_and_resumed_on_one_stream() {
    let model = Model::start();
    let names: Vec<_> = (0..120).map(|n| RoomName::new(&format!("room-{n}")).expect("a name")).collect();
    let rooms = names.iter().map(|name| (name.clone(), StartAt::Head)).collect();
    let mut ann = Ann::start(&model.target, Settings { rooms, ..settings(StartAt::Head) });
    let post = |text: &str| {
        for name in &names {
            let body = Body::new(format!("{text} {name}")).expect("a body");
            ann.inlet.post(name, body, Kind::Text).expect("the session is running");
        }
    };
    post("one");
    wait_for("every room's echo", || ann.messages().len() == 120);
    model.break_streams();
    post("two");
    ann.finish().expect("all is stored");
    for name in &names {
        assert_eq!(model.bodies(name.as_str()), [format!("one {name}"), format!("two {name}")]);
    }
    assert_eq!(ann.messages().len(), 240);
}

#[test]
fn waiting_lines_are_sent_in_few_requests() {
    let model = Model::start();
    let mut ann = Ann::join(&model, StartAt::Head);
    ann.wait_for("caught up at 0");
    {
        // While the model is locked, lines accumulate.
        let _held = model.world();
        for n in 0..1_000 {
            ann.post(&n.to_string());
        }
    }
    ann.finish().expect("all is stored");
    assert_eq!(model.bodies("lobby").len(), 1_000);
    let world = model.world();
    assert!(
        world.requests.len() < 100 && world.requests.iter().all(|&commands| commands <= 1_024),
        "{:?}",
        world.requests
    );
}

#[test]
fn a_server_of_the_tutorials_contract_is_refused() {
    let refuser = super::Refuser::start(grpcio::RpcStatus::new(grpcio::RpcStatusCode::OK));
    let mut ann = Ann::start(&refuser.target, settings(StartAt::Head));
    let error = ann.end().expect_err("it does not speak hubbub.v1").to_string();
    assert!(error.contains("does not speak hubbub.v1") && error.contains("--contract tutorial"), "{error}");
}

#[test]
fn a_repeated_post_is_stored_once() {
    let model = Model::start();
    let mut attempts = 0;
    model.world().judge = Box::new(move |_| {
        attempts += 1;
        if attempts == 1 { Verdict::StoreAndBreak } else { Verdict::Store }
    });
    let address: Address = model.target.parse().expect("an address");
    let mut caller = Caller::connect(Connector::new(1), address, DEADLINE).expect("the server is there");
    let (ann, body) = (UserName::new("ann").expect("a name"), Body::new("once").expect("a body"));
    let posted = caller.post(&room(), &ann, &Line::new(new_message_id(), body, Kind::Text)).expect("it is stored");
    assert_eq!((posted.seq, posted.was_stored), (1, true));
    assert_eq!(model.bodies("lobby"), ["once"]);
    let page = caller.messages(&room(), PagePlace::After(0), 10).expect("there is a room");
    assert_eq!((page.messages[0].body.as_str(), page.head_seq), ("once", 1));
    let nowhere = RoomName::new("nowhere").expect("a name");
    let error = caller.messages(&nowhere, PagePlace::Newest, 10).expect_err("there is no such room");
    assert!(matches!(error, CallError::NotFound(_)) && error.to_string() == "there is no room nowhere", "{error}");
}

#[test]
fn an_unanswered_call_ends_at_its_deadline() {
    let server = start();
    let address: Address = target(&server).parse().expect("an address");
    let mut caller = Caller::connect(Connector::new(1), address, Duration::from_millis(600)).expect("it is there");
    drop(server);
    let since = Instant::now();
    let error = caller.rooms("").expect_err("nobody is there");
    assert!(matches!(error, CallError::TimedOut { .. }), "{error}");
    assert!(since.elapsed() < Duration::from_secs(10));
}
