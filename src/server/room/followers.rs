//! Who follows a room.

use std::sync::Arc;

use parking_lot::Mutex;

/// How many followers are copied out at once, so that the lock is never held while anyone is told.
const CHUNK: usize = 64;

/// Somebody who wants to know that a room has something new.
pub trait Follower: Send + Sync {
    /// There is something new. MUST NOT block and MUST NOT call back into the room's list of followers.
    fn published(self: Arc<Self>);
}

/// The followers of one room: a slab, so that joining, leaving and a round through all cost no search and no copy.
#[derive(Default)]
pub struct Followers {
    // lock order: 2 (a leaf, held for one insertion, one removal or one chunk)
    slots: Mutex<Slots>,
}

#[derive(Default)]
struct Slots {
    taken: Vec<Option<Arc<dyn Follower>>>,
    free: Vec<usize>,
}

/// A place among the followers, for giving it up.
#[derive(Debug)]
#[must_use = "give it back with `remove`"]
pub struct Membership(usize);

impl Followers {
    pub fn add(&self, follower: Arc<dyn Follower>) -> Membership {
        let mut slots = self.slots.lock();
        match slots.free.pop() {
            Some(index) => {
                slots.taken[index] = Some(follower);
                Membership(index)
            }
            None => {
                slots.taken.push(Some(follower));
                Membership(slots.taken.len() - 1)
            }
        }
    }

    pub fn remove(&self, Membership(index): Membership) {
        let mut slots = self.slots.lock();
        let follower = slots.taken[index].take();
        slots.free.push(index);
        // Dropping the last reference to a follower may do more than we want under the lock.
        drop(slots);
        drop(follower);
    }

    /// Tells everybody who follows now. Somebody who comes or goes meanwhile may or may not be told.
    pub fn tell_all(&self) {
        let mut chunk = Vec::with_capacity(CHUNK);
        let mut start = 0;
        loop {
            {
                let slots = self.slots.lock();
                if start >= slots.taken.len() {
                    return;
                }
                let end = slots.taken.len().min(start + CHUNK);
                chunk.extend(slots.taken[start..end].iter().flatten().cloned());
                start = end;
            }
            for follower in chunk.drain(..) {
                follower.published();
            }
        }
    }
}

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
    }

    #[test]
    fn everybody_is_told_once_and_places_are_used_again() {
        let followers = Followers::default();
        let counts: Vec<_> = (0..3 * CHUNK + 1).map(|_| Arc::new(Count::default())).collect();
        let mut places: Vec<_> =
            counts.iter().map(|count| followers.add(Arc::clone(count) as Arc<dyn Follower>)).collect();
        followers.tell_all();
        assert!(counts.iter().all(|count| count.0.load(Ordering::SeqCst) == 1));

        followers.remove(places.remove(7));
        followers.tell_all();
        assert_eq!(counts[7].0.load(Ordering::SeqCst), 1);
        assert_eq!(counts[8].0.load(Ordering::SeqCst), 2);
        assert_eq!(Arc::strong_count(&counts[7]), 1);

        let Membership(index) = followers.add(Arc::clone(&counts[7]) as Arc<dyn Follower>);
        assert_eq!(index, 7);
    }
}
