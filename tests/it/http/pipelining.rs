//! Requests that a client sends before it has the answers to those before.

use std::collections::HashSet;
use std::io::Write as _;
use std::net::Shutdown;
use std::thread;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use tempfile::tempdir;

use super::client::Client;
use super::serve;
use crate::support::logins::token;

/// A call, with these fields besides those that every call has.
fn call(method: &str, request: &[u8], fields: &str) -> Vec<u8> {
    let head = format!(
        "POST /hubbub.v1.ChatService/{method} HTTP/1.1\nHost: localhost\nContent-Type: application/json\n\
         Content-Length: {}\n{fields}\n",
        request.len()
    );
    [head.replace('\n', "\r\n").as_bytes(), request].concat()
}

fn post(body: &str, fields: &str) -> Vec<u8> {
    call("PostMessage", json!({"room": "tea", "sender": "ann", "body": body}).to_string().as_bytes(), fields)
}

fn list() -> Vec<u8> {
    call("ListMessages", json!({"room": "tea"}).to_string().as_bytes(), "")
}

fn bodies(listed: &Value) -> Vec<String> {
    let events = listed["events"].as_array().expect("a list");
    events.iter().map(|event| event["message"]["body"].as_str().expect("a text").to_owned()).collect()
}

/// Posts these, all sent at once, and checks that the answers and the log have the order of the requests.
fn check_order(address: &str, count: usize, fields: impl Fn(usize) -> String) {
    let mut client = Client::connect(address);
    let all: Vec<_> = (1..=count).flat_map(|n| post(&n.to_string(), &fields(n))).collect();
    client.send(&all);
    let mut last = 0;
    for n in 1..=count {
        let response = client.response().expect("a response");
        assert_eq!(response.status, 200, "{n}: {response:?}");
        let seq: u64 = response.json()["seq"].as_str().and_then(|seq| seq.parse().ok()).expect("a seq");
        assert!(seq > last, "{n} has seq {seq} after {last}");
        last = seq;
    }
    let expected: Vec<_> = (1..=count).map(|n| n.to_string()).collect();
    client.send(&call("ListMessages", json!({"room": "tea"}).to_string().as_bytes(), &fields(0)));
    let listed = bodies(&client.response().expect("a response").json());
    assert!(!listed.is_empty() && expected.ends_with(&listed), "{listed:?}");
}

/// More than are answered together, and more than are received at once.
#[test]
fn posts_are_stored_and_answered_in_order() {
    let (_server, address) = serve(&[]);
    check_order(&address, 1_000, |_| String::new());
}

/// One commit has one time. Alone, each post would have a commit of its own, with an fsync.
#[test]
fn posts_that_came_together_are_committed_together() {
    let folder = tempdir().expect("a folder");
    let (_server, address) = serve(&["--data", folder.path().to_str().expect("a path of text")]);
    let mut client = Client::connect(&address);
    let posts: Vec<_> = (0..90).flat_map(|n| post(&n.to_string(), "")).collect();
    client.send(&posts);
    (0..90).for_each(|_| assert_eq!(client.response().expect("a response").status, 200));
    client.send(&call("ListMessages", json!({"room": "tea"}).to_string().as_bytes(), ""));
    let listed = client.response().expect("a response").json();
    let times: HashSet<_> = listed["events"].as_array().expect("a list").iter().map(|event| &event["timeMs"]).collect();
    // The input may come in a few pieces.
    assert!((1..=4).contains(&times.len()), "{} commits: {listed}", times.len());
}

/// Then each post passes a query thread before it gets to the log writer.
#[test]
fn the_order_holds_with_logins_and_limits() {
    let folder = tempdir().expect("a folder");
    let data = folder.path().to_str().expect("a path of text");
    let token = token(folder.path(), "ann", &[]);
    let (_server, address) = serve(&["--auth", "accounts", "--data", data]);
    check_order(&address, 200, |_| format!("Authorization: Bearer {token}\n"));
    let (_server, address) = serve(&["--limit-loopback", "--post-rate", "0"]);
    check_order(&address, 200, |_| String::new());
}

/// Bounded calls are awaited one by one, between others that are not.
#[test]
fn the_order_holds_with_bounded_calls_between() {
    let (_server, address) = serve(&[]);
    check_order(&address, 200, |n| if n % 3 == 0 { "Connect-Timeout-Ms: 30000\n".to_owned() } else { String::new() });
}

/// Each request has its own answer, and what is read later was stored before.
#[test]
fn other_requests_between_posts_have_their_places() {
    let (_server, address) = serve(&[]);
    let mut client = Client::connect(&address);
    let mut zip = GzEncoder::new(Vec::new(), Compression::default());
    zip.write_all(json!({"room": "tea", "sender": "ann", "body": "3"}).to_string().as_bytes()).expect("it compresses");
    let zipped = call("PostMessage", &zip.finish().expect("it compresses"), "Content-Encoding: gzip\n");
    let chunked = "POST /hubbub.v1.ChatService/PostMessage HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                   Transfer-Encoding: chunked\r\n\r\n28\r\n{\"room\":\"tea\",\"sender\":\"ann\",\"body\":\"4\"}\r\n0\r\n\r\n";
    let change = json!({"room": "tea", "sender": "ann", "messageSeq": 1, "body": "one"}).to_string();
    let requests: [(&[u8], u16); 14] = [
        (&post("1", ""), 200),
        (&post("2", ""), 200),
        (&list(), 200),
        (&zipped, 200),
        (chunked.as_bytes(), 200),
        (&call("PostMessage", b"{\"room\":", ""), 400),
        (&post("", ""), 400),
        (b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", 200),
        (&call("EditMessage", change.as_bytes(), ""), 200),
        (&post("5", ""), 200),
        (&post("6", "Connect-Timeout-Ms: 0\n"), 504),
        (&list(), 200),
        (&post("7", "Connection: close\n"), 200),
    ];
    // A request after the last one is not executed.
    let all: Vec<_> = requests.iter().flat_map(|(request, _)| request.to_vec()).chain(post("8", "")).collect();
    client.send(&all);
    let responses = requests.map(|(_, status)| {
        let response = client.response().expect("a response");
        assert_eq!(response.status, status, "{response:?}");
        response
    });
    assert!(client.is_closed());
    assert_eq!(bodies(&responses[2].json()), ["1", "2"]);
    let seqs: Vec<_> = [0, 1, 3, 4, 9, 10, 13].map(|n: usize| responses[n].json()["seq"].clone()).into();
    assert_eq!(seqs, ["1", "2", "3", "4", "5", "6", "7"]);
    let listed = Client::connect(&address).call("ListMessages", &json!({"room": "tea"})).json();
    let numbers: Vec<_> = listed["events"].as_array().expect("a list").iter().map(|event| &event["seq"]).collect();
    // The edit has a seq of its own, and shows in the message.
    assert_eq!(numbers, ["1", "2", "3", "4", "6", "7"], "{listed}");
}

/// A request that comes in pieces does not keep back the answers to those before it.
#[test]
fn answers_do_not_wait_for_half_a_request() {
    let (_server, address) = serve(&[]);
    let mut client = Client::connect(&address);
    let half = post("2", "");
    for cut in [10, half.len() - 5] {
        client.send(&[post("1", "").as_slice(), &half[..cut]].concat());
        assert_eq!(client.response().expect("a response").status, 200);
        client.send(&half[cut..]);
        assert_eq!(client.response().expect("a response").status, 200);
    }
}

/// A client that reads no answer is served until the answers fill its window.
#[test]
fn a_client_that_reads_no_answers_slows_nobody() {
    let (_server, address) = serve(&[]);
    let mut deaf = Client::connect(&address);
    deaf.stream.set_nonblocking(true).expect("it can be set");
    let request = post(&"x".repeat(100), "");
    let mut sent = 0;
    for _ in 0..200_000 {
        match deaf.stream.write(&request) {
            Ok(count) if count == request.len() => sent += 1,
            _ => break,
        }
    }
    assert!(sent > 100, "{sent} requests were sent");
    let mut other = Client::connect(&address);
    for _ in 0..20 {
        let posted = other.call("PostMessage", &json!({"room": "other", "sender": "bob", "body": "hi"}));
        assert_eq!(posted.status, 200);
    }
}

/// A drain answers what it has taken, and closes the connection.
#[test]
fn a_drain_amid_posts_loses_no_answer() {
    let folder = tempdir().expect("a folder");
    let data = folder.path().to_str().expect("a path of text");
    let (mut server, address) = serve(&["--data", data]);
    let mut client = Client::connect(&address);
    let mut sender = client.stream.try_clone().expect("it can be shared");
    // It ends when the connection is closed.
    let sending = thread::spawn(move || {
        (0..1_000_000).find(|n: &u32| sender.write_all(&post(&n.to_string(), "")).is_err());
    });
    let mut answered = 0;
    while answered < 200 {
        assert_eq!(client.response().expect("a response").status, 200);
        answered += 1;
    }
    server.signal(libc::SIGTERM);
    while let Some(response) = client.response() {
        // Those that came too late are told so.
        match response.status {
            200 => answered += 1,
            status => assert_eq!(status, 503, "{response:?}"),
        }
    }
    // The server reads no more, so a write could wait until the system gives the connection up.
    let _ = client.stream.shutdown(Shutdown::Both);
    assert!(server.wait().success());
    sending.join().expect("it does not panic");
    let (_server, address) = serve(&["--data", data]);
    let listed = Client::connect(&address).call("ListRooms", &json!({})).json();
    let stored: u64 = listed["rooms"][0]["headSeq"].as_str().and_then(|seq| seq.parse().ok()).expect("a seq");
    assert!(stored >= answered, "{answered} were answered, {stored} stored: {listed}");
}
