//! The client's program against the server's program, which is killed and started again on its data.

use std::cell::RefCell;
use std::collections::HashSet;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use hubbub::address::Address;
use hubbub::client::{CallError, Caller, Connector, PagePlace, Session, Settings, StartAt, StoredMessage};
use hubbub::names::{Body, Kind, RoomName, UserName};
use tempfile::TempDir;

use super::{COLUMNS, READING_TIME, ROWS, Screen, a_while, command};
use crate::support::process::{self, ServerProcess, lasting_address};
use crate::support::{DEADLINE, wait_for};

/// A server with a data folder, and the homes of its users.
struct Real {
    address: String,
    data: TempDir,
    homes: TempDir,
    server: Option<ServerProcess>,
}

impl Real {
    fn start() -> Self {
        let folder = || tempfile::tempdir().expect("a folder");
        let mut real = Self { address: lasting_address(), data: folder(), homes: folder(), server: None };
        real.start_server();
        real
    }

    fn start_server(&mut self) {
        let mut command = process::command();
        command.args(["--listen", &self.address, "--data"]).arg(self.data.path());
        self.server = Some(ServerProcess::listening(command));
    }

    /// Kills the server with SIGKILL.
    fn kill_server(&mut self) {
        self.server.take().expect("it runs").crash();
    }

    fn home(&self, name: &str) -> std::path::PathBuf {
        let home = self.homes.path().join(name);
        std::fs::create_dir_all(&home).expect("a folder");
        home
    }

    /// A client of that user, which may not be connected yet.
    fn open(&self, name: &str, arguments: &[&str]) -> Screen {
        let all = [&["--server", self.address.as_str(), "--name", name], arguments].concat();
        Screen::start(command(&self.home(name), &all), COLUMNS, ROWS)
    }

    /// A client that has joined its room.
    fn join(&self, name: &str, arguments: &[&str]) -> Screen {
        let screen = self.open(name, arguments);
        // The row of the topic has their number when the room is joined.
        screen.wait_until("a joined room", |text| people(text).is_some());
        screen
    }

    /// All messages of a room.
    fn messages(&self, room: &str) -> Vec<StoredMessage> {
        let (address, room) = (self.address(), RoomName::new(room).expect("a name"));
        let mut caller =
            Caller::connect_within(Connector::new(1), address, DEADLINE, DEADLINE, |_| {}).expect("a server");
        let (mut all, mut after): (Vec<StoredMessage>, u64) = (Vec::new(), 0);
        loop {
            let page = match caller.messages(&room, PagePlace::After(after), 1_000) {
                Err(CallError::NotFound(_)) => return all,
                page => page.expect("the history"),
            };
            let Some(last) = page.last_seq.filter(|last| *last > after) else { return all };
            after = last;
            all.extend(page.messages);
        }
    }

    fn bodies(&self, room: &str) -> Vec<String> {
        self.messages(room).into_iter().map(|message| message.body).collect()
    }

    fn address(&self) -> Address {
        self.address.parse().expect("an address")
    }

    /// Posts so many messages.
    fn fill(&self, count: u64) {
        let settings = Settings::new(UserName::new("bob").expect("a name"), RoomName::lobby(), StartAt::Head);
        let session = Session::start(Connector::new(1), self.address(), settings, |_| ControlFlow::Continue(()));
        let session = session.expect("a server");
        let inlet = session.inlet();
        for n in 1..=count {
            let body = Body::new(format!("message {n}.")).expect("a body");
            inlet.post(&RoomName::lobby(), body, Kind::Text).expect("the session runs");
        }
        inlet.finish();
        session.wait().expect("all is stored");
    }
}

/// How many people are in the room, by the row of the topic.
fn people(text: &str) -> Option<usize> {
    let words: Vec<_> = text.lines().next()?.split_whitespace().collect();
    let at = words.iter().rposition(|word| word.starts_with("people") || word.starts_with("person"))?;
    words.get(at.checked_sub(1)?)?.parse().ok()
}

fn count(screen: &Screen, part: &str) -> usize {
    screen.rows().iter().filter(|row| row.contains(part)).count()
}

/// The smallest number of a message on the screen.
fn oldest_shown(screen: &Screen) -> Option<u64> {
    let number = |row: &str| row.split("message ").nth(1)?.split('.').next()?.parse().ok();
    screen.rows().iter().filter_map(|row| number(row)).min()
}

/// Presses a key until the first message is on the screen. Returns how often.
fn scroll_to_first(screen: &mut Screen, key: &str) -> usize {
    let deadline = Instant::now() + DEADLINE;
    let mut presses = 0;
    while oldest_shown(screen) != Some(1) {
        assert!(Instant::now() < deadline, "timed out at\n{}", screen.text());
        let before = oldest_shown(screen);
        screen.press(key);
        presses += 1;
        // Older messages may have to be read first.
        let until = Instant::now() + Duration::from_millis(50);
        while oldest_shown(screen) == before && Instant::now() < until {
            std::thread::park_timeout(Duration::from_millis(1));
        }
    }
    presses
}

fn paste(screen: &mut Screen, lines: usize) {
    let lines: Vec<_> = (1..=lines).map(|n| format!("pasted {n}")).collect();
    screen.press(&format!("\x1b[200~{}\r\x1b[201~", lines.join("\r")));
}

#[test]
fn people_talk_complete_and_leave() {
    let real = Real::start();
    let mut ann = real.join("ann", &["chat", "lobby", "kettle"]);
    let mut bob = real.join("bob", &[]);
    ann.wait_until("bob", |text| people(text) == Some(2));
    bob.press("hello ann\r");
    ann.wait_for("hello ann");
    ann.press("hello bob\r");
    bob.wait_for("hello bob");
    // Names, rooms, commands and emoji.
    for (typed, completed) in [
        ("bo\t", "] bob:"),
        ("#ket\t", "] #kettle"),
        ("/unp\t", "] /unpin"),
        (":wav\t", "] 👋"),
        ("/part #l\t", "] /part #lobby"),
    ] {
        ann.press("\x15");
        ann.press(typed);
        ann.wait_until(completed, |text| text.lines().last().is_some_and(|row| row.contains(completed)));
    }
    // Nothing of a command that this server has not is sent.
    for line in
        ["/msg bob secret", "/query bob secret", "/nick secret", "/frobnicate secret", "/raw PRIVMSG bob secret"]
    {
        ann.press(&format!("\x15{line}\r"));
        ann.wait_until("the line in the input, and why it is there", |text| {
            let rows: Vec<_> = text.lines().collect();
            // The answer is above the status row, in place of a message.
            rows[rows.len() - 1].ends_with(line) && !rows[rows.len() - 3].contains('│')
        });
    }
    ann.press("\x15in the open\r");
    bob.wait_for("in the open");
    for room in ["lobby", "kettle"] {
        assert!(!real.bodies(room).iter().any(|body| body.contains("secret")), "{room}");
    }
    assert_eq!(real.bodies("lobby"), ["hello ann", "hello bob", "in the open"]);
    for (columns, rows) in [(40, 8), (200, 60), (COLUMNS, ROWS)] {
        ann.resize(columns, rows);
        ann.wait_until("the new size", |text| {
            let all: Vec<_> = text.lines().collect();
            all.len() == usize::from(rows) && all[all.len() - 1].starts_with("[lobby]") && text.contains("in the open")
        });
    }
    for screen in [&mut ann, &mut bob] {
        screen.press("/quit\r");
        assert_eq!(screen.end_restored(), 0);
    }
}

#[test]
fn ten_thousand_messages_are_scrolled_back_to_the_first() {
    let real = Real::start();
    real.fill(10_000);
    let mut screen = real.join("ann", &[]);
    screen.wait_for("message 10000.");
    let pages = scroll_to_first(&mut screen, "\x1b[5~");
    screen.wait_for("the beginning of the room");
    screen.press("\x1b[1;3F");
    screen.wait_for("message 10000.");
    let jumps = scroll_to_first(&mut screen, "\x1b[1;3H");
    eprintln!("{pages} pages, or {jumps} jumps");
    assert!(jumps < pages);
    // What is typed meanwhile goes to the end.
    screen.press("from far up\r");
    screen.wait_for("from far up");
    screen.wait_for("message 10000.");
}

/// The time until the next attempt, in seconds, if the screen shows it.
fn countdown(text: &str) -> Option<u64> {
    let (_, rest) = text.split_once("retry in ")?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[test]
fn an_outage_is_shown_and_what_is_typed_meanwhile_is_stored_once() {
    let mut real = Real::start();
    let mut ann = real.join("ann", &[]);
    let mut bob = real.join("bob", &[]);
    ann.press("before\r");
    bob.wait_for("before");
    real.kill_server();
    ann.wait_for("offline");
    for n in 1..=20 {
        ann.press(&format!("line {n:02} of ann\r"));
        bob.press(&format!("line {n:02} of bob\r"));
        // Lines that arrive at once would be a paste.
        ann.wait_for(&format!("line {n:02} of ann"));
        bob.wait_for(&format!("line {n:02} of bob"));
    }
    // The pauses grow, so that the seconds can be seen.
    let seen = RefCell::new(HashSet::new());
    ann.wait_until("a countdown", |text| {
        seen.borrow_mut().extend(countdown(text));
        seen.borrow().len() >= 2
    });
    real.start_server();
    for screen in [&mut ann, &mut bob] {
        screen.press("/reconnect\r");
        screen.wait_until_gone("offline");
    }
    wait_for("all lines", || real.bodies("lobby").len() >= 41);
    let bodies = real.bodies("lobby");
    for name in ["ann", "bob"] {
        let own: Vec<_> = bodies.iter().filter(|body| body.ends_with(name)).cloned().collect();
        let typed: Vec<_> = (1..=20).map(|n| format!("line {n:02} of {name}")).collect();
        assert_eq!(own, typed, "each once, in its order");
    }
    assert_eq!(bodies.len(), 41);
    for screen in [&mut ann, &mut bob] {
        screen.resize(80, 60);
        screen.wait_until("all lines once", |text| {
            let shown = |part: &str| text.lines().filter(|row| row.contains(part)).count();
            shown("of ann") == 20 && shown("of bob") == 20
        });
    }
}

#[test]
fn a_paste_of_fifty_lines_is_one_message_or_one_each() {
    let real = Real::start();
    let mut screen = real.join("ann", &[]);
    paste(&mut screen, 50);
    screen.wait_for("paste of 50 lines");
    // Neither Enter nor what is typed on answers the question.
    std::thread::park_timeout(READING_TIME);
    screen.press("\r");
    screen.wait_for("the paste waits for one of the letters");
    std::thread::park_timeout(READING_TIME);
    assert!(real.bodies("lobby").is_empty());
    screen.press("o");
    screen.wait_until_gone("paste of 50 lines");
    assert!(real.bodies("lobby").is_empty(), "it is in the input");
    screen.press("\r");
    wait_for("the message", || real.bodies("lobby").len() == 1);
    let body = &real.bodies("lobby")[0];
    assert_eq!((body.lines().count(), body.lines().last()), (50, Some("pasted 50")));
    paste(&mut screen, 50);
    screen.wait_for("paste of 50 lines");
    std::thread::park_timeout(READING_TIME);
    screen.press("m");
    wait_for("the messages", || real.bodies("lobby").len() == 51);
    let each: Vec<_> = (1..=50).map(|n| format!("pasted {n}")).collect();
    assert_eq!(real.bodies("lobby")[1..], each);
    paste(&mut screen, 51);
    screen.wait_for("paste of 51 lines");
    assert!(!screen.text().contains("[m]"), "more than 50 messages are not offered");
    screen.press("\x1b");
    screen.wait_until_gone("paste of 51 lines");
    a_while();
    assert_eq!(real.bodies("lobby").len(), 51);
    screen.press("/quit\r");
    assert_eq!(screen.end_restored(), 0);
}

/// Whether a file of unsent text of that home has the text.
fn keeps(home: &Path, part: &str) -> bool {
    let files = std::fs::read_dir(home.join(".local/state/hubbub/unsent")).into_iter().flatten().flatten();
    let mut whole =
        files.map(|file| file.path()).filter(|path| path.extension().is_some_and(|ending| ending == "jsonl"));
    whole.any(|path| std::fs::read_to_string(path).is_ok_and(|text| text.contains(part)))
}

/// The server and then the client are killed. Afterwards, nothing is typed: the lines are pending at the next start, and
/// stored.
#[test]
fn lines_of_a_killed_client_are_sent_once_by_the_next_one() {
    let mut real = Real::start();
    let mut screen = real.join("ann", &[]);
    screen.press("stored before\r");
    wait_for("the message", || real.bodies("lobby").len() == 1);
    real.kill_server();
    screen.wait_for("offline");
    screen.press("first\rsecond\rthird\r");
    wait_for("the file", || keeps(&real.home("ann"), "third"));
    // A second client of the same name leaves them to the one that is alive.
    let second = real.open("ann", &[]);
    second.wait_for("offline");
    assert!(!second.text().contains("third"), "{}", second.text());
    screen.signal(libc::SIGKILL);
    assert_eq!(screen.end(), -libc::SIGKILL);
    // The next client shows them before there is a server.
    let mut next = real.open("ann", &[]);
    next.wait_for("third");
    real.start_server();
    next.press("/reconnect\r");
    let all = ["stored before", "first", "second", "third"];
    wait_for("all lines", || real.bodies("lobby").len() >= all.len());
    next.wait_until_gone("offline");
    next.wait_until("each line once", |text| {
        all.iter().all(|line| text.lines().filter(|row| row.contains(line)).count() == 1)
    });
    wait_for("no file", || !keeps(&real.home("ann"), "third"));
    next.press("/quit\r");
    assert_eq!(next.end_restored(), 0);
    drop(second);
    // And the one after it has nothing to send.
    let last = real.join("ann", &[]);
    last.wait_for("third");
    assert_eq!(count(&last, "third"), 1, "{}", last.text());
    a_while();
    assert_eq!(real.bodies("lobby"), all);
}
