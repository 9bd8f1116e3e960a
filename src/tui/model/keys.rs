//! Keys and the mouse: from events to actions.

use std::time::Instant;

use crossterm::event::{KeyEvent, KeyEventKind, MouseButton, MouseEvent, MouseEventKind};

use super::super::keys::{Context, Pressed};
use super::super::layout::Layout;
use super::super::pace::Urgency;
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
        if let Some(Open::Paste(_)) = &self.open {
            return self.at_question(event, now);
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

    pub(super) fn typed(&mut self, c: char) {
        if let Err(fault) = self.editor.type_char(c) {
            self.fail(&fault.to_string());
        }
        self.keeping.changed();
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
