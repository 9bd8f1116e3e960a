//! The repeat client over `hubbub.v1`: it verifies across lost connections, and finds each fault of a server.

use std::io::Read as _;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::{assert_holds, run_command, v1_command};
use crate::compatible::changes::Changer;
use crate::support::chatter::{Chatter, environment};
use crate::support::{start, target, wait_for};
use crate::terminal::Refuser;
use crate::terminal::model::{Delivery, Model, Verdict};

/// Runs it with these arguments on this server. Returns its exit code, output, and errors.
fn run(model: &Model, arguments: &str) -> (Option<i32>, String, String) {
    run_command(v1_command(&["--server", &model.target, "--json", "--quiet"]), arguments)
}

#[test]
fn a_correct_server_passes() {
    let model = Model::start();
    model.say("load", "bob", "before");
    let (code, json, errors) = run(&model, "--clients 10 --senders 4 --messages 200 --room load");
    assert_eq!((code, errors.as_str()), (Some(0), ""), "{json}");
    assert_holds(&json, &[r#""sent":800,"acknowledged":800,"acknowledged_lost":0,"reconnects":0,"#]);
    assert_holds(&json, &[r#""holes":0,"gaps":0,"faults":0,"rejected":0,"#, r#""faultless":true"#]);
    // A sender receives its own messages too.
    assert_holds(&json, &[r#""delivered":8000,"lost":0,"duplicated":0,"out_of_order":0,"order_differs":0,"#]);
    // The earlier message, and those of the run. A regression: a run posted one message too many.
    assert_eq!(model.bodies("load").len(), 801);
    assert!(model.bodies("load")[1].contains(": message 1 of 200 "), "{:?}", model.bodies("load")[1]);
}

/// Events that are not messages take seqs too, and a message that was changed may arrive with either text.
#[test]
fn changes_in_the_room_are_no_faults() {
    let server = start();
    let target = target(&server);
    let done = AtomicBool::new(false);
    let mut changer = Changer::new(&target, "load");
    let seq = changer.post("bob", "before");
    let (code, json, errors) = thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0.. {
                changer.edit("bob", seq, &format!("edit {n}"));
                changer.react("bob", seq, "+1", n % 2 == 1);
                let new = changer.post("bob", "to be changed");
                changer.edit("bob", new, "changed");
                changer.delete("bob", new);
                if done.load(Ordering::Relaxed) {
                    break;
                }
            }
        });
        let arguments = "--clients 4 --senders 2 --messages 150 --rate 400 --room load";
        let outcome = run_command(v1_command(&["--server", &target, "--json", "--quiet"]), arguments);
        done.store(true, Ordering::Relaxed);
        outcome
    });
    assert_eq!((code, errors.as_str()), (Some(0), ""), "{json}");
    assert_holds(&json, &[r#""acknowledged":300,"acknowledged_lost":0,"#, r#""delivered":1200,"lost":0,"#]);
    assert_holds(&json, &[r#""order_differs":0,"#, r#""holes":0,"gaps":0,"faults":0,"#, r#""faultless":true"#]);
}

#[test]
fn a_run_may_have_one_client() {
    let model = Model::start();
    let (code, json, errors) = run(&model, "--clients 1 --messages 20 --in-flight 1 --rate 1000");
    assert_eq!((code, errors.as_str()), (Some(0), ""), "{json}");
    assert_holds(&json, &[r#""acknowledged":20,"#, r#""delivered":20,"lost":0,"#]);
}

#[test]
fn lost_connections_are_counted_and_lose_nothing() {
    let model = Model::start();
    let mut posts = 0;
    model.world().judge = Box::new(move |_| {
        posts += 1;
        match posts % 400 {
            150 => Verdict::StoreAndBreak,
            350 => Verdict::Break,
            _ => Verdict::Store,
        }
    });
    let (code, json, errors) = run(&model, "--clients 6 --senders 3 --messages 300");
    assert_eq!((code, errors.as_str()), (Some(0), ""), "{json}");
    assert_holds(
        &json,
        &[r#""acknowledged":900,"acknowledged_lost":0,"#, r#""delivered":5400,"lost":0,"duplicated":0,"#],
    );
    assert_holds(&json, &[r#""faults":0,"#, r#""faultless":true"#]);
    assert!(!json.contains(r#""reconnects":0,"#), "{json}");
}

#[test]
fn violations_are_found_although_the_client_recovers() {
    for wrong in [Delivery::Never, Delivery::Twice, Delivery::Late] {
        let model = Model::start();
        let mut once = Some(wrong);
        model.world().deliver = Box::new(move |_, event| match event.seq {
            50 => once.take().unwrap_or(Delivery::Once),
            _ => Delivery::Once,
        });
        let (code, json, errors) = run(&model, "--clients 3 --messages 100");
        assert_eq!(code, Some(1), "{wrong:?}: {json}");
        assert_holds(&json, &[r#""lost":0,"duplicated":0,"#, r#""faults":1,"#, r#""faultless":false"#]);
        assert!(errors.contains("the server violated the contract: in repeat, it sent message "), "{errors}");
    }
}

#[test]
fn an_undelivered_message_is_lost() {
    let model = Model::start();
    // The last message: no later seq shows the hole.
    model.world().deliver = Box::new(|stream, event| match (stream, event.seq) {
        (3, 100..) => Delivery::Never,
        _ => Delivery::Once,
    });
    let (code, json, errors) = run(&model, "--clients 3 --messages 100 --idle-timeout 1");
    assert_eq!(code, Some(1), "{json}");
    assert_holds(&json, &[r#""acknowledged":100,"acknowledged_lost":1,"#, r#""delivered":299,"lost":1,"#]);
    assert!(errors.contains("no message arrived for 1s: giving up"), "{errors}");
}

#[test]
fn a_loss_of_acknowledged_messages_is_found() {
    let model = Model::start();
    let target = model.target.clone();
    let running = std::thread::spawn(move || {
        let command = v1_command(&["--server", &target, "--json", "--quiet"]);
        run_command(command, "--clients 3 --messages 300 --rate 300 --idle-timeout 1")
    });
    wait_for("some messages", || model.bodies("repeat").len() >= 60);
    model.lose_history("repeat", 50);
    let (code, json, _) = running.join().expect("it runs");
    assert_eq!(code, Some(1), "{json}");
    assert_holds(&json, &[r#""faultless":false"#]);
    // All clients had received the lost messages, so all got a gap.
    assert!(!json.contains(r#""gaps":0,"#), "{json}");
}

#[test]
fn a_message_stored_twice_is_found_even_at_the_end() {
    for number in [": message 10 of ", ": message 100 of "] {
        let model = Model::start();
        let mut seen = None;
        // The server stores the message twice.
        model.world().judge = Box::new(move |post| {
            if post.body.contains(number) && seen.is_none() {
                seen = Some(());
                return Verdict::StoreTwice;
            }
            Verdict::Store
        });
        let (code, json, _) = run(&model, "--clients 3 --messages 100");
        assert_eq!(code, Some(1), "{json}");
        assert_holds(&json, &[r#""lost":0,"duplicated":3,"#, r#""holes":0,"#, r#""faultless":false"#]);
    }
}

#[test]
fn a_rejected_message_is_a_fault_and_blocks_no_sender() {
    let model = Model::start();
    model.world().judge = Box::new(|post| match post.body.contains(": message 7 of ") {
        true => Verdict::Reject { reason: "not that", retry_after_ms: 0 },
        false => Verdict::Store,
    });
    let (code, json, errors) = run(&model, "--clients 2 --messages 100 --in-flight 2 --idle-timeout 1");
    assert_eq!(code, Some(1), "{json}");
    assert_holds(&json, &[r#""acknowledged":99,"#, r#""rejected":1,"#, r#""lost":0,"#]);
    assert!(errors.contains("not that"), "{errors}");
}

#[test]
fn a_long_outage_ends_the_run() {
    let model = Model::start();
    let target = model.target.clone();
    let running = std::thread::spawn(move || {
        let command = v1_command(&["--server", &target, "--json", "--quiet"]);
        run_command(command, "--clients 3 --messages 100000 --rate 500 --reconnect-timeout 1")
    });
    wait_for("some messages", || model.bodies("repeat").len() >= 50);
    drop(model);
    let (code, json, errors) = running.join().expect("it runs");
    assert_eq!(code, Some(1), "{json}");
    assert_holds(&json, &[r#""failed":3,"#, r#""faultless":false"#]);
    assert!(errors.contains("client 2 failed: no connection for 1s ("), "{errors}");
}

#[test]
fn a_server_of_the_tutorials_contract_is_an_error_with_a_remedy() {
    let refuser = Refuser::start(grpcio::RpcStatus::new(grpcio::RpcStatusCode::OK));
    let (code, output, errors) = run_command(v1_command(&["--server", &refuser.target]), "--messages 1 --clients 5");
    assert_eq!((code, output.as_str()), (Some(1), ""), "{errors}");
    assert!(errors.contains("use --contract tutorial"), "{errors}");
    let arguments = "--messages 1 --contract tutorial --room tea";
    let (code, _, errors) = run_command(v1_command(&["--server", &refuser.target]), arguments);
    assert!(code == Some(2) && errors.contains("no room but lobby"), "{errors}");
}

#[test]
fn messages_of_others_in_the_room_do_not_count() {
    let server = start();
    let mut bob = Chatter::join(&environment(), &target(&server), "bob");
    let target = target(&server);
    let running = std::thread::spawn(move || {
        let command = v1_command(&["--server", &target, "--json", "--quiet"]);
        run_command(command, "--clients 20 --senders 5 --messages 200 --rate 2000 --room lobby")
    });
    // A client of the tutorial's contract is in the same room.
    while !bob.hear().contains("#0000000200") {
        bob.say("not a number");
    }
    let (code, json, errors) = running.join().expect("it runs");
    assert_eq!((code, errors.as_str()), (Some(0), ""), "{json}");
    assert_holds(&json, &[r#""acknowledged":1000,"acknowledged_lost":0,"#, r#""delivered":20000,"lost":0,"#]);
    assert!(!json.contains(r#""foreign":0,"#), "{json}");
}

/// A regression: Ctrl-C ended a run of an hour without a report. With both contracts it stops sending, waits for the
/// sent messages, and reports.
#[test]
fn an_interrupted_run_reports_the_sent_messages() {
    let (model, server) = (Model::start(), start());
    for (contract, target) in [("v1", model.target.clone()), ("tutorial", target(&server))] {
        let arguments = ["--server", &target, "--contract", contract, "--clients", "4", "--senders", "2", "--json"];
        let mut command = v1_command(&arguments);
        // At this rate the run would take many hours.
        command.args(["--messages", "1000000", "--rate", "20", "--quiet"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("hubbub-repeat starts");
        if contract == "v1" {
            wait_for("some messages", || model.bodies("repeat").len() >= 5);
        } else {
            let mut watcher = Chatter::join(&environment(), &target, "watcher");
            while !watcher.hear().contains(": message 3 of 1000000 ") {}
        }
        // SAFETY: the process is our child and was not waited for.
        assert_eq!(unsafe { libc::kill(child.id() as libc::pid_t, libc::SIGINT) }, 0);
        let mut json = String::new();
        child.stdout.take().expect("it is piped").read_to_string(&mut json).expect("the output is UTF-8");
        let mut errors = String::new();
        child.stderr.take().expect("it is piped").read_to_string(&mut errors).expect("the output is UTF-8");
        assert_eq!(child.wait().expect("it ends").code(), Some(130), "{json} {errors}");
        assert!(errors.contains("hubbub-repeat: interrupted: waiting for the sent messages"), "{errors}");
        assert_holds(&json, &[r#""lost":0,"#, r#""interrupted":true,"faultless":true"#, r#""planned":2000000,"#]);
        let report: serde_json::Value = serde_json::from_str(&json).expect("it is JSON");
        let (sent, delivered) = (report["sent"].as_u64().unwrap(), report["delivered"].as_u64().unwrap());
        // On hubbub.v1 senders get their own messages too.
        let each = if contract == "v1" { sent * 4 } else { sent * 3 };
        assert!(sent > 0 && sent < 2_000_000 && delivered == each, "{json}");
    }
}

/// Before the first message there is nothing to report.
#[test]
fn an_interrupt_before_the_first_message_ends_the_run() {
    // Accepts connections and sends nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = silent.local_addr().expect("it has an address").to_string();
    let mut command = v1_command(&["--server", &address, "--messages", "5"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("hubbub-repeat starts");
    let (_connection, _) = silent.accept().expect("it connects");
    // SAFETY: the process is our child and was not waited for.
    assert_eq!(unsafe { libc::kill(child.id() as libc::pid_t, libc::SIGTERM) }, 0);
    let mut errors = String::new();
    child.stderr.take().expect("it is piped").read_to_string(&mut errors).expect("the output is UTF-8");
    assert_eq!(child.wait().expect("it ends").code(), Some(143), "{errors}");
    assert_eq!(errors, "hubbub-repeat: interrupted: no report\n");
}

/// Users read the lobby, so a run there disturbs them.
#[test]
fn a_run_in_the_lobby_warns() {
    let server = start();
    for (arguments, warns) in [
        ("--messages 1", false),
        ("--messages 1 --room lobby", true),
        ("--messages 1 --room lobby --quiet", false),
        ("--messages 1 --contract tutorial", true),
    ] {
        let (code, output, errors) = run_command(v1_command(&["--server", &target(&server)]), arguments);
        assert_eq!(code, Some(0), "{output} {errors}");
        assert_eq!(errors.contains("these messages are posted to the room lobby"), warns, "{arguments}: {errors}");
    }
}

/// A regression: with `RUST_LOG=off`, a failed run printed only its numbers.
#[test]
fn a_failure_is_reported_with_any_log_filter() {
    let model = Model::start();
    model.world().deliver = Box::new(|stream, event| match (stream, event.seq) {
        (3, 100..) => Delivery::Never,
        _ => Delivery::Once,
    });
    let mut command = v1_command(&["--server", &model.target]);
    command.env("RUST_LOG", "off");
    let (code, _, errors) = run_command(command, "--clients 3 --messages 100 --idle-timeout 1");
    assert_eq!(code, Some(1));
    assert!(errors.contains("hubbub-repeat: no message arrived for 1s: giving up"), "{errors}");
}
