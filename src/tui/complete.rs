//! What Tab offers: names by recent speech, rooms, commands. Emojis need nothing of the chat.

use std::collections::VecDeque;

use super::commands;
use crate::editing::Wanted;

/// How many speakers of a room are remembered.
const SPEAKERS_MAX: usize = 200;

/// Who has spoken in a room, the last one first.
#[derive(Clone, Debug, Default)]
pub struct Speakers(VecDeque<String>);

impl Speakers {
    /// Somebody has spoken.
    pub fn spoke(&mut self, name: &str) {
        if self.0.front().is_some_and(|first| first == name) {
            return;
        }
        self.0.retain(|other| other != name);
        self.0.push_front(name.to_owned());
        self.0.truncate(SPEAKERS_MAX);
    }

    /// The names of the members and the speakers, each once: who spoke last stands first, the user itself last.
    pub fn names<'a>(&'a self, members: impl IntoIterator<Item = &'a str>, own: &str) -> Vec<String> {
        let mut others: Vec<_> = members.into_iter().filter(|name| !self.0.iter().any(|spoke| spoke == name)).collect();
        others.sort_by_key(|name| name.to_lowercase());
        others.dedup();
        let mut names: Vec<String> = self.0.iter().cloned().chain(others.into_iter().map(str::to_owned)).collect();
        if let Some(at) = names.iter().position(|name| name == own) {
            let own = names.remove(at);
            names.push(own);
        }
        names
    }
}

/// The candidates for [`crate::tui::line_editor::LineEditor::complete`]. The names are in the order of
/// [`Speakers::names`]; the rooms in that of their numbers.
pub fn candidates(
    wanted: Wanted,
    people: impl FnOnce() -> Vec<String>,
    rooms: impl FnOnce() -> Vec<String>,
) -> Vec<String> {
    match wanted {
        Wanted::Command => {
            let mut names: Vec<String> = commands::names().map(str::to_owned).collect();
            names.sort();
            names
        }
        Wanted::Person => people(),
        Wanted::Room => rooms(),
    }
}

/// How well a name fits a pattern whose letters occur in it in their order, for jumping to a room by a part of its name.
/// Less is better; `None`: it does not fit.
pub fn fit(pattern: &str, name: &str) -> Option<usize> {
    let (pattern, name) = (pattern.to_lowercase(), name.to_lowercase());
    if let Some(at) = name.find(&pattern) {
        // The whole name, its beginning, the beginning of a word, or a part.
        let begins_word = name[..at].chars().next_back().is_none_or(|c| !c.is_alphanumeric());
        return Some(match (at, begins_word) {
            (0, _) => usize::from(name.len() != pattern.len()),
            (_, true) => 2,
            _ => 3,
        });
    }
    let mut rest = name.char_indices();
    let (mut first, mut last) = (None, 0);
    for wanted in pattern.chars() {
        let (at, _) = rest.find(|(_, c)| *c == wanted)?;
        first = first.or(Some(at));
        last = at;
    }
    // The nearer together, the better.
    Some(4 + last - first.unwrap_or(0))
}

/// The names that fit, the best first; of those that fit alike, in their order.
pub fn fitting<'a>(pattern: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let mut fitting: Vec<_> = names.into_iter().filter_map(|name| Some((fit(pattern, name)?, name))).collect();
    fitting.sort_by_key(|(fit, _)| *fit);
    fitting.into_iter().map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_spoke_last_comes_first_and_the_user_last() {
        let mut speakers = Speakers::default();
        ["ann", "bob", "me", "ann"].iter().for_each(|name| speakers.spoke(name));
        assert_eq!(speakers.names(["zoe", "bob", "Al", "me"], "me"), ["ann", "bob", "Al", "zoe", "me"]);
        (0..1000).for_each(|n| speakers.spoke(&format!("user{n}")));
        assert_eq!(speakers.names([], "me").len(), SPEAKERS_MAX);
    }

    #[test]
    fn commands_are_offered_with_their_aliases() {
        let names = candidates(Wanted::Command, Vec::new, Vec::new);
        assert!(["join", "j", "quit", "lastlog"].iter().all(|name| names.iter().any(|other| other == name)));
        assert_eq!(candidates(Wanted::Room, Vec::new, || vec!["tea".to_owned()]), ["tea"]);
    }

    #[test]
    fn rooms_are_found_by_parts_of_their_names() {
        let rooms = ["tea", "dev-tools", "steam", "devotea", "test", "team"];
        assert_eq!(fitting("tea", rooms), ["tea", "team", "steam", "devotea"]);
        assert_eq!(fitting("dt", rooms), ["dev-tools", "devotea"]);
        assert_eq!(fitting("tools", ["xtools", "dev-tools"]), ["dev-tools", "xtools"]);
        assert_eq!(fitting("TOOLS", rooms), ["dev-tools"]);
        assert_eq!(fitting("", rooms).len(), rooms.len());
        assert_eq!(fitting("xyz", rooms), Vec::<&str>::new());
    }
}
