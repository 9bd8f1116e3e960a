//! Micro-benchmarks: what the steps of a message's path cost, with the crate's own code. `make micro` runs
//! them; docs/benchmarks.md has the figures.
//!
//! Bodies have 64 bytes, as in the load generator's scenarios. Items are messages.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use hubbub::limits::MEMORY_LOG_BYTES_MAX;
use hubbub::names::{Body, ClientId, Kind, MessageId, RoomId, RoomName, Sender, Seq, UserName};
use hubbub::server::auth::credentials::Bearer;
use hubbub::server::auth::jwt::{Jwt, JwtSettings};
use hubbub::server::delivery::fanout::Publisher;
use hubbub::server::log::sqlite::{self, SyncMode};
use hubbub::server::log::{Appender, Log, Post, Retention, What, command, memory};
use hubbub::server::room::cursor::{Cursor, Look};
use hubbub::server::room::{RoomHandle, Rooms};
use hubbub::wire::event::{self, Entry, EntryKind, NewMessage};
use hubbub::wire::v1;
use jsonwebtoken::EncodingKey;
use protobuf::Message as _;

/// Posts in a batch.
const BATCHES: [usize; 3] = [1, 64, 1024];
/// How many messages a cursor reads in one go: they fit into a room's tail however they are cut into segments.
const TAIL_MESSAGES: usize = 2048;
/// The messages of the segment that is sliced.
const SLICED_MESSAGES: usize = 64;

fn main() {
    divan::main();
}

#[divan::bench(counters = [ItemsCount::new(1usize)])]
fn encode_content(bencher: Bencher) {
    let (sender, body) = (sender(), body());
    bencher.bench(|| event::content(&NewMessage::plain(black_box(&id(1)), &sender, client(), &body, Kind::Text)));
}

#[divan::bench(counters = [ItemsCount::new(1usize)])]
fn encode_envelope(bencher: Bencher) {
    let content = event::content(&NewMessage::plain(&id(1), &sender(), client(), &body(), Kind::Text));
    let entry = Entry {
        room: RoomId(1_000),
        seq: Seq(1_000_000),
        time_ms: 1_700_000_000_000,
        kind: EntryKind::MESSAGE,
        content: &content,
    };
    bencher.with_inputs(|| Vec::with_capacity(256)).bench_refs(|bytes| event::push(bytes, black_box(&entry)));
}

/// A login with a JSON web token of five claims.
#[divan::bench(args = ["EdDSA", "ES256", "ES384", "RS256", "PS256", "HS256"])]
fn verify_web_token(bencher: Bencher, algorithm: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let key_pair = |kind| rcgen::KeyPair::generate_for(kind).unwrap();
    let (key, public) = match algorithm {
        "EdDSA" => {
            let pair = key_pair(&rcgen::PKCS_ED25519);
            (EncodingKey::from_ed_der(&pair.serialize_der()), pair.public_key_pem().into_bytes())
        }
        "ES256" | "ES384" => {
            let is_short = algorithm == "ES256";
            let pair = key_pair(if is_short { &rcgen::PKCS_ECDSA_P256_SHA256 } else { &rcgen::PKCS_ECDSA_P384_SHA384 });
            (EncodingKey::from_ec_der(&pair.serialize_der()), pair.public_key_pem().into_bytes())
        }
        "RS256" | "PS256" => {
            let private = include_bytes!("../tests/fixtures/jwt/rsa-2048-test-key.pem");
            let public = include_bytes!("../tests/fixtures/jwt/rsa-2048-test-public.pem");
            (EncodingKey::from_rsa_pem(private).unwrap(), public.to_vec())
        }
        _ => (EncodingKey::from_secret(&[7; 32]), vec![7; 32]),
    };
    fs::write(&path, public).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let settings = JwtSettings { keys: vec![path], ..JwtSettings::new("https://shop.example", "hubbub") };
    let jwt = Jwt::open(&settings).unwrap();
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(2_000_000_000);
    let claims = serde_json::json!({
        "iss": "https://shop.example", "aud": "hubbub", "sub": "ann", "exp": 2_000_000_300, "iat": 2_000_000_000
    });
    let header = jsonwebtoken::Header::new(algorithm.parse().unwrap());
    let token = Bearer::new(jsonwebtoken::encode(&header, &claims, &key).unwrap());
    bencher.bench(|| jwt.verify(black_box(&token), now).unwrap());
}

#[divan::bench(args = BATCHES)]
fn append_to_memory(bencher: Bencher, count: usize) {
    let (appender, _log) = memory::open(MEMORY_LOG_BYTES_MAX, Retention::default());
    append(bencher, count, appender);
}

/// With `--sync os`: the disk is not waited for.
#[divan::bench(args = BATCHES)]
fn append_to_sqlite(bencher: Bencher, count: usize) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the target folder can be written to");
    let (appender, _log) =
        sqlite::open(folder.path(), SyncMode::Os, false, Retention::default()).expect("the log opens");
    append(bencher, count, appender);
}

/// The middle half of a segment's messages, whose place is found by walking.
#[divan::bench(counters = [ItemsCount::new(SLICED_MESSAGES / 2)])]
fn slice_a_segment(bencher: Bencher) {
    let room = room(SLICED_MESSAGES, SLICED_MESSAGES);
    let (from, until) = (SLICED_MESSAGES as u64 / 4 + 1, SLICED_MESSAGES as u64 / 4 * 3);
    let cursor = || {
        let mut cursor = Cursor::new(Arc::clone(&room), Seq(from));
        assert_eq!(cursor.look(), Look::Ready);
        cursor
    };
    bencher.with_inputs(cursor).bench_local_refs(|cursor| {
        let run = cursor.take(Seq(until)).expect("it was looked for");
        black_box(run.entries()).len()
    });
}

/// Whole segments, of so many messages each.
#[divan::bench(args = [1, 64], counters = [ItemsCount::new(TAIL_MESSAGES)])]
fn follow_a_tail(bencher: Bencher, segment_messages: usize) {
    let room = room(TAIL_MESSAGES, segment_messages);
    bencher.with_inputs(|| Cursor::new(Arc::clone(&room), Seq(1))).bench_local_refs(|cursor| {
        while cursor.look() == Look::Ready {
            black_box(cursor.take(Seq(u64::MAX)).expect("it was looked for").entries());
        }
        assert_eq!(cursor.next(), Seq(TAIL_MESSAGES as u64 + 1));
    });
}

#[divan::bench(counters = [ItemsCount::new(64usize)])]
fn decode_a_request_of_64_posts(bencher: Bencher) {
    let mut request = v1::ChatRequest::new();
    for number in 1..=64 {
        let mut command = v1::Command::new();
        let (room, message_id, body) = (name().to_string(), id(number).as_bytes().to_vec(), body().as_str().to_owned());
        command.set_post(v1::Post { room, message_id, body, ..Default::default() });
        request.commands.push(command);
    }
    let bytes = request.write_to_bytes().expect("it is encoded into memory");
    bencher.bench(|| v1::ChatRequest::parse_from_bytes(black_box(&bytes)).expect("it was encoded"));
}

/// Batches of posts to one room, each with an id that its sender chose.
fn append(bencher: Bencher, count: usize, mut appender: impl Appender) {
    let mut last = 0;
    let posts = || {
        last += count as u64;
        (last - count as u64 + 1..=last).map(post).collect::<Vec<_>>()
    };
    let now = SystemTime::now();
    bencher.counter(ItemsCount::new(count)).with_inputs(posts).bench_local_refs(|posts| {
        let outcomes = appender.append(posts, now).expect("the log takes posts");
        assert!(outcomes.iter().all(Result::is_ok));
        outcomes
    });
}

/// A room whose tail has so many messages, cut into segments of so many.
fn room(messages: usize, segment_messages: usize) -> RoomHandle {
    let (mut appender, log) = memory::open(MEMORY_LOG_BYTES_MAX, Retention::default());
    let rooms = Arc::new(Rooms::new(log as Arc<dyn Log>, 0));
    let room = rooms.open(&name(), None);
    let publisher = Publisher::new(rooms, Arc::default());
    appender.subscribe(Box::new(move |published| publisher.publish(published)));
    let posts: Vec<_> = (1..=messages as u64).map(post).collect();
    for posts in posts.chunks(segment_messages) {
        appender.append(posts, SystemTime::now()).expect("the log takes posts");
    }
    room
}

fn post(number: u64) -> Post {
    let id = id(number);
    let content = event::content(&NewMessage::plain(&id, &sender(), client(), &body(), Kind::Text));
    let message = command::NewMessage { id, id_chosen: true, reply_to: Seq::ZERO, content };
    Post { room: name(), sender: sender(), what: What::Message(message) }
}

/// Ids in an order, as those are that hold the time.
fn id(number: u64) -> MessageId {
    MessageId::from_bytes((0x0198_u128 << 112 | u128::from(number)).to_be_bytes())
}

fn name() -> RoomName {
    RoomName::new("bench").expect("it is a valid name")
}

fn sender() -> Sender {
    Sender::claim(UserName::new("load-7").expect("it is a valid name"))
}

fn client() -> Option<ClientId> {
    Some(ClientId(1 << 47))
}

fn body() -> Body {
    Body::new(".".repeat(64)).expect("it is a valid body")
}
