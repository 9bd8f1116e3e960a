//! The result of a run, as a table for people or as one JSON object for programs.

use std::fmt::Write;

use crate::args::{Pace, Run};
use crate::behind::{Reading, Sizes};
use crate::live::Entry;
use crate::meter::{LatencyUs, Measured};
use crate::process::Footprint;

/// Named figures, in the order in which they are shown.
pub struct Report {
    scenario: &'static str,
    contract: &'static str,
    tls: bool,
    figures: Vec<Figure>,
}

/// A figure; its name ends with its unit.
struct Figure {
    name: &'static str,
    value: f64,
    /// Significant digits after the point.
    digits: usize,
}

impl Report {
    /// `receivers` is how many clients get each message, `before` the server without clients.
    pub fn of_fanout(run: &Run, receivers: f64, before: Footprint, entry: Entry, measured: &Measured) -> Report {
        let mut report = Report::new(run);
        let deliveries_per_s = measured.deliveries as f64 / measured.seconds;
        report.add_senders(run);
        report.add("deliveries_per_s", deliveries_per_s, 0);
        report.add("messages_per_s", deliveries_per_s / receivers, 0);
        report.add_latency(measured.latency);
        report.add_some("cpu_us_per_delivery", measured.cpu_us_per(measured.deliveries), 4);
        report.add_entry(run, entry);
        report.add_growth(run, before, measured);
        report.add_both(measured);
        report
    }

    /// `before` is the server without clients.
    pub fn of_idle(run: &Run, before: Footprint, entry: Entry, measured: &Measured) -> Report {
        let mut report = Report::new(run);
        report.add_entry(run, entry);
        report.add_growth(run, before, measured);
        report.add("rss_before_kib", before.rss_kib as f64, 0);
        report.add("threads_before", before.threads as f64, 0);
        report.add_both(measured);
        report
    }

    pub fn of_churn(run: &Run, measured: &Measured) -> Report {
        let mut report = Report::new(run);
        report.add("cycles_per_s", measured.deliveries as f64 / measured.seconds, 0);
        report.add_latency(measured.latency);
        report.add_some("cpu_us_per_cycle", measured.cpu_us_per(measured.deliveries), 1);
        report.add_both(measured);
        report
    }

    /// `before` is the server with the history and without clients; `without` the same room without readers.
    pub fn of_catch_up(run: &Run, before: Footprint, without: &Measured, with: &Measured, reading: &Reading) -> Report {
        let mut report = Report::new(run);
        report.add_senders(run);
        report.add_reading(reading);
        // The cost of the readers is the server's CPU time beyond that of the room alone.
        let room_ns = without.server_cpu_ns as f64 / without.seconds * with.seconds;
        let readers_s = (with.server_cpu_ns as f64 - room_ns) / 1e9;
        report.add("read_per_cpu_s", reading.messages as f64 / readers_s, 0);
        report.add("cpu_s_per_reader", readers_s / reading.readers as f64, 3);
        report.add_beside(without, with);
        report.add_growth(run, before, with);
        report.add_both(with);
        report
    }

    /// `without` is the same room before a client stopped reading.
    pub fn of_slow(run: &Run, without: &Measured, with: &Measured, reading: &Reading, sizes: &Sizes) -> Report {
        let mut report = Report::new(run);
        report.add_senders(run);
        report.add_reading(reading);
        report.add("rss_before_kib", sizes.before.rss_kib as f64, 0);
        report.add("rss_stalled_kib", sizes.stalled.rss_kib as f64, 0);
        report.add("rss_after_kib", sizes.after.rss_kib as f64, 0);
        report.add("rss_ratio", sizes.stalled.rss_kib as f64 / sizes.before.rss_kib as f64, 3);
        report.add_beside(without, with);
        report.add_growth(run, sizes.nobody, with);
        report.add_both(with);
        report
    }

    fn new(run: &Run) -> Report {
        let (scenario, contract) = (run.scenario.name(), run.wire.name());
        let mut report = Report { scenario, contract, tls: run.server.tls.is_some(), figures: Vec::new() };
        report.add("clients", run.seating.clients as f64, 0);
        report.add("rooms", run.seating.rooms as f64, 0);
        report.add("rooms_per_client", run.seating.joined as f64, 0);
        report.add("body_bytes", run.body_bytes as f64, 0);
        report
    }

    fn add_senders(&mut self, run: &Run) {
        self.add("senders", run.senders as f64, 0);
        match run.pace {
            Pace::InFlight(messages) => self.add("in_flight", messages as f64, 0),
            Pace::PerSecond(messages) => self.add("rate_per_s", messages.into(), 0),
        }
    }

    /// The cost of a join, for each client in each of its rooms.
    fn add_entry(&mut self, run: &Run, entry: Entry) {
        let joins = run.seating.seats() as f64;
        self.add("join_s", entry.seconds, 3);
        self.add("joins_per_s", joins / entry.seconds, 0);
        self.add("cpu_us_per_join", entry.server_cpu_ns as f64 / 1e3 / joins, 1);
    }

    /// The growth of the server since it had no clients.
    fn add_growth(&mut self, run: &Run, before: Footprint, measured: &Measured) {
        let grown_kib = measured.footprint.rss_kib as f64 - before.rss_kib as f64;
        self.add("kib_per_client", grown_kib / run.seating.clients as f64, 2);
    }

    fn add_reading(&mut self, reading: &Reading) {
        self.add("readers", reading.readers as f64, 0);
        self.add("read_messages", reading.messages as f64, 0);
        self.add("read_per_s", reading.messages as f64 / reading.seconds, 0);
    }

    /// The effect on the other clients.
    fn add_beside(&mut self, without: &Measured, with: &Measured) {
        self.add_latency(with.latency);
        if let (Some(without), Some(with)) = (without.latency, with.latency) {
            self.add("p50_us_without", without.p50, 1);
            self.add("p99_us_without", without.p99, 1);
            if let (Some(without), Some(with)) = (without.p99_of_seconds, with.p99_of_seconds) {
                self.add("p99_of_seconds_us", with, 1);
                self.add("p99_of_seconds_us_without", without, 1);
                self.add("p99_ratio", with / without, 3);
            }
        }
    }

    /// The last figures of every scenario: the load of both programs, and the server's size at the end of the window.
    fn add_both(&mut self, measured: &Measured) {
        self.add("server_cpu_percent", measured.server_cpu_percent(), 1);
        self.add("load_cpu_percent", measured.own_cpu_percent(), 1);
        self.add("rss_kib", measured.footprint.rss_kib as f64, 0);
        self.add("threads", measured.footprint.threads as f64, 0);
        self.add("seconds", measured.seconds, 3);
    }

    fn add_latency(&mut self, latency: Option<LatencyUs>) {
        self.add_some("p50_us", latency.map(|latency| latency.p50), 1);
        self.add_some("p99_us", latency.map(|latency| latency.p99), 1);
        self.add_some("p999_us", latency.map(|latency| latency.p999), 1);
    }

    fn add_some(&mut self, name: &'static str, value: Option<f64>, digits: usize) {
        if let Some(value) = value {
            self.add(name, value, digits);
        }
    }

    fn add(&mut self, name: &'static str, value: f64, digits: usize) {
        self.figures.push(Figure { name, value, digits });
    }

    /// One object on one line. Nothing in it needs escaping.
    pub fn json(&self) -> String {
        let mut text = format!(r#"{{"scenario":"{}","contract":"{}","tls":{}"#, self.scenario, self.contract, self.tls);
        for Figure { name, value, digits } in &self.figures {
            // Writing to a string does not fail.
            let _ = write!(text, ",\"{name}\":{value:.digits$}");
        }
        text + "}"
    }

    pub fn table(&self) -> String {
        let tls = if self.tls { "yes" } else { "no" };
        let mut text = format!("{:<26} {:>14}", "scenario", self.scenario);
        for (name, value) in [("contract", self.contract), ("tls", tls)] {
            let _ = write!(text, "\n{name:<26} {value:>14}");
        }
        for Figure { name, value, digits } in &self.figures {
            let _ = write!(text, "\n{name:<26} {value:>14.digits$}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_one_flat_object() {
        let mut report = Report { scenario: "a", contract: "v1", tls: true, figures: Vec::new() };
        report.add("clients", 100.0, 0);
        report.add_some("p50_us", None, 1);
        report.add("seconds", 5.00049, 3);
        assert_eq!(report.json(), r#"{"scenario":"a","contract":"v1","tls":true,"clients":100,"seconds":5.000}"#);
    }
}
