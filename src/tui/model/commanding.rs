//! What the commands do.

use std::time::Instant;

use super::super::commands::{Command, Fate};
use super::super::inlet::{Call, Outgoing};
use super::super::pace::Urgency;
use super::super::room::Scroll;
use super::Model;
use super::parts::Asked;
use super::rooms::NO_ROOM;
use crate::names::RoomName;

impl Model {
    /// Executes a command. Fails with the reason if nothing was done.
    pub(super) fn command(&mut self, command: Command, now: Instant) -> Result<(), String> {
        match command {
            Command::Nothing => {}
            Command::Say { body, kind } => return self.send(body, kind, None),
            Command::Change(change) => return self.change(change),
            Command::Join(room) => self.join(&room),
            Command::Leave(room) => {
                let room = room.or_else(|| self.current_name()).ok_or(NO_ROOM)?;
                self.leave(&room);
            }
            Command::Members(room) => {
                let room = room.or_else(|| self.current_name()).ok_or(NO_ROOM)?;
                self.call_for_user(Call::Members { room: room.clone() }, Asked::Members { room });
            }
            Command::Rooms(part) => self.call_for_user(Call::Rooms, Asked::Rooms { part }),
            Command::Window(number) => self.enter_number(number.into()),
            Command::GoByName(name) if name.is_empty() => self.list_open_rooms(),
            Command::GoByName(name) => return self.go_by_name(&name),
            Command::GoTo { room, seq } => {
                let room = room.or_else(|| self.current_name()).ok_or(NO_ROOM)?;
                self.go_to(&room, seq);
            }
            Command::Mentions => self.list_mentions(),
            Command::MarkRead => self.mark_read(),
            Command::MarkUnread(seq) => self.mark_unread(seq),
            Command::Copy(seq) => return self.copy_message(seq),
            Command::Clear => self.scroll(Scroll::Clear),
            Command::Mute { room, muted } => {
                let room = room.or_else(|| self.current_name()).ok_or(NO_ROOM)?;
                let open = self.find(&room).ok_or_else(|| format!("you are not in {room}"))?;
                open.is_muted = muted;
                self.keeping.changed();
                let is_in_config = self.config.notifications.muted.contains(&room);
                self.tell(&match (muted, is_in_config) {
                    (true, _) => format!("{room} is muted: its messages ring no bell; /unmute ends that"),
                    (false, true) => format!("{room} is not muted until you quit: the config file mutes it again"),
                    (false, false) => format!("{room} is not muted"),
                });
            }
            Command::Mouse(mouse) => self.set_mouse(mouse),
            Command::EditOutside(text) => {
                // If the editor fails, it is here.
                self.editor.replace(&text).map_err(|fault| fault.to_string())?;
                self.requests.push_back(Outgoing::Edit(text));
            }
            Command::Unsent(None) => return self.list_unsent(),
            Command::Unsent(Some(Fate::Send)) => return self.send_unsent(),
            Command::Unsent(Some(Fate::Drop)) => return self.drop_unsent(),
            Command::Reconnect => {
                self.requests.push_back(Outgoing::Reconnect);
                self.tell(&format!("connecting to {}", self.server));
            }
            Command::Settings => {
                let state =
                    if self.config.path.is_some() { "the config file is" } else { "no config file yet; it would be" };
                match self.config_place.clone() {
                    Some(path) => self.tell(&format!("{state} {}", path.display())),
                    None => self.fail("HOME is not set, so there is no place for a config file"),
                }
            }
            Command::Help(about) => self.show_help(about),
            Command::Quit => self.quit(now),
        }
        Ok(())
    }

    /// Shows the room whose name fits best.
    fn go_by_name(&mut self, part: &str) -> Result<(), String> {
        let names: Vec<String> = self.rooms.iter().map(|open| open.name().as_str().to_owned()).collect();
        let best = super::super::complete::fitting(part, names.iter().map(String::as_str)).first().copied();
        let at = best.and_then(|best| names.iter().position(|name| name == best));
        let none = || format!("you are in no room with {part:?} in its name: /join {part} joins one");
        self.enter(Some(at.ok_or_else(none)?));
        Ok(())
    }

    /// Shows a message. In a room that is joined for that, it is shown when the room has caught up.
    pub(super) fn go_to(&mut self, room: &RoomName, seq: u64) {
        self.join(room);
        let Some(open) = self.current_mut() else { return };
        match open.is_live {
            true => open.room.jump(seq),
            false => open.jump_to = Some(seq),
        }
        self.wants(Urgency::Asked);
    }

    fn copy_message(&mut self, seq: Option<u64>) -> Result<(), String> {
        let room = &self.current().ok_or(NO_ROOM)?.room;
        let message = match seq {
            Some(seq) => {
                room.get(seq).ok_or_else(|| format!("message #{seq} is not here: /go #{seq} reads it first"))?
            }
            None => room.newest().next().ok_or("there is no message here")?,
        };
        let text = message.body.clone();
        self.copy(&text, "the text");
        Ok(())
    }
}
