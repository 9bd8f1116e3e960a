//! The result of a run, as a table for people or as one JSON object for programs.

use std::fmt::Write;

use crate::args::{Pace, Run};
use crate::meter::{LatencyUs, Measured};
use crate::process::Footprint;

/// Named figures, in the order in which they are shown.
pub struct Report {
    scenario: &'static str,
    figures: Vec<Figure>,
}

/// A figure; its name says its unit.
struct Figure {
    name: &'static str,
    value: f64,
    /// Digits after the point that mean something.
    digits: usize,
}

impl Report {
    pub fn of_fanout(run: &Run, measured: &Measured) -> Report {
        let mut report = Report::new(run);
        let per_message = (run.clients - 1) as f64;
        let deliveries_per_s = measured.deliveries as f64 / measured.seconds;
        report.add("senders", run.senders as f64, 0);
        match run.pace {
            Pace::InFlight(messages) => report.add("in_flight", messages as f64, 0),
            Pace::PerSecond(messages) => report.add("rate_per_s", messages.into(), 0),
        }
        report.add("deliveries_per_s", deliveries_per_s, 0);
        report.add("messages_per_s", deliveries_per_s / per_message, 0);
        report.add_latency(measured.latency);
        report.add_some("cpu_us_per_delivery", measured.cpu_us_per(measured.deliveries), 4);
        report.add_both(measured);
        report
    }

    /// `before` is the server with nobody connected.
    pub fn of_idle(run: &Run, before: Footprint, measured: &Measured) -> Report {
        let mut report = Report::new(run);
        let grown = measured.footprint.rss_kib as f64 - before.rss_kib as f64;
        report.add("kib_per_client", grown / run.clients as f64, 2);
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

    fn new(run: &Run) -> Report {
        let mut report = Report { scenario: run.scenario.letter(), figures: Vec::new() };
        report.add("clients", run.clients as f64, 0);
        report.add("body_bytes", run.body_bytes as f64, 0);
        report
    }

    /// What every scenario ends with: how busy both programs were, and the server's size at the end of the window.
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
        let mut text = format!("{{\"scenario\":\"{}\"", self.scenario);
        for Figure { name, value, digits } in &self.figures {
            // Writing to a string does not fail.
            let _ = write!(text, ",\"{name}\":{value:.digits$}");
        }
        text + "}"
    }

    pub fn table(&self) -> String {
        let mut text = format!("{:<20} {:>14}", "scenario", self.scenario);
        for Figure { name, value, digits } in &self.figures {
            let _ = write!(text, "\n{name:<20} {value:>14.digits$}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_one_flat_object() {
        let mut report = Report { scenario: "a", figures: Vec::new() };
        report.add("clients", 100.0, 0);
        report.add_some("p50_us", None, 1);
        report.add("seconds", 5.00049, 3);
        assert_eq!(report.json(), r#"{"scenario":"a","clients":100,"seconds":5.000}"#);
    }
}
