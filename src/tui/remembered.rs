//! The files of what the client remembers: the rooms with the marks of how far they were read, what the screen shows, and
//! the last server and name. They are small, and replaced as a whole.
//!
//! Two clients of one user may run at the same time: a mark never goes back, whoever writes it.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::inlet::{KeptRoom, Look};
use crate::names::{Epoch, RoomName};
use crate::terminal::unsent::file::Owner;

/// The header of a file, which identifies its version.
const FORMAT: u32 = 1;

/// The maximum size of a file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// How many rooms are remembered.
const ROOMS_MAX: usize = 1_000;

/// The file of the last server and name.
const LAST: &str = "last.json";

/// The file of the rooms of one server and name.
#[derive(Clone, Debug)]
pub struct Marks {
    folder: PathBuf,
    owner: Owner,
}

/// What the file of rooms has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remembered {
    pub rooms: Vec<KeptRoom>,
    pub current: Option<RoomName>,
    /// `None`: the user has changed nothing yet.
    pub look: Option<Look>,
}

#[derive(Serialize, Deserialize)]
struct Content {
    hubbub_rooms: u32,
    #[serde(flatten)]
    owner: Owner,
    current: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    look: Option<Look>,
    rooms: Vec<StoredRoom>,
}

#[derive(Serialize, Deserialize)]
struct StoredRoom {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    read_seq: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    epoch: Option<u64>,
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    muted: bool,
}

impl Marks {
    /// The folder is `hubbub` in the user's folder for state.
    pub fn new(folder: PathBuf, owner: Owner) -> Self {
        Self { folder, owner }
    }

    /// What is remembered. A file that is damaged, or of another version, is as none: it has nothing that can't be
    /// found again.
    pub fn read(&self) -> Remembered {
        let Some(content) = read_file(&self.path()).and_then(|text| serde_json::from_slice::<Content>(&text).ok())
        else {
            return Remembered::default();
        };
        if content.hubbub_rooms != FORMAT || content.owner != self.owner {
            return Remembered::default();
        }
        let room = |stored: StoredRoom| {
            let epoch = stored.epoch.and_then(Epoch::new);
            let read = stored.read_seq.zip(epoch);
            Some(KeptRoom { name: RoomName::new(&stored.name).ok()?, read, is_muted: stored.muted })
        };
        let mut rooms: Vec<KeptRoom> = Vec::new();
        for room in content.rooms.into_iter().take(ROOMS_MAX).filter_map(room) {
            if !rooms.iter().any(|known| known.name == room.name) {
                rooms.push(room);
            }
        }
        let current = content.current.and_then(|name| RoomName::new(&name).ok());
        Remembered { rooms, current, look: content.look }
    }

    /// Keeps the rooms, with the newer of two marks in the same epoch.
    pub fn keep(&self, remembered: &Remembered) -> io::Result<()> {
        let Remembered { rooms, current, look } = remembered;
        let before = self.read();
        let stored = |room: &KeptRoom| {
            let other = before.rooms.iter().find(|known| known.name == room.name).and_then(|known| known.read);
            let read = match (room.read, other) {
                (Some((seq, epoch)), Some((other, its))) if epoch == its => Some((seq.max(other), epoch)),
                (read, other) => read.or(other),
            };
            let (read_seq, epoch) = read.map(|(seq, epoch)| (seq, epoch.get())).unzip();
            StoredRoom { name: room.name.as_str().to_owned(), read_seq, epoch, muted: room.is_muted }
        };
        let content = Content {
            hubbub_rooms: FORMAT,
            owner: self.owner.clone(),
            current: current.as_ref().map(|room| room.as_str().to_owned()),
            look: *look,
            rooms: rooms.iter().take(ROOMS_MAX).map(stored).collect(),
        };
        replace_file(&self.path(), &serde_json::to_vec(&content)?)
    }

    fn path(&self) -> PathBuf {
        self.folder.join(file_name("rooms", &self.owner))
    }
}

/// The name of a file of that kind: one for each server and name, whatever characters these have.
pub fn file_name(kind: &str, owner: &Owner) -> String {
    let hash = Sha256::digest(format!("{}\n{}", owner.server, owner.name));
    let name: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("{kind}-{name}.json")
}

/// The last server and name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Last {
    pub server: String,
    pub name: String,
    /// It was reached with TLS.
    #[serde(default)]
    pub tls: bool,
}

impl Last {
    pub fn read(folder: &Path) -> Option<Self> {
        serde_json::from_slice(&read_file(&folder.join(LAST))?).ok()
    }

    pub fn keep(&self, folder: &Path) -> io::Result<()> {
        if Self::read(folder).as_ref() == Some(self) {
            return Ok(());
        }
        replace_file(&folder.join(LAST), &serde_json::to_vec(self)?)
    }
}

/// A small file. `None`: there is none, or it can't be read.
pub fn read_file(path: &Path) -> Option<Vec<u8>> {
    let metadata = fs::symlink_metadata(path).ok()?;
    (metadata.is_file() && metadata.len() <= FILE_BYTES_MAX).then(|| fs::read(path).ok()).flatten()
}

/// Replaces a file as a whole. Only the user may read it.
pub fn replace_file(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(path);
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let next = folder.join(format!("{}.next", Uuid::now_v7().simple()));
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&next)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&next, path)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&next);
    }
    written
}

/// Removes a file, if it is there.
pub fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(folder: &Path, name: &str) -> Marks {
        let owner = Owner { server: "127.0.0.1:5000".to_owned(), name: name.to_owned() };
        Marks::new(folder.join("hubbub"), owner)
    }

    fn room(name: &str, read: Option<(u64, u64)>) -> KeptRoom {
        let read = read.map(|(seq, epoch)| (seq, Epoch::new(epoch).unwrap()));
        KeptRoom { name: RoomName::new(name).unwrap(), read, is_muted: false }
    }

    fn remembered(rooms: &[KeptRoom], current: Option<&RoomName>) -> Remembered {
        Remembered { rooms: rooms.to_vec(), current: current.cloned(), look: None }
    }

    #[test]
    fn rooms_and_marks_are_remembered_for_each_name() {
        let folder = tempfile::tempdir().unwrap();
        let ann = marks(folder.path(), "ann");
        assert_eq!(ann.read(), Remembered::default());
        let rooms = [room("tea", Some((7, 1))), room("lobby", None)];
        let kept = remembered(&rooms, Some(&rooms[1].name));
        ann.keep(&kept).unwrap();
        assert_eq!(ann.read(), kept);
        assert_eq!(marks(folder.path(), "bob").read(), Remembered::default());
        let count = fs::read_dir(folder.path().join("hubbub")).unwrap().count();
        assert_eq!(count, 1, "nothing is left beside the file");
    }

    /// A second client of the user has read less.
    #[test]
    fn a_mark_goes_back_only_in_another_epoch() {
        let folder = tempfile::tempdir().unwrap();
        let ann = marks(folder.path(), "ann");
        for (read, expected) in [
            (Some((7, 1)), Some((7, 1))),
            (Some((5, 1)), Some((7, 1))),
            (None, Some((7, 1))),
            (Some((9, 1)), Some((9, 1))),
            (Some((2, 2)), Some((2, 2))),
        ] {
            ann.keep(&remembered(&[room("tea", read)], None)).unwrap();
            assert_eq!(ann.read().rooms, [room("tea", expected)]);
        }
    }

    #[test]
    fn a_damaged_file_is_as_none() {
        let folder = tempfile::tempdir().unwrap();
        let ann = marks(folder.path(), "ann");
        ann.keep(&remembered(&[room("tea", Some((7, 1)))], None)).unwrap();
        for content in
            [&b"{"[..], b"", b"{\"hubbub_rooms\":2,\"server\":\"\",\"name\":\"\",\"current\":null,\"rooms\":[]}"]
        {
            fs::write(ann.path(), content).unwrap();
            assert_eq!(ann.read(), Remembered::default());
        }
        fs::remove_file(ann.path()).unwrap();
        fs::create_dir(ann.path()).unwrap();
        assert!(ann.keep(&Remembered::default()).is_err());
    }

    #[test]
    fn muted_rooms_and_the_look_are_remembered_and_older_files_have_neither() {
        let folder = tempfile::tempdir().unwrap();
        let ann = marks(folder.path(), "ann");
        let muted = KeptRoom { is_muted: true, ..room("noise", None) };
        let look = Some(Look { rooms: false, people: true, numbers: true });
        let kept = Remembered { rooms: vec![muted, room("tea", None)], current: None, look };
        ann.keep(&kept).unwrap();
        assert_eq!(ann.read(), kept);
        let older =
            r#"{"hubbub_rooms":1,"server":"127.0.0.1:5000","name":"ann","current":"tea","rooms":[{"name":"tea"}]}"#;
        fs::write(ann.path(), older).unwrap();
        assert_eq!(ann.read(), remembered(&[room("tea", None)], Some(&room("tea", None).name)));
    }

    #[test]
    fn the_last_server_and_name_are_remembered() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Last::read(folder.path()), None);
        let last = Last { server: "chat.example.org:5000".to_owned(), name: "ann".to_owned(), tls: true };
        last.keep(folder.path()).unwrap();
        assert_eq!(Last::read(folder.path()), Some(last));
    }
}
