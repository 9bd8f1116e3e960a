//! Servers that end, restart, freeze or drain, with the tutorial's contract: the client keeps lines and reports doubts.

use std::io::{BufRead as _, BufReader, Write as _};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use grpcio::{RpcStatusCode, ServiceBuilder};
use hubbub::address::Address;
use hubbub::client::tutorial::{Event, Session};
use hubbub::client::{Connector, Patience, Policy, SessionError, StreamError};
use hubbub::server::{Server, ServerConfig};
use hubbub::wire::TUTORIAL_CHAT_SERVER;
use hubbub::wire::tutorial::FromClient;

use super::pty::Pty;
use super::{command, on_terminal, piped, serve, start_piped, stderr};
use crate::support::chatter::{Chatter, environment};
use crate::support::process::ServerProcess;
use crate::support::{DEADLINE, ephemeral, start, target, wait_for_clients};

#[test]
fn lines_of_an_outage_are_sent_after_a_restart() {
    let server = start();
    let address = server.addresses()[0].clone();
    let mut ann = on_terminal(&server, "ann");
    server.drain();
    ann.wait_for_row_with("* offline 0 s, retry in ");
    ann.press("still there?\r");
    ann.wait_for_row("> still there?");
    let server = start_at(&address);
    let mut bob = Chatter::join(&environment(), &target(&server), "bob");
    // If ann reconnects before bob joins, bob does not receive the kept line.
    ann.wait_for_row_with("* connected again");
    ann.press("good\r");
    while bob.hear() != "good" {}
    ann.press("\x04");
    assert_eq!(ann.end(), 0);
}

#[test]
fn kept_lines_arrive_in_order() {
    let server = start();
    let address = server.addresses()[0].clone();
    let mut client = piped(&["--server", &target(&server), "--name", "ann"]);
    wait_for_clients(&server, 1);
    server.drain();
    // After the notice, the client keeps its lines.
    let errors = BufReader::new(client.stderr.as_mut().expect("standard error is piped"));
    let notice = errors.lines().map_while(Result::ok).find(|line| line.starts_with("* disconnected from "));
    assert!(notice.is_some());
    let mut stdin = client.stdin.take().expect("standard input is piped");
    stdin.write_all(b"one\ntwo\nthree\n").expect("the client reads");
    let listener = FirstListener::start(&address);
    drop(stdin);
    assert_eq!(client.wait().expect("it ends").code(), Some(0));
    assert_eq!(listener.bodies(), ["one", "two", "three"]);
}

#[test]
fn without_reconnecting_a_lost_server_is_a_failure() {
    let server = start();
    let mut ann = Pty::start(command(&["--server", &target(&server), "--name", "ann", "--no-reconnect"]));
    wait_for_clients(&server, 1);
    ann.wait_for_last_row("> ");
    drop(server);
    assert_eq!(ann.end(), 1);
    ann.wait_for_row_with("hubbub: ");
}

/// A regression: the error did not report how many lines may be lost.
#[test]
fn without_reconnecting_the_error_counts_the_lines_in_doubt() {
    let mut server = ServerProcess::start(&[]);
    let mut listener = Chatter::join(&environment(), server.target(), "bob");
    let mut client = piped(&["--server", server.target(), "--name", "ann", "--no-reconnect"]);
    let mut stdin = client.stdin.take().expect("standard input is piped");
    // The listener has joined when it receives a message.
    let mut sent = 0;
    loop {
        sent += 1;
        stdin.write_all(b"hello\n").expect("the client reads");
        if listener.next_within(Duration::from_millis(50)).is_some() {
            break;
        }
    }
    server.signal(libc::SIGKILL);
    server.wait();
    let output = client.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(1));
    let lines = if sent == 1 { "1 line".to_owned() } else { format!("{sent} lines") };
    let end = format!("; may not have arrived: the last {lines} you sent\n");
    assert!(stderr(&output).starts_with("hubbub: ") && stderr(&output).ends_with(&end), "{}", stderr(&output));
    drop(stdin);
}

/// A regression: `--no-reconnect` had no variable.
#[test]
fn no_reconnect_has_a_variable() {
    for (value, beginning) in
        [("1", "hubbub: "), ("true", "hubbub: "), ("0", "* disconnected from "), ("", "* disconnected from ")]
    {
        let server = start();
        let mut command = command(&["--server", &target(&server), "--name", "ann"]);
        command.env("HUBBUB_NO_RECONNECT", value);
        let mut client = start_piped(command);
        wait_for_clients(&server, 1);
        server.drain();
        let mut line = String::new();
        let mut errors = BufReader::new(client.stderr.take().expect("standard error is piped"));
        errors.read_line(&mut line).expect("it says something");
        assert!(line.starts_with(beginning), "{value:?}: {line}");
        let _ = client.kill();
        client.wait().expect("it ends");
    }
    let output = command(&[]).env("HUBBUB_NO_RECONNECT", "perhaps").output().expect("hubbub starts");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("HUBBUB_NO_RECONNECT: expected 1 or 0"), "{}", stderr(&output));
}

#[test]
fn a_missing_confirmation_is_a_failure() {
    let mut server = ServerProcess::start(&[]);
    let mut client = piped(&["--server", server.target(), "--name", "ann"]);
    let mut stdin = client.stdin.take().expect("standard input is piped");
    stdin.write_all(b"one\n").expect("the client reads");
    let mut listener = Chatter::join(&environment(), server.target(), "bob");
    // Both have joined when the listener receives a message.
    while listener.next_within(Duration::from_millis(20)).is_none() {
        stdin.write_all(b"more\n").expect("the client reads");
    }
    server.freeze();
    stdin.write_all(b"last\n").expect("the client reads");
    drop(stdin);
    let output = client.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("the last messages may not have arrived"), "{}", stderr(&output));
    server.signal(libc::SIGKILL);
    server.wait();
}

/// A regression: the gRPC library reports the status of a drained stream before the message that precedes it, so the
/// client's receiver lost that message.
#[test]
fn the_last_message_before_a_status_is_received() {
    for _ in 0..30 {
        let server = start();
        let address = server.addresses()[0].clone();
        let bodies = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&bodies);
        let patience = Patience { policy: Policy::Fail, ..Patience::default() };
        let session = Session::start(Connector::new(1), address, patience, 1, move |event| {
            if let Event::Message { body, .. } = event {
                heard.lock().expect("no thread panicked").push(body.to_owned());
            }
            ControlFlow::Continue(())
        });
        let session = session.expect("the server is there");
        wait_for_clients(&server, 1);
        let mut bob = Chatter::join_to_finish(&environment(), &target(&server), "bob");
        for n in 0..20 {
            bob.say(&n.to_string());
        }
        bob.half_close();
        // Now all messages are committed.
        assert_eq!(bob.end().0, RpcStatusCode::OK);
        server.drain();
        let end = session.wait();
        let bodies = bodies.lock().expect("no thread panicked");
        assert!(matches!(end, Err(SessionError::Lost { error: StreamError::Lost(_), .. })), "{end:?}");
        assert_eq!(*bodies, (0..20).map(|n| n.to_string()).collect::<Vec<_>>());
    }
}

/// A server at the address of an earlier one.
fn start_at(address: &Address) -> Server {
    let config = ServerConfig { listen: vec![address.clone()], ..ephemeral() };
    let deadline = Instant::now() + DEADLINE;
    loop {
        match Server::start(&config) {
            Ok(server) => return server,
            Err(error) => assert!(Instant::now() < deadline, "the port is free again in time: {error}"),
        }
    }
}

/// A server that records the messages of its client, so that no other client has to join first.
struct FirstListener {
    bodies: Arc<Mutex<Vec<String>>>,
    _server: grpcio::Server,
}

impl FirstListener {
    fn start(address: &Address) -> Self {
        let bodies = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&bodies);
        let service = ServiceBuilder::new()
            .add_duplex_streaming_handler(&TUTORIAL_CHAT_SERVER, move |ctx, mut stream, mut sink| {
                let heard = Arc::clone(&heard);
                ctx.spawn(async move {
                    while let Some(Ok(message)) = stream.next().await {
                        let message: FromClient = message.parse().expect("the request is valid");
                        heard.lock().expect("no thread panicked").push(message.body);
                    }
                    let _ = sink.close().await;
                });
            })
            .build();
        let (_server, _) = serve(service, &address.target());
        Self { bodies, _server }
    }

    fn bodies(&self) -> Vec<String> {
        self.bodies.lock().expect("no thread panicked").clone()
    }
}
