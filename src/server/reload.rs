//! Reads files again when they change, certificates and keys of logins; and the configuration, on request.
//!
//! The contents are compared, and not the times of the files: whatever puts files in place, by writing, renaming or
//! linking, is noticed. What can't be used leaves in use what is.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::SystemTime;

use parking_lot::{Condvar, Mutex};
use sha2::{Digest as _, Sha256};

use crate::limits::RELOAD_INTERVAL;
use crate::threads;

/// How much of a file is compared, in bytes. Longer files are not accepted.
const COMPARED_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Something that is read from files, and can be read again while the server runs.
pub trait Reloadable: Send {
    /// What it is, for the log: `the certificate`.
    fn name(&self) -> &'static str;

    /// They are read again when they change. Without any, only on request.
    fn files(&self) -> Vec<PathBuf>;

    /// Reads the files, checks them, and puts them to use. Returns what the log says about it. After an error, what was
    /// in use stays in use.
    fn reload(&mut self) -> Result<String, String>;

    /// What the operator must be warned about now. It is called after each look at the files.
    fn warning(&mut self, _now: SystemTime) -> Option<String> {
        None
    }
}

/// Asks for all files to be read again now.
#[derive(Clone)]
pub struct Reloader {
    requests: Arc<Requests>,
}

#[derive(Default)]
struct Requests {
    // lock order: 3 (a leaf)
    state: Mutex<RequestState>,
    changed: Condvar,
}

/// What to call when a request is served.
type Then = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct RequestState {
    is_requested: bool,
    then: Vec<Then>,
    is_closed: bool,
    /// What the thread has not taken yet.
    added: Vec<Box<dyn Reloadable>>,
}

/// A look at the files.
struct Look {
    is_requested: bool,
    /// What to call after it.
    then: Vec<Then>,
    /// What is to be looked at from now on.
    added: Vec<Box<dyn Reloadable>>,
}

/// Owns the thread that reads the files, and ends it.
pub struct ReloadThread {
    requests: Arc<Requests>,
    thread: Option<JoinHandle<()>>,
}

/// The contents of files: equal if they are.
type Contents = [u8; 32];

/// No files have these.
const NOTHING: Contents = [0; 32];

/// A reloadable, and what is known about its files.
struct Watched {
    item: Box<dyn Reloadable>,
    used: Contents,
    /// Contents that can't be used, and whether the log says so.
    refused: Option<(Contents, bool)>,
}

impl ReloadThread {
    /// Starts it. What is given here has been read before.
    pub fn start(items: Vec<Box<dyn Reloadable>>) -> io::Result<Self> {
        let requests = Arc::<Requests>::default();
        let waiting = Arc::clone(&requests);
        let mut watched: Vec<_> = items.into_iter().map(Watched::new).collect();
        let watch = move || {
            let (mut is_requested, mut then) = (false, Vec::new());
            loop {
                for item in &mut watched {
                    item.look(is_requested);
                }
                then.drain(..).for_each(|then: Then| then());
                let Some(look) = waiting.wait() else { return };
                (is_requested, then) = (look.is_requested, look.then);
                watched.extend(look.added.into_iter().map(Watched::new));
            }
        };
        Ok(Self { requests, thread: Some(threads::spawn("reload", watch)?) })
    }

    /// Adds one more. It has been read before.
    pub fn add(&self, item: Box<dyn Reloadable>) {
        self.requests.state.lock().added.push(item);
        self.requests.changed.notify_one();
    }

    pub fn reloader(&self) -> Reloader {
        Reloader { requests: Arc::clone(&self.requests) }
    }
}

impl Drop for ReloadThread {
    fn drop(&mut self) {
        self.requests.state.lock().is_closed = true;
        self.requests.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic has been reported already.
            let _ = thread.join();
        }
    }
}

impl Reloader {
    /// Does not block.
    pub fn request(&self) {
        self.request_then(Box::new(|| {}));
    }

    /// The same. Then calls this, on the thread that has read the files, unless the server ends before. Does not block.
    pub fn request_then(&self, then: Then) {
        let mut state = self.requests.state.lock();
        state.is_requested = true;
        state.then.push(then);
        drop(state);
        self.requests.changed.notify_one();
    }
}

impl Requests {
    /// Waits for the next look at the files. `None` means that the server has ended.
    fn wait(&self) -> Option<Look> {
        let mut state = self.state.lock();
        if !state.is_requested && !state.is_closed && state.added.is_empty() {
            self.changed.wait_for(&mut state, RELOAD_INTERVAL);
        }
        let (is_requested, then) = (std::mem::take(&mut state.is_requested), std::mem::take(&mut state.then));
        let added = std::mem::take(&mut state.added);
        (!state.is_closed).then_some(Look { is_requested, then, added })
    }
}

impl Watched {
    fn new(mut item: Box<dyn Reloadable>) -> Self {
        let files = item.files();
        let found = contents(&files);
        // They may have changed since they were read for the start.
        let used = if files.is_empty() { found } else { item.reload().map_or(NOTHING, |_| found) };
        Self { item, used, refused: None }
    }

    fn look(&mut self, is_requested: bool) {
        // Before they are read: a change in between is found by the next look.
        let found = contents(&self.item.files());
        if found == self.used && !is_requested {
            self.refused = None;
        } else {
            match self.item.reload() {
                Ok(said) => {
                    log::info!("{}: {said}", self.item.name());
                    (self.used, self.refused) = (found, None);
                }
                Err(fault) => self.refuse(found, &fault, is_requested),
            }
        }
        if let Some(warning) = self.item.warning(SystemTime::now()) {
            log::warn!("{}: {warning}", self.item.name());
        }
    }

    /// Two files are replaced one after the other, so the first look may see one old and one new.
    fn refuse(&mut self, found: Contents, fault: &str, is_requested: bool) {
        let (was_seen, was_logged) = match self.refused {
            Some((contents, was_logged)) => (contents == found, contents == found && was_logged),
            None => (false, false),
        };
        let logs = is_requested || was_seen && !was_logged;
        if logs {
            log::error!("{} can't be reloaded, so the one before stays in use: {fault}", self.item.name());
        }
        self.refused = Some((found, was_logged || logs));
    }
}

/// The contents of the files, and which of them can't be read.
fn contents(files: &[PathBuf]) -> Contents {
    let mut all = Sha256::new();
    for file in files {
        match read(file) {
            Ok(data) => {
                all.update([1]);
                all.update(Sha256::digest(&*data));
            }
            Err(_) => all.update([0]),
        }
    }
    all.finalize().into()
}

fn read(path: &Path) -> io::Result<zeroize::Zeroizing<Vec<u8>>> {
    // Does not wait for the other end of a pipe.
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let length = file.metadata()?.len().min(COMPARED_BYTES_MAX);
    let mut data = zeroize::Zeroizing::new(Vec::with_capacity(length as usize + 1));
    file.take(COMPARED_BYTES_MAX).read_to_end(&mut data)?;
    Ok(data)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A file with a number, which is put to use if it is even.
    struct Number {
        file: PathBuf,
        used: Arc<Mutex<Vec<u32>>>,
    }

    impl Reloadable for Number {
        fn name(&self) -> &'static str {
            "the number"
        }

        fn files(&self) -> Vec<PathBuf> {
            vec![self.file.clone()]
        }

        fn reload(&mut self) -> Result<String, String> {
            let text = fs::read_to_string(&self.file).map_err(|error| error.to_string())?;
            let number: u32 = text.parse().map_err(|_| "not a number".to_owned())?;
            if number % 2 == 1 {
                return Err("odd".to_owned());
            }
            self.used.lock().push(number);
            Ok("even".to_owned())
        }
    }

    fn number(folder: &Path) -> (Watched, Arc<Mutex<Vec<u32>>>, PathBuf) {
        let (file, used) = (folder.join("number"), Arc::<Mutex<Vec<u32>>>::default());
        fs::write(&file, "2").unwrap();
        (Watched::new(Box::new(Number { file: file.clone(), used: Arc::clone(&used) })), used, file)
    }

    #[test]
    fn a_changed_file_is_read_again_and_a_bad_one_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let (mut watched, used, file) = number(folder.path());
        watched.look(false);
        assert_eq!(*used.lock(), [2], "an unchanged file is not read again");
        for (text, expected) in [
            ("4", &[2, 4][..]),
            ("4", &[2, 4]),
            ("5", &[2, 4]),
            ("6", &[2, 4, 6]),
            ("x", &[2, 4, 6]),
            ("6", &[2, 4, 6]),
        ] {
            fs::write(&file, text).unwrap();
            watched.look(false);
            assert_eq!(*used.lock(), expected, "{text}");
        }
        fs::remove_file(&file).unwrap();
        watched.look(false);
        assert_eq!(*used.lock(), [2, 4, 6]);
        fs::write(&file, "6").unwrap();
        watched.look(true);
        assert_eq!(*used.lock(), [2, 4, 6, 6], "a request reads an unchanged file too");
    }

    #[test]
    fn a_fault_is_logged_once_and_not_before_the_second_look() {
        let folder = tempfile::tempdir().unwrap();
        let (mut watched, _, file) = number(folder.path());
        let mut logged = |text: &str, is_requested| {
            fs::write(&file, text).unwrap();
            watched.look(is_requested);
            watched.refused.map(|(_, logged)| logged)
        };
        assert_eq!(logged("3", false), Some(false));
        assert_eq!(logged("3", false), Some(true));
        assert_eq!(logged("3", false), Some(true));
        assert_eq!(logged("5", false), Some(false));
        assert_eq!(logged("7", true), Some(true));
        assert_eq!(logged("2", false), None);
    }

    #[test]
    fn the_thread_ends_and_serves_requests_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let (_, used, file) = number(folder.path());
        used.lock().clear();
        let thread = ReloadThread::start(vec![Box::new(Number { file, used: Arc::clone(&used) })]).unwrap();
        let started = std::time::Instant::now();
        let (served, is_served) = std::sync::mpsc::channel();
        let seen = Arc::clone(&used);
        thread.reloader().request_then(Box::new(move || served.send(seen.lock().len()).unwrap()));
        assert_eq!(is_served.recv(), Ok(2), "it is called when the file was read");
        while used.lock().len() < 2 {
            assert!(started.elapsed() < RELOAD_INTERVAL, "the request is served at once");
            std::thread::yield_now();
        }
        drop(thread);
    }

    /// Has no files, so it is read on request only.
    struct Asked(Arc<Mutex<u32>>);

    impl Reloadable for Asked {
        fn name(&self) -> &'static str {
            "the count"
        }

        fn files(&self) -> Vec<PathBuf> {
            Vec::new()
        }

        fn reload(&mut self) -> Result<String, String> {
            *self.0.lock() += 1;
            Ok("counted".to_owned())
        }
    }

    #[test]
    fn what_is_added_without_files_is_read_on_request_only() {
        let count = Arc::<Mutex<u32>>::default();
        let mut watched = Watched::new(Box::new(Asked(Arc::clone(&count))));
        watched.look(false);
        assert_eq!(*count.lock(), 0);
        watched.look(true);
        assert_eq!(*count.lock(), 1);
        let thread = ReloadThread::start(Vec::new()).unwrap();
        thread.add(Box::new(Asked(Arc::clone(&count))));
        let started = std::time::Instant::now();
        while *count.lock() < 2 {
            assert!(started.elapsed() < RELOAD_INTERVAL, "the request is served at once");
            thread.reloader().request();
            std::thread::yield_now();
        }
    }
}
