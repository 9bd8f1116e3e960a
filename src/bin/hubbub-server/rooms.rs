//! `hubbub-server room`: lists the rooms of a log, and deletes some.

use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Subcommand;
use hubbub::escape::escape_name;
use hubbub::server::log::clock::date;
use hubbub::server::log::sqlite::{self, BackupError, ListedRoom};
use hubbub::server::search;

use crate::words::{complain, counted};

/// The commands on rooms.
#[derive(Debug, Subcommand)]
pub enum RoomCommand {
    /// Print the rooms with their numbers of messages and bytes; a server may be running
    ///
    /// Sorted by name. The time is that of the newest message. Bytes are those of the messages as they are stored.
    #[command(after_long_help = LIST_EXAMPLES)]
    List {
        /// Print only the names, for example for room delete -
        #[arg(long)]
        names: bool,
    },
    /// Delete rooms with all their messages; no server may be running
    ///
    /// The text is erased from the files of the data folder, not from backups. New messages use the space. Clients
    /// learn that the messages are gone; a room of the same name may be created again, and begins with message 1. If
    /// one of the rooms does not exist, none is deleted.
    #[command(after_long_help = DELETE_EXAMPLES)]
    Delete {
        /// Rooms to delete; - reads names from standard input, one a line
        #[arg(value_name = "NAME", required = true)]
        names: Vec<String>,
    },
}

pub const EXAMPLES: &str = "\
Examples:
  hubbub-server room list                  the rooms in ./hubbub-data
  hubbub-server room delete tea coffee     delete two rooms; stop the server first";

const LIST_EXAMPLES: &str = "\
Examples:
  hubbub-server room list
  hubbub-server room list --data /var/lib/hubbub | sort -n -k 2   by bytes";

const DELETE_EXAMPLES: &str = "\
Examples:
  hubbub-server room delete tea
  hubbub-server room list --names | grep '^spam-' | hubbub-server room delete -";

/// Runs a command on the log in a folder.
pub fn run(command: &RoomCommand, data: &Path) -> anyhow::Result<ExitCode> {
    match command {
        RoomCommand::List { names } => list(data, *names),
        RoomCommand::Delete { names } => delete(data, names),
    }
}

fn list(data: &Path, only_names: bool) -> anyhow::Result<ExitCode> {
    let mut list = List { out: BufWriter::new(io::stdout().lock()), only_names, rooms: 0, messages: 0, bytes: 0 };
    let mut unreadable = 0;
    let outcome = sqlite::list_rooms(data, |room| {
        unreadable += u64::from(room.contents.is_none());
        list.line(&room)
    });
    match outcome.and_then(|()| list.end()) {
        Ok(()) => {}
        // The reader needs no more.
        Err(ListError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(ExitCode::SUCCESS),
        Err(ListError::Output(error)) => return Err(error).context("can't write the list"),
        Err(ListError::Log(error)) => return Err(error.into()),
    }
    if unreadable > 0 {
        complain(&format!("{} can't be read: run hubbub-server verify", counted(unreadable, "room")));
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// Why the list ends early.
enum ListError {
    Log(BackupError),
    Output(io::Error),
}

impl From<BackupError> for ListError {
    fn from(error: BackupError) -> Self {
        Self::Log(error)
    }
}

/// The list while it is printed: the names come last, since their widths are not known before.
struct List<W: Write> {
    out: W,
    only_names: bool,
    rooms: u64,
    messages: u64,
    bytes: u64,
}

impl<W: Write> List<W> {
    fn line(&mut self, room: &ListedRoom) -> Result<(), ListError> {
        let name = escape_name(&room.name);
        if self.only_names {
            return writeln!(self.out, "{name}").map_err(ListError::Output);
        }
        if self.rooms == 0 {
            self.head()?;
        }
        self.rooms += 1;
        let (messages, bytes, newest) = match room.contents {
            Some(contents) => {
                self.messages = self.messages.saturating_add(contents.messages);
                self.bytes = self.bytes.saturating_add(contents.bytes);
                let newest = contents.newest_ms.map_or_else(|| "-".to_owned(), date);
                (contents.messages.to_string(), contents.bytes.to_string(), newest)
            }
            None => ("?".to_owned(), "?".to_owned(), "?".to_owned()),
        };
        self.row(&messages, &bytes, &newest, &name)
    }

    fn head(&mut self) -> Result<(), ListError> {
        self.row("messages", "bytes", "newest", "room")
    }

    fn end(&mut self) -> Result<(), ListError> {
        if !self.only_names {
            if self.rooms == 0 {
                self.head()?;
            }
            let (messages, bytes) = (self.messages.to_string(), self.bytes.to_string());
            let total = format!("total: {}", counted(self.rooms, "room"));
            self.row(&messages, &bytes, "", &total)?;
        }
        self.out.flush().map_err(ListError::Output)
    }

    fn row(&mut self, messages: &str, bytes: &str, newest: &str, name: &str) -> Result<(), ListError> {
        writeln!(self.out, "{messages:>11} {bytes:>15}  {newest:<20}  {name}").map_err(ListError::Output)
    }
}

fn delete(data: &Path, names: &[String]) -> anyhow::Result<ExitCode> {
    let mut all = Vec::new();
    for name in names {
        if name != "-" {
            all.push(name.clone());
            continue;
        }
        for line in io::stdin().lines() {
            let line = line.context("can't read names from standard input")?;
            all.extend(Some(line).filter(|line| !line.is_empty()));
        }
    }
    anyhow::ensure!(!all.is_empty(), "no room to delete: standard input has no names");
    // The index has the text of the rooms; the next start of the server makes it again.
    let deletion = sqlite::delete_rooms(data, &all, |folder| search::place::remove(folder).map(drop))?;
    let (rooms, messages) = (counted(deletion.rooms, "room"), counted(deletion.messages, "message"));
    println!("deleted {rooms} with {messages}; new messages can use {} bytes of hubbub.db", deletion.free_bytes);
    for name in &deletion.with_remains {
        complain(&format!(
            "room \"{}\": damaged messages are still in hubbub.db, where no client can read them; to erase them too, restore \
             a backup and delete the room from it",
            escape_name(name)
        ));
    }
    Ok(if deletion.with_remains.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
