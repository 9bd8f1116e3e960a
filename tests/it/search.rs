//! Search through a real server: what is found, who may find it, and what must not be found any more.

mod needles;
mod load;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use grpcio::{Client, RpcStatusCode};
use hubbub::wire::{DELETE_MESSAGE, EDIT_MESSAGE, SEARCH_MESSAGES, v1};

use super::support::chatter::environment;
use super::support::logins::{connect, serve, token};
use super::support::process::ServerProcess;
use super::support::talker::{End, Talker, call, call_as, post_message};
use super::support::{start, target, wait_for};

/// Searches as a client with a token does.
struct Searcher<'a> {
    client: &'a Client,
    token: Option<&'a str>,
}

fn request(query: &str) -> v1::SearchMessagesRequest {
    v1::SearchMessagesRequest { query: query.to_owned(), ..Default::default() }
}

fn bodies(response: &v1::SearchMessagesResponse) -> Vec<String> {
    response.found.iter().map(|found| found.event.message().body.clone()).collect()
}

impl Searcher<'_> {
    fn search(&self, request: &v1::SearchMessagesRequest) -> Result<v1::SearchMessagesResponse, End> {
        call_as(self.client, &SEARCH_MESSAGES, request, self.token)
    }

    /// Waits until everything is indexed.
    fn catch_up(&self) {
        wait_for("the index", || self.search(&request("anything")).is_ok_and(|found| found.behind_count == 0));
    }

    /// The texts that are found, newest first, once everything is indexed.
    fn find(&self, request: &v1::SearchMessagesRequest) -> Vec<String> {
        self.catch_up();
        bodies(&self.search(request).expect("it is answered"))
    }

    /// All pages. Messages of different rooms that were stored in the same millisecond may be in any order.
    fn find_all(&self, mut request: v1::SearchMessagesRequest) -> Vec<String> {
        let (mut all, mut newest_ms) = (Vec::new(), u64::MAX);
        loop {
            let page = self.search(&request).expect("it is answered");
            for found in &page.found {
                assert!(found.event.time_ms <= newest_ms, "{} ms late: {found}", found.event.time_ms - newest_ms);
                newest_ms = found.event.time_ms;
            }
            all.extend(bodies(&page));
            if page.next_page_token.is_empty() {
                return all;
            }
            request.page_token = page.next_page_token;
        }
    }

    fn fails(&self, request: &v1::SearchMessagesRequest) -> (RpcStatusCode, String) {
        let end = self.search(request).expect_err("it is refused");
        (end.code, end.message)
    }
}

fn edit(client: &Client, room: &str, sender: &str, seq: u64, body: &str) {
    let (room, sender, body) = (room.to_owned(), sender.to_owned(), body.to_owned());
    let request = v1::EditMessageRequest { room, sender, message_seq: seq, body, ..Default::default() };
    call(client, &EDIT_MESSAGE, &request).expect("it is edited");
}

fn delete(client: &Client, room: &str, sender: &str, seq: u64) {
    let (room, sender) = (room.to_owned(), sender.to_owned());
    let request = v1::DeleteMessageRequest { room, sender, message_seq: seq, ..Default::default() };
    call(client, &DELETE_MESSAGE, &request).expect("it is deleted");
}

#[test]
fn messages_are_found_by_words_rooms_senders_and_times() {
    let server = start();
    let client = Talker::connect(&environment(), &target(&server), "caller").client;
    let post =
        |room: &str, sender: &str, body: &str| post_message(&client, room, sender, 0, body).expect("it is stored");
    post("garden", "ann", "Green tea for everyone");
    post("garden", "bob", "a GREEN house, and tea");
    post("küche", "ann", "crème brûlée");
    post("küche", "Änn", "我家在上海东边");
    let searcher = Searcher { client: &client, token: None };
    let find = |query: &str| searcher.find(&request(query));
    assert_eq!(find("tea green"), ["a GREEN house, and tea", "Green tea for everyone"]);
    assert_eq!(find("\"green tea\""), ["Green tea for everyone"]);
    assert_eq!(find("gree*"), ["a GREEN house, and tea", "Green tea for everyone"]);
    assert_eq!(find("CREME brulee"), ["crème brûlée"]);
    assert_eq!(find("上海"), ["我家在上海东边"]);
    assert_eq!(find("家 东"), ["我家在上海东边"]);
    assert_eq!(find("coffee"), [""; 0]);
    // Nothing of the index's own language, and nothing of its own terms.
    for query in ["tea OR coffee", "terms:tea", "NEAR(green tea)", "\u{e000}r1", "r1"] {
        assert_eq!(find(query), [""; 0], "{query}");
    }

    let of = |room: &str, sender: &str| {
        let (room, sender) = (room.to_owned(), sender.to_owned());
        searcher.find(&v1::SearchMessagesRequest { room, sender, ..request("tea") })
    };
    assert_eq!(of("garden", "ann"), ["Green tea for everyone"]);
    assert_eq!((of("küche", ""), of("", "änn")), (Vec::new(), Vec::new()));
    assert_eq!(of("ku\u{308}che", "").len(), 0);
    let in_kitchen = v1::SearchMessagesRequest { room: "ku\u{308}che".to_owned(), ..request("creme") };
    assert_eq!(searcher.find(&in_kitchen), ["crème brûlée"]);

    let found = searcher.search(&in_kitchen).expect("it is answered").found.remove(0);
    assert_eq!((found.room.as_str(), found.event.seq, found.event.message().sender.as_str()), ("küche", 1, "ann"));
    assert!(found.epoch != 0 && found.event.room_id != 0);
    let time_ms = found.event.time_ms;
    let within = |after_ms, before_ms| {
        searcher.find(&v1::SearchMessagesRequest { after_ms, before_ms, ..request("creme") }).len()
    };
    assert_eq!((within(time_ms, 0), within(time_ms + 1, 0), within(0, time_ms), within(0, time_ms + 1)), (1, 0, 0, 1));
    assert_eq!((within(time_ms, time_ms + 1), within(time_ms, time_ms), within(u64::MAX, u64::MAX)), (1, 0, 0));
}

#[test]
fn invalid_searches_are_refused_with_the_remedy() {
    let server = start();
    let client = Talker::connect(&environment(), &target(&server), "caller").client;
    post_message(&client, "garden", "ann", 0, "tea").expect("it is stored");
    let searcher = Searcher { client: &client, token: None };
    searcher.catch_up();
    let invalid = [
        (request(""), "give at least one letter"),
        (request("* - !"), "give at least one letter"),
        (request("\"tea"), "close it"),
        (request("te*"), "at least 3 characters"),
        (request("tea* teb* tec* ted* tee*"), "at most 4"),
        (request(&"x".repeat(257)), "at most 256"),
        (request(&"x".repeat(60_000)), "at most 256"),
        (v1::SearchMessagesRequest { page_size: 101, ..request("tea") }, "at most 100"),
        (v1::SearchMessagesRequest { page_token: "1".to_owned(), ..request("tea") }, "from the first page"),
        (v1::SearchMessagesRequest { page_token: "0".repeat(32), ..request("tea") }, "from the first page"),
        (v1::SearchMessagesRequest { room: "a b".to_owned(), ..request("tea") }, "' '"),
        (v1::SearchMessagesRequest { sender: "\u{1}".to_owned(), ..request("tea") }, "control"),
    ];
    for (request, text) in invalid {
        let (code, message) = searcher.fails(&request);
        assert_eq!(code, RpcStatusCode::INVALID_ARGUMENT, "{request}: {message}");
        assert!(message.contains(text), "{message}");
    }
    let nowhere = v1::SearchMessagesRequest { room: "cellar".to_owned(), ..request("tea") };
    assert_eq!(searcher.fails(&nowhere).0, RpcStatusCode::NOT_FOUND);
    // As much as fits into a query.
    for query in ["a ".repeat(128), "上".repeat(256), format!("\"{}\"", "a ".repeat(127)), "tea* ".repeat(51)] {
        searcher.search(&request(&query)).expect("it is valid");
    }
}

#[test]
fn pages_follow_each_other() {
    let server = start();
    let client = Talker::connect(&environment(), &target(&server), "caller").client;
    for number in 1..=50 {
        post_message(&client, "garden", "ann", 0, &format!("tea {number}")).expect("it is stored");
    }
    let searcher = Searcher { client: &client, token: None };
    searcher.catch_up();
    let newest: Vec<_> = (1..=50).rev().map(|number| format!("tea {number}")).collect();
    for page_size in [1, 7, 25, 100] {
        assert_eq!(searcher.find_all(v1::SearchMessagesRequest { page_size, ..request("tea") }), newest);
    }
    assert_eq!(searcher.find(&request("tea")), newest[..20]);
    // Messages that arrive meanwhile are not on later pages.
    let first = searcher.search(&request("tea")).expect("it is answered");
    post_message(&client, "garden", "ann", 0, "tea 51").expect("it is stored");
    searcher.catch_up();
    let second = v1::SearchMessagesRequest { page_token: first.next_page_token, ..request("tea") };
    assert_eq!(searcher.find(&second), newest[20..40]);
    // A page is bounded in bytes too.
    for _ in 0..20 {
        post_message(&client, "garden", "ann", 0, &format!("long {}", "x".repeat(16_000))).expect("it is stored");
    }
    searcher.catch_up();
    let page = searcher.search(&request("long")).expect("it is answered");
    assert!((1..=6).contains(&page.found.len()) && !page.next_page_token.is_empty(), "{}", page.found.len());
    assert_eq!(searcher.find_all(request("long")).len(), 20);
}

/// Messages of rooms that a login may not read are not found and not counted.
#[test]
fn a_login_finds_only_what_it_may_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path();
    let (all, only, writer) =
        (token(data, "ann", &[]), token(data, "bot", &["--room", "builds"]), token(data, "hook", &["--may", "post"]));
    let server = serve(data, &["--auth", "accounts"]);
    let client = connect(&server);
    for room in ["builds", "tea"] {
        let request =
            v1::PostMessageRequest { room: room.to_owned(), body: format!("green {room}"), ..Default::default() };
        call_as(&client, &hubbub::wire::POST_MESSAGE, &request, Some(&all)).expect("it is stored");
    }
    let searcher = |token| Searcher { client: &client, token };
    let (all, only) = (searcher(Some(&all)), searcher(Some(&only)));
    assert_eq!(all.find(&request("green")), ["green tea", "green builds"]);
    assert_eq!(only.find(&request("green")), ["green builds"]);
    let in_tea = v1::SearchMessagesRequest { room: "tea".to_owned(), ..request("green") };
    assert_eq!(all.find(&in_tea), ["green tea"]);
    assert_eq!(only.fails(&in_tea).0, RpcStatusCode::PERMISSION_DENIED);
    // Whether a room exists is not shown either.
    let nowhere = v1::SearchMessagesRequest { room: "cellar".to_owned(), ..request("green") };
    assert_eq!(only.fails(&nowhere).0, RpcStatusCode::PERMISSION_DENIED);
    assert_eq!(searcher(Some(&writer)).fails(&request("green")).0, RpcStatusCode::PERMISSION_DENIED);
    assert_eq!(searcher(None).fails(&request("green")).0, RpcStatusCode::UNAUTHENTICATED);
}

#[test]
fn search_can_be_switched_off() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = serve(folder.path(), &[]);
    let client = connect(&server);
    post_message(&client, "garden", "ann", 0, "tea").expect("it is stored");
    let searcher = Searcher { client: &client, token: None };
    assert_eq!(searcher.find(&request("tea")), ["tea"]);
    drop(server);
    let mut server = serve(folder.path(), &["--search", "off"]);
    let searcher = Searcher { client: &connect(&server), token: None };
    let (code, message) = searcher.fails(&request("tea"));
    assert_eq!(code, RpcStatusCode::UNIMPLEMENTED);
    assert!(message.contains("not switched it on"), "{message}");
    // What is deleted from now on must not stay in the index.
    assert_eq!(index_files(folder.path()), BTreeSet::new());
    server.signal(libc::SIGTERM);
    assert_eq!(server.wait().code(), Some(0));
    let server = serve(folder.path(), &["--search", "on"]);
    let searcher = Searcher { client: &connect(&server), token: None };
    assert_eq!(searcher.find(&request("tea")), ["tea"]);
}

fn index_files(data: &Path) -> BTreeSet<String> {
    let files = fs::read_dir(data).expect("the folder is there").flatten();
    files.filter_map(|file| file.file_name().into_string().ok()).filter(|name| name.starts_with("search.db")).collect()
}

/// The text that a message has now is found, and no earlier one, also before the index has followed.
#[test]
fn changes_are_found() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = serve(folder.path(), &[]);
    let client = connect(&server);
    for number in 1..=30 {
        post_message(&client, "garden", "ann", 0, &format!("tea {number}")).expect("it is stored");
    }
    let searcher = Searcher { client: &client, token: None };
    searcher.catch_up();
    for number in 1..=30 {
        match number % 3 {
            0 => delete(&client, "garden", "ann", number),
            1 => edit(&client, "garden", "ann", number, &format!("coffee {number}")),
            _ => {}
        }
        let found = bodies(&searcher.search(&request(&number.to_string())).expect("it is answered"));
        assert!(found.iter().all(|body| !body.starts_with("tea") || number % 3 == 2), "{found:?}");
    }
    let numbered = |word: &str, rest: u64| -> Vec<_> {
        (1..=30).rev().filter(|number| number % 3 == rest).map(|number| format!("{word} {number}")).collect()
    };
    assert_eq!(searcher.find(&request("coffee")), numbered("coffee", 1));
    assert_eq!(searcher.find(&request("tea")), numbered("tea", 2));
    server.crash();
    let server = serve(folder.path(), &[]);
    let client = connect(&server);
    let searcher = Searcher { client: &client, token: None };
    assert_eq!(searcher.find(&request("coffee")), numbered("coffee", 1));
    assert_eq!(searcher.find(&request("tea")), numbered("tea", 2));
}

/// A room that is deleted takes its text with it.
#[test]
fn the_index_of_deleted_rooms_is_deleted() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = serve(folder.path(), &[]);
    let client = connect(&server);
    for room in ["garden", "attic"] {
        post_message(&client, room, "ann", 0, &format!("needle in the {room}")).expect("it is stored");
    }
    let searcher = Searcher { client: &client, token: None };
    assert_eq!(searcher.find(&request("needle")).len(), 2);
    server.signal(libc::SIGTERM);
    assert_eq!(server.wait().code(), Some(0));
    super::support::logins::run(folder.path(), &["room", "delete", "attic"]);
    assert!(!contains(folder.path(), "needle in the attic"));
    let server: ServerProcess = serve(folder.path(), &[]);
    let searcher = Searcher { client: &connect(&server), token: None };
    assert_eq!(searcher.find(&request("needle")), ["needle in the garden"]);
}

/// Whether a file of the data folder has this text.
fn contains(data: &Path, text: &str) -> bool {
    let files = fs::read_dir(data).expect("the folder is there").flatten().filter(|file| file.path().is_file());
    files.into_iter().any(|file| {
        let bytes = fs::read(file.path()).unwrap_or_default();
        bytes.windows(text.len()).any(|window| window.eq_ignore_ascii_case(text.as_bytes()))
    })
}
