//! The file of the lines that the user entered last, so that Up finds them after a restart.
//!
//! As with a shell's history, a line that begins with a blank is not kept. The user can switch the file off.

use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::inlet::EnteredLine;
use super::remembered::{file_name, read_file, remove_file, replace_file};
use crate::names::RoomName;
use crate::terminal::unsent::file::Owner;

/// The header of a file, which identifies its version.
const FORMAT: u32 = 1;

/// How many lines are kept, and how long one may be, in bytes. A longer one was pasted.
pub const LINES_MAX: usize = 200;
const LINE_BYTES_MAX: usize = 2 * 1024;

/// The file of the lines that were entered with one server and name.
#[derive(Clone, Debug)]
pub struct InputHistory {
    folder: PathBuf,
    owner: Owner,
}

#[derive(Serialize, Deserialize)]
struct Content {
    hubbub_lines: u32,
    #[serde(flatten)]
    owner: Owner,
    lines: Vec<StoredLine>,
}

#[derive(Serialize, Deserialize)]
struct StoredLine {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    room: Option<String>,
    time_ms: u64,
    text: String,
}

/// Whether a line is kept on the disk.
pub fn is_kept(text: &str) -> bool {
    !text.starts_with(char::is_whitespace) && !text.is_empty() && text.len() <= LINE_BYTES_MAX
}

impl InputHistory {
    /// The folder is `hubbub` in the user's folder for state.
    pub fn new(folder: PathBuf, owner: Owner) -> Self {
        Self { folder, owner }
    }

    /// The lines, the oldest first. A file that is damaged, or of another version, is as none.
    pub fn read(&self) -> Vec<EnteredLine> {
        let Some(content) = read_file(&self.path()).and_then(|text| serde_json::from_slice::<Content>(&text).ok())
        else {
            return Vec::new();
        };
        if content.hubbub_lines != FORMAT || content.owner != self.owner {
            return Vec::new();
        }
        let skip = content.lines.len().saturating_sub(LINES_MAX);
        let line = |StoredLine { room, time_ms, text }: StoredLine| {
            let room = room.and_then(|room| RoomName::new(&room).ok());
            is_kept(&text).then_some(EnteredLine { room, time_ms, text })
        };
        content.lines.into_iter().skip(skip).filter_map(line).collect()
    }

    /// Keeps the newest of these lines and of those that another client of the user has kept meanwhile.
    pub fn keep(&self, lines: &[EnteredLine]) -> io::Result<()> {
        let mut all = self.read();
        all.extend(lines.iter().filter(|line| is_kept(&line.text)).cloned());
        all.sort_by(|one, other| (one.time_ms, &one.room, &one.text).cmp(&(other.time_ms, &other.room, &other.text)));
        all.dedup();
        let skip = all.len().saturating_sub(LINES_MAX);
        let stored = |line: EnteredLine| StoredLine {
            room: line.room.map(|room| room.as_str().to_owned()),
            time_ms: line.time_ms,
            text: line.text,
        };
        let lines = all.into_iter().skip(skip).map(stored).collect();
        let content = Content { hubbub_lines: FORMAT, owner: self.owner.clone(), lines };
        replace_file(&self.path(), &serde_json::to_vec(&content)?)
    }

    /// Removes the file, if there is one.
    pub fn remove(&self) -> io::Result<()> {
        remove_file(&self.path())
    }

    fn path(&self) -> PathBuf {
        self.folder.join(file_name("lines", &self.owner))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use super::*;

    fn history(folder: &Path) -> InputHistory {
        let owner = Owner { server: "127.0.0.1:5000".to_owned(), name: "ann".to_owned() };
        InputHistory::new(folder.join("hubbub"), owner)
    }

    fn line(time_ms: u64, text: &str) -> EnteredLine {
        EnteredLine { room: Some(RoomName::new("tea").unwrap()), time_ms, text: text.to_owned() }
    }

    #[test]
    fn the_newest_lines_are_kept_for_the_user_alone() {
        let folder = tempfile::tempdir().unwrap();
        let history = history(folder.path());
        assert_eq!(history.read(), []);
        let lines: Vec<_> = (0..300).map(|n| line(n, &format!("line {n}"))).collect();
        history.keep(&lines).unwrap();
        assert_eq!(history.read(), lines[100..]);
        assert_eq!(fs::metadata(history.path()).unwrap().permissions().mode() & 0o777, 0o600);
        history.remove().unwrap();
        history.remove().unwrap();
        assert_eq!(history.read(), []);
    }

    /// Two clients of a user run at the same time, and each keeps what it knows.
    #[test]
    fn lines_of_two_clients_are_joined() {
        let folder = tempfile::tempdir().unwrap();
        let history = history(folder.path());
        let (one, two, three) = (line(1, "one"), line(2, "two"), line(3, "three"));
        history.keep(&[one.clone(), three.clone()]).unwrap();
        history.keep(&[one.clone(), two.clone()]).unwrap();
        assert_eq!(history.read(), [one, two, three]);
    }

    #[test]
    fn a_line_after_a_blank_and_a_long_one_are_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let history = history(folder.path());
        history.keep(&[line(1, " secret"), line(2, &"x".repeat(LINE_BYTES_MAX + 1)), line(3, "kept")]).unwrap();
        assert_eq!(history.read(), [line(3, "kept")]);
    }

    #[test]
    fn a_damaged_file_is_as_none() {
        let folder = tempfile::tempdir().unwrap();
        let history = history(folder.path());
        history.keep(&[line(1, "one")]).unwrap();
        for content in ["{", "", "{\"hubbub_lines\":9,\"server\":\"\",\"name\":\"\",\"lines\":[]}"] {
            fs::write(history.path(), content).unwrap();
            assert_eq!(history.read(), []);
        }
    }
}
