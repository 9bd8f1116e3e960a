//! Decodes the bytes of a terminal into keys.

use std::time::Duration;

/// A key that the line editor supports.
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
    KillWordRight,
    Yank,
    Undo,
    /// Tab, and Shift-Tab.
    Complete,
    CompleteBack,
    /// A line break within the message.
    LineBreak,
    /// A character of a paste: printable, a tab, or a line break.
    Pasted(char),
    Redraw,
    EndOfInput,
    Interrupt,
    Suspend,
}

/// Decodes bytes one by one, with any split into reads.
#[derive(Debug, Default)]
pub struct Decoder {
    state: ParserState,
    /// Inside a bracketed paste.
    pasting: bool,
    /// The last pasted byte was a CR, whose LF would be the same line break.
    after_cr: bool,
}

/// A lone escape byte is the escape key after this time; what follows earlier belongs to it.
const ESCAPE_TIMEOUT: Duration = Duration::from_millis(30);

/// A sequence that is incomplete after this time is not a key. Slow links split sequences.
const SEQUENCE_TIMEOUT: Duration = Duration::from_millis(500);

/// A paste without an end is over after this time without input.
const PASTE_TIMEOUT: Duration = Duration::from_secs(2);

/// The longest supported escape sequence, in bytes. A longer one is not a key.
const SEQUENCE_BYTES_MAX: usize = 32;

#[derive(Debug, Default)]
enum ParserState {
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
    /// Takes the next byte; returns the key that it completes. Bytes that are neither a key nor valid text are skipped.
    pub fn feed(&mut self, byte: u8) -> Option<Key> {
        match std::mem::take(&mut self.state) {
            ParserState::Ground => self.ground(byte),
            ParserState::Utf8 { bytes, have, need } => self.utf8(bytes, have, need, byte),
            ParserState::Escape => self.escape(byte),
            ParserState::Shifted => cursor_key(byte),
            ParserState::Control(parameters) => self.control(parameters, byte),
        }
    }

    /// How long to wait for more input before [`Decoder::time_out`].
    pub fn timeout(&self) -> Option<Duration> {
        match self.state {
            ParserState::Escape => Some(ESCAPE_TIMEOUT),
            ParserState::Shifted | ParserState::Control(_) => Some(SEQUENCE_TIMEOUT),
            ParserState::Ground | ParserState::Utf8 { .. } => self.pasting.then_some(PASTE_TIMEOUT),
        }
    }

    /// No input arrived within the time: an incomplete sequence ends here.
    pub fn time_out(&mut self) {
        match self.state {
            ParserState::Ground | ParserState::Utf8 { .. } => self.pasting = false,
            _ => self.state = ParserState::Ground,
        }
    }

    fn ground(&mut self, byte: u8) -> Option<Key> {
        let after_cr = std::mem::replace(&mut self.after_cr, self.pasting && byte == b'\r');
        let need = match byte {
            0x1b => {
                self.state = ParserState::Escape;
                return None;
            }
            b'\n' if self.pasting && after_cr => return None,
            b'\r' | b'\n' if self.pasting => return Some(Key::Pasted('\n')),
            b'\t' if self.pasting => return Some(Key::Pasted('\t')),
            // Other control characters of a paste are left out.
            0x00..=0x1f | 0x7f if self.pasting => return None,
            0x00..=0x1f | 0x7f => return control_key(byte),
            0x20..=0x7e => return Some(self.text(byte as char)),
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf4 => 4,
            _ => return None,
        };
        self.state = ParserState::Utf8 { bytes: [byte, 0, 0, 0], have: 1, need };
        None
    }

    fn utf8(&mut self, mut bytes: [u8; 4], have: usize, need: usize, byte: u8) -> Option<Key> {
        if byte & 0xc0 != 0x80 {
            // The character was cut off; the byte starts something new.
            return self.ground(byte);
        }
        bytes[have] = byte;
        if have + 1 < need {
            self.state = ParserState::Utf8 { bytes, have: have + 1, need };
            return None;
        }
        let c = std::str::from_utf8(&bytes[..need]).ok()?.chars().next()?;
        // C1 controls have no use in a line.
        (!c.is_control()).then(|| self.text(c))
    }

    fn text(&self, c: char) -> Key {
        if self.pasting { Key::Pasted(c) } else { Key::Char(c) }
    }

    fn escape(&mut self, byte: u8) -> Option<Key> {
        match byte {
            b'[' => self.state = ParserState::Control(Vec::new()),
            b'O' if !self.pasting => self.state = ParserState::Shifted,
            0x1b => self.state = ParserState::Escape,
            // An escape byte in a paste is dropped, and the following bytes are text.
            _ if self.pasting => return self.ground(byte),
            b'\r' | b'\n' => return Some(Key::LineBreak),
            b'd' => return Some(Key::KillWordRight),
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
                self.state = ParserState::Control(parameters);
                None
            }
            0x40..=0x7e => match (parameters.as_slice(), byte) {
                (b"200", b'~') => {
                    self.pasting = true;
                    None
                }
                (b"201", b'~') => {
                    self.pasting = false;
                    None
                }
                // What tmux may make of line breaks in a paste.
                (b"13;1" | b"106;5", b'u') if self.pasting => Some(Key::Pasted('\n')),
                _ if self.pasting => None,
                (b"13;2" | b"13;3", b'u') => Some(Key::LineBreak),
                (b"", b'Z') => Some(Key::CompleteBack),
                (b"", _) => cursor_key(byte),
                (b"1;3" | b"1;5", b'C') => Some(Key::WordRight),
                (b"1;3" | b"1;5", b'D') => Some(Key::WordLeft),
                (b"1" | b"7", b'~') => Some(Key::Home),
                (b"4" | b"8", b'~') => Some(Key::End),
                (b"3", b'~') => Some(Key::Delete),
                _ => None,
            },
            0x1b => {
                self.state = ParserState::Escape;
                None
            }
            _ => None,
        }
    }
}

fn control_key(byte: u8) -> Option<Key> {
    Some(match byte {
        b'\r' | b'\n' => Key::Enter,
        0x7f | 0x08 => Key::Backspace,
        0x01 => Key::Home,
        0x02 => Key::Left,
        0x03 => Key::Interrupt,
        0x04 => Key::EndOfInput,
        0x05 => Key::End,
        0x06 => Key::Right,
        b'\t' => Key::Complete,
        0x0b => Key::KillToEnd,
        0x0c => Key::Redraw,
        0x0e => Key::Down,
        0x10 => Key::Up,
        0x15 => Key::KillToStart,
        0x17 => Key::KillWord,
        0x19 => Key::Yank,
        0x1a => Key::Suspend,
        0x1f => Key::Undo,
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
    fn keys_are_decoded() {
        use Key::*;
        assert_eq!(keys("aé世👍\r".as_bytes()), [Char('a'), Char('é'), Char('世'), Char('👍'), Enter]);
        assert_eq!(keys(b"\x1b[A\x1b[B\x1bOC\x1b[D\x1b[3~\x1b[1~\x1b[F"), [Up, Down, Right, Left, Delete, Home, End]);
        assert_eq!(keys(b"\x1bb\x1bf\x1b[1;5D\x1b\x7f"), [WordLeft, WordRight, WordLeft, KillWord]);
        assert_eq!(keys(b"\t\x1b[Z\x1b[200~\t\x1b[201~"), [Complete, CompleteBack, Pasted('\t')]);
        assert_eq!(keys(b"\x03\x04\x1a\x7f\x08"), [Interrupt, EndOfInput, Suspend, Backspace, Backspace]);
    }

    #[test]
    fn other_sequences_are_skipped() {
        assert_eq!(
            keys(b"\x1b[3;5Ra\x1b[?1;2c\x80\xffb\xc3c\xc2\x9b"),
            [Key::Char('a'), Key::Char('b'), Key::Char('c')]
        );
    }

    fn pasted(text: &str) -> Vec<Key> {
        text.chars().map(Key::Pasted).collect()
    }

    /// A regression: each line of a paste was sent as a separate message.
    #[test]
    fn a_paste_is_text_with_any_line_ends() {
        let all = keys(b"\x1b[200~a\rb\nc\r\n\td\x1b[201~\r");
        assert_eq!(all[..all.len() - 1], pasted("a\nb\nc\n\td"));
        assert_eq!(all.last(), Some(&Key::Enter));
        assert_eq!(keys(b"\x1b[200~a\x1b[13;1ub\x1b[106;5uc"), pasted("a\nb\nc"));
    }

    #[test]
    fn controls_and_sequences_within_a_paste_are_skipped() {
        assert_eq!(keys(b"\x1b[200~a\x03\x04\x1a\x1b[31mb\x1bOAc\x7f\xc2\x9bd"), pasted("abOAcd"));
    }

    /// A regression: the key after Esc was lost, even if it was pressed much later.
    #[test]
    fn an_incomplete_sequence_ends_after_its_timeout() {
        let mut decoder = Decoder::default();
        assert_eq!((decoder.feed(0x1b), decoder.timeout()), (None, Some(ESCAPE_TIMEOUT)));
        decoder.time_out();
        assert_eq!((decoder.timeout(), decoder.feed(b'x')), (None, Some(Key::Char('x'))));
        for &byte in b"\x1b[200~a" {
            decoder.feed(byte);
        }
        assert_eq!(decoder.timeout(), Some(PASTE_TIMEOUT));
        decoder.time_out();
        assert_eq!((decoder.timeout(), decoder.feed(b'\r')), (None, Some(Key::Enter)));
        assert_eq!(keys(b"\x1b\r\x1bd\x19\x1f"), [Key::LineBreak, Key::KillWordRight, Key::Yank, Key::Undo]);
    }

    proptest! {
        #[test]
        fn text_is_decoded_unchanged(text in "\\PC{0,40}") {
            let typed: String = keys(text.as_bytes()).into_iter().map(|k| match k { Key::Char(c) => c, _ => '\0' }).collect();
            prop_assert_eq!(typed, text);
        }

        #[test]
        fn any_bytes_are_decoded_without_control_characters(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let acts = |k: &Key| match k {
                Key::Char(c) => c.is_control(),
                Key::Pasted(c) => c.is_control() && !matches!(c, '\t' | '\n'),
                _ => false,
            };
            prop_assert!(!keys(&bytes).iter().any(acts));
        }
    }
}
