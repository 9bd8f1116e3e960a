//! Distinguishes clients with the same name while several are present: `ann#3f` and `ann#40` in place of two of `ann`.
//!
//! Pure logic. A client is present from its first message or its join that this client has seen, until it leaves.
//! Earlier messages do not show who is present, so history has plain names.

use std::borrow::Cow;
use std::collections::HashMap;

/// The maximum number of names. With more in a room, those that were seen first are dropped.
const NAMES_MAX: usize = 1024;

/// The maximum number of clients of one name: the newest are kept. More than the members of a room that sends presence.
const CLIENTS_MAX: usize = 64;

/// The minimum number of shown hexadecimal digits of a client's number.
const DIGITS_MIN: usize = 2;

/// The present clients, by name.
pub struct Namesakes {
    own_name: String,
    /// For each name its clients, and when the name was first seen.
    names: HashMap<String, (u64, Vec<u64>)>,
    seen: u64,
}

impl Namesakes {
    /// For a client with this name, which is present itself.
    pub fn new(own_name: &str) -> Self {
        Self { own_name: own_name.to_owned(), names: HashMap::new(), seen: 0 }
    }

    /// Records a client that posted now, or joined. Returns whether the name is new.
    pub fn insert(&mut self, name: &str, client: u64) -> bool {
        let is_new = !self.names.contains_key(name);
        if is_new {
            self.make_room();
            self.seen += 1;
            self.names.insert(name.to_owned(), (self.seen, Vec::new()));
        }
        if let Some((_, clients)) = self.names.get_mut(name)
            && !clients.contains(&client)
        {
            if clients.len() == CLIENTS_MAX {
                clients.remove(0);
            }
            clients.push(client);
        }
        is_new
    }

    /// Records a client that left. Returns whether no other client of the name is known.
    pub fn forget(&mut self, name: &str, client: u64) -> bool {
        let Some((_, clients)) = self.names.get_mut(name) else { return true };
        clients.retain(|&other| other != client);
        let is_gone = clients.is_empty();
        if is_gone {
            self.names.remove(name);
        }
        is_gone
    }

    /// The names of all present clients.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(String::as_str)
    }

    /// Removes all clients, when the connection is lost: leaves are no longer reported.
    pub fn clear(&mut self) {
        self.names.clear();
    }

    /// The name of another client, with enough digits of its number to distinguish it from others of that name.
    pub fn label<'a>(&self, name: &'a str, client: Option<u64>) -> Cow<'a, str> {
        let Some(client) = client else { return Cow::Borrowed(name) };
        let clients = self.names.get(name).map_or(&[][..], |(_, clients)| clients);
        let others = || clients.iter().filter(|&&other| other != client);
        if name != self.own_name && others().next().is_none() {
            return Cow::Borrowed(name);
        }
        let same = |digits: usize, other: u64| (client ^ other) & ((1 << (4 * digits)) - 1) == 0;
        let digits = (DIGITS_MIN..15).find(|&digits| !others().any(|&other| same(digits, other))).unwrap_or(15);
        Cow::Owned(format!("{name}#{:0digits$x}", client & ((1 << (4 * digits)) - 1)))
    }

    fn make_room(&mut self) {
        if self.names.len() >= NAMES_MAX {
            let oldest = self.names.iter().min_by_key(|(_, (seen, _))| seen).map(|(name, _)| name.clone());
            oldest.and_then(|name| self.names.remove(&name));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_clients_that_share_a_name_get_a_number() {
        let mut around = Namesakes::new("bob");
        around.insert("ann", 0xabc3f);
        assert_eq!(around.label("ann", Some(0xabc3f)), "ann");
        around.insert("ann", 0xabc40);
        assert_eq!(around.label("ann", Some(0xabc3f)), "ann#3f");
        assert_eq!(around.label("ann", Some(0xabc40)), "ann#40");
        assert_eq!(around.label("ann", None), "ann");
        around.forget("ann", 0xabc3f);
        assert_eq!(around.label("ann", Some(0xabc40)), "ann");
    }

    #[test]
    fn another_client_of_the_users_name_gets_a_number() {
        let around = Namesakes::new("bob");
        assert_eq!(around.label("bob", Some(0x105)), "bob#05");
    }

    #[test]
    fn numbers_have_enough_digits_to_differ() {
        let mut around = Namesakes::new("bob");
        for client in [0x1_0041, 0x2_0041, 0x2_0042] {
            around.insert("ann", client);
        }
        assert_eq!(around.label("ann", Some(0x1_0041)), "ann#10041");
        assert_eq!(around.label("ann", Some(0x2_0042)), "ann#42");
    }

    #[test]
    fn the_known_clients_are_bounded() {
        let mut around = Namesakes::new("bob");
        for client in 1..3000 {
            around.insert(&format!("n{client}"), client);
            around.insert("crowd", client);
        }
        assert!(around.names.len() <= NAMES_MAX);
        assert!(around.names.values().all(|(_, clients)| clients.len() <= CLIENTS_MAX));
        around.clear();
        assert_eq!(around.label("n2999", Some(7)), "n2999");
    }
}
