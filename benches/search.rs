//! Measures search: how fast an index is made, how large it is, how long queries take, and how far the index is behind.
//! `make search-bench` runs it with a million messages; docs/performance-notes.md has the figures.
//!
//! The text is synthetic: 120,000 words, of which the r-th is used 1/r as often as the first, in 10,000 rooms and by 1,000
//! senders, of which a few are used much. Queries go through the whole server and its client library.

use std::env;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use grpcio::{ChannelBuilder, Client, EnvBuilder};
use hdrhistogram::Histogram;
use hubbub::address::Address;
use hubbub::names::{Body, Kind, MessageId, RoomName, Sender, Seq, UserName};
use hubbub::server::log::sqlite::{self, SyncMode};
use hubbub::server::log::{Appender, Log, Post, Retention, What, command};
use hubbub::server::search::{Query, SearchConfig, SearchThread, Wanted};
use hubbub::server::{Server, ServerConfig, Storage};
use hubbub::wire::event::{self, NewMessage};
use hubbub::wire::{SEARCH_MESSAGES, v1};

const VOCABULARY: f64 = 120_000.0;
const ROOMS: f64 = 10_000.0;
const SENDERS: f64 = 1_000.0;

/// How many messages are appended at once while the log is made.
const BATCH: usize = 1_000;

/// The rate, and the time, of the measurement of how far the index is behind.
const RATE: u64 = 5_000;
const LIVE: Duration = Duration::from_secs(20);

/// How many queries of each kind are measured.
const QUERIES: usize = 1_000;

fn main() {
    // Only in a benchmark: tests also run benchmarks, to see that they work.
    let messages = match env::args().any(|argument| argument == "--bench") {
        true => env::var("MESSAGES").map_or(1_000_000, |messages| messages.parse().expect("MESSAGES is a number")),
        false => 1_000,
    };
    let folder = tempfile::tempdir().expect("a folder can be made");
    let path = folder.path().join("data");
    let mut text = Text::default();
    let live = if messages > 10_000 { LIVE } else { Duration::from_millis(300) };
    index(&path, messages, live, &mut text);
    query(&path, &mut text);
}

/// Makes the log, and its index; then appends at a constant rate.
fn index(path: &Path, messages: usize, live: Duration, text: &mut Text) {
    let (mut appender, log) = sqlite::open(path, SyncMode::Os, false, Retention::default()).expect("the log opens");
    let mut bytes = 0;
    for _ in 0..messages.div_ceil(BATCH) {
        let posts: Vec<_> = (0..BATCH).map(|_| text.post(&mut bytes)).collect();
        append(&mut appender, &posts);
    }
    let log: Arc<dyn Log> = log;
    let config = SearchConfig { folder: Some(path), retention: Retention::default(), has_space: Box::new(|| true) };
    let started = Instant::now();
    let index = SearchThread::start(log, config).expect("it starts");
    let search = index.search();
    while search.lookup().is_err() || search.behind(|_| true) > 0 {
        thread::sleep(Duration::from_millis(5));
    }
    let (wall, cpu) = (started.elapsed().as_secs_f64(), cpu_seconds("search-index"));
    let file = size(path, "search.db") as f64;
    let mb = |bytes: f64| bytes / 1e6;
    println!(
        "messages {messages}, text {:.1} MB, hubbub.db {:.1} MB",
        mb(bytes as f64),
        mb(size(path, "hubbub.db") as f64)
    );
    println!("search.db {:.1} MB = {:.2} x text; of it:", mb(file), file / bytes as f64);
    for (table, size) in tables(path) {
        println!("  {table} {:.1} MB = {:.2} x text", mb(size), size / bytes as f64);
    }
    println!("made in {wall:.1} s, {cpu:.1} s of CPU: {:.0} messages a CPU second", messages as f64 / cpu);

    let announcer = index.announcer();
    appender.subscribe(Box::new(move |published| announcer.published(&published)));
    let done = AtomicBool::new(false);
    let (behind, seconds) = thread::scope(|scope| {
        let watch = scope.spawn(|| watch(&index, &done));
        let (started, before) = (Instant::now(), cpu_seconds("search-index"));
        let mut count = 0;
        while started.elapsed() < live {
            let due = started.elapsed().as_millis() as u64 * RATE / 1_000;
            let posts: Vec<_> = (count..due).map(|_| text.post(&mut bytes)).collect();
            append(&mut appender, &posts);
            count = due;
            thread::sleep(Duration::from_millis(2));
        }
        done.store(true, Ordering::Release);
        let seconds = (cpu_seconds("search-index") - before) / started.elapsed().as_secs_f64();
        (watch.join().expect("it ends"), seconds)
    });
    println!(
        "at {RATE} messages/s: p50 {:.2} s, p99 {:.2} s, max {:.2} s behind, {:.0} % of a core",
        behind.value_at_quantile(0.5) as f64 / 1e3,
        behind.value_at_quantile(0.99) as f64 / 1e3,
        behind.max() as f64 / 1e3,
        seconds * 100.0
    );
}

/// How far the index is behind, in milliseconds: how long events have been missing, of which there are always some.
fn watch(index: &SearchThread, done: &AtomicBool) -> Histogram<u64> {
    let search = index.search();
    let query = Query::parse("w1").expect("it is valid");
    let wanted = Wanted { query: &query, rooms: None, sender: None, after_ms: 0, before_ms: 0 };
    let mut behind = Histogram::new(3).expect("a histogram");
    while !done.load(Ordering::Acquire) {
        let count = search.behind(|_| true);
        // At the constant rate, so many events were stored in this time.
        behind.record(count * 1_000 / RATE).expect("it is in range");
        search.lookup().and_then(|lookup| lookup.find(&wanted, None, 20)).expect("the index can be read");
        thread::sleep(Duration::from_millis(10));
    }
    behind
}

/// Queries through a server.
fn query(path: &Path, text: &mut Text) {
    let storage = Storage::Folder { path: path.to_owned(), sync: SyncMode::Full, restored: false };
    let config = ServerConfig { listen: vec![Address::local(0)], storage, ..ServerConfig::default() };
    let server = Server::start(&config).expect("the server starts");
    let channel = ChannelBuilder::new(Arc::new(EnvBuilder::new().cq_count(1).build()));
    let client = Client::new(channel.connect(&server.addresses()[0].target()));
    let search = |request: &v1::SearchMessagesRequest| -> v1::SearchMessagesResponse {
        client.unary_call(&SEARCH_MESSAGES, request, grpcio::CallOption::default()).expect("it is answered")
    };
    let words = |query: String| v1::SearchMessagesRequest { query, ..Default::default() };
    while search(&words("w1".to_owned())).behind_count > 0 {
        thread::sleep(Duration::from_millis(5));
    }
    println!("| query | found | p50 ms | p99 ms | max ms |\n| --- | --- | --- | --- | --- |");
    let mut measure = |kind: &str, request: &mut dyn FnMut(&mut Text) -> v1::SearchMessagesRequest| {
        let mut times: Histogram<u64> = Histogram::new(3).expect("a histogram");
        let mut found = 0;
        for _ in 0..QUERIES {
            let request = request(text);
            let started = Instant::now();
            found += search(&request).found.len();
            times.record(started.elapsed().as_micros() as u64).expect("it is in range");
        }
        let ms = |quantile| times.value_at_quantile(quantile) as f64 / 1e3;
        println!(
            "| {kind} | {:.1} | {:.2} | {:.2} | {:.2} |",
            found as f64 / QUERIES as f64,
            ms(0.5),
            ms(0.99),
            ms(1.0)
        );
    };
    measure("one of the 20 commonest words", &mut |text| words(word(text.rank(20.0))));
    measure("a word of rank 100–1,000", &mut |text| words(word(100 + text.below(900))));
    measure("a rare word", &mut |text| words(word(20_000 + text.below(100_000))));
    measure("two words", &mut |text| words(format!("{} {}", word(text.rank(VOCABULARY)), word(text.rank(1_000.0)))));
    measure("a common and a rare word", &mut |text| words(format!("w1 {}", word(20_000 + text.below(100_000)))));
    measure("a phrase of two words", &mut |text| {
        words(format!("\"{} {}\"", word(text.rank(100.0)), word(text.rank(100.0))))
    });
    measure("a phrase of two common words that is rare", &mut |text| {
        words(format!(
            "\"{} {} {}\"",
            word(1 + text.below(9)),
            word(1 + text.below(9)),
            word(2_000 + text.below(9_000))
        ))
    });
    measure("three letters and *", &mut |text| words(format!("{}*", &word(1_000 + text.below(100_000))[..3])));
    measure("four beginnings of three letters", &mut |text| {
        let all: Vec<_> = (0..4).map(|_| format!("{}*", &word(1_000 + text.below(100_000))[..3])).collect();
        words(all.join(" "))
    });
    measure("a common word in a room", &mut |text| v1::SearchMessagesRequest {
        room: room(text.rank(ROOMS)),
        ..words(word(text.rank(20.0)))
    });
    measure("a common word of a sender", &mut |text| v1::SearchMessagesRequest {
        sender: sender(text.rank(SENDERS)),
        ..words(word(text.rank(20.0)))
    });
    measure("a common word, second page", &mut |text| {
        let request = words(word(text.rank(20.0)));
        let page_token = search(&request).next_page_token;
        v1::SearchMessagesRequest { page_token, ..request }
    });
}

fn append(appender: &mut dyn Appender, posts: &[Post]) {
    if !posts.is_empty() {
        let outcomes = appender.append(posts, SystemTime::now()).expect("they are stored");
        assert!(outcomes.iter().all(Result::is_ok));
    }
}

/// Random text, always the same.
struct Text {
    random: fastrand::Rng,
    number: u128,
}

impl Default for Text {
    fn default() -> Self {
        Self { random: fastrand::Rng::with_seed(7), number: 0 }
    }
}

impl Text {
    /// A rank up to a maximum: the r-th 1/r as often as the first.
    fn rank(&mut self, max: f64) -> u64 {
        max.powf(self.random.f64()) as u64
    }

    fn below(&mut self, max: u64) -> u64 {
        self.random.u64(..max)
    }

    fn post(&mut self, bytes: &mut usize) -> Post {
        let words: Vec<_> = (0..self.random.usize(1..=16)).map(|_| word(self.rank(VOCABULARY))).collect();
        let body = Body::new(words.join(" ")).expect("it is valid");
        *bytes += body.as_str().len();
        self.number += 1;
        let id = MessageId::from_bytes((0x0198_u128 << 112 | self.number).to_be_bytes());
        let sender = Sender::claim(UserName::new(sender(self.rank(SENDERS))).expect("it is valid"));
        let content = event::content(&NewMessage::plain(&id, &sender, None, &body, Kind::Text));
        let message = command::NewMessage { id, id_chosen: false, reply_to: Seq::ZERO, content };
        Post {
            room: RoomName::new(&room(self.rank(ROOMS))).expect("it is valid"),
            sender,
            what: What::Message(message),
        }
    }
}

/// The word of a rank: the commonest are short.
fn word(rank: u64) -> String {
    if rank < 10 {
        return format!("w{rank}");
    }
    // In another order than the ranks.
    let mut number = rank.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    let mut word = String::new();
    while number > 0 && word.len() < 8 {
        word.push(char::from(b"bcdfghjklmnprstvwz"[(number % 18) as usize]));
        word.push(char::from(b"aeiou"[(number / 18 % 5) as usize]));
        number /= 90;
    }
    // Different for each rank.
    format!("{word}{}", if rank < 1_000 { String::new() } else { radix(rank) })
}

fn radix(mut number: u64) -> String {
    let mut text = String::new();
    while number > 0 {
        text.push(char::from(b'a' + (number % 26) as u8));
        number /= 26;
    }
    text
}

fn room(rank: u64) -> String {
    format!("room{rank}")
}

fn sender(rank: u64) -> String {
    format!("user{rank}")
}

fn size(path: &Path, file: &str) -> u64 {
    fs::metadata(path.join(file)).map_or(0, |file| file.len())
}

/// The sizes of the index's parts.
fn tables(path: &Path) -> Vec<(String, f64)> {
    let Ok(index) = rusqlite::Connection::open(path.join("search.db")) else { return Vec::new() };
    let sizes = [
        ("the index of words", "SELECT sum(length(block)) FROM words_data"),
        ("the copies of the texts", "SELECT sum(length(CAST(body AS BLOB))) FROM messages"),
    ];
    let size = |sql| index.query_row(sql, (), |row| row.get::<_, Option<i64>>(0)).ok().flatten().unwrap_or(0) as f64;
    sizes.into_iter().map(|(name, sql)| (name.to_owned(), size(sql))).collect()
}

/// The processor time of this process's threads of a name.
fn cpu_seconds(name: &str) -> f64 {
    let tasks = fs::read_dir("/proc/self/task").expect("the kernel lists threads").flatten();
    let of_thread = |task: fs::DirEntry| {
        let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        let (thread, rest) = stat.split_once('(').and_then(|(_, rest)| rest.rsplit_once(") ")).unwrap_or_default();
        let fields: Vec<_> = rest.split(' ').collect();
        let ticks: u64 = [11, 12].iter().filter_map(|at| fields.get(*at)?.parse::<u64>().ok()).sum();
        // Clock ticks of 10 ms.
        if thread == name { ticks as f64 / 100.0 } else { 0.0 }
    };
    tasks.map(of_thread).sum()
}
