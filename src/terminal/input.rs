//! The input thread of the chat: reads a terminal or a pipe, and executes lines.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Write as _};
use std::ops::ControlFlow;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::bounded;

use super::changer::Changer;
use super::commands::{self, Entry, Fate};
use super::editor::Action;
use super::format::{escape_rows, shown_name};
use super::lines::{RawLine, read_line};
use super::people::People;
use super::raw::wait_for_input;
use super::rooms::{NO_ROOM, SharedRooms};
use super::screen::{Screen, can_edit, rows};
use super::server::Server;
use super::timelines::Timelines;
use super::unsent::Unsent;
use crate::client::{
    CALL_TIMEOUT, CallError, Caller, Inlet, Line, Member, SessionError, each_page, mentioned, new_message_id, tutorial,
};
use crate::escape::{escape, escape_name};
use crate::limits::BODY_BYTES_MAX;
use crate::names::{Body, Kind, RoomName, UserName};
use crate::threads::spawn;

/// The exit code of a program that an interrupt ended, by the shell's convention.
const EXIT_INTERRUPTED: i32 = 130;

/// How long keeping unsent text on the disk, and showing it on the terminal, may take.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(1);

/// The maximum number of members that `/who` lists.
const MEMBERS_MAX: usize = 200;

/// The destination of lines.
#[derive(Clone)]
#[expect(clippy::large_enum_variant, reason = "a chat has a few copies of it")]
pub enum Destination {
    V1 {
        inlet: Inlet,
        rooms: SharedRooms,
        /// How many of the last messages of a room that is joined to show.
        last: u32,
        server: Server,
        /// On a terminal: keeps text that is not known to be stored.
        unsent: Option<Unsent>,
        /// Whom a text may mention.
        people: People,
        timelines: Timelines,
        changer: Changer,
    },
    Tutorial {
        inlet: tutorial::Inlet,
        name: UserName,
    },
}

/// The state of the input thread.
pub struct Input {
    pub screen: Arc<Screen>,
    pub destination: Destination,
    /// How many lines could not be sent.
    pub skipped: Arc<AtomicU64>,
}

impl Destination {
    /// Sends a text, perhaps as a reply. Breaks when the session has ended; fails if the text can't be sent.
    pub fn send(&self, text: &str, kind: Kind, reply_to: Option<u64>) -> Result<ControlFlow<()>, String> {
        let body = |text: String| Body::new(text).map_err(|fault| fault.to_string());
        let taken = match self {
            Self::V1 { inlet, rooms, unsent, people, timelines, .. } => {
                let room = rooms.lock().current().cloned().ok_or(NO_ROOM)?;
                let names = people.of(&room, |people| people.presence.names());
                let mentions = mentioned(text, names.iter().map(String::as_str));
                let id = new_message_id();
                let line = Line { reply_to, mentions, ..Line::new(id, body(text.to_owned())?, kind) };
                timelines.posting(&room, id);
                let outcome = inlet.post_line(&room, line);
                unsent.iter().for_each(Unsent::line_passed);
                if outcome.is_err() {
                    timelines.not_posted(&room, &id);
                }
                match outcome {
                    Err(fault @ SessionError::NotJoined { .. }) => return Err(fault.to_string()),
                    outcome => outcome.is_ok(),
                }
            }
            Self::Tutorial { inlet, name } => {
                // The contract has no actions.
                let text = match kind {
                    Kind::Text => text.trim().to_owned(),
                    Kind::Action => format!("/me {text}"),
                };
                inlet.send(name.clone(), body(text)?).is_ok()
            }
        };
        Ok(if taken { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    }

    fn finish(&self) {
        match self {
            Self::V1 { inlet, .. } => inlet.finish(),
            Self::Tutorial { inlet, .. } => inlet.finish(),
        }
    }

    /// The texts that are not known to be stored, or, on the tutorial's contract, not sent.
    fn unsent(&self) -> Vec<String> {
        match self {
            Self::V1 { inlet, .. } => {
                inlet.pending().into_iter().map(|(_, line)| line.body.as_str().to_owned()).collect()
            }
            Self::Tutorial { inlet, .. } => inlet.unsent(),
        }
    }

    /// Keeps text that is not known to be stored on disk, and shows it at the exit. A stalled disk or terminal delays
    /// the exit by at most [`LEAVE_TIMEOUT`] each.
    pub fn leave(&self, draft: Option<String>, keep_draft: bool) {
        let kept = self.keep(draft.clone().filter(|_| keep_draft));
        let unsent = self.unsent().into_iter().map(|text| ("perhaps not stored", text));
        let mut shown = String::new();
        for (state, text) in unsent.chain(draft.map(|draft| ("not sent", draft))) {
            shown.push_str(&rows(&format!("* {state}: {}", escape_rows(&text)), &io::stderr()));
            shown.push('\n');
        }
        if let Some(folder) = kept {
            let kept = format!("* kept in {}, and offered at the next start", escape(&folder));
            shown.push_str(&rows(&kept, &io::stderr()));
            shown.push('\n');
        }
        if !shown.is_empty() {
            within(LEAVE_TIMEOUT, move || drop(io::stderr().write_all(shown.as_bytes())));
        }
    }

    /// Keeps text that is not known to be stored on disk. Returns where, if there is any.
    fn keep(&self, draft: Option<String>) -> Option<String> {
        let Self::V1 { rooms, unsent: Some(unsent), .. } = self else { return None };
        let (rooms, unsent) = (rooms.clone(), unsent.clone());
        let leave = move || {
            let room = rooms.lock().current().cloned().unwrap_or_else(RoomName::lobby);
            unsent.leave(draft.as_deref().map(|draft| (&room, draft)))
        };
        within(LEAVE_TIMEOUT, leave).flatten()
    }
}

/// Runs it on another thread, and waits at most this long.
fn within<T: Send + 'static>(time: Duration, job: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (done, outcome) = bounded(1);
    spawn("leave", move || done.send(job())).ok()?;
    outcome.recv_timeout(time).ok()
}

impl Input {
    /// Reads lines from an input that is not an editable terminal.
    pub fn lines(self) {
        read_lines(&mut io::stdin().lock(), |line| match line {
            Ok(text) => self.enter(&text),
            Err(fault) => self.skip(&fault),
        });
        self.destination.finish();
    }

    /// Reads keys from a terminal.
    pub fn keys(self) {
        loop {
            if let Some(timeout) = self.screen.input_timeout() {
                match wait_for_input(timeout) {
                    Ok(true) => {}
                    Ok(false) => {
                        self.screen.time_out();
                        continue;
                    }
                    Err(_) => break,
                }
            }
            let mut stdin = io::stdin().lock();
            let bytes = match stdin.fill_buf() {
                Ok(bytes) => bytes.to_vec(),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                // The terminal is gone.
                Err(_) => Vec::new(),
            };
            stdin.consume(bytes.len());
            drop(stdin);
            if bytes.is_empty() || self.take(&bytes).is_break() {
                break;
            }
        }
        let waiting = self.destination.unsent().len() as u64;
        if waiting > 0 {
            self.screen.notice(&format!("waiting until {} stored; Ctrl-C leaves now", are(waiting)));
        }
        // A draft is there only if the terminal is gone.
        let draft = self.screen.stop_editing();
        if draft.is_some() {
            self.destination.leave(draft, true);
        }
        self.destination.finish();
    }

    /// Executes the typed lines one by one: each may change the destination of the next one, and the prompt.
    fn take(&self, mut bytes: &[u8]) -> ControlFlow<()> {
        while !bytes.is_empty() {
            let Ok((actions, used)) = self.screen.typed(bytes) else { return ControlFlow::Break(()) };
            bytes = &bytes[used..];
            if self.screen.take_overflow() {
                self.screen.notice("the draft is full: the end of the pasted text is missing");
            }
            actions.into_iter().try_for_each(|action| self.act(action))?;
        }
        ControlFlow::Continue(())
    }

    fn act(&self, action: Action) -> ControlFlow<()> {
        match action {
            Action::Line(line) => self.enter(&line),
            Action::TooLong(bytes) => {
                self.screen.notice(&format!("not sent: the body has {bytes} bytes: send at most {BODY_BYTES_MAX}"));
                ControlFlow::Continue(())
            }
            Action::EndOfInput => ControlFlow::Break(()),
            Action::Interrupt => {
                // The user leaves on purpose, and sees the draft once more.
                self.destination.leave(self.screen.stop_editing(), false);
                process::exit(EXIT_INTERRUPTED);
            }
            Action::Suspend => match self.screen.suspend() {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            },
            Action::Clear | Action::Complete { .. } => ControlFlow::Continue(()),
        }
    }

    /// Executes a line. Breaks when the session has ended, or the user leaves.
    fn enter(&self, entered: &str) -> ControlFlow<()> {
        match commands::read(entered) {
            Entry::Blank => {}
            Entry::Text(text, kind) => {
                return self.destination.send(&text, kind, None).unwrap_or_else(|fault| self.skip(&fault));
            }
            Entry::Quit => return ControlFlow::Break(()),
            Entry::Help => commands::HELP.iter().for_each(|line| self.screen.notice(line)),
            Entry::Who => self.who(),
            Entry::Join(room) => return self.join(&room),
            Entry::Leave(room) => return self.leave(room.as_ref()),
            Entry::Unsent(fate) => self.unsent(fate),
            Entry::Change(command) => return self.change(command),
            Entry::Mistake(fault) => {
                // A text of several lines is hard to restore otherwise.
                if entered.trim_end().contains('\n') {
                    self.screen.restore(entered, false);
                }
                return self.skip(&fault);
            }
        }
        ControlFlow::Continue(())
    }

    fn unsent(&self, fate: Option<Fate>) {
        let Destination::V1 { unsent: Some(unsent), .. } = &self.destination else {
            return self.screen.notice("this chat keeps no text: /unsent needs a terminal, and hubbub.v1");
        };
        match fate {
            None => unsent.list(),
            Some(Fate::Send) => unsent.send(),
            Some(Fate::Drop) => unsent.drop_all(),
        }
    }

    /// Shows the members of the room. On a separate thread, because the answer may take long and the user continues to
    /// type.
    fn who(&self) {
        let Destination::V1 { rooms, server, .. } = &self.destination else {
            return self.screen.notice("/who needs hubbub.v1: the tutorial's contract can't list members");
        };
        let Some(room) = rooms.lock().current().cloned() else { return self.screen.notice(NO_ROOM) };
        let (screen, server) = (Arc::clone(&self.screen), server.clone());
        let marks_claims = server.has_login;
        let started = spawn("who", move || match members(&room, server) {
            Ok(members) if members.is_empty() => screen.notice(&format!("in {room}: nobody")),
            Ok(members) => screen.notice(&format!("in {room}: {}", in_words(members, marks_claims))),
            Err(error) => screen.notice(&format!("can't list the members: {error}")),
        });
        match started {
            // From a pipe, the input would end before the answer.
            Ok(thread) if !can_edit() => drop(thread.join()),
            Ok(_) => {}
            Err(error) => self.screen.notice(&format!("can't list the members: {error}")),
        }
    }

    pub(super) fn skip(&self, reason: &str) -> ControlFlow<()> {
        self.skipped.fetch_add(1, Ordering::Relaxed);
        self.screen.notice(&format!("not sent: {reason}"));
        ControlFlow::Continue(())
    }
}

/// The members of a room.
pub fn members(room: &RoomName, Server { address, connector, .. }: Server) -> Result<Vec<Member>, CallError> {
    let mut caller = Caller::connect(connector, address, CALL_TIMEOUT)?;
    let mut members = Vec::new();
    each_page(
        |token| caller.members(room, token),
        |page| {
            members.extend(page);
            Ok(())
        },
    )?;
    Ok(members)
}

/// The names of the members, each once, with the number of its clients.
fn in_words(members: Vec<Member>, marks_claims: bool) -> String {
    let mut clients: BTreeMap<String, u64> = BTreeMap::new();
    for member in members {
        let name = shown_name(&member.name, marks_claims && !member.authenticated);
        *clients.entry(escape_name(&name).into_owned()).or_default() += 1;
    }
    let more = clients.len().saturating_sub(MEMBERS_MAX);
    let name = |(name, count): (String, u64)| if count > 1 { format!("{name} ({count} clients)") } else { name };
    let names: Vec<_> = clients.into_iter().take(MEMBERS_MAX).map(name).collect();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    names.join(", ") + &more
}

fn are(count: u64) -> String {
    if count == 1 { "1 line is".to_owned() } else { format!("{count} lines are") }
}

/// Passes the lines of an input to `each`, or why one can't be sent, until it breaks.
pub fn read_lines(input: &mut impl BufRead, mut each: impl FnMut(Result<String, String>) -> ControlFlow<()>) {
    loop {
        let going = match read_line(input) {
            Ok(Some(RawLine::Text(line))) => each(Ok(line)),
            Ok(Some(RawLine::TooLong(bytes))) => each(Err(format!("the line has {bytes} bytes, which is too long"))),
            Ok(Some(RawLine::NotUtf8)) => each(Err("the line is not valid UTF-8".to_owned())),
            Ok(None) => return,
            Err(e) => {
                let _ = each(Err(format!("can't read the input: {e}")));
                return;
            }
        };
        if going.is_break() {
            return;
        }
    }
}
