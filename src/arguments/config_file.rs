//! The configuration file: TOML, whose keys are a program's options.
//!
//! There is no list of keys: each option that has a variable is one, under its long name. A value of the file becomes
//! the default of its option, so that clap itself prefers flags, then variables, then the file. Before, the option's own
//! parser checks the value, so that every fault is found with its line, also if a flag overrides the value.

mod keys;
mod value;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::{env, io};

use clap::{Arg, Command};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use keys::find;
pub use keys::{CONFIG_ID, is_repeatable, is_switch, keys};
pub use value::reason;

use crate::config_text::{self, Lines, Unreadable};

/// More faults than a configuration file has.
const FAULTS_MAX: usize = 100;

/// Who may write, besides the owner and the group.
const OTHERS_WRITE: u32 = 0o002;

/// What a program read from its file; nothing without one.
#[derive(Debug, Default)]
pub struct ConfigFile {
    entries: Vec<Entry>,
    pub faults: Vec<Fault>,
    /// What can be used, but deserves a look.
    pub warnings: Vec<String>,
}

/// A key with a value that its option accepts.
#[derive(Debug)]
struct Entry {
    id: String,
    key: String,
    values: Vec<String>,
    /// Whether it says what holds without it.
    is_default: bool,
    /// `hubbub.toml:3`.
    place: String,
}

/// A fault of the file.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    pub about: About,
    pub text: String,
    line: usize,
}

/// What a fault is about. An id is that of the option.
#[derive(Debug, PartialEq, Eq)]
pub enum About {
    /// The file itself, or its syntax: also what seems to be right may be misunderstood. The option is that of the line.
    Syntax(Option<String>),
    /// A key that is not known, and the option that may be meant.
    Unknown(Option<String>),
    /// The value of an option.
    Value(String),
}

impl ConfigFile {
    /// Reads a file with the options of a command.
    pub fn read(path: &Path, command: &Command) -> Self {
        match config_text::read(path) {
            Ok((text, metadata)) => {
                let mut file = parse(&text, &path.display().to_string(), command);
                if metadata.permissions().mode() & OTHERS_WRITE != 0 {
                    let text = format!("{}: every user of this machine can change it: chmod o-w {0}", path.display());
                    file.warnings.push(text);
                }
                file.warnings.extend(file.relative_paths(command));
                file
            }
            Err(fault) => {
                let reason = match fault {
                    Unreadable::Io(error) => opening(path, &error),
                    Unreadable::Other(reason) => reason,
                };
                let text = format!("{}: {reason}", path.display());
                Self { faults: vec![Fault { about: About::Syntax(None), text, line: 0 }], ..Self::default() }
            }
        }
    }

    /// Whether it sets nothing.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.faults.is_empty()
    }

    /// Where it sets an option: `hubbub.toml:3`.
    pub fn place(&self, id: &str) -> Option<&str> {
        self.entries.iter().find(|entry| entry.id == id).map(|entry| entry.place.as_str())
    }

    /// The same, with the key, unless the value is the option's default: that makes no other option meaningless.
    pub fn set_at(&self, id: &str) -> Option<(&str, &str)> {
        let entry = self.entries.iter().find(|entry| entry.id == id && !entry.is_default)?;
        Some((entry.place.as_str(), entry.key.as_str()))
    }

    /// The command with the file's values as the defaults of its options.
    pub fn apply(&self, command: Command) -> Command {
        self.entries.iter().fold(command, |command, entry| {
            command.mut_arg(entry.id.as_str(), |arg| arg.default_values(entry.values.clone()))
        })
    }

    /// The options whose values can't be known because of faults. `None` if that may be any.
    pub fn broken(&self) -> Option<Vec<String>> {
        let ids = self.faults.iter().map(|fault| match &fault.about {
            About::Syntax(id) => id.clone().map(Some),
            About::Unknown(id) => Some(id.clone()),
            About::Value(id) => Some(Some(id.clone())),
        });
        let ids: Option<Vec<Option<String>>> = ids.collect();
        Some(ids?.into_iter().flatten().collect())
    }

    /// Keeps what concerns a sub-command: the options that it shares with the program, those that it reads besides, and
    /// whether they can be known.
    pub fn for_sub_command(&mut self, command: &Command, read: &[&str]) {
        let is_global = |id: &str| command.get_arguments().any(|arg| arg.get_id() == id && arg.is_global_set());
        let is_shared = |id: &str| read.contains(&id) || is_global(id);
        self.entries.retain(|entry| is_shared(&entry.id));
        self.faults.retain(|fault| match &fault.about {
            About::Syntax(_) => true,
            About::Unknown(_) => false,
            About::Value(id) => is_shared(id),
        });
        self.warnings.clear();
    }

    /// Warnings of paths that depend on where the server is started.
    fn relative_paths(&self, command: &Command) -> Vec<String> {
        let path_type = clap::value_parser!(PathBuf).type_id();
        let is_path = |id: &str| {
            command.get_arguments().any(|arg| arg.get_id() == id && arg.get_value_parser().type_id() == path_type)
        };
        let mut warnings = Vec::new();
        for Entry { key, values, place, .. } in self.entries.iter().filter(|entry| is_path(&entry.id)) {
            for value in values.iter().filter(|value| Path::new(value).is_relative()) {
                let folder = env::current_dir().unwrap_or_default();
                let text = format!("{value} is relative to the working directory, which is now {}", folder.display());
                warnings.push(format!("{place}: {key}: {text}"));
            }
        }
        warnings
    }
}

/// Reads the text of a file.
fn parse(text: &str, file: &str, command: &Command) -> ConfigFile {
    let (table, errors) = DeTable::parse_recoverable(text);
    let lines = Lines::new(text, file);
    let mut reading = Reading { lines, command, file: ConfigFile::default() };
    let mut table: Vec<_> = table.get_ref().iter().collect();
    table.sort_by_key(|(key, _)| key.span().start);

    let mut faulty: BTreeSet<usize> = BTreeSet::new();
    for error in &errors {
        let at = error.span().map_or(0, |span| span.start);
        // After the first error in a value, the rest of it has no meaning.
        let known = &table[..table.partition_point(|(key, _)| key.span().start <= at)];
        let within = known.last().filter(|(key, value)| (key.span().start..=value.span().end).contains(&at));
        let first = within.map_or(at, |(key, _)| key.span().start);
        let (first, line) = (reading.lines.number(first), reading.lines.number(at));
        if !faulty.contains(&first) && !faulty.contains(&line) && !reading.is_full() {
            let key = within.map(|(key, _)| key.get_ref().as_ref());
            reading.syntax_fault(at, key, error.message());
        }
        faulty.extend([first, line]);
    }
    for (key, value) in table {
        // The value of a line with an error is a guess.
        if !faulty.contains(&reading.lines.number(key.span().start)) && !reading.is_full() {
            reading.entry(key, value);
        }
    }
    reading.file.faults.sort_by_key(|fault| fault.line);
    if reading.is_full() {
        let text = format!("{file}: there may be more faults: correct these first");
        reading.file.faults.push(Fault { about: About::Syntax(None), text, line: 0 });
    }
    reading.file
}

type Key<'a> = Spanned<Cow<'a, str>>;
type Value<'a> = Spanned<DeValue<'a>>;

/// The reading of a file.
struct Reading<'a> {
    lines: Lines<'a>,
    command: &'a Command,
    file: ConfigFile,
}

impl Reading<'_> {
    /// Whether so many faults were found that more would help nobody: this is no configuration file.
    fn is_full(&self) -> bool {
        self.file.faults.len() >= FAULTS_MAX
    }

    fn fault(&mut self, about: About, at: usize, text: &str) {
        let (text, line) = (format!("{}: {text}", self.lines.place(at)), self.lines.number(at));
        self.file.faults.push(Fault { about, text, line });
    }

    fn syntax_fault(&mut self, at: usize, key: Option<&str>, message: &str) {
        let id = key.and_then(|key| find(self.command, key)).map(|arg| arg.get_id().to_string());
        let line = self.lines.line(at);
        let hint = match message {
            "duplicate key" => config_text::key(line).map(|key| format!("{key} is given twice: leave one out")),
            _ => config_text::hint(line, |key| find(self.command, key).map(is_switch)),
        };
        self.fault(About::Syntax(id), at, hint.as_deref().unwrap_or(message));
    }

    fn entry(&mut self, key: &Key<'_>, value: &Value<'_>) {
        let (at, name) = (key.span().start, key.get_ref().as_ref());
        let Some(arg) = find(self.command, name) else {
            return self.unknown(name, at, value);
        };
        let id = arg.get_id().to_string();
        match self.values(arg, value) {
            Ok(values) => {
                let place = self.lines.place(at);
                let is_default =
                    values.iter().map(OsStr::new).eq(arg.get_default_values().iter().map(|value| &**value));
                self.file.entries.push(Entry { id, key: name.to_owned(), values, is_default, place });
            }
            Err(faults) => {
                for (at, text) in faults {
                    self.fault(About::Value(id.clone()), at, &format!("{name}: {text}"));
                }
            }
        }
    }

    fn unknown(&mut self, name: &str, at: usize, value: &Value<'_>) {
        let (meant, text) = keys::unknown(self.command, name, value.get_ref());
        let is_key = meant.is_some();
        self.fault(About::Unknown(meant), at, &text);
        // What stands in a table that should not be there has faults of its own.
        if let (DeValue::Table(table), false) = (value.get_ref(), is_key) {
            table.iter().for_each(|(key, value)| self.entry(key, value));
        }
    }

    /// The values of a key as text, or their faults, each with its place.
    fn values(&self, arg: &Arg, value: &Value<'_>) -> Result<Vec<String>, Vec<(usize, String)>> {
        let one = [value];
        let all: Vec<&Value<'_>> = match value.get_ref() {
            DeValue::Array(array) if is_repeatable(arg) && array.is_empty() => {
                return Err(vec![(value.span().start, value::EMPTY.to_owned())]);
            }
            DeValue::Array(array) if is_repeatable(arg) => array.iter().collect(),
            _ => one.to_vec(),
        };
        let (mut values, mut faults) = (Vec::new(), Vec::new());
        for value in all {
            if faults.len() >= FAULTS_MAX {
                break;
            }
            let (at, shown) = (value.span().start, self.lines.shown(value.span()));
            match value::text(arg, value.get_ref()).and_then(|text| value::check(arg, &text, &shown).map(|()| text)) {
                Ok(text) => values.push(text),
                Err(fault) => faults.push((at, fault)),
            }
        }
        if faults.is_empty() { Ok(values) } else { Err(faults) }
    }
}

/// Why a file can't be opened, with the remedy.
fn opening(path: &Path, error: &io::Error) -> String {
    let place = match (path.is_relative(), env::current_dir()) {
        (true, Ok(folder)) => format!(" in {}", folder.display()),
        _ => String::new(),
    };
    match error.kind() {
        io::ErrorKind::NotFound => format!("no such file{place}: create it, for example from --print-config"),
        io::ErrorKind::PermissionDenied => {
            "permission denied: the user who runs the server must be able to read the file, and enter its folders"
                .to_owned()
        }
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests;
