//! The followers of a room.

use std::sync::Arc;

use parking_lot::Mutex;

use super::position::Position;
use crate::limits::FOLLOWERS_PER_CHUNK;
use crate::names::{ClientId, Sender};
use crate::wire::answer::Change;

/// A subscriber to a room. Its methods MUST NOT block.
pub trait Follower: Send + Sync {
    /// There are new messages.
    fn published(self: Arc<Self>);

    /// The member, if the follower has a name.
    fn member(&self) -> Option<Member>;

    /// Where its reader is, if it shows that.
    fn position(&self) -> Option<&Position> {
        None
    }

    /// Another client joined or left. It may wait for a call of [`Self::published`].
    fn presence(self: Arc<Self>, presence: &Arc<Presence>);
}

/// A member that has joined or left.
#[derive(Debug)]
pub struct Presence {
    pub member: Member,
    pub change: Change,
}

/// A follower that has a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub client: ClientId,
    pub sender: Sender,
}

/// The followers of one room: a slab, so that joining, leaving and a round through all need no search and no copy.
#[derive(Default)]
pub struct Followers {
    // lock order: 2 (a leaf, held for one insertion, one removal or one chunk)
    slots: Mutex<Slots>,
}

#[derive(Default)]
struct Slots {
    /// The last place is always taken.
    taken: Vec<Option<Arc<dyn Follower>>>,
    /// Places that may be free.
    free: Vec<usize>,
    count: usize,
}

/// A place among the followers, for its removal.
#[derive(Debug)]
#[must_use = "give it back with `remove`"]
pub struct Membership(usize);

impl Followers {
    pub fn add(&self, follower: Arc<dyn Follower>) -> Membership {
        let mut slots = self.slots.lock();
        slots.count += 1;
        // A place is listed as free twice if the slab shrank over it and grew again.
        while let Some(index) = slots.free.pop() {
            if let Some(place @ None) = slots.taken.get_mut(index) {
                *place = Some(follower);
                return Membership(index);
            }
        }
        slots.taken.push(Some(follower));
        Membership(slots.taken.len() - 1)
    }

    pub fn remove(&self, Membership(index): Membership) {
        let mut slots = self.slots.lock();
        let follower = slots.taken[index].take();
        slots.free.push(index);
        slots.count -= 1;
        // A round through a room that was once full should not stay longer.
        while let Some(None) = slots.taken.last() {
            slots.taken.pop();
        }
        // Dropping the last reference to a follower may do more than we want under the lock.
        drop(slots);
        drop(follower);
    }

    pub fn count(&self) -> usize {
        self.slots.lock().count
    }

    /// All followers.
    pub fn all(&self) -> Vec<Arc<dyn Follower>> {
        self.slots.lock().taken.iter().flatten().cloned().collect()
    }

    /// Notifies the followers in the next places from `start` on. Returns how many there were, and the place to
    /// continue with, if any. A follower that joins or leaves during a round may or may not be notified.
    pub fn notify(&self, start: usize) -> (usize, Option<usize>) {
        let (chunk, next) = self.chunk(start);
        let mut count = 0;
        for follower in chunk.into_iter().flatten() {
            follower.published();
            count += 1;
        }
        (count, next)
    }

    /// Shows all followers, a few at a time. One that joins or leaves meanwhile may or may not be shown.
    pub fn visit(&self, mut see: impl FnMut(&dyn Follower)) {
        let mut start = Some(0);
        while let Some(at) = start {
            let (chunk, next) = self.chunk(at);
            chunk.iter().flatten().for_each(|follower| see(&**follower));
            start = next;
        }
    }

    /// Copies out the followers in the next places, and returns the place to continue with, if any.
    fn chunk(&self, start: usize) -> (Chunk, Option<usize>) {
        let mut chunk: Chunk = [const { None }; FOLLOWERS_PER_CHUNK];
        let slots = self.slots.lock();
        let end = slots.taken.len().min(start + FOLLOWERS_PER_CHUNK);
        for (copy, slot) in chunk.iter_mut().zip(slots.taken.get(start..end).unwrap_or_default()) {
            copy.clone_from(slot);
        }
        (chunk, (end < slots.taken.len()).then_some(end))
    }
}

/// Followers that were copied out.
type Chunk = [Option<Arc<dyn Follower>>; FOLLOWERS_PER_CHUNK];

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Follower for Count {
        fn published(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }

        fn member(&self) -> Option<Member> {
            None
        }

        fn presence(self: Arc<Self>, _presence: &Arc<Presence>) {}
    }

    fn notify_all(followers: &Followers) {
        let mut start = Some(0);
        while let Some(place) = start {
            start = followers.notify(place).1;
        }
    }

    #[test]
    fn each_follower_is_notified_once_and_places_are_reused() {
        let followers = Followers::default();
        let counts: Vec<_> = (0..3 * FOLLOWERS_PER_CHUNK + 1).map(|_| Arc::new(Count::default())).collect();
        let mut places: Vec<_> =
            counts.iter().map(|count| followers.add(Arc::clone(count) as Arc<dyn Follower>)).collect();
        notify_all(&followers);
        assert!(counts.iter().all(|count| count.0.load(Ordering::SeqCst) == 1));

        followers.remove(places.remove(7));
        notify_all(&followers);
        assert_eq!(counts[7].0.load(Ordering::SeqCst), 1);
        assert_eq!(counts[8].0.load(Ordering::SeqCst), 2);
        assert_eq!((followers.count(), followers.all().len()), (3 * FOLLOWERS_PER_CHUNK, 3 * FOLLOWERS_PER_CHUNK));
        assert_eq!(Arc::strong_count(&counts[7]), 1);

        let membership = followers.add(Arc::clone(&counts[7]) as Arc<dyn Follower>);
        assert_eq!(membership.0, 7);
        places.push(membership);

        places.drain(..).for_each(|place| followers.remove(place));
        assert_eq!(followers.notify(0), (0, None));
        assert_eq!(followers.slots.lock().taken.len(), 0);
        let places: Vec<_> =
            counts.iter().map(|count| followers.add(Arc::clone(count) as Arc<dyn Follower>).0).collect();
        assert_eq!(places, (0..counts.len()).collect::<Vec<_>>());
    }
}
