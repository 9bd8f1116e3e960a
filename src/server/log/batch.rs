//! The common part of both logs for a batch of posts: assigns seqs, encodes the events, finds messages that were stored
//! before, and applies changes ([`super::fold`]).
//!
//! The heads of the rooms move only when the log has committed the plan, so that after an error the next batch begins
//! where this one did.

use std::collections::HashMap;
use std::time::SystemTime;

use super::clock::millis;
use super::command::{Post, What};
use super::draft::{Draft, RoomPlan};
use super::stored::Stored;
use super::{LogError, Outcome, Published};
use crate::names::RoomName;
use crate::wire::event::ENVELOPE_BYTES_MAX;

/// A batch that is not committed yet.
#[derive(Debug)]
pub struct Plan {
    /// One for each room that gets an event.
    pub rooms: Vec<RoomPlan>,
    outcomes: Vec<Outcome>,
}

impl Plan {
    /// What to publish, now that it is committed, and the outcome of each post.
    pub fn committed(self) -> (impl Iterator<Item = Published>, Vec<Outcome>) {
        for room in &self.rooms {
            if let Some(before_ms) = room.corrected {
                let hours = before_ms.saturating_sub(room.time_ms) / 3_600_000;
                log::warn!(
                    "the newest message of room number {} was dated {hours} hours ahead of the clock: times continue from the \
                     clock",
                    room.room.0
                );
            }
        }
        (self.rooms.into_iter().flat_map(RoomPlan::published), self.outcomes)
    }
}

/// Assigns seqs to the posts, in their order.
pub fn plan(posts: &[Post], now: SystemTime, stored: &mut impl Stored) -> Result<Plan, LogError> {
    let (mut rooms, room_of) = begin_rooms(posts, millis(now), stored)?;
    let mut outcomes = Vec::with_capacity(posts.len());
    for (post, index) in posts.iter().zip(room_of) {
        let room = match index {
            Ok(index) => &mut rooms[index],
            Err(refused) => {
                outcomes.push(Err(refused));
                continue;
            }
        };
        outcomes.push(match &post.what {
            What::Message(message) => room.say(message, &post.sender, stored)?,
            What::Change(change) => room.change(change, &post.sender, stored)?,
        });
    }
    Ok(Plan { rooms: rooms.into_iter().filter_map(Draft::done).collect(), outcomes })
}

/// Which room a post belongs to, or why it can't be stored.
type RoomOf = Result<usize, LogError>;

/// An empty draft for each room, with space for all of its posts; and which of them each post belongs to.
fn begin_rooms(posts: &[Post], now_ms: u64, stored: &mut impl Stored) -> Result<(Vec<Draft>, Vec<RoomOf>), LogError> {
    let mut rooms: Vec<Draft> = Vec::new();
    let mut bytes: Vec<usize> = Vec::new();
    let mut room_of: Vec<RoomOf> = Vec::with_capacity(posts.len());
    let mut known: HashMap<&RoomName, RoomOf> = HashMap::new();
    for (at, post) in posts.iter().enumerate() {
        // Neighbouring posts often have the same room. One without a room yet is no example: a message creates it.
        let neighbour = at
            .checked_sub(1)
            .filter(|&before| posts[before].room == post.room)
            .map(|before| room_of[before].clone())
            .filter(|index| !matches!(index, Err(LogError::NoRoom(_))));
        let index = match neighbour.or_else(|| known.get(&post.room).cloned()) {
            Some(index) => index,
            None => {
                let head = match &post.what {
                    What::Message(_) => stored.head(&post.room),
                    What::Change(_) => {
                        stored.known_head(&post.room).and_then(|head| head.ok_or(LogError::NoRoom(post.room.clone())))
                    }
                };
                let index = match head {
                    Ok(head) => {
                        rooms.push(Draft::after(head, post.room.clone(), now_ms));
                        bytes.push(0);
                        Ok(rooms.len() - 1)
                    }
                    // Nothing can be stored in any room.
                    Err(error @ (LogError::Unavailable(_) | LogError::Full)) => return Err(error),
                    Err(refused) => Err(refused),
                };
                if !matches!(index, Err(LogError::NoRoom(_))) {
                    known.insert(&post.room, index.clone());
                }
                index
            }
        };
        if let Ok(index) = index {
            bytes[index] += post.content().len() + ENVELOPE_BYTES_MAX;
        }
        room_of.push(index);
    }
    for (room, bytes) in rooms.iter_mut().zip(bytes) {
        room.reserve(bytes);
    }
    Ok((rooms, room_of))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::super::command::NewMessage;
    use super::super::stored::{Found, Head, Reaction};
    use super::super::{Appended, Profile, Segment};
    use super::*;
    use crate::limits::CLOCK_STEP_MAX;
    use crate::names::{Emoji, Epoch, RoomId, Sender, Seq};
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
            let (room, epoch) = (RoomId(number + 1), Epoch::new(1).unwrap());
            Ok(Head { room, epoch, seq: Seq(number), time_ms: self.time_ms, changes: 0 })
        }

        fn known_head(&mut self, name: &RoomName) -> Result<Option<Head>, LogError> {
            self.head(name).map(Some)
        }

        fn claim(&mut self, room: RoomId, message: &NewMessage, _: &Sender, seq: Seq) -> Result<Option<Seq>, LogError> {
            let taken = *self.taken.entry((room, *message.id.as_bytes())).or_insert(seq);
            Ok((taken != seq).then_some(taken))
        }

        fn segment(&mut self, _: RoomId, _: Seq) -> Result<Found, LogError> {
            Ok(Found::Gone)
        }

        fn has_reacted(&mut self, _: &Reaction<'_>) -> Result<bool, LogError> {
            Ok(false)
        }

        fn react(&mut self, _: &Reaction<'_>, _: Seq) -> Result<(), LogError> {
            Ok(())
        }

        fn unreact(&mut self, _: &Reaction<'_>) -> Result<(), LogError> {
            Ok(())
        }

        fn reactor(&mut self, _: RoomId, _: Seq, _: &Emoji, _: usize) -> Result<Option<Sender>, LogError> {
            Ok(None)
        }

        fn forget_reactions(&mut self, _: RoomId, _: Seq) -> Result<(), LogError> {
            Ok(())
        }

        fn profile(&mut self, _: RoomId) -> Result<Profile, LogError> {
            Ok(Profile::default())
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
        let place = |room: &RoomPlan| {
            let [segment] = room.segments.as_slice() else { panic!("one segment") };
            (room.room.0, segment.first().0, segment.last().0, room.time_ms)
        };
        let places: Vec<_> = plan.rooms.iter().map(place).collect();
        assert_eq!(places, [(4, 4, 8, 9_000), (8, 8, 12, 9_000)]);
        assert_eq!(log.heads_read, 2);
        for segment in plan.rooms {
            let segment = &segment.segments[0];
            let checked = Segment::check(segment.room(), segment.first(), segment.frame().as_slice()).unwrap();
            assert_eq!((checked.last, checked.changes), (segment.last(), 0));
        }
    }

    #[test]
    fn time_does_not_decrease() {
        let posts = [post(&room("a0"), "ann", 1, "hello")];
        for (now_ms, stored_ms) in [(4_999, 5_000), (5_000, 5_000), (5_001, 5_001)] {
            let now = UNIX_EPOCH + Duration::from_millis(now_ms);
            assert_eq!(plan(&posts, now, &mut counting()).unwrap().rooms[0].time_ms, stored_ms);
        }
        let before_all = UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(plan(&posts, before_all, &mut counting()).unwrap().rooms[0].time_ms, 5_000);
        // A room's time that is so far ahead that it was wrong is corrected.
        let ahead = 1_000 + CLOCK_STEP_MAX.as_millis() as u64 + 1;
        for (time_ms, corrected) in [(ahead - 1, None), (ahead, Some(ahead))] {
            let mut log = Counting { time_ms, ..counting() };
            let plan = plan(&posts, UNIX_EPOCH + Duration::from_secs(1), &mut log).unwrap();
            let expected = if corrected.is_some() { 1_000 } else { time_ms };
            assert_eq!((plan.rooms[0].time_ms, plan.rooms[0].corrected), (expected, corrected));
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
        log.taken.insert((RoomId(11), *first.message().unwrap().id.as_bytes()), Seq(4));
        let again = Post { room: room("a10"), ..first };
        let plan = plan(&[again], UNIX_EPOCH, &mut log).unwrap();
        assert_eq!(plan.outcomes, [Ok(Appended::Before(RoomId(11), Seq(4)))]);
        assert!(plan.rooms.is_empty());
    }

    /// A linear search for the segment of each post took quadratic time: a thousand posts to a thousand rooms.
    #[test]
    fn a_batch_may_have_many_rooms() {
        let posts: Vec<_> = (0..50_000).map(|n| post(&room(&format!("a{n}")), "ann", 1, "x")).collect();
        let mut log = counting();
        assert_eq!(plan(&posts, UNIX_EPOCH, &mut log).unwrap().rooms.len(), posts.len());
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
        assert_eq!(plan.rooms.len(), 1);
    }
}
