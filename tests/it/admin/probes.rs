//! What probes learn while the server is full, can't write its log, starts or drains.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use grpcio::RpcStatusCode;
use hubbub::address::Address;
use hubbub::server::health::Health;
use hubbub::server::{AdminConfig, ServerConfig};

use super::scrape::{get, scrape};
use super::{address, serve};
use crate::disk::bound_files;
use crate::reach::full::{limited, take_descriptors};
use crate::support::chatter::{Chatter, environment};
use crate::support::process::{ServerProcess, command, lasting_address};
use crate::support::raw::Raw;
use crate::support::talker::{Talker, post_message};
use crate::support::{ephemeral, start_with, target, wait_for, wait_for_clients};

fn ready(admin: &str) -> (u16, String) {
    let response = get(admin, "/readyz");
    (response.status, response.text())
}

#[test]
fn a_server_that_serves_is_ready() {
    let (_server, admin) = serve(&[]);
    assert_eq!(ready(&admin), (200, "ready\n".to_owned()));
    let alive = get(&admin, "/healthz");
    assert_eq!((alive.status, alive.text()), (200, "ok\n".to_owned()));
    assert_eq!(alive.field("cache-control"), Some("no-store"));
    let missing = get(&admin, "/metrics/x");
    assert!(missing.status == 404 && missing.text().contains("/statusz"), "{missing:?}");
    let page = get(&admin, "/statusz");
    let policy = page.field("content-security-policy").expect("a policy");
    assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe"), "{policy}");
    let text = page.text();
    assert!(text.contains("ready: the server serves") && text.contains("log-writer"), "{text}");
    assert!(!text.contains("<script"), "{text}");
}

/// Load balancers send nobody to a server that is not ready. So nobody posts, and the server finds out by itself when
/// its disk has space again.
#[test]
fn a_full_disk_makes_the_server_not_ready_until_there_is_space() {
    let folder = tempfile::tempdir().expect("a folder");
    let (server, admin) = serve(&["--data", folder.path().to_str().expect("a plain path")]);
    let client = Talker::hello(&environment(), server.target(), "ann").client;
    post_message(&client, "tea", "ann", 0, "hello").expect("it is stored");
    // Less than a message takes in the write-ahead log.
    bound_files(server.pid(), 8_000);
    let end = post_message(&client, "tea", "ann", 0, &"x".repeat(15_000)).expect_err("the disk is full");
    assert_eq!(end.code, RpcStatusCode::UNAVAILABLE);
    wait_for("not ready", || {
        ready(&admin) == (503, "not ready: messages can't be stored: the disk is full\n".to_owned())
    });
    assert_eq!(get(&admin, "/healthz").status, 200);
    let samples = scrape(&admin);
    assert_eq!(samples["hubbub_posts_rejected_total{reason=\"full\"}"], 1.0);
    bound_files(server.pid(), libc::RLIM_INFINITY);
    wait_for("ready again, without a post", || ready(&admin).0 == 200);
    assert_eq!(scrape(&admin)["hubbub_posts_total{kind=\"message\"}"], 1.0);
    post_message(&client, "tea", "ann", 0, &"x".repeat(15_000)).expect("it is stored");
}

#[test]
fn a_disk_below_its_reserve_makes_the_server_not_ready() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().to_str().expect("a plain path");
    let (server, admin) = serve(&["--data", data, "--disk-reserve", "4000000GB"]);
    wait_for("not ready, without a post", || ready(&admin).0 == 503);
    let client = Talker::hello(&environment(), server.target(), "ann").client;
    post_message(&client, "tea", "ann", 0, "hello").expect_err("the rest of the disk is reserved");
    assert!(ready(&admin).1.contains("--disk-reserve"), "{}", ready(&admin).1);
    let samples = scrape(&admin);
    assert_eq!((samples["hubbub_ready"], samples["hubbub_state{state=\"failed\"}"]), (0.0, 1.0));
    assert!(samples["hubbub_disk_free_bytes"] < samples["hubbub_disk_reserve_bytes"]);
    let page = get(&admin, "/statusz").text();
    assert!(page.contains("not ready: messages can&#39;t be stored"), "{page}");
}

/// The chat's limits don't apply to the admin address.
#[test]
fn a_full_server_is_watched() {
    let (server, admin) = serve(&["--clients-max", "2", "--connections-max", "2"]);
    let environment = environment();
    let _clients: Vec<_> =
        ["ann", "bob"].map(|name| Talker::hello(&environment, server.target(), name)).into_iter().collect();
    for _ in 0..50 {
        assert_eq!(ready(&admin).0, 200);
    }
    let samples = scrape(&admin);
    assert_eq!((samples["hubbub_sessions"], samples["hubbub_sessions_max"]), (2.0, 2.0));
    if cfg!(feature = "core-patches") {
        assert_eq!((samples["hubbub_connections"], samples["hubbub_connections_max"]), (2.0, 2.0));
    }
}

/// The story: the admin address needs a descriptor for each connection, and a server that had none left could not be
/// watched just then.
#[test]
#[cfg_attr(not(feature = "core-patches"), ignore = "the C core alone does otherwise")]
fn a_server_without_descriptors_is_watched() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = limited(folder.path());
    server.args(["--admin", "127.0.0.1:0"]);
    let mut server = ServerProcess::listening(server);
    let admin = address(&server.wait_for_log("showing metrics on "));
    let (idle, _) = take_descriptors(server.target());
    for _ in 0..50 {
        assert_eq!(ready(&admin), (200, "ready\n".to_owned()));
    }
    let samples = scrape(&admin);
    assert!(samples["hubbub_refusals_total{limit=\"descriptors\"}"] > 0.0);
    let (open, max) = (samples["process_open_fds"], samples["process_max_fds"]);
    assert!(open > 0.75 * max, "{open} of {max}");
    assert!(samples["hubbub_threads"] > 0.0 && samples["process_start_time_seconds"] > 0.0);
    // All are given back.
    drop(idle);
    wait_for("free descriptors", || scrape(&admin)["process_open_fds"] < 0.75 * max);
}

#[test]
fn a_server_that_drains_is_alive_and_not_ready() {
    let admin = AdminConfig { address: Address::local(0), may_be_taken: false, hosts: Vec::new() };
    let config = ServerConfig { admin: Some(admin), drain_timeout: Duration::from_secs(60), ..ephemeral() };
    let server = start_with(config);
    let admin = server.admin_addresses()[0].to_string();
    assert_eq!(server.health().get(), Health::Serving);
    let environment = environment();
    let mut sender = Chatter::join(&environment, &target(&server), "sender");
    let mut live = Chatter::join(&environment, &target(&server), "live");
    let slow = Raw::join(&target(&server));
    wait_for_clients(&server, 3);
    // More than a window holds, so that the drain waits for the reader.
    for number in 0..20 {
        let body = format!("{number:010000}");
        sender.say(&body);
        assert_eq!(live.hear(), body);
    }
    let health = std::sync::Arc::clone(server.health());
    let draining = std::thread::spawn(move || server.drain());
    wait_for("a drain", || health.get() == Health::Draining);
    assert_eq!(ready(&admin), (503, "not ready: the server is shutting down\n".to_owned()));
    assert_eq!(get(&admin, "/healthz").status, 200);
    assert_eq!(scrape(&admin)["hubbub_state{state=\"draining\"}"], 1.0);
    let (received, _) = slow.read_to_end();
    assert_eq!(received.len(), 20);
    assert_eq!(draining.join().expect("no panic"), 0);
    assert!(std::net::TcpStream::connect(&admin).is_err(), "the address is closed with the server");
}

/// An address is served until the log is open, for example after a crash of a server with a large log.
#[test]
fn a_server_that_starts_is_alive_and_not_ready() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().to_str().expect("a plain path");
    let (first, _) = serve(&["--data", data]);
    // The second server waits a moment for the folder, which the first one holds.
    let admin = lasting_address();
    let mut second = command();
    second.args(["--listen", "127.0.0.1:0", "--data", data, "--admin", &admin]);
    let mut second = ServerProcess::spawn(second);
    wait_for("an answer", || std::net::TcpStream::connect(&admin).is_ok());
    let (status, text) = ready(&admin);
    drop(first);
    // It may have been quicker than this test.
    assert!(
        (status, text.as_str()) == (503, "not ready: the server is starting\n") || status == 200,
        "{status} {text}"
    );
    second.wait_for_listening();
    wait_for("ready", || ready(&admin).0 == 200);
}

#[test]
fn an_address_that_is_taken_is_named() {
    let (_server, admin) = serve(&[]);
    let mut second = command();
    second.args(["--listen", "127.0.0.1:0", "--ephemeral", "--admin", &admin]);
    let output = second.output().expect("the program starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains(&admin) && errors.contains("--admin"), "{errors}");
}

#[test]
fn a_unix_socket_is_served() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("admin.sock");
    let mut server = command();
    server.args(["--listen", "127.0.0.1:0", "--ephemeral", "--admin"]).arg(format!("unix:{}", path.display()));
    let mut server = ServerProcess::listening(server);
    server.wait_for_log("showing metrics on unix:");
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).expect("it is there").permissions());
    assert_eq!(mode & 0o777, 0o600);
    let mut stream = UnixStream::connect(&path).expect("it accepts connections");
    // Whoever may open the socket may give any name.
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: anything.example\r\n\r\n").expect("it is sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it is read");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nready\n"), "{answer}");
}

#[test]
fn without_an_admin_address_nothing_listens() {
    let server = ServerProcess::start(&[]);
    assert_eq!(server.threads_named(&["admin-"]), 0);
    let (server, _) = serve(&[]);
    assert_eq!(server.threads_named(&["admin-"]), 5);
}
