//! The repeat client with a login.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use hubbub::wire::{LIST_MESSAGES, v1};
use tempfile::TempDir;

use super::{run_command, v1_command};
use crate::support::logins::{connect, serve, token};
use crate::support::process::ServerProcess;
use crate::support::talker::call_as;

const CLIENTS: &str = "--clients 6 --senders 3 --messages 50 --json --quiet";

/// A server with accounts, and the token of the user `load`, in a file and as text.
struct Place {
    server: ServerProcess,
    file: PathBuf,
    token: String,
    _folder: TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let token = token(folder.path(), "load", &[]);
        let file = folder.path().join("token");
        fs::write(&file, &token).expect("it is written");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("its mode is set");
        Self { server: serve(folder.path(), &["--auth", "accounts"]), file, token, _folder: folder }
    }

    fn run(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        run_command(v1_command(&[&["--server", self.server.target()], arguments].concat()), CLIENTS)
    }
}

#[test]
fn all_clients_of_a_run_have_the_name_of_its_login() {
    let place = Place::new();
    let (code, json, errors) = place.run(&["--token-file", place.file.to_str().expect("a plain path")]);
    assert_eq!((code, errors.as_str()), (Some(0), ""), "{json}");
    super::assert_holds(&json, &[r#""lost":0"#, r#""acknowledged":150"#]);
    let request = v1::ListMessagesRequest { room: "repeat".to_owned(), page_size: 200, ..Default::default() };
    let page = call_as(&connect(&place.server), &LIST_MESSAGES, &request, Some(&place.token));
    let messages: Vec<_> =
        page.expect("the room can be read").events.into_iter().map(|event| event.message().clone()).collect();
    assert_eq!(messages.len(), 150);
    assert!(messages.iter().all(|message| message.sender == "load" && message.authenticated));
}

#[test]
fn a_run_without_a_valid_login_says_why() {
    let place = Place::new();
    let (code, _, errors) = place.run(&[]);
    assert!(code == Some(1) && errors.contains("token"), "{errors}");
    let (code, _, errors) = place.run(&["--token-file", "/nowhere/token"]);
    assert!(code == Some(1) && errors.contains("/nowhere/token"), "{errors}");
    let file = place.file.to_str().expect("a plain path");
    let (code, _, errors) = place.run(&["--token-file", file, "--name", "ann"]);
    assert!(code == Some(2) && errors.contains("--name can't be used with --token-file"), "{errors}");
    let (code, _, errors) = place.run(&["--token-file", file, "--contract", "tutorial"]);
    assert!(code == Some(2) && errors.contains("the tutorial's contract has no logins"), "{errors}");
}
