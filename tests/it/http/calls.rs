//! Calls, as programs make them.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use hubbub::wire::v1;
use protobuf::Message as _;
use serde_json::json;

use super::client::Client;
use super::serve;
use crate::support::process::ServerProcess;
use crate::support::wait_for;

/// The request that the documentation shows for curl.
#[test]
fn a_message_is_posted_and_read_with_json() {
    let (_server, address) = serve(&[]);
    let mut client = Client::connect(&address);
    let posted = client.call("PostMessage", &json!({"room": "tea", "sender": "ann", "body": "hi \u{1f600}"}));
    assert_eq!((posted.status, &posted.json()["seq"]), (200, &json!("1")), "{posted:?}");
    assert_eq!(posted.field("content-type"), Some("application/json"));
    for name in ["date", "x-content-type-options", "referrer-policy", "cross-origin-resource-policy", "cache-control"] {
        assert!(posted.field(name).is_some(), "{name}: {posted:?}");
    }
    let listed = client.call("ListMessages", &json!({"room": "tea"})).json();
    let message = &listed["events"][0]["message"];
    assert_eq!((&message["sender"], &message["body"]), (&json!("ann"), &json!("hi \u{1f600}")), "{listed}");
    // The same with GET.
    let got = client.ask(
        "GET /hubbub.v1.ChatService/ListMessages?encoding=json&connect=v1&message=%7B%22room%22:%22tea%22%7D HTTP/1.1\n\
         Host: localhost\n\n",
    );
    assert_eq!((got.status, got.json()), (200, listed));
    let changed =
        client.call("EditMessage", &json!({"room": "tea", "sender": "ann", "messageSeq": 1, "body": "hello"}));
    assert_eq!(changed.json(), json!({"seq": "2"}));
    let missing = client.call("ListMessages", &json!({"room": "nowhere"}));
    assert_eq!((missing.status, &missing.json()["code"]), (404, &json!("not_found")));
}

#[test]
fn protobuf_compression_and_chunks_are_understood() {
    let (_server, address) = serve(&[]);
    let mut client = Client::connect(&address);
    let request = v1::PostMessageRequest {
        room: "tea".to_owned(),
        sender: "ann".to_owned(),
        body: "hi".repeat(100),
        ..Default::default()
    };
    let bytes = request.write_to_bytes().expect("it can be encoded");
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&bytes).expect("it can be compressed");
    let zipped = encoder.finish().expect("it can be compressed");
    for (number, (body, encoding)) in [(&bytes, ""), (&zipped, "Content-Encoding: gzip\n")].into_iter().enumerate() {
        let head = format!(
            "POST /hubbub.v1.ChatService/PostMessage HTTP/1.1\nHost: [::1]:5080\nContent-Type: application/proto\n\
             Transfer-Encoding: chunked\nExpect: 100-continue\nConnect-Protocol-Version: 1\n{encoding}\n"
        );
        assert_eq!(client.ask(&head).status, 100);
        for chunk in body.chunks(7) {
            client.send(format!("{:x}\r\n", chunk.len()).as_bytes());
            client.send(chunk);
            client.send(b"\r\n");
        }
        client.send(b"0\r\n\r\n");
        let response = client.response().expect("a response");
        assert_eq!((response.status, response.field("content-type")), (200, Some("application/proto")));
        let response = v1::PostMessageResponse::parse_from_bytes(&response.body).expect("a message of the contract");
        assert_eq!(response.seq, number as u64 + 1);
    }
}

/// `Connection` and HTTP/1.0 decide whether a connection stays; HEAD gets no body.
#[test]
fn connections_are_kept_or_closed_as_asked() {
    let (_server, address) = serve(&[]);
    let ask = |head: &str| {
        let mut client = Client::connect(&address);
        let response = client.ask(head);
        (response.status, response.text(), response.field("connection").map(str::to_owned), client)
    };
    let (status, body, connection, mut client) = ask("GET /healthz HTTP/1.1\nHost: localhost\n\n");
    assert_eq!((status, body.as_str(), connection.as_deref()), (200, "ok\n", Some("keep-alive")));
    assert_eq!(client.ask("GET /healthz HTTP/1.0\nConnection: keep-alive\n\n").status, 200);
    assert_eq!(client.ask("GET /healthz HTTP/1.0\n\n").field("connection"), Some("close"));
    assert!(client.is_closed());
    let (.., connection, mut client) = ask("GET /healthz HTTP/1.1\nHost: localhost\nConnection: close\n\n");
    assert_eq!(connection.as_deref(), Some("close"));
    assert!(client.is_closed());
    let mut client = Client::connect(&address);
    client.send_text(
        "HEAD /healthz HTTP/1.1\nHost: localhost\n\nGET /healthz HTTP/1.1\nHost: localhost\nConnection: close\n\n",
    );
    let mut text = String::new();
    std::io::Read::read_to_string(&mut client.stream, &mut text).expect("two responses");
    assert_eq!((text.matches("HTTP/1.1 200 OK").count(), text.matches("\r\n\r\nok\n").count()), (2, 1), "{text}");
}

#[test]
fn a_client_may_bound_its_wait() {
    let (_server, address) = serve(&[]);
    let mut client = Client::connect(&address);
    let late = client.call_with("ListRooms", &json!({}), "Connect-Timeout-Ms: 0\n");
    assert_eq!((late.status, &late.json()["code"]), (504, &json!("deadline_exceeded")));
    assert_eq!(client.call_with("ListRooms", &json!({}), "Connect-Timeout-Ms: 60000\n").status, 200);
}

/// A drain answers what has come, and ends idle connections at once.
#[test]
fn a_drain_ends_idle_connections() {
    let (mut server, address) = serve(&[]);
    let mut idle: Vec<_> = (0..20).map(|_| Client::connect(&address)).collect();
    let mut used = Client::connect(&address);
    assert_eq!(used.call("ListRooms", &json!({})).status, 200);
    wait_for("a thread for each", || server.threads_named(&["http-"]) >= 21);
    server.signal(libc::SIGTERM);
    assert_eq!(server.wait().code(), Some(0));
    assert!(idle.iter_mut().chain([&mut used]).all(Client::is_closed));
    let log = server.rest_of_log().join("\n");
    assert!(!log.contains("did not end in time") && !log.contains("left behind"), "{log}");
}

/// Somebody starts a second server on the same machine.
#[test]
fn a_taken_default_address_does_not_prevent_a_start() {
    let taken = std::net::TcpListener::bind("127.0.0.1:5080");
    let mut server = crate::support::process::command();
    server.args(["--listen", "127.0.0.1:0", "--ephemeral"]).env_remove("HUBBUB_HTTP");
    let mut server = ServerProcess::spawn(server);
    let line = server.wait_for_log("HTTP");
    assert!(line.contains("5080 is taken") && line.contains("--http none"), "{line}");
    server.wait_for_listening();
    drop(taken);
    // An address that was given must be free.
    let (_server, address) = serve(&[]);
    let mut second = crate::support::process::command();
    second.args(["--listen", "127.0.0.1:0", "--ephemeral", "--http", &address]);
    let mut second = ServerProcess::spawn(second);
    assert!(!second.wait().success());
    assert!(second.rest_of_log().join("\n").contains("is taken"));
}
