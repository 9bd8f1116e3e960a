//! Health checks: what the server says of itself while it serves, can't store messages, and drains.

mod probe;
mod watch;

use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use grpcio::{ChannelBuilder, Client, RpcStatusCode};
use hubbub::limits;
use hubbub::server::config::Logins;
use hubbub::server::log::sqlite::SyncMode;
use hubbub::server::{ServerConfig, Storage};
use hubbub::wire::health::health_check_response::ServingStatus;
use hubbub::wire::health::{HealthCheckRequest, HealthListRequest};
use hubbub::wire::v1::ListRoomsRequest;
use hubbub::wire::{HEALTH_CHECK, HEALTH_LIST, LIST_ROOMS};

use super::disk::bound_files;
use super::full::{inside, small};
use super::support::chatter::{Chatter, environment};
use super::support::foreign;
use super::support::process::ServerProcess;
use super::support::raw::Raw;
use super::support::talker::{End, Talker, call, post_message};
use super::support::{DEADLINE, ephemeral, start, start_with, target, wait_for, wait_for_clients};

const CHAT: &str = "hubbub.v1.ChatService";
const TUTORIAL: &str = "chatserver.Services";
const OTHERS: [&str; 3] =
    ["grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"];

/// A connection of its own.
fn connect(target: &str) -> Client {
    Client::new(ChannelBuilder::new(environment()).use_local_subchannel_pool(true).connect(target))
}

fn asking(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.to_owned(), ..Default::default() }
}

fn check(client: &Client, service: &str) -> Result<ServingStatus, End> {
    let response = call(client, &HEALTH_CHECK, &asking(service))?;
    Ok(response.status.enum_value().expect("a known status"))
}

fn is_serving(client: &Client) -> bool {
    check(client, "").expect("the server answers") == ServingStatus::SERVING
}

#[test]
fn the_server_and_each_of_its_services_are_checked_and_listed() {
    let server = start();
    let client = connect(&target(&server));
    let services: Vec<_> = ["", CHAT, TUTORIAL].into_iter().chain(OTHERS).collect();
    for service in &services {
        assert_eq!(check(&client, service), Ok(ServingStatus::SERVING), "{service:?}");
    }
    for service in ["hubbub.v1.Chat", "hubbub.v1.ChatService/Chat", " ", &"x".repeat(50_000)] {
        let end = check(&client, service).expect_err("there is no such service");
        assert_eq!(end.code, RpcStatusCode::NOT_FOUND);
        assert!(end.message.contains("leave it empty for the whole server"), "{}", end.message);
    }
    let listed = call(&client, &HEALTH_LIST, &HealthListRequest::default()).expect("they are listed");
    let mut names: Vec<_> = listed.statuses.keys().map(String::as_str).collect();
    names.sort_unstable();
    let mut expected = services;
    expected.sort_unstable();
    assert_eq!(names, expected);
    assert!(listed.statuses.values().all(|state| state.status.enum_value() == Ok(ServingStatus::SERVING)));
}

/// Probes have no login. The tutorial's contract has none either, so where others log in, it is not a service.
#[test]
fn checks_need_no_login() {
    let folder = tempfile::tempdir().expect("a folder");
    let storage = Storage::Folder { path: folder.path().to_owned(), sync: SyncMode::Os, restored: false };
    let logins = |allows_tutorial| Logins { tokens: true, allows_tutorial, ..Logins::default() };
    for (allows_tutorial, tutorial) in [(true, Ok(ServingStatus::SERVING)), (false, Err(RpcStatusCode::NOT_FOUND))] {
        let (logins, storage) = (logins(allows_tutorial), storage.clone());
        let server = start_with(ServerConfig { logins, storage, ..ServerConfig::default() });
        let client = connect(&target(&server));
        assert_eq!(check(&client, CHAT), Ok(ServingStatus::SERVING));
        assert_eq!(check(&client, TUTORIAL).map_err(|end| end.code), tutorial);
        let refused = call(&client, &LIST_ROOMS, &ListRoomsRequest::default()).expect_err("it needs a login");
        assert_eq!(refused.code, RpcStatusCode::UNAUTHENTICATED);
    }
}

/// A server without space gets no messages from clients that look at its health, so it must find out by itself that there
/// is none, and that there is some again.
#[test]
fn a_disk_without_its_reserve_is_seen_although_nothing_is_posted() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path().canonicalize().expect("it is there");
    let mut server = ServerProcess::listening(small(&folder, "60m", &["--disk-reserve", "20MB", "--sync", "os"]));
    let client = connect(server.target());
    assert!(is_serving(&client));
    let other = inside(&server, &folder).join("other");
    std::fs::write(&other, vec![1; 45_000_000]).expect("there is space");
    wait_for("NOT_SERVING", || !is_serving(&client));
    assert_eq!(check(&client, CHAT), Ok(ServingStatus::NOT_SERVING));
    // The log says why, also to an operator whose load balancer sends no message.
    server.wait_for_log("messages are rejected, because the disk has less free space than its reserve");
    // Reading goes on.
    call(&client, &LIST_ROOMS, &ListRoomsRequest::default()).expect("rooms are listed");
    std::fs::remove_file(&other).expect("it can be removed");
    wait_for("SERVING", || is_serving(&client));
    server.wait_for_log("storing messages works again");
    server.signal(libc::SIGTERM);
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn a_message_that_can_not_be_stored_is_seen_at_once_and_the_recovery_without_a_message() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = ServerProcess::start(&["--data", folder.path().to_str().expect("a plain path")]);
    let client = Talker::connect(&environment(), server.target(), "ann").client;
    post_message(&client, "garden", "ann", 0, "before").expect("it is stored");
    bound_files(server.pid(), 8_000);
    let end = post_message(&client, "garden", "ann", 0, &"x".repeat(15_000)).expect_err("the disk is full");
    assert_eq!(end.code, RpcStatusCode::UNAVAILABLE);
    wait_for("NOT_SERVING", || {
        // The server tries small writes, and some of them may succeed: then the next message fails again.
        let _ = post_message(&client, "garden", "ann", 0, &"x".repeat(15_000));
        !is_serving(&client)
    });
    bound_files(server.pid(), libc::RLIM_INFINITY);
    wait_for("SERVING", || is_serving(&client));
}

/// A drain refused all calls, so a probe could not tell a server that shuts down from one that is broken.
#[test]
fn a_server_that_drains_says_so_until_its_last_client_is_gone() {
    let server = start_with(ServerConfig { drain_timeout: Duration::from_secs(600), ..ephemeral() });
    let (environment, target) = (environment(), target(&server));
    let mut sender = Chatter::join(&environment, &target, "sender");
    let mut live = Chatter::join(&environment, &target, "live");
    let stuck = Raw::join(&target);
    wait_for_clients(&server, 3);
    // More than the windows of the stuck client hold, so that the drain waits for it.
    let body = "x".repeat(10_000);
    for _ in 0..1_000 {
        sender.say(&body);
        assert_eq!(live.hear(), body);
    }
    let client = connect(&target);
    assert!(is_serving(&client));
    let (done, drained) = channel();
    thread::spawn(move || done.send(server.drain()));
    wait_for("NOT_SERVING", || !is_serving(&client));
    // The same over a new connection. Nothing else is served there.
    let other = connect(&target);
    assert!(!is_serving(&other));
    let end = post_message(&other, "garden", "ann", 0, "x").expect_err("it is not stored");
    assert_eq!(end.code, RpcStatusCode::UNAVAILABLE);
    let late = Talker::try_hello(&environment, &target, "late").err().expect("no client is admitted");
    assert_eq!(late.code, RpcStatusCode::UNAVAILABLE);
    let (code, printed, _) = probe::run(&[&target], &[]);
    assert_eq!(code, Some(1));
    assert!(printed.contains(": NOT_SERVING"), "{printed}");
    assert!(drained.try_recv().is_err());
    drop(stuck);
    assert_eq!(drained.recv_timeout(DEADLINE), Ok(0));
}

#[test]
fn the_page_of_limits_has_the_numbers_of_the_code() {
    let page = std::fs::read_to_string(foreign::project("docs/limits.md")).expect("the page is there");
    let section = page.split("## Health and reflection").nth(1).and_then(|rest| rest.split("\n## ").next());
    let section = section.expect("the page has the section");
    assert_eq!(limits::HEALTH_CALLS_MAX, 1_024, "the page says 1,024");
    assert_eq!(limits::REFLECTION_REQUEST_BYTES_MAX, 4_096, "the page says 4,096");
    for row in [
        format!("| health checks in progress of a peer, of all | {}, 1,024 |", limits::HEALTH_CALLS_PER_PEER_MAX),
        format!("of a peer, of all | {}, {} |", limits::WATCHES_PER_PEER_MAX, limits::WATCHES_MAX),
        format!("of a peer, of all | {}, {} |", limits::REFLECTIONS_PER_PEER_MAX, limits::REFLECTIONS_MAX),
        format!(
            "| requests of a stream of reflection | {} at once, {} a second |",
            limits::REFLECTION_REQUESTS_BURST,
            limits::REFLECTION_REQUESTS_RATE
        ),
        "| a request of reflection | 4,096 bytes |".to_owned(),
        format!("of a stream of reflection | {} s |", limits::REFLECTION_IDLE_MAX.as_secs()),
    ] {
        assert!(section.contains(&row), "docs/limits.md lacks: {row}");
    }
    let page = std::fs::read_to_string(foreign::project("docs/health.md")).expect("the page is there");
    for text in [
        format!("every {} s", limits::DISK_WATCH_INTERVAL.as_secs()),
        format!(
            "after {} s first, and at most\n{} s",
            limits::STORE_CHECK_FIRST.as_secs(),
            limits::STORE_CHECK_MAX.as_secs()
        ),
        format!("for {} s at most", limits::DRAIN_TIMEOUT.as_secs()),
    ] {
        assert!(page.contains(&text), "docs/health.md lacks: {text}");
    }
}

/// Python's client, with the library that gRPC publishes for it.
#[test]
fn python_checks_the_health() {
    let server = start();
    let output = foreign::python().arg(foreign::script("health.py")).arg(target(&server)).output();
    let output = output.expect("HUBBUB_TEST_PYTHON can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
