//! Clients of other libraries, unmodified, over TLS and with a login.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use grpcio::{Client, RpcStatusCode as Code};
use serde_json::{Value, json};

use super::authority::Authority;
use super::{serve, text};
use crate::compatible::go;
use crate::support::foreign::{Foreign, node, project, python, script};
use crate::support::logins::token;
use crate::support::process::ServerProcess;
use crate::support::talker::{self, Talker};

/// The rooms: the login of `ci` is for the first only.
const BUILDS: &str = "builds";
const TEA: &str = "tea";

/// A client of each library, for a server at this address.
type Library = fn(&str) -> Command;

fn pythons(target: &str) -> Command {
    let mut client = python();
    client.arg(script("tls.py")).arg(target).arg(project("proto"));
    client
}

fn nodes(target: &str) -> Command {
    let mut client = node();
    client.arg(script("tls.js")).arg(target).arg(project("proto"));
    client
}

fn gos(target: &str) -> Command {
    let mut client = Command::new(go::program("tls"));
    client.arg(target);
    client
}

/// A server with users, and their tokens in files.
struct Scene {
    folder: tempfile::TempDir,
    authority: Authority,
    server: ServerProcess,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path().join("data");
        for (user, restrictions) in [("ann", &[][..]), ("bob", &[]), ("cy", &[]), ("ci", &["--room", BUILDS])] {
            keep(&folder.path().join(user), &token(&data, user, restrictions));
        }
        keep(&folder.path().join("wrong"), "hub_0123abcd_00000000000000000000000000000000000000000000000000");
        let authority = Authority::new();
        let server = serve(&authority.server("server"), &["--data", text(&data), "--auth", "accounts"]);
        Self { folder, authority, server }
    }

    /// The file with a user's token; an empty name for a client without one.
    fn token(&self, user: &str) -> PathBuf {
        if user.is_empty() { PathBuf::new() } else { self.folder.path().join(user) }
    }

    fn start(&self, library: Library) -> Foreign {
        let mut client = Foreign::start(library(self.server.target()));
        client.connect(&self.authority.file);
        client
    }

    fn post(&self, token: &str, room: &str, sender: &str, body: &str) -> Value {
        let token = self.token(token);
        json!({ "ask": "post", "token": token, "room": room, "sender": sender, "body": body })
    }

    fn list(&self, token: &str, room: &str) -> Value {
        json!({ "ask": "list", "token": self.token(token), "room": room })
    }

    fn open(&self, token: &str, name: &str) -> Value {
        json!({ "ask": "open", "token": self.token(token), "name": name })
    }

    /// Our own client, of the user bob, in a room.
    fn bob(&self, room: &str) -> Talker {
        let token = fs::read_to_string(self.token("bob")).expect("it is kept");
        let client = Client::new(self.authority.connect(self.server.target(), None));
        let mut talker = Talker::over(client, "bob", Some(&token));
        talker.send(vec![talker::hello("bob")]);
        assert!(talker.next().has_welcome());
        talker.join_room(room, None);
        talker
    }
}

fn keep(file: &PathBuf, token: &str) {
    fs::write(file, token).expect("it is written");
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).expect("its mode is set");
}

fn join(room: &str) -> Value {
    json!({ "ask": "join", "room": room })
}

fn say(room: &str, body: &str) -> Value {
    json!({ "ask": "say", "room": room, "body": body })
}

/// A message of a user who has logged in.
fn message(sender: &str, body: &str) -> Value {
    json!({ "sender": sender, "authenticated": true, "body": body })
}

/// The answer to a request on the stream: this kind of event.
fn event(kind: &str, mut content: Value) -> Value {
    content["code"] = json!(0);
    content["event"] = json!(kind);
    content
}

fn trusts_only_the_servers_authority(scene: &Scene, client: &mut Foreign) {
    let other = Authority::new();
    client.connect(&other.file);
    for request in [scene.post("ann", TEA, "ann", "to a stranger"), scene.list("ann", TEA), scene.open("ann", "ann")] {
        let answer = client.ask(&request);
        assert_eq!(answer["code"], i32::from(Code::UNAVAILABLE), "{request}: {answer}");
        let reason = answer["text"].as_str().expect("a reason").to_lowercase();
        assert!(reason.contains("certificate"), "{request}: {reason}");
    }
    client.connect(&scene.authority.file);
}

fn posts_and_reads_under_its_own_name(scene: &Scene, client: &mut Foreign) {
    // The first message creates the room.
    assert_eq!(client.code(&scene.list("ann", TEA)), Code::NOT_FOUND);
    for (token, room, sender, expected) in [
        ("ann", TEA, "ann", Code::OK),
        ("ann", TEA, "", Code::OK),
        ("ci", BUILDS, "ci", Code::OK),
        ("", TEA, "ann", Code::UNAUTHENTICATED),
        ("", TEA, "nobody", Code::UNAUTHENTICATED),
        ("wrong", TEA, "ann", Code::UNAUTHENTICATED),
        ("ann", TEA, "bob", Code::PERMISSION_DENIED),
        ("ci", TEA, "ci", Code::PERMISSION_DENIED),
    ] {
        let request = scene.post(token, room, sender, &format!("{token} – ünïcödé"));
        assert_eq!(client.code(&request), expected, "{request}");
    }
    for (token, room, expected) in
        [("", TEA, Code::UNAUTHENTICATED), ("wrong", TEA, Code::UNAUTHENTICATED), ("ci", TEA, Code::PERMISSION_DENIED)]
    {
        assert_eq!(client.code(&scene.list(token, room)), expected, "{token} reads {room}");
    }
    // Refused messages are not stored.
    let [ann, ci] = ["ann", "ci"].map(|name| message(name, &format!("{name} – ünïcödé")));
    assert_eq!(client.ask(&scene.list("ann", TEA)), json!({ "code": 0, "messages": [ann, ann] }));
    assert_eq!(client.ask(&scene.list("ci", BUILDS)), json!({ "code": 0, "messages": [ci] }));
}

fn talks_on_a_stream(scene: &Scene, client: &mut Foreign) {
    for (token, name, expected) in [
        ("", "ann", Code::UNAUTHENTICATED),
        ("wrong", "ann", Code::UNAUTHENTICATED),
        ("ann", "bob", Code::PERMISSION_DENIED),
    ] {
        assert_eq!(client.code(&scene.open(token, name)), expected, "{token} says hello as {name}");
    }
    let mut bob = scene.bob(TEA);
    let welcome = |name: &str| event("welcome", json!({ "sender": name, "authenticated": true }));
    let caught_up = event("caught_up", json!({}));
    let hear = json!({ "ask": "hear" });
    assert_eq!(client.ask(&scene.open("ann", "")), welcome("ann"));
    assert_eq!(client.ask(&join(TEA)), caught_up);
    assert_eq!(client.ask(&say(TEA, "live – ünïcödé")), event("message", message("ann", "live – ünïcödé")));
    let (_, sender, body) = bob.hear();
    assert_eq!((sender.as_str(), body.as_str()), ("ann", "live – ünïcödé"));
    bob.post(TEA, 1, "and back");
    assert_eq!(client.ask(&hear), event("message", message("bob", "and back")));
    // A login for one room.
    let rejected = event("rejected", json!({}));
    assert_eq!(client.ask(&scene.open("ci", "ci")), welcome("ci"));
    assert_eq!(client.ask(&join(TEA)), rejected);
    assert_eq!(client.ask(&say(TEA, "not mine")), rejected);
    assert_eq!(client.ask(&join(BUILDS)), caught_up);
    assert_eq!(client.ask(&say(BUILDS, "green")), event("message", message("ci", "green")));
    bob.post(TEA, 2, "the last");
    assert_eq!(bob.hear().2, "and back");
    assert_eq!(bob.hear().2, "the last");
}

fn works_over_tls_with_a_login(library: Library) {
    let scene = Scene::new();
    let mut client = scene.start(library);
    trusts_only_the_servers_authority(&scene, &mut client);
    posts_and_reads_under_its_own_name(&scene, &mut client);
    talks_on_a_stream(&scene, &mut client);
    client.finish();
}

#[test]
fn pythons_client_works_over_tls_with_a_login() {
    works_over_tls_with_a_login(pythons);
}

#[test]
fn nodes_client_works_over_tls_with_a_login() {
    works_over_tls_with_a_login(nodes);
}

#[test]
fn gos_client_works_over_tls_with_a_login() {
    works_over_tls_with_a_login(gos);
}

#[test]
fn clients_of_all_libraries_talk_in_one_room() {
    let scene = Scene::new();
    let libraries: [(&str, Library); 3] = [("ann", pythons), ("bob", nodes), ("cy", gos)];
    let mut clients = libraries.map(|(name, library)| (name, scene.start(library)));
    for (name, client) in &mut clients {
        assert_eq!(client.code(&scene.open(name, "")), Code::OK);
        assert_eq!(client.code(&join(TEA)), Code::OK);
    }
    for (at, (speaker, _)) in libraries.iter().enumerate() {
        let said = event("message", message(speaker, "hello"));
        assert_eq!(clients[at].1.ask(&say(TEA, "hello")), said);
        for (_, listener) in clients.iter_mut().filter(|(name, _)| name != speaker) {
            assert_eq!(listener.ask(&json!({ "ask": "hear" })), said);
        }
    }
    for (_, client) in clients {
        client.finish();
    }
}
