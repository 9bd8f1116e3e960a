//! From key events to actions: the key map, and chords.
//!
//! A [`KeyMap`] has the default keys, and those of the user's config in their place. [`Keys`] holds what was begun: a
//! chord such as Ctrl-X Ctrl-E, or Alt-j and two digits. No key that types text is ever lost: one that does not go on
//! with a chord abandons it, and does what it does alone.

mod action;
mod defaults;
mod key;

use std::collections::HashMap;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use thiserror::Error;

pub use self::action::{Action, Context, Edit, List, NAMED, ROOM_NUMBER_MAX, Selected};
pub use self::defaults::DEFAULTS;
pub use self::key::{InvalidKey, Key};

/// How many keys a chord may have.
const CHORD_KEYS_MAX: usize = 4;

/// How many digits follow Alt-j.
const ROOM_DIGITS: usize = 2;

/// The name of the action that does nothing: it removes a key from the map.
pub const NO_ACTION: &str = "none";

/// The keys of all contexts.
#[derive(Clone, Debug)]
pub struct KeyMap {
    bound: HashMap<(Context, Vec<Key>), Bound>,
}

#[derive(Clone, Copy, Debug)]
struct Bound {
    action: Action,
    /// The user's own key, rather than a default.
    is_own: bool,
}

/// Why a key can't be bound.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BindError {
    #[error(transparent)]
    Key(#[from] InvalidKey),
    #[error("give a key, such as \"alt-x\"")]
    NoKey,
    #[error("{0} has more than {CHORD_KEYS_MAX} keys")]
    LongChord(String),
    #[error("{0} types text: add ctrl or alt")]
    TypesText(Key),
    #[error("unknown action {name:?}{}", .nearest.as_ref().map_or_else(
        || ": docs/terminal.md lists all".to_owned(), |near| format!(": did you mean {near:?}?")))]
    Action { name: String, nearest: Option<String> },
    #[error("{0} is bound twice: remove one of them")]
    Twice(String),
    #[error("{shorter} is the beginning of {longer}: remove one of them")]
    Beginning { shorter: String, longer: String },
}

impl Default for KeyMap {
    fn default() -> Self {
        let mut bound = HashMap::new();
        for (context, name, all) in DEFAULTS {
            for keys in all {
                let action = Action::named(context, name).expect("a default key has an action");
                let keys = chord(keys).expect("a default key can be read");
                let before = bound.insert((context, keys), Bound { action, is_own: false });
                assert!(before.is_none(), "two actions have the same default key");
            }
        }
        Self { bound }
    }
}

impl KeyMap {
    /// Binds keys of the user to an action, or to [`NO_ACTION`]. They replace default keys, also those that begin with
    /// them, and those that they begin with.
    pub fn bind(&mut self, context: Context, keys: &str, action: &str) -> Result<(), BindError> {
        let keys = chord(keys)?;
        let is_typed = keys[0].text().filter(|_| context != Context::Select);
        if is_typed.is_some() {
            return Err(BindError::TypesText(keys[0]));
        }
        let action = match action {
            NO_ACTION => None,
            name => Some(Action::named(context, name).ok_or_else(|| unknown(context, name))?),
        };
        self.make_way(context, &keys)?;
        if let Some(action) = action {
            self.bound.insert((context, keys), Bound { action, is_own: true });
        }
        Ok(())
    }

    /// Removes what can't be reached beside new keys, if it is a default.
    fn make_way(&mut self, context: Context, keys: &[Key]) -> Result<(), BindError> {
        let is_near = |other: &[Key]| other.starts_with(keys) || keys.starts_with(other);
        let near: Vec<_> = self.bound.keys().filter(|(of, other)| *of == context && is_near(other)).cloned().collect();
        for other in near {
            if self.bound[&other].is_own {
                let (mine, other) = (shown(keys), shown(&other.1));
                return Err(match mine.len().cmp(&other.len()) {
                    std::cmp::Ordering::Equal => BindError::Twice(mine),
                    std::cmp::Ordering::Less => BindError::Beginning { shorter: mine, longer: other },
                    std::cmp::Ordering::Greater => BindError::Beginning { shorter: other, longer: mine },
                });
            }
            self.bound.remove(&other);
        }
        Ok(())
    }

    /// Whether a message can be sent: without a key for that, the config is a mistake.
    pub fn can_enter(&self) -> bool {
        self.bound.values().any(|bound| bound.action == Action::Enter)
    }

    /// The keys of an action, as they are shown, in a stable order.
    pub fn keys_of(&self, context: Context, action: Action) -> Vec<String> {
        let of = self.bound.iter().filter(|((of, _), bound)| *of == context && bound.action == action);
        let mut keys: Vec<_> = of.map(|((_, keys), _)| shown(keys)).collect();
        keys.sort_by_key(|keys| (keys.chars().count(), keys.clone()));
        keys
    }

    /// What these keys do.
    pub fn action(&self, context: Context, keys: &[Key]) -> Option<Action> {
        // Once, for a map of vectors can't be asked with a slice.
        self.bound.get(&(context, keys.to_vec())).map(|bound| bound.action)
    }

    /// Whether longer chords begin with these keys.
    fn begins(&self, context: Context, keys: &[Key]) -> bool {
        self.bound.keys().any(|(of, other)| *of == context && other.len() > keys.len() && other.starts_with(keys))
    }
}

/// Reads keys that follow each other.
pub fn chord(text: &str) -> Result<Vec<Key>, BindError> {
    let keys = text.split_whitespace().map(str::parse).collect::<Result<Vec<Key>, _>>()?;
    match keys.len() {
        0 => Err(BindError::NoKey),
        count if count > CHORD_KEYS_MAX => Err(BindError::LongChord(text.to_owned())),
        _ => Ok(keys),
    }
}

/// The keys as the screen and the docs show them.
pub fn shown(keys: &[Key]) -> String {
    keys.iter().map(Key::to_string).collect::<Vec<_>>().join(" ")
}

fn unknown(context: Context, name: &str) -> BindError {
    let known = NAMED.iter().filter(|(of, ..)| *of == context).map(|(_, known, _)| *known);
    let nearest = crate::editing::nearest(name, known.chain([NO_ACTION]));
    BindError::Action { name: name.chars().take(40).collect(), nearest: nearest.map(str::to_owned) }
}

/// What a key event means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pressed {
    Act(Action),
    /// Text for the input line, or for the filter of a list.
    Type(char),
    /// More keys are expected, see [`Keys::begun`].
    Begun,
    /// Nothing is bound to it.
    Unbound(Key),
    /// A key was released, or something begun was abandoned.
    Nothing,
}

/// Reads key events.
#[derive(Debug, Default)]
pub struct Keys {
    map: KeyMap,
    begun: Vec<Key>,
    /// The digits of a room's number, after its key.
    digits: Option<String>,
}

impl Keys {
    pub fn new(map: KeyMap) -> Self {
        Self { map, ..Self::default() }
    }

    pub fn map(&self) -> &KeyMap {
        &self.map
    }

    /// What was begun, for the screen: `Ctrl-X …`, `Alt-j 1…`.
    pub fn begun(&self) -> Option<String> {
        let digits = self.digits.as_deref().unwrap_or_default();
        (!self.begun.is_empty()).then(|| format!("{} {digits}…", shown(&self.begun)))
    }

    /// Takes an event. `is_empty` says whether the input line is empty, where End and Enter mean something else.
    pub fn press(&mut self, event: &KeyEvent, context: Context, is_empty: bool) -> Pressed {
        let Some(key) = Key::of_event(event) else { return Pressed::Nothing };
        if self.digits.is_some()
            && let Some(pressed) = self.digit(key)
        {
            return pressed;
        }
        if !self.begun.is_empty() {
            let keys: Vec<_> = self.begun.iter().copied().chain([key]).collect();
            if let Some(pressed) = self.find(&keys, context, is_empty) {
                return pressed;
            }
            self.begun.clear();
            if key.abandons() {
                return Pressed::Nothing;
            }
        }
        match (self.find(&[key], context, is_empty), key.text()) {
            (Some(pressed), _) => pressed,
            (None, Some(c)) if context != Context::Select => Pressed::Type(c),
            (None, _) => Pressed::Unbound(key),
        }
    }

    /// Abandons what was begun, for example since the terminal has lost the focus.
    pub fn abandon(&mut self) {
        self.begun.clear();
        self.digits = None;
    }

    /// The meaning of keys, of which the last one was pressed now. `None`: they have none.
    fn find(&mut self, keys: &[Key], context: Context, is_empty: bool) -> Option<Pressed> {
        let (last, before) = keys.split_last()?;
        // In a chord the other keys are what they are already.
        for key in [*last].into_iter().chain(last.fallbacks()) {
            let keys: Vec<_> = before.iter().copied().chain([key]).collect();
            if let Some(action) = self.map.action(context, &keys) {
                self.begun.clear();
                return Some(self.resolve(action, keys, is_empty));
            }
            if self.map.begins(context, &keys) {
                self.begun = keys;
                return Some(Pressed::Begun);
            }
        }
        // While a message is selected, other rooms can be shown, as always.
        let goes_on = |action: &Action| context == Context::Select && before.is_empty() && action.leaves_message();
        let mut others = [*last].into_iter().chain(last.fallbacks());
        let found = others.find_map(|key| Some(key).zip(self.map.action(Context::Input, &[key]).filter(goes_on)));
        found.map(|(key, action)| self.resolve(action, vec![key], is_empty))
    }

    fn resolve(&mut self, action: Action, keys: Vec<Key>, is_empty: bool) -> Pressed {
        Pressed::Act(match action {
            Action::RoomNumber => {
                (self.begun, self.digits) = (keys, Some(String::new()));
                return Pressed::Begun;
            }
            Action::End if is_empty => Action::Live,
            Action::End => Action::Edit(Edit::LineEnd),
            Action::Enter if is_empty => Action::MarkRead,
            action => action,
        })
    }

    /// A key after the one for a room's number. `None`: it is not part of the number, which is abandoned.
    fn digit(&mut self, key: Key) -> Option<Pressed> {
        let mut digits = self.digits.take()?;
        match key.code() {
            // With Alt still pressed too, as fast fingers do.
            KeyCode::Char(digit) if digit.is_ascii_digit() && key != control(digit) => digits.push(digit),
            KeyCode::Enter if !digits.is_empty() => return Some(self.room(&digits)),
            KeyCode::Backspace if digits.pop().is_some() => {}
            _ => {
                self.begun.clear();
                return key.abandons().then_some(Pressed::Nothing);
            }
        }
        if digits.len() == ROOM_DIGITS {
            return Some(self.room(&digits));
        }
        self.digits = Some(digits);
        Some(Pressed::Begun)
    }

    fn room(&mut self, digits: &str) -> Pressed {
        self.begun.clear();
        match digits.parse() {
            Ok(number) if number > 0 => Pressed::Act(Action::Room(number)),
            _ => Pressed::Nothing,
        }
    }
}

fn control(c: char) -> Key {
    Key::new(KeyCode::Char(c), KeyModifiers::CONTROL)
}

#[cfg(test)]
mod tests;
