//! The settings of the full-screen client, and what they are by default.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::address::Address;
use crate::names::{RoomName, UserName};
use crate::tui::keys::KeyMap;

/// The settings of the user.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// What `hubbub` connects to without a profile.
    pub profile: Profile,
    /// What `hubbub @NAME` connects to.
    pub profiles: BTreeMap<String, Profile>,
    pub screen: Screen,
    pub input: Input,
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
    /// The list of rooms on the left, and of people on the right, if there is space. `None`: as they were when the
    /// client ended.
    pub rooms: Option<bool>,
    pub people: Option<bool>,
    pub mouse: bool,
    pub joins: Joins,
    pub emoji: Emoji,
    pub background: Background,
    pub colors: Colors,
}

impl Default for Screen {
    fn default() -> Self {
        Self {
            rooms: None,
            people: None,
            mouse: false,
            joins: Joins::Fold,
            emoji: Emoji::Simple,
            background: Background::Auto,
            colors: Colors::Auto,
        }
    }
}

/// The input line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Input {
    /// The lines that were entered are kept on the disk.
    pub history: bool,
}

impl Default for Input {
    fn default() -> Self {
        Self { history: true }
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
