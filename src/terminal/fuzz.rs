//! The decoders of what people type, what is shown, and what an earlier chat left, for [`crate::fuzz`].

use super::change_format::change;
use super::commands::{self, Entry};
use super::format::{line, paragraph};
use super::invitation::Invitation;
use super::keys::{Decoder, Key};
use super::local_time::LocalTime;
use super::wrap::{columns_of_text, cut, wrap};
use crate::client::{LoggedChange, Person};
use crate::escape::acts;
use crate::names::Kind;

pub use super::unsent::fuzz::{unsent, unsent_seeds};

/// A key is never a control character.
pub fn keys(input: &[u8]) {
    let mut decoder = Decoder::default();
    for &byte in input {
        match decoder.feed(byte) {
            Some(Key::Char(c)) => assert!(!c.is_control(), "{c:?}"),
            Some(Key::Pasted(c)) => assert!(!c.is_control() || matches!(c, '\n' | '\t'), "{c:?}"),
            _ => {}
        }
        // No text has this byte: it stands for a pause.
        if byte == 0xff && decoder.timeout().is_some() {
            decoder.time_out();
        }
    }
}

pub fn key_seeds() -> Vec<Vec<u8>> {
    let keys: [&[u8]; 3] =
        ["é日👍".as_bytes(), b"\x1b[200~a\rb\x1b[31m\x1b[201~\x1b[1;5C", b"\x01\x1bOH\x1b[3~\x7f\x1b\r\x1bd\x17"];
    keys.map(<[u8]>::to_vec).to_vec()
}

/// An invitation is for a server that can be shown, and its code is sent as it is.
pub fn invitations(input: &[u8]) {
    let Ok(invitation) = String::from_utf8_lossy(input).parse::<Invitation>() else { return };
    if let Some(server) = invitation.server {
        assert_eq!(server.to_string().parse(), Ok(server));
    }
}

pub fn invitation_seeds() -> Vec<Vec<u8>> {
    let link = format!("https://chat.example.org:5000/#invite=MZE1-3MK6-R349-EFV5&ca={}", "a1".repeat(32));
    ["mze1-3mk6-r349-efv5", "https://[::1]/#invite=MZE1", &link].map(|text| text.as_bytes().to_vec()).to_vec()
}

/// A line that is sent has text.
pub fn lines(input: &[u8]) {
    match commands::read(&String::from_utf8_lossy(input)) {
        Entry::Text(text, _) => assert!(!text.trim().is_empty(), "{text:?}"),
        Entry::Mistake(reason) => assert!(!reason.is_empty()),
        _ => {}
    }
}

/// What is shown of a message does nothing on a terminal, fits the rows, and has each of its characters.
pub fn shown(input: &[u8]) {
    let (head, body) = input.split_at(input.len().min(9));
    let mut number = [0; 8];
    number[..head.len().min(8)].copy_from_slice(&head[..head.len().min(8)]);
    if let Some(time) = LocalTime::new(u64::from_be_bytes(number)) {
        assert!(!time.readable().is_empty() && !time.rfc3339().is_empty() && !time.day_in_words().is_empty());
    }
    let columns = 4 + usize::from(head.get(8).copied().unwrap_or(0)) % 120;
    let body = String::from_utf8_lossy(body);
    let name: String = body.chars().take(10).collect();
    let by = Person { name: name.clone(), authenticated: false };
    let (emoji, topic) = (name.clone(), Some(body.clone().into_owned()));
    for logged in [
        LoggedChange::Edited { message_seq: 7, body: body.clone().into_owned(), mentions: Vec::new() },
        LoggedChange::Reacted { message_seq: 7, emoji, by: by.clone(), removed: false },
        LoggedChange::Room { by, topic },
    ] {
        assert!(!change(&logged, None, true, true).chars().any(|c| acts(c)));
    }
    for kind in [Kind::Text, Kind::Action] {
        assert!(!line(&name, &body, kind).chars().any(acts));
        let paragraph = paragraph(&name, &body, kind);
        assert!(!paragraph.chars().any(|c| acts(c) && c != '\n'));
        let rows = wrap(&paragraph, columns);
        let visible = |text: &str| text.chars().filter(|c| !matches!(c, ' ' | '\n')).collect::<String>();
        assert_eq!(visible(&rows), visible(&paragraph));
        assert!(columns_of_text(&cut(&paragraph.replace('\n', " "), columns)) <= columns);
    }
}
