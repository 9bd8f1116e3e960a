//! The common part of both logs for a batch of posts: assigns seqs, encodes the messages, and finds those that were
//! stored before.
//!
//! This changes no state. The heads of the rooms move only when the log has committed the segments, so that after an
//! error the next batch begins where this one did.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use super::clock::millis;
use super::{Appended, LogError, Outcome, Post, Segment};
use crate::limits::CLOCK_STEP_MAX;
use crate::names::{RoomId, RoomName, Seq};
use crate::wire::event::{self, ENVELOPE_BYTES_MAX, Entry};

/// The end of a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub room: RoomId,
    /// The newest message; [`Seq::ZERO`] before the first.
    pub seq: Seq,
    /// When it was stored. The next one is not older.
    pub time_ms: u64,
}

/// What a batch needs from its log. Everything is undone if the batch is not committed.
pub trait Stored {
    /// The end of the room of that name, which is created if it is not stored. Called once for each room, before any id
    /// is claimed.
    fn head(&mut self, name: &RoomName) -> Result<Head, LogError>;

    /// Claims the chosen id of a post for the message with this seq. If it is already stored, or was claimed before in
    /// this batch, nothing changes, and the seq of that message is returned.
    fn claim(&mut self, room: RoomId, post: &Post, seq: Seq) -> Result<Option<Seq>, LogError>;
}

/// The messages of one room in a batch: the future segment.
#[derive(Debug)]
pub struct NewSegment {
    pub room: RoomId,
    pub name: RoomName,
    pub first: Seq,
    pub last: Seq,
    /// When they were stored, all of them.
    pub time_ms: u64,
    /// The earlier time of the room, if it was too far ahead to be right.
    corrected: Option<u64>,
    /// How many of them have a chosen id.
    pub claims: usize,
    pub entries: Vec<u8>,
}

/// A batch that is not committed yet.
#[derive(Debug)]
pub struct Plan {
    /// One for each room that gets a message.
    pub segments: Vec<NewSegment>,
    outcomes: Vec<Outcome>,
}

impl Plan {
    /// The segments to publish, now that they are committed, and the outcome of each post.
    pub fn committed(self) -> (Vec<Arc<Segment>>, Vec<Outcome>) {
        for segment in &self.segments {
            if let Some(before_ms) = segment.corrected {
                let hours = before_ms.saturating_sub(segment.time_ms) / 3_600_000;
                log::warn!(
                    "the newest message of room number {} was dated {hours} hours ahead of the clock: times continue from the \
                     clock",
                    segment.room.0
                );
            }
        }
        let segment = |new: NewSegment| Arc::new(Segment::new(new.room, new.first, new.last, new.entries));
        (self.segments.into_iter().map(segment).collect(), self.outcomes)
    }
}

/// Assigns seqs to the posts, in their order.
pub fn plan(posts: &[Post], now: SystemTime, stored: &mut impl Stored) -> Result<Plan, LogError> {
    let (mut segments, segment_of) = begin_segments(posts, millis(now), stored)?;
    let mut outcomes = Vec::with_capacity(posts.len());
    for (post, index) in posts.iter().zip(segment_of) {
        let segment = match index {
            Ok(index) => &mut segments[index],
            Err(refused) => {
                outcomes.push(Err(refused));
                continue;
            }
        };
        let seq = segment.last.next();
        let before = if post.id_chosen { stored.claim(segment.room, post, seq)? } else { None };
        outcomes.push(Ok(match before {
            Some(before) => Appended::Before(segment.room, before),
            None => {
                segment.push(post, seq);
                Appended::New(segment.room, seq)
            }
        }));
    }
    segments.retain(|segment| !segment.entries.is_empty());
    Ok(Plan { segments, outcomes })
}

impl NewSegment {
    fn push(&mut self, post: &Post, seq: Seq) {
        debug_assert_eq!(seq, self.last.next(), "a message follows its predecessor");
        event::push(
            &mut self.entries,
            &Entry { room: self.room, seq, time_ms: self.time_ms, kind: post.kind, content: &post.content },
        );
        self.last = seq;
        self.claims += usize::from(post.id_chosen);
    }
}

/// Which segment a post belongs to, or why it can't have one.
type SegmentOf = Result<usize, LogError>;

/// An empty segment for each room, with space for all of its posts; and which segment each post belongs to.
fn begin_segments(
    posts: &[Post],
    now_ms: u64,
    stored: &mut impl Stored,
) -> Result<(Vec<NewSegment>, Vec<SegmentOf>), LogError> {
    let mut segments: Vec<NewSegment> = Vec::new();
    let mut bytes: Vec<usize> = Vec::new();
    let mut segment_of: Vec<SegmentOf> = Vec::with_capacity(posts.len());
    let mut known: HashMap<&RoomName, SegmentOf> = HashMap::new();
    for (at, post) in posts.iter().enumerate() {
        // Neighbouring posts often have the same room.
        let neighbour = at
            .checked_sub(1)
            .filter(|&before| posts[before].room == post.room)
            .map(|before| segment_of[before].clone());
        let index = match neighbour.or_else(|| known.get(&post.room).cloned()) {
            Some(index) => index,
            None => {
                let index = match stored.head(&post.room) {
                    Ok(head) => {
                        segments.push(NewSegment::after(head, post.room.clone(), now_ms));
                        bytes.push(0);
                        Ok(segments.len() - 1)
                    }
                    // Nothing can be stored in any room.
                    Err(error @ (LogError::Unavailable(_) | LogError::Full)) => return Err(error),
                    Err(refused) => Err(refused),
                };
                known.insert(&post.room, index.clone());
                index
            }
        };
        if let Ok(index) = index {
            bytes[index] += post.content.len() + ENVELOPE_BYTES_MAX;
        }
        segment_of.push(index);
    }
    for (segment, bytes) in segments.iter_mut().zip(bytes) {
        segment.entries.reserve_exact(bytes);
    }
    Ok((segments, segment_of))
}

impl NewSegment {
    fn after(head: Head, name: RoomName, now_ms: u64) -> Self {
        let is_ahead = head.time_ms > now_ms.saturating_add(CLOCK_STEP_MAX.as_millis() as u64);
        let time_ms = if is_ahead { now_ms } else { now_ms.max(head.time_ms) };
        let corrected = is_ahead.then_some(head.time_ms);
        let (first, last, entries) = (head.seq.next(), head.seq, Vec::new());
        Self { room: head.room, name, first, last, time_ms, corrected, claims: 0, entries }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::server::log::conformance::{post, post_without_id, room};

    /// A log whose only rooms are `a0`, `a1` and so on, each with as many messages as its number.
    struct Counting {
        time_ms: u64,
        heads_read: usize,
        taken: HashMap<(RoomId, [u8; 16]), Seq>,
    }

    impl Stored for Counting {
        fn head(&mut self, name: &RoomName) -> Result<Head, LogError> {
            self.heads_read += 1;
            let number = name.as_str()[1..].parse().map_err(|_| LogError::TooManyRooms(1))?;
            Ok(Head { room: RoomId(number + 1), seq: Seq(number), time_ms: self.time_ms })
        }

        fn claim(&mut self, room: RoomId, post: &Post, seq: Seq) -> Result<Option<Seq>, LogError> {
            let taken = *self.taken.entry((room, *post.id.as_bytes())).or_insert(seq);
            Ok((taken != seq).then_some(taken))
        }
    }

    fn counting() -> Counting {
        Counting { time_ms: 5_000, heads_read: 0, taken: HashMap::new() }
    }

    #[test]
    fn each_room_is_one_segment_in_the_order_of_its_posts() {
        let rooms = [room("a3"), room("a7")];
        let posts: Vec<_> = (0..10).map(|n| post(&rooms[n % 2], "ann", n as u64 + 1, "hello")).collect();
        let mut log = counting();
        let plan = plan(&posts, UNIX_EPOCH + Duration::from_secs(9), &mut log).unwrap();
        let places: Vec<_> = plan
            .segments
            .iter()
            .map(|segment| (segment.room.0, segment.first.0, segment.last.0, segment.time_ms))
            .collect();
        assert_eq!(places, [(4, 4, 8, 9_000), (8, 8, 12, 9_000)]);
        assert_eq!(log.heads_read, 2);
        for segment in plan.segments {
            assert_eq!(Segment::check(segment.room, segment.first, &segment.entries), Ok(segment.last));
        }
    }

    #[test]
    fn time_does_not_decrease() {
        let posts = [post(&room("a0"), "ann", 1, "hello")];
        for (now_ms, stored_ms) in [(4_999, 5_000), (5_000, 5_000), (5_001, 5_001)] {
            let now = UNIX_EPOCH + Duration::from_millis(now_ms);
            assert_eq!(plan(&posts, now, &mut counting()).unwrap().segments[0].time_ms, stored_ms);
        }
        let before_all = UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(plan(&posts, before_all, &mut counting()).unwrap().segments[0].time_ms, 5_000);
        // A room's time that is so far ahead that it was wrong is corrected.
        let ahead = 1_000 + CLOCK_STEP_MAX.as_millis() as u64 + 1;
        for (time_ms, corrected) in [(ahead - 1, None), (ahead, Some(ahead))] {
            let mut log = Counting { time_ms, ..counting() };
            let plan = plan(&posts, UNIX_EPOCH + Duration::from_secs(1), &mut log).unwrap();
            let expected = if corrected.is_some() { 1_000 } else { time_ms };
            assert_eq!((plan.segments[0].time_ms, plan.segments[0].corrected), (expected, corrected));
        }
    }

    #[test]
    fn a_room_whose_posts_were_all_stored_before_has_no_segment() {
        let mut log = counting();
        let first = post(&room("a1"), "ann", 1, "hello");
        let posts = [first.clone(), first.clone(), post(&room("a2"), "ann", 1, "hello")];
        let outcomes = plan(&posts, UNIX_EPOCH, &mut log).unwrap().outcomes;
        let (one, two) = (RoomId(2), RoomId(3));
        let expected = [Appended::New(one, Seq(2)), Appended::Before(one, Seq(2)), Appended::New(two, Seq(3))];
        assert_eq!(outcomes, expected.map(Ok));
        // The id of a message before the batch: the log returns that message's seq.
        log.taken.insert((RoomId(11), *first.id.as_bytes()), Seq(4));
        let again = Post { room: room("a10"), ..first };
        let plan = plan(&[again], UNIX_EPOCH, &mut log).unwrap();
        assert_eq!(plan.outcomes, [Ok(Appended::Before(RoomId(11), Seq(4)))]);
        assert!(plan.segments.is_empty());
    }

    /// A linear search for the segment of each post took quadratic time: a thousand posts to a thousand rooms.
    #[test]
    fn a_batch_may_have_many_rooms() {
        let posts: Vec<_> = (0..50_000).map(|n| post(&room(&format!("a{n}")), "ann", 1, "x")).collect();
        let mut log = counting();
        assert_eq!(plan(&posts, UNIX_EPOCH, &mut log).unwrap().segments.len(), posts.len());
        assert_eq!(log.heads_read, posts.len());
    }

    /// A room that can't be created, such as one above the limit, made the whole batch fail, and so the posts of all
    /// clients.
    #[test]
    fn a_room_that_cannot_be_created_refuses_only_its_own_posts() {
        let mut log = counting();
        let posts = ["a0", "full", "a0", "full"].map(|name| post_without_id(&room(name), "ann", "hello"));
        let plan = plan(&posts, UNIX_EPOCH, &mut log).unwrap();
        let new = |seq| Ok(Appended::New(RoomId(1), Seq(seq)));
        let refused = || Err(LogError::TooManyRooms(1));
        assert_eq!(plan.outcomes, [new(1), refused(), new(2), refused()]);
        assert_eq!(plan.segments.len(), 1);
    }
}
