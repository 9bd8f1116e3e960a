//! Valid and invalid deliveries to clients in several rooms.

use super::*;
use crate::chat::tests::{BODY_BYTES, START_UNIX_MS, entry, joined_entry, message_entry};
use crate::grpc::write_prefix;

/// Clients 0 and 1 are both in rooms 0, 1 and 2, whose numbers are 10, 11 and 12.
const SEATING: Seating = Seating { clients: 2, rooms: 3, joined: 3 };
const HEAD: u64 = 5;

fn id_of(room: usize) -> u64 {
    10 + room as u64
}

fn take(rooms: &mut Rooms, receiver: usize, entries: &[Vec<u8>]) -> Result<u64, Fault> {
    let content = entries.concat();
    let mut bytes = Vec::new();
    write_prefix(&mut bytes, content.len());
    bytes.extend(content);
    let mut count = 0;
    // Responses may arrive in pieces.
    for piece in bytes.chunks(33) {
        rooms.take(receiver, piece, |_, more| count += more)?;
    }
    Ok(count)
}

fn welcome() -> Vec<u8> {
    entry(0, 0, 1, 5, b"")
}

fn arrival(room: usize) -> [Vec<u8>; 2] {
    [joined_entry(id_of(room), room, HEAD), entry(id_of(room), 0, 1, 7, b"")]
}

/// All clients have joined, and client 0 has sent one message to each room.
fn rooms() -> (Rooms, [u64; 3]) {
    let mut rooms = Rooms::new(SEATING, BODY_BYTES, START_UNIX_MS);
    let mut absent = Vec::new();
    for client in 0..2 {
        assert_eq!(take(&mut rooms, client, &[welcome()]), Ok(0));
        for room in 0..3 {
            absent.extend(rooms.absent());
            assert_eq!(take(&mut rooms, client, &arrival(room)), Ok(0));
        }
    }
    assert_eq!(absent, [(0, 0), (0, 1), (0, 1), (0, 1), (1, 1), (2, 1)]);
    assert_eq!(rooms.absent(), None);
    let numbers = [0, 1, 2].map(|room| rooms.send(room, 0));
    (rooms, numbers)
}

/// The first message of a room.
fn message(room: usize, number: u64) -> Vec<u8> {
    message_entry(id_of(room), HEAD + 1, 0, number)
}

#[test]
fn rooms_may_come_in_any_order_in_one_response() {
    let (mut rooms, [a, b, c]) = rooms();
    assert_eq!(take(&mut rooms, 0, &[message(2, c), message(0, a), message(1, b)]), Ok(3));
    assert_eq!(rooms.in_flight(), 3);
    assert!(rooms.finish().is_err());
    assert_eq!(take(&mut rooms, 1, &[message(1, b)]), Ok(1));
    assert_eq!(rooms.in_flight(), 2);
    assert_eq!(take(&mut rooms, 1, &[message(0, a), message(2, c)]), Ok(2));
    assert_eq!((rooms.in_flight(), rooms.finish()), (0, Ok(())));
}

#[test]
fn a_message_of_another_room_is_caught() {
    // For the first receiver, and for one that compares.
    let (mut rooms, [a, b, _]) = rooms();
    assert!(matches!(take(&mut rooms, 0, &[message(0, b)]), Err(Fault::NeverSent { receiver: 0, .. })));
    let (mut rooms, [a2, ..]) = self::rooms();
    assert_eq!(a, a2);
    assert_eq!(take(&mut rooms, 0, &[message(0, a)]), Ok(1));
    assert!(take(&mut rooms, 1, &[message(0, b)]).is_err());
    let (mut rooms, _) = self::rooms();
    assert!(matches!(take(&mut rooms, 0, &[message(1, a)]), Err(Fault::NeverSent { receiver: 0, .. })));
}

#[test]
fn holes_and_repeats_in_one_room_are_caught() {
    let (mut rooms, [a, ..]) = rooms();
    assert_eq!(take(&mut rooms, 0, &[message(0, a)]), Ok(1));
    let hole = Fault::Hole { receiver: 0, got: HEAD + 1, due: HEAD + 2 };
    assert_eq!(take(&mut rooms, 0, &[message(0, a)]), Err(hole));
    let (mut rooms, _) = self::rooms();
    let next = rooms.send(0, 0);
    assert!(take(&mut rooms, 0, &[message_entry(id_of(0), HEAD + 2, 0, next)]).is_err());
}

#[test]
fn a_loss_in_one_room_is_named() {
    let (mut rooms, [a, b, c]) = rooms();
    take(&mut rooms, 0, &[message(0, a), message(1, b), message(2, c)]).unwrap();
    take(&mut rooms, 1, &[message(0, a), message(2, c)]).unwrap();
    let text = rooms.finish().unwrap_err().to_string();
    assert!(text.contains("1 messages of bench-000001") && text.contains("client 1 waits for seq 6"), "{text}");
}

#[test]
fn unknown_room_numbers_are_caught() {
    let (mut rooms, [a, ..]) = rooms();
    for id in [0, 9, 13] {
        assert!(take(&mut rooms, 0, &[message_entry(id, HEAD + 1, 0, a)]).is_err(), "{id}");
        let (again, _) = self::rooms();
        rooms = again;
    }
    let begin = || {
        let mut rooms = Rooms::new(SEATING, BODY_BYTES, START_UNIX_MS);
        take(&mut rooms, 0, &[welcome()]).unwrap();
        rooms
    };
    let mut rooms = begin();
    take(&mut rooms, 0, &arrival(0)).unwrap();
    assert!(take(&mut rooms, 0, &[joined_entry(id_of(0), 1, HEAD)]).is_err(), "one number for two rooms");
    assert!(take(&mut begin(), 0, &[joined_entry(id_of(3), 3, HEAD)]).is_err(), "a room that there is not");
    assert!(take(&mut begin(), 0, &[entry(0, 0, 1, 11, b"")]).is_err(), "a rejection");
}

#[test]
fn a_member_of_one_room_must_get_no_event_of_another() {
    let seating = Seating { clients: 4, rooms: 2, joined: 1 };
    let mut rooms = Rooms::new(seating, BODY_BYTES, START_UNIX_MS);
    for client in 0..4 {
        let arrival = [&[welcome()][..], &arrival(client % 2)].concat();
        assert_eq!(take(&mut rooms, client, &arrival), Ok(0));
    }
    assert_eq!(rooms.absent(), None);
    let number = rooms.send(1, 3);
    let message = message_entry(id_of(1), HEAD + 1, 3, number);
    assert_eq!(take(&mut rooms, 1, std::slice::from_ref(&message)), Ok(1));
    assert!(take(&mut rooms, 2, std::slice::from_ref(&message)).is_err());
    assert_eq!(take(&mut rooms, 3, std::slice::from_ref(&message)), Ok(1));
    assert_eq!((rooms.in_flight(), rooms.finish()), (0, Ok(())));
    let mut rooms = Rooms::new(seating, BODY_BYTES, START_UNIX_MS);
    assert!(take(&mut rooms, 0, &[&[welcome()][..], &arrival(1)].concat()).is_err(), "another room than it joined");
}
