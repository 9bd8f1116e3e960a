use super::*;
use crate::client::Extras;
use crate::names::Kind;

pub fn new_room(me: Me, limits: Limits, mark: Option<u64>) -> Room {
    Room::new(RoomName::new("tea").unwrap(), me, limits, mark)
}

/// The room is joined, with that head and oldest seq.
pub fn joined(room: &mut Room, head_seq: u64, oldest_seq: u64) {
    let name = room.name().clone();
    room.joined(&RoomJoined {
        room: &name,
        time_ms: 0,
        epoch: Epoch::new(7).unwrap(),
        head_seq,
        oldest_seq,
        members: 2,
        topic: "",
        pinned_seqs: &[],
    });
}

/// A message, at a time of its own.
pub fn message(seq: u64, sender: &str, body: &str) -> StoredMessage {
    StoredMessage {
        seq,
        // 26 November 2026, 20:00 UTC, and a minute for each message.
        time_ms: 1_795_723_200_000 + seq * 60_000,
        id: MessageId::from_bytes([u8::try_from(seq % 250).unwrap() + 1; 16]),
        sender: sender.to_owned(),
        body: body.to_owned(),
        kind: Kind::Text,
        client_id: None,
        authenticated: false,
        extras: Extras::default(),
    }
}
