//! Posts, their responses and their deliveries, in any order, and faults that must be caught.

use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use super::*;
use crate::args::{Scenario, Wire};
use crate::chat::tests::{BODY_BYTES, START_UNIX_MS, entry, joined_entry, message_entry};
use crate::grpc::write_prefix;
use crate::protobuf::{write_bytes, write_varint};

const CLIENTS: usize = 2;
const SENDERS: usize = 2;
const ROOM_ID: u64 = 3;
/// The room's head when the clients join.
const HEAD: u64 = 5;

/// Both clients have joined, and both senders have posted two messages, in turn.
struct Case {
    contract: Follow,
    connection: Connection,
    _listener: TcpListener,
}

impl Case {
    fn new() -> Case {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let server = Endpoint { address: listener.local_addr().unwrap(), tls: None, login: None };
        let run = Run {
            server: server.clone(),
            pid: 1,
            scenario: Scenario::B,
            wire: Wire::Follow,
            seating: Seating::together(CLIENTS),
            senders: SENDERS,
            pace: Pace::InFlight(4),
            window: Duration::from_secs(1),
            messages: 0,
            body_bytes: BODY_BYTES,
        };
        let mut clock = Clock::start();
        clock.start_unix_ms = START_UNIX_MS;
        let mut case = Case {
            contract: Follow::new(&run, &clock),
            connection: Connection::open_calls(&server).unwrap(),
            _listener: listener,
        };
        let pool = Pool::new(clock).unwrap();
        let joined = [entry(0, 0, 1, 5, b""), joined_entry(ROOM_ID, 0, HEAD), entry(ROOM_ID, 0, 1, 7, b"")];
        for client in 0..CLIENTS {
            assert_eq!(case.take(client, &joined), Ok(0));
        }
        for number in 0..2 {
            for sender in 0..SENDERS {
                assert_eq!(case.contract.free.front(), Some(&sender));
                // As `message_entry` has it, the time is the number.
                case.contract.post(&mut case.connection, sender, number);
            }
        }
        assert_eq!(case.contract.next_sender(&pool, SENDERS, 0), None);
        assert_eq!(case.contract.in_flight(), 4);
        case
    }

    /// How many messages the client receives.
    fn take(&mut self, client: usize, entries: &[Vec<u8>]) -> Result<u64, Fault> {
        let content = entries.concat();
        let mut bytes = Vec::new();
        write_prefix(&mut bytes, content.len());
        bytes.extend(content);
        let mut count = 0;
        self.contract.take(client, &bytes, |_, more| count += more)?;
        Ok(count)
    }

    /// The sender's call for this message is answered.
    fn answer(&mut self, sender: usize, number: u64, seq: u64, was_stored: bool) -> Result<(), Fault> {
        let id = self.contract.senders[sender].call.id(number, number);
        let mut response = vec![8];
        write_varint(&mut response, seq);
        write_bytes(&mut response, 2, &id);
        response.extend([24, was_stored.into()]);
        self.contract.take(CLIENTS + sender, &response, |_, _| ())
    }
}

/// Message `index` of a log in which the senders take turns.
fn message(index: u64) -> Vec<u8> {
    message_entry(ROOM_ID, HEAD + 1 + index, (index % 2) as u32, index / 2)
}

#[test]
fn responses_may_precede_deliveries_or_follow_them() {
    let mut case = Case::new();
    assert_eq!(case.answer(1, 0, HEAD + 2, false), Ok(()));
    assert_eq!(case.contract.free, [1]);
    assert_eq!(case.take(0, &[message(0), message(1), message(2)]), Ok(3));
    assert_eq!(case.answer(0, 0, HEAD + 1, false), Ok(()));
    assert_eq!(case.answer(1, 1, HEAD + 4, false), Ok(()));
    assert_eq!(case.take(0, &[message(3)]), Ok(1));
    assert_eq!(case.take(1, &[]), Ok(0), "the server shows that the stream is alive");
    assert_eq!(case.take(1, &[message(0), message(1), message(2), message(3)]), Ok(4));
    assert_eq!(case.contract.in_flight(), 1);
    assert_eq!(case.contract.finish(), Err(Fault::Missing("the responses to 1 calls".to_owned())));
    assert_eq!(case.answer(0, 1, HEAD + 3, false), Ok(()));
    assert_eq!((case.contract.in_flight(), case.contract.finish()), (0, Ok(())));
    assert_eq!(case.contract.free, [1, 0, 1, 0]);
}

#[test]
fn wrong_responses_are_caught() {
    let fault = |answer: fn(&mut Case) -> Result<(), Fault>| answer(&mut Case::new()).unwrap_err();
    assert!(matches!(fault(|case| case.answer(0, 1, HEAD + 1, false)), Fault::Unfit { sender: 0, .. }));
    assert!(matches!(fault(|case| case.answer(1, 0, HEAD + 1, true)), Fault::Unfit { sender: 1, .. }));
    let malformed = fault(|case| case.contract.take(CLIENTS, b"\x08", |_, _| ()));
    assert!(matches!(malformed, Fault::Unfit { sender: 0, .. }));
    let other_seq = fault(|case| {
        case.take(0, &[message(0)])?;
        case.answer(0, 0, HEAD + 2, false)
    });
    assert_eq!(other_seq, Fault::Answer { sender: 0, told: HEAD + 2, seq: HEAD + 1 });
    let surplus = fault(|case| {
        case.answer(0, 0, HEAD + 1, false)?;
        case.answer(0, 1, HEAD + 3, false)?;
        case.answer(0, 2, HEAD + 5, false)
    });
    assert!(matches!(surplus, Fault::Unfit { sender: 0, .. }));
}

#[test]
fn wrong_deliveries_are_caught() {
    let fault = |entry: Vec<u8>| Case::new().take(1, &[message(0), entry]).unwrap_err();
    assert!(matches!(fault(message(0)), Fault::Hole { receiver: 1, .. }));
    assert!(matches!(fault(message(2)), Fault::Hole { receiver: 1, .. }));
    let next = |sender, number| fault(message_entry(ROOM_ID, HEAD + 2, sender, number));
    assert!(matches!(next(0, 0), Fault::Duplicate { receiver: 1, .. }));
    assert!(matches!(next(1, 1), Fault::OutOfOrder { receiver: 1, .. }));
    assert!(matches!(next(1, 2), Fault::NeverSent { receiver: 1, .. }));
    assert!(matches!(next(SENDERS as u32, 0), Fault::NeverSent { receiver: 1, .. }));
    let mut case = Case::new();
    assert_eq!(case.take(0, &[message(0)]), Ok(1));
    let text = case.contract.finish().unwrap_err().to_string();
    assert!(text.contains("client 1 waits for seq 6") && text.contains("of sender 1 reached nobody"), "{text}");
}
