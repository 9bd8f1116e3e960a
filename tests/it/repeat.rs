//! The repeat client's program, with a correct server and with servers that have one fault each: here with the
//! tutorial's contract, in `v1` with `hubbub.v1`.

mod login;
mod v1;

use std::io::Write as _;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use futures_util::{SinkExt as _, StreamExt as _};
use grpcio::{RpcStatus, RpcStatusCode, Service, ServiceBuilder, WriteFlags};
use hubbub::threads::park::block_on;
use hubbub::wire::tutorial::FromClient;
use hubbub::wire::{Frame, TUTORIAL_CHAT_SERVER};
use protobuf::Message as _;

use crate::support::chatter::{Chatter, Next, environment};
use crate::support::process::ServerProcess;
use crate::support::{start, target, wait_for_clients};
use crate::terminal::{Refuser, client_command, pty::Pty, serve};

/// The program with the tutorial's contract, without settings from the environment of the tests.
fn command(arguments: &[&str]) -> Command {
    let mut command = v1_command(arguments);
    command.env("HUBBUB_CONTRACT", "tutorial");
    command
}

/// The same with its default contract, `hubbub.v1`.
fn v1_command(arguments: &[&str]) -> Command {
    let mut command = client_command(env!("CARGO_BIN_EXE_hubbub-repeat"), arguments);
    command.stdin(Stdio::null());
    command
}

/// Runs it with these arguments on the server at the target. Returns its exit code, output, and errors.
fn run(target: &str, arguments: &str) -> (Option<i32>, String, String) {
    run_command(command(&["--server", target]), arguments)
}

fn run_command(mut command: Command, arguments: &str) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command.args(arguments.split(' ')).output().expect("hubbub-repeat starts");
    let text = |bytes| String::from_utf8(bytes).expect("the output is UTF-8");
    (status.code(), text(stdout), text(stderr))
}

fn assert_holds(json: &str, parts: &[&str]) {
    for part in parts {
        assert!(json.contains(part), "{part} in {json}");
    }
}

#[test]
fn a_correct_server_passes() {
    let server = start();
    let (code, json, errors) = run(&target(&server), "--clients 30 --senders 7 --messages 200 --json --quiet");
    assert_eq!((code, errors.as_str()), (Some(0), ""));
    // 1,400 messages at 23 clients that only listen, and 1,200 at each of the senders.
    assert_holds(&json, &[r#""sent":1400,"#, r#""delivered":40600,"#, r#""lost":0,"duplicated":0,"out_of_order":0,"#]);
    assert_holds(&json, &[r#""order_differs":0,"#, r#""failed":0,"#, r#""faultless":true"#, r#""observer":false"#]);
    wait_for_clients(&server, 0);
}

#[test]
fn an_observer_is_added_if_all_clients_send() {
    let server = start();
    for clients in [1, 2, 5] {
        let arguments = format!("--clients {clients} --senders {clients} --messages 50 --in-flight 1 --json");
        let (code, json, errors) = run(&target(&server), &arguments);
        assert_eq!(code, Some(0), "{errors}");
        assert_holds(&json, &[r#""observer":true"#, &format!(r#""delivered":{},"#, 50 * clients * clients)]);
        assert!(errors.contains("all clients send"), "{errors}");
        assert!(errors.contains("sent repeat-1 #50"), "{errors}");
    }
}

#[test]
fn other_messages_do_not_count() {
    let server = start();
    let mut bob = Chatter::join(&environment(), &target(&server), "bob");
    let target = target(&server);
    let running = thread::spawn(move || run(&target, "--clients 3 --messages 300 --rate 1000"));
    // Bob sends messages until the run ends.
    while !bob.hear().contains("#0000000300") {
        bob.say("not a number");
    }
    let (code, table, _) = running.join().expect("it runs");
    assert_eq!(code, Some(0), "{table}");
    let row = table.lines().find(|line| line.starts_with("from others")).expect("bob's messages are counted");
    assert!(!row.ends_with(" 0"), "{row}");
}

#[test]
fn each_fault_of_a_server_is_found() {
    let (clean, lost) = (r#""lost":0,"#, r#""lost":1,"#);
    for (fault, expected) in [
        (Fault::Loses, [lost, r#""duplicated":0,"out_of_order":0,"order_differs":0,"own":0,"#]),
        (Fault::Duplicates, [clean, r#""duplicated":1,"out_of_order":0,"order_differs":0,"own":0,"#]),
        (Fault::Swaps, [clean, r#""duplicated":0,"out_of_order":1,"order_differs":1,"own":0,"#]),
        (Fault::Echoes, [clean, r#""duplicated":0,"out_of_order":0,"order_differs":0,"own":1,"#]),
    ] {
        let (_server, target) = serve(faulty(fault), "127.0.0.1:0");
        let (code, json, errors) = run(&target, "--clients 4 --messages 100 --json --quiet --idle-timeout 1");
        assert_eq!(code, Some(1), "{fault:?}: {json} {errors}");
        assert_holds(&json, &expected);
        assert_holds(&json, &[r#""failed":0,"#, r#""faultless":false"#]);
    }
}

#[test]
fn receivers_that_see_different_orders_are_found() {
    let (_server, target) = serve(faulty(Fault::SwapsSenders), "127.0.0.1:0");
    let (code, json, _) =
        run(&target, "--clients 4 --senders 2 --messages 100 --rate 2000 --json --quiet --idle-timeout 1");
    assert_eq!(code, Some(1), "{json}");
    assert_holds(&json, &[r#""lost":0,"duplicated":0,"out_of_order":0,"order_differs":1,"#]);
}

#[test]
fn a_killed_server_is_a_failure() {
    let mut server = ServerProcess::start(&[]);
    let mut bob = Chatter::join(&environment(), server.target(), "bob");
    let target = server.target().to_owned();
    let running = thread::spawn(move || run(&target, "--clients 5 --messages 100000 --rate 1000 --json --quiet"));
    while !bob.hear().contains("#0000000050") {}
    server.signal(libc::SIGKILL);
    server.wait();
    let (code, json, errors) = running.join().expect("it runs");
    assert_eq!(code, Some(1));
    // The run ends when the four listeners have failed; the sender's failure may come later.
    assert!(json.contains(r#""failed":4,"#) || json.contains(r#""failed":5,"#), "{json}");
    assert_holds(&json, &[r#""faultless":false"#]);
    assert!(errors.contains("client 2 failed: "), "{errors}");
}

#[test]
fn wrong_usage_and_failures_have_different_exit_codes() {
    let nobody = {
        let server = start();
        target(&server)
    };
    for (arguments, code, fault) in [
        ("--messages 1", 1, "no server answers at"),
        (
            "--clients 1",
            2,
            "the number of messages is missing (standard input ended without it): give it with --messages",
        ),
        ("--messages many", 2, "invalid value \"many\" for --messages: expected a whole number from 1"),
        ("--messages 1 --clients 2 --senders 3", 2, "--senders 3 is more than --clients 2"),
        ("--messages 1 --size 10", 2, "--size 10 is too small for the numbering: give at least "),
        ("--clients 100 --senders 100 --messages 40000000", 2, "at most 100000000 in all can be checked"),
    ] {
        let (exit, output, errors) = run(&nobody, arguments);
        assert_eq!((exit, output.as_str()), (Some(code), ""), "{arguments}: {errors}");
        assert!(errors.contains(fault), "{errors}");
    }
}

/// A regression: the text of a server's status was not escaped.
#[test]
fn texts_of_the_server_are_escaped() {
    let server =
        Refuser::start(RpcStatus::with_message(RpcStatusCode::UNAVAILABLE, "no\x1b[2J\u{202e}\nall fine".to_owned()));
    for style in ["auto", "always"] {
        // The first failure is reported at the end. Others are logged only if they happen before the run is given up,
        // so several runs are needed.
        let logged = (0..50).any(|_| {
            let mut command = command(&["--server", &server.target, "--messages", "1", "--clients", "3"]);
            let output = command.env("RUST_LOG_STYLE", style).output().expect("hubbub-repeat starts");
            let errors = String::from_utf8(output.stderr).expect("the output is UTF-8");
            assert_eq!(output.status.code(), Some(1), "{errors}");
            assert!(errors.contains(": no\\u{1b}[2J\\u{202e}\\nall fine\n"), "{errors}");
            assert!(!errors.contains(|c: char| (c.is_control() && c != '\n') || c == '\u{202e}'), "{errors:?}");
            errors.contains(" failed: no\\u{1b}[2J\\u{202e}\\nall fine\n")
        });
        assert!(logged, "no run logged why a client failed");
    }
}

/// A regression: only the server's address had a variable.
#[test]
fn each_option_has_a_variable() {
    let server = start();
    let mut bob = Chatter::join(&environment(), &target(&server), "bob");
    wait_for_clients(&server, 1);
    let variables = [
        ("SERVER", target(&server)),
        ("CLIENTS", "4".to_owned()),
        ("SENDERS", "2".to_owned()),
        ("MESSAGES", "3".to_owned()),
        ("RATE", "1000".to_owned()),
        ("SIZE", "100".to_owned()),
        ("NAME", "tester".to_owned()),
        ("IN_FLIGHT", "1".to_owned()),
        ("IDLE_TIMEOUT", "9".to_owned()),
        ("CONTRACT", "tutorial".to_owned()),
        ("ROOM", "lobby".to_owned()),
        ("RECONNECT_TIMEOUT", "9".to_owned()),
        ("JSON", "true".to_owned()),
        ("QUIET", "1".to_owned()),
    ];
    let variables = variables.map(|(name, value)| (format!("HUBBUB_{name}"), value));
    let output = command(&[]).envs(variables.clone()).output().expect("hubbub-repeat starts");
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
    let json = String::from_utf8(output.stdout).expect("the output is UTF-8");
    assert_holds(&json, &[r#""clients":4,"#, r#""senders":2,"body_bytes":100,"planned":6,"sent":6,"#]);
    let Next::Message { name, .. } = bob.next() else { panic!("bob hears a message") };
    assert!(name == "tester-1" || name == "tester-2", "{name}");
    for (variable, _) in variables
        .iter()
        .filter(|(variable, _)| !["HUBBUB_NAME", "HUBBUB_ROOM", "HUBBUB_SERVER"].contains(&variable.as_str()))
    {
        let output = command(&[]).env(variable, "x:y").output().expect("hubbub-repeat starts");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.code() == Some(2) && errors.contains("invalid value \"x:y\" for"),
            "{variable}: {errors}"
        );
    }
}

#[test]
fn the_user_is_asked_for_a_missing_number() {
    let server = start();
    let mut pty = Pty::start(command(&["--server", &target(&server), "--quiet"]));
    let question = "How many messages? ";
    pty.wait_for_last_row(question);
    pty.press("many\n");
    pty.wait_for_row_with("Enter a number from 1 to");
    pty.wait_for_last_row(question);
    pty.press("7\n");
    pty.wait_for_row_with("latency max");
    assert_eq!(pty.end(), 0);
    assert!(pty.rows().iter().any(|row| row.starts_with("sent ") && row.ends_with(" 7")), "{:?}", pty.rows());
}

/// A regression: `echo 3 | hubbub-repeat` reported that the number was missing. The tutorial's program reads it from
/// any standard input.
#[test]
fn the_number_is_read_from_any_standard_input() {
    let server = start();
    let target = target(&server);
    let run = |input: &[u8], arguments: &[&str]| {
        let mut command = v1_command(&["--server", &target, "--json", "--quiet"]);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("hubbub-repeat starts");
        // A program that fails at once, or needs no input, does not read it.
        let _ = child.stdin.take().expect("standard input is piped").write_all(input);
        let output = child.wait_with_output().expect("it ends");
        let text = |bytes| String::from_utf8(bytes).expect("the output is UTF-8");
        (output.status.code(), text(output.stdout) + &text(output.stderr))
    };
    for (input, arguments, sent) in
        [(&b"3\n"[..], &[][..], 3), (b"3", &[], 3), (b"\r\n 4 \r\n5\n", &[], 4), (b"7\n", &["--messages", "2"], 2)]
    {
        let (code, said) = run(input, arguments);
        assert_eq!(code, Some(0), "{said}");
        assert_holds(&said, &[&format!(r#""sent":{sent},"#)]);
    }
    let garbage =
        [&b"x"[..].repeat(100_000), &b"many\n".to_vec(), &b"0\n".to_vec(), &b"-1\n".to_vec(), &b"\xff\n".to_vec()]
            .map(|input| run(input, &[]));
    for (code, said) in garbage {
        assert!(code == Some(2) && said.contains("invalid number of messages on standard input"), "{said}");
    }
    let (code, said) = run(b"", &[]);
    assert!(code == Some(2) && said.contains("standard input ended without it"), "{said}");
}

/// The fault of a server: it happens once, for the last client that joined.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Loses,
    Duplicates,
    /// One sender's messages.
    Swaps,
    /// Two senders' messages.
    SwapsSenders,
    /// To the sender.
    Echoes,
}

/// The clients in the order of joining, and the message that is held back.
#[derive(Default)]
struct Faulty {
    clients: Vec<(u32, Sender<Frame>)>,
    joined: u32,
    messages: u32,
    held: Option<(u32, Frame)>,
    done: bool,
}

/// A server of the tutorial's contract with a fault.
fn faulty(fault: Fault) -> Service {
    let state = Arc::new(Mutex::new(Faulty::default()));
    ServiceBuilder::new()
        .add_duplex_streaming_handler(&TUTORIAL_CHAT_SERVER, move |_, mut stream, mut sink| {
            let (sender, frames) = channel();
            let state = Arc::clone(&state);
            let id = {
                let mut state = state.lock().expect("no thread panicked");
                state.joined += 1;
                let id = state.joined;
                state.clients.push((id, sender));
                id
            };
            thread::spawn(move || {
                let sent = frames.iter().all(|frame| block_on(sink.send((frame, WriteFlags::default()))).is_ok());
                // The client may be gone.
                let _ = sent && block_on(sink.close()).is_ok();
            });
            thread::spawn(move || {
                while let Some(Ok(message)) = block_on(stream.next()) {
                    let message = message.parse().expect("the request is valid");
                    state.lock().expect("no thread panicked").pass_on(id, &message, fault);
                }
                state.lock().expect("no thread panicked").clients.retain(|(other, _)| *other != id);
            });
        })
        .build()
}

impl Faulty {
    fn pass_on(&mut self, from: u32, message: &FromClient, fault: Fault) {
        // Both directions have the same encoding.
        let frame = Frame::new(message.write_to_bytes().expect("it was read, so it can be written"));
        let counts = message.body.contains(": message ");
        self.messages += u32::from(counts);
        let due = counts && !self.done && self.messages >= 20;
        let last = self.clients.len() - 1;
        let mut held = self.held.take();
        if let (Fault::SwapsSenders, Some((sender, first))) = (fault, &held)
            && *sender == from
        {
            // Two messages of the same sender must not be swapped: the earlier one is sent, and this one is held.
            let _ = self.clients[last].1.send(first.clone());
            held = None;
        }
        for (at, (id, client)) in self.clients.iter().enumerate() {
            let copies = match fault {
                Fault::Echoes if *id == from => usize::from(due),
                _ if *id == from => 0,
                _ if !due || at != last => 1,
                Fault::Loses => 0,
                Fault::Duplicates => 2,
                Fault::Echoes => 1,
                // The first is held back until the next one.
                Fault::Swaps | Fault::SwapsSenders => usize::from(held.is_some()),
            };
            for _ in 0..copies {
                let _ = client.send(frame.clone());
            }
        }
        if !due {
            return;
        }
        match (fault, held) {
            (Fault::Swaps | Fault::SwapsSenders, None) => self.held = Some((from, frame)),
            (_, Some((_, held))) => {
                let _ = self.clients[last].1.send(held);
                self.done = true;
            }
            _ => self.done = true,
        }
    }
}
