//! The two text formats of metrics: Prometheus's 0.0.4, and OpenMetrics 1.0 for those who ask for it.
//!
//! They differ in little: in OpenMetrics, the name of a family of counters lacks the ending `_total` that its samples have,
//! that of an info `_info`; units are stated; and the text has an end, so that a part is not taken for the whole.

use std::fmt::Write as _;

use crate::server::counter::Distribution;
use crate::server::http::head::Head;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Prometheus,
    OpenMetrics,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
    Info,
    Histogram,
}

/// The text of all metrics, family by family.
pub struct Exposition {
    format: Format,
    text: String,
}

/// A family of samples that is being written.
pub struct Family<'a> {
    text: &'a mut String,
    /// Of its samples.
    name: &'static str,
}

/// The value of a sample.
pub trait Number {
    fn write(self, text: &mut String);
}

/// Labels of a sample: names, and values from closed lists.
pub type Labels<'a> = &'a [(&'static str, &'a str)];

/// The units of Prometheus's conventions that names here end with.
const UNITS: [&str; 2] = ["seconds", "bytes"];

impl Format {
    /// The format that a client prefers, by its header `Accept`. Without a preference, it gets the older one.
    pub fn of(head: &Head) -> Self {
        let (mut open, mut plain) = (0.0_f32, 0.0_f32);
        for list in head.values("accept").filter_map(|list| std::str::from_utf8(list).ok()) {
            for range in list.split(',') {
                let mut parts = range.split(';').map(str::trim);
                let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
                let parameters: Vec<_> = parts.filter_map(|part| part.split_once('=')).collect();
                let parameter = |name: &str| {
                    parameters
                        .iter()
                        .find(|(other, _)| other.trim().eq_ignore_ascii_case(name))
                        .map(|(_, value)| value.trim())
                };
                let weight = parameter("q").map_or(Some(1.0), |weight| weight.parse().ok()).unwrap_or(0.0);
                match kind.as_str() {
                    "application/openmetrics-text"
                        if matches!(parameter("version"), None | Some("1.0.0" | "0.0.1")) =>
                    {
                        open = open.max(weight);
                    }
                    "text/plain" => plain = plain.max(weight),
                    _ => {}
                }
            }
        }
        if open > 0.0 && open >= plain { Self::OpenMetrics } else { Self::Prometheus }
    }

    pub fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

impl Exposition {
    pub fn new(format: Format) -> Self {
        Self { format, text: String::with_capacity(32 * 1024) }
    }

    /// A family of counters. The name ends with `_total`.
    pub fn counter(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(Kind::Counter, name, help)
    }

    pub fn gauge(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(Kind::Gauge, name, help)
    }

    /// Facts about the server, as labels of a sample with the value 1. The name ends with `_info`.
    pub fn info(&mut self, name: &'static str, help: &str, labels: Labels<'_>) {
        self.family(Kind::Info, name, help).with(labels, 1_u64);
    }

    /// A histogram of values in units of which `per` are one in the metric, such as nanoseconds of a second.
    pub fn histogram(&mut self, name: &'static str, help: &str, distribution: &Distribution, per: f64) {
        let Family { text, .. } = self.family(Kind::Histogram, name, help);
        // Writing into a string can't fail, here and below.
        for (bound, count) in distribution.bounds.iter().zip(&distribution.cumulative) {
            let _ = writeln!(text, "{name}_bucket{{le=\"{:?}\"}} {count}", *bound as f64 / per);
        }
        let count = distribution.cumulative.last().copied().unwrap_or(0);
        let _ = writeln!(text, "{name}_bucket{{le=\"+Inf\"}} {count}");
        let _ = writeln!(text, "{name}_sum {}", distribution.sum as f64 / per);
        let _ = writeln!(text, "{name}_count {count}");
    }

    /// The whole text.
    pub fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }

    fn family(&mut self, kind: Kind, name: &'static str, help: &str) -> Family<'_> {
        let text = &mut self.text;
        let (family, word) = match (self.format, kind) {
            (Format::OpenMetrics, Kind::Counter) => (name.strip_suffix("_total").unwrap_or(name), "counter"),
            (Format::OpenMetrics, Kind::Info) => (name.strip_suffix("_info").unwrap_or(name), "info"),
            (_, Kind::Counter) => (name, "counter"),
            (_, Kind::Gauge | Kind::Info) => (name, "gauge"),
            (_, Kind::Histogram) => (name, "histogram"),
        };
        let _ = writeln!(text, "# HELP {family} {help}");
        let _ = writeln!(text, "# TYPE {family} {word}");
        let unit = UNITS.iter().find(|unit| family.strip_suffix(**unit).is_some_and(|rest| rest.ends_with('_')));
        if let (Format::OpenMetrics, Some(unit)) = (self.format, unit) {
            let _ = writeln!(text, "# UNIT {family} {unit}");
        }
        Family { text, name }
    }
}

impl Family<'_> {
    /// The only sample of a family.
    pub fn is(self, value: impl Number) {
        self.with(&[], value);
    }

    /// Adds a sample.
    pub fn with(self, labels: Labels<'_>, value: impl Number) -> Self {
        self.text.push_str(self.name);
        for (number, (name, value)) in labels.iter().enumerate() {
            let before = if number == 0 { '{' } else { ',' };
            let _ = write!(self.text, "{before}{name}=\"{}\"", escape(value));
        }
        self.text.push_str(if labels.is_empty() { " " } else { "} " });
        value.write(self.text);
        self.text.push('\n');
        self
    }

    /// Adds a sample for each of these values of one label.
    pub fn each<'a, N: Number>(self, label: &'static str, values: impl IntoIterator<Item = (&'a str, N)>) {
        values.into_iter().fold(self, |family, (word, value)| family.with(&[(label, word)], value));
    }
}

impl Number for u64 {
    fn write(self, text: &mut String) {
        let _ = write!(text, "{self}");
    }
}

impl Number for usize {
    fn write(self, text: &mut String) {
        let _ = write!(text, "{self}");
    }
}

impl Number for bool {
    fn write(self, text: &mut String) {
        u64::from(self).write(text);
    }
}

impl Number for f64 {
    fn write(self, text: &mut String) {
        let _ = write!(text, "{self}");
    }
}

fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::counter::{Histogram, TIME_BOUNDS};

    fn format(accept: &str) -> Format {
        let head = format!("GET /metrics HTTP/1.1\r\nHost: localhost\r\n{accept}\r\n");
        Format::of(&Head::parse(head.as_bytes()).unwrap())
    }

    #[test]
    fn a_client_gets_the_format_that_it_prefers() {
        for accept in [
            "Accept: application/openmetrics-text\r\n",
            "Accept: application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,\
             text/plain;version=0.0.4;q=0.3,*/*;q=0.2\r\n",
            "Accept: text/plain;q=0.1\r\nAccept: Application/OpenMetrics-Text; Version=1.0.0\r\n",
        ] {
            assert_eq!(format(accept), Format::OpenMetrics, "{accept}");
        }
        for accept in [
            "",
            "Accept: */*\r\n",
            "Accept: text/html\r\n",
            "Accept: application/openmetrics-text;q=0\r\n",
            "Accept: application/openmetrics-text;version=2.0.0\r\n",
            "Accept: application/openmetrics-text;q=0.1, text/plain\r\n",
            "Accept: application/openmetrics-text;q=many\r\n",
        ] {
            assert_eq!(format(accept), Format::Prometheus, "{accept}");
        }
    }

    fn text(format: Format) -> String {
        let mut exposition = Exposition::new(format);
        exposition.info("hubbub_build_info", "What it is.", &[("version", "1\"\\\n")]);
        exposition.counter("hubbub_sent_bytes_total", "Bytes.").is(7_u64);
        exposition.gauge("hubbub_state", "State.").each("state", [("a", true), ("b", false)]);
        let histogram = Histogram::new(&TIME_BOUNDS[..2]);
        histogram.observe(200_000);
        exposition.histogram("hubbub_commit_seconds", "Time.", &histogram.get(), 1e9);
        exposition.finish()
    }

    const SAMPLES: &str = "hubbub_commit_seconds_bucket{le=\"0.0001\"} 0\n\
                           hubbub_commit_seconds_bucket{le=\"0.00025\"} 1\n\
                           hubbub_commit_seconds_bucket{le=\"+Inf\"} 1\n\
                           hubbub_commit_seconds_sum 0.0002\n\
                           hubbub_commit_seconds_count 1\n";

    #[test]
    fn the_text_of_prometheus() {
        let expected = "# HELP hubbub_build_info What it is.\n\
                        # TYPE hubbub_build_info gauge\n\
                        hubbub_build_info{version=\"1\\\"\\\\\\n\"} 1\n\
                        # HELP hubbub_sent_bytes_total Bytes.\n\
                        # TYPE hubbub_sent_bytes_total counter\n\
                        hubbub_sent_bytes_total 7\n\
                        # HELP hubbub_state State.\n\
                        # TYPE hubbub_state gauge\n\
                        hubbub_state{state=\"a\"} 1\n\
                        hubbub_state{state=\"b\"} 0\n\
                        # HELP hubbub_commit_seconds Time.\n\
                        # TYPE hubbub_commit_seconds histogram\n";
        assert_eq!(text(Format::Prometheus), format!("{expected}{SAMPLES}"));
    }

    #[test]
    fn the_text_of_openmetrics() {
        let expected = "# HELP hubbub_build What it is.\n\
                        # TYPE hubbub_build info\n\
                        hubbub_build_info{version=\"1\\\"\\\\\\n\"} 1\n\
                        # HELP hubbub_sent_bytes Bytes.\n\
                        # TYPE hubbub_sent_bytes counter\n\
                        # UNIT hubbub_sent_bytes bytes\n\
                        hubbub_sent_bytes_total 7\n\
                        # HELP hubbub_state State.\n\
                        # TYPE hubbub_state gauge\n\
                        hubbub_state{state=\"a\"} 1\n\
                        hubbub_state{state=\"b\"} 0\n\
                        # HELP hubbub_commit_seconds Time.\n\
                        # TYPE hubbub_commit_seconds histogram\n\
                        # UNIT hubbub_commit_seconds seconds\n";
        assert_eq!(text(Format::OpenMetrics), format!("{expected}{SAMPLES}# EOF\n"));
    }
}
