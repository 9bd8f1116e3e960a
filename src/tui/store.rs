//! The thread that keeps on the disk what outlives the client: marks, drafts, lines that are not known to be stored, and
//! the history of the input.
//!
//! It gets the newest state as a whole, and writes what has changed of it; states in between are skipped. So neither
//! typing nor receiving waits for a disk, and a stalled disk takes no memory. A write that failed is repeated. Lines and drafts are in the files of the
//! line client (`terminal/unsent/file.rs`), so each of the two finds what the other has left.

use std::env;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use parking_lot::{Condvar, Mutex};

use super::inlet::{EnteredLine, Incoming, Kept, KeptLine};
use super::input_history::InputHistory;
use super::paste::clean;
use super::remembered::{Last, Marks, Remembered};
use crate::client::lines;
use crate::names::RoomName;
use crate::terminal::clock::local_ms;
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

/// After how long a write that failed is repeated: the disk may have space again.
const RETRY_TIME: Duration = Duration::from_millis(if cfg!(test) { 20 } else { 5_000 });

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
    /// Why the newest lines and drafts are not on the disk.
    fault: Option<String>,
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
            // A draft may be longer than a message.
            let draft = RoomName::new(&text.room).ok().filter(|_| text.id.is_none());
            match (draft, text.line()) {
                (Some(room), _) => add_draft(&mut restored.drafts, room, clean(&text.body)),
                (None, Ok((room, line))) => {
                    restored.unsent.push(KeptLine { room, line, since_ms: text.since_ms });
                }
                (None, Err(_)) => self.strange.push(text),
            }
        }
        if !self.strange.is_empty() {
            let (count, folder) = (lines(self.strange.len() as u64), texts.folder().display());
            restored.faults.push(format!("text of an earlier chat can't be used: {count}, in {folder}"));
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
            texts.push(known.cloned().unwrap_or_else(|| Text::draft(room, body, local_ms())));
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

    /// Why the newest lines and drafts are not on the disk, if they could not be written.
    pub fn fault(&self) -> Option<String> {
        self.shared.state.lock().fault.clone()
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
        let mut failed = None;
        while let Some(kept) = self.next(failed.as_ref()) {
            let fault = files.keep(&kept).err();
            {
                let mut state = self.state.lock();
                state.is_writing = false;
                // Marks can be found again.
                state.fault = fault.clone().filter(|_| files.written_texts.is_none());
            }
            self.changed.notify_all();
            failed = fault.as_ref().map(|_| kept);
            let is_new = files.fault != fault;
            files.fault.clone_from(&fault);
            if let Some(fault) = fault.filter(|_| is_new) {
                // A model that has ended needs to know nothing.
                let _ = incoming.send(Incoming::Fault(fault));
            }
        }
    }

    /// The newest state; or after a while that which could not be written.
    fn next(&self, failed: Option<&Arc<Kept>>) -> Option<Arc<Kept>> {
        let mut state = self.state.lock();
        loop {
            if let Some(kept) = state.next.take() {
                state.is_writing = true;
                return Some(kept);
            }
            if state.ended {
                return None;
            }
            let Some(kept) = failed else {
                self.changed.wait(&mut state);
                continue;
            };
            if self.changed.wait_for(&mut state, RETRY_TIME).timed_out() && state.next.is_none() {
                state.is_writing = true;
                return Some(Arc::clone(kept));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use crossbeam_channel::unbounded;
    use tempfile::TempDir;

    use super::*;
    use crate::limits::BODY_BYTES_MAX;

    fn files(home: &TempDir) -> Files {
        let owner = Owner { server: "127.0.0.1:5000".to_owned(), name: "ann".to_owned() };
        let path = home.path().to_owned();
        let texts = TextFiles::find(owner, |name| (name == "HOME").then(|| path.clone()));
        Files {
            texts,
            marks: None,
            history: None,
            last: None,
            written_texts: None,
            written_marks: None,
            written_history: None,
            strange: Vec::new(),
            fault: None,
        }
    }

    fn draft(text: &str) -> Kept {
        Kept { drafts: vec![(RoomName::lobby(), text.to_owned())], ..Kept::default() }
    }

    /// A text that was too long for a message was kept, and never shown again.
    #[test]
    fn a_draft_may_be_longer_than_a_message() {
        let home = tempfile::tempdir().unwrap();
        let long = "x".repeat(BODY_BYTES_MAX + 1);
        files(&home).keep(&draft(&long)).unwrap();
        let restored = files(&home).take_over();
        assert_eq!(restored.drafts, [(RoomName::lobby(), long)]);
        assert!(restored.faults.is_empty());
    }

    /// Somebody has changed the file.
    #[test]
    fn text_that_can_not_be_used_is_kept_and_reported() {
        let home = tempfile::tempdir().unwrap();
        let mut first = files(&home);
        first.keep(&draft("of no room")).unwrap();
        let folder = first.texts.as_ref().unwrap().folder().to_owned();
        let path = fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
        let content = fs::read_to_string(&path).unwrap().replace("\"lobby\"", "\"no room\"");
        drop(first);
        fs::write(&path, content).unwrap();
        for _ in 0..2 {
            let mut next = files(&home);
            let restored = next.take_over();
            assert!(restored.faults[0].contains("can't be used: 1 line"), "{restored:?}");
            next.keep(&draft("another")).unwrap();
        }
    }

    /// The disk was full, or not writable, and nothing was written when that was over.
    #[test]
    fn a_write_that_failed_is_repeated() {
        let home = tempfile::tempdir().unwrap();
        let place = home.path().join(".local");
        fs::write(&place, b"in the way").unwrap();
        let (incoming, faults) = unbounded();
        let store = Store::start(files(&home), incoming).unwrap();
        store.keep(Arc::new(draft("half a thought")));
        let fault = faults.recv_timeout(Duration::from_secs(30)).unwrap();
        assert!(matches!(&fault, Incoming::Fault(fault) if fault.contains("unsent text can't be kept")), "{fault:?}");
        assert!(store.fault().is_some());
        fs::remove_file(&place).unwrap();
        let until = Instant::now() + Duration::from_secs(30);
        while store.fault().is_some() && Instant::now() < until {
            std::thread::park_timeout(Duration::from_millis(5));
        }
        assert!(store.finish(Duration::from_secs(30)) && store.fault().is_none());
        assert!(faults.try_recv().is_err(), "it is reported once");
        // The thread releases its file when it ends.
        drop(store);
        let mut drafts = Vec::new();
        while drafts.is_empty() && Instant::now() < until {
            drafts = files(&home).take_over().drafts;
        }
        assert_eq!(drafts, [(RoomName::lobby(), "half a thought".to_owned())]);
    }
}
