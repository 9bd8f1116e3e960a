//! The list of everything that mentions the user: at once what is in memory, and then what the server's search finds.
//!
//! The search knows words, and no mentions. So it is asked for the user's name and for the other words that count as a
//! mention, page by page, and what it finds is filtered. The title says what may be missing.

use super::super::inlet::Call;
use super::super::marks;
use super::super::pace::Urgency;
use super::super::room::is_mention;
use super::Model;
use super::listing::Open;
use super::mention_list::{Mentions, query};
use super::parts::Asked;
use crate::client::{SearchPage, SearchQuery, StoredMessage};
use crate::names::RoomName;

/// How many messages a page of the search has.
const PAGE_MESSAGES: u32 = 100;

/// What `@all` and `@everybody` are found by.
const EVERYBODY_WORDS: [&str; 2] = ["all", "everybody"];

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
        self.show_list(String::new(), mentions.entries(), "", true);
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
        if let Some((text, token)) = mentions.next() {
            let query = SearchQuery { text: text.to_owned(), ..SearchQuery::default() };
            let call = Call::Search { query, max: PAGE_MESSAGES, page_token: token.to_owned() };
            let asked = Asked::Mentions { id: mentions.id };
            if !self.call(call, asked)
                && let Some(mentions) = &mut self.mentions
            {
                mentions.fail("there is no connection now".to_owned());
            }
        }
        let (Some(mentions), Some(Open::List(list))) = (&self.mentions, &mut self.open) else { return };
        // The chosen entry stays chosen.
        let chosen = list.fitting().get(list.chosen).map(|entry| entry.target.clone());
        list.entries = mentions.entries();
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
                mentions.read(&page);
            }
            Err(fault) => mentions.fail(fault),
        }
        self.mentions = Some(mentions);
        self.search_mentions();
    }
}
