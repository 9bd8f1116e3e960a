//! The counts of a known load are exact: everything that happened is counted, once, and nothing else is.

use std::collections::BTreeMap;
use std::time::Instant;

use grpcio::RpcStatusCode;
use hubbub::wire::v1::event::Event as Kind;
use hubbub::wire::v1::{EditMessageRequest, ListRoomsRequest, SetReactionRequest};
use hubbub::wire::{EDIT_MESSAGE, LIST_ROOMS, SET_REACTION, v1};

use super::scrape::{Samples, scrape};
use super::serve;
use crate::support::chatter::{Chatter, environment};
use crate::support::talker::{Talker, call, hello, post_message};
use crate::support::{DEADLINE, wait_for};

/// Counters that depend on how the load was cut into frames and commits, or on the machine.
const INEXACT: [&str; 4] =
    ["process_cpu_seconds_total", "hubbub_frames_sent_total", "hubbub_sent_bytes_total", "hubbub_stored_bytes_total"];

/// How much each counter has grown.
fn growth(before: &Samples, after: &Samples) -> BTreeMap<String, u64> {
    let is_exact = |series: &str| {
        let name = series.split('{').next().unwrap_or_default();
        name.ends_with("_total") && !INEXACT.contains(&name) || series == "hubbub_batch_posts_sum"
    };
    let counters = after.iter().filter(|(series, _)| is_exact(series));
    let grown = counters.map(|(series, value)| (series.clone(), (value - before[series]) as u64));
    grown.filter(|(_, growth)| *growth > 0).collect()
}

#[test]
fn a_known_load_is_counted_exactly() {
    let folder = tempfile::tempdir().expect("a folder");
    let (server, admin) = serve(&["--data", folder.path().to_str().expect("a plain path"), "--clients-max", "4"]);
    let (environment, target) = (environment(), server.target());
    let before = scrape(&admin);

    // Two streams in a room, and three messages that both get.
    let mut ann = Talker::join(&environment, target, "ann", "tea");
    let mut bob = Talker::join(&environment, target, "bob", "tea");
    for id in 1..=3 {
        ann.post("tea", id, "hello");
        assert_eq!((ann.hear().0, bob.hear().0), (id as u64, id as u64));
    }
    // The same message again, another one with its id, and one to a room that was not joined.
    ann.post("tea", 3, "hello");
    assert!(matches!(ann.next().event, Some(Kind::Posted(_))));
    ann.post("tea", 3, "something else");
    ann.rejected();
    ann.post("attic", 4, "hello");
    ann.rejected();
    // Calls: a message, a reaction, a list, and a change of a room that does not exist.
    post_message(&ann.client, "tea", "bot", 0, "beep").expect("it is stored");
    assert_eq!((ann.hear().0, bob.hear().0), (4, 4));
    let (room, sender, emoji) = ("tea".to_owned(), "bot".to_owned(), "👍".to_owned());
    let request = SetReactionRequest { room, sender, message_seq: 1, emoji, ..Default::default() };
    call(&ann.client, &SET_REACTION, &request).expect("it is stored");
    for talker in [&mut ann, &mut bob] {
        assert!(matches!(talker.next().event, Some(Kind::Reacted(_))));
    }
    let listed: v1::ListRoomsResponse = call(&ann.client, &LIST_ROOMS, &ListRoomsRequest::default()).expect("a list");
    assert_eq!(listed.rooms.len(), 1);
    let (room, sender, body) = ("shed".to_owned(), "bot".to_owned(), "hello".to_owned());
    let request = EditMessageRequest { room, sender, message_seq: 1, body, ..Default::default() };
    assert_eq!(call(&ann.client, &EDIT_MESSAGE, &request).expect_err("no such room").code, RpcStatusCode::NOT_FOUND);
    // The server is full with four streams.
    let cat = Talker::hello(&environment, target, "cat");
    let mut dan = Talker::hello(&environment, target, "dan");
    let refused = Talker::try_hello(&environment, target, "eve").err().expect("the server is full");
    assert_eq!(refused.code, RpcStatusCode::RESOURCE_EXHAUSTED);
    // One leaves, one breaks a rule.
    drop(cat);
    dan.send(vec![hello("dan")]);
    assert_eq!(dan.end().code, RpcStatusCode::FAILED_PRECONDITION);
    wait_for("two streams", || scrape(&admin)["hubbub_sessions"] == 2.0);
    // The tutorial's contract: its client is in the lobby, and gets no copy of its own message.
    let mut old = Chatter::join_to_finish(&environment, target, "old");
    old.say("hello");
    old.half_close();
    assert_eq!(old.end().0, RpcStatusCode::OK);

    let expected: BTreeMap<String, u64> = [
        ("hubbub_sessions_started_total", 5),
        ("hubbub_sessions_closed_total{reason=\"client_left\"}", 1),
        ("hubbub_sessions_closed_total{reason=\"hello_repeated\"}", 1),
        ("hubbub_sessions_closed_total{reason=\"finished\"}", 1),
        ("hubbub_sessions_refused_total{reason=\"full\"}", 1),
        ("hubbub_refusals_total{limit=\"clients\"}", 1),
        ("hubbub_commands_rejected_total{code=\"not_joined\"}", 1),
        ("hubbub_commands_rejected_total{code=\"conflict\"}", 1),
        ("hubbub_joins_total", 3),
        ("hubbub_posts_total{kind=\"message\"}", 5),
        ("hubbub_posts_total{kind=\"change\"}", 1),
        ("hubbub_posts_repeated_total", 1),
        ("hubbub_posts_rejected_total{reason=\"id_taken\"}", 1),
        ("hubbub_posts_rejected_total{reason=\"no_room\"}", 1),
        // Whatever the outcome of each.
        ("hubbub_batch_posts_sum", 9),
        ("hubbub_calls_total{kind=\"append\",code=\"ok\"}", 2),
        ("hubbub_calls_total{kind=\"append\",code=\"not_found\"}", 1),
        ("hubbub_calls_total{kind=\"read\",code=\"ok\"}", 1),
        // Five events of a room with two streams.
        ("hubbub_deliveries_total", 10),
        // Of each client but the one that shares another's.
        #[cfg(feature = "core-patches")]
        ("hubbub_connections_opened_total", 6),
    ]
    .into_iter()
    .map(|(series, count)| (series.to_owned(), count))
    .collect();
    // A client may know the outcome before the server's thread has counted it.
    let begun = Instant::now();
    let mut after = scrape(&admin);
    while growth(&before, &after) != expected && begun.elapsed() < DEADLINE {
        after = scrape(&admin);
    }
    assert_eq!(growth(&before, &after), expected);

    for (series, value) in [
        ("hubbub_sessions", 2.0),
        ("hubbub_sessions_max", 4.0),
        ("hubbub_rooms", 2.0),
        ("hubbub_readers", 2.0),
        ("hubbub_slowest_reader_lag_events", 0.0),
        ("hubbub_readers_behind{events=\"1\"}", 0.0),
        ("hubbub_append_queue_orders", 0.0),
        ("hubbub_calls_in_progress{kind=\"append\"}", 0.0),
        ("hubbub_ready", 1.0),
        ("hubbub_state{state=\"serving\"}", 1.0),
        ("hubbub_clock_doubted", 0.0),
    ] {
        assert_eq!(after[series], value, "{series}");
    }
    let grown = |series: &str| after[series] - before[series];
    assert!(grown("hubbub_stored_bytes_total") >= 5.0 * 4.0);
    assert!(grown("hubbub_frames_sent_total") >= 10.0 && grown("hubbub_sent_bytes_total") >= 10.0 * 4.0);
    // Each batch is a commit.
    assert_eq!(grown("hubbub_commit_seconds_count"), grown("hubbub_batch_posts_count"));
    assert!(grown("hubbub_commit_seconds_count") >= 5.0 && grown("hubbub_commit_seconds_sum") > 0.0);
    // A round for each commit at least, in a room with streams.
    assert!(grown("hubbub_delivery_seconds_count") >= 5.0, "{}", grown("hubbub_delivery_seconds_count"));
    assert!(after["hubbub_log_bytes"] > 0.0 && after["hubbub_write_ahead_log_bytes"] > 0.0);
    assert!(after["hubbub_disk_free_bytes"] > 0.0 && after["hubbub_threads"] > 10.0);
    wait_for("the index", || scrape(&admin)["hubbub_search_lag_events"] == 0.0);
}

/// Each bucket counts the values of those before it, too, and the last one all of them.
#[test]
fn histograms_are_consistent() {
    let (server, admin) = serve(&[]);
    let mut ann = Talker::join(&environment(), server.target(), "ann", "tea");
    for id in 1..=20 {
        ann.post("tea", id, "hello");
        ann.hear();
    }
    let samples = scrape(&admin);
    for name in ["hubbub_commit_seconds", "hubbub_batch_posts", "hubbub_delivery_seconds"] {
        let bound = |series: &str| {
            let bound = series.strip_prefix(&format!("{name}_bucket{{le=\""))?.strip_suffix("\"}")?;
            Some(bound.parse::<f64>().expect("a number"))
        };
        let mut buckets: Vec<_> = samples.iter().filter_map(|(series, count)| Some((bound(series)?, *count))).collect();
        buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
        assert!(buckets.len() > 5 && buckets.is_sorted_by_key(|(_, count)| *count), "{buckets:?}");
        let (last, count) = buckets[buckets.len() - 1];
        assert!(last.is_infinite() && count > 0.0 && count == samples[&format!("{name}_count")], "{buckets:?}");
    }
}

/// A reader that stops reading is seen in the metrics and on the status page, and the others are not.
#[test]
fn a_slow_reader_is_seen() {
    let (server, admin) = serve(&["--log-bytes-max", "100MB"]);
    let environment = environment();
    let mut slow = Talker::join(&environment, server.target(), "slow-one", "tea");
    let mut live = Talker::join(&environment, server.target(), "live-one", "tea");
    let body = "x".repeat(15_000);
    // Far more than the windows of HTTP/2 hold.
    let count = 800;
    for seq in 1..=count {
        post_message(&live.client, "tea", "bot", 0, &body).expect("it is stored");
        assert_eq!(live.hear().0, seq);
    }
    let samples = scrape(&admin);
    assert!(samples["hubbub_slowest_reader_lag_events"] >= 100.0, "{samples:#?}");
    assert_eq!(samples["hubbub_readers_behind{events=\"100\"}"], 1.0);
    let page = super::scrape::get(&admin, "/statusz").text();
    assert!(page.contains("slow-one") && page.contains("<bdi>tea</bdi>") && !page.contains("live-one"), "{page}");
    for seq in 1..=count {
        assert_eq!(slow.hear().0, seq);
    }
    wait_for("no lag", || scrape(&admin)["hubbub_slowest_reader_lag_events"] == 0.0);
    assert!(super::scrape::get(&admin, "/statusz").text().contains("All streams have read everything"));
}
