//! The terminal client's program: here with the tutorial's contract, in the modules with `hubbub.v1`.

mod emulator;
pub mod pty;
mod hostile;
mod numbers;
mod lost;
pub mod model;
mod session;
mod chat_v1;
mod changes;
mod exports;
mod searches;
mod commands;
mod rooms;
mod scripts;
mod startup;
mod editing;
mod times;
mod unsent;
mod outage;
mod people;
mod leaving;

use std::env;
use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;

use futures_util::FutureExt as _;
use grpcio::{ChannelBuilder, Environment, RpcStatus, ServerBuilder, ServerCredentials, Service, ServiceBuilder};
use hubbub::server::Server;
use hubbub::wire::TUTORIAL_CHAT_SERVER;

use self::pty::{COLUMNS, Pty};
use crate::support::chatter::{Chatter, environment};
use crate::support::{start, target, wait_for, wait_for_clients};

/// The client's program with the tutorial's contract, without settings from the environment of the tests.
fn command(arguments: &[&str]) -> Command {
    let mut command = v1_command(arguments);
    command.env("HUBBUB_CONTRACT", "tutorial");
    command
}

/// The same with its default contract, `hubbub.v1`.
fn v1_command(arguments: &[&str]) -> Command {
    client_command(env!("CARGO_BIN_EXE_hubbub"), arguments)
}

/// A program without settings from the environment of the tests.
pub fn client_command(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    let is_setting = |variable: &str| variable.starts_with("HUBBUB_") || variable.starts_with("RUST_LOG");
    for (variable, _) in env::vars_os().filter(|(variable, _)| variable.to_str().is_some_and(is_setting)) {
        command.env_remove(variable);
    }
    for variable in ["PORT", "NO_COLOR", "TMUX", "STY", "XTERM_VERSION"] {
        command.env_remove(variable);
    }
    // The user's home is not changed, and no test finds the files of another one.
    let home = format!("{}/home-{:x}", env!("CARGO_TARGET_TMPDIR"), fastrand::u64(..));
    command.env("HOME", home).env_remove("XDG_STATE_HOME");
    // The full screen has tests of its own.
    command.env("HUBBUB_PLAIN", "1");
    command.env("TERM", "xterm").env("TZ", "UTC").args(arguments);
    command
}

/// The client with pipes instead of a terminal.
fn piped(arguments: &[&str]) -> Child {
    start_piped(command(arguments))
}

fn start_piped(mut command: Command) -> Child {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("hubbub starts")
}

/// Runs the client on an input to its end.
fn run(arguments: &[&str], input: &[u8]) -> Output {
    run_to_end(command(arguments), input)
}

fn run_to_end(command: Command, input: &[u8]) -> Output {
    let mut client = start_piped(command);
    let mut stdin = client.stdin.take().expect("standard input is piped");
    // A client that fails at once does not read its input.
    let _ = stdin.write_all(input);
    drop(stdin);
    client.wait_with_output().expect("the client ends")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("the output is UTF-8")
}

/// A client on a terminal, after its join.
fn on_terminal(server: &Server, name: &str) -> Pty {
    let before = server.client_count();
    let pty = Pty::start(command(&["--server", &target(server), "--name", name]));
    wait_for_clients(server, before + 1);
    pty.wait_for_last_row("> ");
    pty
}

fn join(server: &Server, name: &str) -> Chatter {
    let before = server.client_count();
    let chatter = Chatter::join(&environment(), &target(server), name);
    wait_for_clients(server, before + 1);
    chatter
}

#[test]
fn a_file_is_sent_line_by_line() {
    let server = start();
    let mut listener = join(&server, "listener");
    let lines = 3_000;
    let input: String = (0..lines).map(|n| format!("  line {n}\t \r\n\n")).collect();
    let output = run(&["--server", &target(&server), "--name", "file"], input.as_bytes());
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
    for n in 0..lines {
        assert_eq!(listener.hear(), format!("line {n}"));
    }
}

#[test]
fn messages_are_printed_until_the_input_ends() {
    // A server refuses such a body.
    let model = model::Model::start();
    let mut client = start_piped(v1_command(&["--server", &model.target, "--name", "reader"]));
    wait_for("the client", || !model.world().joins.is_empty());
    model.say("lobby", "bob", "hello");
    model.say("lobby", "bob", "two\nlines \x1b[2J\u{202e}");
    model.say("lobby", "x: y", "z");
    // If the input ended now, the client could end before it printed everything.
    let mut stdout = client.stdout.take().expect("standard output is piped");
    let mut shown = vec![0; "bob: hello\nbob: two\\nlines \\u{1b}[2J\\u{202e}\nx\\u{3a} y: z\n".len()];
    stdout.read_exact(&mut shown).expect("the client prints");
    assert_eq!(String::from_utf8_lossy(&shown), "bob: hello\nbob: two\\nlines \\u{1b}[2J\\u{202e}\nx\\u{3a} y: z\n");
    drop(client.stdin.take());
    assert_eq!(client.wait().expect("it ends").code(), Some(0));
}

#[test]
fn invalid_lines_do_not_affect_others() {
    let server = start();
    let mut listener = join(&server, "listener");
    let mut input = vec![b'x'; 20_000];
    input.extend_from_slice(b"\nfirst\n\xff\xfe\nsecond");
    let output = run(&["--server", &target(&server), "--name", "file"], &input);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!((listener.hear(), listener.hear()), ("first".to_owned(), "second".to_owned()));
    assert!(stderr(&output).contains("not sent: the body has 20000 bytes: send at most 16384"), "{}", stderr(&output));
    assert!(stderr(&output).contains("not sent: the line is not valid UTF-8"), "{}", stderr(&output));
}

#[test]
fn wrong_usage_and_failures_have_different_exit_codes() {
    let nobody = {
        let server = start();
        target(&server)
    };
    for (arguments, code, fault) in [
        (&["--server", &nobody, "--name", "ann"][..], 1, format!("no server answers at {nobody}: start one with")),
        (&["--server", &nobody], 2, "no name: give one with --name".to_owned()),
        (&["--server", &nobody, "--name", " "], 2, "the name is empty".to_owned()),
        (&["--server", "localhost:", "--name", "ann"], 2, "missing port after the colon".to_owned()),
        (&["--what"], 2, "unknown option --what".to_owned()),
    ] {
        let output = run(arguments, b"");
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        assert!(stderr(&output).contains(&fault), "{}", stderr(&output));
        assert!(output.stdout.is_empty());
    }
    let output = command(&["--name", "ann"]).env("PORT", "x").stdin(Stdio::null()).output().expect("hubbub starts");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("the variable PORT is \"x\""));
}

#[test]
fn a_closed_output_ends_the_client_without_an_error() {
    let server = start();
    let mut client = piped(&["--server", &target(&server), "--name", "reader"]);
    wait_for_clients(&server, 1);
    drop(client.stdout.take());
    join(&server, "bob").say("anybody there?");
    // The input is still open, so only the closed output ends the client.
    assert_eq!(client.wait().expect("it ends").code(), Some(0));
    let mut errors = String::new();
    client.stderr.take().expect("standard error is piped").read_to_string(&mut errors).expect("the output is UTF-8");
    assert_eq!(errors, "");
}

#[test]
fn incoming_messages_do_not_disturb_the_draft() {
    let server = start();
    let mut bob = join(&server, "bob");
    let mut ann = on_terminal(&server, "ann");
    ann.press("half a th");
    ann.wait_for_last_row("> half a th");
    for n in 0..50 {
        bob.say(&format!("hello {n}"));
        ann.press(if n % 2 == 0 { "o" } else { "\x7f" });
    }
    bob.say(&"long ".repeat(40));
    ann.wait_for_row_with("hello 49");
    ann.wait_for_last_row("> half a th");
    // No key is pressed now, which would redraw the line.
    bob.say("still there?");
    ann.wait_for_row("bob: still there?");
    ann.wait_for_last_row("> half a th");
    ann.press("ought\r");
    assert_eq!(bob.hear(), "half a thought");
    ann.wait_for_last_row("> ");
    let rows = ann.rows();
    let heard: Vec<_> = rows.iter().filter(|row| row.starts_with("bob: hello")).cloned().collect();
    assert_eq!(heard, (0..50).map(|n| format!("bob: hello {n}")).collect::<Vec<_>>());
    assert_eq!(rows.iter().filter(|row| row.starts_with('>')).collect::<Vec<_>>(), ["> half a thought", ">"]);
    ann.press("\x04");
    assert_eq!(ann.end(), 0);
}

#[test]
fn a_line_is_edited_recalled_and_scrolled() {
    let server = start();
    let mut bob = join(&server, "bob");
    let mut ann = on_terminal(&server, "ann");
    ann.press("wrold\x1b[D\x1b[D\x1b[D\x7fo\x01Hello, \x05!\x1b[D\x1b[D\x1b[D\x1b[3~\x1b[D\x1b[Dr\x05");
    ann.press("\r");
    let first = bob.hear();
    ann.press("\x1b[A?\r");
    assert_eq!(bob.hear(), format!("{first}?"));
    let long = "0123456789".repeat(20);
    ann.press(&long);
    ann.wait_for_last_row(&format!("> {}", &long[long.len() - (COLUMNS - 3)..]));
    ann.resize(30);
    ann.wait_for_last_row(&format!("> {}", &long[long.len() - 27..]));
    ann.press("\r");
    assert_eq!(bob.hear(), long);
    ann.press("\x04");
    assert_eq!(ann.end(), 0);
}

#[test]
fn lines_before_the_end_of_input_are_delivered() {
    let server = start();
    let mut bob = join(&server, "bob");
    for n in 0..20 {
        let mut ann = on_terminal(&server, "ann");
        ann.press(&format!("one {n}\rtwo {n}\r\x04"));
        assert_eq!(ann.end(), 0);
        assert_eq!((bob.hear(), bob.hear()), (format!("one {n}"), format!("two {n}")));
        wait_for_clients(&server, 1);
    }
}

#[test]
fn the_client_asks_for_a_missing_name() {
    let server = start();
    let mut bob = join(&server, "bob");
    let mut ann = Pty::start(command(&["--server", &target(&server)]));
    ann.wait_for_last_row("Your name: ");
    ann.press(" \n");
    ann.wait_for_row_with("* the name is empty");
    ann.wait_for_last_row("Your name: ");
    ann.press(" Ann \n");
    ann.wait_for_last_row("> ");
    ann.press("hi\r");
    assert_eq!(bob.next(), crate::support::chatter::Next::Message { name: "Ann".to_owned(), body: "hi".to_owned() });
    ann.press("\x04");
    assert_eq!(ann.end(), 0);
}

#[test]
fn interrupts_and_signals_restore_the_terminal() {
    let server = start();
    let mut ann = on_terminal(&server, "ann");
    ann.press("half\x03");
    assert_eq!(ann.end(), 130);
    for signal in [libc::SIGTERM, libc::SIGHUP, libc::SIGINT] {
        wait_for_clients(&server, 0);
        let mut ann = on_terminal(&server, "ann");
        ann.signal(signal);
        assert_eq!(ann.end(), 128 + signal);
    }
}

/// A server that ends every conversation with one status.
pub struct Refuser {
    pub target: String,
    _server: grpcio::Server,
}

impl Refuser {
    pub fn start(status: RpcStatus) -> Self {
        let service = ServiceBuilder::new()
            .add_duplex_streaming_handler(&TUTORIAL_CHAT_SERVER, move |ctx, stream, sink| {
                let refusal = sink.fail(status.clone());
                // Dropping the stream cancels the call, so it is kept until the status is sent.
                ctx.spawn(refusal.map(|_| drop(stream)));
            })
            .build();
        let (_server, target) = serve(service, "127.0.0.1:0");
        Self { target, _server }
    }
}

/// A server of the gRPC library alone.
pub fn serve(service: Service, place: &str) -> (grpcio::Server, String) {
    let environment = Arc::new(Environment::new(1));
    let settings = ChannelBuilder::new(Arc::clone(&environment)).build_args();
    let mut server =
        ServerBuilder::new(environment).register_service(service).channel_args(settings).build().expect("it is built");
    let port = server.add_listening_port(place, ServerCredentials::insecure()).expect("the port is free");
    server.start();
    (server, format!("127.0.0.1:{port}"))
}
