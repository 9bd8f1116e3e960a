//! The tutorial's contract with foreign clients: Python's gRPC, with stubs generated from the proto file.

pub mod go;
pub mod changes;
mod http;

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::support::chatter::{Chatter, Next, environment};
use super::support::{start, target, wait_for_clients};

#[test]
fn python_clients_exchange_messages_with_each_other_and_ours() {
    let python = std::env::var("HUBBUB_TEST_PYTHON").expect(
        "HUBBUB_TEST_PYTHON names a Python that has grpcio-tools: run the tests with `make test`, which makes one",
    );
    let server = start();
    let environment = environment();
    let mut ours = Chatter::join(&environment, &target(&server), "rust");
    wait_for_clients(&server, 1);
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));

    let done = AtomicBool::new(false);
    let output = thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                match ours.next_within(Duration::from_millis(20)) {
                    Some(Next::Message { body, .. }) if body == "marco" => ours.say("polo"),
                    Some(Next::Message { .. }) | None => {}
                    Some(ended @ Next::Ended { .. }) => panic!("our client's stream ended: {ended:?}"),
                }
            }
        });
        let output = Command::new(python)
            .arg(project.join("tests/compatible/clients.py"))
            .arg(target(&server))
            .arg(project.join("proto"))
            .output();
        done.store(true, Ordering::Relaxed);
        output.expect("HUBBUB_TEST_PYTHON can be run")
    });
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    wait_for_clients(&server, 1);
}
