//! What attackers and mistaken people send: each gets the right answer, and the server goes on.

use std::io::Write as _;
use std::thread;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;

use super::client::Client;
use super::serve;
use crate::support::wait_for;

/// The beginning of a call.
fn call(fields: &str, body: &str) -> String {
    format!("POST /hubbub.v1.ChatService/ListRooms HTTP/1.1\nHost: localhost\n{fields}\n{body}")
}

const JSON: &str = "Content-Type: application/json\n";

#[test]
fn every_mistake_gets_its_answer() {
    let (_server, address) = serve(&[]);
    let json = |fields: &str, body: &str| call(&format!("{JSON}{fields}"), body);
    let deep = format!("{{\"x\":{}", "[".repeat(40_000));
    let sized = |body: &str| json(&format!("Content-Length: {}\n", body.len()), body);
    // The request, the status, what the text contains, and whether the connection is closed.
    let table: Vec<(String, u16, &str, bool)> = vec![
        ("GET /hubbub.v1.ChatService/Nothing HTTP/1.1\nHost: localhost\n\n".to_owned(), 404, "unimplemented", false),
        ("GET /x HTTP/1.1\nHost: localhost\n\n".to_owned(), 404, "curl --json", false),
        ("DELETE /hubbub.v1.ChatService/ListRooms HTTP/1.1\nHost: localhost\n\n".to_owned(), 405, "POST", false),
        ("GET /hubbub.v1.ChatService/PostMessage HTTP/1.1\nHost: localhost\n\n".to_owned(), 405, "POST", false),
        ("PUT /healthz HTTP/1.1\nHost: localhost\n\n".to_owned(), 405, "GET", false),
        (call("Content-Length: 2\nContent-Type: application/x-www-form-urlencoded\n", "{}"), 415, "curl --json", true),
        (call("", ""), 415, "content-type", false),
        (json("Content-Length: 2\nContent-Encoding: br\n", "{}"), 501, "gzip", true),
        (json("Content-Length: 2\nContent-Encoding: gzip\n", "{}"), 400, "not gzip", false),
        (json("Content-Length: 65537\n", ""), 429, "65536", true),
        (json("Content-Length: 99999999999\n", ""), 429, "65536", true),
        (json("Transfer-Encoding: chunked\n", "fffffff\n"), 429, "65536", true),
        (json("Transfer-Encoding: chunked\n", "zz\n"), 400, "hexadecimal", true),
        (json("Content-Length: 2\nTransfer-Encoding: chunked\n", "0\n\n"), 400, "both", true),
        (json("Content-Length: 2\nContent-Length: 2\n", "{}"), 400, "twice", true),
        (json("Transfer-Encoding: gzip, chunked\n", ""), 400, "chunked", true),
        (sized("{"), 400, "JSON", false),
        (sized("[]"), 400, "object", false),
        (sized(&deep), 400, "JSON", false),
        (sized("{\"pageSize\":\"x\"}"), 400, "pageSize", false),
        (json("Connect-Protocol-Version: 7\nContent-Length: 2\n", "{}"), 400, "version", true),
        ("GET /healthz HTTP/1.1\n\n".to_owned(), 400, "Host", true),
        ("GET /healthz HTTP/2.0\nHost: x\n\n".to_owned(), 505, "HTTP/1.1", true),
        ("PRI * HTTP/2.0\n\nSM\n\n".to_owned(), 505, "gRPC", true),
        ("hello\n\n".to_owned(), 400, "HTTP/1.1", true),
        (format!("GET /healthz HTTP/1.1\nHost: x\nA: {}\n\n", "b".repeat(20_000)), 431, "16384", true),
        (format!("GET /healthz HTTP/1.1\nHost: x\n{}\n", "A: b\n".repeat(100)), 431, "64", true),
        ("GET /healthz HTTP/1.1\nHost: evil.example\n\n".to_owned(), 421, "--http-host", false),
        (json("Sec-Fetch-Site: cross-site\nContent-Length: 2\n", "{}"), 403, "--http-origin", true),
        (json("Origin: http://evil.example\nContent-Length: 2\n", "{}"), 403, "--http-origin", true),
    ];
    for (request, status, text, closes) in table {
        let shown: String = request.chars().take(200).collect();
        let mut client = Client::connect(&address);
        let response = client.ask(&request);
        assert_eq!(response.status, status, "{shown}: {response:?}");
        assert!(response.text().contains(text), "{shown}: {}", response.text());
        assert_eq!(response.field("connection"), Some(if closes { "close" } else { "keep-alive" }), "{shown}");
        if closes {
            assert!(client.is_closed(), "{shown}");
        } else {
            assert_eq!(client.ask("GET /healthz HTTP/1.1\nHost: localhost\n\n").status, 200, "{shown}");
        }
    }
}

/// A body of a few kilobytes that is 50 MB inflated.
#[test]
fn a_compressed_bomb_is_refused() {
    let (server, address) = serve(&[]);
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&vec![b' '; 50_000_000]).expect("it can be compressed");
    let bomb = encoder.finish().expect("it can be compressed");
    let before = server.rss_kib();
    for _ in 0..20 {
        let mut client = Client::connect(&address);
        client.send_text(&call(&format!("{JSON}Content-Encoding: gzip\nContent-Length: {}\n", bomb.len()), ""));
        client.send(&bomb);
        assert_eq!(client.response().expect("a response").status, 429);
    }
    assert!(server.rss_kib() < before + 20_000, "{} KiB, {before} before", server.rss_kib());
}

/// A head or a body that comes byte by byte has a deadline as a whole; others are served meanwhile.
#[test]
fn requests_that_drip_are_ended() {
    let (server, address) = serve(&[]);
    let dripping = |begin: &'static str| {
        let address = address.clone();
        thread::spawn(move || {
            let mut client = Client::connect(&address);
            client.send_text(begin);
            // Until the server closes the connection, or far beyond its deadline.
            for _ in 0..100 {
                thread::park_timeout(Duration::from_millis(250));
                if client.stream.write_all(b"a").is_err() {
                    break;
                }
            }
            client.response().map(|response| response.status)
        })
    };
    let head = dripping("GET /healthz HTTP/1.1\nHost: localhost\nA: ");
    let body = dripping(
        "POST /hubbub.v1.ChatService/ListRooms HTTP/1.1\nHost: localhost\nContent-Type: application/json\nContent-Length: 1000\n\n",
    );
    let mut client = Client::connect(&address);
    assert_eq!(client.call("ListRooms", &json!({})).status, 200);
    for dripping in [head, body] {
        // The answer may be lost when the connection is reset under the next byte.
        let status = dripping.join().expect("it is ended");
        assert!(matches!(status, Some(408) | None), "{status:?}");
    }
    drop(client);
    wait_for("no thread left", || server.threads_named(&["http-"]) == 2);
}

/// Connections that say nothing give way to others; those that say half a head do so after its deadline.
#[test]
fn a_thousand_half_open_connections_leave_room_for_others() {
    let (server, address) = serve(&[]);
    let mut open: Vec<_> = (0..1_000).map(|_| Client::connect(&address)).collect();
    wait_for("a thread for each", || server.threads_named(&["http-"]) >= 1_000);
    // Each newcomer has those that are idle for a second end.
    wait_for("room", || {
        assert_eq!(Client::connect(&address).call("ListRooms", &json!({})).status, 200);
        server.threads_named(&["http-"]) < 100
    });
    assert!(open.iter_mut().all(Client::is_closed));
    let mut half: Vec<_> = (0..1_100).map(|_| Client::connect(&address)).collect();
    for client in &mut half {
        client.send(b"GET /healthz HTTP/1.1\r\nHost");
    }
    wait_for("all threads taken", || server.threads_named(&["http-"]) >= 1_024);
    let refused = Client::connect(&address).response().expect("a response");
    assert_eq!((refused.status, refused.field("retry-after")), (503, Some("1")), "{refused:?}");
    let answers = half.iter_mut().filter_map(Client::response).map(|response| response.status);
    let (late, refused): (Vec<_>, Vec<_>) = answers.partition(|status| *status == 408);
    assert!(late.len() >= 1_000 && refused.iter().all(|status| *status == 503), "{} {refused:?}", late.len());
    drop((open, half));
    wait_for("no thread left", || server.threads_named(&["http-"]) == 2);
    assert_eq!(Client::connect(&address).call("ListRooms", &json!({})).status, 200);
}

/// What a page of another site may do is said to its browser.
#[test]
fn an_allowed_site_gets_its_headers() {
    let (_server, address) = serve(&["--http-origin", "https://app.example", "--http-host", "Chat.example"]);
    let mut client = Client::connect(&address);
    let preflight = "OPTIONS /hubbub.v1.ChatService/PostMessage HTTP/1.1\nHost: chat.example:5080\n";
    let allowed = client.ask(&format!("{preflight}Origin: https://app.example\n\n"));
    assert_eq!((allowed.status, allowed.field("access-control-allow-origin")), (204, Some("https://app.example")));
    assert_eq!((allowed.field("vary"), allowed.field("access-control-max-age")), (Some("origin"), Some("7200")));
    assert!(allowed.field("access-control-allow-credentials").is_none());
    let other = client.ask(&format!("{preflight}Origin: https://other.example\n\n"));
    assert_eq!((other.status, other.field("access-control-allow-origin")), (403, None));
    let own = client.ask(&format!("{preflight}\n"));
    assert_eq!((own.status, own.field("access-control-allow-origin")), (405, None));
}
