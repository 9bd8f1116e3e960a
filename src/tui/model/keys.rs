//! Keys, pastes and the mouse: from events to actions.

use std::time::Instant;

use crossterm::event::{KeyEvent, KeyEventKind, MouseButton, MouseEvent, MouseEventKind};

use super::super::inlet::Outgoing;
use super::super::keys::{Context, Edit, Pressed};
use super::super::layout::Layout;
use super::super::pace::Urgency;
use super::super::paste::{self, Paste, Plan, Stray};
use super::super::room::Scroll;
use super::Model;
use super::listing::Open;

/// How many rows a step of the wheel scrolls.
const WHEEL_ROWS: isize = 3;

impl Model {
    pub(super) fn key(&mut self, event: &KeyEvent, now: Instant) {
        if event.kind == KeyEventKind::Release {
            return;
        }
        self.wants(Urgency::Typed);
        if let Some(stray) = self.paste.belongs(event, now) {
            return self.stray(stray);
        }
        if self.answer.take().is_some() {
            self.wants(Urgency::Asked);
        }
        if let Some(Open::Paste(question)) = &self.open {
            if let Some(choice) = question.choice(event) {
                self.paste_choice(choice);
            }
            return;
        }
        let context = self.context();
        let is_empty = self.editor.is_empty() && self.purpose.is_none();
        match self.keys.press(event, context, is_empty) {
            Pressed::Act(action) => self.act(action, now),
            Pressed::Type(c) => match &mut self.open {
                Some(_) => self.filter(|filter| filter.push(c)),
                None => self.typed(c),
            },
            Pressed::Unbound(key) if context == Context::Input => {
                self.tell(&format!("{key} does nothing; F1 shows the keys"))
            }
            Pressed::Begun | Pressed::Unbound(_) | Pressed::Nothing => {}
        }
    }

    pub(super) fn context(&self) -> Context {
        match &self.open {
            Some(_) => Context::List,
            None if self.is_selecting => Context::Select,
            None => Context::Input,
        }
    }

    fn typed(&mut self, c: char) {
        if let Err(fault) = self.editor.type_char(c) {
            self.fail(&fault.to_string());
        }
        self.keeping.changed();
    }

    /// A key that came right after a paste, faster than a person presses it, belongs to it.
    fn stray(&mut self, stray: Stray) {
        if self.open.is_some() {
            return;
        }
        match stray {
            Stray::LineBreak => drop(self.editor.edit(Edit::NewLine)),
            Stray::Text(c) => self.typed(c),
            Stray::Nothing => {}
        }
    }

    pub(super) fn pasted(&mut self, raw: &str, now: Instant) {
        self.paste.pasted(now);
        let paste = Paste::new(raw);
        if paste.is_cut {
            self.fail("the paste has more than 1 MiB: its end is missing");
        }
        match &self.open {
            Some(Open::Paste(_)) => return,
            Some(_) => return self.filter(|filter| filter.push_str(&paste.in_one_line())),
            None => {}
        }
        self.is_selecting = false;
        self.wants(Urgency::Asked);
        match paste.plan(self.editor.text().len()) {
            Plan::Nothing => {}
            Plan::Insert(text) => self.insert(&text),
            Plan::Ask(question) => self.open = Some(Open::Paste(question)),
        }
    }

    /// Inserts a text into the input.
    pub(super) fn insert(&mut self, text: &str) {
        if let Err(fault) = self.editor.insert(text) {
            self.fail(&fault.to_string());
        }
        self.keeping.changed();
        self.wants(Urgency::Asked);
    }

    fn paste_choice(&mut self, choice: paste::Choice) {
        let Some(Open::Paste(question)) = self.open.take() else { return };
        self.wants(Urgency::Asked);
        match question.answer(choice) {
            paste::Answer::Insert(text) => self.insert(&text),
            paste::Answer::Edit(text) => {
                self.requests.push_back(Outgoing::Edit(format!("{}{text}", self.editor.text())))
            }
            paste::Answer::Send(bodies) => {
                for (body, kind) in bodies {
                    if let Err(fault) = self.send(body, kind, None) {
                        return self.fail(&format!("not sent: {fault}"));
                    }
                }
            }
            paste::Answer::Nothing => {}
        }
    }

    /// The text came back from the editor, or did not.
    pub(super) fn edited_outside(&mut self, text: Result<String, String>) {
        match text.and_then(|text| self.editor.replace(&text).map_err(|fault| fault.to_string())) {
            Ok(()) => self.keeping.changed(),
            Err(fault) => self.fail(&fault),
        }
        self.wants(Urgency::Asked);
    }

    pub(super) fn mouse(&mut self, event: MouseEvent) {
        let scrolled = match event.kind {
            MouseEventKind::ScrollUp => Some(-WHEEL_ROWS),
            MouseEventKind::ScrollDown => Some(WHEEL_ROWS),
            _ => None,
        };
        match (scrolled, &mut self.open) {
            (Some(rows), Some(_)) => self.move_chosen(rows.signum()),
            (Some(rows), None) => self.scroll(Scroll::Rows(rows)),
            (None, None) if event.kind == MouseEventKind::Down(MouseButton::Left) => self.clicked(event),
            _ => {}
        }
    }

    /// A click on a room shows it.
    fn clicked(&mut self, event: MouseEvent) {
        let view = self.view();
        let rooms = Layout::new(self.size.columns, self.size.rows, &view).rooms;
        let is_inside = rooms.contains((event.column, event.row).into());
        // A longer list is not drawn from its beginning.
        if is_inside && self.rooms.len() <= usize::from(rooms.height) {
            let at = usize::from(event.row - rooms.y);
            if at < self.rooms.len() {
                self.enter(Some(at));
            }
        }
    }
}
