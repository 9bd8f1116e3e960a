//! Texts for the terminal beside its screen: the bell, notifications, the clipboard. Pure logic.
//!
//! What is put into them may be another user's text: it is escaped, and cut. Within tmux they are wrapped, so that it
//! passes them on.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::escape::escape;

/// The longest text of a notification, in characters.
const TEXT_CHARS_MAX: usize = 120;

/// The longest text that is copied, in bytes: many terminals drop more.
pub const COPY_BYTES_MAX: usize = 74_000;

pub const BELL: &str = "\x07";

/// How a terminal shows a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Its text only.
    Osc9,
    /// A title and a text.
    Osc777,
    /// That of kitty.
    Osc99,
}

/// The programs between this one and the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wrapping {
    in_tmux: bool,
    /// In tmux, screen or another program that divides a terminal, perhaps on another machine.
    in_multiplexer: bool,
}

impl Wrapping {
    pub fn new(variable: impl Fn(&str) -> Option<String>) -> Self {
        let is_set = |name: &&str| variable(name).is_some_and(|value| !value.is_empty());
        let term = variable("TERM").unwrap_or_default();
        let in_multiplexer = ["TMUX", "STY", "ZELLIJ"].iter().any(&is_set)
            || ["tmux", "screen"].iter().any(|name| term.starts_with(name));
        Self { in_tmux: is_set(&"TMUX"), in_multiplexer }
    }

    /// Whether a terminal that reports its focus also reports when its user looks at something else in it: tmux does so
    /// only with `focus-events`, and reports attaching and detaching anyway.
    pub fn reports_all_focus(self) -> bool {
        !self.in_multiplexer
    }

    /// A notification. tmux passes it on if its `allow-passthrough` is on.
    pub fn notification(self, protocol: Protocol, title: &str, text: &str) -> String {
        let (title, text) = (payload(title), payload(text));
        self.wrap(match protocol {
            Protocol::Osc9 => format!("\x1b]9;{title}: {text}\x07"),
            Protocol::Osc777 => format!("\x1b]777;notify;{title};{text}\x07"),
            Protocol::Osc99 => format!("\x1b]99;i=hubbub:d=0;{title}\x1b\\\x1b]99;i=hubbub:d=1:p=body;{text}\x1b\\"),
        })
    }

    /// Puts a text into the clipboard. Whether the terminal does it can't be known. tmux has the sequence itself.
    pub fn copy(self, text: &str) -> Option<String> {
        (text.len() <= COPY_BYTES_MAX).then(|| format!("\x1b]52;c;{}\x07", STANDARD.encode(text)))
    }

    fn wrap(self, sequence: String) -> String {
        match self.in_tmux {
            true => format!("\x1bPtmux;{}\x1b\\", sequence.replace('\x1b', "\x1b\x1b")),
            false => sequence,
        }
    }
}

/// A text that ends nothing and adds no field.
fn payload(text: &str) -> String {
    let shown: String = text.chars().take(TEXT_CHARS_MAX).collect();
    let cut = if shown.len() < text.len() { "…" } else { "" };
    format!("{}{cut}", escape(&shown).replace(';', ","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrapping(in_tmux: bool) -> Wrapping {
        Wrapping::new(|name| (in_tmux && name == "TMUX").then(|| "/tmp/tmux,1,0".to_owned()))
    }

    #[test]
    fn texts_of_others_end_no_sequence() {
        for protocol in [Protocol::Osc9, Protocol::Osc777, Protocol::Osc99] {
            let text = wrapping(false).notification(protocol, "ann\x07", "hi\x1b]0;x\x07\u{9c}\n;1");
            let controls: Vec<char> = text.chars().filter(|c| c.is_control()).collect();
            let expected: &[char] = match protocol {
                Protocol::Osc99 => &['\x1b', '\x1b', '\x1b', '\x1b'],
                _ => &['\x1b', '\x07'],
            };
            assert_eq!(controls, expected, "{text:?}");
        }
        let fields = wrapping(false).notification(Protocol::Osc777, "a;b", "c;d");
        assert_eq!(fields, "\x1b]777;notify;a,b;c,d\x07");
        let long = wrapping(false).notification(Protocol::Osc9, "ann", &"世".repeat(5_000));
        assert!(long.chars().count() < 200 && long.contains('…'));
    }

    #[test]
    fn tmux_gets_notifications_wrapped() {
        let text = wrapping(true).notification(Protocol::Osc99, "ann", "hi");
        assert!(text.starts_with("\x1bPtmux;\x1b\x1b]99;") && text.ends_with("\x1b\x1b\\\x1b\\"), "{text:?}");
    }

    #[test]
    fn copied_text_is_encoded_and_bounded() {
        assert_eq!(wrapping(false).copy("hi\x07").as_deref(), Some("\x1b]52;c;aGkH\x07"));
        assert_eq!(wrapping(false).copy(&"x".repeat(COPY_BYTES_MAX + 1)), None);
    }
}
