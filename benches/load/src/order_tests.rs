//! Valid deliveries that the order must accept, and faults that it must catch.

use super::*;
use crate::chat::tests::{BODY_BYTES, START_UNIX_MS, entry, joined_entry, message_entry};
use crate::grpc::write_prefix;
use crate::message::SENDERS_MAX;
use crate::protobuf::write_bytes;

const ROOM_ID: u64 = 3;
/// The room's head when the clients join.
const HEAD: u64 = 5;

fn response(entries: &[Vec<u8>]) -> Vec<u8> {
    let content = entries.concat();
    let mut bytes = Vec::new();
    write_prefix(&mut bytes, content.len());
    bytes.extend(content);
    bytes
}

fn arrival() -> Vec<Vec<u8>> {
    vec![entry(0, 0, 1, 5, b""), joined_entry(ROOM_ID, 0, HEAD), entry(ROOM_ID, 0, 1, 7, b"")]
}

/// A room that all clients have joined, and in which clients 0 and 1 have each sent three messages.
fn room(clients: usize) -> Order {
    let mut order = Order::new(Seating::together(clients), 0, BODY_BYTES, START_UNIX_MS);
    for receiver in 0..clients {
        assert_eq!(order.absent(), Some(receiver));
        assert_eq!(take(&mut order, receiver, &response(&arrival())), Ok(0));
    }
    assert_eq!(order.absent(), None);
    for number in 0..3 {
        for sender in 0..2 {
            assert_eq!(order.send(sender), number);
        }
    }
    order
}

/// Message `index` of a log in which clients 0 and 1 take turns.
fn message(index: u64) -> Vec<u8> {
    message_entry(ROOM_ID, HEAD + 1 + index, (index % 2) as u32, index / 2)
}

/// How many messages it counts.
fn take(order: &mut Order, receiver: usize, bytes: &[u8]) -> Result<u64, Fault> {
    let mut count = 0;
    order.take(receiver, bytes, |_, more| count += more)?;
    Ok(count)
}

fn deliver(order: &mut Order, receiver: usize, entries: &[Vec<u8>]) -> Result<u64, Fault> {
    take(order, receiver, &response(entries))
}

#[test]
fn one_log_passes_for_any_split() {
    let messages: Vec<_> = (0..6).map(message).collect();
    for first in 0..=6 {
        for second in first..=6 {
            let mut order = room(3);
            for receiver in [2, 0] {
                assert_eq!(deliver(&mut order, receiver, &messages), Ok(6));
            }
            assert_eq!(order.in_flight(), 6);
            for part in [&messages[..first], &messages[first..second], &messages[second..]] {
                assert_eq!(deliver(&mut order, 1, part), Ok(part.len() as u64));
            }
            assert_eq!((order.in_flight(), order.finish()), (0, Ok(())));
            assert!(order.entries.is_empty());
        }
    }
}

#[test]
fn any_member_may_be_first_and_get_pieces() {
    let messages: Vec<_> = (0..6).map(message).collect();
    let bytes = [response(&messages[..4]), response(&messages[4..])].concat();
    for piece in [1, 3, 50, 333] {
        let mut order = room(4);
        let mut counts = [0; 4];
        for part in bytes.chunks(piece) {
            for (receiver, count) in counts.iter_mut().enumerate() {
                *count += take(&mut order, receiver, part).unwrap();
            }
        }
        assert_eq!((counts, order.in_flight()), ([6; 4], 0), "pieces of {piece} bytes");
    }
}

#[test]
fn a_message_counts_when_its_response_is_complete() {
    let mut order = room(2);
    assert_eq!(deliver(&mut order, 0, &[message(0), message(1)]), Ok(2));
    let bytes = response(&[message(0), message(1)]);
    let (most, last) = bytes.split_at(bytes.len() - 1);
    assert_eq!(take(&mut order, 1, most), Ok(0));
    assert_eq!(order.in_flight(), 6);
    assert_eq!(take(&mut order, 1, last), Ok(2));
    assert_eq!(order.in_flight(), 4);
}

#[test]
fn messages_that_were_sent_together_are_counted_together() {
    let mut order = room(2);
    let mut runs = Vec::new();
    let bytes = response(&(0..6).map(message).collect::<Vec<_>>());
    order.take(0, &bytes, |sent_ns, count| runs.push((sent_ns, count))).unwrap();
    assert_eq!(runs, [(0, 2), (1, 2), (2, 2)]);
}

#[test]
fn events_for_one_receiver_pass_at_any_position() {
    let presence = entry(ROOM_ID, 0, 1, 9, b"\x08\x01\x12\x06load-1\x18\x01");
    for at in 0..=3 {
        let mut order = room(3);
        let messages: Vec<_> = (0..3).map(message).collect();
        let mut with_presence = messages.clone();
        with_presence.insert(at, presence.clone());
        for (receiver, entries) in [(0, &with_presence), (1, &messages), (2, &with_presence)] {
            assert_eq!(deliver(&mut order, receiver, entries), Ok(3), "presence before message {at}");
            assert_eq!(deliver(&mut order, receiver, std::slice::from_ref(&presence)), Ok(0));
        }
        assert_eq!(order.in_flight(), 3);
    }
}

#[test]
fn another_encoding_of_the_same_message_passes() {
    let mut order = room(2);
    assert_eq!(deliver(&mut order, 0, &[message(0), message(1)]), Ok(2));
    // The seq before the room.
    let intact = message(0);
    let mut event = intact[2..].to_vec();
    event[..4].rotate_left(2);
    let mut other = Vec::new();
    write_bytes(&mut other, 1, &event);
    assert_ne!(other, intact);
    assert_eq!(deliver(&mut order, 1, &[other, message(1)]), Ok(2));
    assert_eq!(order.in_flight(), 4);
}

#[test]
fn holes_and_repeats_are_caught_by_the_first_receiver_and_by_later_ones() {
    let mut order = room(3);
    let fault = |receiver, got, due| Err(Fault::Hole { receiver, got: HEAD + 1 + got, due: HEAD + 1 + due });
    assert_eq!(deliver(&mut order, 0, &[message(1)]), fault(0, 1, 0));
    let mut order = room(3);
    assert_eq!(deliver(&mut order, 0, &[message(0), message(0)]), fault(0, 0, 1));
    let mut order = room(3);
    assert_eq!(deliver(&mut order, 0, &[message(0), message(1), message(2)]), Ok(3));
    assert_eq!(deliver(&mut order, 1, &[message(1)]), fault(1, 1, 0));
    let mut order = room(3);
    assert_eq!(deliver(&mut order, 0, &[message(0), message(1)]), Ok(2));
    assert_eq!(deliver(&mut order, 1, &[message(0)]), Ok(1));
    assert_eq!(deliver(&mut order, 1, &[message(0)]), fault(1, 0, 1));
}

#[test]
fn changed_messages_are_caught() {
    let second = MessageId { sender: 0, seq: 1 };
    let first = MessageId { sender: 0, seq: 0 };
    let at = |index, number| message_entry(ROOM_ID, HEAD + 1 + index, 0, number);
    let mut order = room(3);
    let fault = Fault::OutOfOrder { receiver: 0, got: second, due: first };
    assert_eq!(deliver(&mut order, 0, &[at(0, 1)]), Err(fault));
    let mut order = room(3);
    assert_eq!(deliver(&mut order, 0, &[at(0, 0), at(1, 0)]), Err(Fault::Duplicate { receiver: 0, got: first }));
    for (sender, number) in [(0, 3), (2, 0), (SENDERS_MAX as u32 - 1, 0)] {
        let mut order = room(3);
        let got = MessageId { sender, seq: number };
        let entry = message_entry(ROOM_ID, HEAD + 1, sender, number);
        assert_eq!(deliver(&mut order, 0, &[entry]), Err(Fault::NeverSent { receiver: 0, got }));
    }
}

#[test]
fn damage_is_caught() {
    for at in 0..message(0).len() {
        let mut damaged = message(0);
        damaged[at] ^= 0x15;
        // For the first receiver, any time that is not before the last one is valid.
        let is_time = (6..13).contains(&at);
        assert!(is_time || deliver(&mut room(3), 0, &[damaged.clone()]).is_err(), "byte {at}");
        let mut order = room(3);
        assert_eq!(deliver(&mut order, 0, &[message(0)]), Ok(1));
        assert!(deliver(&mut order, 1, &[damaged]).is_err(), "byte {at}");
    }
    let mut order = room(3);
    let short = &message(0)[..message(0).len() - 1];
    assert!(deliver(&mut order, 0, &[short.to_vec()]).is_err());
    assert_eq!(deliver(&mut order, 1, &[message(0)]), Ok(1));
    assert!(deliver(&mut order, 2, &[short.to_vec()]).is_err());
}

#[test]
fn invalid_events_are_caught() {
    for field in [8, 10, 11, 12, 13, 5, 6, 7] {
        let event = entry(ROOM_ID, 0, 1, field, b"");
        assert!(deliver(&mut room(3), 0, &[message(0), event]).is_err(), "field {field}");
    }
    let mut order = Order::new(Seating::together(2), 0, BODY_BYTES, START_UNIX_MS);
    order.send(0);
    assert!(deliver(&mut order, 0, &[message_entry(ROOM_ID, 1, 0, 0)]).is_err(), "before the room was joined");
}

#[test]
fn a_loss_at_the_end_is_named() {
    let mut order = room(3);
    deliver(&mut order, 0, &[message(0), message(1), message(2)]).unwrap();
    deliver(&mut order, 1, &[message(0)]).unwrap();
    let text = order.finish().unwrap_err().to_string();
    assert!(text.contains("6 messages of bench-000000 were not delivered to all members"), "{text}");
    assert!(text.contains("messages 2 to 2 of sender 0 reached nobody"), "{text}");
    assert!(text.contains("client 1 waits for seq 7"), "{text}");
    assert!(text.contains("client 2 waits for seq 6"), "{text}");
}

#[test]
fn the_copy_of_the_log_stays_small() {
    let mut order = room(2);
    let mut numbers = [3, 3];
    for index in 0..20_000 {
        let sender = (index % 2) as usize;
        if index >= 6 {
            assert_eq!(order.send(sender), numbers[sender]);
            numbers[sender] += 1;
        }
        for receiver in 0..2 {
            assert_eq!(deliver(&mut order, receiver, &[message(index)]), Ok(1));
        }
    }
    assert!(order.log.len() < 2 * CUT_BYTES_MIN, "{} bytes", order.log.len());
    assert_eq!(order.in_flight(), 0);
}
