//! The client library over `hubbub.v1`: what it keeps, resumes, posts again, and tells, against servers that break.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hubbub::address::Address;
use hubbub::client::{
    CallError, Caller, Connector, Event, GapReason, Inlet, PagePlace, Patience, Policy, Session, SessionError,
    Settings, StartAt, new_message_id,
};
use hubbub::names::{Body, Kind, RoomName, UserName};

use super::model::{Delivery, Model, Verdict};
use crate::support::{DEADLINE, start, target, wait_for};

/// A session that writes down what happens.
struct Ann {
    session: Option<Session>,
    inlet: Inlet,
    told: Arc<Mutex<Vec<String>>>,
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
        let told = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&told);
        let address: Address = target.parse().expect("an address");
        let session = Session::start(Connector::new(1), address, settings, move |event| {
            if let Some(line) = line(&event) {
                log.lock().expect("nobody panics").push(line);
            }
            ControlFlow::Continue(())
        })
        .expect("the server is there");
        Self { inlet: session.inlet(), session: Some(session), told }
    }

    fn say(&self, body: &str) {
        self.inlet.post(&room(), Body::new(body).expect("a body"), Kind::Text).expect("the session goes on");
    }

    fn told(&self) -> Vec<String> {
        self.told.lock().expect("nobody panics").clone()
    }

    fn wait_for(&self, line: &str) {
        wait_for(&format!("{line:?} in {:?}", self.told()), || self.told().iter().any(|told| told == line));
    }

    fn finish(&mut self) -> Result<(), SessionError> {
        self.inlet.finish();
        self.end()
    }

    fn end(&mut self) -> Result<(), SessionError> {
        self.session.take().expect("it ends once").wait()
    }

    /// What was said, in order, as this session got it.
    fn heard(&self) -> Vec<String> {
        let told = self.told();
        told.iter().filter(|line| line.starts_with('#')).cloned().collect()
    }
}

fn line(event: &Event<'_>) -> Option<String> {
    Some(match event {
        Event::Message(message) => {
            let own = if message.own { " (own)" } else { "" };
            format!("#{} {}: {}{own}", message.seq, message.sender, message.body)
        }
        Event::Joined { head_seq, .. } => format!("joined at {head_seq}"),
        Event::Passed { seq, .. } => format!("passed {seq}"),
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
fn history_live_messages_and_echoes_come_in_one_order() {
    let model = Model::start();
    (1..=5).for_each(|n| model.say("lobby", "bob", &n.to_string()));
    let mut ann = Ann::join(&model, StartAt::Last(2));
    ann.wait_for("caught up at 5");
    model.say("lobby", "bob", "six");
    ann.wait_for("#6 bob: six");
    ann.say("seven");
    ann.finish().expect("all is stored");
    let expected = ["joined at 5", "#4 bob: 4", "#5 bob: 5", "caught up at 5", "#6 bob: six", "#7 ann: seven (own)"];
    assert_eq!(ann.told(), expected);
}

#[test]
fn a_broken_connection_loses_and_repeats_nothing() {
    let model = Model::start();
    // Each time one is stored without an echo, and later one is not stored at all.
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
        ann.say(&n.to_string());
    }
    ann.finish().expect("all is stored");
    let numbers: Vec<_> = (1..=400).map(|n| n.to_string()).collect();
    assert_eq!(model.bodies("lobby"), numbers);
    assert_eq!(ann.heard(), (1..=400).map(|n| format!("#{n} ann: {n} (own)")).collect::<Vec<_>>());
    bob.wait_for("#400 ann: 400");
    assert_eq!(bob.heard(), (1..=400).map(|n| format!("#{n} ann: {n}")).collect::<Vec<_>>());
    assert!(ann.told().iter().filter(|line| *line == "reconnected").count() >= 4, "{:?}", ann.told());
    bob.finish().expect("it has said nothing");
}

#[test]
fn a_server_that_breaks_the_order_is_left_and_resumed() {
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
        assert_eq!(ann.heard(), (1..=6).map(|n| format!("#{n} bob: {n}")).collect::<Vec<_>>(), "{wrong:?}");
        assert_eq!(ann.told().iter().filter(|line| *line == "reconnected").count(), 1, "{wrong:?}");
        assert!(ann.told().contains(&"disconnected, 0 kept: a fault".to_owned()), "{wrong:?}");
        ann.finish().expect("it has said nothing");
    }
}

/// A newer server may have other events than messages in its log. A client that met one at seq 2 failed with "message 3 came
/// where 2 was due", for ever.
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
    assert_eq!(ann.heard(), ["#1 bob: 1", "#3 bob: 3", "#5 bob: 5"]);
    assert!(!ann.told().iter().any(|line| line.contains("a fault")), "{:?}", ann.told());
    ann.finish().expect("it has said nothing");
}

#[test]
fn what_retention_took_is_told_and_the_room_goes_on() {
    let model = Model::start();
    let mut ann = Ann::join(&model, StartAt::Head);
    ann.wait_for("caught up at 0");
    model.say("lobby", "bob", "one");
    ann.wait_for("#1 bob: one");
    {
        let mut world = model.world();
        // Until the session has come back, nobody hears anything.
        world.goodbye_ms = Some(300);
    }
    model.break_streams();
    (2..=9).for_each(|n| model.say("lobby", "bob", &n.to_string()));
    model.trim("lobby", 6);
    ann.wait_for("#9 bob: 9");
    let told = ann.told();
    let resumed = told.iter().skip_while(|line| *line != "reconnected").collect::<Vec<_>>();
    let gap = format!("gap 2-6 {:?}", GapReason::Retention);
    assert_eq!(
        resumed[1..],
        ["joined at 9", &gap, "#7 bob: 7", "#8 bob: 8", "#9 bob: 9", "caught up at 9"][..resumed.len() - 1]
    );
    ann.finish().expect("it has said nothing");
}

#[test]
fn lost_history_is_told_and_what_came_in_its_place_is_read() {
    let model = Model::start();
    let mut ann = Ann::join(&model, StartAt::Head);
    ann.wait_for("caught up at 0");
    (1..=5).for_each(|n| model.say("lobby", "bob", &n.to_string()));
    ann.wait_for("#5 bob: 5");
    model.lose_history("lobby", 3);
    model.say("lobby", "bob", "other");
    ann.wait_for("#4 bob: other");
    assert!(ann.told().contains(&format!("gap 4-5 {:?}", GapReason::EpochChanged)), "{:?}", ann.told());
    // The new epoch is kept: the next break is an ordinary one.
    model.break_streams();
    model.say("lobby", "bob", "last");
    ann.wait_for("#5 bob: last");
    assert_eq!(ann.told().iter().filter(|line| line.starts_with("gap")).count(), 1);
    ann.finish().expect("it has said nothing");
}

#[test]
fn a_line_that_must_wait_is_posted_again_before_those_that_follow() {
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
        ann.say(&n.to_string());
    }
    ann.finish().expect("all is stored in the end");
    // All are there once; of those that the server took while it refused others, only the order is its own.
    let mut bodies: Vec<u32> = model.bodies("lobby").iter().map(|body| body.parse().expect("a number")).collect();
    assert!(ann.told().contains(&"held: the disk is full".to_owned()));
    bodies.sort_unstable();
    assert_eq!(bodies, (1..=20).collect::<Vec<_>>());
}

#[test]
fn a_line_that_is_refused_is_told_and_costs_only_itself() {
    let model = Model::start();
    model.world().judge = Box::new(|post| match post.body.as_str() {
        "2" => Verdict::Reject { reason: "not that", retry_after_ms: 0 },
        _ => Verdict::Store,
    });
    let mut ann = Ann::join(&model, StartAt::Head);
    ["1", "2", "3"].iter().for_each(|body| ann.say(body));
    ann.finish().expect("nothing is left");
    assert_eq!(model.bodies("lobby"), ["1", "3"]);
    assert!(ann.told().contains(&"rejected 2: not that".to_owned()), "{:?}", ann.told());
}

#[test]
fn lines_that_nobody_acknowledges_are_counted() {
    let model = Model::start();
    model.world().judge = Box::new(|_| Verdict::Reject { reason: "the disk is full", retry_after_ms: 60_000 });
    let settings = patient(Patience { finish_timeout: Duration::from_millis(200), ..Patience::default() });
    let mut ann = Ann::start(&model.target, settings);
    ann.say("one");
    ann.say("two");
    ann.wait_for("held: the disk is full");
    let error = ann.finish().expect_err("nothing is stored").to_string();
    assert_eq!(error, "perhaps not stored: 2 lines, because the server can't store messages: the disk is full");
}

#[test]
fn a_goodbye_says_when_to_come_back() {
    let model = Model::start();
    let mut ann = Ann::join(&model, StartAt::Head);
    ann.wait_for("caught up at 0");
    model.world().goodbye_ms = Some(1_500);
    let since = Instant::now();
    model.break_streams();
    ann.wait_for("reconnected");
    assert!(since.elapsed() >= Duration::from_millis(1_500));
    ann.finish().expect("it has said nothing");
}

/// A regression: only a connection that brought messages made the pauses small again. Where a server was killed often,
/// clients that waited for one who was away got none, waited longer and longer, and in the end nobody was ever there
/// together.
#[test]
fn a_connection_that_brought_no_message_makes_the_next_pause_no_longer() {
    let model = Model::start();
    let pauses = Arc::new(Mutex::new(Vec::new()));
    let (told, caught_up) = (Arc::clone(&pauses), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&caught_up);
    let address: Address = model.target.parse().expect("an address");
    let session = Session::start(Connector::new(1), address, settings(StartAt::Head), move |event| {
        match event {
            Event::Retrying { pause, .. } => told.lock().expect("nobody panics").push(pause),
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
    let pauses = pauses.lock().expect("nobody panics");
    assert!(pauses.len() == 6 && pauses.iter().all(|pause| *pause <= Duration::from_millis(300)), "{pauses:?}");
}

#[test]
fn an_outage_has_an_end() {
    let model = Model::start();
    let settings = patient(Patience { outage_max: Some(Duration::from_millis(700)), ..Patience::default() });
    let mut ann = Ann::start(&model.target, settings);
    ann.wait_for("caught up at 0");
    drop(model);
    ann.say("anybody there?");
    let since = Instant::now();
    let error = ann.end().expect_err("nobody is there").to_string();
    assert!(since.elapsed() < DEADLINE);
    assert!(error.starts_with("no connection for 700ms (") && error.ends_with("the last 1 line you sent"), "{error}");
}

#[test]
fn without_reconnecting_a_break_is_a_failure() {
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
    let say = |text: &str| {
        for name in &names {
            let body = Body::new(format!("{text} {name}")).expect("a body");
            ann.inlet.post(name, body, Kind::Text).expect("the session goes on");
        }
    };
    say("one");
    wait_for("every room's echo", || ann.heard().len() == 120);
    model.break_streams();
    say("two");
    ann.finish().expect("all is stored");
    for name in &names {
        assert_eq!(model.bodies(name.as_str()), [format!("one {name}"), format!("two {name}")]);
    }
    assert_eq!(ann.heard().len(), 240);
}

#[test]
fn what_waits_goes_up_in_one_request() {
    let model = Model::start();
    let mut ann = Ann::join(&model, StartAt::Head);
    ann.wait_for("caught up at 0");
    {
        // While the model is held up, lines gather.
        let _held = model.world();
        for n in 0..1_000 {
            ann.say(&n.to_string());
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
fn a_server_of_the_tutorials_contract_alone_is_told_apart() {
    let refuser = super::Refuser::start(grpcio::RpcStatus::new(grpcio::RpcStatusCode::OK));
    let mut ann = Ann::start(&refuser.target, settings(StartAt::Head));
    let error = ann.end().expect_err("it does not speak hubbub.v1").to_string();
    assert!(error.contains("does not speak hubbub.v1") && error.contains("--contract tutorial"), "{error}");
}

#[test]
fn a_post_that_is_repeated_is_stored_once() {
    let model = Model::start();
    let mut attempts = 0;
    model.world().judge = Box::new(move |_| {
        attempts += 1;
        if attempts == 1 { Verdict::StoreAndBreak } else { Verdict::Store }
    });
    let address: Address = model.target.parse().expect("an address");
    let mut caller = Caller::connect(Connector::new(1), address, DEADLINE).expect("the server is there");
    let (ann, body) = (UserName::new("ann").expect("a name"), Body::new("once").expect("a body"));
    let posted = caller.post(&room(), &ann, &new_message_id(), &body, Kind::Text).expect("it is stored");
    assert_eq!((posted.seq, posted.was_stored), (1, true));
    assert_eq!(model.bodies("lobby"), ["once"]);
    let page = caller.messages(&room(), PagePlace::After(0), 10).expect("there is a room");
    assert_eq!((page.messages[0].body.as_str(), page.head_seq), ("once", 1));
    let nowhere = RoomName::new("nowhere").expect("a name");
    let error = caller.messages(&nowhere, PagePlace::Newest, 10).expect_err("there is no such room");
    assert!(matches!(error, CallError::Refused(_)) && error.to_string() == "there is no room nowhere", "{error}");
}

#[test]
fn a_call_that_nobody_answers_ends_at_its_deadline() {
    let server = start();
    let address: Address = target(&server).parse().expect("an address");
    let mut caller = Caller::connect(Connector::new(1), address, Duration::from_millis(600)).expect("it is there");
    drop(server);
    let since = Instant::now();
    let error = caller.rooms("").expect_err("nobody is there");
    assert!(matches!(error, CallError::TimedOut { .. }), "{error}");
    assert!(since.elapsed() < Duration::from_secs(10));
}
