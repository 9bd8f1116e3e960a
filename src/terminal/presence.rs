//! The members of a room: for notices of joins and leaves, for names that two clients share, and for completing names.
//!
//! Pure logic. A user may have several clients in a room, so "joined" is for the first client of a name and "left" for
//! the last. A client that has just joined does not know the earlier members; it requests the list, and changes
//! meanwhile wait for the answer.

use std::borrow::Cow;
use std::collections::VecDeque;

use super::namesakes::Namesakes;
use crate::client::Member;
use crate::escape::acts;

/// How many names of recent senders are kept, for completing.
const SPEAKERS_MAX: usize = 100;

/// How many joins and leaves wait for the list of members. More are shown at once.
const WAITING_MAX: usize = 200;

/// A client that joined or left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub name: String,
    pub client: u64,
    pub came: bool,
}

/// The people of one room.
pub struct Presence {
    own_name: String,
    around: Namesakes,
    /// Recent senders, the last one first.
    speakers: VecDeque<String>,
    /// The changes since the list of members was requested.
    waiting: Option<Vec<Change>>,
    /// The number of requests, so that a late answer is recognized.
    asked: u64,
}

impl Presence {
    pub fn new(own_name: &str) -> Self {
        let own_name = own_name.to_owned();
        Self { around: Namesakes::new(&own_name), own_name, speakers: VecDeque::new(), waiting: None, asked: 0 }
    }

    /// Records another client's message. The client is known only if the message is live: history does not show who is
    /// present.
    pub fn spoke(&mut self, name: &str, client: Option<u64>) {
        if let Some(client) = client {
            self.around.insert(name, client);
        }
        if self.speakers.front().is_none_or(|last| last != name) {
            self.speakers.retain(|other| other != name);
            self.speakers.truncate(SPEAKERS_MAX - 1);
            self.speakers.push_front(name.to_owned());
        }
    }

    /// Records that a client joined or left. Returns the notice to show now, if any.
    pub fn changed(&mut self, change: Change) -> Option<Change> {
        match &mut self.waiting {
            Some(waiting) if waiting.len() < WAITING_MAX => {
                waiting.push(change);
                None
            }
            _ => self.apply(change),
        }
    }

    /// The members are requested: later changes wait for the answer. Returns the request's number.
    pub fn ask(&mut self) -> u64 {
        self.waiting = Some(Vec::new());
        self.asked += 1;
        self.asked
    }

    /// The answer to a request; it is empty if there was none. Returns the notices to show now.
    pub fn answer(&mut self, question: u64, members: Vec<Member>) -> Vec<Change> {
        if question != self.asked {
            return Vec::new();
        }
        let waiting = self.waiting.take().unwrap_or_default();
        // The initial members: those on the list, without those that joined since, and with those that left since.
        let came_since = |client: u64| waiting.iter().any(|change| change.client == client && change.came);
        for member in members.iter().filter(|member| !came_since(member.client_id)) {
            self.around.insert(&member.name, member.client_id);
        }
        for change in waiting.iter().filter(|change| !change.came && !came_since(change.client)) {
            self.around.insert(&change.name, change.client);
        }
        waiting.into_iter().filter_map(|change| self.apply(change)).collect()
    }

    /// Removes all members, for example when the connection is lost: departures are no longer reported.
    pub fn clear(&mut self) {
        self.around.clear();
        self.waiting = None;
        self.asked += 1;
    }

    /// The name of another client, distinguished from others of the same name.
    pub fn label<'a>(&self, name: &'a str, client: Option<u64>) -> Cow<'a, str> {
        self.around.label(name, client)
    }

    /// The names for completion: recent senders first.
    pub fn names(&self) -> Vec<String> {
        let mut silent: Vec<&str> =
            self.around.names().filter(|name| !self.speakers.iter().any(|s| s == name)).collect();
        silent.sort_unstable();
        let all = self.speakers.iter().map(String::as_str).chain(silent);
        all.filter(|name| *name != self.own_name && !name.chars().any(acts)).map(str::to_owned).collect()
    }

    fn apply(&mut self, change: Change) -> Option<Change> {
        let counts = match change.came {
            true => self.around.insert(&change.name, change.client),
            false => self.around.forget(&change.name, change.client),
        };
        // This client is present itself, so its name neither joins nor leaves.
        (counts && change.name != self.own_name).then_some(change)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(name: &str, client: u64, came: bool) -> Change {
        Change { name: name.to_owned(), client, came }
    }

    fn member(name: &str, client_id: u64) -> Member {
        Member { name: name.to_owned(), client_id }
    }

    /// A regression: bob had two clients; when one of them ended, the others read "left: bob", and bob went on talking.
    #[test]
    fn only_the_first_client_of_a_name_comes_and_the_last_one_leaves() {
        let mut presence = Presence::new("ann");
        assert_eq!(presence.changed(change("bob", 1, true)), Some(change("bob", 1, true)));
        assert_eq!(presence.changed(change("bob", 2, true)), None);
        assert_eq!(presence.changed(change("bob", 1, false)), None);
        assert_eq!(presence.changed(change("bob", 2, false)), Some(change("bob", 2, false)));
        // Another client of one's own name changes nothing: one is there oneself.
        assert_eq!(presence.changed(change("ann", 9, true)), None);
        assert_eq!(presence.changed(change("ann", 9, false)), None);
        // Somebody who was there unseen.
        assert_eq!(presence.changed(change("cat", 7, false)), Some(change("cat", 7, false)));
    }

    /// The list may be older or newer than what came meanwhile; both lead to the same.
    #[test]
    fn what_happens_while_the_members_are_asked_for_is_counted_right() {
        let asked = || {
            let mut presence = Presence::new("ann");
            presence.ask();
            assert_eq!(presence.changed(change("bob", 1, false)), None);
            assert_eq!(presence.changed(change("cat", 5, true)), None);
            assert_eq!(presence.changed(change("dan", 6, false)), None);
            presence
        };
        let before = vec![member("ann", 3), member("bob", 1), member("bob", 2), member("dan", 6)];
        let after = vec![member("ann", 3), member("bob", 2), member("cat", 5)];
        for list in [before, after] {
            let mut presence = asked();
            assert_eq!(presence.answer(1, list), [change("cat", 5, true), change("dan", 6, false)]);
            assert_eq!(presence.changed(change("bob", 2, false)), Some(change("bob", 2, false)));
        }
        // An answer that comes when the connection is lost says nothing any more.
        let mut presence = asked();
        presence.clear();
        assert!(presence.answer(1, vec![member("bob", 1)]).is_empty() && presence.names().is_empty());
        // Without an answer, it goes by what it has seen.
        let told = asked().answer(1, Vec::new());
        assert_eq!(told, [change("bob", 1, false), change("cat", 5, true), change("dan", 6, false)]);
    }

    #[test]
    fn those_who_spoke_last_are_completed_first() {
        let mut presence = Presence::new("ann");
        let question = presence.ask();
        presence.answer(question, vec![member("zoe", 1), member("ann", 2), member("bob", 3), member("\u{1b}[2J", 4)]);
        presence.spoke("cat", None);
        presence.spoke("zoe", Some(1));
        assert_eq!(presence.names(), ["zoe", "cat", "bob"]);
        for n in 0..1000 {
            presence.spoke(&n.to_string(), None);
        }
        assert!(presence.speakers.len() <= SPEAKERS_MAX && presence.names()[0] == "999");
    }
}
