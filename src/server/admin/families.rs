//! All metrics of the server. docs/metrics.md says what each of them means, and a test compares the two.
//!
//! Labels have values from closed lists only: no room, user or address, of which clients could make any number.

use std::time::UNIX_EPOCH;

use super::exposition::{Exposition, Format};
use super::process::Process;
use super::readers::{Lags, STEPS};
use super::sources::Sources;
use super::storage::Sizes;
use crate::server::delivery::sent::Sent;
use crate::server::gauges::Resource;
use crate::server::health::Health;
use crate::server::hub::Hub;

/// Nanoseconds in a second.
const NANOS: f64 = 1e9;

/// The text of all metrics. Before the server's parts are there, it has only those of the process and its state.
pub fn text(format: Format, health: &Health, process: &Process, sources: Option<&Sources>) -> String {
    let mut exposition = Exposition::new(format);
    let out = &mut exposition;
    let core_patches = if cfg!(feature = "core-patches") { "true" } else { "false" };
    let labels = [("version", env!("CARGO_PKG_VERSION")), ("core_patches", core_patches)];
    out.info("hubbub_build_info", "The version of the server, and how it was built.", &labels);
    let states = Health::WORDS.map(|word| (word, word == health.word()));
    out.gauge("hubbub_state", "The state that the server is in has the value 1.").each("state", states);
    out.gauge("hubbub_ready", "Whether /readyz answers 200: the server serves, and messages can be stored.")
        .is(*health == Health::Serving);
    if let Some(sources) = sources {
        connections(out, sources);
        posts(out, sources);
        calls(out, sources);
        storage(out, sources);
        if let Some(hub) = sources.hub.upgrade() {
            sessions(out, sources, &hub);
            delivery(out, &hub);
        }
    }
    process.write(out);
    exposition.finish()
}

fn connections(out: &mut Exposition, sources: &Sources) {
    let (open, max) = sources.connections.open();
    out.gauge("hubbub_connections", "Open connections of gRPC and HTTP.").is(open);
    out.gauge("hubbub_connections_max", "Connections that may be open (--connections-max).").is(max);
    out.counter("hubbub_connections_opened_total", "Connections that were opened.").is(sources.connections.opened());
    out.gauge("hubbub_http_connections", "Open connections of HTTP that are not streams.")
        .is((sources.http_connections)());
    out.counter("hubbub_refusals_total", "Refusals because of a limit, or of a resource that has run out.")
        .each("limit", sources.refusals.in_all());
}

fn sessions(out: &mut Exposition, sources: &Sources, hub: &Hub) {
    out.gauge("hubbub_sessions", "Streams of clients.").is(hub.clients.count());
    out.gauge("hubbub_sessions_max", "Streams that may be served at once (--clients-max).").is(sources.clients_max);
    out.counter("hubbub_sessions_started_total", "Streams that have begun.").is(hub.clients.begun());
    out.counter("hubbub_sessions_closed_total", "Streams that have ended, by the reason.")
        .each("reason", hub.clients.ended().get());
    out.counter("hubbub_sessions_refused_total", "Streams that were refused before they began, by the reason.")
        .each("reason", hub.refused.get());
    out.counter("hubbub_commands_rejected_total", "Commands of streams that were rejected, by the code.")
        .each("code", hub.rejections.get());
    let rooms = sources.gauges.last(Resource::Rooms);
    out.gauge("hubbub_rooms", "Rooms that have messages.").is(rooms.used);
    out.gauge("hubbub_rooms_max", "Rooms that there may be (--rooms-max).").is(rooms.max);
    out.gauge("hubbub_rooms_open", "Rooms that a stream is in.").is(hub.rooms.all().len());
    out.counter("hubbub_joins_total", "Rooms that streams have joined.").is(hub.rooms.joins());
}

fn posts(out: &mut Exposition, sources: &Sources) {
    let commits = &sources.commits;
    let kinds = [("message", commits.messages.get()), ("change", commits.changes.get())];
    out.counter("hubbub_posts_total", "Messages and changes that were stored.").each("kind", kinds);
    out.counter("hubbub_stored_bytes_total", "Bytes of the messages and changes that were stored.")
        .is(commits.bytes.get());
    out.counter("hubbub_posts_repeated_total", "Posts that were stored already, or changed nothing.")
        .is(commits.repeated.get());
    out.counter("hubbub_posts_rejected_total", "Posts that the log did not store, by the reason.")
        .each("reason", commits.rejected.get());
    out.histogram(
        "hubbub_commit_seconds",
        "Time to store a batch durably and publish it.",
        &commits.times.get(),
        NANOS,
    );
    out.histogram("hubbub_batch_posts", "Posts in a batch.", &commits.sizes.get(), 1.0);
    let (orders, bytes) = sources.append_queue.now();
    out.gauge("hubbub_append_queue_orders", "Requests that wait for the log writer.").is(orders);
    out.gauge("hubbub_append_queue_bytes", "Memory that they take.").is(bytes);
    out.counter("hubbub_deleted_messages_total", "Messages that retention has deleted.").is(commits.deleted.get());
    out.gauge("hubbub_clock_doubted", "Whether the log does not trust the clock.").is(commits.is_clock_doubted());
}

fn calls(out: &mut Exposition, sources: &Sources) {
    let mut family = out.counter("hubbub_calls_total", "Unary calls that were answered, by their kind and code.");
    for (kind, counts) in sources.calls.tally.get() {
        for (code, count) in counts.get() {
            family = family.with(&[("kind", kind), ("code", code)], count);
        }
    }
    out.gauge("hubbub_calls_in_progress", "Unary calls that are not answered yet.")
        .each("kind", sources.calls.in_progress());
    out.gauge("hubbub_queries_waiting", "Calls that wait for a thread that reads the log.").is(sources.calls.waiting());
    if let Some(search) = &sources.search {
        out.gauge("hubbub_search_lag_events", "Events that are stored and not indexed yet.")
            .is(search.behind(|_| true));
    }
}

fn delivery(out: &mut Exposition, hub: &Hub) {
    let sum = |count: fn(&Sent) -> u64| hub.fanout.sent_in_all().map(count).sum::<u64>();
    out.counter("hubbub_deliveries_total", "Events of rooms that were written to streams.")
        .is(sum(|sent| sent.events.get()));
    out.counter("hubbub_frames_sent_total", "Messages of gRPC, or their like over HTTP, that were written to streams.")
        .is(sum(|sent| sent.frames.get()));
    out.counter("hubbub_sent_bytes_total", "Bytes of these frames.").is(sum(|sent| sent.bytes.get()));
    out.histogram(
        "hubbub_delivery_seconds",
        "Time from the publication of messages until all followers of their room on one thread were written to.",
        &hub.fanout.times(),
        NANOS,
    );
    let lags = Lags::of(&hub.rooms);
    out.gauge("hubbub_readers", "Streams in rooms: a stream counts for each room that it is in.").is(lags.readers);
    out.gauge("hubbub_slowest_reader_lag_events", "Events that the slowest reader has not read.").is(lags.slowest);
    out.gauge("hubbub_readers_behind", "Readers that lag by at least this number of events.")
        .each("events", STEPS.iter().map(|(_, word)| *word).zip(lags.behind));
}

fn storage(out: &mut Exposition, sources: &Sources) {
    if let Some(Sizes { log, write_ahead_log, search_index, disk }) = sources.folder.as_ref().and_then(|it| it.sizes())
    {
        out.gauge("hubbub_log_bytes", "Size of the log's database.").is(log);
        out.gauge("hubbub_write_ahead_log_bytes", "Size of its write-ahead log.").is(write_ahead_log);
        out.gauge("hubbub_search_index_bytes", "Size of the search index.").is(search_index);
        if let Some((free, reserve)) = disk {
            out.gauge("hubbub_disk_free_bytes", "Free space of the data folder's disk.").is(free);
            out.gauge("hubbub_disk_reserve_bytes", "Messages are refused while less is free (--disk-reserve).")
                .is(reserve);
        }
    }
    if let Some(faults) = &sources.log_faults {
        out.gauge("hubbub_log_damaged_places", "Places of the log that were found damaged since the start.")
            .is(faults.damaged_places.get());
        out.counter("hubbub_log_read_failures_total", "Reads of the log that failed because its disk can't be read.")
            .is(faults.failed_reads.get());
        out.gauge("hubbub_unclean_start", "Whether the log was not closed before this start.").is(faults.was_open());
    }
    if let Some(expiry) = &sources.certificate_expiry {
        let expiry = expiry().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        out.gauge("hubbub_certificate_expiry_timestamp_seconds", "When the certificate expires, in Unix time.")
            .is(expiry);
    }
}
