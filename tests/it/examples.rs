//! `examples/bots`: a bot, a webhook for alerts and a bridge lose nothing and post nothing twice while the server and
//! they themselves are killed.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::http::client::Client;
use crate::support::process::{ServerProcess, command, lasting_address};
use crate::support::program::{Program, in_python};
use crate::support::{DEADLINE, seed, wait_for};

const SECRET: &str = "a-secret-of-the-test";

/// A server that is killed and started again, with HTTP on the same address. Its data is in the folder.
struct Server {
    data: PathBuf,
    http: String,
    running: Option<ServerProcess>,
}

impl Server {
    fn start(folder: &Path, name: &str) -> Self {
        let mut server = Self { data: folder.join(name), http: lasting_address(), running: None };
        server.restart();
        server
    }

    /// Kills it, and starts it again.
    fn restart(&mut self) {
        if let Some(running) = self.running.take() {
            running.crash();
        }
        let mut server = command();
        server.args(["--listen", "127.0.0.1:0", "--http", &self.http, "--data"]).arg(&self.data);
        let mut server = ServerProcess::listening(server);
        server.wait_for_log("serving HTTP on ");
        self.running = Some(server);
    }

    fn url(&self) -> String {
        format!("http://{}", self.http)
    }

    fn call(&self, method: &str, request: &Value) -> Value {
        let response = Client::connect(&self.http).call(method, request);
        assert_eq!(response.status, 200, "{method}: {response:?}");
        response.json()
    }

    fn post(&self, room: &str, sender: &str, body: &str) {
        self.call("PostMessage", &json!({"room": room, "sender": sender, "body": body}));
    }

    /// The senders and bodies of a room's messages; none if the room does not exist.
    fn messages(&self, room: &str) -> Vec<(String, String)> {
        let mut messages = Vec::new();
        let mut after = "0".to_owned();
        loop {
            let request = json!({"room": room, "afterSeq": after, "pageSize": 1000});
            let response = Client::connect(&self.http).call("ListMessages", &request);
            if response.status == 404 {
                return messages;
            }
            let page = response.json();
            let Some(events) = page["events"].as_array().filter(|events| !events.is_empty()) else { return messages };
            let text = |event: &Value, field: &str| event["message"][field].as_str().unwrap_or_default().to_owned();
            messages.extend(events.iter().map(|event| (text(event, "sender"), text(event, "body"))));
            after = events[events.len() - 1]["seq"].as_str().expect("a seq is a string").to_owned();
        }
    }

    /// The bodies of one sender's messages in a room.
    fn bodies(&self, room: &str, sender: &str) -> Vec<String> {
        self.messages(room).into_iter().filter(|message| message.0 == sender).map(|message| message.1).collect()
    }
}

/// A folder, and programs that are killed and started again.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn file(&self, name: &str) -> String {
        self.path().join(name).to_str().expect("a plain path").to_owned()
    }

    /// Starts one of the examples, which keeps its state in the folder.
    fn start(&self, example: &str, arguments: &[&str]) -> Program {
        let mut program = in_python(&format!("examples/bots/{example}.py"));
        program.args(arguments).env("ALERTS_TOKEN", SECRET);
        Program::start(program)
    }

    /// Waits until the state has this many places: then nothing that is posted is missed.
    fn wait_for_places(&self, name: &str, count: usize) {
        let places = || -> Option<usize> {
            let state: Value = serde_json::from_str(&fs::read_to_string(self.file(name)).ok()?).ok()?;
            state.as_object().map(|state| state.len())
        };
        wait_for("the places of a program", || places() == Some(count));
    }
}

/// Starts a bot in the room `tea`.
fn start_bot(folder: &Folder, server: &Server) -> Program {
    let bot = folder.start("bot", &[&server.url(), "tea", "--state", &folder.file("bot.json")]);
    folder.wait_for_places("bot.json", 1);
    bot
}

#[test]
fn the_bot_answers_each_command_once_while_it_and_the_server_are_killed() {
    let mut random = fastrand::Rng::with_seed(seed());
    let folder = Folder::new();
    let mut server = Server::start(folder.path(), "data");
    let mut bot = start_bot(&folder, &server);
    let mut count = 0;
    for round in 0..12 {
        let before = server.bodies("tea", "bot").len();
        for _ in 0..random.usize(1..20) {
            server.post("tea", "ann", "!roll 3d1000");
            server.post("tea", "ann", "no command");
            count += 1;
        }
        // Mostly it is answering when something is killed, and sometimes starting.
        if round % 4 < 3 {
            wait_for("an answer", || server.bodies("tea", "bot").len() > before);
        }
        if round % 3 == 0 {
            server.restart();
        } else {
            drop(bot);
            bot = start_bot(&folder, &server);
        }
    }
    // It answers in order: after this, nothing more comes.
    server.post("tea", "ann", "!ping");
    wait_for("the last answer", || server.bodies("tea", "bot").last().is_some_and(|body| body == "ann: pong"));
    let answers = server.bodies("tea", "bot");
    assert_eq!(answers.len(), count + 1, "{answers:#?}");
    assert!(answers[..count].iter().all(|body| body.starts_with("ann: ") && body.contains(" = ")), "{answers:#?}");
}

/// A crash at the worst moment: the answer is posted, and the place not stored. The dice fall differently afterwards.
#[test]
fn a_bot_that_crashes_before_it_stores_its_place_does_not_answer_twice() {
    let folder = Folder::new();
    let server = Server::start(folder.path(), "data");
    let mut bot = start_bot(&folder, &server);
    server.post("tea", "ann", "!ping");
    wait_for("an answer", || server.bodies("tea", "bot").len() == 1);
    // It has seen its own answer, message 2.
    wait_for("its place", || fs::read_to_string(folder.file("bot.json")).is_ok_and(|state| state.contains("-2\"")));
    // Its state is first written to this file, which can't be opened now.
    fs::create_dir(folder.file("bot.json.draft")).expect("there is no such file while nothing is written");
    server.post("tea", "ann", "!roll 9d1000000");
    assert!(!bot.wait().success());
    let first = server.bodies("tea", "bot");
    assert_eq!(first.len(), 2, "{first:?}");
    fs::remove_dir(folder.file("bot.json.draft")).expect("it is there");
    let _bot = start_bot(&folder, &server);
    server.post("tea", "ann", "!roll 1d1");
    wait_for("another answer", || server.bodies("tea", "bot").len() >= 3);
    let answers = server.bodies("tea", "bot");
    assert_eq!(answers[..2], first);
    assert_eq!(answers[2..], ["ann: roll at most 100 dice, with 2 to 1000000 sides, as in: !roll 2d6"]);
}

#[test]
fn the_bot_ignores_itself_and_what_was_said_before_it_came() {
    let folder = Folder::new();
    let server = Server::start(folder.path(), "data");
    server.post("tea", "ann", "!ping");
    let _bot = start_bot(&folder, &server);
    server.post("tea", "bot", "!ping");
    server.post("tea", "bob", "!roll");
    wait_for("an answer", || server.bodies("tea", "bot").len() == 2);
    let answers = server.bodies("tea", "bot");
    assert!(answers[0] == "!ping" && answers[1].starts_with("bob: "), "{answers:?}");
}

/// Sends a request to the webhook. `None` if there was no whole response.
fn send(address: &str, authorization: &str, body: &str) -> Option<(u16, String)> {
    send_declared(address, authorization, body, body.len())
}

/// The same with a length that need not be that of the body.
fn send_declared(address: &str, authorization: &str, body: &str, length: usize) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(DEADLINE)).expect("it can be set");
    let head = format!("POST /alerts HTTP/1.1\r\nAuthorization: {authorization}\r\nContent-Length: {length}\r\n\r\n");
    stream.write_all(&[head.as_bytes(), body.as_bytes()].concat()).ok()?;
    let mut response = String::new();
    stream.read_to_string(&mut response).ok()?;
    let (head, text) = response.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok())?;
    text.ends_with('\n').then(|| (status, text.to_owned()))
}

fn start_alerts(folder: &Folder, server: &Server, address: &str) -> Program {
    let alerts = folder.start("alerts", &[&server.url(), "alerts", "--listen", address]);
    alerts.wait_until_said("listening on ");
    alerts
}

#[test]
fn each_alert_is_posted_once_while_the_webhook_and_the_server_are_killed() {
    const ALERTS: usize = 150;
    let mut random = fastrand::Rng::with_seed(seed());
    let folder = Folder::new();
    let server = Mutex::new(Server::start(folder.path(), "data"));
    let address = lasting_address();
    let start = || start_alerts(&folder, &server.lock().expect("no thread panics"), &address);
    let mut alerts = Some(start());
    let (sent, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..ALERTS {
                let body = json!({"text": format!("alert {number}"), "id": number}).to_string();
                let mut last = None;
                // As a sender does: again and again, with the same content.
                wait_for("an alert to be taken", || {
                    last = send(&address, &format!("Bearer {SECRET}"), &body);
                    assert!(!matches!(&last, Some((status, _)) if *status < 500 && *status != 200), "{last:?}");
                    matches!(last, Some((200, _)))
                });
                sent.fetch_add(1, Ordering::Relaxed);
            }
            over.store(true, Ordering::Relaxed);
        });
        for round in 0.. {
            let is_over = || over.load(Ordering::Relaxed);
            let due = sent.load(Ordering::Relaxed) + random.usize(1..15);
            wait_for("some alerts", || is_over() || sent.load(Ordering::Relaxed) >= due);
            if is_over() {
                assert!(round > 6, "few kills: {round}");
                break;
            }
            if round % 2 == 0 {
                server.lock().expect("no thread panics").restart();
            } else {
                // Before another one can have its address.
                drop(alerts.take());
                alerts = Some(start());
            }
        }
    });
    let bodies = server.lock().expect("no thread panics").bodies("alerts", "alerts");
    assert_eq!(bodies, (0..ALERTS).map(|number| format!("alert {number}")).collect::<Vec<_>>());
}

/// A notification as Alertmanager sends it.
fn notification(status: &str, count: usize) -> Value {
    let alert = |number: usize| {
        json!({
            "status": status,
            "labels": {"alertname": "DiskFull", "instance": format!("db{number}")},
            "annotations": {"summary": format!("db{number} has\nno space \u{202e}left\u{7}")},
            "startsAt": "2026-11-28T10:00:00Z",
            "endsAt": "0001-01-01T00:00:00Z",
            "fingerprint": format!("{number:016x}"),
        })
    };
    json!({
        "version": "4",
        "groupKey": "{}:{alertname=\"DiskFull\"}",
        "truncatedAlerts": 0,
        "status": status,
        "receiver": "hubbub",
        "alerts": (0..count).map(alert).collect::<Vec<_>>(),
    })
}

#[test]
fn a_notification_of_alertmanager_is_one_message_until_it_changes() {
    let folder = Folder::new();
    let server = Server::start(folder.path(), "data");
    let address = lasting_address();
    let _alerts = start_alerts(&folder, &server, &address);
    let send = |body: &Value| send(&address, &format!("Bearer {SECRET}"), &body.to_string()).expect("a response");
    for _ in 0..3 {
        assert_eq!(send(&notification("firing", 2)), (200, "stored as message 1\n".to_owned()));
    }
    assert_eq!(send(&notification("firing", 13)).0, 200);
    assert_eq!(send(&notification("resolved", 1)).0, 200);
    let bodies = server.bodies("alerts", "alerts");
    assert_eq!(
        bodies[0],
        "🔥 DiskFull: db0 has no space \u{fffd}left\u{fffd}\n🔥 DiskFull: db1 has no space \u{fffd}left\u{fffd}"
    );
    assert_eq!((bodies[1].lines().count(), bodies[1].lines().last()), (11, Some("… and 3 more")));
    assert!(bodies[2].starts_with("✅ DiskFull: db0") && bodies.len() == 3, "{bodies:?}");
}

#[test]
fn the_webhook_refuses_strangers_and_nonsense_with_the_reason() {
    let folder = Folder::new();
    let server = Server::start(folder.path(), "data");
    let address = lasting_address();
    let _alerts = start_alerts(&folder, &server, &address);
    let ours = format!("Bearer {SECRET}");
    let check = |authorization: &str, body: &str, status: u16, words: &str| {
        let (code, text) = send(&address, authorization, body).expect("a response");
        assert!(code == status && text.contains(words), "{body:.60}: {code} {text}");
    };
    let hello = r#"{"text":"hello"}"#;
    for stranger in ["", "Bearer", "Bearer wrong", SECRET, &format!("{ours}x"), "Bearer \u{e9}"] {
        check(stranger, hello, 401, "ALERTS_TOKEN");
    }
    let nested = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    for nonsense in ["", "x", "1", "[]", "{}", r#"{"alerts":1}"#, r#"{"alerts":[1]}"#, r#"{"text":1}"#, &nested] {
        check(&ours, nonsense, 400, "send a notification of Alertmanager");
    }
    check(&ours, r#"{"text":" "}"#, 400, "the body is empty");
    let (code, text) = send_declared(&address, &ours, "", (1 << 20) + 1).expect("a response");
    assert!(code == 413 && text.contains("send at most 1048576 bytes"), "{code} {text}");
    assert_eq!(server.messages("alerts"), []);
    check(&ours, &format!(r#"{{"text":"{}"}}"#, "é".repeat(20_000)), 200, "stored as message 1");
    check(&ours, r#"{"text":"half of \ud83d"}"#, 200, "stored as message 2");
    let bodies = server.bodies("alerts", "alerts");
    assert!(bodies[0].ends_with('…') && bodies[0].len() <= hubbub::limits::BODY_BYTES_MAX, "{} bytes", bodies[0].len());
    assert_eq!(bodies[1], "half of \u{fffd}");
    // Without a secret, it does not even start.
    let mut program = in_python("examples/bots/alerts.py");
    let output = program.args([&server.url(), "alerts"]).env_remove("ALERTS_TOKEN").output().expect("Python starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && said.contains("set ALERTS_TOKEN"), "{said}");
}

/// Starts a bridge, and waits until it follows both rooms.
fn start_bridge(folder: &Folder, sides: [(&Server, &str); 2], state: &str) -> Program {
    let urls = sides.map(|(server, _)| server.url());
    let arguments = [&urls[0], sides[0].1, &urls[1], sides[1].1, "--state", &folder.file(state)];
    let bridge = folder.start("bridge", &arguments);
    folder.wait_for_places(state, 2);
    bridge
}

#[test]
fn a_bridge_copies_each_message_once_while_it_and_both_servers_are_killed() {
    let mut random = fastrand::Rng::with_seed(seed());
    let folder = Folder::new();
    let mut servers = ["a", "b"].map(|name| Server::start(folder.path(), name));
    let rooms = ["pond", "lake"];
    let start =
        |servers: &[Server; 2]| start_bridge(&folder, [(&servers[0], rooms[0]), (&servers[1], rooms[1])], "places");
    let mut bridge = start(&servers);
    let mut posted = [Vec::new(), Vec::new()];
    for round in 0..12 {
        let copies = |servers: &[Server; 2]| [0, 1].map(|side| servers[side].bodies(rooms[side], "bridge").len());
        let before = copies(&servers);
        for _ in 0..random.usize(1..20) {
            let side = random.usize(..2);
            let body = format!("{} {}", rooms[side], posted[side].len());
            servers[side].post(rooms[side], "ann", &body);
            posted[side].push(format!("ann: {body}"));
        }
        if round % 3 < 2 {
            wait_for("a copy", || copies(&servers) != before);
        }
        match round % 4 {
            0 | 2 => {
                drop(bridge);
                bridge = start(&servers);
            }
            1 => servers[0].restart(),
            _ => servers[1].restart(),
        }
    }
    for (to, from) in [(0, 1), (1, 0)] {
        servers[from].post(rooms[from], "ann", "the last one");
        posted[from].push("ann: the last one".to_owned());
        let copies = || servers[to].bodies(rooms[to], "bridge");
        wait_for("the last copy", || copies().last() == posted[from].last());
        assert_eq!(copies(), posted[from]);
    }
}

/// Three bridges in a circle: each message comes to each room once, and goes no further.
#[test]
fn bridges_copy_no_copies() {
    let folder = Folder::new();
    let server = Server::start(folder.path(), "data");
    let rooms = ["tea", "pond", "lake"];
    let pairs = [(0, 1), (1, 2), (2, 0)];
    let bridges = pairs.map(|(one, other)| {
        start_bridge(&folder, [(&server, rooms[one]), (&server, rooms[other])], &format!("{}-places", rooms[one]))
    });
    for round in 1..=3 {
        for room in rooms {
            server.post(room, "ann", &format!("{round} in {room}"));
        }
        let counts = || rooms.map(|room| server.messages(room).len());
        wait_for("the copies", || counts().iter().all(|count| *count >= 3 * round));
    }
    // If copies were copied, those of the first messages would have come by now.
    for (index, room) in rooms.into_iter().enumerate() {
        let mut messages = server.messages(room);
        messages.sort_unstable();
        let mut expected: Vec<_> = (1..=3)
            .flat_map(|round| {
                rooms.iter().enumerate().map(move |(other, name)| {
                    let body = format!("{round} in {name}");
                    if other == index {
                        ("ann".to_owned(), body)
                    } else {
                        ("bridge".to_owned(), format!("ann: {body}"))
                    }
                })
            })
            .collect();
        expected.sort_unstable();
        assert_eq!(messages, expected, "{room}");
    }
    drop(bridges);
    let url = server.url();
    let mut same = in_python("examples/bots/bridge.py");
    let output = same.args([&url, "tea", &url, "tea"]).output().expect("Python starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(2) && said.contains("name two"), "{said}");
}

/// With logins: each program posts under its user's name, and ends with the reason once its token is revoked.
#[test]
fn the_bot_logs_in_with_a_token_and_ends_when_that_is_revoked() {
    let folder = Folder::new();
    let data = folder.path().join("data");
    let operate = |arguments: &[&str]| {
        let output = command().args(arguments).arg("--data").arg(&data).output().expect("hubbub-server runs");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("it is text")
    };
    let mut server = command();
    server.args(["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--auth", "accounts", "--data"]).arg(&data);
    let mut server = ServerProcess::listening(server);
    let line = server.wait_for_log("serving HTTP on ");
    let http = line.split("serving HTTP on ").nth(1).and_then(|rest| rest.split(' ').next()).expect("an address");
    let tokens = ["bot", "ann"].map(|name| operate(&["token", "add", name]).trim().to_owned());
    fs::write(folder.file("token"), &tokens[0]).expect("a file is written");
    let mut bot = in_python("examples/bots/bot.py");
    bot.args([&format!("http://{http}"), "tea", "--state", &folder.file("bot.json")]);
    bot.env("HUBBUB_TOKEN_FILE", folder.file("token"));
    let mut bot = Program::start(bot);
    folder.wait_for_places("bot.json", 1);
    let login = format!("Authorization: Bearer {}\n", tokens[1]);
    let call = |method: &str, request: &Value| Client::connect(http).call_with(method, request, &login).json();
    assert_eq!(call("PostMessage", &json!({"room": "tea", "body": "!ping"}))["seq"], "1");
    let answered = || call("ListMessages", &json!({"room": "tea"}))["events"][1]["message"].clone();
    wait_for("an answer", || answered()["body"] == "ann: pong");
    assert_eq!((&answered()["sender"], &answered()["authenticated"]), (&json!("bot"), &json!(true)));
    operate(&["user", "revoke", "bot"]);
    bot.wait_until_said("bot: unauthenticated: ");
    assert_eq!(bot.wait().code(), Some(1));
}
