//! The config file of the full-screen client: servers, the look of the screen, notifications and keys. The client needs
//! none.
//!
//! It is TOML. Every fault is reported with its line and the remedy, all at once; a file with a fault is not used in
//! part, since a key that does something else than expected is worse than a message.

mod settings;
mod reading;
mod sections;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use self::reading::Reading;
use crate::config_text::{self, Unreadable};

pub use self::sections::{INPUT_KEYS, NOTIFICATION_KEYS, PROFILE_KEYS, SCREEN_KEYS};
pub use self::settings::{Background, Colors, Config, Desktop, Emoji, Input, Joins, Notifications, Profile, Screen};

/// The name of the file in the user's config folder, see [`crate::client::config_folder`].
pub const FILE_NAME: &str = "config.toml";

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
        let reason = match config_text::read(path) {
            Ok((text, _)) => return Self::parse(&text, path),
            Err(Unreadable::Io(error)) => match error.kind() {
                io::ErrorKind::NotFound => return Ok(Self::default()),
                io::ErrorKind::PermissionDenied => {
                    "permission denied: make it readable for you, with chmod u+r".to_owned()
                }
                _ => error.to_string(),
            },
            Err(Unreadable::Other(reason)) => reason,
        };
        Err(ConfigError::File { path: path.to_owned(), reason })
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
