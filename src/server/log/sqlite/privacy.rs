//! Keeps a log private: other users of the machine may neither read its files nor exchange them.
//!
//! The files of a data folder get mode 0600, whatever the umask is and whatever mode an earlier version gave them. A
//! folder that others may write to is refused, because they could replace its files. A file that is a symbolic link is
//! refused, because the server would write to the file that the link names; the folder itself may be a link.

use std::ffi::{CString, OsStr};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::Path;

use super::errors::OpenError;

/// The mode of the files.
const FILE_MODE: u32 = 0o600;

/// What the names of a data folder's files begin with: the databases of the log, of the accounts and of search, and
/// SQLite's files beside them, the lock, the mark of the life, a restore's copy, and the deletions.
const BEGINNINGS: [&[u8]; 7] =
    [b"hubbub.db", b"accounts.db", b"search.db", b"lock", b"life", b"restoring.db", b"deletions"];

/// How a file of a data folder is opened: no link is followed, and a file that is created is private.
pub fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(FILE_MODE).custom_flags(libc::O_NOFOLLOW);
    options
}

/// Creates the folder if it is missing, and refuses one that other users may write to. Warns of one that they may list.
pub fn prepare_folder(path: &Path) -> Result<(), OpenError> {
    let folder = check_folder(path)?;
    let (mode, owner, user) = (folder.mode() & 0o7777, folder.uid(), rustix::process::geteuid().as_raw());
    if owner != user && owner != 0 {
        log::warn!("the data folder {} belongs to another user (uid {owner}), who can change the log", path.display());
    }
    if mode & 0o044 != 0 {
        log::warn!(
            "other users can list the data folder {} (mode {mode:04o}): its files are private, but their names and \
             sizes are not; run chmod go-rwx {0}",
            path.display()
        );
    }
    Ok(())
}

/// Creates the folder if it is missing, and refuses one that other users may write to.
pub fn check_folder(path: &Path) -> Result<fs::Metadata, OpenError> {
    let fault = |fault| OpenError::Folder { path: path.to_owned(), fault };
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(fault)?;
    check_existing(path)
}

/// Refuses a folder that other users may write to.
pub fn check_existing(path: &Path) -> Result<fs::Metadata, OpenError> {
    let fault = |fault| OpenError::Folder { path: path.to_owned(), fault };
    let folder = fs::metadata(path).map_err(fault)?;
    let (mode, owner, user) = (folder.mode() & 0o7777, folder.uid(), rustix::process::geteuid().as_raw());
    if mode & 0o022 != 0 {
        // Without its write permission, a user who does not own the folder could not use it either.
        let chown = if user == owner || user == 0 { None } else { Some(user) };
        return Err(OpenError::Shared { path: path.to_owned(), mode, chown });
    }
    Ok(folder)
}

/// Gives a file to the owner of its folder, if root has opened it: root may run a command for a server that runs as
/// another user, who must be able to use the file.
pub fn give_to_owner(file: &File, folder: &Path) -> io::Result<()> {
    let (file_owner, folder) = (file.metadata()?.uid(), fs::metadata(folder)?);
    if rustix::process::geteuid().is_root() && file_owner == 0 && folder.uid() != 0 {
        fchown(file, Some(folder.uid()), Some(folder.gid()))?;
    }
    Ok(())
}

/// Refuses a folder with a file of the log that is a link, or not a file at all.
pub fn check_files(folder: &Path) -> Result<(), OpenError> {
    each_file(folder, |path, file| {
        if file.is_symlink() {
            return Err(OpenError::Link { path: path.to_owned() });
        }
        if file.is_file() { Ok(()) } else { Err(OpenError::NotFile { path: path.to_owned() }) }
    })
}

/// Takes the files' permissions from other users: an earlier version, or a program that restored them, may have given
/// some.
pub fn close_files(folder: &Path) -> Result<(), OpenError> {
    each_file(folder, |path, file| {
        let mode = file.mode() & 0o7777;
        if mode & 0o077 != 0 {
            match close_file(path) {
                Ok(()) => log::info!("{} had mode {mode:04o}: it is now private", path.display()),
                Err(fault) => {
                    log::warn!("other users have permissions for {} (mode {mode:04o}): {fault}", path.display());
                }
            }
        }
        Ok(())
    })
}

fn each_file(
    folder: &Path,
    mut act: impl FnMut(&Path, &fs::Metadata) -> Result<(), OpenError>,
) -> Result<(), OpenError> {
    let fault = |fault| OpenError::Folder { path: folder.to_owned(), fault };
    for entry in fs::read_dir(folder).map_err(fault)? {
        let entry = entry.map_err(fault)?;
        if is_of_log(&entry.file_name()) {
            match entry.metadata() {
                Ok(file) => act(&entry.path(), &file)?,
                // A backup removes its lock's folder, or SQLite a journal, meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(fault(error)),
            }
        }
    }
    Ok(())
}

fn is_of_log(name: &OsStr) -> bool {
    let name = name.as_bytes();
    BEGINNINGS.iter().any(|beginning| {
        name.strip_prefix(*beginning).is_some_and(|rest| matches!(rest.first(), None | Some(b'-' | b'.')))
    })
}

/// Without opening the file: a descriptor that is closed releases this process's locks on it.
fn close_file(path: &Path) -> io::Result<()> {
    let name = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: the name is a C string, which lives longer than the call.
    let result = unsafe { libc::fchmodat(libc::AT_FDCWD, name.as_ptr(), FILE_MODE as _, libc::AT_SYMLINK_NOFOLLOW) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_a_log_are_known_by_their_names() {
        for name in [
            "hubbub.db",
            "hubbub.db-wal",
            "hubbub.db.damaged-2",
            "accounts.db",
            "accounts.db-journal",
            "search.db-wal",
            "lock",
            "life",
            "life.new",
            "restoring.db-shm",
        ] {
            assert!(is_of_log(OsStr::new(name)), "{name}");
        }
        for name in ["lost+found", "locksmith", "hubbub.dbx", "notes.txt", "lifetime"] {
            assert!(!is_of_log(OsStr::new(name)), "{name}");
        }
    }
}
