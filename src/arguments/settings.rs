//! The values of the options that a configuration file can set, and what changed between two readings.

use std::ffi::OsString;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};

use super::config_file::{ConfigFile, is_switch, keys};

/// The values of all keys, in the order of the declarations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings(Vec<Setting>);

/// The value of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    pub key: String,
    /// The option as the user wrote it: `--data`, the variable's name, or `hubbub.toml:3: data`.
    pub name: String,
    /// As text, wherever it comes from. Empty if the option has no value and no fixed default.
    pub values: Vec<OsString>,
    /// Whether a flag, a variable or the file gives it.
    pub is_given: bool,
    /// Whether the file gives it, and neither a flag nor a variable.
    pub is_in_file: bool,
}

impl Settings {
    pub(super) fn new(command: &Command, matches: &ArgMatches, file: &ConfigFile) -> Self {
        Self(keys(command).map(|arg| setting(arg, matches, file)).collect())
    }

    pub fn get(&self, key: &str) -> Option<&Setting> {
        self.0.iter().find(|setting| setting.key == key)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Setting> {
        self.0.iter()
    }

    /// The settings that have another value now: each as it was and as it is.
    pub fn changes<'a>(&'a self, now: &'a Self) -> impl Iterator<Item = (&'a Setting, &'a Setting)> {
        let pairs = self.0.iter().filter_map(|before| Some((before, now.get(&before.key)?)));
        pairs.filter(|(before, now)| before.values != now.values)
    }

    /// Puts the new value of a setting in place of the one with the same key.
    pub fn replace(&mut self, new: Setting) {
        if let Some(setting) = self.0.iter_mut().find(|setting| setting.key == new.key) {
            *setting = new;
        }
    }
}

impl Setting {
    /// The value for a line of the log.
    pub fn shown(&self) -> String {
        let values: Vec<_> = self.values.iter().map(|value| value.to_string_lossy()).collect();
        if values.is_empty() { "the default".to_owned() } else { values.join(",") }
    }
}

fn setting(arg: &Arg, matches: &ArgMatches, file: &ConfigFile) -> Setting {
    let (id, key) = (arg.get_id().as_str(), arg.get_long().unwrap_or_default());
    let values = match is_switch(arg) {
        true => vec![matches.get_flag(id).to_string().into()],
        false => matches.get_raw(id).map(|raw| raw.map(ToOwned::to_owned).collect()).unwrap_or_default(),
    };
    let flag = || format!("--{key}");
    let variable = || arg.get_env().map_or_else(flag, |name| name.to_string_lossy().into_owned());
    let (name, is_given, is_in_file) = match (matches.value_source(id), file.place(id)) {
        (Some(ValueSource::CommandLine), _) => (flag(), true, false),
        (Some(ValueSource::EnvVariable), _) => (variable(), true, false),
        (_, Some(place)) => (format!("{place}: {key}"), true, true),
        (_, None) => (flag(), false, false),
    };
    Setting { key: key.to_owned(), name, values, is_given, is_in_file }
}
