//! Clients that leave, vanish, or stop answering: the others lose no message, and all resources of such clients are
//! released.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use hubbub::server::ServerConfig;

use super::support::chatter::{Chatter, environment};
use super::support::process::ServerProcess;
use super::support::raw::{Raw, encode};
use super::support::{ephemeral, start, start_with, target, wait_for, wait_for_clients};

#[test]
fn clients_lose_no_message_while_others_come_and_go() {
    const MESSAGES: usize = 3_000;

    let server = start();
    let environment = environment();
    let target = target(&server);
    let mut sender = Chatter::join(&environment, &target, "sender");
    let receivers: Vec<_> = (0..4).map(|_| Chatter::join(&environment, &target, "receiver")).collect();
    wait_for_clients(&server, 5);

    let done = AtomicBool::new(false);
    let came_and_went = thread::scope(|scope| {
        let churn = scope.spawn(|| {
            let mut count = 0;
            while !done.load(Ordering::Relaxed) {
                let mut client = Raw::join(&target);
                // Some post a message first, which may or may not be stored.
                if count % 3 == 0 {
                    client.send(b"\x0a\x05churn\x12\x05noise");
                }
                if count % 2 == 0 {
                    client.leave()
                } else {
                    client.vanish()
                }
                count += 1;
                // Connections are opened faster than they are served, and this process holds descriptors for both ends.
                if count % 20 == 0 {
                    wait_for("the other clients to be gone", || server.client_count() <= 5);
                }
            }
            count
        });
        let listening: Vec<_> = receivers
            .into_iter()
            .map(|mut receiver| {
                scope.spawn(move || {
                    let mut expected = 0;
                    while expected < MESSAGES {
                        let body = receiver.hear();
                        if body != "noise" {
                            assert_eq!(body, expected.to_string());
                            expected += 1;
                        }
                    }
                    receiver
                })
            })
            .collect();
        for number in 0..MESSAGES {
            sender.say(&number.to_string());
        }
        let stayed: Vec<_> = listening.into_iter().map(|thread| thread.join().expect("no thread panics")).collect();
        done.store(true, Ordering::Relaxed);
        let count = churn.join().expect("no thread panics");
        wait_for_clients(&server, 1 + stayed.len());
        count
    });
    assert!(came_and_went > 10, "only {came_and_went} clients came and went");
}

#[test]
fn all_resources_of_2000_clients_are_released() {
    let server = ServerProcess::start(&[]);
    let own_sockets = server.sockets();
    // The first clients cause allocations that the server keeps, such as gRPC's own threads.
    round(&server, 100);
    let before = settled(&server, own_sockets);
    round(&server, 2_000);
    let first = settled(&server, own_sockets);
    round(&server, 2_000);
    let second = settled(&server, own_sockets);
    assert_eq!((first.threads, first.files), (before.threads, before.files));
    assert_eq!((second.threads, second.files), (before.threads, before.files));
    assert!(second.rss_kib * 10 <= first.rss_kib * 11, "memory grew from {} to {} KiB", first.rss_kib, second.rss_kib);
    println!("before: {before:?}, after 2,000 clients: {first:?}, after 4,000: {second:?}");
}

#[derive(Debug)]
struct Holdings {
    threads: usize,
    files: usize,
    rss_kib: usize,
}

/// The resources of the server once it holds none for its clients.
fn settled(server: &ServerProcess, own_sockets: usize) -> Holdings {
    wait_for("the threads of clients and the spare threads to end", || server.client_threads() == 0);
    wait_for("no connection", || server.sockets() == own_sockets);
    Holdings { threads: server.threads(), files: server.files(), rss_kib: server.rss_kib() }
}

/// Connects this many clients in groups. All post a message; then half of each group leaves and the other half
/// vanishes.
fn round(server: &ServerProcess, count: usize) {
    for _ in 0..count / 100 {
        let mut clients: Vec<_> = (0..100).map(|_| Raw::join(server.target())).collect();
        for client in &mut clients {
            client.send(b"\x0a\x04name\x12\x04body");
        }
        wait_for("a group to connect", || server.threads_named(&["recv-"]) == clients.len());
        for (index, client) in clients.into_iter().enumerate() {
            if index % 2 == 0 { client.leave() } else { client.vanish() }
        }
        wait_for("the group to be gone", || server.threads_named(&["recv-", "send-"]) == 0);
    }
}

#[test]
fn a_client_that_does_not_answer_pings_is_removed() {
    let (keepalive_time, keepalive_timeout) = (Duration::from_secs(1), Duration::from_secs(2));
    let server = start_with(ServerConfig { keepalive_time, keepalive_timeout, ..ephemeral() });
    let environment = environment();
    let mut alive = Chatter::join(&environment, &target(&server), "alive");
    // It never reads, so it never answers a ping. For the server, a pulled cable looks the same.
    let mut silent = Raw::join(&target(&server));
    wait_for_clients(&server, 2);
    wait_for_clients(&server, 1);
    silent.wait_for_close();
    // The library's client answers pings, so it stays connected.
    let mut other = Chatter::join(&environment, &target(&server), "other");
    wait_for_clients(&server, 2);
    other.say("still there?");
    assert_eq!(alive.hear(), "still there?");
}

#[test]
fn a_half_closed_client_that_vanishes_is_removed() {
    let server = start();
    let environment = environment();
    let mut sender = Chatter::join(&environment, &target(&server), "sender");
    let mut half_closed = Raw::join(&target(&server));
    wait_for_clients(&server, 2);
    half_closed.half_close();
    sender.say("received");
    assert_eq!(half_closed.read_messages(1), [encode("sender", "received")]);
    half_closed.vanish();
    wait_for_clients(&server, 1);
}

#[test]
fn a_thousand_idle_clients_take_little_memory_and_no_processor_time() {
    const CLIENTS: usize = 1_000;
    /// The bound for each client is 80 KB, that is, 78 KiB.
    const KIB_A_CLIENT_MAX: usize = 78;

    hubbub::descriptors::allow_many();
    let server = ServerProcess::start(&[]);
    let before = server.rss_kib();
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| Raw::join(server.target())).collect();
    // A client that has never said anything takes no thread. An empty line is no message.
    for client in &mut clients {
        client.send(&encode("name", ""));
    }
    wait_for("all clients to connect", || server.client_threads() == CLIENTS);
    let a_client = (server.rss_kib() - before) / CLIENTS;
    println!("an idle client takes {a_client} KiB");
    assert!(a_client <= KIB_A_CLIENT_MAX, "an idle client takes {a_client} KiB");

    // After the joins, no thread runs: within a second, none goes to sleep, as every thread would that had been awake,
    // even if only to check for work.
    wait_for("a second in which no thread runs", || {
        let switches = server.voluntary_switches();
        thread::sleep(Duration::from_secs(1));
        server.voluntary_switches() == switches
    });
    // The clients still receive messages.
    let message = encode("name", "body");
    clients[0].send(&message);
    assert_eq!(clients[CLIENTS - 1].read_messages(1), [message]);
}
