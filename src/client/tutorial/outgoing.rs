//! The lines that a session still has to send, and the count of sent lines that may be lost.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use grpcio::GrpcSlice;
use protobuf::Message as _;

use crate::client::error::{SessionError, Unsure};
use crate::client::outgoing;
use crate::limits::{KEEPALIVE_TIME, KEEPALIVE_TIMEOUT};
use crate::names::{Body, UserName};
use crate::wire::tutorial::FromClient;

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

/// The lines to send, a bounded number, and the count of those that may be lost.
///
/// The contract has no acknowledgement, so the lines lost with a connection are unknown. Sending them again could show
/// them twice; so they are not sent again, and the user sees how many lines are in doubt.
#[derive(Debug)]
pub struct Outgoing {
    lines: VecDeque<Line>,
    lines_max: usize,
    /// When a period began, and how many lines were sent in it. As many periods as there are in [`RECENT`], and at most
    /// two more.
    sent: VecDeque<(Instant, u64)>,
    failed: u64,
    /// How many lines may have been lost with earlier connections.
    doubtful: u64,
}

impl outgoing::Outgoing for Outgoing {
    const IS_ACKNOWLEDGED: bool = false;

    fn next(&mut self, _buffer: &mut Vec<u8>, _now: Instant) -> Option<GrpcSlice> {
        let Line { name, body } = self.lines.pop_front()?;
        let message =
            FromClient { name: name.as_str().to_owned(), body: body.as_str().to_owned(), ..Default::default() };
        // Invariant: writing into a vector can't fail, and all fields are bounded far below protobuf's 2 GiB.
        Some(GrpcSlice::from(message.write_to_bytes().expect("encoding into memory succeeds")))
    }

    fn written(&mut self, success: bool, now: Instant) {
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

    fn len(&self) -> usize {
        self.lines.len()
    }

    fn has_room_for(&self, _bytes: usize) -> bool {
        self.lines.len() < self.lines_max
    }

    /// Only the end of the stream shows it.
    fn is_done(&self) -> bool {
        false
    }

    /// Starts counting anew.
    fn disconnect(&mut self, now: Instant) -> usize {
        self.forget(now);
        let lost = self.sent.drain(..).map(|(_, count)| count).sum::<u64>() + std::mem::take(&mut self.failed);
        self.doubtful += lost;
        lost as usize
    }

    fn unsure(&self, lines: usize) -> Unsure {
        // Waiting lines have certainly not arrived.
        Unsure::Arrived((lines + self.lines.len()) as u64)
    }

    fn unsent(&self) -> Unsure {
        Unsure::NotSent(self.lines.len() as u64)
    }

    fn overdue(&self, is_down: bool, timeout: Duration) -> SessionError {
        match self.lines.len() as u64 {
            lines @ 1.. if is_down => SessionError::Unsent { lines, timeout },
            _ => SessionError::Unconfirmed(format!("the server did not confirm within {} s", timeout.as_secs())),
        }
    }

    fn outcome(&self) -> Result<(), SessionError> {
        if self.doubtful > 0 { Err(SessionError::Doubtful(self.doubtful)) } else { Ok(()) }
    }
}

impl Outgoing {
    /// Nothing to send yet. At most `lines_max` lines wait.
    pub fn new(lines_max: usize) -> Self {
        Self { lines: VecDeque::new(), lines_max, sent: VecDeque::new(), failed: 0, doubtful: 0 }
    }

    /// The bodies of the lines.
    pub fn bodies(&self) -> Vec<String> {
        self.lines.iter().map(|line| line.body.as_str().to_owned()).collect()
    }

    /// Adds a line.
    pub fn push(&mut self, line: Line) {
        self.lines.push_back(line);
    }

    /// Drops the periods in which no recent line was sent.
    fn forget(&mut self, now: Instant) {
        while self.sent.front().is_some_and(|(start, _)| now.saturating_duration_since(*start) >= RECENT + PERIOD) {
            self.sent.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::outgoing::Outgoing as _;

    /// A regression: only the last second before a lost connection was recorded. A pulled cable is detected after up to
    /// 40 s, so lines that were certainly lost were not even in doubt, and the program reported success.
    #[test]
    fn lines_stay_in_doubt_until_a_lost_connection_would_be_detected() {
        let start = Instant::now();
        let mut outgoing = Outgoing::new(1);
        outgoing.written(true, start);
        let later = start + RECENT * 3;
        for second in 0..40 {
            outgoing.written(true, later + Duration::from_secs(second));
        }
        outgoing.written(false, later + RECENT);
        assert_eq!(outgoing.disconnect(later + RECENT), 41);
        assert_eq!(outgoing.disconnect(later + RECENT), 0);
        outgoing.written(true, later);
        assert_eq!(outgoing.disconnect(later + RECENT + PERIOD), 0);
    }

    #[test]
    fn the_record_of_sent_lines_is_bounded() {
        let start = Instant::now();
        let mut outgoing = Outgoing::new(1);
        for tenth in 0..10_000 {
            outgoing.written(true, start + PERIOD / 10 * tenth);
            assert!(outgoing.sent.len() <= 42);
        }
        assert!((400..=420).contains(&outgoing.disconnect(start + PERIOD * 1000)));
    }
}
