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

/// The outcome of a run. The order of the fields is that of the JSON object.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub clients: usize,
    /// Whether a client that only listens was added, because all others send.
    pub observer: bool,
    pub senders: usize,
    pub body_bytes: usize,
    /// How many messages should be sent in all, and how many were.
    pub planned: u64,
    pub sent: u64,
    /// The part that only `hubbub.v1` provides.
    #[serde(flatten)]
    pub v1: Option<V1Report>,
    #[serde(flatten)]
    pub counts: Counts,
    /// Messages of other users or other runs, which were skipped.
    pub foreign: u64,
    /// Clients whose stream failed.
    pub failed: usize,
    /// From the first sent message to the last received one.
    #[serde(skip)]
    pub took: Duration,
    #[serde(skip)]
    pub latencies: Latencies,
    /// The run was stopped by a signal: only the messages sent so far are judged.
    #[serde(skip)]
    pub interrupted: bool,
}

/// The additional results of a run over `hubbub.v1`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct V1Report {
    pub acknowledged: u64,
    /// Acknowledged messages that at least one client did not get.
    pub acknowledged_lost: u64,
    /// How often a client lost its connection and reconnected.
    pub reconnects: u64,
    #[serde(flatten)]
    pub room: RoomCounts,
    /// How often the server violated the contract so that a client had to resume.
    pub faults: u64,
    /// Messages that the server rejected permanently.
    pub rejected: u64,
}

impl V1Report {
    fn is_faultless(&self, planned: u64) -> bool {
        let RoomCounts { holes, gaps } = self.room;
        let faults = [self.acknowledged_lost, holes, gaps, self.faults, self.rejected];
        self.acknowledged == planned && faults.iter().all(|count| *count == 0)
    }
}

/// A report as a JSON object, with the values derived from it.
#[derive(Serialize)]
struct JsonReport<'a> {
    #[serde(flatten)]
    report: &'a Report,
    seconds: f64,
    deliveries_per_second: f64,
    latency_us: JsonLatency,
    interrupted: bool,
    faultless: bool,
}

#[derive(Serialize)]
struct JsonLatency {
    p50: u64,
    p90: u64,
    p99: u64,
    max: u64,
}

impl Report {
    /// Whether every message was sent and every client got it, once, in the same order.
    pub fn is_faultless(&self) -> bool {
        let Counts { lost, duplicated, out_of_order, order_differs, own, unknown, .. } = self.counts;
        lost + duplicated + out_of_order + order_differs + own + unknown == 0
            && self.failed == 0
            && self.sent == self.due()
            && self.v1.is_none_or(|v1| v1.is_faultless(self.due()))
    }

    /// How many messages should have been sent.
    fn due(&self) -> u64 {
        if self.interrupted { self.sent } else { self.planned }
    }

    pub fn table(&self) -> String {
        let Counts { delivered, lost, duplicated, out_of_order, order_differs, own, unknown } = self.counts;
        let observer = if self.observer { " + 1 observer" } else { "" };
        let mut rows = vec![
            ("clients", format!("{}{observer}", self.clients)),
            ("senders", self.senders.to_string()),
            ("sent", self.sent.to_string()),
            ("delivered", delivered.to_string()),
            ("lost", lost.to_string()),
            ("duplicated", duplicated.to_string()),
            ("out of order", out_of_order.to_string()),
            ("order differs", order_differs.to_string()),
        ];
        if let Some(v1) = &self.v1 {
            rows.insert(3, ("acknowledged", v1.acknowledged.to_string()));
            rows.push(("ack'd but lost", v1.acknowledged_lost.to_string()));
            rows.push(("reconnects", v1.reconnects.to_string()));
        }
        if self.interrupted {
            rows.insert(0, ("interrupted", "yes".to_owned()));
        }
        // Rows that are normally zero are shown only if they are not.
        let unsent = self.planned.saturating_sub(self.sent);
        let failed = self.failed as u64;
        let V1Report { room: RoomCounts { holes, gaps }, faults, rejected, .. } = self.v1.unwrap_or_default();
        let rare = [
            ("not sent", unsent),
            ("own messages", own),
            ("unknown", unknown),
            ("failed clients", failed),
            ("holes in seq", holes),
            ("gaps reported", gaps),
            ("violations", faults),
            ("rejected", rejected),
        ];
        rows.extend(rare.into_iter().filter(|(_, n)| *n > 0).map(|(label, n)| (label, n.to_string())));
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
        let quantile = |q| self.latencies.value_at_quantile(q);
        let (p50, p90, p99, max) = (quantile(0.5), quantile(0.9), quantile(0.99), self.latencies.max());
        let report = JsonReport {
            report: self,
            seconds: rounded(self.took.as_secs_f64(), 6),
            deliveries_per_second: rounded(self.deliveries_per_second(), 1),
            latency_us: JsonLatency { p50, p90, p99, max },
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
            senders: 1,
            body_bytes: 64,
            planned: 2,
            sent: 2,
            counts: Counts { delivered: 4, ..Counts::default() },
            foreign: 0,
            failed: 0,
            took: Duration::from_millis(500),
            latencies,
            v1: None,
            interrupted: false,
        }
    }

    #[test]
    fn each_fault_of_v1_counts() {
        let v1 = V1Report { acknowledged: 2, ..V1Report::default() };
        let good = Report { v1: Some(v1), ..report() };
        assert!(good.is_faultless() && good.table().contains("ack'd but lost        0"), "{}", good.table());
        let room = RoomCounts { holes: 1, gaps: 0 };
        for bad in [
            V1Report { acknowledged: 1, ..v1 },
            V1Report { acknowledged_lost: 1, ..v1 },
            V1Report { faults: 1, ..v1 },
            V1Report { rejected: 1, ..v1 },
            V1Report { room, ..v1 },
            V1Report { room: RoomCounts { holes: 0, gaps: 1 }, ..v1 },
        ] {
            assert!(!Report { v1: Some(bad), ..report() }.is_faultless(), "{bad:?}");
        }
        let many = Report { v1: Some(V1Report { reconnects: 9, ..v1 }), ..report() };
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
        let v1 = V1Report { acknowledged: 2, reconnects: 1, ..V1Report::default() };
        let report = Report { v1: Some(v1), took: Duration::from_nanos(1_234_567_891), ..report() };
        let keys = concat!(
            r#""acknowledged":2,"acknowledged_lost":0,"reconnects":1,"holes":0,"gaps":0,"faults":0,"rejected":0,"#,
            r#""delivered":4,"#
        );
        assert!(report.json().starts_with(&format!("{start}{keys}")), "{}", report.json());
        assert!(report.json().contains(r#""seconds":1.234568,"deliveries_per_second":3.2,"#), "{}", report.json());
    }

    #[test]
    fn the_table_is_aligned() {
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
    fn any_fault_is_shown_and_counts() {
        assert!(report().is_faultless());
        let failed = Report { failed: 1, ..report() };
        assert!(!failed.is_faultless() && failed.table().contains("failed clients"));
        let unsent = Report { sent: 1, ..report() };
        assert!(!unsent.is_faultless() && unsent.table().contains("not sent"));
        let lost = Report { counts: Counts { lost: 1, ..Counts::default() }, ..report() };
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
    fn an_interrupted_run_is_judged_by_the_sent_messages() {
        let stopped = Report { sent: 1, interrupted: true, ..report() };
        assert!(stopped.is_faultless(), "{}", stopped.table());
        assert!(stopped.table().starts_with("interrupted         yes\n"), "{}", stopped.table());
        assert!(stopped.table().contains("not sent              1\n"), "{}", stopped.table());
        assert!(stopped.json().contains(r#""interrupted":true,"faultless":true"#));
        let lost = Counts { lost: 1, ..stopped.counts };
        assert!(!Report { counts: lost, ..stopped }.is_faultless());
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(duration(950), "950 µs");
        assert_eq!(duration(12_345), "12.3 ms");
        assert_eq!(duration(12_345_678), "12.3 s");
    }
}
