//! What may be in front of the messages.

use super::super::complete::fitting;
use super::super::paste;
use super::super::view::{Help, ListItem};
use crate::client::StoredMessage;
use crate::names::RoomName;
use crate::terminal::clock::moment_in_short;

pub enum Open {
    List(Listing),
    Help(Help),
    Paste(paste::Question),
}

/// A list to choose from.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    pub title: String,
    pub entries: Vec<Entry>,
    /// Only entries with this part are shown.
    pub filter: String,
    pub chosen: usize,
    /// Shown if there are no entries.
    pub empty: String,
    /// The list of mentions with that number, which is completed while it is shown.
    pub mentions: Option<u64>,
}

#[derive(Clone, Debug)]
pub struct Entry {
    pub item: ListItem,
    pub target: Target,
}

/// Where an entry leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    Message { room: RoomName, seq: u64 },
    Room(RoomName),
    Nowhere,
}

impl Listing {
    /// The entries that fit the filter.
    pub fn fitting(&self) -> Vec<&Entry> {
        if self.filter.is_empty() {
            return self.entries.iter().collect();
        }
        if self.entries.iter().all(|entry| matches!(entry.target, Target::Room(_))) {
            let names = self.entries.iter().map(|entry| entry.item.place.as_str());
            let best = fitting(&self.filter, names);
            return best
                .iter()
                .filter_map(|name| self.entries.iter().find(|entry| entry.item.place == *name))
                .collect();
        }
        let filter = self.filter.to_lowercase();
        let fits = |text: &str| text.to_lowercase().contains(&filter);
        let fits = |entry: &&Entry| fits(&entry.item.place) || fits(&entry.item.name) || fits(&entry.item.text);
        self.entries.iter().filter(fits).collect()
    }
}

/// A message of a list.
pub fn entry(room: &RoomName, message: &StoredMessage) -> Entry {
    let text = match message.extras.is_deleted() {
        true => "(deleted)".to_owned(),
        false => message.body.clone(),
    };
    let place = format!("{room} #{}  {}", message.seq, moment_in_short(message.time_ms));
    Entry {
        item: ListItem { place, name: message.sender.clone(), text },
        target: Target::Message { room: room.clone(), seq: message.seq },
    }
}
