//! The decoder of events, and a session that receives them, for [`crate::fuzz`].

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::time::Instant;

use super::events::Event;
use super::incoming::Incoming;
use super::line::Line;
use super::membership::Memberships;
use super::outbox::Outbox;
use super::outgoing::Outgoing;
use super::place::{GapReason, StartAt};
use super::timeline::Timeline;
use super::wire::{Item, read_events};
use crate::client::incoming::{Incoming as _, Outage};
use crate::client::outgoing::Outgoing as _;
use crate::client::shared::Shared;
use crate::names::{Body, ClientId, Epoch, Kind, MessageId, RoomId, RoomName, Sender, Seq, UserName};
use crate::wire::answer::{self, RoomAtJoin};
use crate::wire::event::{self, Entry, EntryKind, NewMessage};
use crate::wire::{self, v1};

/// The library reads the same events in a response as [`read_events`], and accepts each response that this accepts.
pub fn events(input: &[u8]) {
    let mut read = Vec::new();
    let outcome = read_events::<()>(input, |item| {
        read.push(match item {
            Item::Message { room_id, seq, time_ms, content, .. } => {
                (room_id, seq, time_ms, Some((content.sender.to_owned(), content.body.to_owned())))
            }
            Item::Other(event) => (event.room_id, event.seq, event.time_ms, None),
        });
        ControlFlow::Continue(())
    });
    let response: protobuf::Result<v1::ChatResponse> = wire::parse(input);
    match (outcome, response) {
        (Ok(_), response) => {
            let events = response.expect("the library accepts it too").events;
            let expected = events.into_iter().map(|mut event| {
                let text =
                    event.has_message().then(|| event.take_message()).map(|message| (message.sender, message.body));
                (event.room_id, event.seq, event.time_ms, text)
            });
            assert_eq!(read, expected.collect::<Vec<_>>());
        }
        (Err(_), Ok(response)) => {
            let has_valid_id = |event: &v1::Event| !event.has_message() || event.message().message_id.len() == 16;
            assert!(!response.events.iter().all(has_valid_id), "it was refused without a reason");
        }
        (Err(_), Err(_)) => {}
    }
}

pub fn event_seeds() -> Vec<Vec<u8>> {
    vec![responses().concat()]
}

/// A session to which a server sends any responses: each room's messages come in the order of their seqs, each once.
///
/// The input is a list of responses, each after its length in two bytes. A length of 0 is a lost connection.
pub fn session(mut input: &[u8]) {
    let rooms = [("tea", StartAt::Last(3)), ("hall", StartAt::After { seq: 5, epoch: Epoch::new(9) })]
        .map(|(name, from)| (room(name), from));
    let outbox = Outbox::new(rooms.iter().map(|(room, _)| room.clone()), 10, 10_000);
    let session = Shared::new(Outgoing::new(Memberships::new(&rooms), outbox));
    for (number, (room, _)) in rooms.iter().cycle().take(4).enumerate() {
        let line = Line::new(id(number as u8 + 1), Body::new("a line").expect("it is valid"), Kind::Text);
        session.change(|outgoing| outgoing.push(room, line)).expect("the room is to be joined");
    }
    let mut last: HashMap<RoomName, u64> = HashMap::new();
    let mut timeline = Timeline::default();
    let mut incoming = Incoming::new(UserName::new("ann").expect("it is valid"), move |event: Event<'_>| {
        match &event {
            Event::Joined(joined) | Event::State(joined) => timeline.joined(joined),
            Event::Message(message) => timeline.message(message.to_stored()),
            Event::Changed { seq, time_ms, change, .. } => drop(timeline.change(*seq, *time_ms, change)),
            Event::Gap { gap, .. } => timeline.gap(gap),
            _ => {}
        }
        match event {
            Event::Message(super::Message { room, seq, .. })
            | Event::Changed { room, seq, .. }
            | Event::Unknown { room, seq, .. } => {
                let before = last.insert(room.clone(), seq);
                assert!(before.is_none_or(|before| before < seq), "message {seq} of {room} came after {before:?}");
            }
            Event::Gap { room, gap } if gap.reason == GapReason::EpochChanged => {
                last.remove(room);
            }
            Event::Gap { room, gap } => {
                let before = last.insert(room.clone(), gap.to_seq);
                assert!(before.is_none_or(|before| before < gap.from_seq), "{gap:?} of {room} came after {before:?}");
            }
            _ => {}
        }
        ControlFlow::Continue(())
    });
    let mut outage = Outage::default();
    incoming.greet(&mut session.lock().outgoing);
    while let Some((length, rest)) = input.split_first_chunk() {
        let (response, rest) = rest.split_at(rest.len().min(u16::from_be_bytes(*length).into()));
        input = rest;
        let is_lost = response.is_empty() || incoming.take(response, &session, &mut outage).0.is_break();
        // The send thread takes whatever there is to send.
        let mut buffer = Vec::new();
        while session.lock().outgoing.next(&mut buffer, Instant::now()).is_some() {
            buffer.clear();
        }
        if is_lost {
            incoming.disconnected();
            session.lock().outgoing.disconnect(Instant::now());
            incoming.greet(&mut session.lock().outgoing);
        }
    }
}

pub fn session_seeds() -> Vec<Vec<u8>> {
    let sized = |response: &Vec<u8>| [&(response.len() as u16).to_be_bytes()[..], response].concat();
    let once = responses().iter().map(sized).collect::<Vec<_>>().concat();
    vec![[once.as_slice(), &[0, 0], &once].concat(), once]
}

fn sender(name: &str) -> Sender {
    Sender { name: UserName::new(name).expect("it is valid"), authenticated: true }
}

/// What a server sends after a greeting.
fn responses() -> Vec<Vec<u8>> {
    let message = |room, seq, by| {
        let body = Body::new("a line").expect("it is valid");
        let content = event::content(&NewMessage::plain(&id(by), &sender("ann"), Some(ClientId(4)), &body, Kind::Text));
        let mut entry = Vec::new();
        let kind = EntryKind::MESSAGE;
        event::push(&mut entry, &Entry { room, seq: Seq(seq), time_ms: 1_700_000_000_000, kind, content: &content });
        entry
    };
    let joined = |id, name: &str, epoch, first| {
        answer::joined(&RoomAtJoin {
            id,
            name: &room(name),
            epoch: Epoch::new(epoch).expect("it is not 0"),
            head: Seq(9),
            oldest: Seq(1),
            first: Seq(first),
            member_count: 2,
            topic: "tea",
            pinned: vec![Seq(1)],
        })
    };
    let (tea, hall) = (RoomId(1), RoomId(2));
    vec![
        answer::welcome(
            ClientId(4),
            &answer::LoginAtWelcome { name: "ann", authenticated: true, role: "member", ends: None },
        ),
        [joined(tea, "tea", 8, 7), message(tea, 7, 1), message(tea, 8, 9)].concat(),
        [message(tea, 9, 3), answer::caught_up(tea, Seq(9))].concat(),
        [joined(hall, "hall", 10, 1), answer::gap(hall, Seq(1), Seq(5), answer::GapReason::EpochChanged)].concat(),
        [answer::gap(hall, Seq(1), Seq(3), answer::GapReason::Retention), message(hall, 4, 2)].concat(),
        answer::presence(tea, ClientId(5), &sender("bob"), answer::Change::Joined),
        answer::posted(hall, &id(4), Seq(5)),
        message(hall, 5, 4),
    ]
}

fn room(name: &str) -> RoomName {
    RoomName::new(name).expect("it is valid")
}

fn id(number: u8) -> MessageId {
    MessageId::from_bytes([number; 16])
}
