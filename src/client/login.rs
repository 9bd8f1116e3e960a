//! What a client presents to show who it is: a token, from a file, from a variable, or from an earlier `hubbub login`.
//!
//! The logins of a user are files of their own in the user's config folder, one for each server, which only the user can
//! read.

use std::env;
use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::address::Address;

/// The variable with a token.
pub const TOKEN_VARIABLE: &str = "HUBBUB_TOKEN";

/// The maximum size of a file with a token, in bytes: a JSON web token has at most 8 KiB.
const FILE_BYTES_MAX: u64 = 16 * 1024;

/// A token, and where it comes from.
#[derive(Clone)]
pub struct Login {
    place: Place,
    /// Whether it may be sent without TLS to another machine.
    insecure: bool,
}

#[derive(Clone)]
enum Place {
    /// Read anew for each connection, so that a program can replace it.
    File(PathBuf),
    /// The token itself.
    Text(Zeroizing<String>),
}

/// A login that is stored for a server.
#[derive(Serialize, Deserialize)]
pub struct StoredLogin {
    pub server: String,
    /// The name of the user.
    pub name: String,
    pub token: Zeroizing<String>,
    /// Whether the server is reached with TLS.
    #[serde(default)]
    pub tls: bool,
}

/// The login that a connection presents, and the header that it has presented.
#[derive(Clone)]
pub(super) struct Presented {
    login: Login,
    header: Zeroizing<String>,
}

/// Why a token can't be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LoginFault {
    #[error("can't read {}: {reason}", .path.display())]
    Unreadable { path: PathBuf, reason: String },
    #[error("can't write {}: {reason}", .path.display())]
    Unwritable { path: PathBuf, reason: String },
    #[error("others can read or change {}: run chmod 600 on it", .0.display())]
    Exposed(PathBuf),
    #[error("{} does not contain a token: it must have one line, without blanks", .0)]
    NotAToken(String),
    #[error("the token would be sent without TLS: use --tls (or --insecure, if nobody else can read the network)")]
    Plaintext,
    #[error("HOME is not set: there is no folder for logins")]
    NoHome,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::File(path) => write!(f, "Login({})", path.display()),
            Place::Text(_) => f.write_str("Login(secret)"),
        }
    }
}

impl Login {
    /// The token in a file.
    pub fn file(path: PathBuf) -> Self {
        Self { place: Place::File(path), insecure: false }
    }

    /// The token itself.
    pub fn token(token: impl Into<String>) -> Self {
        Self { place: Place::Text(Zeroizing::new(token.into())), insecure: false }
    }

    /// The same, which may be sent without TLS to another machine.
    pub fn allowing_plaintext(self, insecure: bool) -> Self {
        Self { insecure, ..self }
    }

    /// The token in the variable, if it is set.
    pub fn from_variable() -> Option<Self> {
        env::var(TOKEN_VARIABLE).ok().filter(|token| !token.is_empty()).map(Self::token)
    }

    /// What a connection presents. `is_private` says that nobody else can read what is sent.
    pub(super) fn present(&self, is_private: bool) -> Result<Presented, LoginFault> {
        Ok(Presented { login: self.clone(), header: self.header(is_private)? })
    }

    /// The value of the header `authorization`. `is_private` says that nobody else can read what is sent.
    pub fn header(&self, is_private: bool) -> Result<Zeroizing<String>, LoginFault> {
        if !is_private && !self.insecure {
            return Err(LoginFault::Plaintext);
        }
        let token = match &self.place {
            Place::Text(token) => checked(token, || TOKEN_VARIABLE.to_owned())?,
            Place::File(path) => checked(&read_private(path)?, || path.display().to_string())?,
        };
        Ok(Zeroizing::new(format!("Bearer {}", *token)))
    }
}

impl Presented {
    pub fn header(&self) -> &str {
        &self.header
    }

    /// Whether there is another token now, so that another connection may succeed.
    pub fn is_outdated(&self) -> bool {
        self.login.header(true).is_ok_and(|header| header != self.header)
    }
}

/// The one token of a text.
fn checked(text: &str, place: impl Fn() -> String) -> Result<Zeroizing<String>, LoginFault> {
    let token = text.trim();
    let is_token = !token.is_empty() && token.chars().all(|c| c.is_ascii_graphic());
    is_token.then(|| Zeroizing::new(token.to_owned())).ok_or_else(|| LoginFault::NotAToken(place()))
}

/// Reads a file that only its owner may read.
fn read_private(path: &Path) -> Result<Zeroizing<String>, LoginFault> {
    let fault = |error: io::Error| LoginFault::Unreadable { path: path.to_owned(), reason: error.to_string() };
    let file = File::open(path).map_err(fault)?;
    let metadata = file.metadata().map_err(fault)?;
    // Pipes and such, as `<(…)` of a shell, have no other readers.
    if metadata.is_file() && metadata.mode() & 0o077 != 0 {
        return Err(LoginFault::Exposed(path.to_owned()));
    }
    let mut text = Zeroizing::new(String::new());
    file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(fault)?;
    Ok(text)
}

/// The folder for a user's settings, `hubbub` in the config folder of the XDG base directories.
pub fn config_folder() -> Result<PathBuf, LoginFault> {
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let config = absolute("XDG_CONFIG_HOME").or_else(|| absolute("HOME").map(|home| home.join(".config")));
    Ok(config.ok_or(LoginFault::NoHome)?.join("hubbub"))
}

/// The file for the login of a server.
fn path_for(server: &Address) -> Result<PathBuf, LoginFault> {
    let name: String = server.to_string().chars().map(|c| if c == '/' { '%' } else { c }).collect();
    Ok(config_folder()?.join("logins").join(name + ".json"))
}

/// A file that is being written, which then gets its name.
fn half(path: &Path) -> PathBuf {
    path.with_extension(format!("{}.half", std::process::id()))
}

impl StoredLogin {
    /// The login that is stored for a server.
    pub fn load(server: &Address) -> Result<Option<Self>, LoginFault> {
        let path = match path_for(server) {
            // Without a home there is none.
            Err(LoginFault::NoHome) => return Ok(None),
            path => path?,
        };
        if !path.exists() {
            return Ok(None);
        }
        let unreadable = |reason: String| LoginFault::Unreadable { path: path.clone(), reason };
        let login: Self = serde_json::from_str(&read_private(&path)?).map_err(|error| unreadable(error.to_string()))?;
        Ok(Some(login))
    }

    /// Creates the folder for logins. Returns the path of this server's.
    pub fn check_folder(server: &Address) -> Result<PathBuf, LoginFault> {
        let path = path_for(server)?;
        let fault = |error: io::Error| LoginFault::Unwritable { path: path.clone(), reason: error.to_string() };
        let folder = path.parent().unwrap_or(&path);
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(fault)?;
        // Whether it can be written to is found out by doing it.
        let half = half(&path);
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&half).map_err(fault)?;
        fs::remove_file(&half).map_err(fault)?;
        Ok(path)
    }

    /// Stores it, in place of an earlier one.
    pub fn store(&self, server: &Address) -> Result<(), LoginFault> {
        let path = Self::check_folder(server)?;
        let fault = |error: io::Error| LoginFault::Unwritable { path: path.clone(), reason: error.to_string() };
        let text = serde_json::to_string(self).map(Zeroizing::new).map_err(|error| fault(error.into()))?;
        // Replaced as a whole: a crash leaves the earlier one.
        let half = half(&path);
        let written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&half).and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        });
        let replaced = written.and_then(|()| fs::rename(&half, &path));
        if replaced.is_err() {
            let _ = fs::remove_file(&half);
        }
        replaced.map_err(fault)
    }

    /// Removes the login that is stored for a server. False if there is none.
    pub fn remove(server: &Address) -> Result<bool, LoginFault> {
        let path = path_for(server)?;
        match fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(LoginFault::Unwritable { path, reason: error.to_string() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_token_file_must_be_private_and_have_one_token() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let login = Login::file(path.clone());
        assert!(matches!(login.header(true), Err(LoginFault::Unreadable { .. })));
        for (text, mode, expected) in [
            ("hub_x\n", 0o600, Ok("Bearer hub_x".to_owned())),
            ("hub_x\n", 0o644, Err(LoginFault::Exposed(path.clone()))),
            (" \n", 0o600, Err(LoginFault::NotAToken(path.display().to_string()))),
            ("two tokens", 0o400, Err(LoginFault::NotAToken(path.display().to_string()))),
        ] {
            let _ = fs::remove_file(&path);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(login.header(true).map(|header| header.to_string()), expected, "{text:?} {mode:o}");
        }
    }

    #[test]
    fn a_token_is_not_sent_in_the_open_nor_shown() {
        let login = Login::token("hub_secret");
        assert_eq!(login.header(false), Err(LoginFault::Plaintext));
        assert!(login.clone().allowing_plaintext(true).header(false).is_ok());
        assert!(!format!("{login:?}").contains("hub_secret"));
    }
}
