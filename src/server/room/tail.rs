//! A room's tail: its newest segments, kept in memory for the cursors that follow live.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::names::Seq;
use crate::server::log::Segment;

/// The newest segments of a room, bounded in bytes.
pub struct Tail {
    // Invariant: each segment's first seq follows its predecessor's last; the newest ends at `head`.
    segments: VecDeque<Arc<Segment>>,
    bytes: usize,
    bytes_max: usize,
    head: Seq,
}

/// Where a seq stands as seen from the tail.
#[derive(Debug)]
pub enum Find {
    /// It is in this segment.
    Found(Arc<Segment>),
    /// It is not committed yet.
    BeyondHead,
    /// It is older than the tail: the log has it, or has dropped it.
    BehindTail,
}

impl Tail {
    /// An empty tail at the end of a log whose newest event is `head`.
    pub fn new(head: Seq, bytes_max: usize) -> Self {
        Self { segments: VecDeque::new(), bytes: 0, bytes_max, head }
    }

    /// The seq of the newest event.
    pub fn head(&self) -> Seq {
        self.head
    }

    /// Adds the next segment. What no longer fits is returned, so that the caller frees it without the lock.
    #[must_use = "free it after the lock is released"]
    pub fn push(&mut self, segment: Arc<Segment>) -> Vec<Arc<Segment>> {
        assert_eq!(segment.first(), self.head.next(), "a segment follows its predecessor");
        self.head = segment.last();
        self.bytes += segment.bytes();
        self.segments.push_back(segment);
        let mut dropped = Vec::new();
        while self.bytes > self.bytes_max && self.segments.len() > 1 {
            if let Some(oldest) = self.segments.pop_front() {
                self.bytes -= oldest.bytes();
                dropped.push(oldest);
            }
        }
        dropped
    }

    pub fn find(&self, seq: Seq) -> Find {
        if seq > self.head {
            return Find::BeyondHead;
        }
        // Most cursors follow live, and want the newest segment.
        let index = match self.segments.back() {
            Some(newest) if newest.first() <= seq => self.segments.len() - 1,
            _ => self.segments.partition_point(|segment| segment.last() < seq),
        };
        match self.segments.get(index) {
            Some(segment) if segment.first() <= seq => Find::Found(Arc::clone(segment)),
            _ => Find::BehindTail,
        }
    }
}
