//! The view of the model.

use std::time::Duration;

use super::super::config;
use super::super::inlet::Call;
use super::super::layout::Layout;
use super::super::message::RowStyle;
use super::super::view::{
    Activity, Connection, Input, List, Overlay, PersonLine, Question, RoomLine, StatusLine, TopicLine, View,
};
use super::super::width::Emoji;
use super::listing::Open;
use super::open_room::Membership;
use super::parts::Asked;
use super::{Link, Model, Purpose};
use crate::terminal::local_time::LocalTime;

/// From this round-trip time on it is shown.
const LAG_MIN: Duration = Duration::from_millis(500);

/// A line that has waited this long for its acknowledgement is a sign of a slow connection.
const WAIT_MIN: Duration = Duration::from_secs(1);

impl Model {
    /// The view. Showing the end of a room with the terminal focused reads it, and older history is asked for.
    pub fn view(&mut self) -> View {
        let mut view = View {
            shows_rooms: self.shows.rooms,
            shows_people: self.shows.people,
            emoji: match self.config.screen.emoji {
                config::Emoji::Simple => Emoji::Simple,
                config::Emoji::Full => Emoji::Full,
            },
            bare: self.shows.bare,
            rooms: self.room_lines(),
            people: if self.shows.people { self.people_lines() } else { Vec::new() },
            more_people: 0,
            topic: self.topic_line(),
            messages: Vec::new(),
            welcome: self.welcome(),
            status: self.status_line(),
            answer: self.answer.clone(),
            input: self.input(),
            overlay: self.overlay(),
        };
        // Of a large room, the server reports only how many are there.
        let there = self.current().and_then(super::OpenRoom::people).unwrap_or_default();
        view.more_people = there.saturating_sub(view.people.len() as u64);
        let layout = Layout::new(self.size.columns, self.size.rows, &view);
        let style = RowStyle {
            shows_numbers: self.shows.numbers,
            marks_claims: self.me.marks_claims,
            emoji: view.emoji,
            bare: self.shows.bare,
            ..RowStyle::new(layout.messages.width, &self.me.name)
        };
        let is_looking = self.has_focus && !self.is_stalled;
        let Some(open) = self.current_mut() else { return view };
        let shown = open.room.shown(&style, layout.messages.height.into());
        (view.messages, view.status.below) = (shown.rows, shown.below);
        let moved = shown.at_end && is_looking && open.is_live && open.room.seen();
        let (room, wanted) = (open.name().clone(), open.room.wanted());
        if moved {
            // The room has nothing unread any more.
            view.rooms = self.room_lines();
            self.keeping.changed();
        }
        if let Some(wanted) = wanted {
            let (place, max) = wanted.place();
            let call = Call::History { room: room.clone(), place, max };
            if !self.call(call, Asked::Page { room: room.clone(), wanted })
                && let Some(open) = self.find(&room)
            {
                open.room.page_failed(wanted);
            }
        }
        view
    }

    fn room_lines(&self) -> Vec<RoomLine> {
        let line = |(at, open): (usize, &super::OpenRoom)| RoomLine {
            number: at + 1,
            name: open.name().as_str().to_owned(),
            unread: open.room.unread(),
            at_least: open.room.has_more_unread(),
            mentions: open.room.mentions(),
            is_current: Some(at) == self.current,
            is_outside: matches!(open.membership, Membership::Refused(_)) || !open.has_been_joined,
        };
        self.rooms.iter().enumerate().map(line).collect()
    }

    fn people_lines(&self) -> Vec<PersonLine> {
        let Some(open) = self.current().filter(|open| open.is_live) else { return Vec::new() };
        let mut names: Vec<_> = open.presence.present().map(str::to_owned).collect();
        names.sort_by_key(|name| name.to_lowercase());
        let own = PersonLine { name: self.me.name.clone(), is_own: true };
        [own].into_iter().chain(names.into_iter().map(|name| PersonLine { name, is_own: false })).collect()
    }

    fn topic_line(&self) -> TopicLine {
        let Some(open) = self.current() else { return TopicLine::default() };
        TopicLine {
            room: open.name().as_str().to_owned(),
            topic: open.room.topic().to_owned(),
            members: open.people(),
            pins: open.room.pinned_seqs().len(),
        }
    }

    /// Shown while there are no messages.
    fn welcome(&self) -> Vec<String> {
        let Some(open) = self.current() else {
            return vec!["You are in no room.".to_owned(), "/join ROOM joins one, /list lists them.".to_owned()];
        };
        if open.room.is_cleared() {
            return Vec::new();
        }
        let state = match &self.link {
            Link::Connecting => format!("connecting to {}", self.server),
            // The status row may have no space for the reason.
            Link::Offline { reason, .. } | Link::Ended { reason } => {
                format!("no connection to {}: {reason}", self.server)
            }
            _ if !open.is_live => format!("reading {}", open.name()),
            _ => format!("{} has no messages yet", open.name()),
        };
        vec![state, String::new(), "F1 or /help shows the keys and the commands, /quit leaves.".to_owned()]
    }

    pub(super) fn minute(&self) -> String {
        LocalTime::new(self.clock.now()).map_or_else(String::new, |time| time.minute())
    }

    fn status_line(&self) -> StatusLine {
        let others = self.rooms.iter().enumerate().filter(|(at, open)| {
            Some(*at) != self.current && open.room.unread() > 0 && !(open.is_muted && open.room.mentions() == 0)
        });
        let activity =
            |(at, open): (usize, &super::OpenRoom)| Activity { number: at + 1, mention: open.room.mentions() > 0 };
        let waited = self.oldest_wait().filter(|wait| *wait >= WAIT_MIN && self.link == Link::Online);
        let lag = waited.max(self.round_trip.filter(|time| *time >= LAG_MIN));
        StatusLine {
            time: self.minute(),
            name: self.me.name.clone(),
            room: self.current.zip(self.current_name()).map(|(at, name)| (at + 1, name.as_str().to_owned())),
            activity: others.map(activity).collect(),
            below: 0,
            connection: self.connection(),
            behind: self.current().map_or(0, |open| open.room.behind()),
            pending: self.sent.len(),
            lag_ms: lag.map(|lag| u64::try_from(lag.as_millis()).unwrap_or(u64::MAX)),
            mode: if self.is_selecting { Some("select".to_owned()) } else { self.keys.begun() },
        }
    }

    fn connection(&self) -> Connection {
        match &self.link {
            Link::Connecting => Connection::Connecting { server: self.server.clone() },
            Link::Online => Connection::Online,
            Link::Offline { reason, retry_at } => {
                Connection::Offline { reason: reason.clone(), retry_seconds: Self::seconds_until(*retry_at) }
            }
            Link::Held { reason, until } => {
                Connection::Held { reason: reason.clone(), retry_seconds: Self::seconds_until(Some(*until)) }
            }
            Link::Ended { reason } => Connection::Ended { reason: reason.clone() },
        }
    }

    pub(super) fn input(&self) -> Input {
        let hint = match self.editor.searching() {
            Some(searching) => {
                let failed = if searching.failed { ": nothing found" } else { "" };
                format!("  (search: {}{failed})", searching.pattern)
            }
            None => String::new(),
        };
        Input {
            prompt: match (&self.purpose, self.current()) {
                (Some((_, Purpose::Reply { seq })), _) => format!("[reply to #{seq}] "),
                (Some((_, Purpose::Edit { seq, .. })), _) => format!("[edit #{seq}] "),
                (None, Some(open)) => format!("[{}] ", open.name()),
                (None, None) => "> ".to_owned(),
            },
            text: self.editor.text().to_owned(),
            cursor: self.editor.cursor(),
            counter: self.editor.counter().map(|counter| (counter.bytes, counter.bytes_max)),
            hint,
        }
    }

    fn overlay(&self) -> Option<Overlay> {
        Some(match self.open.as_ref()? {
            Open::List(list) => {
                let title = match list.filter.as_str() {
                    "" => list.title.clone(),
                    filter => format!("{}: {filter}", list.title),
                };
                Overlay::List(List {
                    title,
                    items: list.fitting().into_iter().map(|entry| entry.item.clone()).collect(),
                    chosen: list.chosen,
                    empty: list.empty.clone(),
                    hint: "Enter goes there, Esc closes, typing filters".to_owned(),
                })
            }
            Open::Help(help) => Overlay::Help(help.clone()),
            Open::Paste(question) => Overlay::Question(Question {
                title: question.prompt(),
                text: question.text().lines().take(20).map(str::to_owned).collect(),
                choices: question.choices().map(|(key, _, text)| (key.to_string(), text)).collect(),
            }),
        })
    }
}
