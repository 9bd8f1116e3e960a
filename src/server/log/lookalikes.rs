//! Refuses a new room whose name looks like that of an existing one, such as `lоbby` with a Cyrillic letter.
//!
//! It keeps a hash of the skeleton of each stored room's name, in memory: at most 40 MB for the maximum number of
//! rooms. Rooms that an earlier version stored under names that look alike stay usable.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};

use super::LogError;
use crate::names::{RoomId, RoomName};

/// Stands for the lobby until it is stored, so that no room with a similar name is created before it.
const LOBBY: RoomId = RoomId(0);

/// The stored rooms, by the hashes of their names' skeletons.
pub struct Lookalikes {
    // The hasher has a random key, so no client can choose names whose hashes collide.
    hasher: RandomState,
    rooms: HashMap<u64, RoomId>,
}

impl Default for Lookalikes {
    fn default() -> Self {
        let mut lookalikes = Self { hasher: RandomState::new(), rooms: HashMap::new() };
        lookalikes.load(&RoomName::lobby(), LOBBY);
        lookalikes
    }
}

impl Lookalikes {
    /// Adds a room that is stored.
    pub fn load(&mut self, name: &RoomName, id: RoomId) {
        self.rooms.entry(self.hasher.hash_one(name.skeleton())).or_insert(id);
    }

    /// Adds a room that is being created, or refuses it. `name_of` finds the name of a stored room: a creation that was
    /// added may have been rolled back.
    pub fn create(
        &mut self,
        name: &RoomName,
        id: RoomId,
        name_of: impl FnOnce(RoomId) -> Result<Option<RoomName>, LogError>,
    ) -> Result<(), LogError> {
        let skeleton = name.skeleton();
        let hash = self.hasher.hash_one(&skeleton);
        let like = match self.rooms.get(&hash) {
            None => None,
            Some(&LOBBY) => Some(RoomName::lobby()),
            Some(&other) => name_of(other)?,
        };
        match like {
            Some(like) if *name != RoomName::lobby() && like != *name && like.skeleton() == skeleton => {
                Err(LogError::LooksLike(like))
            }
            _ => {
                self.rooms.insert(hash, id);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(name: &str) -> RoomName {
        RoomName::new(name).unwrap()
    }

    #[test]
    fn a_room_that_looks_like_another_is_refused() {
        let mut lookalikes = Lookalikes::default();
        let unknown = |_| Ok(None);
        let tea = |id| Ok((id == RoomId(1)).then(|| room("tea")));
        assert_eq!(lookalikes.create(&room("lоbby"), RoomId(1), unknown), Err(LogError::LooksLike(RoomName::lobby())));
        assert_eq!(lookalikes.create(&room("tea"), RoomId(1), unknown), Ok(()));
        assert_eq!(lookalikes.create(&room("Tea"), RoomId(2), tea), Err(LogError::LooksLike(room("tea"))));
        assert_eq!(lookalikes.create(&room("teas"), RoomId(2), tea), Ok(()));
        assert_eq!(lookalikes.create(&RoomName::lobby(), RoomId(3), unknown), Ok(()));
    }

    /// The commit that would have created a room fails: neither it nor a room that looks like it is refused afterwards.
    #[test]
    fn a_creation_that_was_rolled_back_reserves_no_name() {
        let mut lookalikes = Lookalikes::default();
        lookalikes.create(&room("tea"), RoomId(1), |_| Ok(None)).unwrap();
        assert_eq!(lookalikes.create(&room("tea"), RoomId(1), |_| Ok(None)), Ok(()));
        assert_eq!(lookalikes.create(&room("Tea"), RoomId(1), |_| Ok(None)), Ok(()));
        // Its number was given to another room meanwhile.
        assert_eq!(lookalikes.create(&room("TEA"), RoomId(2), |_| Ok(Some(room("coffee")))), Ok(()));
    }

    /// The names of a log that an earlier version wrote.
    #[test]
    fn stored_rooms_that_look_alike_stay() {
        let mut lookalikes = Lookalikes::default();
        for (name, id) in [("Lobby", 1), ("tea", 2), ("Tea", 3)] {
            lookalikes.load(&room(name), RoomId(id));
        }
        let name_of = |id| Ok(Some(if id == RoomId(2) { room("tea") } else { room("Tea") }));
        assert_eq!(lookalikes.create(&room("TEA"), RoomId(4), name_of), Err(LogError::LooksLike(room("tea"))));
        assert_eq!(lookalikes.create(&RoomName::lobby(), RoomId(4), name_of), Ok(()));
    }
}
