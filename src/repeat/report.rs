//! The report of a run, as a table for people or one JSON object for programs.

use std::fmt::Write as _;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::numbers::{Counts, RoomCounts};

/// The maximum recorded latency, in microseconds: ten minutes.
const LATENCY_US_MAX: u64 = 600_000_000;

/// Latencies in microseconds, to two digits: about 20 KB, since each receiver has its own.
pub type Latencies = Histogram<u32>;

/// An empty histogram of latencies.
pub fn latencies() -> Latencies {
    // Invariant: the bounds and the digits are valid constants.
    Histogram::new_with_bounds(1, LATENCY_US_MAX, 2).expect("the histogram's bounds are valid")
}

/// The outcome of a run.
#[derive(Clone, Debug)]
pub struct Report {
    pub clients: usize,
    /// Whether a client that only listens was added, because all others send.
    pub observer: bool,
    pub senders: usize,
    pub body_bytes: usize,
    /// The run was stopped by a signal: only the messages sent so far are judged.
    pub interrupted: bool,
    /// How many messages should be sent in all, and how many were.
    pub planned: u64,
    pub sent: u64,
    pub counts: Counts,
    pub lost: u64,
    /// Messages of other users or other runs, which were skipped.
    pub foreign: u64,
    /// Clients whose stream failed.
    pub failed: usize,
    /// From the first sent message to the last received one.
    pub took: Duration,
    pub latencies: Latencies,
    /// The part that only `hubbub.v1` provides.
    pub rooms: Option<RoomsReport>,
}

/// The additional results of a run over `hubbub.v1`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RoomsReport {
    pub acknowledged: u64,
    /// Acknowledged messages that at least one client did not get.
    pub acknowledged_lost: u64,
    /// How often a client lost its connection and reconnected.
    pub reconnects: u64,
    pub room: RoomCounts,
    /// How often the server violated the contract so that a client had to resume.
    pub faults: u64,
    /// Messages that the server rejected permanently.
    pub rejected: u64,
}

impl RoomsReport {
    fn is_faultless(&self, planned: u64) -> bool {
        let RoomCounts { holes, gaps } = self.room;
        let faults = [self.acknowledged_lost, holes, gaps, self.faults, self.rejected];
        self.acknowledged == planned && faults.iter().all(|count| *count == 0)
    }
}

/// A report as a JSON object. The order of the fields is that of the object.
#[derive(Serialize)]
struct JsonReport {
    clients: usize,
    observer: bool,
    senders: usize,
    body_bytes: usize,
    planned: u64,
    sent: u64,
    #[serde(flatten)]
    rooms: Option<JsonRooms>,
    delivered: u64,
    lost: u64,
    duplicated: u64,
    out_of_order: u64,
    order_differs: u64,
    own: u64,
    unknown: u64,
    foreign: u64,
    failed: usize,
    seconds: f64,
    deliveries_per_second: f64,
    latency_us: JsonLatency,
    interrupted: bool,
    faultless: bool,
}

/// The fields that only a run over `hubbub.v1` has.
#[derive(Serialize)]
struct JsonRooms {
    acknowledged: u64,
    acknowledged_lost: u64,
    reconnects: u64,
    holes: u64,
    gaps: u64,
    faults: u64,
    rejected: u64,
}

#[derive(Serialize)]
struct JsonLatency {
    p50: u64,
    p90: u64,
    p99: u64,
    max: u64,
}

impl From<&RoomsReport> for JsonRooms {
    fn from(report: &RoomsReport) -> Self {
        let RoomsReport { acknowledged, acknowledged_lost, reconnects, room, faults, rejected } = *report;
        let RoomCounts { holes, gaps } = room;
        Self { acknowledged, acknowledged_lost, reconnects, holes, gaps, faults, rejected }
    }
}

impl Report {
    /// Whether every message was sent and every client got it, once, in the same order.
    pub fn is_faultless(&self) -> bool {
        let Counts { duplicated, out_of_order, order_differs, own, unknown, .. } = self.counts;
        self.lost + duplicated + out_of_order + order_differs + own + unknown == 0
            && self.failed == 0
            && self.sent == self.due()
            && self.rooms.is_none_or(|rooms| rooms.is_faultless(self.due()))
    }

    /// How many messages should have been sent.
    fn due(&self) -> u64 {
        if self.interrupted { self.sent } else { self.planned }
    }

    pub fn table(&self) -> String {
        let Counts { delivered, duplicated, out_of_order, order_differs, own, unknown } = self.counts;
        let observer = if self.observer { " + 1 observer" } else { "" };
        let mut rows = vec![
            ("clients", format!("{}{observer}", self.clients)),
            ("senders", self.senders.to_string()),
            ("sent", self.sent.to_string()),
            ("delivered", delivered.to_string()),
            ("lost", self.lost.to_string()),
            ("duplicated", duplicated.to_string()),
            ("out of order", out_of_order.to_string()),
            ("order differs", order_differs.to_string()),
        ];
        if let Some(rooms) = &self.rooms {
            rows.insert(3, ("acknowledged", rooms.acknowledged.to_string()));
            rows.push(("ack'd but lost", rooms.acknowledged_lost.to_string()));
            rows.push(("reconnects", rooms.reconnects.to_string()));
        }
        if self.interrupted {
            rows.insert(0, ("interrupted", "yes".to_owned()));
        }
        // Rows that are normally zero are shown only if they are not.
        let unsent = self.planned.saturating_sub(self.sent);
        let failed = self.failed as u64;
        let rare = [("not sent", unsent), ("own messages", own), ("unknown", unknown), ("failed clients", failed)];
        let RoomsReport { room, faults, rejected, .. } = self.rooms.unwrap_or_default();
        let rooms = [("holes in seq", room.holes), ("gaps told", room.gaps), ("broke contract", faults)];
        let rare = rare.into_iter().chain(rooms).chain([("rejected", rejected)]);
        rows.extend(rare.filter(|(_, n)| *n > 0).map(|(label, n)| (label, n.to_string())));
        if self.foreign > 0 {
            rows.push(("from others", self.foreign.to_string()));
        }
        rows.push(("seconds", format!("{:.3}", self.took.as_secs_f64())));
        rows.push(("deliveries/s", format!("{:.0}", self.deliveries_per_second())));
        for (label, quantile) in [("latency p50", 0.5), ("latency p90", 0.9), ("latency p99", 0.99)] {
            rows.push((label, duration(self.latencies.value_at_quantile(quantile))));
        }
        rows.push(("latency max", duration(self.latencies.max())));
        let width = rows.iter().map(|(_, value)| value.len()).max().unwrap_or(0);
        rows.into_iter().fold(String::new(), |mut table, (label, value)| {
            // Writing into a string can't fail.
            let _ = writeln!(table, "{label:<14}  {value:>width$}");
            table
        })
    }

    pub fn json(&self) -> String {
        let Counts { delivered, duplicated, out_of_order, order_differs, own, unknown } = self.counts;
        let quantile = |q| self.latencies.value_at_quantile(q);
        let report = JsonReport {
            clients: self.clients,
            observer: self.observer,
            senders: self.senders,
            body_bytes: self.body_bytes,
            planned: self.planned,
            sent: self.sent,
            rooms: self.rooms.as_ref().map(JsonRooms::from),
            delivered,
            lost: self.lost,
            duplicated,
            out_of_order,
            order_differs,
            own,
            unknown,
            foreign: self.foreign,
            failed: self.failed,
            seconds: rounded(self.took.as_secs_f64(), 6),
            deliveries_per_second: rounded(self.deliveries_per_second(), 1),
            latency_us: JsonLatency {
                p50: quantile(0.5),
                p90: quantile(0.9),
                p99: quantile(0.99),
                max: self.latencies.max(),
            },
            interrupted: self.interrupted,
            faultless: self.is_faultless(),
        };
        // Invariant: all keys are strings, and no value fails to serialize.
        serde_json::to_string(&report).expect("a report is JSON")
    }

    fn deliveries_per_second(&self) -> f64 {
        let seconds = self.took.as_secs_f64();
        if seconds > 0.0 { self.counts.delivered as f64 / seconds } else { 0.0 }
    }
}

/// Rounds a number to at most this many decimal places.
fn rounded(number: f64, places: i32) -> f64 {
    let unit = 10_f64.powi(places);
    (number * unit).round() / unit
}

/// Microseconds for people.
fn duration(us: u64) -> String {
    match us {
        0..10_000 => format!("{us} µs"),
        10_000..10_000_000 => format!("{:.1} ms", us as f64 / 1e3),
        _ => format!("{:.1} s", us as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut latencies = latencies();
        for us in [100, 200, 300, 50_000] {
            latencies.saturating_record(us);
        }
        Report {
            clients: 3,
            observer: false,
            interrupted: false,
            senders: 1,
            body_bytes: 64,
            planned: 2,
            sent: 2,
            counts: Counts { delivered: 4, ..Counts::default() },
            lost: 0,
            foreign: 0,
            failed: 0,
            took: Duration::from_millis(500),
            latencies,
            rooms: None,
        }
    }

    #[test]
    fn what_was_acknowledged_and_lost_is_a_fault() {
        let rooms = RoomsReport { acknowledged: 2, ..RoomsReport::default() };
        let good = Report { rooms: Some(rooms), ..report() };
        assert!(good.is_faultless() && good.table().contains("ack'd but lost        0"), "{}", good.table());
        let room = RoomCounts { holes: 1, gaps: 0 };
        for bad in [
            RoomsReport { acknowledged: 1, ..rooms },
            RoomsReport { acknowledged_lost: 1, ..rooms },
            RoomsReport { faults: 1, ..rooms },
            RoomsReport { rejected: 1, ..rooms },
            RoomsReport { room, ..rooms },
            RoomsReport { room: RoomCounts { holes: 0, gaps: 1 }, ..rooms },
        ] {
            assert!(!Report { rooms: Some(bad), ..report() }.is_faultless(), "{bad:?}");
        }
        let many = Report { rooms: Some(RoomsReport { reconnects: 9, ..rooms }), ..report() };
        assert!(many.is_faultless() && many.json().contains(r#""reconnects":9,"#));
    }

    /// Programs read it, so its keys and their order are fixed.
    #[test]
    fn a_report_is_one_json_object() {
        let start = r#"{"clients":3,"observer":false,"senders":1,"body_bytes":64,"planned":2,"sent":2,"#;
        let end = concat!(
            r#""delivered":4,"lost":0,"duplicated":0,"out_of_order":0,"order_differs":0,"own":0,"unknown":0,"#,
            r#""foreign":0,"failed":0,"seconds":0.5,"deliveries_per_second":8.0,"#,
            r#""latency_us":{"p50":200,"p90":50175,"p99":50175,"max":50175},"interrupted":false,"faultless":true}"#
        );
        assert_eq!(report().json(), format!("{start}{end}"));
        let rooms = RoomsReport { acknowledged: 2, reconnects: 1, ..RoomsReport::default() };
        let rooms = Report { rooms: Some(rooms), took: Duration::from_nanos(1_234_567_891), ..report() };
        let keys = concat!(
            r#""acknowledged":2,"acknowledged_lost":0,"reconnects":1,"holes":0,"gaps":0,"faults":0,"rejected":0,"#,
            r#""delivered":4,"#
        );
        assert!(rooms.json().starts_with(&format!("{start}{keys}")), "{}", rooms.json());
        assert!(rooms.json().contains(r#""seconds":1.234568,"deliveries_per_second":3.2,"#), "{}", rooms.json());
    }

    #[test]
    fn the_table_lines_up() {
        let table = report().table();
        let lines: Vec<_> = table.lines().collect();
        assert_eq!(lines[0], "clients               3");
        assert_eq!(lines[9], "deliveries/s          8");
        assert!(lines[13].starts_with("latency max     50."), "{}", lines[13]);
        let width = |line: &&str| line.chars().count();
        assert!(lines[..10].iter().all(|line| width(line) == width(&lines[0])), "{table}");
        assert!(!table.contains("failed"));
    }

    #[test]
    fn any_fault_shows_and_counts() {
        assert!(report().is_faultless());
        let failed = Report { failed: 1, ..report() };
        assert!(!failed.is_faultless() && failed.table().contains("failed clients"));
        let unsent = Report { sent: 1, ..report() };
        assert!(!unsent.is_faultless() && unsent.table().contains("not sent"));
        let lost = Report { lost: 1, ..report() };
        assert!(
            !lost.is_faultless()
                && lost.json().contains(r#""lost":1,"#)
                && lost.json().contains(r#""faultless":false"#)
        );
        let own = Report { counts: Counts { own: 1, ..Counts::default() }, ..report() };
        assert!(!own.is_faultless());
    }

    /// A regression: Ctrl-C ended a run of an hour without any report of its results.
    #[test]
    fn an_interrupted_run_is_judged_by_what_was_sent() {
        let stopped = Report { sent: 1, interrupted: true, ..report() };
        assert!(stopped.is_faultless(), "{}", stopped.table());
        assert!(stopped.table().starts_with("interrupted         yes\n"), "{}", stopped.table());
        assert!(stopped.table().contains("not sent              1\n"), "{}", stopped.table());
        assert!(stopped.json().contains(r#""interrupted":true,"faultless":true"#));
        assert!(!Report { lost: 1, ..stopped }.is_faultless());
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(duration(950), "950 µs");
        assert_eq!(duration(12_345), "12.3 ms");
        assert_eq!(duration(12_345_678), "12.3 s");
    }
}
