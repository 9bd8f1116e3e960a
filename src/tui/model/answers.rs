//! What the answers to calls lead to.

use std::collections::{BTreeMap, HashMap};

use super::super::entry::Tone;
use super::super::inlet::Answer;
use super::super::pace::Urgency;
use super::super::room::Wanted;
use super::super::view::ListItem;
use super::Model;
use super::listing::{Entry, Open, Target, entry};
use super::parts::Asked;
use crate::client::{HistoryPage, Member, RoomInfo, SearchPage};
use crate::names::RoomName;
use crate::terminal::format::shown_name;
use crate::terminal::nearest::nearest;

impl Model {
    pub(super) fn answered(&mut self, number: u64, answer: Answer) {
        let Some(asked) = self.calls.take(number) else { return };
        self.wants(Urgency::Arrived);
        match (asked, answer) {
            (Asked::Heads, Answer::Rooms(rooms)) => {
                // Without an answer, the newest messages are read.
                let rooms = rooms.unwrap_or_default();
                let heads: HashMap<_, _> = rooms.iter().map(|room| (room.name.as_str(), room.head_seq)).collect();
                self.join_rest(|name| heads.get(name).copied());
            }
            (Asked::Page { room, wanted }, Answer::History(page)) => self.page(&room, wanted, page),
            (Asked::People { room, request }, Answer::Members(members)) => {
                self.people(&room, request, members.unwrap_or_default());
            }
            (Asked::Members { room }, Answer::Members(members)) => match members {
                Ok(members) => self.list_members(&room, members),
                Err(fault) => self.fail(&format!("can't list the members: {fault}")),
            },
            (Asked::Nearest { room }, Answer::Rooms(rooms)) => {
                // Without an answer, there is no suggestion.
                let names: Vec<_> = rooms.unwrap_or_default().into_iter().map(|room| room.name).collect();
                let (near, time_ms) = (nearest(room.as_str(), &names), self.clock.now());
                if let Some((near, open)) = near.zip(self.find(&room)) {
                    open.room.notice(time_ms, &format!("did you mean {near}? /join {near}"), Tone::Notice);
                }
            }
            (Asked::Rooms { part }, Answer::Rooms(rooms)) => match rooms {
                Ok(rooms) => self.list_rooms(part.as_deref(), rooms),
                Err(fault) => self.fail(&format!("can't list the rooms: {fault}")),
            },
            (Asked::Search { text }, Answer::Search(page)) => match page {
                Ok(page) => self.list_found(&text, page),
                Err(fault) => self.fail(&format!("can't search: {fault}")),
            },
            (Asked::Mentions { id }, Answer::Search(page)) => self.mentions_found(id, page),
            (Asked::Change { failed, done }, Answer::Changed(changed)) => match (changed, done) {
                (Err(fault), _) => self.fail(&format!("{failed}: {fault}")),
                (Ok(_), Some(done)) => self.tell(&done),
                // The event shows it.
                (Ok(_), None) => {}
            },
            (Asked::Edit { room, seq, text }, Answer::Changed(changed)) => {
                if let Err(fault) = changed {
                    self.not_edited(&room, seq, &text, &fault);
                }
            }
            (Asked::Pins { room, seq }, Answer::History(page)) => self.pin_read(&room, seq, page),
            (asked, answer) => debug_assert!(false, "{answer:?} answers {asked:?}"),
        }
    }

    fn page(&mut self, room: &RoomName, wanted: Wanted, page: Result<HistoryPage, String>) {
        let is_current = self.current().is_some_and(|open| open.name() == room);
        let Some(open) = self.find(room) else { return };
        let fault = match page {
            // An outdated page is read again when the user moves.
            Ok(page) => {
                let _ = open.room.page(wanted, &page);
                return self.gap_read(room, wanted);
            }
            Err(fault) => fault,
        };
        open.room.page_failed(wanted);
        if is_current {
            self.fail(&format!("can't read the history: {fault}; scrolling tries again"));
        }
    }

    fn list_members(&mut self, room: &RoomName, members: Vec<Member>) {
        let mut clients: BTreeMap<String, u64> = BTreeMap::new();
        for member in &members {
            let name = shown_name(&member.name, self.me.marks_claims && !member.authenticated);
            *clients.entry(name.into_owned()).or_default() += 1;
        }
        let entry = |(name, count): (String, u64)| Entry {
            item: ListItem {
                place: name,
                name: String::new(),
                text: if count > 1 { format!("{count} clients") } else { String::new() },
            },
            target: Target::Nowhere,
        };
        let entries: Vec<_> = clients.into_iter().map(entry).collect();
        self.show_list(format!("in {room}: {}", entries.len()), entries, "nobody is here", false);
    }

    fn list_rooms(&mut self, part: Option<&str>, rooms: Vec<RoomInfo>) {
        let fits = |room: &&RoomInfo| part.is_none_or(|part| room.name.contains(part));
        let entry = |room: &RoomInfo| {
            let RoomInfo { name, head_seq, members, topic, .. } = room;
            let counts = format!("{members} here, {head_seq} events");
            let text = if topic.is_empty() { counts } else { format!("{counts}: {topic}") };
            let target = RoomName::new(name).map_or(Target::Nowhere, Target::Room);
            Entry { item: ListItem { place: name.clone(), name: String::new(), text }, target }
        };
        let entries: Vec<_> = rooms.iter().filter(fits).map(entry).collect();
        self.show_list(format!("rooms of {}", self.server), entries, "no such room", false);
    }

    fn list_found(&mut self, text: &str, page: SearchPage) {
        let found = page.found.iter().filter_map(|found| {
            let room = RoomName::new(&found.room).ok()?;
            Some(entry(&room, &found.message))
        });
        // The newest stands last, as in the chat.
        let mut entries: Vec<_> = found.collect();
        entries.reverse();
        let more = if page.next_page_token.is_empty() { "" } else { ", and older ones" };
        let behind = match page.behind_count {
            0 => String::new(),
            count => format!("; not searched yet: {count} of the newest"),
        };
        let messages = if entries.len() == 1 { "1 message".to_owned() } else { format!("{} messages", entries.len()) };
        self.show_list(format!("{messages} with {text:?}{more}{behind}"), entries, "nothing found", true);
    }

    /// A pinned message was read for the open list.
    fn pin_read(&mut self, room: &RoomName, seq: u64, page: Result<HistoryPage, String>) {
        let Some(Open::List(list)) = &mut self.open else { return };
        let target = Target::Message { room: room.clone(), seq };
        let Some(listed) = list.entries.iter_mut().find(|entry| entry.target == target) else { return };
        let message = page.map(|page| page.messages.into_iter().find(|message| message.seq == seq));
        match message {
            Ok(Some(message)) => *listed = entry(room, &message),
            Ok(None) => listed.item.text = "it is gone".to_owned(),
            Err(fault) => listed.item.text = format!("can't be read: {fault}"),
        }
        let next = list.entries.iter().find(|entry| entry.item.text == "…").map(|entry| entry.target.clone());
        if let Some(Target::Message { seq, .. }) = next {
            let place = crate::client::PagePlace::After(seq - 1);
            let call = super::super::inlet::Call::History { room: room.clone(), place, max: 1 };
            self.call(call, Asked::Pins { room: room.clone(), seq });
        }
    }
}
