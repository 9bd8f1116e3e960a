//! The members of a room: for notices of joins and leaves, for names that two clients share, and for completing names.
//!
//! Pure logic. A user may have several clients in a room, so "joined" is for the first client of a name and "left" for
//! the last. A client that has just joined does not know the earlier members; it requests the list, and changes
//! meanwhile wait for the answer.
//!
//! After a server's restart all clients reconnect. A user who was present before the connection was lost, and returns
//! soon after, has neither left nor joined as far as people can tell, so nothing is shown.

use std::borrow::Cow;
use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

use super::namesakes::Namesakes;
use crate::client::Member;
use crate::escape::acts;

/// How many names of recent senders are kept, for completing.
const SENDERS_MAX: usize = 100;

/// How many joins and leaves wait for the list of members. More are shown at once.
const WAITING_MAX: usize = 200;

/// How long after this client's own return the return of others is not shown: twice the longest pause between two
/// attempts to connect.
const RETURN_TIME: Duration = Duration::from_secs(30);

/// How many names are kept while their users are expected to return.
const RETURNING_MAX: usize = 1024;

/// A client that joined or left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub name: String,
    /// Whether it has logged in: otherwise the name is a claim.
    pub authenticated: bool,
    pub client: u64,
    pub joined: bool,
}

/// The people of one room.
pub struct Presence {
    own_name: String,
    around: Namesakes,
    /// Recent senders, the last one first.
    senders: VecDeque<String>,
    /// The changes since the list of members was requested.
    waiting: Option<Vec<Change>>,
    /// The number of requests, so that a late answer is recognized.
    requests: u64,
    /// The names that were present when the connection was lost and have not been seen since, and until when their
    /// return is not shown.
    returning: HashSet<String>,
    return_until: Option<Instant>,
}

impl Presence {
    pub fn new(own_name: &str) -> Self {
        let own_name = own_name.to_owned();
        Self {
            around: Namesakes::new(&own_name),
            own_name,
            senders: VecDeque::new(),
            waiting: None,
            requests: 0,
            returning: HashSet::new(),
            return_until: None,
        }
    }

    /// Records another client's message. The client is known only if the message is live: history does not show who is
    /// present.
    pub fn record_sender(&mut self, name: &str, client: Option<u64>) {
        if let Some(client) = client {
            self.insert(name, client);
        }
        if self.senders.front().is_none_or(|last| last != name) {
            self.senders.retain(|other| other != name);
            self.senders.truncate(SENDERS_MAX - 1);
            self.senders.push_front(name.to_owned());
        }
    }

    /// Records that a client joined or left. Returns the notice to show now, if any.
    pub fn changed(&mut self, change: Change, now: Instant) -> Option<Change> {
        match &mut self.waiting {
            Some(waiting) if waiting.len() < WAITING_MAX => {
                waiting.push(change);
                None
            }
            _ => self.apply(change, now),
        }
    }

    /// The members are requested: later changes wait for the answer. Returns the request's number.
    pub fn request(&mut self) -> u64 {
        self.waiting = Some(Vec::new());
        self.requests += 1;
        self.requests
    }

    /// The answer to a request; it is empty if there was none. Returns the notices to show now.
    pub fn answer(&mut self, request: u64, members: Vec<Member>, now: Instant) -> Vec<Change> {
        if request != self.requests {
            return Vec::new();
        }
        let waiting = self.waiting.take().unwrap_or_default();
        // The initial members: those on the list, without those that joined since, and with those that left since.
        let joined_since = |client: u64| waiting.iter().any(|change| change.client == client && change.joined);
        for member in members.iter().filter(|member| !joined_since(member.client_id)) {
            self.insert(&member.name, member.client_id);
        }
        for change in waiting.iter().filter(|change| !change.joined && !joined_since(change.client)) {
            self.insert(&change.name, change.client);
        }
        waiting.into_iter().filter_map(|change| self.apply(change, now)).collect()
    }

    /// The connection is lost: joins and leaves are no longer reported.
    pub fn disconnected(&mut self, now: Instant) {
        if !self.is_return_time(now) {
            self.returning.clear();
        }
        let names = self.around.names().map(str::to_owned);
        self.returning.extend(names.take(RETURNING_MAX.saturating_sub(self.returning.len())));
        self.return_until = None;
        self.around.clear();
        self.waiting = None;
        self.requests += 1;
    }

    /// The room is joined, for the first time or again.
    pub fn rejoined(&mut self, now: Instant) {
        self.return_until = Some(now + RETURN_TIME);
    }

    /// The name of another client, distinguished from others of the same name.
    pub fn label<'a>(&self, name: &'a str, client: Option<u64>) -> Cow<'a, str> {
        self.around.label(name, client)
    }

    /// The names for completion: recent senders first.
    pub fn names(&self) -> Vec<String> {
        let mut silent: Vec<&str> =
            self.around.names().filter(|name| !self.senders.iter().any(|s| s == name)).collect();
        silent.sort_unstable();
        let all = self.senders.iter().map(String::as_str).chain(silent);
        all.filter(|name| *name != self.own_name && !name.chars().any(acts)).map(str::to_owned).collect()
    }

    /// The names of the others who are present, without those that only spoke.
    pub fn present(&self) -> impl Iterator<Item = &str> {
        self.around.names().filter(|name| *name != self.own_name)
    }

    fn apply(&mut self, change: Change, now: Instant) -> Option<Change> {
        let is_return = change.joined && self.returning.contains(&change.name) && self.is_return_time(now);
        let counts = match change.joined {
            true => self.insert(&change.name, change.client),
            false => self.around.forget(&change.name, change.client),
        };
        // This client is present itself, so its name neither joins nor leaves.
        (counts && !is_return && change.name != self.own_name).then_some(change)
    }

    fn insert(&mut self, name: &str, client: u64) -> bool {
        self.returning.remove(name);
        self.around.insert(name, client)
    }

    fn is_return_time(&self, now: Instant) -> bool {
        self.return_until.is_none_or(|until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(name: &str, client: u64, joined: bool) -> Change {
        Change { name: name.to_owned(), authenticated: true, client, joined }
    }

    fn member(name: &str, client_id: u64) -> Member {
        Member { name: name.to_owned(), client_id, authenticated: true }
    }

    /// A regression: bob had two clients; when one of them ended, the others read "left: bob", although bob was still
    /// there.
    #[test]
    fn only_the_first_client_of_a_name_joins_and_the_last_one_leaves() {
        let (mut presence, now) = (Presence::new("ann"), Instant::now());
        assert_eq!(presence.changed(change("bob", 1, true), now), Some(change("bob", 1, true)));
        assert_eq!(presence.changed(change("bob", 2, true), now), None);
        assert_eq!(presence.changed(change("bob", 1, false), now), None);
        assert_eq!(presence.changed(change("bob", 2, false), now), Some(change("bob", 2, false)));
        // Another client of the user's own name changes nothing: the user is present already.
        assert_eq!(presence.changed(change("ann", 9, true), now), None);
        assert_eq!(presence.changed(change("ann", 9, false), now), None);
        // A client that was present, but unknown.
        assert_eq!(presence.changed(change("cat", 7, false), now), Some(change("cat", 7, false)));
    }

    /// The list may be older or newer than the changes that arrive meanwhile; both give the same result.
    #[test]
    fn changes_during_the_request_for_members_are_counted_once() {
        let now = Instant::now();
        let requested = || {
            let mut presence = Presence::new("ann");
            presence.request();
            assert_eq!(presence.changed(change("bob", 1, false), now), None);
            assert_eq!(presence.changed(change("cat", 5, true), now), None);
            assert_eq!(presence.changed(change("dan", 6, false), now), None);
            presence
        };
        let before = vec![member("ann", 3), member("bob", 1), member("bob", 2), member("dan", 6)];
        let after = vec![member("ann", 3), member("bob", 2), member("cat", 5)];
        for list in [before, after] {
            let mut presence = requested();
            assert_eq!(presence.answer(1, list, now), [change("cat", 5, true), change("dan", 6, false)]);
            assert_eq!(presence.changed(change("bob", 2, false), now), Some(change("bob", 2, false)));
        }
        // An answer that arrives after the connection was lost is ignored.
        let mut presence = requested();
        presence.disconnected(now);
        assert!(presence.answer(1, vec![member("bob", 1)], now).is_empty() && presence.names().is_empty());
        // Without an answer, only the observed changes are known.
        let shown = requested().answer(1, Vec::new(), now);
        assert_eq!(shown, [change("bob", 1, false), change("cat", 5, true), change("dan", 6, false)]);
    }

    /// A regression: after a restart of the server, the client that reconnected first read "joined: bob" for every
    /// other user, although nobody had left.
    #[test]
    fn a_return_soon_after_an_outage_is_not_shown() {
        let (mut presence, start) = (Presence::new("ann"), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        for (name, client) in [("bob", 1), ("cat", 2), ("dan", 3)] {
            presence.changed(change(name, client, true), start);
        }
        presence.disconnected(at(1));
        // An outage of any length, and another one soon after.
        presence.rejoined(at(1000));
        assert_eq!(presence.changed(change("bob", 11, true), at(1001)), None);
        presence.disconnected(at(1002));
        presence.rejoined(at(1003));
        assert_eq!(presence.changed(change("bob", 21, true), at(1004)), None);
        assert_eq!(presence.changed(change("cat", 22, true), at(1004)), None);
        assert_eq!(presence.changed(change("eve", 24, true), at(1004)), Some(change("eve", 24, true)));
        // A user who returned can leave and join.
        assert_eq!(presence.changed(change("bob", 21, false), at(1005)), Some(change("bob", 21, false)));
        assert_eq!(presence.changed(change("bob", 31, true), at(1006)), Some(change("bob", 31, true)));
        // A late return is a join.
        assert_eq!(presence.changed(change("dan", 23, true), at(1033)), Some(change("dan", 23, true)));
        presence.disconnected(at(2000));
        presence.disconnected(at(2001));
        assert!(presence.returning.len() == 4, "{:?}", presence.returning);
    }

    #[test]
    fn recent_senders_are_completed_first() {
        let (mut presence, now) = (Presence::new("ann"), Instant::now());
        let request = presence.request();
        let members = vec![member("zoe", 1), member("ann", 2), member("bob", 3), member("\u{1b}[2J", 4)];
        presence.answer(request, members, now);
        presence.record_sender("cat", None);
        presence.record_sender("zoe", Some(1));
        assert_eq!(presence.names(), ["zoe", "cat", "bob"]);
        for n in 0..1000 {
            presence.record_sender(&n.to_string(), None);
        }
        assert!(presence.senders.len() <= SENDERS_MAX && presence.names()[0] == "999");
    }
}
