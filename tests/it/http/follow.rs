//! Streams: what followers get, over Connect and as Server-Sent Events, and what their number and slowness cost.

use std::fs;
use std::io::Write as _;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::client::Client;
use super::serve;
use super::stream::{Stream, envelope};
use crate::support::process::{ServerProcess, lasting_address};
use crate::support::wait_for;

fn post(address: &str, room: &str, body: &str) -> Value {
    let posted = Client::connect(address).call("PostMessage", &json!({"room": room, "sender": "ann", "body": body}));
    assert_eq!(posted.status, 200, "{posted:?}");
    posted.json()
}

#[test]
fn a_follower_gets_history_then_what_happens() {
    let (_server, address) = serve(&[]);
    post(&address, "tea", "one");
    post(&address, "tea", "two");
    let rooms = json!([{"room": "tea", "last": 1}, {"room": "new"}, {"room": ".bad"}]);
    let mut stream = Stream::follow(&address, &json!({"hello": {"name": "bob"}, "rooms": rooms}), "");
    for field in ["x-accel-buffering: no", "cache-control: no-store, no-transform", "application/connect+json"] {
        assert!(stream.head.contains(field), "{}", stream.head);
    }
    assert_eq!(stream.wait_for("welcome")["welcome"]["name"], json!("bob"));
    assert_eq!(stream.wait_for("rejected")["rejected"]["room"], json!(".bad"));
    let members = Client::connect(&address).call("ListMembers", &json!({"room": "tea"})).json();
    assert_eq!(members["members"][0]["name"], json!("bob"), "{members}");
    post(&address, "tea", "three");
    post(&address, "new", "four");
    assert_eq!(stream.bodies(3), ["two", "three", "four"]);
    // Another follower that says who it is; one that does not is not seen.
    let mut other = Stream::follow(&address, &json!({"rooms": [{"room": "tea"}]}), "");
    other.wait_for("caughtUp");
    let mut third = Stream::follow(&address, &json!({"hello": {"name": "cid"}, "rooms": [{"room": "tea"}]}), "");
    third.wait_for("caughtUp");
    assert_eq!(stream.wait_for("presence")["presence"]["name"], json!("cid"));
    drop(third);
    let left = other.wait_for("presence");
    assert_eq!((&left["presence"]["name"]), &json!("cid"), "{left}");
}

/// A browser comes back with the id of the last event that it has got.
#[test]
fn events_are_named_numbered_and_resumed() {
    let (_server, address) = serve(&[]);
    let next = |stream: &mut Stream| stream.event().expect("the stream goes on");
    let mut stream = Stream::events(&address, "t%C3%A9a/events", "");
    assert!(stream.head.contains("content-type: text/event-stream"), "{}", stream.head);
    let [welcome, joined, caught_up] = [(); 3].map(|()| next(&mut stream));
    assert_eq!((welcome.name.as_str(), caught_up.name.as_str()), ("welcome", "caught-up"));
    assert!(joined.name == "joined" && joined.id.ends_with("-0"), "{joined:?}");
    for body in ["one", "two", "three"] {
        post(&address, "téa", body);
    }
    // The first message gives the room its epoch.
    let joined = next(&mut stream);
    assert!(joined.name == "joined" && joined.id.ends_with("-0"), "{joined:?}");
    let [one, two, three] = [(); 3].map(|()| next(&mut stream));
    assert_eq!((one.name.as_str(), &one.data["message"]["body"]), ("", &json!("one")));
    let (epoch, seq) = two.id.split_once('-').expect("epoch and seq");
    assert_eq!((epoch.len(), seq, three.id), (16, "2", format!("{epoch}-3")));
    drop(stream);

    let resume = |target: &str, fields: &str| {
        let mut stream = Stream::events(&address, target, fields);
        let events: Vec<_> =
            std::iter::from_fn(|| stream.event()).take_while(|event| event.name != "caught-up").collect();
        let joined = events.iter().find(|event| event.name == "joined").expect("it joins").id.clone();
        let messages = events.iter().filter(|event| event.name.is_empty()).map(|event| event.id.clone());
        (joined, messages.collect::<Vec<_>>())
    };
    let id = |seq: u64| format!("{epoch}-{seq}");
    let last = |seq| format!("Last-Event-ID: {}\r\n", id(seq));
    assert_eq!(resume("t%C3%A9a/events", &last(1)), (id(1), vec![id(2), id(3)]));
    assert_eq!(resume("t%C3%A9a/events?last=1", ""), (id(2), vec![id(3)]));
    // What the browser has got is newer than the address.
    assert_eq!(resume(&format!("t%C3%A9a/events?after={}", id(0)), &last(2)), (id(2), vec![id(3)]));
    assert_eq!(resume(&format!("t%C3%A9a/events?after={}", id(1)), "Last-Event-ID:\r\n").1, [id(2), id(3)]);
    // Changes have names, so that `onmessage` gets messages only.
    let mut stream = Stream::events(&address, "t%C3%A9a/events", "");
    while next(&mut stream).name != "caught-up" {}
    let edited = Client::connect(&address)
        .call("EditMessage", &json!({"room": "téa", "sender": "ann", "messageSeq": 1, "body": "uno"}));
    assert_eq!(edited.status, 200, "{edited:?}");
    let event = next(&mut stream);
    assert_eq!((event.name.as_str(), event.id), ("edited", id(4)));
}

/// nginx asks so without further configuration.
#[test]
fn an_old_client_gets_a_response_that_ends_with_the_connection() {
    let (mut server, address) = serve(&[]);
    let request = b"GET /rooms/tea/events HTTP/1.0\r\nHost: localhost\r\n\r\n";
    let mut stream = Stream::open(&address, request);
    assert!(!stream.head.contains("chunked") && stream.head.contains("connection: close"), "{}", stream.head);
    while stream.event().expect("it goes on").name != "caught-up" {}
    post(&address, "tea", "hi");
    assert_eq!(stream.event().map(|event| event.name).as_deref(), Some("joined"));
    assert_eq!(stream.event().expect("a message").data["message"]["body"], json!("hi"));
    server.signal(libc::SIGTERM);
    let rest: Vec<_> = std::iter::from_fn(|| stream.event()).map(|event| event.name).collect();
    assert_eq!(rest, ["goodbye", "end"]);
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn a_drain_says_goodbye_after_the_last_message() {
    let (mut server, address) = serve(&[]);
    let mut streams: Vec<_> =
        (0..20).map(|_| Stream::follow(&address, &json!({"rooms": [{"room": "tea"}]}), "")).collect();
    for stream in &mut streams {
        stream.wait_for("caughtUp");
    }
    post(&address, "tea", "last");
    server.signal(libc::SIGTERM);
    for stream in &mut streams {
        assert_eq!(stream.bodies(1), ["last"]);
        let goodbye = stream.wait_for("goodbye");
        assert!(goodbye["goodbye"]["reason"].as_str().is_some_and(|reason| reason.contains("shutting down")));
        assert_eq!(stream.end()["error"]["code"], json!("unavailable"));
    }
    assert_eq!(server.wait().code(), Some(0));
    let log = server.rest_of_log().join("\n");
    assert!(!log.contains("did not end in time") && !log.contains("cancelled"), "{log}");
}

#[test]
fn what_is_wrong_with_a_stream_is_its_end() {
    let (_server, address) = serve(&[]);
    let ok = envelope(0, br#"{"rooms":[{"room":"tea"}]}"#);
    let many: Vec<_> = (0..1_001).map(|n| json!({ "room": format!("r{n}") })).collect();
    let many = envelope(0, json!({ "rooms": many }).to_string().as_bytes());
    let table: [(Vec<u8>, &str, &str); 11] = [
        (vec![], "unimplemented", "one"),
        (ok[..4].to_vec(), "unimplemented", "one"),
        (ok[..20].to_vec(), "unimplemented", "one"),
        ([ok.clone(), ok.clone()].concat(), "unimplemented", "more than one"),
        (envelope(1, b"{}"), "internal", "Connect-Content-Encoding"),
        (envelope(2, b"{}"), "invalid_argument", "flags"),
        (envelope(0, b"{"), "invalid_argument", "JSON"),
        (envelope(0, b"{}"), "invalid_argument", "0 rooms"),
        (many, "invalid_argument", "1001 rooms"),
        (envelope(0, br#"{"rooms":[{"room":"tea"}],"hello":{}}"#), "invalid_argument", "name"),
        (envelope(0, br#"{"rooms":[{"room":"tea"}],"hello":{"name":"a\u0000"}}"#), "invalid_argument", "name"),
    ];
    for (body, code, text) in table {
        let mut stream = Stream::follow_with(&address, &body, "Connection: close\r\n");
        assert!(stream.head.starts_with("HTTP/1.1 200 "), "{}", stream.head);
        let end = stream.end();
        let message = end["error"]["message"].as_str().unwrap_or_default();
        assert!(end["error"]["code"] == json!(code) && message.contains(text), "{body:?}: {end}");
    }
    let late = Stream::follow_with(&address, &ok, "Connect-Timeout-Ms: 100\r\n").end();
    assert_eq!(late["error"]["code"], json!("deadline_exceeded"));
    for (target, status) in [
        (".bad/events", 400),
        ("%zz/events", 400),
        ("tea/events?after=7", 400),
        ("tea/events?last=-1", 400),
        ("/events", 400),
    ] {
        let mut client = Client::connect(&address);
        assert_eq!(
            client.ask(&format!("GET /rooms/{target} HTTP/1.1\nHost: localhost\n\n")).status,
            status,
            "{target}"
        );
    }
    let mut client = Client::connect(&address);
    let other_site = "Host: localhost\nOrigin: https://evil.example\n";
    assert_eq!(client.ask(&format!("GET /rooms/tea/events HTTP/1.1\n{other_site}\n")).status, 403);
    assert_eq!(client.ask("POST /rooms/tea/events HTTP/1.1\nHost: localhost\n\n").status, 405);
    assert_eq!(client.ask("GET /hubbub.v1.ChatService/Follow HTTP/1.1\nHost: localhost\n\n").status, 405);
    let unary = client.call("Follow", &json!({}));
    assert_eq!((unary.status, unary.field("accept-post").is_some()), (415, true), "{unary:?}");
}

/// How many bytes the kernel has accepted from the server and not passed on, for the connection with this local port of the
/// client.
fn held_by_kernel(server_address: &str, client_port: u16) -> u64 {
    let port = |address: &str| u16::from_str_radix(address.rsplit(':').next()?, 16).ok();
    let server_port: u16 = server_address.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
    let table = fs::read_to_string("/proc/net/tcp").expect("the system has the table");
    let lines = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let found = lines
        .filter(|fields| fields.len() > 4)
        .find(|fields| port(fields[1]) == Some(server_port) && port(fields[2]) == Some(client_port));
    let queues = found.unwrap_or_else(|| panic!("{client_port} is not connected"))[4];
    u64::from_str_radix(queues.split(':').next().unwrap_or_default(), 16).expect("a size")
}

/// A reader that takes nothing for a while must not cost others anything, nor the kernel much; then it gets everything.
#[test]
fn a_stalled_reader_holds_little_and_loses_nothing() {
    const MESSAGES: usize = 3_000;
    let (server, address) = serve(&[]);
    let rooms = json!({"rooms": [{"room": "tea"}]});
    let [mut stalled, mut live] = [(); 2].map(|()| Stream::follow(&address, &rooms, ""));
    stalled.wait_for("caughtUp");
    live.wait_for("caughtUp");
    let before = server.rss_kib();
    let port = stalled.socket.local_addr().expect("it has one").port();
    let body = |n: usize| format!("{n} {}", "x".repeat(8_000));
    let sender = {
        let address = address.clone();
        thread::spawn(move || {
            let mut client = Client::connect(&address);
            for n in 0..MESSAGES {
                let request = json!({"room": "tea", "sender": "ann", "body": body(n)});
                assert_eq!(client.call("PostMessage", &request).status, 200);
            }
        })
    };
    let live: Vec<_> = live.bodies(MESSAGES);
    sender.join().expect("all are posted");
    // What the client's own kernel has accepted is not the server's.
    let held = held_by_kernel(&address, port);
    assert!(held < 128 * 1024, "{held} bytes");
    let grown = server.rss_kib().saturating_sub(before);
    // The log itself is in memory too.
    assert!(grown < MESSAGES * 8 + 24 * 1024, "{grown} KiB more");
    let late = stalled.bodies(MESSAGES);
    assert!(live == late && live.iter().enumerate().all(|(n, text)| *text == body(n)));
}

/// Streams that are silent need no thread and no time, and show each 20 s that they are alive.
#[test]
fn silent_streams_cost_no_thread_and_show_life() {
    let (server, address) = serve(&[]);
    post(&address, "tea", "hi");
    let rooms = json!({"rooms": [{"room": "tea", "last": 1}]});
    let mut streams: Vec<_> = (0..100).map(|_| Stream::follow(&address, &rooms, "")).collect();
    let mut events = Stream::events(&address, "tea/events", "");
    for stream in &mut streams {
        stream.wait_for("caughtUp");
    }
    while events.event().expect("it goes on").name != "caught-up" {}
    wait_for("no thread left", || server.threads_named(&["http-", "recv-", "send-"]) == 2);
    let began = Instant::now();
    let switches = server.voluntary_switches();
    for stream in &mut streams {
        assert_eq!(stream.envelope(), Some((0, json!({}))));
    }
    assert_eq!(events.event().expect("it goes on").name, "ping");
    assert!(began.elapsed() > Duration::from_secs(15), "{:?}", began.elapsed());
    // Threads that have ended meanwhile do not count.
    let switches = server.voluntary_switches().saturating_sub(switches);
    assert!(switches < 300, "{switches} wake-ups");
}

/// Clients that vanish in the middle of a frame leave nothing.
#[test]
fn vanished_followers_leave_nothing() {
    let (server, address) = serve(&[]);
    let follow = || Stream::follow(&address, &json!({"hello": {"name": "bob"}, "rooms": [{"room": "tea"}]}), "");
    let mut witness = follow();
    witness.wait_for("caughtUp");
    let sockets = server.sockets();
    for round in 0..10 {
        let mut streams: Vec<_> = (0..20).map(|_| follow()).collect();
        for stream in &mut streams {
            stream.wait_for("caughtUp");
        }
        for n in 0..20 {
            post(&address, "tea", &format!("{round} {n} {}", "x".repeat(10_000)));
        }
        // Unread data resets the connections.
        drop(streams);
    }
    let members = || Client::connect(&address).call("ListMembers", &json!({"room": "tea"})).json();
    wait_for("one member left", || members()["members"].as_array().is_some_and(|members| members.len() == 1));
    wait_for("no socket left", || server.sockets() <= sockets + 1);
    wait_for("no thread left", || server.threads_named(&["http-", "recv-", "send-"]) <= 4);
    assert_eq!(witness.bodies(200).len(), 200);
}

/// What a client sends during its stream has no meaning; one that goes on is ended.
#[test]
fn input_during_a_stream_is_discarded() {
    let (server, address) = serve(&[]);
    let before = server.sockets();
    let mut stream = Stream::follow(&address, &json!({"rooms": [{"room": "tea"}]}), "");
    stream.wait_for("caughtUp");
    stream.socket.write_all(&[b'x'; 60_000]).expect("it is taken");
    post(&address, "tea", "hi");
    assert_eq!(stream.bodies(1), ["hi"]);
    // Until the connection is reset.
    while stream.socket.write_all(&[b'x'; 10_000]).is_ok() {}
    wait_for("no socket left", || server.sockets() <= before);
}

/// A server that is killed and comes back gives each follower what it has not got, once.
#[test]
fn streams_resume_across_kills() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().to_str().expect("it is UTF-8");
    let address = lasting_address();
    let mut server = again(&address, data);
    let mut place = json!({"seq": "0"});
    let mut got = Vec::new();
    for round in 0..5 {
        let room = json!({"room": "tea", "after": place});
        let mut stream = Stream::follow(&address, &json!({ "rooms": [room] }), "");
        let epoch = stream.wait_for("joined")["joined"]["epoch"].clone();
        for n in 0..20 {
            post(&address, "tea", &format!("{round} {n}"));
        }
        // Some are read before the kill, the others after it.
        let read = 20 * round + 5 + 3 * round - got.len();
        got.extend(stream.bodies(read));
        place = json!({"seq": got.len().to_string(), "epoch": epoch});
        if round == 0 {
            // The first message gave the room its epoch.
            let listed = Client::connect(&address).call("ListRooms", &json!({})).json();
            place["epoch"] = listed["rooms"][0]["epoch"].clone();
        }
        server.signal(libc::SIGKILL);
        server.wait();
        server = again(&address, data);
    }
    let mut stream = Stream::follow(&address, &json!({"rooms": [{"room": "tea", "after": place}]}), "");
    got.extend(stream.bodies(100 - got.len()));
    let expected: Vec<_> = (0..5).flat_map(|round| (0..20).map(move |n| format!("{round} {n}"))).collect();
    assert_eq!(got, expected);
}

/// The server again, at the same address.
fn again(address: &str, data: &str) -> ServerProcess {
    let mut server = crate::support::process::command();
    server.args(["--listen", "127.0.0.1:0", "--http", address, "--data", data]);
    let mut server = ServerProcess::listening(server);
    server.wait_for_log("serving HTTP on ");
    server
}
