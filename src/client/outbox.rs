//! What a session still has to send, and how sure it can be of what it sent.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::names::{Body, UserName};

/// How many lines wait for a connection at most. More than anybody types while a server is away; whoever reads from a
/// file is made to wait.
pub const LINES_MAX: usize = 1024;

/// A line handed to the network less than this before a break may have been lost with it (or less than twice this: the
/// record is coarse).
const RECENT: Duration = Duration::from_secs(1);

/// A line to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub name: UserName,
    pub body: Body,
}

/// The lines to send, at most [`LINES_MAX`], and the count of those that may be lost.
///
/// The contract has no acknowledgement, so nobody knows what a broken connection took along. Sending it again could
/// show it twice; so it isn't, and the user is told how many lines are in doubt.
#[derive(Debug)]
pub struct Outbox {
    lines: VecDeque<Line>,
    /// Lines sent since `period_start`, and in the period before that one.
    sent_now: u64,
    sent_before: u64,
    period_start: Instant,
    failed: u64,
}

impl Outbox {
    pub fn new(now: Instant) -> Self {
        Self { lines: VecDeque::new(), sent_now: 0, sent_before: 0, period_start: now, failed: 0 }
    }

    pub fn len(&self) -> usize {
        self.lines.len()
    }

    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    pub fn is_full(&self) -> bool {
        self.lines.len() >= LINES_MAX
    }

    /// Takes a line in. The caller made sure that there is room.
    pub fn push(&mut self, line: Line) {
        assert!(!self.is_full(), "a line was pushed into a full outbox");
        self.lines.push_back(line);
    }

    pub fn pop(&mut self) -> Option<Line> {
        self.lines.pop_front()
    }

    /// Notes how the sending of a line went.
    pub fn sent(&mut self, success: bool, now: Instant) {
        self.roll(now);
        if success {
            self.sent_now += 1;
        } else {
            self.failed += 1;
        }
    }

    /// The connection broke: how many lines may be lost with it. Starts counting anew.
    pub fn take_doubtful(&mut self, now: Instant) -> u64 {
        self.roll(now);
        let doubtful = self.sent_now + self.sent_before + self.failed;
        (self.sent_now, self.sent_before, self.failed) = (0, 0, 0);
        doubtful
    }

    fn roll(&mut self, now: Instant) {
        let age = now.saturating_duration_since(self.period_start);
        if age >= RECENT {
            self.sent_before = if age < RECENT * 2 { self.sent_now } else { 0 };
            self.sent_now = 0;
            self.period_start = now;
        }
    }
}

/// So many lines, in words.
pub fn lines(count: u64) -> String {
    match count {
        1 => "1 line".to_owned(),
        count => format!("{count} lines"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_leave_in_order_and_are_bounded() {
        let mut outbox = Outbox::new(Instant::now());
        let line = |n: usize| Line { name: UserName::new("ann").unwrap(), body: Body::new(n.to_string()).unwrap() };
        for n in 0..LINES_MAX {
            assert!(!outbox.is_full());
            outbox.push(line(n));
        }
        assert!(outbox.is_full());
        assert_eq!((outbox.pop(), outbox.pop()), (Some(line(0)), Some(line(1))));
        assert_eq!(outbox.len(), LINES_MAX - 2);
    }

    #[test]
    fn only_lines_sent_just_before_a_break_are_in_doubt() {
        let start = Instant::now();
        let mut outbox = Outbox::new(start);
        outbox.sent(true, start);
        let later = start + RECENT * 3;
        outbox.sent(true, later);
        outbox.sent(false, later + RECENT / 2);
        assert_eq!(outbox.take_doubtful(later + RECENT), 2);
        assert_eq!(outbox.take_doubtful(later + RECENT), 0);
        outbox.sent(true, later + RECENT);
        assert_eq!(outbox.take_doubtful(later + RECENT * 4), 0);
    }
}
