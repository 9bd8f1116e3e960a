//! A list of the deleted messages, in a file beside the database: its deletions are applied again to a restored
//! database, so that an older backup does not bring a deleted text back.
//!
//! Each line is a deletion: the bits that identify the room in all its epochs, the seq and the id of the message,
//! whether the user who deleted it had logged in, and that user's name. The file only grows, by about 80 bytes a
//! deletion, up to [`DELETIONS_BYTES_MAX`].
//!
//! Lines are written at the commit of the deletion, and synced when the text is erased. So a power cut may lose the
//! newest lines, but not the deletions themselves.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::{Arc, OnceLock};

use super::privacy;
use super::rows::{Place, Rows};
use crate::limits::DELETIONS_BYTES_MAX;
use crate::names::{Epoch, MessageId, RoomId, Sender, Seq, UserName};
use crate::server::log::draft::Deletion;
use crate::server::log::{Act, Change, Post, RoomState, What};

/// The file's name in the data folder.
const NAME: &str = "deletions";

/// The file of a folder. It is created with the first deletion.
pub struct Deletions {
    folder: Arc<super::folder::Folder>,
    /// Set by the first deletion. The log writer writes it and the log keeper syncs it.
    file: OnceLock<File>,
}

impl Deletions {
    pub fn new(folder: Arc<super::folder::Folder>) -> Self {
        Self { folder, file: OnceLock::new() }
    }

    /// Adds the deletions of a room. An error is only logged: the messages are deleted already.
    pub fn add(&self, room: Epoch, deletions: &[Deletion]) {
        let lines: String = deletions.iter().map(|deletion| deletion.line(room.room())).collect();
        if let Err(fault) = self.write(&lines) {
            let path = self.folder.path.join(NAME);
            log::error!(
                "{} can't be written ({fault}): a backup that is restored may bring back the messages that were deleted now",
                path.display()
            );
        }
    }

    fn write(&self, lines: &str) -> io::Result<()> {
        let mut file = match self.file.get() {
            Some(file) => file,
            None => {
                let path = self.folder.path.join(NAME);
                shorten(&path)?;
                let file = privacy::options().append(true).create(true).open(path)?;
                privacy::give_to_owner(&file, &self.folder.path)?;
                self.file.get_or_init(|| file)
            }
        };
        file.write_all(lines.as_bytes())
    }

    /// Makes all lines so far durable.
    pub fn sync(&self) -> io::Result<()> {
        self.file.get().map_or(Ok(()), File::sync_data)
    }
}

/// Removes the older half of the file if it is too long.
fn shorten(path: &Path) -> io::Result<()> {
    if !fs::metadata(path).is_ok_and(|file| file.len() > DELETIONS_BYTES_MAX) {
        return Ok(());
    }
    let text = fs::read(path)?;
    let half = &text[text.len() / 2..];
    let begin = half.iter().position(|byte| *byte == b'\n').map_or(half.len(), |end| end + 1);
    let copy = path.with_extension("new");
    let mut file = privacy::options().write(true).create(true).truncate(true).open(&copy)?;
    file.write_all(&half[begin..])?;
    file.sync_all()?;
    fs::rename(copy, path)
}

/// The deletions in a folder's file that are missing from a database, as posts.
pub fn missing(folder: &Path, connection: &rusqlite::Connection, rooms: &[RoomState]) -> Vec<Post> {
    let Ok(text) = fs::read(folder.join(NAME)) else { return Vec::new() };
    let rooms: HashMap<u32, &RoomState> = rooms.iter().map(|room| (room.epoch.room(), room)).collect();
    let lines = text.split(|byte| *byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok());
    let is_missing = |(room, deletion): &(&RoomState, Deletion)| deletion.is_missing(connection, room.id);
    let found = lines.filter_map(Deletion::read).filter_map(|(room, deletion)| Some((*rooms.get(&room)?, deletion)));
    found.filter(is_missing).map(|(room, deletion)| deletion.post(room)).collect()
}

impl Deletion {
    fn line(&self, room: u32) -> String {
        let Self { seq, id, by: Sender { name, authenticated } } = self;
        let id = u128::from_be_bytes(*id.as_bytes());
        format!("{room:08x} {seq} {id:032x} {} {}\n", u8::from(*authenticated), name.as_str())
    }

    fn read(line: &str) -> Option<(u32, Self)> {
        let mut words = line.splitn(5, ' ');
        let room = u32::from_str_radix(words.next()?, 16).ok()?;
        let seq = Seq(words.next()?.parse().ok()?);
        let id = MessageId::from_bytes(u128::from_str_radix(words.next()?, 16).ok()?.to_be_bytes());
        let authenticated = words.next()? == "1";
        let name = UserName::new(words.next()?).ok()?;
        Some((room, Self { seq, id, by: Sender { name, authenticated } }))
    }

    /// Whether the message is stored and not deleted. The seq may belong to another message now.
    fn is_missing(&self, connection: &rusqlite::Connection, room: RoomId) -> bool {
        let Ok(Place::Segment(segment)) = (Rows { connection, room }).place(self.seq) else { return false };
        let entry = segment.entries().find(|entry| entry.seq == self.seq);
        entry.and_then(|entry| entry.message()).is_some_and(|message| message.id == self.id && !message.is_deleted)
    }

    fn post(self, room: &RoomState) -> Post {
        let change = Change { epoch: None, act: Act::Delete { message: self.seq, anybodys: true } };
        Post { room: room.name.clone(), sender: self.by, what: What::Change(Box::new(change)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::{Body, Mentions};
    use crate::server::log::conformance::{at, change, post, room};
    use crate::server::log::sqlite::{self, SyncMode};
    use crate::server::log::{Appender as _, Page, Retention};

    #[test]
    fn a_line_is_read_as_it_was_written() {
        let name = UserName::new("ann of the tea room").unwrap();
        let by = Sender { name, authenticated: true };
        let deletion = Deletion { seq: Seq(300), id: MessageId::from_bytes([9; 16]), by };
        let line = deletion.line(0xabc);
        assert_eq!(Deletion::read(line.trim_end()), Some((0xabc, deletion)));
        for line in ["", "1", "x 1 1 1 ann", "1 1 1 1", "1 1 1 1 "] {
            assert_eq!(Deletion::read(line), None, "{line:?}");
        }
    }

    /// An older copy of the database has the texts of messages that were deleted later: the first text of one, and an edit
    /// of another. A different message that now has the seq of a deleted one is not affected.
    #[test]
    fn an_older_copy_does_not_bring_a_deleted_text_back() {
        let folder = tempfile::tempdir().unwrap();
        let (database, attic) = (folder.path().join("hubbub.db"), room("attic"));
        let open = |restored| sqlite::open(folder.path(), SyncMode::Full, restored, Retention::default()).unwrap();
        let said = |id, body: &str| post(&attic, "ann", id, body);
        let bodies = |log: &dyn crate::server::log::Log| {
            let Page::Segments(segments) = log.read(RoomId(1), Seq(1), 100_000).unwrap() else { panic!("it is sound") };
            let entries: Vec<_> = segments.iter().flat_map(|segment| segment.entries()).collect();
            let bytes = segments.iter().flat_map(|segment| segment.frame().as_slice()).copied().collect::<Vec<_>>();
            let has_secret = String::from_utf8_lossy(&bytes).contains("secret");
            let bodies = entries.iter().filter_map(|entry| Some(entry.message()?.body.to_owned()));
            (bodies.collect::<Vec<_>>().join(","), has_secret)
        };
        let edit = |message, body: &str| {
            let (body, mentions) = (Body::new(body).unwrap(), Mentions::default());
            change(&attic, "ann", Act::Edit { message: Seq(message), body, mentions, seen: None })
        };
        let (mut appender, log) = open(false);
        let posts = [said(1, "one"), said(2, "secret"), said(3, "three"), edit(3, "a secret, too")];
        appender.append(&posts, at(1)).unwrap();
        assert_eq!(bodies(&*log), ("one,secret,a secret, too".to_owned(), true));
        drop((appender, log));
        std::fs::copy(&database, folder.path().join("copy")).unwrap();
        let (mut appender, log) = open(false);
        let delete = |message| change(&attic, "ann", Act::Delete { message: Seq(message), anybodys: false });
        let posts = [said(4, "four"), edit(2, "not a secret"), delete(2), delete(3), delete(5)];
        appender.append(&posts, at(2)).unwrap();
        assert_eq!(bodies(&*log), ("one,,,".to_owned(), false));
        drop((appender, log));
        // The copy, in which other events get the numbers from 5 on.
        std::fs::copy(folder.path().join("copy"), &database).unwrap();
        let (mut appender, log) = open(true);
        assert_eq!(bodies(&*log), ("one,,".to_owned(), false));
        appender.append(&[said(5, "five")], at(3)).unwrap();
        drop((appender, log));
        let (_appender, log) = open(true);
        assert_eq!(bodies(&*log), ("one,,,five".to_owned(), false));
    }

    #[test]
    fn a_long_file_loses_its_older_half() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(NAME);
        let line = "0000000a 1 00 0 ann\n";
        std::fs::write(&path, line.repeat(DELETIONS_BYTES_MAX as usize / line.len() + 1)).unwrap();
        shorten(&path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.len() as u64 <= DELETIONS_BYTES_MAX / 2 && text.starts_with(line) && text.ends_with(line));
        shorten(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }
}
