//! The decoders of bytes that others choose, for the fuzzer: each as a function that takes any bytes.
//!
//! Compiled for `fuzz/run` only. A function panics if its decoder does, or if what it decodes breaks a rule that the
//! rest of the program relies on. The functions for private decoders are in their own modules.

use std::borrow::Cow;

use crate::address::Address;
use crate::arguments;
use crate::escape::{acts, escape, escape_name};
use crate::limits::{BODY_BYTES_MAX, NAME_CHARS_MAX};
use crate::names::{Body, Emoji, Kind, Mentions, MessageId, RoomId, RoomName, Sender, Seq, UserName, cleaned};
use crate::server::log::Segment;
use crate::server::log::segment::Checked;
use crate::server::network::Network;
use crate::wire::change::{ReactionChange, StoredMessage};
use crate::wire::event::{self, Entry, EntryKind, NewMessage};
use crate::wire::{self, v1};
use crate::{certificates, client, repeat, server, terminal, tui};

/// A decoder.
pub struct Decoder {
    pub name: &'static str,
    /// Panics if it is faulty.
    pub check: fn(&[u8]),
    /// Valid inputs, from which the fuzzer starts.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All of them, in the order of the layers.
pub const DECODERS: &[Decoder] = &[
    decoder("names", names, texts),
    decoder("escapes", escapes, texts),
    decoder("addresses", addresses, texts),
    decoder("options", options, texts),
    decoder("entries", entries, entry_seeds),
    decoder("networks", networks, texts),
    decoder("stored-ids", server::log::sqlite::fuzz::ids, entry_seeds),
    decoder("write-ahead-log", server::log::sqlite::fuzz::write_ahead_log, server::log::sqlite::fuzz::logs),
    decoder("page", server::log::sqlite::fuzz::page, server::log::sqlite::fuzz::pages),
    decoder("database", server::log::sqlite::fuzz::database, server::log::sqlite::fuzz::databases),
    decoder("frames", server::rpc::fuzz::frames, server::rpc::fuzz::frame_seeds),
    decoder("commands", server::rpc::fuzz::commands, server::rpc::fuzz::command_seeds),
    decoder("tutorial", server::rpc::fuzz::tutorial, server::rpc::fuzz::tutorial_seeds),
    decoder("calls", server::rpc::fuzz::calls, server::rpc::fuzz::call_seeds),
    decoder("requests", server::http::fuzz::requests, server::http::fuzz::request_seeds),
    decoder("json", server::http::fuzz::messages, server::http::fuzz::message_seeds),
    decoder("certificates", certificates::fuzz::certificates, certificates::fuzz::certificate_seeds),
    decoder("tokens", server::auth::fuzz::tokens, server::auth::fuzz::token_seeds),
    decoder("claims", server::auth::fuzz::claims, server::auth::fuzz::claim_seeds),
    decoder("key-files", server::auth::fuzz::key_files, server::auth::fuzz::key_file_seeds),
    decoder("operator", server::operator::fuzz::requests, server::operator::fuzz::request_seeds),
    decoder("peers", client::fuzz::peers, client::fuzz::peer_seeds),
    decoder("events", client::fuzz::events, client::fuzz::event_seeds),
    decoder("session", client::fuzz::session, client::fuzz::session_seeds),
    decoder("keys", terminal::fuzz::keys, terminal::fuzz::key_seeds),
    decoder("invitations", terminal::fuzz::invitations, terminal::fuzz::invitation_seeds),
    decoder("lines", terminal::fuzz::lines, texts),
    decoder("shown", terminal::fuzz::shown, texts),
    decoder("unsent", terminal::fuzz::unsent, terminal::fuzz::unsent_seeds),
    decoder("pastes", tui::fuzz::pastes, tui::fuzz::paste_seeds),
    decoder("entered", tui::fuzz::entered, tui::fuzz::entered_seeds),
    decoder("config", tui::fuzz::config, tui::fuzz::config_seeds),
    decoder("line", tui::fuzz::line, tui::fuzz::line_seeds),
    decoder("payloads", repeat::fuzz::payloads, repeat::fuzz::payload_seeds),
];

const fn decoder(name: &'static str, check: fn(&[u8]), seeds: fn() -> Vec<Vec<u8>>) -> Decoder {
    Decoder { name, check, seeds }
}

/// The input as text.
fn text(input: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(input)
}

/// Texts that some decoder accepts, or refuses for a special reason.
pub fn texts() -> Vec<Vec<u8>> {
    const TEXTS: [&str; 24] = [
        "ann",
        "Zoe\u{308}",
        "می\u{200c}خواهم",
        "a\u{202e}b\u{2066}",
        "👩\u{200d}👩\u{200d}👧 e\u{301}\u{301}",
        "\u{1b}[31mred\u{7}\r\n\ttab",
        "tea.room-1",
        "कि\u{94d}ष",
        "127.0.0.1:5000",
        "[fe80::1%eth0]:5000",
        "grpc://chat.example.org:80/",
        "unix:///run/hubbub.sock",
        "10.0.0.0/8",
        "2001:db8::/32",
        "1h 30m",
        "64MiB",
        "18446744073709551615",
        "/me waves",
        "/join tea",
        "/leave",
        "/unsent send",
        "//text",
        "  /who",
        "a: b: * > c",
    ];
    TEXTS.map(|text| text.as_bytes().to_vec()).to_vec()
}

/// A name or body that is accepted is accepted again, unchanged, and does nothing on a terminal.
fn names(input: &[u8]) {
    let text = text(input);
    if let Ok(name) = UserName::new(&*text) {
        assert_eq!(UserName::new(name.as_str()).as_ref(), Ok(&name));
        assert!(name.as_str().chars().count() <= NAME_CHARS_MAX && !name.as_str().chars().any(char::is_control));
    }
    if let Ok(name) = RoomName::new(&text) {
        assert_eq!(RoomName::new(name.as_str()).as_ref(), Ok(&name));
        assert!(name.as_str().chars().count() <= NAME_CHARS_MAX && !name.as_str().chars().any(acts));
        assert!(!name.skeleton().is_empty());
    }
    let is_accepted = |text: &str| match Body::new(text) {
        Ok(body) => {
            assert!(body.as_str().len() <= BODY_BYTES_MAX);
            assert_eq!(Body::new(body.as_str()).map(|again| again.as_str() == body.as_str()), Ok(true));
            true
        }
        Err(_) => false,
    };
    is_accepted(&text);
    let cleaned = cleaned(&text);
    assert!(is_accepted(&cleaned) || cleaned.trim().is_empty() || cleaned.len() > BODY_BYTES_MAX, "{cleaned:?}");
    if let Ok(id) = MessageId::chosen(input) {
        assert!(id.is_chosen() && id.as_bytes() == input);
    }
}

/// What is escaped does nothing on a terminal, and is not escaped again.
fn escapes(input: &[u8]) {
    let text = text(input);
    for escaped in [escape(&text), escape_name(&text)] {
        assert!(!escaped.chars().any(acts), "{escaped:?}");
    }
    assert_eq!(escape(&escape(&text)), escape(&text));
}

/// An address that is accepted is shown so that it is accepted again.
fn addresses(input: &[u8]) {
    if let Ok(address) = text(input).parse::<Address>() {
        let shown = address.to_string();
        assert_eq!(shown.parse(), Ok(address), "{shown}");
    }
}

fn options(input: &[u8]) {
    let text = text(input);
    let _ = arguments::switch(&text);
    let _ = arguments::timeout(&text);
    if let Ok(duration) = arguments::duration(&text) {
        assert!(!duration.is_zero());
    }
    if let Ok(number) = arguments::number::<u32>(3..=9)(&text) {
        assert!((3..=9).contains(&number));
    }
    if let Ok(size) = arguments::size(10..=1 << 20)(&text) {
        assert!((10..=1 << 20).contains(&size));
    }
}

fn networks(input: &[u8]) {
    let text = text(input);
    if let (Ok(network), Some(address)) = (text.parse::<Network>(), text.split('/').next()) {
        let address = address.parse().expect("a network begins with an address");
        // An IPv4 address in IPv6's form counts as IPv4, which no network of IPv6 contains.
        let is_mapped = matches!(address, std::net::IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some());
        assert!(network.contains(address) || is_mapped, "{text}");
    }
    let _ = server::peer::address(&text);
}

/// The library reads the same events in stored entries as [`event`] does.
fn entries(input: &[u8]) {
    let Some(Ok((first, _))) = event::entries(input).next() else { return };
    let Ok(Checked { last, changes }) = Segment::check(first.room, first.seq, input) else { return };
    let response: v1::ChatResponse = wire::parse(input).expect("what is stored is a response");
    assert_eq!(response.events.len() as u64, last.0 - first.seq.0 + 1);
    assert_eq!(response.events.iter().filter(|event| !event.has_message()).count() as u64, changes);
    for (entry, event) in event::entries(input).map(|entry| entry.expect("it was checked").0).zip(&response.events) {
        assert_eq!((entry.room.0, entry.seq.0, entry.time_ms), (event.room_id, event.seq, event.time_ms));
        assert_eq!(entry.message().is_some(), event.has_message());
        if let Some(content) = entry.message() {
            let message = event.message();
            assert_eq!((content.sender, content.body), (message.sender.as_str(), message.body.as_str()));
            assert_eq!(content.id.as_bytes().as_slice(), message.message_id);
            assert_eq!(content.client.map_or(0, |client| client.0), message.client_id);
            assert_eq!((content.reply_to.0, content.changed.0), (message.reply_to_seq, message.changed_seq));
            assert_eq!((content.edited.0, content.is_deleted), (message.edited_seq, message.deleted_by.is_some()));
            // A message that is changed stays one that can be read.
            let mut changed = StoredMessage::read(entry.content).expect("the library has read it");
            changed.delete(&Sender::claim(UserName::new("ann").expect("valid")), Seq(9));
            assert!(event::read_content(&changed.content()).is_ok_and(|content| content.is_deleted));
        }
    }
    let segment = Segment::read(first.room, first.seq, 0, input.to_vec()).expect("it was checked");
    assert_eq!(segment.offset(last.next()), input.len());
}

/// Entries of the log: messages, one of them changed and one deleted, and an event that is newer than this program.
fn entry_seeds() -> Vec<Vec<u8>> {
    let id = MessageId::from_bytes([7; 16]);
    let hi = Body::new("hi").expect("valid");
    let ann = Sender::claim(UserName::new("ann").expect("valid"));
    let mut bytes = Vec::new();
    for (seq, kind) in [(1, crate::names::Kind::Text), (2, crate::names::Kind::Action)] {
        let content = event::content(&NewMessage::plain(&id, &ann, Some(crate::names::ClientId(300)), &hi, kind));
        let entry = Entry {
            room: RoomId(3),
            seq: Seq(seq),
            time_ms: 1_700_000_000_000,
            kind: EntryKind::MESSAGE,
            content: &content,
        };
        event::push(&mut bytes, &entry);
    }
    let mut changed = StoredMessage::read(&event::content(&NewMessage::plain(&id, &ann, None, &hi, Kind::Text)))
        .expect("it was just encoded");
    let mentions = Mentions::new(vec!["bob".to_owned()]).expect("valid");
    changed.edit(&hi, &mentions, Seq(4), 1_700_000_000_000);
    changed.react(ReactionChange { emoji: &Emoji::new("+1").expect("valid"), by: &ann, seq: Seq(5) });
    let mut deleted = changed.clone();
    deleted.delete(&ann, Seq(6));
    for (seq, message) in [(3, changed), (4, deleted)] {
        let (kind, content) = (EntryKind::MESSAGE, message.content());
        event::push(&mut bytes, &Entry { room: RoomId(3), seq: Seq(seq), time_ms: 1, kind, content: &content });
    }
    bytes.extend([0x0a, 10, 0x08, 3, 0x10, 5, 0x18, 1, 0xf2, 1, 1, b'x']);
    vec![bytes]
}
