//! The sections of the config file, and their keys.

use toml::de::DeTable;

use super::reading::{Key, Reading, Value, entries};
use super::settings::{Background, Colors, Config, Desktop, Emoji, Joins, Profile};
use crate::address::Address;
use crate::editing::room;
use crate::names::UserName;
use crate::tui::keys::{Context, KeyMap};

/// The keys of a profile, also outside of one.
pub const PROFILE_KEYS: [&str; 9] =
    ["server", "name", "rooms", "tls", "ca", "cert", "key", "token-file", "server-name"];
pub const SCREEN_KEYS: [&str; 7] = ["rooms", "people", "mouse", "joins", "emoji", "background", "colors"];
pub const INPUT_KEYS: [&str; 1] = ["history"];
pub const NOTIFICATION_KEYS: [&str; 4] = ["bell", "desktop", "words", "muted"];
const SECTIONS: [&str; 5] = ["profiles", "screen", "input", "notifications", "keys"];

/// The longest name of a profile, in bytes.
const PROFILE_NAME_BYTES_MAX: usize = 64;

pub fn read<'a>(config: &mut Config, reading: &mut Reading<'a>, table: &DeTable<'a>) {
    for (key, value) in entries(table) {
        match key.get_ref().as_ref() {
            "profiles" => profiles(config, reading, key, value),
            "screen" => screen(config, reading, key, value),
            "input" => input(config, reading, key, value),
            "notifications" => notifications(config, reading, key, value),
            "keys" => keys(config, reading, key, value),
            _ if profile(&mut config.profile, reading, key, value) => {}
            _ => {
                let known: Vec<_> = PROFILE_KEYS.into_iter().chain(SECTIONS).collect();
                reading.unknown("", key, &known);
            }
        }
    }
    check_pair(&config.profile, reading, 0);
}

/// Reads a key of a profile. False: it is none.
fn profile<'a>(profile: &mut Profile, reading: &mut Reading<'a>, key: &Key<'a>, value: &Value<'a>) -> bool {
    match key.get_ref().as_ref() {
        "server" => profile.server = reading.text(key, value, |text| text.parse::<Address>().map_err(in_words)),
        "name" => profile.name = reading.text(key, value, |text| UserName::new(text).map_err(in_words)),
        "rooms" => profile.rooms = reading.texts(key, value, room),
        "tls" => profile.tls = reading.flag(key, value).unwrap_or_default(),
        "ca" => profile.ca = reading.path(key, value),
        "cert" => profile.cert = reading.path(key, value),
        "key" => profile.key = reading.path(key, value),
        "token-file" => profile.token_file = reading.path(key, value),
        "server-name" => profile.server_name = reading.text(key, value, |text| Ok(text.to_owned())),
        _ => return false,
    }
    true
}

fn in_words(error: impl std::error::Error) -> String {
    error.to_string()
}

fn profiles<'a>(config: &mut Config, reading: &mut Reading<'a>, key: &Key<'a>, value: &Value<'a>) {
    for (name, value) in reading.inner(key, value) {
        let at = name.span().start;
        let is_name = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
        let text = name.get_ref().as_ref();
        if text.is_empty() || text.len() > PROFILE_NAME_BYTES_MAX || !text.chars().all(is_name) {
            reading.fault(at, "the name of a profile has 1 to 64 letters, digits, - and _, as in [profiles.work]");
            continue;
        }
        let faults = reading.faults_count();
        let mut read = Profile::default();
        for (key, value) in reading.inner(name, value) {
            if !profile(&mut read, reading, key, value) {
                reading.unknown(&format!("profiles.{text}"), key, &PROFILE_KEYS);
            }
        }
        check_pair(&read, reading, at);
        if read.server.is_none() && faults == reading.faults_count() {
            let fault = format!("the profile {text} has no server: add server = \"HOST:PORT\" to [profiles.{text}]");
            reading.fault(at, fault);
        }
        config.profiles.insert(text.to_owned(), read);
    }
}

/// A certificate needs its key.
fn check_pair(profile: &Profile, reading: &mut Reading<'_>, at: usize) {
    match (&profile.cert, &profile.key) {
        (Some(_), None) => reading.fault(at, "cert needs the private key too: add key = \"FILE\""),
        (None, Some(_)) => reading.fault(at, "key needs the certificate too: add cert = \"FILE\""),
        _ => {}
    }
}

fn screen<'a>(config: &mut Config, reading: &mut Reading<'a>, section: &Key<'a>, value: &Value<'a>) {
    let screen = &mut config.screen;
    for (key, value) in reading.inner(section, value) {
        match key.get_ref().as_ref() {
            "rooms" => screen.rooms = reading.flag(key, value),
            "people" => screen.people = reading.flag(key, value),
            "mouse" => set(&mut screen.mouse, reading.flag(key, value)),
            "joins" => {
                let choices = [("fold", Joins::Fold), ("show", Joins::Show), ("hide", Joins::Hide)];
                set(&mut screen.joins, reading.choice(key, value, &choices));
            }
            "emoji" => {
                let choices = [("simple", Emoji::Simple), ("full", Emoji::Full)];
                set(&mut screen.emoji, reading.choice(key, value, &choices));
            }
            "background" => {
                let choices = [("auto", Background::Auto), ("dark", Background::Dark), ("light", Background::Light)];
                set(&mut screen.background, reading.choice(key, value, &choices));
            }
            "colors" => {
                let choices =
                    [("auto", Colors::Auto), ("none", Colors::None), ("16", Colors::Sixteen), ("256", Colors::Many)];
                set(&mut screen.colors, reading.choice(key, value, &choices));
            }
            _ => reading.unknown("screen", key, &SCREEN_KEYS),
        }
    }
}

fn input<'a>(config: &mut Config, reading: &mut Reading<'a>, section: &Key<'a>, value: &Value<'a>) {
    for (key, value) in reading.inner(section, value) {
        match key.get_ref().as_ref() {
            "history" => set(&mut config.input.history, reading.flag(key, value)),
            _ => reading.unknown("input", key, &INPUT_KEYS),
        }
    }
}

fn notifications<'a>(config: &mut Config, reading: &mut Reading<'a>, section: &Key<'a>, value: &Value<'a>) {
    let notifications = &mut config.notifications;
    for (key, value) in reading.inner(section, value) {
        match key.get_ref().as_ref() {
            "bell" => set(&mut notifications.bell, reading.flag(key, value)),
            "desktop" => {
                let choices = [
                    ("off", Desktop::Off),
                    ("osc9", Desktop::Osc9),
                    ("osc777", Desktop::Osc777),
                    ("osc99", Desktop::Osc99),
                ];
                set(&mut notifications.desktop, reading.choice(key, value, &choices));
            }
            "words" => notifications.words = reading.texts(key, value, word),
            "muted" => notifications.muted = reading.texts(key, value, room),
            _ => reading.unknown("notifications", key, &NOTIFICATION_KEYS),
        }
    }
}

/// A word that counts as a mention. A blank would be in every message.
fn word(word: &str) -> Result<String, String> {
    match word.trim() {
        "" => Err("a word has letters".to_owned()),
        word if word.chars().any(char::is_control) => Err("a word has no control characters".to_owned()),
        word => Ok(word.to_owned()),
    }
}

fn keys<'a>(config: &mut Config, reading: &mut Reading<'a>, section: &Key<'a>, value: &Value<'a>) {
    for (key, value) in reading.inner(section, value) {
        let context = match key.get_ref().as_ref() {
            "select" => Context::Select,
            "list" => Context::List,
            _ => {
                bind(&mut config.keys, reading, Context::Input, key, value);
                continue;
            }
        };
        for (key, value) in reading.inner(key, value) {
            bind(&mut config.keys, reading, context, key, value);
        }
    }
    if !config.keys.can_enter() {
        reading
            .fault(section.span().start, "no key sends a message: bind one to enter, as in \"alt-enter\" = \"enter\"");
    }
}

fn bind<'a>(map: &mut KeyMap, reading: &mut Reading<'a>, context: Context, key: &Key<'a>, value: &Value<'a>) {
    let Some(action) = reading.text(key, value, |action| Ok(action.to_owned())) else { return };
    if let Err(error) = map.bind(context, key.get_ref(), &action) {
        reading.fault(key.span().start, error.to_string());
    }
}

fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}
