//! The rooms of a chat: the joined rooms and the current one. Pure logic.
//!
//! As in line-mode IRC clients: a newly joined room becomes the current one, and leaving it returns to the previous
//! one. With several rooms, each line begins with the name of its room, and so does the prompt.

use std::sync::Arc;

use parking_lot::Mutex;

use super::wrap::cut;
use crate::names::RoomName;

/// The hint if no room is joined.
pub const NO_ROOM: &str = "you are in no room; /join ROOM joins one";

/// The maximum columns of a room's name in the prompt, so that it leaves space for the line.
const PROMPT_COLUMNS_MAX: usize = 20;

/// The rooms, shared by the input and the output. Lock order: 2, below the screen's.
pub type SharedRooms = Arc<Mutex<RoomList>>;

/// The rooms of a chat.
pub struct RoomList {
    /// In the order of their last use. The last one is the current one, if any.
    rooms: Vec<RoomName>,
    /// Whether there is a current room. There is none after a refused join: text typed for a room must not go to
    /// another one.
    has_current: bool,
    /// Those that will be left when their lines are stored.
    leaving: Vec<RoomName>,
}

impl RoomList {
    pub fn new(room: RoomName) -> Self {
        Self { rooms: vec![room], has_current: true, leaving: Vec::new() }
    }

    /// The current room.
    pub fn current(&self) -> Option<&RoomName> {
        self.rooms.last().filter(|_| self.has_current)
    }

    /// The names of the joined rooms, the current one last.
    pub fn names(&self) -> Vec<String> {
        self.rooms.iter().map(|room| room.as_str().to_owned()).collect()
    }

    /// Switches to a room. False: it is a new one.
    pub fn enter(&mut self, room: &RoomName) -> bool {
        let was_there = self.remove(room);
        self.leaving.retain(|other| other != room);
        self.rooms.push(room.clone());
        self.has_current = true;
        was_there
    }

    /// Leaves a room, and returns to the previous one if it was the current one. False: it is not joined.
    pub fn leave(&mut self, room: &RoomName) -> bool {
        let is_current = self.current() == Some(room);
        let was_there = self.remove(room);
        self.has_current |= is_current;
        was_there
    }

    /// Records that the lines of a room that was left are not stored yet.
    pub fn leave_later(&mut self, room: &RoomName) {
        self.leaving.push(room.clone());
    }

    /// The room is left. False: that was known.
    pub fn left(&mut self, room: &RoomName) -> bool {
        let before = self.leaving.len();
        self.leaving.retain(|other| other != room);
        self.leaving.len() < before
    }

    /// The server refused a room. If it was the current one, there is none now.
    pub fn refuse(&mut self, room: &RoomName) {
        self.has_current &= self.current() != Some(room);
        self.remove(room);
    }

    fn remove(&mut self, room: &RoomName) -> bool {
        let before = self.rooms.len();
        self.rooms.retain(|other| other != room);
        self.rooms.len() < before
    }

    /// The prefix of a line of this room: empty if it is the only one.
    pub fn prefix(&self, room: &RoomName) -> String {
        let is_alone = self.rooms.len() < 2 && self.current() == Some(room);
        if is_alone { String::new() } else { format!("[{room}] ") }
    }

    /// The prompt.
    pub fn prompt(&self) -> String {
        match self.current() {
            None => "[no room] > ".to_owned(),
            Some(_) if self.rooms.len() < 2 => "> ".to_owned(),
            Some(room) => format!("[{}] > ", cut(room.as_str(), PROMPT_COLUMNS_MAX)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(name: &str) -> RoomName {
        RoomName::new(name).unwrap()
    }

    fn prompts(list: &RoomList) -> (String, String) {
        (list.prompt(), list.prefix(&room("lobby")))
    }

    #[test]
    fn leaving_a_room_returns_to_the_previous_one() {
        let [lobby, tea, attic] = ["lobby", "tea", "attic"].map(room);
        let mut list = RoomList::new(lobby.clone());
        assert_eq!(prompts(&list), ("> ".to_owned(), String::new()));
        assert!(!list.enter(&tea) && !list.enter(&attic));
        assert_eq!(prompts(&list), ("[attic] > ".to_owned(), "[lobby] ".to_owned()));
        assert!(list.enter(&lobby), "it is joined already");
        assert!(list.leave(&lobby));
        assert_eq!(list.current(), Some(&attic));
        // Another room than the current one.
        assert!(list.leave(&tea) && !list.leave(&tea));
        assert_eq!(list.current(), Some(&attic));
        // Later events of a room that was left are marked.
        assert_eq!(prompts(&list), ("> ".to_owned(), "[lobby] ".to_owned()));
        list.leave_later(&tea);
        assert!(list.left(&tea) && !list.left(&tea) && !list.left(&lobby));
        assert!(list.leave(&attic));
        assert_eq!((list.current(), list.prompt().as_str()), (None, "[no room] > "));
        list.enter(&tea);
        assert_eq!(list.prompt(), "> ");
        list.enter(&room(&"世".repeat(30)));
        assert_eq!(list.prompt(), format!("[{}…] > ", "世".repeat(9)));
    }

    /// Text that was typed for a room that can't be joined must not be posted in another one.
    #[test]
    fn after_a_refused_join_there_is_no_current_room() {
        let [lobby, tea] = ["lobby", "tea"].map(room);
        let mut list = RoomList::new(lobby.clone());
        list.enter(&tea);
        list.refuse(&tea);
        assert_eq!((list.current(), list.prompt().as_str()), (None, "[no room] > "));
        assert!(list.enter(&lobby), "it is still joined");
        assert_eq!(list.current(), Some(&lobby));
        list.enter(&tea);
        list.enter(&lobby);
        list.refuse(&tea);
        assert_eq!(list.current(), Some(&lobby));
    }
}
