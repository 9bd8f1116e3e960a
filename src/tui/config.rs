//! The config file of the full-screen client: servers, the look of the screen, notifications and keys. The client needs
//! none.
//!
//! It is TOML. Every fault is reported with its line and the remedy, all at once; a file with a fault is not used in
//! part, since a key that does something else than expected is worse than a message.

mod file;
mod reading;
mod sections;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use self::reading::Reading;
use super::keys::KeyMap;
use crate::address::Address;
use crate::names::{RoomName, UserName};

/// The name of the file in the user's config folder, see [`crate::client::config_folder`].
pub const FILE_NAME: &str = "config.toml";

/// The settings of the user.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// What `hubbub` connects to without a profile.
    pub profile: Profile,
    /// What `hubbub @NAME` connects to.
    pub profiles: BTreeMap<String, Profile>,
    pub screen: Screen,
    pub notifications: Notifications,
    pub keys: KeyMap,
    /// Where they were read; `None` if there is no file.
    pub path: Option<PathBuf>,
}

/// A server, and who the user is there. What is not given is that of the command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    pub server: Option<Address>,
    pub name: Option<UserName>,
    /// The rooms of the first start; later ones resume with the rooms that were open.
    pub rooms: Vec<RoomName>,
    /// Connect with TLS.
    pub tls: bool,
    /// Files, as the options `--ca`, `--cert`, `--key` and `--token-file` take them. Relative ones are in the folder of
    /// the config file.
    pub ca: Option<PathBuf>,
    pub cert: Option<PathBuf>,
    pub key: Option<PathBuf>,
    pub token_file: Option<PathBuf>,
    /// The name in the server's certificate.
    pub server_name: Option<String>,
}

/// What is on the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Screen {
    /// The list of rooms on the left, and of people on the right, if there is space.
    pub rooms: bool,
    pub people: bool,
    pub mouse: bool,
    pub joins: Joins,
    pub emoji: Emoji,
    pub background: Background,
    pub colors: Colors,
}

impl Default for Screen {
    fn default() -> Self {
        Self {
            rooms: true,
            people: true,
            mouse: false,
            joins: Joins::Fold,
            emoji: Emoji::Simple,
            background: Background::Auto,
            colors: Colors::Auto,
        }
    }
}

/// How joins and parts are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joins {
    /// Those that follow each other in one line.
    Fold,
    Show,
    Hide,
}

/// How emojis of several characters are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Emoji {
    Simple,
    Full,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Background {
    /// As the terminal says, otherwise dark.
    Auto,
    Dark,
    Light,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colors {
    /// As the terminal says, and none with `NO_COLOR`.
    Auto,
    None,
    Sixteen,
    Many,
}

/// What calls the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notifications {
    /// The bell rings at a mention.
    pub bell: bool,
    pub desktop: Desktop,
    /// Words that count as a mention, besides the user's name.
    pub words: Vec<String>,
    /// Rooms that call nobody.
    pub muted: Vec<RoomName>,
}

impl Default for Notifications {
    fn default() -> Self {
        Self { bell: true, desktop: Desktop::Off, words: Vec::new(), muted: Vec::new() }
    }
}

/// How a terminal is asked for a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Desktop {
    Off,
    Osc9,
    Osc777,
    Osc99,
}

/// Why a config can't be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConfigError {
    #[error("{path}: {reason}", path = .path.display())]
    File { path: PathBuf, reason: String },
    /// The faults, each with its line.
    #[error("{}", .0.join("\n"))]
    Faults(Vec<String>),
    #[error("{0}")]
    Profile(UnknownProfile),
}

/// There is no profile of that name.
#[derive(Debug)]
pub struct UnknownProfile {
    name: String,
    nearest: Option<String>,
    path: Option<PathBuf>,
}

impl fmt::Display for UnknownProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, nearest, path } = self;
        write!(f, "no profile {name:?}")?;
        match (nearest, path) {
            (Some(near), _) => write!(f, ": did you mean @{near}?"),
            (None, Some(path)) => write!(f, ": add [profiles.{name}] with its server to {}", path.display()),
            (None, None) => write!(f, ": there is no config file; docs/terminal.md shows one"),
        }
    }
}

impl Config {
    /// Reads the file of the user, which need not exist.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        match file::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(ConfigError::File { path: path.to_owned(), reason: file::reason(&error) }),
            Ok(text) => Self::parse(&text, path),
        }
    }

    /// Reads a text. The path is for the messages, and for relative paths in it.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let mut config = Self { path: Some(path.to_owned()), ..Self::default() };
        let mut reading = Reading::new(text, path);
        if let Some(table) = reading.table() {
            sections::read(&mut config, &mut reading, &table);
        }
        match reading.into_faults() {
            faults if faults.is_empty() => Ok(config),
            faults => Err(ConfigError::Faults(faults)),
        }
    }

    /// The profile with that name, or the one without.
    pub fn profile(&self, name: Option<&str>) -> Result<&Profile, ConfigError> {
        let Some(name) = name else { return Ok(&self.profile) };
        self.profiles.get(name).ok_or_else(|| {
            let nearest = crate::editing::nearest(name, self.profiles.keys().map(String::as_str));
            let shown = name.chars().take(40).collect();
            let nearest = nearest.map(str::to_owned);
            ConfigError::Profile(UnknownProfile { name: shown, nearest, path: self.path.clone() })
        })
    }
}

#[cfg(test)]
mod tests;
