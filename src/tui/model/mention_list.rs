//! The mentions of a list, and how much of the search for them is left. Plain data.

use std::collections::{BTreeMap, VecDeque};

use super::listing::{Entry, entry};
use crate::client::{SearchPage, StoredMessage};
use crate::names::RoomName;

/// How many mentions are listed.
const MENTIONS_MAX: usize = 500;

/// How many pages of the search are read for a word.
const PAGES_MAX: usize = 20;

/// How much of a text the list keeps, in bytes.
const TEXT_BYTES_MAX: usize = 2_000;

/// The mentions of the open list, and how much of the search is left.
#[derive(Debug)]
pub struct Mentions {
    /// The number of the list.
    pub id: u64,
    /// By their time, room and number.
    found: BTreeMap<(u64, RoomName, u64), Entry>,
    /// The queries that are not answered yet.
    queries: VecDeque<String>,
    page_token: String,
    /// How many pages of the first query were read.
    pages: usize,
    is_cut: bool,
    /// How many of the newest events are not in the server's index, at most.
    behind_count: u64,
    fault: Option<String>,
}

impl Mentions {
    pub fn new(id: u64, queries: VecDeque<String>) -> Self {
        Self {
            id,
            found: BTreeMap::new(),
            queries,
            page_token: String::new(),
            pages: 0,
            is_cut: false,
            behind_count: 0,
            fault: None,
        }
    }

    pub fn add(&mut self, room: &RoomName, message: &StoredMessage) {
        let place = (message.time_ms, room.clone(), message.seq);
        self.found.entry(place).or_insert_with(|| {
            let mut entry = entry(room, message);
            let text = &mut entry.item.text;
            let end = (0..=TEXT_BYTES_MAX.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
            text.truncate(end.unwrap_or_default());
            entry
        });
        if self.found.len() > MENTIONS_MAX {
            self.found.pop_first();
            self.is_cut = true;
        }
    }

    /// The entries, the newest last.
    pub fn entries(&self) -> Vec<Entry> {
        self.found.values().cloned().collect()
    }

    /// The query and the token of the next page to read. `None`: the search is over.
    pub fn next(&self) -> Option<(&str, &str)> {
        let query = self.queries.front().filter(|_| self.fault.is_none())?;
        Some((query, &self.page_token))
    }

    /// A page was read, and its mentions are added.
    pub fn read(&mut self, page: &SearchPage) {
        self.pages += 1;
        self.behind_count = self.behind_count.max(page.behind_count);
        let is_last = page.next_page_token.is_empty() || page.next_page_token == self.page_token;
        match is_last || self.pages >= PAGES_MAX {
            true => {
                self.is_cut |= !is_last;
                self.next_query();
            }
            false => self.page_token.clone_from(&page.next_page_token),
        }
    }

    /// The search has failed.
    pub fn fail(&mut self, fault: String) {
        self.fault = Some(fault);
    }

    /// The query is answered, or too many pages were read for it.
    fn next_query(&mut self) {
        self.queries.pop_front();
        (self.page_token, self.pages) = (String::new(), 0);
    }

    pub fn is_done(&self) -> bool {
        self.queries.is_empty() || self.fault.is_some()
    }

    pub fn title(&self) -> String {
        let count = match self.found.len() {
            1 => "1 mention".to_owned(),
            count => format!("{count} mentions"),
        };
        let behind = match self.behind_count {
            0 => String::new(),
            count => format!("; not searched yet: {count} of the newest messages"),
        };
        match (&self.fault, self.is_done(), self.is_cut) {
            (Some(fault), ..) => format!("{count} here, others may be missing: {fault}"),
            (None, false, _) => format!("{count}, searching the server …"),
            (None, true, true) => format!("{count}, the newest ones{behind}"),
            (None, true, false) => format!("{count}{behind}"),
        }
    }

    /// What stands in place of an empty list.
    pub fn empty(&self) -> &'static str {
        match (self.is_done(), &self.fault) {
            (false, _) => "searching …",
            (true, None) => "nothing mentions you",
            (true, Some(_)) => "nothing here mentions you",
        }
    }
}

/// The query for a word, or for a name of several words. `None`: it has nothing that a search could find.
pub fn query(word: &str) -> Option<String> {
    let is_special = |c: char| matches!(c, '"' | '“' | '”' | '„' | '«' | '»' | '*');
    let word: String = word.chars().map(|c| if is_special(c) { ' ' } else { c }).collect();
    word.chars().any(char::is_alphanumeric).then(|| format!("\"{}\"", word.trim()))
}
