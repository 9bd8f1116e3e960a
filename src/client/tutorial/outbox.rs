//! The lines that a session still has to send, and the count of sent lines that may be lost.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::client::outbox::lines;
use crate::limits::{KEEPALIVE_TIME, KEEPALIVE_TIMEOUT};
use crate::names::{Body, UserName};

/// The maximum number of lines that wait for a connection. More than a user types during an outage; a program that
/// reads a file has to wait.
pub const LINES_MAX: usize = 1024;

/// A line sent less than this before a lost connection was detected may be lost with it: a pulled cable or a frozen
/// server is detected only when a keepalive ping stays unanswered.
///
/// The same applies if the server ended the stream with a status. The gRPC library creates statuses of its own with the
/// same codes, so the two can't be distinguished; and a draining server stops reading, so lines in flight, or in a
/// buffer because the server was busy, were not accepted. Too high a count is acceptable, too low a count is not.
const RECENT: Duration = KEEPALIVE_TIME.saturating_add(KEEPALIVE_TIMEOUT);

/// The resolution of a line's time. A line may count as in doubt for this much longer than [`RECENT`].
const PERIOD: Duration = Duration::from_secs(1);

/// A line to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub name: UserName,
    pub body: Body,
}

/// The lines to send, at most [`LINES_MAX`], and the count of those that may be lost.
///
/// The contract has no acknowledgement, so the lines lost with a connection are unknown. Sending them again could show
/// them twice; so they are not sent again, and the user sees how many lines are in doubt.
#[derive(Debug)]
pub struct Outbox {
    lines: VecDeque<Line>,
    /// When a period began, and how many lines were sent in it. As many periods as there are in [`RECENT`], and at most
    /// two more.
    sent: VecDeque<(Instant, u64)>,
    failed: u64,
}

impl Outbox {
    pub fn new() -> Self {
        Self { lines: VecDeque::new(), sent: VecDeque::new(), failed: 0 }
    }

    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// The bodies of the lines.
    pub fn bodies(&self) -> Vec<String> {
        self.lines.iter().map(|line| line.body.as_str().to_owned()).collect()
    }

    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    pub fn is_full(&self) -> bool {
        self.lines.len() >= LINES_MAX
    }

    /// Adds a line. The caller made sure that there is space.
    pub fn push(&mut self, line: Line) {
        assert!(!self.is_full(), "a line was pushed into a full outbox");
        self.lines.push_back(line);
    }

    pub fn pop(&mut self) -> Option<Line> {
        self.lines.pop_front()
    }

    /// Records the result of sending a line.
    pub fn sent(&mut self, success: bool, now: Instant) {
        if !success {
            self.failed += 1;
            return;
        }
        self.forget(now);
        match self.sent.back_mut() {
            Some((start, count)) if now.saturating_duration_since(*start) < PERIOD => *count += 1,
            _ => self.sent.push_back((now, 1)),
        }
    }

    /// The connection is lost: returns how many lines may be lost with it, and resets the count.
    pub fn take_doubtful(&mut self, now: Instant) -> u64 {
        self.forget(now);
        self.sent.drain(..).map(|(_, count)| count).sum::<u64>() + std::mem::take(&mut self.failed)
    }

    /// Drops the periods in which no recent line was sent.
    fn forget(&mut self, now: Instant) {
        while self.sent.front().is_some_and(|(start, _)| now.saturating_duration_since(*start) >= RECENT + PERIOD) {
            self.sent.pop_front();
        }
    }
}

/// The end of a message about a lost connection: the number of lines in doubt, if any.
pub fn doubt(count: u64) -> String {
    match count {
        0 => String::new(),
        count => format!("; may not have arrived: the last {} you sent", lines(count)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_leave_in_order_and_are_bounded() {
        let mut outbox = Outbox::new();
        let line = |n: usize| Line { name: UserName::new("ann").unwrap(), body: Body::new(n.to_string()).unwrap() };
        for n in 0..LINES_MAX {
            assert!(!outbox.is_full());
            outbox.push(line(n));
        }
        assert!(outbox.is_full());
        assert_eq!((outbox.pop(), outbox.pop()), (Some(line(0)), Some(line(1))));
        assert_eq!(outbox.len(), LINES_MAX - 2);
    }

    /// A regression: only the last second before a break was remembered. A pulled cable shows after up to 40 s, so
    /// lines that were surely lost were not even in doubt, and the program reported success.
    #[test]
    fn lines_are_in_doubt_for_as_long_as_a_break_may_go_unnoticed() {
        let start = Instant::now();
        let mut outbox = Outbox::new();
        outbox.sent(true, start);
        let later = start + RECENT * 3;
        for second in 0..40 {
            outbox.sent(true, later + Duration::from_secs(second));
        }
        outbox.sent(false, later + RECENT);
        assert_eq!(outbox.take_doubtful(later + RECENT), 41);
        assert_eq!(outbox.take_doubtful(later + RECENT), 0);
        outbox.sent(true, later);
        assert_eq!(outbox.take_doubtful(later + RECENT + PERIOD), 0);
    }

    #[test]
    fn the_record_of_what_was_sent_is_bounded() {
        let start = Instant::now();
        let mut outbox = Outbox::new();
        for tenth in 0..10_000 {
            outbox.sent(true, start + PERIOD / 10 * tenth);
            assert!(outbox.sent.len() <= 42);
        }
        assert!((400..=420).contains(&outbox.take_doubtful(start + PERIOD * 1000)));
    }
}
