//! Every message reaches all other clients once, in the same order for all, and never its sender.

use std::thread;

use super::support::chatter::{Chatter, Next, environment};
use super::support::{ephemeral, start, target, wait_for_clients};

#[test]
fn a_message_reaches_all_clients_except_its_sender() {
    let server = start();
    let environment = environment();
    let mut clients: Vec<_> =
        ["ann", "bob", "cleo"].iter().map(|name| Chatter::join(&environment, &target(&server), name)).collect();
    wait_for_clients(&server, 3);

    clients[0].say("hello");
    let hello = || Next::Message { name: "ann".to_owned(), body: "hello".to_owned() };
    assert_eq!(clients[1].next(), hello());
    assert_eq!(clients[2].next(), hello());
    // The first message that ann receives is bob's answer, not her own message.
    clients[1].say("hi ann");
    assert_eq!(clients[0].hear(), "hi ann");
    assert_eq!(clients[2].hear(), "hi ann");
}

#[test]
fn all_receivers_get_the_same_order() {
    const SENDERS: usize = 5;
    const RECEIVERS: usize = 5;
    const MESSAGES: usize = 300;

    let server = start();
    let environment = environment();
    let join = |index: usize| Chatter::join(&environment, &target(&server), &format!("client {index}"));
    let senders: Vec<_> = (0..SENDERS).map(join).collect();
    let receivers: Vec<_> = (SENDERS..SENDERS + RECEIVERS).map(join).collect();
    wait_for_clients(&server, SENDERS + RECEIVERS);

    let received: Vec<Vec<String>> = thread::scope(|scope| {
        let mut listening = Vec::new();
        for mut receiver in receivers {
            listening.push(scope.spawn(move || (0..SENDERS * MESSAGES).map(|_| receiver.hear()).collect()));
        }
        for (index, mut sender) in senders.into_iter().enumerate() {
            listening.push(scope.spawn(move || {
                // A sender receives while it sends. Otherwise it and the server would wait for each other.
                let mut received = Vec::new();
                for number in 0..MESSAGES {
                    sender.say(&format!("{index} {number}"));
                    received.extend((0..SENDERS - 1).map(|_| sender.hear()));
                }
                received
            }));
        }
        listening.into_iter().map(|thread| thread.join().expect("no thread panics")).collect()
    });

    let order = &received[0];
    assert!(received[..RECEIVERS].iter().all(|other| other == order), "receivers saw different orders");
    for (index, own) in received[RECEIVERS..].iter().enumerate() {
        let without_own: Vec<_> = order.iter().filter(|body| !body.starts_with(&format!("{index} "))).collect();
        assert!(own.iter().eq(without_own), "sender {index} saw another order, or its own messages");
    }
    for index in 0..SENDERS {
        let numbers: Vec<_> = order.iter().filter_map(|body| body.strip_prefix(&format!("{index} "))).collect();
        let sent: Vec<_> = (0..MESSAGES).map(|number| number.to_string()).collect();
        assert_eq!(numbers, sent, "messages of sender {index} are missing, repeated or out of order");
    }
}

#[test]
fn a_half_closed_client_still_receives() {
    let server = start();
    let environment = environment();
    let mut silent = Chatter::join(&environment, &target(&server), "silent");
    let mut other = Chatter::join(&environment, &target(&server), "other");
    wait_for_clients(&server, 2);
    silent.say("last words");
    silent.half_close();
    assert_eq!(other.hear(), "last words");
    for number in 0..10 {
        other.say(&format!("message {number}"));
        assert_eq!(silent.hear(), format!("message {number}"));
    }
    assert_eq!(server.client_count(), 2);
    drop(silent);
    wait_for_clients(&server, 1);
}

#[test]
fn a_client_that_requests_it_gets_the_status_once_its_messages_are_committed() {
    let server = start();
    let environment = environment();
    let mut other = Chatter::join(&environment, &target(&server), "other");
    let mut leaving = Chatter::join_to_finish(&environment, &target(&server), "leaving");
    wait_for_clients(&server, 2);
    for number in 0..500 {
        leaving.say(&number.to_string());
    }
    leaving.half_close();
    assert_eq!(leaving.end().0, grpcio::RpcStatusCode::OK);
    // The client is gone at once, so its messages can only come from the log.
    drop(leaving);
    for number in 0..500 {
        assert_eq!(other.hear(), number.to_string());
    }
    wait_for_clients(&server, 1);
}

#[test]
fn all_addresses_of_a_server_lead_to_the_same_room() {
    let folder = std::env::temp_dir().join(format!("hubbub-test-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for the socket");
    // The library parses a path as part of a URI. It must not decode this `%41`.
    let socket = format!("unix:{}/a%41 socket", folder.display());
    let listen = ["127.0.0.1:0", "[::1]:0", &socket].map(|address| address.parse().expect("an address")).to_vec();
    let config = hubbub::server::ServerConfig { listen, ..ephemeral() };
    let server = hubbub::server::Server::start(&config).expect("the server starts");
    let environment = environment();
    let mut clients: Vec<_> =
        server.addresses().iter().map(|address| Chatter::join(&environment, &address.target(), "client")).collect();
    wait_for_clients(&server, 3);
    assert!(folder.join("a%41 socket").exists());
    clients[0].say("hello");
    assert_eq!((clients[1].hear(), clients[2].hear()), ("hello".to_owned(), "hello".to_owned()));
    drop(clients);
    drop(server);
    std::fs::remove_dir_all(&folder).expect("the folder is ours");
}
