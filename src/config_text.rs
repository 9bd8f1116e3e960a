//! The text of a configuration file, the server's or the client's: how it is read, its lines, and hints for invalid TOML.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use thiserror::Error;

/// More than any configuration has, in bytes. All options with their comments are about 25 KiB.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// How much of a value a fault shows.
const SHOWN_CHARS_MAX: usize = 80;

/// Why the text of a file is not read.
#[derive(Debug, Error)]
pub enum Unreadable {
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is not a configuration file. The text names the remedy.
    #[error("{0}")]
    Other(String),
}

/// Reads a file, without waiting for one that is a pipe.
pub fn read(path: &Path) -> Result<(String, Metadata), Unreadable> {
    let other = |reason: &str| Unreadable::Other(reason.to_owned());
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(other("this is a folder: give the file in it"));
    }
    if !metadata.is_file() {
        return Err(other("not a regular file: write the configuration into one"));
    }
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(other("larger than 1 MiB, so not a configuration file"));
    }
    let text = String::from_utf8(bytes)
        .map_err(|error| Unreadable::Other(not_utf8(error.as_bytes(), error.utf8_error().valid_up_to())))?;
    // Some editors begin a file with a byte order mark.
    let text = text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text);
    Ok((text, metadata))
}

fn not_utf8(bytes: &[u8], valid: usize) -> String {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return "the text is UTF-16: save it as UTF-8".to_owned();
    }
    let line = 1 + bytes[..valid].iter().filter(|byte| **byte == b'\n').count();
    format!("line {line} is not UTF-8: save the file as UTF-8")
}

/// The lines of a file.
pub struct Lines<'a> {
    text: &'a str,
    file: &'a str,
    /// Where the line ends are.
    ends: Vec<usize>,
}

impl<'a> Lines<'a> {
    pub fn new(text: &'a str, file: &'a str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at).collect();
        Self { text, file, ends }
    }

    /// The number of the line at a byte, from 1.
    pub fn number(&self, at: usize) -> usize {
        1 + self.ends.partition_point(|end| *end < at)
    }

    /// `hubbub.toml:3`.
    pub fn place(&self, at: usize) -> String {
        format!("{}:{}", self.file, self.number(at))
    }

    /// The line at a byte.
    pub fn line(&self, at: usize) -> &'a str {
        let number = self.number(at);
        let start = number.checked_sub(2).and_then(|before| self.ends.get(before)).map_or(0, |end| end + 1);
        let end = self.ends.get(number - 1).copied().unwrap_or(self.text.len());
        self.text.get(start..end).unwrap_or_default().trim_end_matches('\r')
    }

    /// A piece of the text, for a fault.
    pub fn shown(&self, span: Range<usize>) -> String {
        shown(self.text.get(span).unwrap_or_default())
    }
}

/// A piece of a file in a fault, cut if it is long.
pub fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// The key that a line begins with.
pub fn key(line: &str) -> Option<&str> {
    let is_bare =
        |key: &&str| !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    line.split_once('=').map(|(key, _)| key.trim()).filter(is_bare)
}

/// What a line of invalid TOML usually means. `is_switch` says whether an option takes no value; `None` for a key that
/// is not known.
pub fn hint(line: &str, is_switch: impl Fn(&str) -> Option<bool>) -> Option<String> {
    let Some((_, value)) = line.split_once('=') else {
        let is_table = line.trim_start().starts_with('[');
        return (!is_table).then(|| "expected KEY = VALUE".to_owned());
    };
    let (key, value) = (shown(key(line)?), value.split(" #").next().unwrap_or_default().trim());
    if value.contains(['"', '\'', '[', ']', '{', '}', '=']) {
        return None;
    }
    let switch = is_switch(&key);
    let value = shown(value);
    Some(match switch {
        _ if value.is_empty() => format!("{key}: missing value"),
        Some(true) => format!("{key}: invalid value {value}: expected true or false"),
        _ => format!("{key}: text must be in quotes: {key} = \"{value}\""),
    })
}
