//! Files of text that is not known to be stored: one for each running client, in a folder of the user.
//!
//! A running client holds a lock on its file, which is released at any end of the process. A file without a lock is
//! left over, and the next client of the same server and name takes it over. Files are replaced as a whole, never
//! changed.
//!
//! The folder may be on any file system, and other users may be able to write to the user's home: only regular files of
//! this user are followed, read or removed.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

use crate::client::{Line, new_message_id};
use crate::names::{Body, Kind, Mentions, MessageId, RoomName};
use crate::terminal::format::hex;

/// The header of a file, which identifies its version.
const FORMAT: u32 = 1;

/// The maximum size of a file that is read, in bytes: larger than the texts of one client.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// How many files are checked. More are not left over by accident.
const FILES_MAX: usize = 256;

/// The suffixes of the files, and of files that are being written.
const ENDING: &str = "jsonl";
const HALF_ENDING: &str = "next";

/// Why text can't be kept.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KeepError {
    #[error("HOME is not set")]
    NoHome,
    #[error("{}: {error}", .path.display())]
    Io { path: PathBuf, error: io::Error },
    #[error("{} belongs to another user, or others may write to it", .0.display())]
    Foreign(PathBuf),
}

/// The owner of the texts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    pub server: String,
    pub name: String,
}

/// A text that is not known to be stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Text {
    pub room: String,
    /// The message's id in 32 hexadecimal digits; none for a draft, which was never sent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub id: Option<String>,
    pub is_action: bool,
    /// When it was kept, in milliseconds since 1970.
    pub since_ms: u64,
    /// The message that it replies to, and the names that it mentions.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reply_to: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub mentions: Vec<String>,
    pub body: String,
}

impl Text {
    /// A line that was passed to a session.
    pub fn new(room: &RoomName, line: Line, since_ms: u64) -> Self {
        let (id, is_action) = (Some(hex(&line.id)), line.kind == Kind::Action);
        let (reply_to, mentions, body) = (line.reply_to, line.mentions.into(), line.body.as_str().to_owned());
        Self { room: room.as_str().to_owned(), id, is_action, since_ms, reply_to, mentions, body }
    }

    pub fn draft(room: &RoomName, body: &str, since_ms: u64) -> Self {
        let (id, reply_to, mentions) = (None, None, Vec::new());
        Self {
            room: room.as_str().to_owned(),
            id,
            is_action: false,
            since_ms,
            reply_to,
            mentions,
            body: body.to_owned(),
        }
    }

    /// The room and the line, with the id that it had. Fails, with the reason, if the file has impossible values.
    pub fn line(&self) -> Result<(RoomName, Line), String> {
        let room = RoomName::new(&self.room).map_err(|fault| fault.to_string())?;
        let body = Body::new(self.body.as_str()).map_err(|fault| fault.to_string())?;
        let kind = if self.is_action { Kind::Action } else { Kind::Text };
        let id = match &self.id {
            Some(id) => read_id(id).ok_or_else(|| format!("the id {id:?} is damaged"))?,
            None => new_message_id(),
        };
        let mentions = Mentions::new(self.mentions.clone()).unwrap_or_default();
        Ok((room, Line { reply_to: self.reply_to, mentions, ..Line::new(id, body, kind) }))
    }
}

fn read_id(id: &str) -> Option<MessageId> {
    let is_hex = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = u128::from_str_radix(id, 16).ok().filter(|_| is_hex)?;
    Some(MessageId::from_bytes(number.to_be_bytes()))
}

#[derive(Serialize, Deserialize)]
struct Header {
    hubbub_unsent: u32,
    #[serde(flatten)]
    owner: Owner,
}

/// The folder, and this client's file in it.
pub struct Store {
    folder: PathBuf,
    owner: Owner,
    own: Option<Own>,
    /// Files that were taken over and whose texts are not in the client's own file yet. Held for their locks.
    taken: Vec<(PathBuf, File)>,
}

struct Own {
    path: PathBuf,
    /// Held for its lock.
    _file: File,
}

/// The contents of a left-over file.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    Texts(Vec<Text>),
    /// The part of it that could be read.
    Damaged(Vec<Text>),
    /// It belongs to another owner, or to a later version.
    NotOurs,
}

impl Store {
    /// The folder is `hubbub/unsent` in the user's folder for state, as defined by the XDG base directories. Nothing is
    /// created.
    pub fn find(owner: Owner, variable: impl Fn(&str) -> Option<PathBuf>) -> Result<Self, KeepError> {
        let absolute = |name| variable(name).filter(|path| path.is_absolute());
        let state = absolute("XDG_STATE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/state")));
        let folder = state.ok_or(KeepError::NoHome)?.join("hubbub/unsent");
        Ok(Self { folder, owner, own: None, taken: Vec::new() })
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Takes over the texts that clients of this owner left. Returns the texts, and the files that could not be read
    /// completely; these are renamed.
    pub fn take_over(&mut self) -> Result<(Vec<Text>, Vec<PathBuf>), KeepError> {
        // Each with the latest time up to it in its file: a clock that was set back does not change the order of a file.
        let mut texts: Vec<(u64, Text)> = Vec::new();
        let mut damaged: Vec<PathBuf> = Vec::new();
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), damaged)),
            Err(error) => return Err(KeepError::Io { path: self.folder.clone(), error }),
        };
        check_folder(&self.folder)?;
        let mut paths: Vec<PathBuf> = entries.take(FILES_MAX).flatten().map(|entry| entry.path()).collect();
        paths.sort();
        // A client was killed during a write: its previous file exists too.
        for half in paths.iter().filter(|path| path.extension().is_some_and(|ending| ending == HALF_ENDING)) {
            let _ = open_left_over(half).map(|_| fs::remove_file(half));
        }
        for path in paths.into_iter().filter(|path| path.extension().is_some_and(|ending| ending == ENDING)) {
            // A file that can't be opened or is in use is skipped.
            let Some(file) = open_left_over(&path) else { continue };
            let found = match read(&file, &self.owner) {
                Found::NotOurs => continue,
                Found::Texts(found) => {
                    self.taken.push((path, file));
                    found
                }
                Found::Damaged(found) => {
                    let aside = path.with_extension("damaged");
                    // If that fails, it stays, and is found again at the next start.
                    damaged.push(if fs::rename(&path, &aside).is_ok() { aside } else { path });
                    found
                }
            };
            // A client may have been killed between taking a file over and removing it.
            let mut latest_ms = 0;
            for text in found {
                latest_ms = text.since_ms.max(latest_ms);
                if !texts.iter().any(|(_, known)| is_same(known, &text)) {
                    texts.push((latest_ms, text));
                }
            }
        }
        texts.sort_by_key(|(latest_ms, _)| *latest_ms);
        Ok((texts.into_iter().map(|(_, text)| text).collect(), damaged))
    }

    /// Keeps exactly these texts. When this returns, they are on the disk. Without any, the file is removed.
    pub fn keep(&mut self, texts: &[Text]) -> Result<(), KeepError> {
        if texts.is_empty() {
            let own = self.own.take().map(|own| own.path);
            for path in own.into_iter().chain(self.taken.drain(..).map(|(path, _)| path)) {
                let _ = fs::remove_file(path);
            }
            // Only empty folders can be removed.
            let _ = fs::remove_dir(&self.folder);
            let _ = self.folder.parent().map(fs::remove_dir);
            return Ok(());
        }
        let path = match &self.own {
            Some(own) => own.path.clone(),
            None => self.folder.join(format!("{}.{ENDING}", Uuid::now_v7().simple())),
        };
        let file = match self.replace(&path, texts) {
            // Another client has just removed the folder, which was empty.
            Err(KeepError::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => self.replace(&path, texts),
            outcome => outcome,
        }?;
        self.own = Some(Own { path, _file: file });
        for (path, _) in self.taken.drain(..) {
            let _ = fs::remove_file(path);
        }
        Ok(())
    }

    /// Replaces the file as a whole.
    fn replace(&self, path: &Path, texts: &[Text]) -> Result<File, KeepError> {
        let fault = |error| KeepError::Io { path: self.folder.clone(), error };
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder).map_err(fault)?;
        check_folder(&self.folder)?;
        let next = path.with_extension(HALF_ENDING);
        let file = self.write(&next, texts).and_then(|file| fs::rename(&next, path).map(|()| file));
        // The name is durable only if the folder is synced too.
        let synced = file.and_then(|file| File::open(&self.folder)?.sync_all().map(|()| file));
        synced.map_err(|error| {
            let _ = fs::remove_file(&next);
            fault(error)
        })
    }

    fn write(&self, path: &Path, texts: &[Text]) -> io::Result<File> {
        let mut content = serde_json::to_vec(&Header { hubbub_unsent: FORMAT, owner: self.owner.clone() })?;
        content.push(b'\n');
        for text in texts {
            serde_json::to_writer(&mut content, text)?;
            content.push(b'\n');
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        // Locked before it has its name, so that no client takes it over.
        file.try_lock().map_err(io::Error::other)?;
        file.write_all(&content)?;
        file.sync_all()?;
        Ok(file)
    }
}

/// Whether it is the same text twice.
fn is_same(one: &Text, other: &Text) -> bool {
    one.room == other.room && one.id == other.id && (one.id.is_some() || one.body == other.body)
}

/// No other user may be able to create or replace files there.
fn check_folder(folder: &Path) -> Result<(), KeepError> {
    let metadata = fs::metadata(folder).map_err(|error| KeepError::Io { path: folder.to_owned(), error })?;
    let is_private = metadata.is_dir() && is_own(&metadata) && metadata.mode() & 0o022 == 0;
    if is_private { Ok(()) } else { Err(KeepError::Foreign(folder.to_owned())) }
}

fn is_own(metadata: &fs::Metadata) -> bool {
    metadata.uid() == rustix::process::geteuid().as_raw()
}

/// Opens and locks a file that no running client has; `None` if there is none of that kind.
fn open_left_over(path: &Path) -> Option<File> {
    // A pipe with that name must not block the client, and a link must not be followed.
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).ok()?;
    let metadata = file.metadata().ok()?;
    if !metadata.is_file() || !is_own(&metadata) || metadata.len() > FILE_BYTES_MAX {
        return None;
    }
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock | TryLockError::Error(_)) => return None,
    }
    // Its client may have replaced or removed it since.
    let named = fs::symlink_metadata(path).ok()?;
    (named.ino() == metadata.ino() && named.dev() == metadata.dev()).then_some(file)
}

fn read(file: &File, owner: &Owner) -> Found {
    let mut content = Vec::new();
    if file.take(FILE_BYTES_MAX).read_to_end(&mut content).is_err() {
        return Found::Damaged(Vec::new());
    }
    parse(&content, owner)
}

pub fn parse(content: &[u8], owner: &Owner) -> Found {
    let mut lines = content.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    match lines.next().map(serde_json::from_slice::<Header>) {
        Some(Ok(header)) if header.hubbub_unsent != FORMAT || header.owner != *owner => return Found::NotOurs,
        Some(Ok(_)) => {}
        // Its owner is unknown.
        _ => return Found::Damaged(Vec::new()),
    }
    let texts: Vec<Result<Text, _>> = lines.map(serde_json::from_slice).collect();
    let is_whole = texts.iter().all(Result::is_ok);
    let texts = texts.into_iter().flatten().collect();
    if is_whole { Found::Texts(texts) } else { Found::Damaged(texts) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use tempfile::TempDir;

    use super::*;

    fn owner(name: &str) -> Owner {
        Owner { server: "127.0.0.1:5000".to_owned(), name: name.to_owned() }
    }

    fn store(home: &TempDir, name: &str) -> Store {
        let path = home.path().to_owned();
        Store::find(owner(name), move |variable| (variable == "HOME").then(|| path.clone())).unwrap()
    }

    fn text(id: &str, body: &str) -> Text {
        let (room, id) = ("lobby".to_owned(), Some(id.to_owned()));
        Text {
            room,
            id,
            is_action: false,
            since_ms: 1,
            reply_to: Some(7),
            mentions: vec!["ann".to_owned()],
            body: body.to_owned(),
        }
    }

    fn bodies(store: &mut Store) -> Vec<String> {
        store.take_over().unwrap().0.into_iter().map(|text| text.body).collect()
    }

    #[test]
    fn kept_texts_are_taken_over_once_and_removed() {
        let home = tempfile::tempdir().unwrap();
        let mut first = store(&home, "ann");
        assert!(bodies(&mut first).is_empty() && !first.folder().exists(), "no folder is created without texts");
        first.keep(&[text("1", "one")]).unwrap();
        first.keep(&[text("1", "one"), text("2", "two\n\u{1b}")]).unwrap();
        assert_eq!(fs::read_dir(first.folder()).unwrap().count(), 1);
        let path = fs::read_dir(first.folder()).unwrap().next().unwrap().unwrap().path();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(first.folder()).unwrap().mode() & 0o777, 0o700);
        // While the first client runs, its file is its own.
        assert!(bodies(&mut store(&home, "ann")).is_empty());
        drop(first);
        assert!(bodies(&mut store(&home, "bob")).is_empty(), "it is not bob's");
        let mut second = store(&home, "ann");
        assert_eq!(bodies(&mut second), ["one", "two\n\u{1b}"]);
        assert!(bodies(&mut store(&home, "ann")).is_empty(), "the second client has it");
        second.keep(&[text("2", "two\n\u{1b}"), text("3", "three")]).unwrap();
        assert_eq!(fs::read_dir(second.folder()).unwrap().count(), 1);
        second.keep(&[]).unwrap();
        assert!(!home.path().join(".local/state/hubbub").exists());
    }

    /// The clock was set back while a client was running.
    #[test]
    fn the_texts_of_a_file_stay_in_their_order() {
        let home = tempfile::tempdir().unwrap();
        let at = |since_ms, id: &str| Text { since_ms, ..text(id, id) };
        let mut first = store(&home, "ann");
        first.keep(&[at(500, "1"), at(400, "2"), at(600, "3")]).unwrap();
        let mut second = store(&home, "ann");
        second.keep(&[at(450, "4"), at(550, "5")]).unwrap();
        drop((first, second));
        assert_eq!(bodies(&mut store(&home, "ann")), ["4", "1", "2", "5", "3"]);
    }

    #[test]
    fn a_kill_after_taking_over_repeats_no_text() {
        let home = tempfile::tempdir().unwrap();
        let mut first = store(&home, "ann");
        first.keep(&[text("1", "one")]).unwrap();
        let path = first.own.as_ref().unwrap().path.clone();
        let copy = path.with_file_name("0.jsonl");
        fs::copy(path, &copy).unwrap();
        fs::write(copy.with_extension(HALF_ENDING), b"{").unwrap();
        drop(first);
        let mut next = store(&home, "ann");
        assert_eq!(bodies(&mut next), ["one"]);
        next.keep(&[]).unwrap();
        assert!(!next.folder().exists());
    }

    /// Other programs may have put links, pipes, folders, and files of other kinds there.
    #[test]
    fn other_kinds_of_files_are_skipped() {
        let home = tempfile::tempdir().unwrap();
        let mut ann = store(&home, "ann");
        ann.keep(&[text("1", "one")]).unwrap();
        let folder = ann.folder().to_owned();
        let outside = home.path().join("outside");
        fs::copy(ann.own.as_ref().unwrap().path.clone(), &outside).unwrap();
        drop(ann);
        symlink(&outside, folder.join("a.jsonl")).unwrap();
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mkfifoat(rustix::fs::CWD, folder.join("b.jsonl"), mode).unwrap();
        fs::create_dir(folder.join("c.jsonl")).unwrap();
        let large = File::create(folder.join("d.jsonl")).unwrap();
        large.set_len(FILE_BYTES_MAX + 1).unwrap();
        let mut next = store(&home, "ann");
        assert_eq!(bodies(&mut next), ["one"]);
        next.keep(&[]).unwrap();
        assert!(outside.exists() && folder.exists());
        // A folder that others may write to is not used.
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(store(&home, "ann").take_over(), Err(KeepError::Foreign(_))));
        assert!(matches!(store(&home, "ann").keep(&[text("1", "one")]), Err(KeepError::Foreign(_))));
    }

    #[test]
    fn a_damaged_file_is_renamed_and_its_readable_texts_are_kept() {
        let home = tempfile::tempdir().unwrap();
        let mut ann = store(&home, "ann");
        ann.keep(&[text("1", "one"), text("2", "two")]).unwrap();
        let path = ann.own.as_ref().unwrap().path.clone();
        drop(ann);
        let content = fs::read_to_string(&path).unwrap();
        fs::write(&path, &content[..content.len() - 10]).unwrap();
        fs::write(path.with_file_name("1.jsonl"), b"\xff\xfe").unwrap();
        let (texts, damaged) = store(&home, "ann").take_over().unwrap();
        assert_eq!((texts, damaged.len()), (vec![text("1", "one")], 2));
        assert!(damaged.iter().all(|path| path.exists() && path.extension().unwrap() == "damaged"));
        assert!(store(&home, "ann").take_over().unwrap().1.is_empty(), "damage is reported once");
    }

    #[test]
    fn a_folder_that_cannot_be_used_is_an_error_with_the_reason() {
        assert!(matches!(Store::find(owner("ann"), |_| None), Err(KeepError::NoHome)));
        let relative = |name: &str| (name == "XDG_STATE_HOME").then(|| PathBuf::from("state"));
        assert!(
            matches!(Store::find(owner("ann"), relative), Err(KeepError::NoHome)),
            "a relative path does not count"
        );
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join(".local"), b"a file").unwrap();
        let fault = store(&home, "ann").keep(&[text("1", "one")]).unwrap_err().to_string();
        assert!(fault.contains(".local/state/hubbub/unsent: "), "{fault}");
    }
}
