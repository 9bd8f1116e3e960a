//! The thread that keeps on the disk what outlives the client: marks, drafts, lines that are not known to be stored, and
//! the history of the input.
//!
//! It gets the newest state as a whole, and writes what has changed of it; states in between are skipped. So neither
//! typing nor receiving waits for a disk, and a stalled disk takes no memory. Lines and drafts are in the files of the
//! line client (`terminal/unsent/file.rs`), so each of the two finds what the other has left.

use std::env;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crossbeam_channel::Sender;
use parking_lot::{Condvar, Mutex};

use super::inlet::{EnteredLine, Incoming, Kept, KeptLine};
use super::input_history::InputHistory;
use super::remembered::{Last, Marks, Remembered};
use crate::names::RoomName;
use crate::terminal::unsent::file::{KeepError, Owner, Store as TextFiles, Text};
use crate::threads::spawn;

/// What earlier clients of this server and name have left.
#[derive(Debug, Default)]
pub struct Restored {
    pub remembered: Remembered,
    pub drafts: Vec<(RoomName, String)>,
    /// Lines that may be stored or not.
    pub unsent: Vec<KeptLine>,
    /// The lines that were entered, the oldest first.
    pub history: Vec<EnteredLine>,
    /// What could not be read, for the user.
    pub faults: Vec<String>,
}

/// The files of one server and name.
pub struct Files {
    texts: Result<TextFiles, KeepError>,
    marks: Option<Marks>,
    /// `None` if the user wants none.
    history: Option<InputHistory>,
    /// The server and the name, to be kept once the server has answered: a mistyped one is not remembered.
    last: Option<Last>,
    /// What is on the disk; `None` if unknown.
    written_texts: Option<Vec<Text>>,
    written_marks: Option<Remembered>,
    written_history: Option<Arc<Vec<EnteredLine>>>,
    /// Texts of earlier clients that have impossible values: kept as they are.
    strange: Vec<Text>,
    /// The last fault, which is reported once.
    fault: Option<String>,
}

/// The model's side of the thread.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Lock order: a leaf.
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    next: Option<Arc<Kept>>,
    is_writing: bool,
    ended: bool,
}

/// The user's folder for the state of this program.
pub fn state_folder() -> Option<PathBuf> {
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/state")));
    state.map(|state| state.join("hubbub"))
}

impl Files {
    /// Takes over what earlier clients have left.
    ///
    /// Without `has_history`, entered lines are not kept, and those of earlier clients are deleted.
    pub fn open(owner: Owner, has_tls: bool, has_history: bool) -> (Self, Restored) {
        let last = Last { server: owner.server.clone(), name: owner.name.clone(), tls: has_tls };
        let marks = state_folder().map(|folder| Marks::new(folder, owner.clone()));
        let history = state_folder().map(|folder| InputHistory::new(folder, owner.clone()));
        let texts = TextFiles::find(owner, |variable| env::var_os(variable).map(PathBuf::from));
        let mut files = Self {
            texts,
            marks,
            history: history.clone().filter(|_| has_history),
            last: Some(last),
            written_texts: None,
            written_marks: None,
            written_history: None,
            strange: Vec::new(),
            fault: None,
        };
        let mut restored = files.take_over();
        restored.remembered = files.marks.as_ref().map(Marks::read).unwrap_or_default();
        restored.history = files.history.as_ref().map(InputHistory::read).unwrap_or_default();
        if let Some(history) = history.filter(|_| !has_history)
            && let Err(fault) = history.remove()
        {
            restored.faults.push(format!("the lines that you entered earlier can't be deleted: {fault}"));
        }
        (files, restored)
    }

    fn take_over(&mut self) -> Restored {
        let mut restored = Restored::default();
        let Ok(texts) = &mut self.texts else { return restored };
        let (found, damaged) = match texts.take_over() {
            Ok(found) => found,
            Err(fault) => {
                restored.faults.push(format!("can't look for text of an earlier chat: {fault}"));
                return restored;
            }
        };
        for text in found {
            match text.line() {
                Ok((room, line)) if text.id.is_some() => {
                    restored.unsent.push(KeptLine { room, line, since_ms: text.since_ms });
                }
                Ok((room, _)) => add_draft(&mut restored.drafts, room, text.body),
                Err(_) => self.strange.push(text),
            }
        }
        for path in damaged {
            restored.faults.push(format!("text of an earlier chat is damaged; it is in {}", path.display()));
        }
        restored
    }

    /// Writes what has changed.
    fn keep(&mut self, kept: &Kept) -> Result<(), String> {
        if kept.has_connected
            && let Some((last, folder)) = self.last.take().zip(state_folder())
        {
            // If that fails, the next start asks again.
            let _ = last.keep(&folder);
        }
        let texts = self.keep_texts(kept).map_err(|fault| format!("unsent text can't be kept on disk: {fault}"));
        let marks = self.keep_marks(kept).map_err(|fault| format!("the marks can't be kept on disk: {fault}"));
        let history = self.keep_history(kept).map_err(|fault| format!("entered lines can't be kept on disk: {fault}"));
        texts.and(marks).and(history)
    }

    fn keep_texts(&mut self, kept: &Kept) -> Result<(), String> {
        let lines = kept.unsent.iter().map(|kept| Text::new(&kept.room, kept.line.clone(), kept.since_ms));
        let mut texts: Vec<Text> = self.strange.iter().cloned().chain(lines).collect();
        for (room, body) in &kept.drafts {
            // A draft that was not changed has the time of its first write.
            let written = self.written_texts.iter().flatten();
            let known =
                written.clone().find(|text| text.id.is_none() && text.room == room.as_str() && text.body == *body);
            texts.push(known.cloned().unwrap_or_else(|| Text::draft(room, body, now_ms())));
        }
        if self.written_texts.as_ref() == Some(&texts) {
            return Ok(());
        }
        self.written_texts = None;
        match &mut self.texts {
            Ok(files) => files.keep(&texts).map_err(|fault| fault.to_string())?,
            Err(_) if texts.is_empty() => {}
            Err(fault) => return Err(fault.to_string()),
        }
        self.written_texts = Some(texts);
        Ok(())
    }

    fn keep_marks(&mut self, kept: &Kept) -> io::Result<()> {
        let look = Some(kept.look);
        let marks = Remembered { rooms: kept.rooms.clone(), current: kept.current.clone(), look };
        let Some(files) = self.marks.as_ref().filter(|_| self.written_marks.as_ref() != Some(&marks)) else {
            return Ok(());
        };
        self.written_marks = None;
        files.keep(&marks)?;
        self.written_marks = Some(marks);
        Ok(())
    }

    fn keep_history(&mut self, kept: &Kept) -> io::Result<()> {
        let is_written = self.written_history.as_ref().is_some_and(|written| Arc::ptr_eq(written, &kept.history));
        let Some(files) = self.history.as_ref().filter(|_| !is_written && !kept.history.is_empty()) else {
            return Ok(());
        };
        files.keep(&kept.history)?;
        self.written_history = Some(Arc::clone(&kept.history));
        Ok(())
    }
}

/// Adds a draft; one that the room has already stays before it.
fn add_draft(drafts: &mut Vec<(RoomName, String)>, room: RoomName, body: String) {
    match drafts.iter_mut().find(|(known, _)| *known == room) {
        Some((_, before)) => *before = format!("{before}\n{body}"),
        None => drafts.push((room, body)),
    }
}

impl Store {
    /// Starts the thread. It ends after [`Store::finish`], or with the process.
    pub fn start(files: Files, incoming: Sender<Incoming>) -> io::Result<Self> {
        let store = Self { shared: Arc::default() };
        let shared = Arc::clone(&store.shared);
        spawn("store", move || shared.run(files, &incoming))?;
        Ok(store)
    }

    /// Keeps this, in place of what is not written yet.
    pub fn keep(&self, kept: Arc<Kept>) {
        self.shared.state.lock().next = Some(kept);
        self.shared.changed.notify_all();
    }

    /// Waits until the newest state is on the disk, at most this long. True: it is, or could not be written.
    pub fn flush(&self, time: Duration) -> bool {
        let until = Instant::now() + time;
        let mut state = self.shared.state.lock();
        while state.next.is_some() || state.is_writing {
            if self.shared.changed.wait_until(&mut state, until).timed_out() {
                return false;
            }
        }
        true
    }

    /// Ends the thread once everything is written.
    pub fn finish(&self, time: Duration) -> bool {
        let done = self.flush(time);
        self.shared.state.lock().ended = true;
        self.shared.changed.notify_all();
        done
    }
}

impl Shared {
    fn run(&self, mut files: Files, incoming: &Sender<Incoming>) {
        while let Some(kept) = self.next() {
            let outcome = files.keep(&kept);
            self.state.lock().is_writing = false;
            self.changed.notify_all();
            match outcome {
                Ok(()) => files.fault = None,
                Err(fault) if files.fault.as_ref() != Some(&fault) => {
                    files.fault = Some(fault.clone());
                    // A model that has ended needs to know nothing.
                    let _ = incoming.send(Incoming::Fault(fault));
                }
                Err(_) => {}
            }
        }
    }

    fn next(&self) -> Option<Arc<Kept>> {
        let mut state = self.state.lock();
        loop {
            if let Some(kept) = state.next.take() {
                state.is_writing = true;
                return Some(kept);
            }
            if state.ended {
                return None;
            }
            self.changed.wait(&mut state);
        }
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
