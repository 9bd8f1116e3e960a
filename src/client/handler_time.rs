//! The time that the receive thread spends in the owner's event handler.

use std::time::{Duration, Instant};

/// The handler's time. It doesn't count against the server; and a lost connection is not detected meanwhile, so this
/// time does not make an earlier line less doubtful.
#[derive(Debug, Default)]
pub struct HandlerTime {
    since: Option<Instant>,
    /// The total time of earlier handler calls.
    before: Duration,
}

impl HandlerTime {
    pub fn begin(&mut self, now: Instant) {
        self.since = Some(now);
    }

    /// Returns how long the call took.
    pub fn end(&mut self, now: Instant) -> Duration {
        let took = self.since.take().map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        self.before += took;
        took
    }

    /// Whether the handler is running.
    pub fn is_on(&self) -> bool {
        self.since.is_some()
    }

    /// A clock that stops while the owner handles an event.
    pub fn clock(&self, now: Instant) -> Instant {
        // Invariant: the handler calls lie between the session's start and now, so the difference is a past time.
        self.since.unwrap_or(now) - self.before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A regression: while the owner's output was blocked, for example by a pager, a lost connection was detected long
    /// after the keepalive had ended it, and lines sent just before counted as old enough to be safe.
    #[test]
    fn the_clock_stops_while_an_event_is_handled() {
        let start = Instant::now();
        let at = |second| start + Duration::from_secs(second);
        let mut handling = HandlerTime::default();
        assert_eq!(handling.clock(at(1)), at(1));
        handling.begin(at(2));
        assert_eq!(handling.clock(at(600)), at(2));
        assert_eq!(handling.end(at(902)), Duration::from_secs(900));
        assert_eq!(handling.clock(at(903)), at(3));
    }
}
