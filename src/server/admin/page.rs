//! The status page: the state of the server on one page, for people. It has no script, and loads nothing.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use super::process::{self, Process};
use super::readers::{self, SlowReader};
use super::sources::Sources;
use crate::limits::{STATUS_READERS_MAX, STATUS_THREADS_MAX};
use crate::server::gauges::Resource;
use crate::server::health::Health;
use crate::server::http::answer::Answer;

const STYLE: &str = "\
:root{color-scheme:light dark;--line:light-dark(#d8dbe0,#3a3f47);--soft:light-dark(#5b6470,#a2abb8)}\
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}\
h1{font-size:1.4rem;margin:0 0 1rem}h2{font-size:1.05rem;margin:2rem 0 .4rem}\
p.state{padding:.5rem .8rem;border-radius:.4rem;border:1px solid;overflow-wrap:anywhere}\
p.good{color:light-dark(#11663a,#6fd59b)}p.bad{color:light-dark(#9d1c1c,#ff9d96)}\
table{border-collapse:collapse;width:100%}\
th,td{text-align:left;padding:.25rem .8rem .25rem 0;border-bottom:1px solid var(--line);vertical-align:top;\
overflow-wrap:anywhere}\
th{font-weight:500;color:var(--soft)}th[scope=row]{width:40%}\
td.number,th.number{width:8rem;text-align:right;font-variant-numeric:tabular-nums}\
footer{margin-top:2rem;color:var(--soft)}";

/// The page, and what it may do.
pub struct StatusPage {
    started: Instant,
    policy: String,
}

impl StatusPage {
    pub fn new() -> Self {
        let hash = STANDARD.encode(Sha256::digest(STYLE));
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        );
        Self { started: Instant::now(), policy }
    }

    /// The page. `shows_names` tells whether the names of rooms and clients are shown.
    pub fn answer(&self, health: &Health, process: &Process, sources: Option<&Sources>, shows_names: bool) -> Answer {
        let mut body = String::with_capacity(8 * 1024);
        // Writing into a string can't fail, here and below.
        let _ = write!(
            body,
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>Hubbub: status</title>\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<style>{STYLE}</style>\n</head>\n\
             <body>\n<h1>Hubbub {}</h1>\n",
            env!("CARGO_PKG_VERSION")
        );
        let (class, state) = match health.reason() {
            None => ("good", "ready: the server serves, and messages can be stored".to_owned()),
            Some(reason) => ("bad", format!("not ready: {reason}")),
        };
        let _ = writeln!(body, "<p class=\"state {class}\" role=\"status\">{}</p>", escape(&state));
        let mut rows = vec![("started", time(self.started.elapsed())), ("process id", std::process::id().to_string())];
        rows.extend(sources.map(facts).into_iter().flatten());
        table(&mut body, "Server", &rows);
        if let Some(hub) = sources.and_then(|sources| sources.hub.upgrade()) {
            slow(&mut body, &readers::slowest(&hub.rooms, STATUS_READERS_MAX), shows_names);
        }
        threads(&mut body, process);
        body.push_str(
            "<footer>Reload the page for newer numbers. Programs read <code>/metrics</code>, <code>/healthz</code> and \
             <code>/readyz</code>.</footer>\n</body>\n</html>\n",
        );
        Answer::new(200, "text/html; charset=utf-8", body)
            .with("content-security-policy", &self.policy)
            .with("cross-origin-opener-policy", "same-origin")
    }
}

/// The numbers of a server whose parts are there.
fn facts(sources: &Sources) -> Vec<(&'static str, String)> {
    let (open, max) = sources.connections.open();
    let mut rows = vec![("addresses", sources.addresses.join(", ")), ("connections", format!("{open} of {max}"))];
    if let Some(hub) = sources.hub.upgrade() {
        let stored = sources.gauges.last(Resource::Rooms);
        rows.push(("sessions", format!("{} of {}", hub.clients.count(), sources.clients_max)));
        rows.push(("rooms", format!("{} of {}, {} open", stored.used, stored.max, hub.rooms.all().len())));
    }
    let commits = &sources.commits;
    rows.push(("stored since the start", {
        let (messages, changes) = (commits.messages.get(), commits.changes.get());
        format!("{messages} messages and {changes} changes, {}", size(commits.bytes.get()))
    }));
    let (orders, bytes) = sources.append_queue.now();
    rows.push(("waiting for the log writer", format!("{orders} requests, {}", size(bytes))));
    match &sources.folder {
        None => rows.push(("log", "in memory".to_owned())),
        Some(folder) => match folder.sizes() {
            None => rows.push(("log", "unknown: the disk has not answered yet".to_owned())),
            Some(sizes) => {
                rows.push(("log", format!("{}, write-ahead log {}", size(sizes.log), size(sizes.write_ahead_log))));
                let space = |(free, reserve)| format!("{} free, of which {} are reserved", size(free), size(reserve));
                rows.push(("disk", sizes.disk.map_or_else(|| "unknown".to_owned(), space)));
            }
        },
    }
    if let Some(damaged) = sources.log_faults.as_ref().map(|faults| faults.damaged_places.get()).filter(|it| *it > 0) {
        rows.push(("damaged places of the log", format!("{damaged}: see the server's log")));
    }
    rows.push((
        "search",
        match &sources.search {
            None => "off".to_owned(),
            Some(search) => format!("{} events are not indexed yet", search.behind(|_| true)),
        },
    ));
    let clock = if commits.is_clock_doubted() { "not trusted: see the server's log" } else { "trusted" };
    rows.push(("clock", clock.to_owned()));
    rows
}

fn table(body: &mut String, title: &str, rows: &[(&str, String)]) {
    let _ = writeln!(body, "<h2>{title}</h2>\n<table>");
    for (name, value) in rows {
        let _ = writeln!(body, "<tr><th scope=\"row\">{}</th><td>{}</td></tr>", escape(name), escape(value));
    }
    body.push_str("</table>\n");
}

fn slow(body: &mut String, readers: &[SlowReader], shows_names: bool) {
    body.push_str("<h2>Slowest readers</h2>\n");
    if readers.is_empty() {
        return body.push_str("<p>All streams have read everything.</p>\n");
    }
    if !shows_names {
        body.push_str("<p>The names are shown to this machine only.</p>\n");
    }
    body.push_str(
        "<table>\n<tr><th scope=\"col\" class=\"number\">events behind</th><th scope=\"col\">room</th>\
         <th scope=\"col\">client</th></tr>\n",
    );
    for SlowReader { lag, room, client } in readers {
        let (room, client) = match (shows_names, client) {
            (false, _) => ("not shown", "not shown".to_owned()),
            (true, None) => (room.as_str(), "listens only".to_owned()),
            (true, Some((id, name))) => (room.as_str(), format!("{name} ({id})")),
        };
        // A name may be written from right to left, and must not turn what stands around it.
        let _ = writeln!(
            body,
            "<tr><td class=\"number\">{lag}</td><td><bdi>{}</bdi></td><td><bdi>{}</bdi></td></tr>",
            escape(room),
            escape(&client)
        );
    }
    body.push_str("</table>\n");
}

fn threads(body: &mut String, process: &Process) {
    let count = process.threads();
    let mut rows = vec![("all", count.to_string())];
    let names = if count <= STATUS_THREADS_MAX as u64 { process::threads_by_name() } else { Default::default() };
    rows.extend(names.iter().map(|(name, count)| (name.as_str(), count.to_string())));
    table(body, "Threads", &rows);
}

fn time(time: Duration) -> String {
    format!("{} ago", humantime::format_duration(Duration::from_secs(time.as_secs())))
}

/// A number of bytes for people.
fn size(bytes: u64) -> String {
    let units = ["KB", "MB", "GB", "TB", "PB"];
    let mut value = bytes as f64 / 1e3;
    if bytes < 1_000 {
        return format!("{bytes} bytes");
    }
    let mut unit = 0;
    while value >= 999.95 && unit + 1 < units.len() {
        value /= 1e3;
        unit += 1;
    }
    format!("{value:.1} {}", units[unit])
}

/// Text in a page, also within an attribute.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(char),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::ClientId;

    #[test]
    fn names_are_escaped_and_shown_to_this_machine_only() {
        let hostile = "<script>alert('1')</script>&\"";
        let reader = SlowReader { lag: 12, room: "tea".to_owned(), client: Some((ClientId(7), hostile.to_owned())) };
        let page = |shows_names| {
            let mut body = String::new();
            slow(&mut body, std::slice::from_ref(&reader), shows_names);
            body
        };
        let escaped = "&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&amp;&quot;";
        assert!(page(true).contains(escaped) && page(true).contains("<bdi>tea</bdi>"), "{}", page(true));
        assert!(!page(true).contains("<script>"));
        assert!(!page(false).contains("tea") && !page(false).contains("script") && page(false).contains(">12<"));
    }

    #[test]
    fn a_page_of_a_server_that_starts_says_so() {
        let answer = StatusPage::new().answer(&Health::Failed("<full>".to_owned()), &Process::of_this(), None, true);
        let body = String::from_utf8(answer.body).unwrap();
        assert!(body.contains("not ready: &lt;full&gt;"), "{body}");
        let policy = answer.fields.iter().find(|(name, _)| *name == "content-security-policy").unwrap().1.clone();
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-") && !policy.contains("unsafe"), "{policy}");
    }

    #[test]
    fn sizes_are_short() {
        let shown = [0, 999, 1_000, 999_949, 999_950, 12_345_678, 2_000_000_000_000].map(size);
        assert_eq!(shown, ["0 bytes", "999 bytes", "1.0 KB", "999.9 KB", "1.0 MB", "12.3 MB", "2.0 TB"]);
    }
}
