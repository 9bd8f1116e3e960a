//! A machine that loses power: a server of which only that is left which it has synced.

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

/// Where a database says how many pages it has: as documented with SQLite's format.
const PAGES_AT: usize = 28;

/// The machine. It keeps its folders in one, which is removed with it.
pub struct Machine {
    folder: TempDir,
    sync: &'static str,
}

/// Which of the writes that were not synced the disk has got nevertheless: it may write any of them, at any time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsynced {
    Nothing,
    /// Those to the database, and none to its write-ahead log.
    Database,
    /// Those to the write-ahead log, and none to the database.
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
        assert!(compile.args(["-ldl", "-lpthread"]).status().expect("cc is there, as for the build").success());
        machine
    }

    /// What the server writes, synced or not.
    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// What it has synced.
    fn disk(&self) -> PathBuf {
        self.folder.path().join("disk")
    }

    fn library(&self) -> PathBuf {
        self.folder.path().join("disk.so")
    }

    /// Starts the server on what the disk has.
    pub fn start(&self) -> ServerProcess {
        copy(&self.disk(), &self.data(), |_| true);
        let mut command = command();
        command.args(["--listen", "127.0.0.1:0", "--sync", self.sync, "--data"]).arg(self.data());
        command.env("LD_PRELOAD", self.library());
        // The server's own name of the folder has no links in it.
        let data = self.data().canonicalize().expect("the folder is there");
        command.env("HUBBUB_POWER_DATA", data).env("HUBBUB_POWER_DISK", self.disk());
        ServerProcess::listening(command)
    }

    /// What is left after a power cut, in a folder of its own.
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

    /// How many pages the server's database has, synced or not, without those that are in its write-ahead log only. The file's
    /// length does not tell: it is allocated in advance.
    pub fn database_pages(&self) -> u32 {
        let mut header = [0; PAGES_AT + 4];
        let read = File::open(self.data().join(DATABASE)).and_then(|file| file.read_exact_at(&mut header, 0));
        read.map_or(0, |()| u32::from_be_bytes(*header.last_chunk().expect("the header ends with the number")))
    }
}

/// Makes a folder hold those files of another one that are to be copied, and in their place no others: all, but for what
/// was not copied to its end.
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
