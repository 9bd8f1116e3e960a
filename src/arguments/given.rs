//! Which options the user gave, and how; and which of them have mistakes.

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};

use super::config_file::ConfigFile;

/// The sources of the values of options.
#[derive(Clone, Copy)]
pub struct Given<'a> {
    pub(super) matches: &'a ArgMatches,
    pub(super) command: &'a Command,
    pub(super) file: &'a ConfigFile,
    /// An option to ignore.
    pub(super) without: Option<&'a str>,
}

/// Where a value comes from. A later one overrides those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    File,
    Variable,
    Flag,
}

impl Given<'_> {
    /// The same, as if this option were not given.
    pub fn without<'b>(&'b self, id: &'b str) -> Given<'b> {
        Given { without: Some(id), ..*self }
    }

    /// Whether the user set this option on the command line.
    pub fn is_flag(&self, id: &str) -> bool {
        self.source(id) == Some(Source::Flag)
    }

    /// Whether the user set this option by its variable.
    pub fn is_variable(&self, id: &str) -> bool {
        self.source(id) == Some(Source::Variable)
    }

    /// Whether the user set this option for this start, which another option makes meaningless: on the command line, or in
    /// the file, unless a flag or a variable overrides the other one. A variable may be there for other starts.
    pub fn is_meant(&self, id: &str, other: &str) -> bool {
        match self.source(id) {
            Some(Source::Flag) => true,
            Some(Source::File) => self.source(other).is_none_or(|other| other == Source::File),
            Some(Source::Variable) | None => false,
        }
    }

    /// Whether one option follows another on the command line.
    pub fn follows(&self, id: &str, other: &str) -> bool {
        self.matches.index_of(id) > self.matches.index_of(other)
    }

    /// Whether the variable of this flag turns it off.
    pub fn is_off(&self, id: &str) -> bool {
        self.any_source(id) == Some(Source::Variable) && self.is_false(id)
    }

    /// The option as the user wrote it: `--data`, the variable's name, or `hubbub.toml:3: data`.
    pub fn name(&self, id: &str) -> String {
        let argument = self.command.get_arguments().find(|argument| argument.get_id() == id);
        let variable = argument.and_then(Arg::get_env).filter(|_| self.is_variable(id));
        match (variable, self.file.set_at(id).filter(|_| self.source(id) == Some(Source::File))) {
            (Some(variable), _) => variable.to_string_lossy().into_owned(),
            (None, Some((place, key))) => format!("{place}: {key}"),
            (None, None) => format!("--{}", id.replace('_', "-")),
        }
    }

    /// The same with its value, if it takes one, for the middle of a sentence.
    fn name_and_value(&self, id: &str) -> String {
        let raw = self.matches.get_raw(id).filter(|_| self.matches.try_get_one::<bool>(id).is_err());
        let value = raw.and_then(|mut values| values.next()).map(|value| value.to_string_lossy());
        if let (Some(Source::File), Some((place, key))) = (self.source(id), self.file.set_at(id)) {
            return format!("{key} ({place})");
        }
        let name = self.name(id);
        match value {
            Some(value) if self.is_variable(id) => format!("{name}={value}"),
            Some(value) => format!("{name} {value}"),
            None => name,
        }
    }

    /// The faults of options that have no effect together with another one. A flag overrides the variables and keys that
    /// it makes meaningless, and a variable such keys.
    pub fn useless<'b>(&self, mode: &str, ids: &'b [&'b str], why: &'b str) -> impl Iterator<Item = String> {
        let source = self.source(mode);
        let mode = self.name_and_value(mode);
        let useless = ids.iter().filter(|id| self.source(id).is_some_and(|own| Some(own) >= source));
        let faults: Vec<_> =
            useless.map(|id| format!("{} can't be used with {mode}: {why}; leave one out", self.name(id))).collect();
        faults.into_iter()
    }

    fn source(&self, id: &str) -> Option<Source> {
        self.any_source(id).filter(|_| !self.is_false(id) && self.without != Some(id))
    }

    /// The same, also of a flag that is off.
    fn any_source(&self, id: &str) -> Option<Source> {
        // An id that this command does not have is one that the user could not set.
        match self.matches.try_contains_id(id).is_ok().then(|| self.matches.value_source(id)).flatten()? {
            ValueSource::CommandLine => Some(Source::Flag),
            ValueSource::EnvVariable => Some(Source::Variable),
            _ => self.file.set_at(id).map(|_| Source::File),
        }
    }

    fn is_false(&self, id: &str) -> bool {
        matches!(self.matches.try_get_one::<bool>(id), Ok(Some(false)))
    }
}

/// The options whose values are unknown because of mistakes, by the names under which other mistakes mention them.
#[derive(Debug, Default)]
pub struct Broken(Vec<String>);

impl Broken {
    pub fn new(ids: &[String], command: &Command) -> Self {
        let arguments =
            command.get_arguments().filter(|argument| ids.iter().any(|id| argument.get_id() == id.as_str()));
        let names = arguments.flat_map(|argument| {
            let variable = argument.get_env().map(|variable| variable.to_string_lossy().into_owned());
            argument.get_long().map(|long| format!("--{long}")).into_iter().chain(variable)
        });
        Self(names.collect())
    }

    pub fn is_named(&self, fault: &str) -> bool {
        let is_end = |rest: &str| !rest.starts_with(|next: char| next.is_alphanumeric() || matches!(next, '-' | '_'));
        self.0.iter().any(|name| fault.match_indices(name.as_str()).any(|(at, name)| is_end(&fault[at + name.len()..])))
    }
}
