//! Decodes the bytes of a terminal into the events of the terminal library. Pure logic: no terminal, no thread.
//!
//! The library has a reader of its own, which is not used, for four reasons. It waits without bound for the end of a
//! paste, so a lost end mark swallows everything that is typed after it. It spins when the terminal is gone. A sequence
//! that a slow link splits becomes the escape key and text. And its reading can't be interrupted, so an editor that the
//! client starts would share its input with it.
//!
//! Keys are reported as the library reports them, so that a key map written for it is right: Ctrl-J is not Enter,
//! Ctrl-_ is Ctrl-7, an upper-case letter has Shift.

mod sequence;

use std::mem;
use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

pub use self::sequence::Decoded;
use self::sequence::{Meaning, control_sequence, shifted};
use super::paste::PASTE_BYTES_MAX;

/// A lone escape byte is the escape key after this time; what follows earlier belongs to it.
const ESCAPE_TIMEOUT: Duration = Duration::from_millis(30);

/// A sequence that is incomplete after this time is not one. Slow links split sequences.
const SEQUENCE_TIMEOUT: Duration = Duration::from_millis(500);

/// A paste without an end is over after this time without input.
const PASTE_TIMEOUT: Duration = Duration::from_secs(2);

/// The longest sequence, in bytes; a longer one is dropped.
const SEQUENCE_BYTES_MAX: usize = 64;

/// The longest answer of a terminal with a text, such as its colours, that is dropped as one.
const STRING_BYTES_MAX: usize = 4096;

const PASTE_END: &[u8] = b"\x1b[201~";

/// Decodes bytes, with any split into reads.
#[derive(Debug, Default)]
pub struct Decoder {
    state: State,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Ground,
    /// Inside a character of several bytes. `alt`: an escape byte was before it.
    Utf8 {
        bytes: [u8; 4],
        have: usize,
        need: usize,
        alt: bool,
    },
    /// After one escape byte, or after two.
    Escape {
        twice: bool,
    },
    /// After `ESC O`.
    Shifted {
        alt: bool,
    },
    /// Inside `ESC [`: the bytes so far.
    Control {
        bytes: Vec<u8>,
        alt: bool,
    },
    /// Inside a mouse report of the oldest form, which is never asked for: the bytes that are left.
    OldMouse {
        left: usize,
    },
    /// Inside an answer with a text, up to BEL or `ESC \`: how long it is so far, and whether its last byte was ESC.
    Text {
        length: usize,
        escape: bool,
    },
    Paste {
        bytes: Vec<u8>,
        over: Vec<u8>,
    },
}

impl Decoder {
    /// Takes bytes, and passes what they complete to `each`. Bytes that are neither a key nor valid text are skipped.
    pub fn feed(&mut self, bytes: &[u8], each: &mut impl FnMut(Decoded)) {
        for &byte in bytes {
            self.take(byte, each);
        }
    }

    /// Whether the last bytes were complete.
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Ground)
    }

    /// How long to wait for more input before [`Decoder::time_out`].
    pub fn timeout(&self) -> Option<Duration> {
        match self.state {
            State::Ground => None,
            State::Escape { .. } => Some(ESCAPE_TIMEOUT),
            State::Paste { .. } => Some(PASTE_TIMEOUT),
            _ => Some(SEQUENCE_TIMEOUT),
        }
    }

    /// No input arrived within the time: what is incomplete ends here.
    pub fn time_out(&mut self, each: &mut impl FnMut(Decoded)) {
        let alt = |c: char| Decoded::Key(KeyEvent::new(KeyCode::Char(c), KeyModifiers::ALT));
        match mem::take(&mut self.state) {
            State::Escape { twice } => (0..=usize::from(twice)).for_each(|_| each(key(KeyCode::Esc))),
            // A key with Alt that begins a sequence.
            State::Shifted { .. } => {
                each(Decoded::Key(KeyEvent::new(KeyCode::Char('O'), KeyModifiers::ALT | KeyModifiers::SHIFT)))
            }
            State::Control { bytes, .. } if bytes.is_empty() => each(alt('[')),
            State::Paste { bytes, .. } => each(pasted(bytes)),
            _ => {}
        }
    }

    fn take(&mut self, byte: u8, each: &mut impl FnMut(Decoded)) {
        match mem::take(&mut self.state) {
            State::Ground => self.ground(byte, false, each),
            State::Utf8 { bytes, have, need, alt } => self.utf8(bytes, have, need, alt, byte, each),
            State::Escape { twice } => self.escape(twice, byte, each),
            State::Shifted { alt } => shifted(byte).into_iter().for_each(|code| each(with_alt(key(code), alt))),
            State::Control { bytes, alt } => self.control(bytes, alt, byte, each),
            State::OldMouse { left: ..=1 } => {}
            State::OldMouse { left } => self.state = State::OldMouse { left: left - 1 },
            State::Text { length, escape } => {
                let ends = byte == 0x07 || (escape && byte == b'\\') || length >= STRING_BYTES_MAX;
                if !ends {
                    self.state = State::Text { length: length + 1, escape: byte == 0x1b };
                }
            }
            State::Paste { bytes, over } => self.paste(bytes, over, byte, each),
        }
    }

    fn ground(&mut self, byte: u8, alt: bool, each: &mut impl FnMut(Decoded)) {
        let need = match byte {
            0x1b => {
                self.state = State::Escape { twice: false };
                return;
            }
            0x00..=0x1f | 0x7f => return each(with_alt(control_key(byte), alt)),
            0x20..=0x7e => return each(with_alt(text(byte as char), alt)),
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf4 => 4,
            _ => return,
        };
        self.state = State::Utf8 { bytes: [byte, 0, 0, 0], have: 1, need, alt };
    }

    fn utf8(
        &mut self,
        mut bytes: [u8; 4],
        have: usize,
        need: usize,
        alt: bool,
        byte: u8,
        each: &mut impl FnMut(Decoded),
    ) {
        if byte & 0xc0 != 0x80 {
            // The character was cut off; the byte starts something new.
            return self.ground(byte, false, each);
        }
        bytes[have] = byte;
        if have + 1 < need {
            self.state = State::Utf8 { bytes, have: have + 1, need, alt };
            return;
        }
        let c = std::str::from_utf8(&bytes[..need]).ok().and_then(|text| text.chars().next());
        // C1 controls have no use in a line.
        if let Some(c) = c.filter(|c| !c.is_control()) {
            each(with_alt(text(c), alt));
        }
    }

    fn escape(&mut self, twice: bool, byte: u8, each: &mut impl FnMut(Decoded)) {
        match byte {
            b'[' => self.state = State::Control { bytes: Vec::new(), alt: twice },
            b'O' => self.state = State::Shifted { alt: twice },
            0x1b if !twice => self.state = State::Escape { twice: true },
            0x1b => {
                each(key(KeyCode::Esc));
                self.state = State::Escape { twice: true };
            }
            b']' | b'P' | b'_' | b'^' | b'X' => self.state = State::Text { length: 0, escape: false },
            _ => {
                if twice {
                    each(key(KeyCode::Esc));
                }
                self.ground(byte, true, each);
            }
        }
    }

    fn control(&mut self, mut bytes: Vec<u8>, alt: bool, byte: u8, each: &mut impl FnMut(Decoded)) {
        match byte {
            0x20..=0x3f if bytes.len() < SEQUENCE_BYTES_MAX => {
                bytes.push(byte);
                self.state = State::Control { bytes, alt };
            }
            // `ESC [ [ A` is F1 on the console of Linux.
            b'[' if bytes.is_empty() => self.state = State::Control { bytes: vec![b'['], alt },
            0x40..=0x7e => match control_sequence(&bytes, byte) {
                Meaning::PasteStart => self.state = State::Paste { bytes: Vec::new(), over: Vec::new() },
                Meaning::OldMouse => self.state = State::OldMouse { left: 3 },
                Meaning::Event(event) => each(with_alt(event, alt)),
                Meaning::Unknown => {}
            },
            0x1b => self.state = State::Escape { twice: false },
            // Control characters within a sequence, and one that is too long.
            _ => {}
        }
    }

    /// `over` is the beginning of the end mark, as far as it has come.
    fn paste(&mut self, mut bytes: Vec<u8>, mut over: Vec<u8>, byte: u8, each: &mut impl FnMut(Decoded)) {
        over.push(byte);
        if over == PASTE_END {
            return each(pasted(bytes));
        }
        if !PASTE_END.starts_with(&over) {
            // It was text; its last byte may begin the mark.
            let begins = byte == PASTE_END[0];
            let is_text = over.len() - usize::from(begins);
            // One byte more shows that something is missing.
            let space = (PASTE_BYTES_MAX + 1).saturating_sub(bytes.len());
            bytes.extend(over.drain(..is_text).take(space));
        }
        self.state = State::Paste { bytes, over };
    }
}

fn pasted(bytes: Vec<u8>) -> Decoded {
    Decoded::Paste(String::from_utf8_lossy(&bytes).into_owned())
}

fn key(code: KeyCode) -> Decoded {
    Decoded::Key(KeyEvent::new(code, KeyModifiers::NONE))
}

fn text(c: char) -> Decoded {
    let shift = if c.is_uppercase() { KeyModifiers::SHIFT } else { KeyModifiers::NONE };
    Decoded::Key(KeyEvent::new(KeyCode::Char(c), shift))
}

fn with_alt(decoded: Decoded, alt: bool) -> Decoded {
    match decoded {
        Decoded::Key(mut event) if alt => {
            event.modifiers |= KeyModifiers::ALT;
            Decoded::Key(event)
        }
        other => other,
    }
}

fn control_key(byte: u8) -> Decoded {
    let control = |c: char| Decoded::Key(KeyEvent::new(KeyCode::Char(c), KeyModifiers::CONTROL));
    match byte {
        b'\r' => key(KeyCode::Enter),
        b'\t' => key(KeyCode::Tab),
        0x7f => key(KeyCode::Backspace),
        0x00 => control(' '),
        0x01..=0x1a => control((byte - 1 + b'a') as char),
        _ => control((byte.saturating_sub(0x1c) + b'4') as char),
    }
}

#[cfg(test)]
mod tests {
    use crossterm::event::{MouseButton, MouseEvent, MouseEventKind};

    use super::*;

    fn decode(decoder: &mut Decoder, bytes: &[u8]) -> Vec<Decoded> {
        let mut found = Vec::new();
        decoder.feed(bytes, &mut |decoded| found.push(decoded));
        found
    }

    fn all(bytes: &[u8]) -> Vec<Decoded> {
        decode(&mut Decoder::default(), bytes)
    }

    fn timed_out(decoder: &mut Decoder) -> Vec<Decoded> {
        let mut found = Vec::new();
        decoder.time_out(&mut |decoded| found.push(decoded));
        found
    }

    fn pressed(code: KeyCode, modifiers: KeyModifiers) -> Decoded {
        Decoded::Key(KeyEvent::new(code, modifiers))
    }

    const NONE: KeyModifiers = KeyModifiers::NONE;
    const ALT: KeyModifiers = KeyModifiers::ALT;
    const CONTROL: KeyModifiers = KeyModifiers::CONTROL;
    const SHIFT: KeyModifiers = KeyModifiers::SHIFT;

    #[test]
    fn keys_are_those_of_the_library() {
        for (bytes, code, modifiers) in [
            (&b"a"[..], KeyCode::Char('a'), NONE),
            (b"A", KeyCode::Char('A'), SHIFT),
            ("é".as_bytes(), KeyCode::Char('é'), NONE),
            ("😀".as_bytes(), KeyCode::Char('😀'), NONE),
            (b"\r", KeyCode::Enter, NONE),
            (b"\n", KeyCode::Char('j'), CONTROL),
            (b"\t", KeyCode::Tab, NONE),
            (b"\x7f", KeyCode::Backspace, NONE),
            (b"\x08", KeyCode::Char('h'), CONTROL),
            (b"\x00", KeyCode::Char(' '), CONTROL),
            (b"\x1f", KeyCode::Char('7'), CONTROL),
            (b"\x1ba", KeyCode::Char('a'), ALT),
            ("\x1bé".as_bytes(), KeyCode::Char('é'), ALT),
            (b"\x1b\r", KeyCode::Enter, ALT),
            (b"\x1b[A", KeyCode::Up, NONE),
            (b"\x1bOA", KeyCode::Up, NONE),
            (b"\x1b[1;5C", KeyCode::Right, CONTROL),
            (b"\x1b[1;3D", KeyCode::Left, ALT),
            (b"\x1b\x1b[D", KeyCode::Left, ALT),
            (b"\x1b[Z", KeyCode::BackTab, SHIFT),
            (b"\x1b[3~", KeyCode::Delete, NONE),
            (b"\x1b[5;3~", KeyCode::PageUp, ALT),
            (b"\x1b[1;3H", KeyCode::Home, ALT),
            (b"\x1bOP", KeyCode::F(1), NONE),
            (b"\x1b[[A", KeyCode::F(1), NONE),
            (b"\x1b[18~", KeyCode::F(7), NONE),
            (b"\x1b[13;2u", KeyCode::Enter, SHIFT),
            (b"\x1b[27;5;13~", KeyCode::Enter, CONTROL),
            (b"\x1b[97;5u", KeyCode::Char('a'), CONTROL),
            (b"\x1b[27u", KeyCode::Esc, NONE),
            (b"\x1b[127;3u", KeyCode::Backspace, ALT),
            // Ctrl-C on a Cyrillic layout, with the key of the base layout.
            (b"\x1b[1089::99;5u", KeyCode::Char('c'), CONTROL),
            (b"\x1b[97:65;2u", KeyCode::Char('A'), SHIFT),
        ] {
            assert_eq!(all(bytes), [pressed(code, modifiers)], "{:?}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn every_split_into_reads_is_the_same() {
        let bytes = "a\x1b[1;5C世\x1b[200~x\r\n\x1b[13;1u\x1b\x1b[201~\x1bOP\x1b[<64;3;4M\x1b[I".as_bytes();
        let whole = all(bytes);
        assert_eq!(whole.len(), 7, "{whole:?}");
        for at in 0..bytes.len() {
            let mut decoder = Decoder::default();
            let mut split = decode(&mut decoder, &bytes[..at]);
            split.extend(decode(&mut decoder, &bytes[at..]));
            assert_eq!(split, whole, "split at {at}");
        }
    }

    /// A regression of the line client: after the escape key, the next key was swallowed.
    #[test]
    fn the_escape_key_is_alone_after_its_time() {
        let mut decoder = Decoder::default();
        assert_eq!(decode(&mut decoder, b"\x1b"), []);
        assert_eq!(decoder.timeout(), Some(ESCAPE_TIMEOUT));
        assert_eq!(timed_out(&mut decoder), [pressed(KeyCode::Esc, NONE)]);
        assert_eq!(decoder.timeout(), None);
        assert_eq!(decode(&mut decoder, b"x"), [pressed(KeyCode::Char('x'), NONE)]);
        decode(&mut decoder, b"\x1b[");
        assert_eq!(timed_out(&mut decoder), [pressed(KeyCode::Char('['), ALT)]);
        decode(&mut decoder, b"\x1b[1;");
        assert_eq!(timed_out(&mut decoder), []);
        assert_eq!(decode(&mut decoder, b"x"), [pressed(KeyCode::Char('x'), NONE)]);
    }

    /// irssi #942: a lost end mark left the client in its paste for days.
    #[test]
    fn a_paste_without_an_end_is_taken_after_its_time() {
        let mut decoder = Decoder::default();
        assert_eq!(decode(&mut decoder, b"\x1b[200~one\rtwo\x1b["), []);
        assert_eq!(decoder.timeout(), Some(PASTE_TIMEOUT));
        assert_eq!(timed_out(&mut decoder), [Decoded::Paste("one\rtwo".to_owned())]);
        assert_eq!(decode(&mut decoder, b"x"), [pressed(KeyCode::Char('x'), NONE)]);
        assert_eq!(decode(&mut decoder, b"\x1b[201~"), [], "an end mark that comes too late");
    }

    #[test]
    fn a_paste_is_bounded_and_its_rest_is_not_typed() {
        let mut decoder = Decoder::default();
        decode(&mut decoder, b"\x1b[200~");
        for _ in 0..33 {
            assert_eq!(decode(&mut decoder, &[b'x'; PASTE_BYTES_MAX / 32]), []);
        }
        let found = decode(&mut decoder, b"\r\x1b[201~y");
        let [Decoded::Paste(text), typed] = found.as_slice() else { panic!("{} events", found.len()) };
        assert_eq!((text.len(), typed), (PASTE_BYTES_MAX + 1, &pressed(KeyCode::Char('y'), NONE)));
    }

    #[test]
    fn a_paste_ends_only_with_its_mark() {
        let paste = |text: &str| vec![Decoded::Paste(text.to_owned())];
        assert_eq!(all(b"\x1b[200~a\x1b[20\x1b[201b\x1b\x1b[201~"), paste("a\x1b[20\x1b[201b\x1b"));
        assert_eq!(all(b"\x1b[200~\x1b[201~"), paste(""));
        assert_eq!(all(b"\x1b[200~\xff\x1b[201~"), paste("\u{fffd}"));
    }

    #[test]
    fn mouse_focus_and_answers_are_reported() {
        let wheel = MouseEvent { kind: MouseEventKind::ScrollUp, column: 2, row: 3, modifiers: NONE };
        assert_eq!(all(b"\x1b[<64;3;4M"), [Decoded::Mouse(wheel)]);
        let click = MouseEvent { kind: MouseEventKind::Down(MouseButton::Left), column: 0, row: 0, modifiers: CONTROL };
        assert_eq!(all(b"\x1b[<16;1;1M"), [Decoded::Mouse(click)]);
        assert_eq!(all(b"\x1b[I\x1b[O\x1b[0n"), [Decoded::Focus(true), Decoded::Focus(false), Decoded::Answered]);
    }

    #[test]
    fn answers_and_broken_sequences_are_not_typed() {
        for bytes in [
            &b"\x1b]11;rgb:0000/0000/0000\x07"[..],
            b"\x1b]11;rgb:0000/0000/0000\x1b\\",
            b"\x1bP1$r0m\x1b\\",
            b"\x1b[?62;22c",
            b"\x1b[12;40R",
            b"\x1b[M !!",
            b"\x1b[?1u",
            b"\xff\xc0",
            b"\x1b[<64;3M",
            b"\x1b[99999999999999999999u",
        ] {
            assert_eq!(all(bytes), [], "{:?}", String::from_utf8_lossy(bytes));
        }
        assert_eq!(all(b"\x1b[1;\x1b[A"), [pressed(KeyCode::Up, NONE)]);
    }

    #[test]
    fn any_bytes_are_taken_without_a_panic() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..2_000 {
            let mut decoder = Decoder::default();
            let alphabet = b"\x1b[]OMP<;:0129~uIn\x07\\\xe4\xb8ab";
            let bytes: Vec<u8> = (0..40).map(|_| alphabet[random.usize(..alphabet.len())]).collect();
            decode(&mut decoder, &bytes);
            timed_out(&mut decoder);
            assert!(decoder.timeout().is_none());
        }
    }
}
