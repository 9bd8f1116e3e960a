//! What the actions of the key map do.

use std::time::{Duration, Instant};

use super::super::commands::{self, Command};
use super::super::complete::candidates;
use super::super::inlet::Outgoing;
use super::super::keys::{Action, Edit};
use super::super::layout;
use super::super::pace::Urgency;
use super::super::room::{Scroll, Step};
use super::{Model, Purpose};

/// Within this time, a second Ctrl-C on an empty line leaves.
const INTERRUPT_TIME: Duration = Duration::from_secs(3);

/// How long leaving waits for lines that are not stored.
const LEAVE_TIME: Duration = Duration::from_secs(2);

impl Model {
    pub(super) fn act(&mut self, action: Action, now: Instant) {
        match action {
            Action::Edit(edit) => self.edit(edit),
            Action::Enter => self.entered(now),
            Action::Complete => self.complete(false),
            Action::CompleteBack => self.complete(true),
            Action::EditOutside => self.requests.push_back(Outgoing::Edit(self.editor.text().to_owned())),
            Action::Cancel => self.cancel(),
            Action::Interrupt => self.interrupt(now),
            Action::Suspend => self.requests.push_back(Outgoing::Suspend),
            Action::Room(number) => self.enter_number(number.into()),
            // The key map asks for the digits.
            Action::RoomNumber => {}
            Action::NextRoom => self.enter_next(false),
            Action::PreviousRoom => self.enter_next(true),
            Action::NextActiveRoom => self.enter_active(),
            Action::LastRoom => self.enter_previous(),
            Action::GoToRoom => self.list_open_rooms(),
            Action::PageUp => self.scroll(Scroll::Pages(-1)),
            Action::PageDown => self.scroll(Scroll::Pages(1)),
            Action::LineUp => self.scroll(Scroll::Rows(-1)),
            Action::LineDown => self.scroll(Scroll::Rows(1)),
            Action::Oldest => self.scroll(Scroll::Start),
            Action::Live | Action::End => self.scroll(Scroll::End),
            Action::ToUnread => self.scroll(Scroll::Unread),
            Action::MarkRead => self.mark_read(),
            Action::MarkUnread => self.mark_unread(None),
            Action::PreviousMention => {
                if self.current().is_some_and(|open| open.room.mention(true).is_none()) {
                    self.tell("no mention above this place is loaded; /mentions lists all of them");
                }
                self.scroll(Scroll::MentionAbove);
            }
            Action::NextMention => self.scroll(Scroll::MentionBelow),
            Action::Mentions => self.list_mentions(),
            Action::Find => self.insert_at_start("/search "),
            Action::Select => self.begin_selecting(),
            Action::ToggleRooms => {
                self.shows.rooms = !self.shows.rooms;
                self.keeping.changed();
            }
            Action::TogglePeople => {
                self.shows.people = !self.shows.people;
                self.keeping.changed();
            }
            Action::BareScreen => self.shows.bare = !self.shows.bare,
            Action::Redraw => self.requests.push_back(Outgoing::Redraw),
            Action::ToggleMouse => self.set_mouse(None),
            Action::Help => self.show_help(None),
            Action::Selected(selected) => self.selected(selected),
            Action::List(list) => self.in_list(list),
        }
        // Typing changes nothing but the input.
        let is_small = matches!(action, Action::Edit(_) | Action::Complete | Action::CompleteBack);
        self.wants(if is_small { Urgency::Typed } else { Urgency::Asked });
    }

    fn edit(&mut self, edit: Edit) {
        // The rows of the input are those on the screen, which the line editor does not know.
        let row = match edit {
            Edit::Up | Edit::Down if self.editor.searching().is_none() => {
                layout::beside(self.size.columns, &self.input(), edit == Edit::Down)
            }
            _ => None,
        };
        match row {
            Some(cursor) => self.editor.move_to(cursor),
            None => drop(self.editor.edit(edit)),
        }
        self.keeping.changed();
    }

    fn complete(&mut self, back: bool) {
        let people = || {
            let names = self.current().map(|open| (open.presence.names(), &open.speakers));
            names.map_or_else(Vec::new, |(present, speakers)| {
                speakers.names(present.iter().map(String::as_str), &self.me.name)
            })
        };
        let rooms = || self.rooms.iter().map(|open| open.name().as_str().to_owned()).collect();
        // The candidates are made before the editor is changed.
        let (people, rooms): (Vec<String>, Vec<String>) = (people(), rooms());
        if !self.editor.complete(back, |wanted| candidates(wanted, || people, || rooms)) {
            return;
        }
        self.keeping.changed();
        if let Some((matches, shown)) = self.editor.completing().filter(|(matches, _)| matches.len() > 1) {
            let mark =
                |(at, name): (usize, &String)| if Some(at) == shown { format!("[{name}]") } else { name.clone() };
            let text = matches.iter().enumerate().map(mark).collect::<Vec<_>>().join("  ");
            self.tell(&text);
        }
    }

    /// Enter: sends the line, or executes its command. A line that can't be sent stays.
    fn entered(&mut self, now: Instant) {
        let Some(text) = self.editor.enter().map(str::to_owned) else { return };
        let command = match commands::read(&text) {
            Ok(command) => command,
            Err(fault) => return self.fail(&fault),
        };
        let purpose = self.purpose.clone();
        let line = self.editor.take();
        if command != Command::Quit {
            self.record_line(&line);
        }
        let outcome = match (command, purpose.clone()) {
            (Command::Say { body, kind }, Some((_, Purpose::Reply { seq }))) => {
                self.purpose = None;
                self.send(body, kind, Some(seq))
            }
            (Command::Say { body, .. }, Some((_, Purpose::Edit { seq, seen }))) => {
                self.purpose = None;
                self.edit_message(seq, body, Some(seen))
            }
            (Command::Say { body, kind }, None) => self.send(body, kind, None),
            (command, _) => self.command(command, now),
        };
        if let Err(fault) = outcome {
            // It came out of the input, so it fits.
            let _ = self.editor.replace(&line);
            self.purpose = purpose.filter(|(room, _)| self.current_name().as_ref() == Some(room));
            self.fail(&fault);
        }
        self.keeping.changed();
        self.wants(Urgency::Asked);
    }

    /// Escape: closes what is open, one thing at a time.
    fn cancel(&mut self) {
        if self.editor.cancel() {
            return;
        }
        if self.purpose.take().is_some() {
            self.editor.clear();
        } else if self.shows.bare {
            self.shows.bare = false;
        }
    }

    /// Ctrl-C.
    fn interrupt(&mut self, now: Instant) {
        if self.leaving.is_some() {
            return self.end(0);
        }
        self.purpose = None;
        if self.editor.clear() {
            self.keeping.changed();
            return;
        }
        let again = self.interrupted_at.is_some_and(|at| now.saturating_duration_since(at) < INTERRUPT_TIME);
        if again {
            return self.quit(now);
        }
        self.interrupted_at = Some(now);
        self.tell("Ctrl-C again or /quit leaves");
    }

    /// Leaves, once everything is stored, or after a while: what is not stored is kept on the disk.
    pub(super) fn quit(&mut self, now: Instant) {
        if self.is_settled() || !self.has_session {
            return self.end(0);
        }
        self.leaving = Some(now + LEAVE_TIME);
        self.tell("waiting until your messages are stored; Ctrl-C leaves now");
    }

    /// Whether the server has everything that was entered.
    pub(super) fn is_settled(&self) -> bool {
        self.sent.is_empty() && !self.calls.has_changes()
    }

    pub(super) fn mark_read(&mut self) {
        self.with_room(|room| {
            room.read();
            room.scroll(Scroll::End);
        });
        self.keeping.changed();
    }

    /// Marks the room as unread from that message on, or from the newest one of somebody else.
    pub(super) fn mark_unread(&mut self, seq: Option<u64>) {
        let Some(open) = self.current_mut() else { return self.fail(super::rooms::NO_ROOM) };
        let from = seq.or_else(|| open.room.last_of(false).map(|message| message.seq));
        match from {
            Some(seq) => {
                open.room.mark_unread(seq);
                self.tell(&format!("unread from #{seq} on"));
                self.keeping.changed();
            }
            None => self.fail("there is no message of anybody else here"),
        }
    }

    /// Begins a command with what is typed as its text.
    pub(super) fn insert_at_start(&mut self, command: &str) {
        let text = format!("{command}{}", self.editor.text());
        if let Err(fault) = self.editor.replace(&text) {
            self.fail(&fault.to_string());
        }
    }

    pub(super) fn begin_selecting(&mut self) {
        let mut found = false;
        if self.with_room(|room| found = room.select(Step::Older)) {
            match found {
                true => self.is_selecting = true,
                false => self.tell("there is no message here"),
            }
        }
    }

    pub(super) fn set_mouse(&mut self, mouse: Option<bool>) {
        self.shows.mouse = mouse.unwrap_or(!self.shows.mouse);
        self.requests.push_back(Outgoing::Mouse(self.shows.mouse));
        self.tell(match self.shows.mouse {
            true => "the client has the mouse: press Shift to select text; Alt-m gives it back",
            false => "the terminal has the mouse",
        });
    }
}
