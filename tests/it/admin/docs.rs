//! docs/metrics.md, the alerts and the dashboard against a server's real metrics, and all of them against Prometheus's own tools.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use hubbub::limits;
use serde_json::Value;
use tempfile::TempDir;

use super::scrape::{families, get_with, samples, text};
use super::serve;
use crate::support::foreign::{project, python, script};
use crate::support::process::ServerProcess;
use crate::tls::authority::Authority;

/// A row of a table of metrics.
struct Row {
    kind: String,
    unit: String,
    /// The names of labels, and their values as far as the page lists them.
    labels: BTreeMap<String, BTreeSet<String>>,
}

fn read(path: &str) -> String {
    fs::read_to_string(project(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The words in backticks.
fn quoted(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split('`').skip(1).step_by(2).map(str::to_owned)
}

/// The metrics of the page.
fn documented() -> BTreeMap<String, Row> {
    let page = read("docs/metrics.md");
    let mut rows = BTreeMap::new();
    for line in page.lines().filter(|line| line.starts_with("| `hubbub_") || line.starts_with("| `process_")) {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [name, kind, unit, label_cell, meaning] = cells[..] else { panic!("five cells: {line}") };
        assert!(meaning.len() > 5, "{line}");
        let mut labels = BTreeMap::new();
        // `name`: `value`, `value`; `name`
        for part in label_cell.split(';') {
            let (names, values) = part.split_once(':').unwrap_or((part, ""));
            for name in quoted(names) {
                labels.insert(name, quoted(values).collect());
            }
        }
        let name = name.trim_matches('`').to_owned();
        let row = Row { kind: kind.to_owned(), unit: unit.to_owned(), labels };
        assert!(rows.insert(name.clone(), row).is_none(), "{name} has two rows");
    }
    assert!(rows.len() > 40, "{} rows", rows.len());
    rows
}

/// A server that has everything that can be shown: a data folder, search, TLS and HTTP.
fn complete() -> (ServerProcess, String, (TempDir, Authority)) {
    let (folder, authority) = (tempfile::tempdir().expect("a folder"), Authority::new());
    let pair = authority.server("metrics");
    let [data, certificate, key] =
        [folder.path(), &pair.certificate, &pair.key].map(|path| path.to_str().expect("a plain path"));
    let arguments = ["--data", data, "--tls-cert", certificate, "--tls-key", key, "--http", "127.0.0.1:0"];
    let (server, admin) = serve(&arguments);
    (server, admin, (folder, authority))
}

/// A name of a series, without its labels, and the labels.
fn split(series: &str) -> (&str, Vec<(&str, &str)>) {
    let Some((name, rest)) = series.split_once('{') else { return (series, Vec::new()) };
    let labels = rest.trim_end_matches('}').split(',').filter_map(|label| label.split_once('='));
    (name, labels.map(|(label, value)| (label, value.trim_matches('"'))).collect())
}

#[test]
fn the_page_and_a_scrape_have_the_same_metrics() {
    let (_server, admin, _files) = complete();
    let text = text(&admin);
    let (documented, shown) = (documented(), families(&text));
    let names = |names: &mut dyn Iterator<Item = &String>| names.cloned().collect::<BTreeSet<_>>();
    assert_eq!(names(&mut documented.keys()), names(&mut shown.keys()));
    for (name, kind) in &shown {
        assert_eq!(&documented[name].kind, kind, "the type of {name}");
    }
    let mut labels: BTreeMap<String, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for series in samples(&text).keys() {
        let (name, found) = split(series);
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        let name = family.filter(|family| shown.contains_key(*family)).unwrap_or(name);
        let known = labels.entry(name.to_owned()).or_default();
        for (label, value) in found.into_iter().filter(|(label, _)| *label != "le") {
            known.entry(label.to_owned()).or_default().insert(value.to_owned());
        }
    }
    for (name, Row { labels: listed, .. }) in &documented {
        let shown = labels.remove(name).unwrap_or_else(|| panic!("{name} has no sample"));
        assert_eq!(names(&mut listed.keys()), names(&mut shown.keys()), "the labels of {name}");
        for (label, values) in listed.iter().filter(|(_, values)| !values.is_empty()) {
            assert_eq!(values, &shown[label], "the values of {label} of {name}");
        }
        // Labels are bounded, whatever clients do.
        assert!(shown.values().all(|values| values.len() < 40), "{name}: {shown:?}");
    }
    assert_eq!(labels.into_keys().collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn the_page_tells_the_units_and_bounds() {
    let (_server, admin, _files) = complete();
    let accept = "Accept: application/openmetrics-text; version=1.0.0\n";
    let open = get_with(&admin, "/metrics", accept).text();
    let units: BTreeMap<_, _> = open.lines().filter_map(|line| line.strip_prefix("# UNIT ")?.split_once(' ')).collect();
    for (name, Row { unit, .. }) in documented() {
        let family = name.strip_suffix("_total").unwrap_or(&name);
        assert_eq!(units.get(family).copied().unwrap_or_default(), unit, "{name}");
    }
    let page = read("docs/metrics.md");
    let queue = format!("of at most {} MiB", limits::APPEND_QUEUE_BYTES_MAX >> 20);
    assert!(page.contains(&queue));
    assert!(page.contains("one of the two threads that read the log") && limits::QUERY_THREADS == 2);
    let (first, max) = (limits::STORE_CHECK_FIRST.as_secs(), limits::STORE_CHECK_MAX.as_secs());
    assert!(page.contains(&format!("after {first} s first and\nthen at most every {max} s")));
}

/// Runs promtool.
fn promtool(arguments: &[&str], input: &str) -> Output {
    let mut program = Command::new("promtool");
    program.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut program = program
        .current_dir(project("deploy/prometheus"))
        .spawn()
        .expect("promtool is installed: tools/install-deps metrics");
    program.stdin.take().expect("it is piped").write_all(input.as_bytes()).expect("it reads");
    program.wait_with_output().expect("it ends")
}

fn check(arguments: &[&str], input: &str) -> String {
    let output = promtool(arguments, input);
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "promtool {arguments:?}: {said}");
    said
}

#[test]
fn promtool_accepts_the_metrics() {
    let (_server, admin, _files) = complete();
    // It says nothing if it finds nothing.
    assert_eq!(check(&["check", "metrics"], &text(&admin)), "");
    // And it finds something in others.
    assert!(!promtool(&["check", "metrics"], "# TYPE x counter\nx 1\n").status.success());
}

#[test]
fn promtool_accepts_the_alerts_and_their_tests() {
    check(&["check", "rules", "alerts.yml"], "");
    check(&["check", "config", "prometheus.yml"], "");
    check(&["test", "rules", "alerts_test.yml"], "");
}

/// The strict parser of OpenMetrics of Prometheus's Python client.
#[test]
fn a_parser_of_openmetrics_accepts_the_metrics() {
    let (_server, admin, _files) = complete();
    let response =
        get_with(&admin, "/metrics", "Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5\n");
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!((response.status, response.field("content-type")), (200, Some(content_type)));
    assert!(response.text().ends_with("\n# EOF\n"));
    let mut program = python();
    program.arg(script("openmetrics.py")).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut program = program.spawn().expect("Python starts");
    program.stdin.take().expect("it is piped").write_all(&response.body).expect("it reads");
    let output = program.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let parsed = String::from_utf8(output.stdout).expect("text");
    let parsed: BTreeMap<_, _> = parsed
        .lines()
        .map(|line| {
            let words: Vec<_> = line.split(' ').collect();
            (words[0].to_owned(), (words[1].to_owned(), words[2].to_owned()))
        })
        .collect();
    for (name, Row { kind, unit, .. }) in documented() {
        let (family, kind) = match name.strip_suffix("_info") {
            Some(family) => (family, "info"),
            None => (name.strip_suffix("_total").unwrap_or(&name), kind.as_str()),
        };
        let unit = if unit.is_empty() { "-" } else { &unit };
        assert_eq!(parsed.get(family), Some(&(kind.to_owned(), unit.to_owned())), "{name}");
    }
}

/// The names of metrics in an expression.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|char: char| !char.is_ascii_alphanumeric() && char != '_');
    let words = words.filter(|word| word.starts_with("hubbub_") || word.starts_with("process_"));
    words
        .map(|word| {
            ["_bucket", "_sum", "_count"].iter().find_map(|end| word.strip_suffix(end)).unwrap_or(word).to_owned()
        })
        .collect()
}

/// All strings of this name in a JSON document.
fn strings<'a>(value: &'a Value, name: &str, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(fields) => {
            for (field, value) in fields {
                match value {
                    Value::String(text) if field == name => found.push(text),
                    value => strings(value, name, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| strings(item, name, found)),
        _ => {}
    }
}

#[test]
fn the_alerts_and_the_dashboard_use_metrics_that_exist() {
    let documented = documented();
    let dashboard: Value = serde_json::from_str(&read("deploy/grafana/hubbub.json")).expect("it is JSON");
    let mut expressions = Vec::new();
    strings(&dashboard, "expr", &mut expressions);
    assert!(expressions.len() > 40, "{}", expressions.len());
    let mut shown = BTreeSet::new();
    for expression in &expressions {
        let metrics = metrics_in(expression);
        assert!(!metrics.is_empty(), "{expression}");
        shown.extend(metrics);
    }
    let alerts: String =
        read("deploy/prometheus/alerts.yml").lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    let alerting = metrics_in(&alerts);
    assert!(alerting.len() > 15, "{alerting:?}");
    for metric in shown.iter().chain(&alerting) {
        assert!(documented.contains_key(metric), "{metric} does not exist");
    }
    // Whoever adds a metric decides where it is seen.
    let unseen: Vec<_> = documented.keys().filter(|name| !shown.contains(*name)).collect();
    assert_eq!(unseen, ["hubbub_state", "process_virtual_memory_bytes"]);
}

/// promtool checks expressions as rules.
#[test]
fn the_expressions_of_the_dashboard_are_valid() {
    let dashboard: Value = serde_json::from_str(&read("deploy/grafana/hubbub.json")).expect("it is JSON");
    let mut expressions = Vec::new();
    strings(&dashboard, "expr", &mut expressions);
    let rule = |(number, expression): (usize, &&str)| {
        let expression = expression.replace("$__rate_interval", "1m").replace("$instance", ".*");
        serde_json::json!({ "record": format!("panel:{number}"), "expr": expression })
    };
    let rules: Vec<_> = expressions.iter().enumerate().map(rule).collect();
    // JSON is YAML.
    let rules = serde_json::json!({ "groups": [{ "name": "dashboard", "rules": rules }] }).to_string();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("rules.yml");
    fs::write(&file, rules).expect("it is written");
    check(&["check", "rules", file.to_str().expect("a plain path")], "");
}

#[test]
fn every_alert_is_explained_and_tested() {
    let names = |text: &str, before: &str| {
        let names = text.lines().filter_map(|line| line.trim_start().strip_prefix(before));
        names.map(|name| name.split(['`', ' ']).next().unwrap_or_default().to_owned()).collect::<BTreeSet<_>>()
    };
    let alerts = names(&read("deploy/prometheus/alerts.yml"), "- alert: ");
    assert!(alerts.len() > 15, "{alerts:?}");
    assert_eq!(
        names(&read("docs/metrics.md"), "| `Hubbub"),
        alerts.iter().map(|name| name["Hubbub".len()..].to_owned()).collect()
    );
    // Each has a case in which it fires, and one in which it does not.
    let tests = read("deploy/prometheus/alerts_test.yml");
    assert_eq!(names(&tests, "alertname: "), alerts);
    for alert in &alerts {
        assert!(tests.contains(&format!("- name: {alert} does not fire\n")), "{alert}");
    }
}
