//! How far the readers of rooms lag: a look at every follower of every open room.

use std::cmp::Reverse;

use crate::names::ClientId;
use crate::server::room::Rooms;

/// The lags of all readers, counted. A reader is a stream in a room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lags {
    pub readers: u64,
    /// How many events the slowest reader has not read.
    pub slowest: u64,
    /// How many readers lag by at least each of [`STEPS`].
    pub behind: [u64; STEPS.len()],
}

/// The lags that are told apart, in events, with their names in metrics.
pub const STEPS: [(u64, &str); 4] = [(1, "1"), (100, "100"), (10_000, "10000"), (1_000_000, "1000000")];

/// A reader that lags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlowReader {
    pub lag: u64,
    pub room: String,
    /// `None` if it has no presence.
    pub client: Option<(ClientId, String)>,
}

impl Lags {
    fn add(&mut self, lag: u64) {
        self.readers += 1;
        self.slowest = self.slowest.max(lag);
        for (count, (step, _)) in self.behind.iter_mut().zip(STEPS) {
            *count += u64::from(lag >= step);
        }
    }

    /// Of all readers.
    pub fn of(rooms: &Rooms) -> Self {
        let mut lags = Self::default();
        for room in rooms.all() {
            room.visit_lags(|_, lag| lags.add(lag));
        }
        lags
    }
}

/// The slowest readers, at most `max`, the slowest first. Those that have read everything are left out.
pub fn slowest(rooms: &Rooms, max: usize) -> Vec<SlowReader> {
    let mut found: Vec<SlowReader> = Vec::new();
    for room in rooms.all() {
        room.visit_lags(|follower, lag| {
            let least = if found.len() < max { 0 } else { found.last().map_or(0, |last| last.lag) };
            if lag > least {
                let client = follower.member().map(|member| (member.client, member.sender.name.into()));
                let reader = SlowReader { lag, room: room.name().as_str().to_owned(), client };
                let place = found.partition_point(|other| Reverse(other.lag) <= Reverse(lag));
                found.insert(place, reader);
                found.truncate(max);
            }
        });
    }
    found
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::names::{Seq, UserName};
    use crate::server::log::conformance::{at, post_without_id, room};
    use crate::server::log::{Appender as _, Retention, memory};
    use crate::server::room::followers::{Follower, Member, Presence};
    use crate::server::room::position::Position;

    struct Reader(Position, Option<Member>);

    impl Follower for Reader {
        fn published(self: Arc<Self>) {}

        fn member(&self) -> Option<Member> {
            self.1.clone()
        }

        fn position(&self) -> Option<&Position> {
            Some(&self.0)
        }

        fn presence(self: Arc<Self>, _presence: &Arc<Presence>) {}
    }

    #[test]
    fn the_slowest_readers_are_found() {
        let (mut appender, log) = memory::open(usize::MAX, Retention::default());
        let attic = room("attic");
        let posts: Vec<_> = (0..200).map(|_| post_without_id(&attic, "ann", "hello")).collect();
        appender.append(&posts, at(1)).unwrap();
        let rooms = Arc::new(Rooms::new(log, 1));
        let opened = rooms.open(&attic, appender.find(&attic).unwrap());
        let sender = crate::names::Sender::claim(UserName::new("bob").unwrap());
        let member = Some(Member { client: ClientId(7), sender });
        let follow = |next, member| opened.follow(0, Arc::new(Reader(Position::new(Seq(next)), member)));
        // More than are copied out at once, all of which have read everything.
        let _idle: Vec<_> = (0..100).map(|_| follow(201, None)).collect();
        let _slow = [follow(1, member), follow(200, None), follow(151, None)];
        assert_eq!(Lags::of(&rooms), Lags { readers: 103, slowest: 200, behind: [3, 1, 0, 0] });
        let found = slowest(&rooms, 2);
        assert_eq!(found.iter().map(|reader| reader.lag).collect::<Vec<_>>(), [200, 50]);
        assert_eq!(found[0].client, Some((ClientId(7), "bob".to_owned())));
        assert_eq!((found[1].room.as_str(), &found[1].client), ("attic", &None));
    }
}
