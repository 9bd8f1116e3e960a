//! Reads the metrics of a server.

use std::collections::BTreeMap;

use crate::http::client::{Client, Response};

/// The samples of a scrape: each series, such as `hubbub_state{state="serving"}`, with its value.
pub type Samples = BTreeMap<String, f64>;

/// Asks for a path. Each request has a connection of its own.
pub fn get(address: &str, path: &str) -> Response {
    get_with(address, path, "")
}

/// The same with header fields.
pub fn get_with(address: &str, path: &str, fields: &str) -> Response {
    let mut client = Client::connect(address);
    let response = client.ask(&format!("GET {path} HTTP/1.1\nHost: localhost\n{fields}\n"));
    assert_eq!(response.field("connection"), Some("close"), "{response:?}");
    assert!(client.is_closed(), "a connection ends with its response");
    response
}

/// The text of the metrics.
pub fn text(address: &str) -> String {
    let response = get(address, "/metrics");
    assert_eq!(response.status, 200, "{response:?}");
    assert_eq!(response.field("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    response.text()
}

pub fn scrape(address: &str) -> Samples {
    samples(&text(address))
}

pub fn samples(text: &str) -> Samples {
    let mut samples = Samples::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("not a sample: {line}"));
        let value = value.parse().unwrap_or_else(|_| panic!("not a value: {line}"));
        assert_eq!(samples.insert(series.to_owned(), value), None, "twice: {line}");
    }
    samples
}

/// The families of a scrape, each with its type.
pub fn families(text: &str) -> BTreeMap<String, String> {
    let mut families = BTreeMap::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').expect("a name and a type");
        assert_eq!(families.insert(name.to_owned(), kind.to_owned()), None, "twice: {name}");
    }
    families
}
