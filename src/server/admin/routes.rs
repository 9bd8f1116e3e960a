//! The paths of the admin face, and their answers.

use std::sync::{Arc, OnceLock};

use super::exposition::Format;
use super::families;
use super::page::StatusPage;
use super::process::Process;
use super::sources::Sources;
use crate::server::health::HealthState;
use crate::server::http::answer::Answer;
use crate::server::http::fence::{Fence, Intruder};
use crate::server::http::head::{Head, Method};
use crate::server::peer;

/// What there is to see.
const PATHS: &str = "/metrics  numbers, for Prometheus\n\
                     /healthz  200 while the process answers\n\
                     /readyz   200 while the server serves and can store messages, otherwise 503 with the reason\n\
                     /statusz  a page for people";

/// The paths of the admin face.
pub struct Routes {
    health: Arc<HealthState>,
    /// Empty until the server's parts are there.
    pub sources: OnceLock<Sources>,
    fence: Fence,
    page: StatusPage,
    process: Process,
}

impl Routes {
    /// `hosts` are the names under which it is reached.
    pub fn new(health: Arc<HealthState>, hosts: Vec<String>) -> Self {
        let fence = Fence { hosts, origins: Vec::new() };
        Self { health, sources: OnceLock::new(), fence, page: StatusPage::new(), process: Process::of_this() }
    }

    /// The answer to a request on a connection of that name.
    pub fn answer(&self, head: &Head, connection: &str) -> Answer {
        // An attacker's page must not read this by a name of its own that points here.
        match self.fence.check_host(head, connection.starts_with("unix:")) {
            Ok(()) => {}
            Err(Intruder::Host(name)) => {
                let text =
                    format!("this server does not know the name {name:?}: its operator can give it with --admin-host");
                return Answer::text(421, &text);
            }
            Err(Intruder::Site | Intruder::Fault(_)) => return Answer::text(400, "the request has an invalid Host"),
        }
        if !matches!(head.method, Method::Get | Method::Head) {
            return Answer::text(405, "only GET is allowed here").with("allow", "GET, HEAD");
        }
        let (health, sources) = (self.health.get(), self.sources.get());
        match head.path.as_str() {
            "/metrics" => {
                let format = Format::of(head);
                let text = families::text(format, &health, &self.process, sources);
                Answer::new(200, format.content_type(), text).with("vary", "accept")
            }
            "/healthz" => Answer::text(200, "ok"),
            "/readyz" => match health.reason() {
                None => Answer::text(200, "ready"),
                Some(reason) => Answer::text(503, &format!("not ready: {reason}")),
            },
            "/statusz" => self.page.answer(&health, &self.process, sources, is_local(connection)),
            "/" => Answer::text(200, PATHS),
            _ => Answer::text(404, &format!("nothing is here; there are\n{PATHS}")),
        }
    }
}

/// Whether a connection comes from this machine.
fn is_local(connection: &str) -> bool {
    peer::address(connection).map_or(connection.starts_with("unix:"), |address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(routes: &Routes, request: &str, connection: &str) -> (u16, String) {
        let head = Head::parse(format!("{request}\r\n\r\n").replace('\n', "\r\n").replace("\r\r", "\r").as_bytes());
        let answer = routes.answer(&head.unwrap(), connection);
        (answer.status, String::from_utf8(answer.body).unwrap())
    }

    const LOCAL: &str = "ipv4:127.0.0.1:1";

    #[test]
    fn a_server_that_starts_is_alive_and_not_ready() {
        let routes = Routes::new(Arc::default(), Vec::new());
        let get = |path: &str| answer(&routes, &format!("GET {path} HTTP/1.1\nHost: localhost"), LOCAL);
        assert_eq!(get("/healthz"), (200, "ok\n".to_owned()));
        assert_eq!(get("/readyz?x=1"), (503, "not ready: the server is starting\n".to_owned()));
        let (status, metrics) = get("/metrics");
        assert!(status == 200 && metrics.contains("hubbub_state{state=\"starting\"} 1\n"), "{metrics}");
        assert!(metrics.contains("hubbub_ready 0\n") && !metrics.contains("hubbub_sessions"), "{metrics}");
        assert_eq!(get("/statusz").0, 200);
        assert_eq!((get("/").0, get("/x").0), (200, 404));
        routes.health.set_serving();
        assert_eq!(get("/readyz"), (200, "ready\n".to_owned()));
        routes.health.set_failed("messages can't be stored: the disk is full".to_owned());
        assert_eq!(get("/readyz"), (503, "not ready: messages can't be stored: the disk is full\n".to_owned()));
        routes.health.set_draining();
        assert_eq!((get("/healthz").0, get("/readyz").0), (200, 503));
    }

    #[test]
    fn only_known_hosts_and_harmless_methods_are_answered() {
        let routes = Routes::new(Arc::default(), vec!["hubbub.internal".to_owned()]);
        let ask = |request: &str, connection: &str| answer(&routes, request, connection).0;
        assert_eq!(ask("GET /healthz HTTP/1.1\nHost: evil.example:9464", LOCAL), 421);
        assert_eq!(ask("GET /healthz HTTP/1.1\nHost: evil.example", "unix:"), 200);
        assert_eq!(ask("GET /healthz HTTP/1.1\nHost: hubbub.internal:9464", LOCAL), 200);
        assert_eq!(ask("HEAD /healthz HTTP/1.1\nHost: [::1]:9464", LOCAL), 200);
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE"] {
            assert_eq!(ask(&format!("{method} /metrics HTTP/1.1\nHost: localhost"), LOCAL), 405);
        }
    }

    #[test]
    fn names_are_for_this_machine() {
        assert!(
            is_local("unix:") && is_local(LOCAL) && is_local("ipv6:[::1]:5") && is_local("ipv6:[::ffff:127.0.0.1]:5")
        );
        assert!(!is_local("ipv4:192.0.2.1:5") && !is_local("ipv6:[2001:db8::1]:5") && !is_local(""));
    }
}
