//! Unsent text: text that is not known to be stored is kept on disk, and offered at the next start.
//!
//! A line is written to disk when the server has not acknowledged it for a second, or when the connection is lost; so
//! in normal operation nothing is written. When everything is acknowledged the file is removed. Text that remains at
//! any end of the client is found by the next client of the same server and name. That client reports it and waits for
//! `/unsent send` or `/unsent drop`: nothing is sent automatically, because it may be days old. It is sent with its own
//! message id, so text that was stored is not stored again. (The full-screen client sends recent text by itself, and
//! shows what became of it.)

pub mod file;
#[cfg(fuzzing)]
pub mod fuzz;

use std::collections::HashSet;
use std::env;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use self::file::{KeepError, Owner, Store, Text};
use super::clock::{local_ms, moment_in_words};
use super::format::hex;
use super::screen::Screen;
use crate::address::Address;
use crate::client::{Inlet, Line, lines};
use crate::names::{MessageId, RoomName, UserName};
use crate::threads::spawn;

/// How long a line may wait for its acknowledgement before it is written to disk.
const PATIENCE: Duration = Duration::from_secs(1);

/// How many texts of an earlier chat are shown at once.
const SHOWN_MAX: usize = 10;

/// The answer of `/unsent` if there is no text.
const NOTHING: &str = "no text is kept from an earlier chat";

/// The texts of a chat that are not known to be stored.
#[derive(Clone)]
pub struct Unsent {
    shared: Arc<Shared>,
}

struct Shared {
    screen: Arc<Screen>,
    /// The room that need not be named.
    home: RoomName,
    /// Lock order: 0, above the screen's. Held for writing files and for decisions about texts.
    texts: Mutex<UnsentTexts>,
    /// Lock order: 3, a leaf.
    bell: Mutex<Bell>,
    wake: Condvar,
}

/// The requests to the thread. Separate from `UnsentTexts`, so that neither typing nor receiving waits for a disk.
#[derive(Default)]
struct Bell {
    /// A line was passed to the session.
    line_passed: bool,
    /// The connection is lost: lines may wait for a long time.
    lost: bool,
    /// A draft of an earlier chat was restored, and is on disk until it is entered.
    has_draft: bool,
    /// Messages of the history may be among the offered ones.
    has_offered: bool,
}

struct UnsentTexts {
    store: Result<Store, KeepError>,
    inlet: Option<Inlet>,
    /// Text of an earlier chat, undecided.
    offered: Vec<Text>,
    /// The draft to keep.
    draft: Option<Text>,
    /// The waiting lines of this session that must be on disk.
    waiting: Vec<Text>,
    /// The last written state; `None` if unknown.
    written: Option<Vec<Text>>,
    /// The last fault, which is reported once.
    fault: Option<String>,
}

impl Unsent {
    /// Takes over the text of earlier chats with this server, and starts the thread that keeps waiting lines. It ends
    /// with the process.
    pub fn start(screen: Arc<Screen>, server: &Address, name: &UserName, home: RoomName) -> Self {
        let owner = Owner { server: server.to_string(), name: name.as_str().to_owned() };
        let store = Store::find(owner, |variable| env::var_os(variable).map(PathBuf::from));
        let mut texts = UnsentTexts {
            store,
            inlet: None,
            offered: Vec::new(),
            draft: None,
            waiting: Vec::new(),
            written: Some(Vec::new()),
            fault: None,
        };
        texts.take_over(&screen);
        let bell = Bell { has_offered: !texts.offered.is_empty(), ..Bell::default() };
        let (texts, bell) = (Mutex::new(texts), Mutex::new(bell));
        let shared = Arc::new(Shared { screen, home, texts, bell, wake: Condvar::new() });
        let thread = Arc::clone(&shared);
        // Without the thread, waiting lines are kept when the client exits cleanly.
        let _ = spawn("unsent", move || thread.run());
        Self { shared }
    }

    /// The session has started.
    pub fn set_inlet(&self, inlet: Inlet) {
        self.shared.texts.lock().inlet = Some(inlet);
    }

    /// A line was passed to the session.
    pub fn line_passed(&self) {
        let had_draft = {
            let mut bell = self.shared.bell.lock();
            bell.line_passed = true;
            std::mem::take(&mut bell.has_draft)
        };
        self.shared.wake.notify_one();
        if had_draft {
            self.shared.texts.lock().draft = None;
        }
    }

    /// The connection is lost.
    pub fn lost(&self) {
        self.shared.bell.lock().lost = true;
        self.shared.wake.notify_one();
    }

    /// A message with this id is stored.
    pub fn is_stored(&self, id: &MessageId) {
        if self.shared.bell.lock().has_offered {
            let id = hex(id);
            self.shared.texts.lock().offered.retain(|text| text.id.as_ref() != Some(&id));
        }
    }

    /// Reports the text of an earlier chat. Call it when the room's history has been shown.
    pub fn offer(&self) {
        if !std::mem::take(&mut self.shared.bell.lock().has_offered) {
            return;
        }
        let mut texts = self.shared.texts.lock();
        let screen = &self.shared.screen;
        // Restores the last draft.
        let home = self.shared.home.as_str();
        if let Some(at) = texts.offered.iter().rposition(|text| text.id.is_none() && text.room == home)
            && screen.restore(&texts.offered[at].body, true)
        {
            let draft = texts.offered.remove(at);
            screen.notice(&format!("your draft of {} is restored", moment_in_words(draft.since_ms)));
            texts.draft = Some(draft);
            self.shared.bell.lock().has_draft = true;
        }
        texts.keep(screen);
        if !texts.offered.is_empty() {
            self.show(&texts.offered);
            let them = if texts.offered.len() > 1 { "them" } else { "it" };
            screen.notice(&format!(
                "/unsent send sends {them} (text that was stored is not repeated), /unsent drop deletes {them}"
            ));
        }
    }

    /// `/unsent`: shows the text.
    pub fn list(&self) {
        let texts = self.shared.texts.lock();
        match texts.offered.is_empty() {
            true => self.shared.screen.notice(NOTHING),
            false => self.show(&texts.offered),
        }
    }

    /// `/unsent send`: posts the text.
    pub fn send(&self) {
        let mut texts = self.shared.texts.lock();
        let Some(inlet) = texts.inlet.clone() else { return };
        let screen = &self.shared.screen;
        let all = std::mem::take(&mut texts.offered);
        if all.is_empty() {
            return screen.notice(NOTHING);
        }
        for text in all {
            match post(&inlet, &text) {
                Ok(()) => screen.echo(&text.body),
                Err(fault) => {
                    screen.notice(&format!("not sent: {fault}"));
                    texts.offered.push(text);
                }
            }
        }
        texts.waiting = texts.waiting_now();
        texts.keep(screen);
        drop(texts);
        self.line_passed();
    }

    /// `/unsent drop`: deletes the text.
    pub fn drop_all(&self) {
        let mut texts = self.shared.texts.lock();
        let count = std::mem::take(&mut texts.offered).len() as u64;
        texts.keep(&self.shared.screen);
        self.shared.screen.notice(&match count {
            0 => NOTHING.to_owned(),
            count => format!("deleted: {}", lines(count)),
        });
    }

    /// The client is about to exit: keeps waiting lines and the draft. Returns where, if anything is kept.
    pub fn leave(&self, draft: Option<(&RoomName, &str)>) -> Option<String> {
        let mut texts = self.shared.texts.lock();
        texts.draft = draft.map(|(room, body)| Text::draft(room, body, local_ms()));
        texts.waiting = texts.waiting_now();
        texts.keep(&self.shared.screen);
        let folder = texts.store.as_ref().ok()?.folder().display().to_string();
        (texts.fault.is_none() && texts.texts().next().is_some()).then_some(folder)
    }

    fn show(&self, texts: &[Text]) {
        let screen = &self.shared.screen;
        let (since, count) = (moment_in_words(texts[0].since_ms), texts.len() as u64);
        screen.notice(&format!("kept from {since}, perhaps not stored: {}", lines(count)));
        for text in texts.iter().take(SHOWN_MAX) {
            let room = if text.room == self.shared.home.as_str() { "" } else { &text.room };
            screen.quote(room, &text.body);
        }
        if texts.len() > SHOWN_MAX {
            screen.notice(&format!("and {} more", texts.len() - SHOWN_MAX));
        }
    }
}

impl Shared {
    /// The thread: checks once a second while lines wait, and sleeps otherwise.
    fn run(&self) {
        loop {
            {
                let mut bell = self.bell.lock();
                while !bell.line_passed && !bell.lost {
                    self.wake.wait(&mut bell);
                }
            }
            let mut earlier: HashSet<String> = HashSet::new();
            loop {
                let all = {
                    let mut bell = self.bell.lock();
                    bell.line_passed = false;
                    if !bell.lost {
                        self.wake.wait_for(&mut bell, PATIENCE);
                    }
                    std::mem::take(&mut bell.lost)
                };
                let mut texts = self.texts.lock();
                let waiting = texts.waiting_now();
                let ids: HashSet<String> = waiting.iter().filter_map(|text| text.id.clone()).collect();
                // Lines on disk stay there while they wait.
                earlier.extend(texts.waiting.iter().filter_map(|text| text.id.clone()));
                let due = |text: &Text| all || text.id.as_ref().is_some_and(|id| earlier.contains(id));
                texts.waiting = waiting.into_iter().filter(due).collect();
                texts.keep(&self.screen);
                if ids.is_empty() {
                    break;
                }
                earlier = ids;
            }
        }
    }
}

impl UnsentTexts {
    fn take_over(&mut self, screen: &Screen) {
        let Ok(store) = &mut self.store else { return };
        match store.take_over() {
            Ok((texts, damaged)) => {
                // A file without texts is removed.
                self.written = None;
                self.offered = texts;
                for path in damaged {
                    screen.notice(&format!("text of an earlier chat is damaged; it is in {}", path.display()));
                }
            }
            Err(fault) => screen.notice(&format!("can't look for text of an earlier chat: {fault}")),
        }
    }

    /// Writes the texts to keep, if they have changed since the last write.
    fn keep(&mut self, screen: &Screen) {
        let texts: Vec<Text> = self.texts().cloned().collect();
        if self.written.as_ref() == Some(&texts) {
            return;
        }
        let outcome = match &mut self.store {
            Ok(store) => store.keep(&texts).map_err(|fault| fault.to_string()),
            Err(_) if texts.is_empty() => Ok(()),
            Err(fault) => Err(fault.to_string()),
        };
        match outcome {
            Ok(()) => {
                (self.written, self.fault) = (Some(texts), None);
            }
            Err(fault) if self.fault.as_ref() != Some(&fault) => {
                screen.notice(&format!("unsent text can't be kept on disk: {fault}"));
                (self.written, self.fault) = (None, Some(fault));
            }
            Err(_) => self.written = None,
        }
    }

    fn texts(&self) -> impl Iterator<Item = &Text> {
        self.offered.iter().chain(&self.waiting).chain(&self.draft)
    }

    /// The lines that the server has not acknowledged. Those that are known keep their time.
    fn waiting_now(&self) -> Vec<Text> {
        let Some(inlet) = &self.inlet else { return Vec::new() };
        let now = local_ms();
        let text = |(room, line): (RoomName, Line)| {
            let text = Text::new(&room, line, now);
            let known = self.waiting.iter().find(|known| known.id == text.id);
            Text { since_ms: known.map_or(now, |known| known.since_ms), ..text }
        };
        inlet.pending().into_iter().map(text).collect()
    }
}

/// Posts a kept text with the id that it had.
fn post(inlet: &Inlet, text: &Text) -> Result<(), String> {
    let (room, line) = text.line()?;
    inlet.post_line(&room, line).map_err(|fault| fault.to_string())
}
