//! What one connection may cost besides the messages that it sends: streams that come to nothing, and control frames.
//!
//! - **Wasted streams**: those that the client resets, that the server must reset because the client broke a rule
//!   (CVE-2023-44487 and CVE-2025-8671), and that are refused because the connection has too many. The C core ends
//!   their calls much more slowly than a client can open them.
//! - **Control frames**: what costs the poller time and carries nothing: SETTINGS, PRIORITY, CONTINUATION, answers to
//!   pings, resets, unknown frames, and DATA too short for the beginning of a message.
//! - **GOAWAY**: a client needs one, or two for a graceful end.
//!
//! A client may send as many HEADERS, DATA and WINDOW_UPDATE as it likes: fast clients send tens of thousands a second,
//! and flow control and the bounds on streams apply to them. PING is left to the C core, which closes the connection at
//! the third ping that is too early; gRPC clients that measure the bandwidth send one for each round trip, as long as
//! they receive data.
//!
//! A connection without a call is closed after a while, at the next bytes that it sends: the C core pings a silent
//! connection, and closes it if no answer comes.

use std::ffi::CStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::frames::{self, Frame, Frames};
use crate::limits::{CONTROL_FRAMES_BURST, CONTROL_FRAMES_RATE, GOAWAYS_MAX, RESETS_BURST, RESETS_RATE};
use crate::server::bucket::{Bucket, Rate};
use crate::server::network::Source;
use crate::server::refusals::{Limit, Refusals};

const RESETS: Rate = Rate::new(RESETS_BURST, RESETS_RATE);
const CONTROL_FRAMES: Rate = Rate::new(CONTROL_FRAMES_BURST, CONTROL_FRAMES_RATE);

/// A DATA frame shorter than the prefix of a message. Flow control can cut a message anywhere, but not often.
const SHORT_DATA_BYTES: u32 = 5;

/// What to do with the bytes that a connection has sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The C core may parse them.
    Parse,
    /// The budget is exceeded: close the connection.
    Close,
    /// The connection has had no call for a while: close it.
    CloseIdle,
    /// It was to be closed before.
    IsClosing,
}

/// The budget of one connection. The C core serializes what happens on a connection.
#[derive(Debug)]
pub struct Budget {
    frames: Frames,
    wasted: Bucket,
    control: Bucket,
    goaways: u32,
    exceeded: Option<Limit>,
    idle_max: Duration,
    /// Since when the connection has been seen without a call.
    idle_since: Option<Instant>,
    is_idle: bool,
    source: Option<Source>,
    refusals: Arc<Refusals>,
}

impl Budget {
    pub fn new(source: Option<Source>, idle_max: Duration, refusals: Arc<Refusals>) -> Self {
        let now = Instant::now();
        Self {
            frames: Frames::at_preface(),
            wasted: Bucket::new(RESETS, now),
            control: Bucket::new(CONTROL_FRAMES, now),
            goaways: 0,
            exceeded: None,
            idle_max,
            idle_since: None,
            is_idle: false,
            source,
            refusals,
        }
    }

    /// Counts the frames in these bytes, before they are parsed.
    pub fn reads(&mut self, mut bytes: &[u8], has_calls: bool, now: Instant) -> Verdict {
        if self.exceeded.is_some() || self.is_idle {
            return Verdict::IsClosing;
        }
        let mut is_idle = !has_calls;
        while let Some(frame) = self.frames.next(&mut bytes) {
            is_idle &= frame.kind != frames::HEADERS;
            if let Some(limit) = self.charge(frame) {
                self.exceed(limit);
                return Verdict::Close;
            }
        }
        if !is_idle {
            self.idle_since = None;
            return Verdict::Parse;
        }
        let since = *self.idle_since.get_or_insert(now);
        self.is_idle = now.saturating_duration_since(since) >= self.idle_max;
        if self.is_idle { Verdict::CloseIdle } else { Verdict::Parse }
    }

    /// Counts a stream that came to nothing. Returns whether the budget is exceeded.
    pub fn wastes(&mut self) -> bool {
        if self.exceeded.is_none() && !self.wasted.take(RESETS, Instant::now()) {
            self.exceed(Limit::Resets);
        }
        self.exceeded.is_some()
    }

    /// Why the connection is closed, for the client.
    pub fn reason(&self) -> &'static CStr {
        match self.exceeded {
            _ if self.is_idle => c"this connection had no call for a while: connect again for the next one",
            Some(Limit::Resets) => {
                c"too many streams of this connection were reset: wait between calls, and cancel fewer"
            }
            _ => c"this connection sends too many HTTP/2 control frames",
        }
    }

    /// Returns the exceeded limit, if it is exceeded with this frame.
    fn charge(&mut self, frame: Frame) -> Option<Limit> {
        let is_free = match frame.kind {
            frames::HEADERS | frames::WINDOW_UPDATE => true,
            frames::PING => frame.flags & frames::ACK == 0,
            frames::DATA => frame.length >= SHORT_DATA_BYTES || frame.flags & frames::END_STREAM != 0,
            _ => false,
        };
        if frame.kind == frames::GOAWAY {
            self.goaways += 1;
        }
        let is_exceeded = self.goaways > GOAWAYS_MAX || !is_free && !self.control.take(CONTROL_FRAMES, Instant::now());
        is_exceeded.then_some(Limit::ControlFrames)
    }

    fn exceed(&mut self, limit: Limit) {
        self.exceeded = Some(limit);
        self.refusals.exceeded(limit, self.source);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE_MAX: Duration = Duration::from_secs(60);

    fn budget() -> Budget {
        let mut budget = Budget::new(None, IDLE_MAX, Arc::default());
        assert_eq!(read(&mut budget, &[b'p'; 24]), Verdict::Parse);
        budget
    }

    /// With a call, at any time.
    fn read(budget: &mut Budget, bytes: &[u8]) -> Verdict {
        budget.reads(bytes, true, Instant::now())
    }

    fn frame(kind: u8, flags: u8, length: u8) -> Vec<u8> {
        let mut frame = vec![0, 0, length, kind, flags, 0, 0, 0, 1];
        frame.extend(vec![0; usize::from(length)]);
        frame
    }

    /// How many of these frames are parsed before the connection is closed, of a million at once.
    fn parsed(frame: &[u8]) -> usize {
        let mut budget = budget();
        (0..1_000_000).take_while(|_| read(&mut budget, frame) == Verdict::Parse).count()
    }

    #[test]
    fn control_frames_are_bounded() {
        let burst = CONTROL_FRAMES_BURST as usize;
        // The loop takes less than a second, even on a busy machine.
        let bounded = burst..burst + 10 * CONTROL_FRAMES_RATE as usize;
        for (kind, flags, length) in [
            (2, 0, 5),
            (frames::RST_STREAM, 0, 4),
            (4, 0, 0),
            (4, frames::ACK, 0),
            (frames::PING, frames::ACK, 8),
            (9, 0, 0),
            (200, 0, 3),
            (frames::DATA, 0, 0),
            (frames::DATA, 0, 4),
        ] {
            let count = parsed(&frame(kind, flags, length));
            assert!(bounded.contains(&count), "{count} of kind {kind}, {length} bytes");
        }
        assert_eq!(parsed(&frame(frames::GOAWAY, 0, 8)), GOAWAYS_MAX as usize);
    }

    #[test]
    fn what_honest_clients_send_is_not_counted() {
        for (kind, flags, length) in [
            (frames::HEADERS, 0, 50),
            (frames::WINDOW_UPDATE, 0, 4),
            (frames::PING, 0, 8),
            (frames::DATA, 0, 5),
            (frames::DATA, frames::END_STREAM, 0),
        ] {
            assert_eq!(parsed(&frame(kind, flags, length)), 1_000_000, "kind {kind}");
        }
    }

    #[test]
    fn wasted_streams_are_bounded_and_the_reason_says_so() {
        let mut budget = budget();
        let wasted = (0..10_000).take_while(|_| !budget.wastes()).count();
        assert!((RESETS_BURST as usize..RESETS_BURST as usize + 20).contains(&wasted), "{wasted}");
        assert!(budget.reason().to_str().unwrap().contains("reset"));
        assert_eq!(read(&mut budget, &frame(frames::HEADERS, 0, 50)), Verdict::IsClosing);
    }

    #[test]
    fn a_connection_without_a_call_is_closed_when_it_answers_a_ping() {
        let (mut budget, start) = (budget(), Instant::now());
        let answer = frame(frames::PING, frames::ACK, 8);
        let mut answers =
            |second: u64, has_calls: bool| budget.reads(&answer, has_calls, start + Duration::from_secs(second));
        // A call keeps it, and the time begins again at its end.
        assert!((0..100).all(|n| answers(30 * n, true) == Verdict::Parse));
        assert_eq!(answers(3_000, false), Verdict::Parse);
        assert_eq!(answers(3_030, true), Verdict::Parse);
        assert!([3_060, 3_090, 3_119].iter().all(|second| answers(*second, false) == Verdict::Parse));
        assert_eq!(answers(3_120, false), Verdict::CloseIdle);
        assert_eq!(answers(3_121, true), Verdict::IsClosing);
        assert!(budget.reason().to_str().unwrap().contains("no call"));
    }

    #[test]
    fn a_call_that_begins_late_is_served() {
        let (mut budget, start) = (budget(), Instant::now());
        assert_eq!(budget.reads(&frame(frames::PING, frames::ACK, 8), false, start), Verdict::Parse);
        assert_eq!(budget.reads(&frame(frames::HEADERS, 0, 50), false, start + 2 * IDLE_MAX), Verdict::Parse);
    }
}
