//! The list of everything that mentions the user: at once what is in memory, and then what the server's search finds.
//!
//! The search knows words, and no mentions. So it is asked for the user's name and for the other words that count as a
//! mention, page by page, and what it finds is filtered. The title says what may be missing.

use std::collections::{BTreeMap, VecDeque};

use super::super::inlet::Call;
use super::super::marks;
use super::super::pace::Urgency;
use super::super::room::is_mention;
use super::Model;
use super::listing::{Entry, Open, entry};
use super::parts::Asked;
use crate::client::{SearchPage, SearchQuery, StoredMessage};
use crate::names::RoomName;

/// How many mentions are listed.
const MENTIONS_MAX: usize = 500;

/// How many messages a page of the search has, and how many pages are read for a word.
const PAGE_MESSAGES: u32 = 100;
const PAGES_MAX: usize = 20;

/// How much of a text the list keeps, in bytes.
const TEXT_BYTES_MAX: usize = 2_000;

/// What `@all` and `@everybody` are found by.
const EVERYBODY_WORDS: [&str; 2] = ["all", "everybody"];

/// The mentions of the open list, and how much of the search is left.
#[derive(Debug)]
pub struct Mentions {
    id: u64,
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
    fn new(id: u64, queries: VecDeque<String>) -> Self {
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

    fn add(&mut self, room: &RoomName, message: &StoredMessage) {
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

    /// The query is answered, or too many pages were read for it.
    fn next_query(&mut self) {
        self.queries.pop_front();
        (self.page_token, self.pages) = (String::new(), 0);
    }

    fn is_done(&self) -> bool {
        self.queries.is_empty() || self.fault.is_some()
    }

    fn title(&self) -> String {
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
    fn empty(&self) -> &'static str {
        match (self.is_done(), &self.fault) {
            (false, _) => "searching …",
            (true, None) => "nothing mentions you",
            (true, Some(_)) => "nothing here mentions you",
        }
    }
}

impl Model {
    /// Lists what mentions the user, the newest last.
    pub(super) fn list_mentions(&mut self) {
        let id = self.mentions.as_ref().map_or(1, |before| before.id + 1);
        let words = [self.me.name.as_str()].into_iter().chain(EVERYBODY_WORDS);
        let words = words.chain(self.config.notifications.words.iter().map(String::as_str));
        let mut mentions = Mentions::new(id, words.filter_map(query).collect());
        for open in &self.rooms {
            let named = open.room.newest().filter(|message| self.is_listed(message));
            named.for_each(|message| mentions.add(open.name(), message));
        }
        let entries = mentions.found.values().cloned().collect();
        self.show_list(String::new(), entries, "", true);
        if let Some(Open::List(list)) = &mut self.open {
            list.mentions = Some(id);
        }
        self.mentions = Some(mentions);
        self.search_mentions();
    }

    /// Whether the message mentions the user, or has a word that counts as a mention.
    fn is_listed(&self, message: &StoredMessage) -> bool {
        let is_own = message.sender == self.me.name && message.authenticated == self.me.authenticated;
        let has_word = || {
            let words = &self.config.notifications.words;
            words.iter().any(|word| !marks::names(&message.body, word).is_empty())
        };
        is_mention(&self.me, message, is_own) || !is_own && !message.extras.is_deleted() && has_word()
    }

    /// Asks for the next page of the search, and shows what is known.
    fn search_mentions(&mut self) {
        let Some(mentions) = &self.mentions else { return };
        if let Some(text) = mentions.queries.front().filter(|_| mentions.fault.is_none()) {
            let query = SearchQuery { text: text.clone(), ..SearchQuery::default() };
            let call = Call::Search { query, max: PAGE_MESSAGES, page_token: mentions.page_token.clone() };
            let asked = Asked::Mentions { id: mentions.id };
            if !self.call(call, asked)
                && let Some(mentions) = &mut self.mentions
            {
                mentions.fault = Some("there is no connection now".to_owned());
            }
        }
        let (Some(mentions), Some(Open::List(list))) = (&self.mentions, &mut self.open) else { return };
        // The chosen entry stays chosen.
        let chosen = list.fitting().get(list.chosen).map(|entry| entry.target.clone());
        list.entries = mentions.found.values().cloned().collect();
        (list.title, list.empty) = (mentions.title(), mentions.empty().to_owned());
        let fitting = list.fitting();
        let last = fitting.len().saturating_sub(1);
        list.chosen =
            chosen.map_or(last, |chosen| fitting.iter().position(|entry| entry.target == chosen).unwrap_or(last));
        self.wants(Urgency::Asked);
    }

    /// A page of the search arrived.
    pub(super) fn mentions_found(&mut self, id: u64, page: Result<SearchPage, String>) {
        let is_shown = matches!(&self.open, Some(Open::List(list)) if list.mentions == Some(id));
        let Some(mut mentions) = self.mentions.take_if(|mentions| is_shown && mentions.id == id) else {
            // The list was closed, or opened again.
            return;
        };
        match page {
            Ok(page) => {
                for found in &page.found {
                    if let Ok(room) = RoomName::new(&found.room)
                        && self.is_listed(&found.message)
                    {
                        mentions.add(&room, &found.message);
                    }
                }
                mentions.pages += 1;
                mentions.behind_count = mentions.behind_count.max(page.behind_count);
                let is_last = page.next_page_token.is_empty() || page.next_page_token == mentions.page_token;
                match is_last || mentions.pages >= PAGES_MAX {
                    true => {
                        mentions.is_cut |= !is_last;
                        mentions.next_query();
                    }
                    false => mentions.page_token = page.next_page_token,
                }
            }
            Err(fault) => mentions.fault = Some(fault),
        }
        self.mentions = Some(mentions);
        self.search_mentions();
    }
}

/// The query for a word, or for a name of several words. `None`: it has nothing that a search could find.
fn query(word: &str) -> Option<String> {
    let is_special = |c: char| matches!(c, '"' | '“' | '”' | '„' | '«' | '»' | '*');
    let word: String = word.chars().map(|c| if is_special(c) { ' ' } else { c }).collect();
    word.chars().any(char::is_alphanumeric).then(|| format!("\"{}\"", word.trim()))
}
