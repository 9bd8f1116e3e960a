//! Clients that leave, vanish, or go silent: the others lose nothing, and nothing of them stays behind.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use hubbub::server::ServerConfig;

use super::support::chatter::{Chatter, environment};
use super::support::process::ServerProcess;
use super::support::raw::{Raw, encode};
use super::support::{ephemeral, start, start_with, target, wait_for, wait_for_clients};

#[test]
fn those_that_stay_lose_nothing_while_others_come_and_go() {
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
                // Some say something, of which only they and nobody else know whether it got through.
                if count % 3 == 0 {
                    client.send(b"\x0a\x05churn\x12\x05noise");
                }
                if count % 2 == 0 {
                    client.leave()
                } else {
                    client.vanish()
                }
                count += 1;
                // Connections are faster made than served, and their descriptors are ours as well as the server's.
                if count % 20 == 0 {
                    wait_for("those that came have gone", || server.client_count() <= 5);
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
fn nothing_of_2000_clients_stays_behind() {
    let server = ServerProcess::start(&[]);
    let own_sockets = server.sockets();
    // The first clients start what the server keeps for good, such as gRPC's own threads.
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

/// What the server holds, once it holds nothing of its clients any more.
fn settled(server: &ServerProcess, own_sockets: usize) -> Holdings {
    wait_for("no thread of a client, nor one that waits for one", || server.client_threads() == 0);
    wait_for("no connection", || server.sockets() == own_sockets);
    Holdings { threads: server.threads(), files: server.files(), rss_kib: server.rss_kib() }
}

/// Has so many clients come in groups, all of which speak; half of each group leaves, the other vanishes.
fn round(server: &ServerProcess, count: usize) {
    for _ in 0..count / 100 {
        let mut clients: Vec<_> = (0..100).map(|_| Raw::join(server.target())).collect();
        for client in &mut clients {
            client.send(b"\x0a\x04name\x12\x04body");
        }
        wait_for("a group has come", || server.threads_named(&["recv-"]) == clients.len());
        for (index, client) in clients.into_iter().enumerate() {
            if index % 2 == 0 { client.leave() } else { client.vanish() }
        }
        wait_for("the group has gone", || server.threads_named(&["recv-", "send-"]) == 0);
    }
}

#[test]
fn a_client_that_answers_no_ping_is_removed() {
    let (keepalive_time, keepalive_timeout) = (Duration::from_secs(1), Duration::from_secs(2));
    let server = start_with(ServerConfig { keepalive_time, keepalive_timeout, ..ephemeral() });
    let environment = environment();
    let mut alive = Chatter::join(&environment, &target(&server), "alive");
    // It never reads, so it never answers a ping: what a pulled cable looks like from the server's side.
    let mut silent = Raw::join(&target(&server));
    wait_for_clients(&server, 2);
    wait_for_clients(&server, 1);
    silent.wait_for_close();
    // The library's own client answers pings, so it is still there.
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
    sender.say("heard");
    assert_eq!(half_closed.read_messages(1), [encode("sender", "heard")]);
    half_closed.vanish();
    wait_for_clients(&server, 1);
}

#[test]
fn a_thousand_idle_clients_cost_little_memory_and_no_time() {
    const CLIENTS: usize = 1_000;
    /// The bound is 80 KB, so 78 KiB, a client.
    const KIB_A_CLIENT_MAX: usize = 78;

    hubbub::descriptors::allow_many();
    let server = ServerProcess::start(&[]);
    let before = server.rss_kib();
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| Raw::join(server.target())).collect();
    wait_for("all have come", || server.client_threads() == 2 * CLIENTS);
    let a_client = (server.rss_kib() - before) / CLIENTS;
    println!("an idle client costs {a_client} KiB");
    assert!(a_client <= KIB_A_CLIENT_MAX, "an idle client costs {a_client} KiB");

    // Once what joining takes is done, nothing runs any more: in a whole second no thread has gone to sleep anew, as
    // every one would have that had been up, if only to look whether there is something to do.
    wait_for("a second in which nothing runs", || {
        let switches = server.voluntary_switches();
        thread::sleep(Duration::from_secs(1));
        server.voluntary_switches() == switches
    });
    // They are idle, not dead.
    let message = encode("name", "body");
    clients[0].send(&message);
    assert_eq!(clients[CLIENTS - 1].read_messages(1), [message]);
}
