//! Tests of the index as a whole: a log whose messages change, and an index that follows it.

mod fake_log;
mod model;
mod erasure;
mod recovery;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use self::fake_log::FakeLog;
use super::{Announcer, Fault, Hit, Query, SearchConfig, SearchThread, Wanted};
use crate::names::{RoomId, Seq};
use crate::server::log::{Log, Retention};

/// How long a test waits for an event that must happen.
const DEADLINE: Duration = Duration::from_secs(60);

/// An index that follows a log.
struct Scene {
    log: Arc<FakeLog>,
    folder: TempDir,
    index: Option<SearchThread>,
}

impl Scene {
    fn new() -> Self {
        let mut scene =
            Self { log: FakeLog::new(), folder: tempfile::tempdir().expect("a folder can be made"), index: None };
        scene.start();
        scene
    }

    /// Starts the index, or starts it again.
    fn start(&mut self) {
        self.stop();
        let log: Arc<dyn Log> = Arc::clone(&self.log) as _;
        let retention = Retention { erase_after: Duration::from_millis(1), ..Retention::default() };
        let config = SearchConfig { folder: Some(self.folder.path()), retention, has_space: Box::new(|| true) };
        let index = SearchThread::start(log, config).expect("it starts");
        self.log.announce_to(index.announcer());
        self.index = Some(index);
    }

    fn stop(&mut self) {
        if let Some(mut index) = self.index.take() {
            index.stop();
        }
    }

    fn index(&self) -> &SearchThread {
        self.index.as_ref().expect("it is started")
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join(super::place::FILE)
    }

    /// Waits until everything is indexed.
    fn catch_up(&self) {
        let search = self.index().search();
        wait_for("the index to catch up", || search.lookup().is_ok() && search.behind(|_| true) == 0);
    }

    fn try_find(&self, query: &str, rooms: Option<&[RoomId]>) -> Result<Vec<(RoomId, Seq)>, Fault> {
        let query = Query::parse(query).expect("it is valid");
        let wanted = Wanted { query: &query, rooms, sender: None, after_ms: 0, before_ms: 0 };
        self.find_wanted(&wanted)
    }

    fn find_wanted(&self, wanted: &Wanted<'_>) -> Result<Vec<(RoomId, Seq)>, Fault> {
        let search = self.index().search();
        let hits = search.lookup()?.find(wanted, None, usize::MAX >> 1)?;
        Ok(hits.into_iter().map(|Hit { room, seq, .. }| (room, seq)).collect())
    }

    /// What the index has for a query, newest first.
    fn find(&self, query: &str) -> Vec<(RoomId, Seq)> {
        self.try_find(query, None).expect("the index can be read")
    }

    /// The files of the index that contain this text.
    fn files_with(&self, text: &str) -> Vec<String> {
        files_with(self.folder.path(), text)
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.stop();
    }
}

fn files_with(folder: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for file in fs::read_dir(folder).expect("the folder is there").flatten() {
        // SQLite may delete one meanwhile.
        let bytes = fs::read(file.path()).unwrap_or_default();
        if bytes.windows(text.len()).any(|window| window.eq_ignore_ascii_case(text.as_bytes())) {
            found.push(file.file_name().to_string_lossy().into_owned());
        }
    }
    found
}

fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < deadline, "timed out waiting for {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}
