//! Lines of the client, notifications, and copying.

use super::super::config::Desktop;
use super::super::entry::Tone;
use super::super::notify::{BELL, COPY_BYTES_MAX, Protocol};
use super::Model;

impl Model {
    /// A line of the client in the current room.
    pub(super) fn notice(&mut self, text: &str) {
        self.line(text, Tone::Notice);
    }

    /// Tells a failure whose end matters, such as the place of a file: if the row of answers is too short for it, the
    /// room has it too.
    pub(super) fn fail_whole(&mut self, text: &str) {
        if text.chars().count() >= usize::from(self.size.columns) {
            self.line(text, Tone::Error);
        }
        self.fail(text);
    }

    fn line(&mut self, text: &str, tone: Tone) {
        let time_ms = self.clock.now();
        match self.current_mut() {
            Some(open) => open.room.notice(time_ms, text, tone),
            None => self.tell(text),
        }
        self.wants(super::super::pace::Urgency::Arrived);
    }

    /// Somebody mentioned the user.
    pub(super) fn notify(&mut self, at: usize, sender: &str, body: &str) {
        let is_seen = self.has_focus && self.current == Some(at);
        let open = &self.rooms[at];
        if is_seen || open.is_muted {
            return;
        }
        let notifications = &self.config.notifications;
        if notifications.bell {
            self.texts.push(BELL.to_owned());
        }
        let protocol = match notifications.desktop {
            Desktop::Off => return,
            Desktop::Osc9 => Protocol::Osc9,
            Desktop::Osc777 => Protocol::Osc777,
            Desktop::Osc99 => Protocol::Osc99,
        };
        if !self.has_focus {
            let title = format!("{sender} in {}", open.name());
            self.texts.push(self.wrapping.notification(protocol, &title, body));
        }
    }

    /// Puts a text into the terminal's clipboard.
    pub(super) fn copy(&mut self, text: &str, what: &str) {
        match self.wrapping.copy(text) {
            Some(sequence) => {
                self.texts.push(sequence);
                // Whether it takes it can't be known.
                self.tell(&format!("{what} was sent to the terminal's clipboard"));
            }
            None => {
                self.fail(&format!("{what} is too long for the terminal's clipboard: more than {COPY_BYTES_MAX} bytes"))
            }
        }
    }
}
