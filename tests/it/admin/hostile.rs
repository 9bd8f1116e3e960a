//! What attackers and mistaken programs send to the admin address.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use super::scrape::get;
use super::serve;
use crate::http::client::Client;
use crate::support::{DEADLINE, wait_for};

/// All that the server sends until it closes the connection.
fn raw(address: &str, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).expect("it accepts connections");
    stream.set_read_timeout(Some(DEADLINE)).expect("it can be set");
    // The server may have closed the connection already; then reading shows it.
    let _ = stream.write_all(request);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn only_harmless_requests_to_known_names_are_answered() {
    let (_server, admin) = serve(&["--admin-host", "Hubbub.internal"]);
    let ask = |request: &str| Client::connect(&admin).ask(request);
    for host in ["localhost", "127.0.0.1:9464", "[::1]:1", "hubbub.internal", "hubbub.internal:9464"] {
        assert_eq!(ask(&format!("GET /metrics HTTP/1.1\nHost: {host}\n\n")).status, 200, "{host}");
    }
    for host in ["evil.example", "localhost.evil.example", "hubbub.internal.evil.example", ""] {
        let refused = ask(&format!("GET /metrics HTTP/1.1\nHost: {host}\n\n"));
        assert_eq!(refused.status, 421, "{host}");
        assert!(refused.text().contains("--admin-host") && !refused.text().contains("hubbub_"), "{refused:?}");
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"] {
        let refused = ask(&format!("{method} /metrics HTTP/1.1\nHost: localhost\nContent-Length: 0\n\n"));
        assert_eq!((refused.status, refused.field("allow")), (405, Some("GET, HEAD")), "{method}");
    }
    for (request, status) in [
        ("GET /metrics HTTP/1.1\n\n", 400),
        ("GET /metrics HTTP/2.0\nHost: localhost\n\n", 505),
        ("hello\n\n", 400),
        ("GET /metrics HTTP/1.1\nHost: localhost\nHost: evil.example\n\n", 400),
    ] {
        assert_eq!(ask(request).status, status, "{request}");
    }
    let long = ask(&format!("GET /metrics HTTP/1.1\nHost: localhost\nA: {}\n\n", "b".repeat(20_000)));
    assert_eq!(long.status, 431);
}

#[test]
fn head_gets_the_head() {
    let (_server, admin) = serve(&[]);
    let answer = raw(&admin, b"HEAD /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
    assert!(answer.contains("content-length: 3\r\n"), "{answer}");
}

/// Further requests on a connection are not answered: a proxy that was fooled would take their answers for others.
#[test]
fn a_connection_has_one_request() {
    let (_server, admin) = serve(&[]);
    let answer =
        raw(&admin, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
}

/// Four threads answer, so a few connections that say nothing, or half a request, could keep every probe waiting, and a
/// supervisor would end the server.
#[test]
fn connections_that_say_nothing_delay_no_probe() {
    let (server, admin) = serve(&[]);
    let silent: Vec<_> = (0..12)
        .map(|number| {
            let mut stream = TcpStream::connect(&admin).expect("it accepts connections");
            if number % 2 == 0 {
                stream.write_all(b"GET /healthz HTTP/1.1\r\nHo").expect("it is sent");
            }
            stream
        })
        .collect();
    assert_eq!(get(&admin, "/healthz").status, 200);
    drop(silent);
    // Far more than may wait: those beyond are refused, and the address recovers.
    let many: Vec<_> = (0..200).filter_map(|_| TcpStream::connect(&admin).ok()).collect();
    wait_for("an answer", || {
        let answer = raw(&admin, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
        answer.starts_with("HTTP/1.1 200 OK\r\n")
    });
    drop(many);
    assert_eq!(server.threads_named(&["admin-"]), 5);
}

/// A server with clients that come and go is scraped all the time: neither disturbs the other.
#[test]
fn many_scrapes_at_once_are_answered() {
    let (server, admin) = serve(&[]);
    let environment = crate::support::chatter::environment();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..100 {
                    assert!(super::scrape::scrape(&admin)["hubbub_sessions"] <= 1.0);
                }
            });
        }
        for _ in 0..50 {
            let mut ann = crate::support::talker::Talker::join(&environment, server.target(), "ann", "tea");
            ann.post("tea", 0, "hello");
            ann.hear();
            drop(ann);
            wait_for("no client", || super::scrape::scrape(&admin)["hubbub_sessions"] == 0.0);
        }
    });
    let samples = super::scrape::scrape(&admin);
    let closed: f64 =
        samples.iter().filter(|(series, _)| series.starts_with("hubbub_sessions_closed_total")).map(|(_, n)| n).sum();
    assert_eq!((samples["hubbub_sessions_started_total"], closed), (50.0, 50.0));
}
