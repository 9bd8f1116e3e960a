//! A machine that loses power: only the synced writes of its server remain.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::process::{ServerProcess, command};

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/power/disk.c");

/// The database's name in its folder, and its write-ahead log's.
const DATABASE: &str = "hubbub.db";
const WRITE_AHEAD: &str = "hubbub.db-wal";

/// The position of the number of pages in a database file, as defined by SQLite's format.
const PAGES_AT: usize = 28;

/// The machine. Its folders are removed with it.
pub struct Machine {
    folder: TempDir,
    sync: &'static str,
}

/// Which of the unsynced writes reached the disk nevertheless: a disk may write any of them at any time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsynced {
    Nothing,
    /// The writes to the database, and none to its write-ahead log.
    Database,
    /// The writes to the write-ahead log, and none to the database.
    WriteAhead,
}

impl Machine {
    /// A machine with an empty disk, whose server runs with this `--sync`.
    pub fn new(sync: &'static str) -> Self {
        let folder = TempDir::new().expect("a folder can be made");
        let machine = Self { folder, sync };
        for folder in [machine.data(), machine.disk()] {
            fs::create_dir(folder).expect("a folder can be made");
        }
        let mut compile = Command::new("cc");
        compile.args(["-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o"]).arg(machine.library()).arg(SOURCE);
        assert!(compile.args(["-ldl", "-lpthread"]).status().expect("cc is installed, as for the build").success());
        machine
    }

    /// The folder with all writes of the server.
    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The folder with its synced writes.
    fn disk(&self) -> PathBuf {
        self.folder.path().join("disk")
    }

    fn library(&self) -> PathBuf {
        self.folder.path().join("disk.so")
    }

    /// Starts the server with the contents of the disk.
    pub fn start(&self) -> ServerProcess {
        copy(&self.disk(), &self.data(), |_| true);
        let mut command = command();
        command.args(["--listen", "127.0.0.1:0", "--sync", self.sync, "--data"]).arg(self.data());
        command.env("LD_PRELOAD", self.library());
        // The server resolves links in the folder's path.
        let data = self.data().canonicalize().expect("the folder is there");
        command.env("HUBBUB_POWER_DATA", data).env("HUBBUB_POWER_DISK", self.disk());
        ServerProcess::listening(command)
    }

    /// The state after a power cut, in a new folder.
    pub fn left(&self, unsynced: Unsynced) -> TempDir {
        let left = TempDir::new().expect("a folder can be made");
        copy(&self.disk(), left.path(), |_| true);
        match unsynced {
            Unsynced::Nothing => {}
            Unsynced::Database => copy(&self.data(), left.path(), |name| name == DATABASE),
            Unsynced::WriteAhead => copy(&self.data(), left.path(), |name| name == WRITE_AHEAD),
        }
        left
    }

    /// How many pages the server's database has, synced or not, without those that are only in its write-ahead log. The
    /// file's length does not show that, because the file is allocated in advance.
    pub fn database_pages(&self) -> u32 {
        let mut header = [0; PAGES_AT + 4];
        let read = File::open(self.data().join(DATABASE)).and_then(|file| file.read_exact_at(&mut header, 0));
        read.map_or(0, |()| u32::from_be_bytes(*header.last_chunk().expect("the header ends with the number")))
    }
}

/// Replaces the selected files of a folder with those of another one. Files that were not copied completely (their
/// names begin with a dot) are skipped.
fn copy(from: &Path, to: &Path, which: impl Fn(&OsStr) -> bool) {
    let files = |folder| fs::read_dir(folder).expect("the folder is there").map(|file| file.expect("it can be listed"));
    for file in files(to).filter(|file| which(&file.file_name())) {
        fs::remove_file(file.path()).expect("a file can be removed");
    }
    for file in files(from) {
        let name = file.file_name();
        if which(&name) && name.as_encoded_bytes()[0] != b'.' {
            fs::copy(file.path(), to.join(name)).expect("a file can be copied");
        }
    }
}
