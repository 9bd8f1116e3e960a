//! The forms in which a stream's events are sent: protobuf or JSON in Connect's envelopes, or Server-Sent Events.

use std::collections::VecDeque;
use std::io::Write as _;
use std::sync::Arc;

use parking_lot::Mutex;
use protobuf::Message as _;

use super::methods::Codec;
use crate::limits::HTTP_TEXTS_KEPT;
use crate::wire::v1::event::Event as Kind;
use crate::wire::{Frame, json, v1};

/// The form of a stream.
#[derive(Debug)]
pub enum StreamForm {
    Proto,
    Json,
    Events(Place),
}

/// The body of a message: the stored bytes, or a text that several streams may send.
pub enum Body {
    Frame(Frame),
    Text(Arc<Vec<u8>>),
}

/// Where a stream of Server-Sent Events is, for the ids of its events.
#[derive(Debug, Default)]
pub struct Place {
    epoch: u64,
}

/// The texts of the last frames, so that one which several streams send is made once. The streams of a room are written
/// one after another, so a few are enough.
#[derive(Default)]
pub struct Texts {
    // lock order: 3 (a leaf, held for a lookup or a change)
    kept: Mutex<VecDeque<Kept>>,
}

struct Kept {
    /// While it is here, no other frame can have its address.
    frame: Frame,
    is_json: bool,
    text: Arc<Vec<u8>>,
}

impl Body {
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Frame(frame) => frame.as_slice(),
            Self::Text(text) => text,
        }
    }
}

impl Default for Body {
    fn default() -> Self {
        Self::Text(Arc::default())
    }
}

impl StreamForm {
    /// The form of a stream over Connect.
    pub fn of(codec: Codec) -> Self {
        match codec {
            Codec::Json => Self::Json,
            Codec::Proto => Self::Proto,
        }
    }

    pub fn has_envelopes(&self) -> bool {
        !matches!(self, Self::Events(_))
    }

    pub fn content_type(&self) -> &'static str {
        match self {
            Self::Proto => "application/connect+proto",
            Self::Json => "application/connect+json",
            Self::Events(_) => "text/event-stream; charset=utf-8",
        }
    }

    /// What stands before the first event.
    pub fn preamble(&self) -> &'static [u8] {
        match self {
            Self::Proto | Self::Json => b"",
            // A browser waits for that long, in milliseconds, before it connects again.
            Self::Events(_) => b"retry: 2000\n\n",
        }
    }

    /// The body of a message with the events of a frame.
    pub fn body(&mut self, frame: &Frame, texts: &Texts) -> Body {
        match self {
            Self::Proto => Body::Frame(frame.clone()),
            Self::Json => Body::Text(texts.get(frame, true, || {
                let mut text = Vec::with_capacity(3 * frame.len());
                json::print(&parse(frame), &mut text);
                text
            })),
            Self::Events(place) => Body::Text(texts.get(frame, false, || {
                let mut text = Vec::with_capacity(3 * frame.len());
                for event in &parse(frame).events {
                    place.print(event, &mut text);
                }
                text
            })),
        }
    }

    /// A message without an event, which shows that the stream is alive.
    pub fn alive(&self) -> Vec<u8> {
        match self {
            Self::Proto => Vec::new(),
            Self::Json => b"{}".to_vec(),
            // A comment would not be enough: scripts do not see it.
            Self::Events(_) => b"event: ping\ndata: {}\n\n".to_vec(),
        }
    }

    /// The last message: the code and the text of an error, if the stream ends with one.
    pub fn end(&self, error: Option<(&str, String)>) -> Vec<u8> {
        let error = error.map(|(code, message)| serde_json::json!({ "code": code, "message": message }));
        match (self, error) {
            (Self::Proto | Self::Json, None) => b"{}".to_vec(),
            (Self::Proto | Self::Json, Some(error)) => serde_json::json!({ "error": error }).to_string().into_bytes(),
            (Self::Events(_), None) => Vec::new(),
            (Self::Events(_), Some(error)) => format!("event: end\ndata: {error}\n\n").into_bytes(),
        }
    }
}

/// Decodes what this server has encoded.
fn parse(frame: &Frame) -> v1::FollowResponse {
    v1::FollowResponse::parse_from_bytes(frame.as_slice()).expect("the server's own encoding is valid")
}

impl Place {
    /// Prints an event with its name, the place after it, and its JSON. A message has no name, so that `onmessage` gets
    /// it.
    fn print(&mut self, event: &v1::Event, text: &mut Vec<u8>) {
        let name = event.event.as_ref().map_or("unknown", name);
        let seq = match &event.event {
            Some(Kind::Joined(joined)) => {
                self.epoch = joined.epoch;
                Some(joined.first_seq.saturating_sub(1))
            }
            // What is missing is not asked for again. In another epoch, the events after the gap have their own ids.
            Some(Kind::Gap(gap)) if gap.reason != v1::gap::Reason::REASON_EPOCH_CHANGED.into() => Some(gap.to_seq),
            _ => (event.seq > 0).then_some(event.seq),
        };
        if !name.is_empty() {
            // Writing into a vector can't fail.
            let _ = writeln!(text, "event: {name}");
        }
        if let Some(seq) = seq {
            let _ = writeln!(text, "id: {:016x}-{seq}", self.epoch);
        }
        text.extend_from_slice(b"data: ");
        json::print(event, text);
        text.extend_from_slice(b"\n\n");
    }
}

fn name(event: &Kind) -> &'static str {
    match event {
        Kind::Message(_) => "",
        Kind::Welcome(_) => "welcome",
        Kind::Joined(_) => "joined",
        Kind::CaughtUp(_) => "caught-up",
        Kind::Gap(_) => "gap",
        Kind::Presence(_) => "presence",
        Kind::Posted(_) => "posted",
        Kind::Rejected(_) => "rejected",
        Kind::Left(_) => "left",
        Kind::Goodbye(_) => "goodbye",
        Kind::Edited(_) => "edited",
        Kind::Reacted(_) => "reacted",
        Kind::Deleted(_) => "deleted",
        Kind::Pinned(_) => "pinned",
        Kind::RoomChanged(_) => "room-changed",
    }
}

/// Reads the id of an event: `EPOCH-SEQ`.
pub fn parse_id(id: &str) -> Option<(u64, u64)> {
    let (epoch, seq) = id.split_once('-')?;
    let is_hex = (1..=16).contains(&epoch.len()) && epoch.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_number = !seq.is_empty() && seq.bytes().all(|byte| byte.is_ascii_digit());
    let epoch = u64::from_str_radix(epoch, 16).ok().filter(|_| is_hex)?;
    Some((epoch, seq.parse().ok().filter(|_| is_number)?))
}

impl Texts {
    fn get(&self, frame: &Frame, is_json: bool, make: impl FnOnce() -> Vec<u8>) -> Arc<Vec<u8>> {
        let at = |frame: &Frame| (frame.as_slice().as_ptr(), frame.len());
        let is_same = |kept: &&Kept| kept.is_json == is_json && at(&kept.frame) == at(frame);
        if let Some(found) = self.kept.lock().iter().find(is_same) {
            return Arc::clone(&found.text);
        }
        let text = Arc::new(make());
        let mut kept = self.kept.lock();
        if kept.len() >= HTTP_TEXTS_KEPT {
            kept.pop_front();
        }
        kept.push_back(Kept { frame: frame.clone(), is_json, text: Arc::clone(&text) });
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::answer;

    #[test]
    fn the_id_of_an_event_is_a_place_to_resume_from() {
        assert_eq!(parse_id("00000000000000ab-7"), Some((0xab, 7)));
        assert_eq!(parse_id("ab-18446744073709551615"), Some((0xab, u64::MAX)));
        assert_eq!(parse_id("0-7"), Some((0, 7)));
        for id in
            ["", "-", "ab", "ab-", "-7", "+b-7", "ab-+7", "xy-7", "ab-18446744073709551616", "00000000000000000ab-7"]
        {
            assert_eq!(parse_id(id), None, "{id:?}");
        }
    }

    #[test]
    fn a_text_is_made_once_for_all_streams() {
        let texts = Texts::default();
        let frame = Frame::new(answer::goodbye("x".repeat(100), std::time::Duration::from_secs(1)));
        let bodies = [StreamForm::Json, StreamForm::Json].map(|mut form| form.body(&frame.clone(), &texts));
        assert!(bodies[0].bytes().starts_with(b"{\"events\":[{\"timeMs\":\""));
        assert_eq!(bodies[0].bytes().as_ptr(), bodies[1].bytes().as_ptr());
        let events = StreamForm::Events(Place::default()).body(&frame, &texts);
        assert!(events.bytes().starts_with(b"event: goodbye\ndata: {\"timeMs\":\""));
        assert!(events.bytes().ends_with(b"}\n\n"));
        for _ in 0..2 * HTTP_TEXTS_KEPT {
            // It may get the address of one that is not kept any more.
            let other = Frame::new(answer::goodbye("y".repeat(100), std::time::Duration::from_secs(1)));
            assert_ne!(StreamForm::Json.body(&other, &texts).bytes(), bodies[0].bytes());
        }
        assert_eq!(texts.kept.lock().len(), HTTP_TEXTS_KEPT);
    }
}
