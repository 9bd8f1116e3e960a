//! A key of the keyboard: its normal form, and its name in the config, in the docs and on the screen.
//!
//! Terminals report the same key in different ways. Without the kitty protocol, Ctrl-_ and Ctrl-/ are one byte, which
//! crossterm reports as Ctrl-7; with it, Ctrl-_ is Ctrl-Shift-Minus. A capital letter may have a Shift beside it or not.
//! Each becomes one [`Key`] here, so that a key map needs one entry for each.

use std::fmt;
use std::str::FromStr;

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use thiserror::Error;

/// A key with its modifiers, in normal form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    code: KeyCode,
    modifiers: KeyModifiers,
}

/// The text is not the name of a key.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is not a key: write it as alt-1, ctrl-n, ctrl-x ctrl-e, f7, pageup or shift-tab")]
pub struct InvalidKey(pub String);

/// The modifiers that a text character has none of.
const COMMANDS: KeyModifiers =
    KeyModifiers::CONTROL.union(KeyModifiers::ALT).union(KeyModifiers::SUPER).union(KeyModifiers::HYPER);

/// The names of keys, the one that is shown first. Each is also read without regard to case.
const NAMES: [(&str, KeyCode); 30] = [
    ("Enter", KeyCode::Enter),
    ("Return", KeyCode::Enter),
    ("Esc", KeyCode::Esc),
    ("Escape", KeyCode::Esc),
    ("Tab", KeyCode::Tab),
    ("Backspace", KeyCode::Backspace),
    ("Delete", KeyCode::Delete),
    ("Del", KeyCode::Delete),
    ("Insert", KeyCode::Insert),
    ("Ins", KeyCode::Insert),
    ("Left", KeyCode::Left),
    ("Right", KeyCode::Right),
    ("Up", KeyCode::Up),
    ("Down", KeyCode::Down),
    ("←", KeyCode::Left),
    ("→", KeyCode::Right),
    ("↑", KeyCode::Up),
    ("↓", KeyCode::Down),
    ("Home", KeyCode::Home),
    ("End", KeyCode::End),
    ("PageUp", KeyCode::PageUp),
    ("PageDown", KeyCode::PageDown),
    ("PgUp", KeyCode::PageUp),
    ("PgDn", KeyCode::PageDown),
    ("Space", KeyCode::Char(' ')),
    ("Minus", KeyCode::Char('-')),
    ("Pause", KeyCode::Pause),
    ("Menu", KeyCode::Menu),
    ("Print", KeyCode::PrintScreen),
    ("Keypad5", KeyCode::KeypadBegin),
];

/// Where the letters of other layouts are on a Latin keyboard. Without this, Alt-a does nothing while a Russian layout
/// is active.
const LAYOUTS: [(&str, &str); 3] = [
    ("йцукенгшщзхъфывапролджэячсмитьбю", "qwertyuiop[]asdfghjkl;'zxcvbnm,."),
    ("ςερτυθιοπασδφγηξκλζχψωβνμ", "wertyuiopasdfghjklzxcvbnm"),
    ("קראטוןםפשדגכעיחלךזסבהנמצת", "ertyuiopasdfghjklzxcvbnm,"),
];

impl Key {
    /// The key of an event. `None` for one that is released, and for those that do nothing alone, such as Shift.
    pub fn of_event(event: &KeyEvent) -> Option<Self> {
        if event.kind == KeyEventKind::Release {
            return None;
        }
        match event.code {
            KeyCode::Char(c) if c.is_control() => None,
            KeyCode::Null | KeyCode::CapsLock | KeyCode::ScrollLock | KeyCode::NumLock => None,
            KeyCode::Media(_) | KeyCode::Modifier(_) => None,
            code => Some(Self::new(code, event.modifiers)),
        }
    }

    /// The key in its normal form.
    pub fn new(code: KeyCode, modifiers: KeyModifiers) -> Self {
        let mut modifiers = modifiers;
        if modifiers.contains(KeyModifiers::META) {
            modifiers = modifiers.difference(KeyModifiers::META) | KeyModifiers::ALT;
        }
        let code = match code {
            KeyCode::BackTab => {
                modifiers |= KeyModifiers::SHIFT;
                KeyCode::Tab
            }
            KeyCode::Char(c) if modifiers.contains(KeyModifiers::CONTROL) => {
                KeyCode::Char(with_control(c, &mut modifiers))
            }
            // The character says already whether Shift is pressed.
            KeyCode::Char(c) => {
                let shifted = modifiers.contains(KeyModifiers::SHIFT);
                modifiers.remove(KeyModifiers::SHIFT);
                KeyCode::Char(if shifted { upper(c) } else { c })
            }
            code => code,
        };
        Self { code, modifiers }
    }

    /// The character that the key types, if it types one.
    pub fn text(self) -> Option<char> {
        match self.code {
            KeyCode::Char(c) if !self.modifiers.intersects(COMMANDS) => Some(c),
            _ => None,
        }
    }

    pub fn code(self) -> KeyCode {
        self.code
    }

    /// Whether it abandons what was begun, rather than being a key of its own.
    pub fn abandons(self) -> bool {
        self.code == KeyCode::Esc || self == Self::new(KeyCode::Char('c'), KeyModifiers::CONTROL)
    }

    /// Other keys that are meant if nothing is bound to this one, the nearest first.
    pub fn fallbacks(self) -> impl Iterator<Item = Self> {
        let Self { code, modifiers } = self;
        let has_control = modifiers == KeyModifiers::CONTROL;
        // These were the same bytes before terminals could tell them apart.
        let same = match code {
            KeyCode::Char('i') if has_control => Some(KeyCode::Tab),
            KeyCode::Char('m') if has_control => Some(KeyCode::Enter),
            KeyCode::Char('[') if has_control => Some(KeyCode::Esc),
            KeyCode::Char('h') if has_control => Some(KeyCode::Backspace),
            // Esc pressed twice, or held back by tmux.
            KeyCode::Esc if modifiers == KeyModifiers::ALT => Some(KeyCode::Esc),
            _ => None,
        };
        let latin = match code {
            KeyCode::Char(c) if modifiers.intersects(COMMANDS) => latin(c).map(KeyCode::Char),
            _ => None,
        };
        // Shift is often still pressed when the next key is Backspace. Shift-Tab is another key than Tab.
        let is_shifted = modifiers.contains(KeyModifiers::SHIFT) && !matches!(code, KeyCode::Char(_) | KeyCode::Tab);
        let unshifted = is_shifted.then(|| Self::new(code, modifiers.difference(KeyModifiers::SHIFT)));
        // With Caps Lock, Alt-a arrives as Alt-A.
        let small = match (code, latin) {
            (KeyCode::Char(c), None) | (_, Some(KeyCode::Char(c))) if c.is_uppercase() => c.to_lowercase().next(),
            _ => None,
        };
        let small = small.filter(|_| modifiers == KeyModifiers::ALT).map(KeyCode::Char);
        let same = same.map(|code| Self::new(code, KeyModifiers::NONE));
        let others = [latin, small].into_iter().flatten().map(move |code| Self::new(code, modifiers));
        same.into_iter().chain(others).chain(unshifted)
    }
}

/// The character of a key with Control.
fn with_control(c: char, modifiers: &mut KeyModifiers) -> char {
    let is_shifted = modifiers.contains(KeyModifiers::SHIFT);
    let shown = match c {
        '4' => '\\',
        '5' => ']',
        '6' => '^',
        '7' => '_',
        '-' if is_shifted => '_',
        // Control has no case; Ctrl-Shift-C is another key, since many terminals copy with it.
        c => return single(c.to_lowercase()).unwrap_or(c),
    };
    modifiers.remove(KeyModifiers::SHIFT);
    shown
}

/// The capital letter, if it is one character.
fn upper(c: char) -> char {
    single(c.to_uppercase()).unwrap_or(c)
}

fn single(mut chars: impl Iterator<Item = char>) -> Option<char> {
    chars.next().filter(|_| chars.next().is_none())
}

/// The letter of a Latin keyboard at the same place.
fn latin(c: char) -> Option<char> {
    let lower = c.to_lowercase().next()?;
    let at = |(layout, latin): &(&str, &str)| latin.chars().nth(layout.chars().position(|other| other == lower)?);
    let found = LAYOUTS.iter().find_map(at)?;
    Some(if c == lower { found } else { upper(found) })
}

impl FromStr for Key {
    type Err = InvalidKey;

    /// Reads `ctrl-x`, `Alt-N`, `shift-tab`, `f7`, `C-x`, `M-1`. Only the case of a character without Control counts.
    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        let fault = || InvalidKey(text.chars().take(40).collect());
        let (mut modifiers, mut rest) = (KeyModifiers::NONE, text);
        while let Some((modifier, after)) = rest.split_once(['-', '+']).filter(|(_, after)| !after.is_empty()) {
            modifiers |= match modifier.to_ascii_lowercase().as_str() {
                "ctrl" | "control" | "c" => KeyModifiers::CONTROL,
                "alt" | "meta" | "m" => KeyModifiers::ALT,
                "shift" | "s" => KeyModifiers::SHIFT,
                "super" => KeyModifiers::SUPER,
                _ => return Err(fault()),
            };
            rest = after;
        }
        let code = code(rest).ok_or_else(fault)?;
        Ok(Self::new(code, modifiers))
    }
}

fn code(name: &str) -> Option<KeyCode> {
    let mut chars = name.chars();
    if let (Some(c), None) = (chars.next(), chars.clone().next())
        && !NAMES.iter().any(|(known, _)| *known == name)
    {
        return (!c.is_control() && !c.is_whitespace()).then_some(KeyCode::Char(c));
    }
    let named = NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, code)| *code);
    let function = || {
        let number = name.strip_prefix(['f', 'F'])?.parse().ok()?;
        (1..=24).contains(&number).then_some(KeyCode::F(number))
    };
    named.or_else(function)
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (modifier, name) in [
            (KeyModifiers::SUPER, "Super-"),
            (KeyModifiers::CONTROL, "Ctrl-"),
            (KeyModifiers::ALT, "Alt-"),
            (KeyModifiers::SHIFT, "Shift-"),
        ] {
            if self.modifiers.contains(modifier) {
                f.write_str(name)?;
            }
        }
        match (self.code, NAMES.iter().find(|(_, code)| *code == self.code)) {
            (_, Some((name, _))) => f.write_str(name),
            (KeyCode::F(number), _) => write!(f, "F{number}"),
            (KeyCode::Char(c), _) if self.modifiers.contains(KeyModifiers::CONTROL) => {
                write!(f, "{}", c.to_ascii_uppercase())
            }
            (KeyCode::Char(c), _) => write!(f, "{c}"),
            (code, _) => write!(f, "{code}"),
        }
    }
}
