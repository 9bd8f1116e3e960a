//! From the bytes that a terminal sends to the keys that a user pressed.

/// A key, as far as the line editor knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    Char(char),
    Enter,
    Backspace,
    Delete,
    Left,
    Right,
    WordLeft,
    WordRight,
    Home,
    End,
    Up,
    Down,
    KillToEnd,
    KillToStart,
    KillWord,
    Redraw,
    EndOfInput,
    Interrupt,
    Suspend,
}

/// Decodes bytes one by one, however the terminal cuts them up.
#[derive(Debug, Default)]
pub struct Decoder {
    state: State,
}

/// The longest escape sequence that is followed, in bytes. A longer one is no key.
const SEQUENCE_BYTES_MAX: usize = 32;

#[derive(Debug, Default)]
enum State {
    #[default]
    Ground,
    /// Inside a character of several bytes.
    Utf8 { bytes: [u8; 4], have: usize, need: usize },
    /// After an escape byte.
    Escape,
    /// After `ESC O`.
    Shifted,
    /// Inside `ESC [`: the parameters so far.
    Control(Vec<u8>),
}

impl Decoder {
    /// Takes the next byte; returns the key that it completes. What is no key, and no valid text, is passed over.
    pub fn feed(&mut self, byte: u8) -> Option<Key> {
        match std::mem::take(&mut self.state) {
            State::Ground => self.ground(byte),
            State::Utf8 { bytes, have, need } => self.utf8(bytes, have, need, byte),
            State::Escape => self.escape(byte),
            State::Shifted => cursor_key(byte),
            State::Control(parameters) => self.control(parameters, byte),
        }
    }

    fn ground(&mut self, byte: u8) -> Option<Key> {
        let need = match byte {
            0x1b => {
                self.state = State::Escape;
                return None;
            }
            0x00..=0x1f | 0x7f => return control_key(byte),
            0x20..=0x7e => return Some(Key::Char(byte as char)),
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf4 => 4,
            _ => return None,
        };
        self.state = State::Utf8 { bytes: [byte, 0, 0, 0], have: 1, need };
        None
    }

    fn utf8(&mut self, mut bytes: [u8; 4], have: usize, need: usize, byte: u8) -> Option<Key> {
        if byte & 0xc0 != 0x80 {
            // The character was cut off; the byte starts something new.
            return self.ground(byte);
        }
        bytes[have] = byte;
        if have + 1 < need {
            self.state = State::Utf8 { bytes, have: have + 1, need };
            return None;
        }
        let c = std::str::from_utf8(&bytes[..need]).ok()?.chars().next()?;
        // C1 controls do nothing in a line that anybody means to write.
        (!c.is_control()).then_some(Key::Char(c))
    }

    fn escape(&mut self, byte: u8) -> Option<Key> {
        match byte {
            b'[' => self.state = State::Control(Vec::new()),
            b'O' => self.state = State::Shifted,
            0x1b => self.state = State::Escape,
            b'b' => return Some(Key::WordLeft),
            b'f' => return Some(Key::WordRight),
            0x7f => return Some(Key::KillWord),
            // The escape key alone, and then a control key.
            0x00..=0x1f => return control_key(byte),
            _ => {}
        }
        None
    }

    fn control(&mut self, mut parameters: Vec<u8>, byte: u8) -> Option<Key> {
        match byte {
            0x20..=0x3f if parameters.len() < SEQUENCE_BYTES_MAX => {
                parameters.push(byte);
                self.state = State::Control(parameters);
                None
            }
            0x40..=0x7e => match (parameters.as_slice(), byte) {
                (b"", _) => cursor_key(byte),
                (b"1;3" | b"1;5", b'C') => Some(Key::WordRight),
                (b"1;3" | b"1;5", b'D') => Some(Key::WordLeft),
                (b"1" | b"7", b'~') => Some(Key::Home),
                (b"4" | b"8", b'~') => Some(Key::End),
                (b"3", b'~') => Some(Key::Delete),
                _ => None,
            },
            0x1b => {
                self.state = State::Escape;
                None
            }
            _ => None,
        }
    }
}

fn control_key(byte: u8) -> Option<Key> {
    Some(match byte {
        b'\r' | b'\n' => Key::Enter,
        b'\t' => Key::Char('\t'),
        0x7f | 0x08 => Key::Backspace,
        0x01 => Key::Home,
        0x02 => Key::Left,
        0x03 => Key::Interrupt,
        0x04 => Key::EndOfInput,
        0x05 => Key::End,
        0x06 => Key::Right,
        0x0b => Key::KillToEnd,
        0x0c => Key::Redraw,
        0x0e => Key::Down,
        0x10 => Key::Up,
        0x15 => Key::KillToStart,
        0x17 => Key::KillWord,
        0x1a => Key::Suspend,
        _ => return None,
    })
}

fn cursor_key(byte: u8) -> Option<Key> {
    Some(match byte {
        b'A' => Key::Up,
        b'B' => Key::Down,
        b'C' => Key::Right,
        b'D' => Key::Left,
        b'F' => Key::End,
        b'H' => Key::Home,
        b'M' => Key::Enter,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn keys(bytes: &[u8]) -> Vec<Key> {
        let mut decoder = Decoder::default();
        bytes.iter().filter_map(|&byte| decoder.feed(byte)).collect()
    }

    #[test]
    fn keys_are_told_apart() {
        use Key::*;
        assert_eq!(keys("aé世👍\r".as_bytes()), [Char('a'), Char('é'), Char('世'), Char('👍'), Enter]);
        assert_eq!(keys(b"\x1b[A\x1b[B\x1bOC\x1b[D\x1b[3~\x1b[1~\x1b[F"), [Up, Down, Right, Left, Delete, Home, End]);
        assert_eq!(keys(b"\x1bb\x1bf\x1b[1;5D\x1b\x7f"), [WordLeft, WordRight, WordLeft, KillWord]);
        assert_eq!(keys(b"\x03\x04\x1a\x7f\x08"), [Interrupt, EndOfInput, Suspend, Backspace, Backspace]);
    }

    #[test]
    fn what_is_no_key_is_passed_over() {
        assert_eq!(
            keys(b"\x1b[200~a\x1b[?1;2c\x80\xffb\xc3c\xc2\x9b"),
            [Key::Char('a'), Key::Char('b'), Key::Char('c')]
        );
    }

    proptest! {
        #[test]
        fn text_comes_through_whole(text in "\\PC{0,40}") {
            let typed: String = keys(text.as_bytes()).into_iter().map(|k| match k { Key::Char(c) => c, _ => '\0' }).collect();
            prop_assert_eq!(typed, text);
        }

        #[test]
        fn no_bytes_bring_it_down(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(keys(&bytes).iter().all(|k| !matches!(k, Key::Char(c) if c.is_control() && *c != '\t')));
        }
    }
}
