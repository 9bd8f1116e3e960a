//! Bad input is answered with a clear error, and affects no other client.

use grpcio::RpcStatusCode;
use hubbub::limits::{BODY_BYTES_MAX, NAME_CHARS_MAX, RECEIVE_BYTES_MAX};
use hubbub::server::{Server, ServerConfig, StartError};

use super::support::chatter::{Chatter, Next, environment};
use super::support::process;
use super::support::raw::{Raw, encode};
use super::support::{ephemeral, start, start_with, target, wait_for_clients};

/// The encoding of the status in the trailers.
const INVALID_ARGUMENT: &str = "grpc-status\u{1}3";

/// Posts a message under this name, and checks that only that client's stream ends, with this code and rule.
fn is_refused(name: &str, body: &str, code: RpcStatusCode, rule: &str) {
    let server = start();
    let environment = environment();
    let mut witness = Chatter::join(&environment, &target(&server), "witness");
    let mut offender = Chatter::join(&environment, &target(&server), "offender");
    let mut other = Chatter::join(&environment, &target(&server), "other");
    wait_for_clients(&server, 3);
    offender.say("before");
    offender.say_as(name, body);
    let (ended, message) = offender.end();
    assert_eq!(ended, code, "{message}");
    assert!(message.contains(rule), "{message:?} does not name the rule {rule:?}");
    wait_for_clients(&server, 2);
    // The client's earlier message is delivered, and the other clients stay connected.
    other.say("after");
    assert_eq!((witness.hear(), witness.hear()), ("before".to_owned(), "after".to_owned()));
}

/// The story: a user of the original client, written in Go, pressed Enter without typing anything. The server ended the
/// stream with the name of the rule, and the client crashed. The original server relays any message.
#[test]
fn typical_mistakes_of_original_clients_do_not_end_the_stream() {
    let server = start();
    let environment = environment();
    let mut witness = Chatter::join(&environment, &target(&server), "witness");
    let mut careless = Chatter::join(&environment, &target(&server), "careless");
    wait_for_clients(&server, 2);
    for blank in ["", " ", "\r", "\n", "\r\n", " \t\u{a0}\r\n"] {
        careless.say(blank);
    }
    // A Windows console leaves a carriage return at the end of a line.
    careless.say_as("careless\r", "hello\r");
    for nameless in ["", "  ", "\r\n"] {
        careless.say_as(nameless, "who am I?");
    }
    let long = "é".repeat(BODY_BYTES_MAX);
    careless.say(&long);
    // A terminal that shows the text as it came would clear its screen, or show it from right to left.
    careless.say("one\r\ntwo\u{1b}[2J\u{202e}");
    careless.say("still here");
    let mut received = || match witness.next() {
        Next::Message { name, body } => (name, body),
        Next::Ended { message, .. } => panic!("the stream ended: {message}"),
    };
    assert_eq!(received(), ("careless".to_owned(), "hello".to_owned()));
    for _ in 0..3 {
        assert_eq!(received(), ("anonymous".to_owned(), "who am I?".to_owned()));
    }
    let (first, second) = (received(), received());
    assert_eq!(first.1.len(), BODY_BYTES_MAX);
    assert_eq!(first.1 + &second.1, long);
    assert_eq!(received(), ("careless".to_owned(), "one\ntwo\u{fffd}[2J\u{fffd}".to_owned()));
    assert_eq!(received(), ("careless".to_owned(), "still here".to_owned()));
    // The server ends the call once all messages are stored. Ignored ones do not count.
    wait_for_clients(&server, 2);
}

#[test]
fn the_end_of_a_call_does_not_wait_for_ignored_messages() {
    let server = start();
    let mut raw = Raw::join_with(&target(&server), Some((hubbub::wire::END_AFTER_HALF_CLOSE, "1")));
    wait_for_clients(&server, 1);
    raw.send(&encode("ann", ""));
    raw.send(&encode("ann", "hello"));
    raw.half_close();
    let (_, trailers) = raw.read_to_end();
    assert!(trailers.contains("grpc-status\u{1}0"), "{trailers:?}");
}

#[test]
fn a_name_over_the_limit() {
    let rule = format!("at most {NAME_CHARS_MAX}");
    is_refused(&"n".repeat(NAME_CHARS_MAX + 1), "body", RpcStatusCode::INVALID_ARGUMENT, &rule);
}

#[test]
fn a_name_with_a_control_character() {
    is_refused("a\x1b[31m", "body", RpcStatusCode::INVALID_ARGUMENT, "U+001B");
}

#[test]
#[cfg_attr(not(feature = "core-patches"), ignore = "the unpatched C core behaves differently")]
fn a_message_over_the_size_limit() {
    let rule = format!("send at most {RECEIVE_BYTES_MAX}");
    is_refused("name", &"b".repeat(RECEIVE_BYTES_MAX), RpcStatusCode::RESOURCE_EXHAUSTED, &rule);
}

#[test]
fn bytes_that_are_not_a_message_or_not_text() {
    let server = start();
    let environment = environment();
    let mut witness = Chatter::join(&environment, &target(&server), "witness");
    let mut other = Chatter::join(&environment, &target(&server), "other");
    wait_for_clients(&server, 2);
    // A length beyond the end; a tag of an unknown wire type; a name and a body that are not UTF-8.
    for (bytes, rule) in [
        (&b"\x0a\x7fshort"[..], "can't be decoded"),
        (b"\x0f", "can't be decoded"),
        (b"\x0a\x02\xff\xfe\x12\x04body", "can't be decoded"),
        (b"\x0a\x01a\x12\x04b\xe9dy", "can't be decoded"),
    ] {
        let mut offender = Raw::join(&target(&server));
        wait_for_clients(&server, 3);
        offender.send(bytes);
        let (_, trailers) = offender.read_to_end();
        assert!(trailers.contains(rule) && trailers.contains(INVALID_ARGUMENT), "{bytes:?}: {trailers:?}");
        wait_for_clients(&server, 2);
    }
    other.say("unharmed");
    assert_eq!(witness.hear(), "unharmed");
}

/// 64 KiB of compressed bytes can decompress to 64 MB. They were decompressed before their size was checked.
#[test]
fn a_client_that_compresses() {
    let server = start();
    let mut offender = Raw::join_with(&target(&server), Some(("grpc-encoding", "gzip")));
    offender.send(&encode("name", "body"));
    let (_, trailers) = offender.read_to_end();
    assert!(trailers.contains("gzip") && trailers.contains("disabled"), "{trailers:?}");
}

#[test]
fn a_client_above_the_limit() {
    let server = start_with(ServerConfig { clients_max: 1, ..ephemeral() });
    let environment = environment();
    let first = Chatter::join(&environment, &target(&server), "first");
    wait_for_clients(&server, 1);
    let (code, message) = Chatter::join(&environment, &target(&server), "second").end();
    assert_eq!(code, RpcStatusCode::RESOURCE_EXHAUSTED);
    assert!(message.contains("1 clients at once"), "{message}");
    // When a client has left, another one can connect.
    drop(first);
    wait_for_clients(&server, 0);
    let mut third = Chatter::join(&environment, &target(&server), "third");
    wait_for_clients(&server, 1);
    assert_eq!(third.next_within(std::time::Duration::from_millis(1)), None);
}

#[test]
fn a_port_in_use() {
    let server = start();
    let taken = server.addresses()[0].clone();
    let config = ServerConfig { listen: vec!["127.0.0.1:0".parse().unwrap(), taken.clone()], ..ephemeral() };
    match Server::start(&config) {
        Err(StartError::Taken(address)) => assert_eq!(address, taken),
        other => panic!("unexpected result of the second start: {:?}", other.err()),
    }
}

/// A host name with two addresses was accepted although one of them was in use.
#[test]
fn a_port_in_use_behind_a_name() {
    let server = start();
    let hubbub::address::Address::Tcp { port, .. } = server.addresses()[0] else { panic!("a TCP address") };
    let config = ServerConfig { listen: vec![format!("localhost:{port}").parse().unwrap()], ..ephemeral() };
    assert!(matches!(Server::start(&config), Err(StartError::Taken(_))));
}

#[test]
fn a_client_limit_above_that_of_the_machine() {
    let config = ServerConfig { listen: vec!["127.0.0.1:0".parse().unwrap()], clients_max: 100_000_000, ..ephemeral() };
    let error = Server::start(&config).err().expect("no machine allows this number of memory maps").to_string();
    assert!(error.contains("raise vm.max_map_count"), "{error}");
}

#[test]
fn a_socket_in_use_a_leftover_socket_and_another_file() {
    let folder = std::env::temp_dir().join(format!("hubbub-test-socket-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let address = |file: &str| format!("unix:{}/{file}", folder.display()).parse().expect("an address");
    let config = |file: &str| ServerConfig { listen: vec![address(file)], ..ephemeral() };

    let first = Server::start(&config("socket")).expect("the first server starts");
    assert!(matches!(Server::start(&config("socket")), Err(StartError::Taken(_))));
    let environment = environment();
    let mut client = Chatter::join(&environment, &target(&first), "client");
    wait_for_clients(&first, 1);
    assert_eq!(client.next_within(std::time::Duration::from_millis(1)), None, "the first server keeps running");
    drop(first);

    drop(std::os::unix::net::UnixListener::bind(folder.join("left-over")).expect("a socket"));
    drop(Server::start(&config("left-over")).expect("a leftover socket is replaced"));

    std::fs::write(folder.join("file"), "precious").expect("a file");
    assert!(matches!(Server::start(&config("file")), Err(StartError::Bind { .. })));
    assert_eq!(std::fs::read(folder.join("file")).expect("the file is still there"), b"precious");
    assert!(matches!(Server::start(&config("missing/socket")), Err(StartError::Bind { .. })));
    std::fs::remove_dir_all(&folder).expect("the folder is ours");
}

#[test]
fn wrong_usage_exits_with_2_and_failures_with_1() {
    let server = start();
    let taken = target(&server);
    for (arguments, code, text) in [
        (&["--listen", "host:x"][..], 2, "expected HOST:PORT"),
        (&["--listen", "127.0.0.1:99999"], 2, "port 99999 is above 65535"),
        (&["--clients-max", "many"], 2, "expected a whole number from 1"),
        (&["--pollers", "0"], 2, "expected a whole number from 1 to 256"),
        (&["--no-such-flag"], 2, "unknown option --no-such-flag"),
        (&["--listen", &taken], 1, "choose another address with --listen"),
        (&["--listen", "192.0.2.1:1"], 1, "can't listen on 192.0.2.1:1"),
        (&["--listen", "unix:/nowhere/socket"], 1, "its folder does not exist"),
    ] {
        let output = process::command().args(arguments).output().expect("hubbub-server starts");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
        assert!(stderr.contains(text), "{arguments:?}: {stderr}");
        assert!(output.stdout.is_empty(), "only data goes to standard output");
    }
}

#[test]
fn the_variable_port_sets_the_default() {
    let server = start();
    let hubbub::address::Address::Tcp { port, .. } = server.addresses()[0] else { panic!("a TCP address") };
    let output = process::command().env("PORT", port.to_string()).output().expect("hubbub-server starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains(&format!("127.0.0.1:{port} is taken")), "{stderr}");

    let output = process::command().env("PORT", "http").output().expect("hubbub-server starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("PORT") && stderr.contains("http"), "{stderr}");
}
