//! The meaning of a complete escape sequence of a terminal: a key, the mouse, the focus, an answer.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};

/// What the terminal reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoded {
    Key(KeyEvent),
    Mouse(MouseEvent),
    Focus(bool),
    /// Any text, with control characters.
    Paste(String),
    /// The terminal has taken all output before the question for its state.
    Answered,
}

/// What a control sequence means.
pub enum Meaning {
    Event(Decoded),
    PasteStart,
    /// Three more bytes belong to it.
    OldMouse,
    Unknown,
}

/// The key of `ESC O` and a letter.
pub fn shifted(byte: u8) -> Option<KeyCode> {
    match byte {
        b'M' => Some(KeyCode::Enter),
        b'j'..=b'y' => Some(KeyCode::Char((byte - b'j' + b'*') as char)),
        _ => letter_key(byte),
    }
}

/// The meaning of `ESC [`, these bytes, and the last one.
pub fn control_sequence(bytes: &[u8], last: u8) -> Meaning {
    let event = match (bytes, last) {
        (b"200", b'~') => return Meaning::PasteStart,
        (b"", b'M') => return Meaning::OldMouse,
        (b"", b'I') => Some(Decoded::Focus(true)),
        (b"", b'O') => Some(Decoded::Focus(false)),
        (b"0", b'n') => Some(Decoded::Answered),
        ([b'<', report @ ..], b'M' | b'm') => mouse(report, last == b'm').map(Decoded::Mouse),
        ([b'[', ..], _) => linux_key(last).map(|code| pressed(code, KeyModifiers::NONE)),
        (_, b'~') => numbered(&parameters(bytes)),
        (_, b'u') => unicode(&parameters(bytes)),
        (_, b'Z') => Some(pressed(KeyCode::BackTab, KeyModifiers::SHIFT | modifiers(&parameters(bytes), 1))),
        // `1;2R` is a function key, and any other such sequence a position, which was not asked for.
        (b"", b'R') => None,
        _ => letter_key(last).and_then(|code| lettered(bytes, code)),
    };
    event.map_or(Meaning::Unknown, Meaning::Event)
}

/// The parameters, each with its sub-parameters. An absent or impossible one is `None`.
fn parameters(bytes: &[u8]) -> Vec<Vec<Option<u32>>> {
    let number = |bytes: &[u8]| std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok());
    bytes.split(|byte| *byte == b';').map(|part| part.split(|byte| *byte == b':').map(number).collect()).collect()
}

fn parameter(parameters: &[Vec<Option<u32>>], at: usize, sub: usize) -> Option<u32> {
    *parameters.get(at)?.get(sub)?
}

/// The modifiers in a parameter: its value is one above their bits.
fn modifiers(parameters: &[Vec<Option<u32>>], at: usize) -> KeyModifiers {
    let bits = parameter(parameters, at, 0).unwrap_or(1).saturating_sub(1);
    let all = [
        (1, KeyModifiers::SHIFT),
        (2, KeyModifiers::ALT),
        (4, KeyModifiers::CONTROL),
        (8, KeyModifiers::SUPER),
        (16, KeyModifiers::HYPER),
        (32, KeyModifiers::META),
    ];
    all.into_iter().filter(|(bit, _)| bits & bit != 0).map(|(_, modifier)| modifier).collect()
}

fn pressed(code: KeyCode, modifiers: KeyModifiers) -> Decoded {
    Decoded::Key(KeyEvent::new(code, modifiers))
}

/// A cursor or function key with its letter: without parameters, or with modifiers after a `1`.
fn lettered(bytes: &[u8], code: KeyCode) -> Option<Decoded> {
    if bytes.is_empty() {
        return Some(pressed(code, KeyModifiers::NONE));
    }
    let parameters = parameters(bytes);
    (parameter(&parameters, 0, 0) == Some(1)).then(|| pressed(code, modifiers(&parameters, 1)))
}

fn letter_key(byte: u8) -> Option<KeyCode> {
    Some(match byte {
        b'A' => KeyCode::Up,
        b'B' => KeyCode::Down,
        b'C' => KeyCode::Right,
        b'D' => KeyCode::Left,
        b'H' => KeyCode::Home,
        b'F' => KeyCode::End,
        b'P' => KeyCode::F(1),
        b'Q' => KeyCode::F(2),
        b'R' => KeyCode::F(3),
        b'S' => KeyCode::F(4),
        _ => return None,
    })
}

fn linux_key(byte: u8) -> Option<KeyCode> {
    matches!(byte, b'A'..=b'E').then(|| KeyCode::F(byte - b'A' + 1))
}

/// A key with its number before `~`.
fn numbered(parameters: &[Vec<Option<u32>>]) -> Option<Decoded> {
    let number = parameter(parameters, 0, 0)?;
    if number == 27 {
        // A key that has no sequence of its own, with modifiers.
        return character(parameter(parameters, 2, 0)?, modifiers(parameters, 1));
    }
    let code = match number {
        1 | 7 => KeyCode::Home,
        2 => KeyCode::Insert,
        3 => KeyCode::Delete,
        4 | 8 => KeyCode::End,
        5 => KeyCode::PageUp,
        6 => KeyCode::PageDown,
        11..=15 => function_key(number - 10),
        17..=21 => function_key(number - 11),
        23..=26 => function_key(number - 12),
        28 | 29 => function_key(number - 13),
        31..=34 => function_key(number - 14),
        _ => return None,
    };
    Some(pressed(code, modifiers(parameters, 1)))
}

fn function_key(number: u32) -> KeyCode {
    KeyCode::F(u8::try_from(number).unwrap_or(u8::MAX))
}

/// A key with its character before `u`. A terminal may add the character with Shift, and that of the base layout.
fn unicode(parameters: &[Vec<Option<u32>>]) -> Option<Decoded> {
    // An answer, such as `?1u`, has no number; and the release of a key is not one.
    let code = parameter(parameters, 0, 0)?;
    if parameter(parameters, 1, 1) == Some(3) {
        return None;
    }
    let modifiers = modifiers(parameters, 1);
    let base = parameter(parameters, 0, 2);
    let shifted = parameter(parameters, 0, 1).filter(|_| modifiers.contains(KeyModifiers::SHIFT));
    // Ctrl-C must work on every layout.
    let is_command = modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT) && code > 0x7f;
    character(base.filter(|_| is_command).or(shifted).unwrap_or(code), modifiers)
}

fn character(code: u32, modifiers: KeyModifiers) -> Option<Decoded> {
    let code = match code {
        9 if modifiers.contains(KeyModifiers::SHIFT) => KeyCode::BackTab,
        9 => KeyCode::Tab,
        13 | 57_414 => KeyCode::Enter,
        27 => KeyCode::Esc,
        127 => KeyCode::Backspace,
        // The digits of the keypad, and its other keys.
        57_399..=57_408 => KeyCode::Char(char::from_digit(code - 57_399, 10)?),
        57_417 => KeyCode::Left,
        57_418 => KeyCode::Right,
        57_419 => KeyCode::Up,
        57_420 => KeyCode::Down,
        57_421 => KeyCode::PageUp,
        57_422 => KeyCode::PageDown,
        57_423 => KeyCode::Home,
        57_424 => KeyCode::End,
        57_425 => KeyCode::Insert,
        57_426 => KeyCode::Delete,
        // Other keys of the private area, such as Caps Lock.
        57_344..=63_743 => return None,
        code => KeyCode::Char(char::from_u32(code).filter(|c| !c.is_control())?),
    };
    let code = match code {
        KeyCode::Char(c) if modifiers == KeyModifiers::SHIFT && c.is_lowercase() => {
            KeyCode::Char(c.to_uppercase().next().unwrap_or(c))
        }
        code => code,
    };
    Some(pressed(code, modifiers))
}

/// A report of the mouse: button, column and row.
fn mouse(report: &[u8], released: bool) -> Option<MouseEvent> {
    let parameters = parameters(report);
    let button = parameter(&parameters, 0, 0)?;
    let place = |at| u16::try_from(parameter(&parameters, at, 0)?.checked_sub(1)?).ok();
    let (column, row) = (place(1)?, place(2)?);
    let which = match button & 3 {
        0 => MouseButton::Left,
        1 => MouseButton::Middle,
        _ => MouseButton::Right,
    };
    let kind = match (button & 0b1100_0000, button & 3) {
        (64, 0) => MouseEventKind::ScrollUp,
        (64, 1) => MouseEventKind::ScrollDown,
        (64, 2) => MouseEventKind::ScrollLeft,
        (64, _) => MouseEventKind::ScrollRight,
        (0, 3) if button & 32 != 0 => MouseEventKind::Moved,
        (0, _) if button & 32 != 0 => MouseEventKind::Drag(which),
        (0, _) if released => MouseEventKind::Up(which),
        (0, _) => MouseEventKind::Down(which),
        _ => return None,
    };
    let bits = [(4, KeyModifiers::SHIFT), (8, KeyModifiers::ALT), (16, KeyModifiers::CONTROL)];
    let modifiers = bits.into_iter().filter(|(bit, _)| button & bit != 0).map(|(_, modifier)| modifier).collect();
    Some(MouseEvent { kind, column, row, modifiers })
}
