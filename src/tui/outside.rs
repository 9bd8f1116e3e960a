//! Programs that the client starts for the user: the editor, and a browser.
//!
//! The editor gets the text in a file that only the user can read.

use std::env;
use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use uuid::Uuid;

/// The editor if the user has named none.
const DEFAULT_EDITOR: &str = "vi";

/// The longest text that is taken back, in bytes: far more than a message may have.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Edits the text, on the terminal, which must not be in use otherwise. Blocks until the editor has ended. Fails with the
/// reason; then the text is as before.
pub fn edit(text: &str) -> Result<String, String> {
    let editor = editor(|name| env::var(name).ok());
    let file = TextFile::create(text).map_err(|error| format!("can't write the text for {editor}: {error}"))?;
    // The shell reads the variable as other programs have it read: it may have arguments.
    let status = Command::new("/bin/sh").args(["-c", &format!("{editor} \"$1\""), "sh"]).arg(&file.path).status();
    let edited = file.read();
    match status {
        Ok(status) if status.success() => {}
        // What it has written is not lost, unless it is what it had got.
        Ok(status) => {
            let place = if edited.is_ok_and(|edited| edited == text) { String::new() } else { file.leave() };
            return Err(format!("{editor} has failed ({status}): the text is unchanged{place}"));
        }
        Err(error) => return Err(format!("can't start {editor}: {error}; set EDITOR to another one")),
    }
    let edited = edited.map_err(|error| format!("can't read the text of {editor}: {error}{}", file.leave()))?;
    // An editor ends the last line too.
    Ok(edited.strip_suffix('\n').unwrap_or(&edited).to_owned())
}

/// Opens a link in the user's browser, and waits for the program that does it. Fails with the reason.
pub fn browse(link: &str) -> Result<(), String> {
    let variable = |name| env::var(name).ok().filter(|value| !value.is_empty());
    let has_windows = cfg!(target_os = "macos") || variable("DISPLAY").or(variable("WAYLAND_DISPLAY")).is_some();
    let opener = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let program = variable("BROWSER").or(has_windows.then(|| opener.to_owned()));
    let program = program.ok_or("no browser: set BROWSER, or copy the link with y")?;
    // The link is an argument, so no shell reads it. It begins with its scheme, so it is no option.
    let nothing = Stdio::null;
    let status = Command::new(&program).arg(link).stdin(nothing()).stdout(nothing()).stderr(nothing()).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{program} has failed ({status})")),
        Err(error) => Err(format!("can't start {program}: {error}; set BROWSER to another one")),
    }
}

fn editor(variable: impl Fn(&str) -> Option<String>) -> String {
    let set = |name| variable(name).filter(|editor| !editor.trim().is_empty());
    set("VISUAL").or_else(|| set("EDITOR")).unwrap_or_else(|| DEFAULT_EDITOR.to_owned())
}

/// A file with the text. Removed when dropped.
struct TextFile {
    path: PathBuf,
}

impl TextFile {
    fn create(text: &str) -> io::Result<Self> {
        let folder =
            env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute() && path.is_dir());
        let folder = folder.unwrap_or_else(env::temp_dir);
        let path = folder.join(format!("hubbub-{}.txt", Uuid::now_v7().simple()));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        let this = Self { path };
        file.write_all(text.as_bytes())?;
        Ok(this)
    }

    fn read(&self) -> io::Result<String> {
        read_text(&self.path)
    }

    /// Leaves the file for the user. Returns the end of a sentence that says where it is.
    fn leave(mut self) -> String {
        // Dropping removes nothing then.
        let path = std::mem::take(&mut self.path);
        format!("; what it has written is in {}", path.display())
    }
}

fn read_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    // The editor may have replaced the file.
    fs::File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    match text.len() as u64 > FILE_BYTES_MAX {
        true => Err(io::Error::other(format!("it has more than {FILE_BYTES_MAX} bytes"))),
        false => Ok(text),
    }
}

impl Drop for TextFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn the_users_editor_is_found() {
        let found = |variables: &[(&str, &str)]| {
            editor(|name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
        };
        assert_eq!(found(&[("EDITOR", "nano"), ("VISUAL", "code --wait")]), "code --wait");
        assert_eq!(found(&[("EDITOR", "nano"), ("VISUAL", " ")]), "nano");
        assert_eq!(found(&[]), "vi");
    }

    #[test]
    fn the_file_is_private_and_removed() {
        let file = TextFile::create("one\ntwo").unwrap();
        let path = file.path.clone();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        fs::write(&path, "three\n").unwrap();
        assert_eq!(file.read().unwrap(), "three\n");
        fs::write(&path, b"\xff").unwrap();
        assert!(file.read().is_err());
        drop(file);
        assert!(!path.exists());
        // A text that can't be taken back stays.
        let file = TextFile::create("").unwrap();
        let path = file.path.clone();
        fs::write(&path, vec![b'x'; FILE_BYTES_MAX as usize + 1]).unwrap();
        assert!(file.read().is_err());
        assert!(file.leave().contains(path.to_str().unwrap()) && path.exists());
        fs::remove_file(path).unwrap();
    }
}
