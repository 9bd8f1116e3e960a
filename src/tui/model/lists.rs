//! What is in front of the messages: lists to choose from, help, and the question about a paste.

use super::super::commands::{COMMANDS, usage};
use super::super::inlet::Call;
use super::super::keys::{Context, List, NAMED};
use super::super::pace::Urgency;
use super::super::view::{Help, ListItem};
use super::Model;
use super::earlier::NOTHING_UNSENT;
use super::listing::{Entry, Listing, Open, Target, entry};
use super::parts::Asked;
use super::rooms::NO_ROOM;
use crate::client::PagePlace;
use crate::terminal::clock::moment_in_short;

/// How many entries a page of a list has, and how many messages `/numbers` lists.
const PAGE: isize = 10;
const NUMBERS_MAX: usize = 100;

impl Model {
    pub(super) fn show_list(&mut self, title: String, entries: Vec<Entry>, empty: &str, at_end: bool) {
        let chosen = if at_end { entries.len().saturating_sub(1) } else { 0 };
        let list = Listing { title, entries, chosen, empty: empty.to_owned(), ..Listing::default() };
        self.open = Some(Open::List(list));
        self.wants(Urgency::Asked);
    }

    /// What keys do in an open list.
    pub(super) fn in_list(&mut self, action: List) {
        match action {
            List::Up => self.move_chosen(-1),
            List::Down => self.move_chosen(1),
            List::PageUp => self.move_chosen(-PAGE),
            List::PageDown => self.move_chosen(PAGE),
            List::First => self.move_chosen(isize::MIN),
            List::Last => self.move_chosen(isize::MAX),
            List::Choose => self.choose(),
            List::Backspace => self.filter(|filter| _ = filter.pop()),
            List::Clear => self.filter(String::clear),
            List::Leave => self.open = None,
        }
    }

    pub(super) fn move_chosen(&mut self, by: isize) {
        match &mut self.open {
            Some(Open::List(list)) => {
                let last = list.fitting().len().saturating_sub(1);
                list.chosen = list.chosen.saturating_add_signed(by).min(last);
            }
            Some(Open::Help(help)) => {
                let last = help.lines.len().saturating_sub(1);
                help.scroll = help.scroll.saturating_add_signed(by).min(last);
            }
            Some(Open::Paste(_)) | None => {}
        }
        self.wants(Urgency::Asked);
    }

    /// Changes the filter of the open list. Help has none: typing closes it.
    pub(super) fn filter(&mut self, change: impl FnOnce(&mut String)) {
        match &mut self.open {
            Some(Open::List(list)) => {
                change(&mut list.filter);
                list.chosen = 0;
            }
            Some(Open::Help(_)) => self.open = None,
            Some(Open::Paste(_)) | None => {}
        }
        self.wants(Urgency::Asked);
    }

    fn choose(&mut self) {
        let Some(Open::List(list)) = self.open.take() else { return };
        let target = list.fitting().get(list.chosen).map(|entry| entry.target.clone());
        match target {
            Some(Target::Message { room, seq }) => self.go_to(&room, seq),
            Some(Target::Room(room)) => self.join(&room),
            Some(Target::Nowhere) | None => {}
        }
    }

    /// The rooms that are open, to go to one by a part of its name.
    pub(super) fn list_open_rooms(&mut self) {
        let entry = |open: &super::OpenRoom| Entry {
            item: ListItem {
                place: open.name().as_str().to_owned(),
                name: String::new(),
                text: open.room.topic().to_owned(),
            },
            target: Target::Room(open.name().clone()),
        };
        let entries = self.rooms.iter().map(entry).collect();
        self.show_list("go to a room".to_owned(), entries, NO_ROOM, false);
    }

    /// The newest messages with their numbers.
    pub(super) fn list_numbers(&mut self) {
        let Some(open) = self.current() else { return self.fail(NO_ROOM) };
        let mut entries: Vec<_> =
            open.room.newest().take(NUMBERS_MAX).map(|message| entry(open.name(), message)).collect();
        entries.reverse();
        self.show_list("messages with their numbers".to_owned(), entries, "no messages are here", true);
    }

    /// The pinned messages: those that are not in memory are read first.
    pub(super) fn list_pins(&mut self) -> Result<(), String> {
        let open = self.current().ok_or(NO_ROOM)?;
        let (room, seqs) = (open.name().clone(), open.room.pinned_seqs().to_vec());
        let missing = seqs.iter().copied().find(|seq| open.room.get(*seq).is_none());
        if let Some(seq) = missing {
            // The list is shown with what is known, and completed by the answer.
            let call = Call::History { room: room.clone(), place: PagePlace::After(seq - 1), max: 1 };
            self.call(call, Asked::Pins { room: room.clone(), seq });
        }
        let Some(open) = self.find(&room) else { return Ok(()) };
        let known = |seq: &u64| match open.room.get(*seq) {
            Some(message) => entry(&room, message),
            None => Entry {
                item: ListItem { place: format!("#{seq}"), name: String::new(), text: "…".to_owned() },
                target: Target::Message { room: room.clone(), seq: *seq },
            },
        };
        let entries: Vec<_> = seqs.iter().map(known).collect();
        self.show_list(format!("pinned in {room}"), entries, "nothing is pinned here", false);
        Ok(())
    }

    /// What an earlier client has left.
    pub(super) fn list_unsent(&mut self) -> Result<(), String> {
        if self.offered.is_empty() {
            return Err(NOTHING_UNSENT.to_owned());
        }
        let entry = |kept: &super::KeptLine| Entry {
            item: ListItem {
                place: format!("{} {}", kept.room, moment_in_short(kept.since_ms)),
                name: String::new(),
                text: kept.line.body.as_str().to_owned(),
            },
            target: Target::Nowhere,
        };
        let entries = self.offered.iter().map(entry).collect();
        let title = "perhaps not stored: /unsent send sends it, /unsent drop deletes it".to_owned();
        self.show_list(title, entries, NOTHING_UNSENT, false);
        Ok(())
    }

    /// Help: all commands and keys, or one command.
    pub(super) fn show_help(&mut self, about: Option<&'static str>) {
        if let Some(usage) = about.and_then(usage) {
            let aliases: Vec<_> = usage.aliases.iter().map(|alias| format!("/{alias}")).collect();
            let also = if aliases.is_empty() { String::new() } else { format!(" ({})", aliases.join(", ")) };
            return self.tell(&format!("/{} {}{also}: {}", usage.name, usage.arguments, usage.text));
        }
        let heading = |text: &str| (text.to_owned(), String::new());
        let mut lines = vec![heading("Commands")];
        for usage in COMMANDS.iter() {
            lines.push((format!("/{} {}", usage.name, usage.arguments), usage.text.to_owned()));
        }
        for (context, title) in [
            (Context::Input, "Keys"),
            (Context::Select, "Keys while a message is selected"),
            (Context::List, "Keys in a list"),
        ] {
            lines.push(heading(title));
            for (of, name, action) in &NAMED {
                let keys = self.keys.map().keys_of(context, *action);
                if *of == context && !keys.is_empty() {
                    lines.push((keys.join(", "), name.replace('-', " ")));
                }
            }
        }
        self.open = Some(Open::Help(Help { title: "help".to_owned(), lines, scroll: 0 }));
    }
}
