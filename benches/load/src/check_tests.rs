//! Valid deliveries that the checker must accept, and faults that it must catch.

use super::*;
use crate::message::Template;

const BODY_BYTES: usize = 40;

/// A message as a server delivers it. Its time is its number.
fn message(sender: u32, seq: u64) -> Vec<u8> {
    encode(sender, Purpose::Load, seq)
}

fn encode(sender: u32, purpose: Purpose, seq: u64) -> Vec<u8> {
    Template::new(sender, BODY_BYTES).fill(purpose, seq, seq).to_vec()
}

/// A room in which clients 0 and 1 have each sent three messages.
fn room(clients: usize) -> Checker {
    let mut checker = Checker::new(clients, BODY_BYTES);
    for seq in 0..3 {
        for sender in 0..2 {
            assert_eq!(checker.send(sender), seq);
        }
    }
    checker
}

fn id(sender: u32, seq: u64) -> MessageId {
    MessageId { sender, seq }
}

#[test]
fn one_order_for_all_passes() {
    let mut checker = room(4);
    // The order is fixed by client 2; the others follow at their own pace.
    let order = [(0, 0), (1, 0), (1, 1), (0, 1), (0, 2), (1, 2)];
    for receiver in [2, 0, 3, 1] {
        for (sender, seq) in order.into_iter().filter(|(sender, _)| *sender as usize != receiver) {
            assert_eq!(checker.deliver(receiver, &message(sender, seq)), Ok(Some(seq)));
        }
    }
    assert_eq!((checker.in_flight(), checker.finish()), (0, Ok(())));
    assert!(checker.order.is_empty());
}

#[test]
fn a_sender_may_be_ahead_of_all_others() {
    let mut checker = room(3);
    // The order is (0, 0), (1, 0), (0, 1), (1, 1), but the senders do not see their own and are the first to receive.
    for seq in 0..2 {
        assert_eq!(checker.deliver(0, &message(1, seq)), Ok(Some(seq)));
        assert_eq!(checker.deliver(1, &message(0, seq)), Ok(Some(seq)));
    }
    assert_eq!(checker.in_flight(), 6);
    for seq in 0..2 {
        for sender in 0..2 {
            assert_eq!(checker.deliver(2, &message(sender, seq)), Ok(Some(seq)));
        }
    }
    assert_eq!(checker.in_flight(), 2);
    assert!(checker.order.is_empty());
}

#[test]
fn a_loss_is_caught_in_what_a_sender_holds() {
    let mut checker = room(3);
    checker.deliver(0, &message(1, 1)).unwrap();
    checker.deliver(2, &message(0, 0)).unwrap();
    let fault = Fault::OutOfOrder { receiver: 0, got: id(1, 1), due: id(1, 0) };
    assert_eq!(checker.deliver(2, &message(1, 0)), Err(fault));
}

#[test]
fn a_duplicate_is_caught_in_what_a_sender_holds() {
    let mut checker = Checker::new(3, BODY_BYTES);
    checker.send(0);
    checker.send(1);
    checker.deliver(0, &message(1, 0)).unwrap();
    checker.deliver(0, &message(1, 0)).unwrap();
    checker.deliver(1, &message(0, 0)).unwrap();
    checker.deliver(2, &message(1, 0)).unwrap();
    checker.deliver(2, &message(0, 0)).unwrap();
    assert_eq!(checker.in_flight(), 0);
    assert_eq!(checker.finish(), Err(Fault::Duplicate { receiver: 0, got: id(1, 0) }));
}

#[test]
fn an_own_message_does_not_block_later_ones() {
    let mut checker = room(3);
    for (sender, seq) in [(0, 0), (0, 1), (1, 0)] {
        assert_eq!(checker.deliver(2, &message(sender, seq)), Ok(Some(seq)));
    }
    for seq in 0..2 {
        assert_eq!(checker.deliver(1, &message(0, seq)), Ok(Some(seq)));
    }
    // Both messages of client 0 are removed from the order now; its cursor never moved.
    assert_eq!(checker.deliver(0, &message(1, 0)), Ok(Some(0)));
    assert_eq!(checker.in_flight(), 3);
}

#[test]
fn a_loss_is_caught_by_the_first_receiver() {
    let mut checker = room(3);
    checker.deliver(2, &message(0, 0)).unwrap();
    let fault = Fault::OutOfOrder { receiver: 2, got: id(0, 2), due: id(0, 1) };
    assert_eq!(checker.deliver(2, &message(0, 2)), Err(fault));
}

#[test]
fn a_loss_is_caught_by_a_later_receiver() {
    let mut checker = room(4);
    for seq in 0..3 {
        checker.deliver(2, &message(0, seq)).unwrap();
    }
    checker.deliver(3, &message(0, 0)).unwrap();
    let fault = Fault::OutOfOrder { receiver: 3, got: id(0, 2), due: id(0, 1) };
    assert_eq!(checker.deliver(3, &message(0, 2)), Err(fault));
}

#[test]
fn a_loss_at_the_end_is_named() {
    let mut checker = Checker::new(3, BODY_BYTES);
    checker.send(0);
    checker.send(0);
    checker.deliver(1, &message(0, 0)).unwrap();
    let text = checker.finish().unwrap_err().to_string();
    assert!(text.contains("2 messages were not delivered to all receivers"), "{text}");
    assert!(text.contains("messages 1 to 1 of sender 0 reached nobody"), "{text}");
    assert!(text.contains("client 2 waits for message 0 of sender 0"), "{text}");
}

#[test]
fn duplicates_are_caught() {
    let mut checker = room(4);
    checker.deliver(2, &message(0, 0)).unwrap();
    let twice = |receiver| Err(Fault::Duplicate { receiver, got: id(0, 0) });
    assert_eq!(checker.deliver(2, &message(0, 0)), twice(2), "at the end of the order");
    checker.deliver(2, &message(1, 0)).unwrap();
    checker.deliver(3, &message(0, 0)).unwrap();
    assert_eq!(checker.deliver(3, &message(0, 0)), twice(3), "within the order");
    checker.deliver(1, &message(0, 0)).unwrap();
    assert_eq!(checker.deliver(3, &message(0, 0)), twice(3), "after the message has gone");
}

#[test]
fn two_orders_are_caught() {
    let mut checker = room(4);
    checker.deliver(2, &message(0, 0)).unwrap();
    checker.deliver(2, &message(1, 0)).unwrap();
    let fault = Fault::OutOfOrder { receiver: 3, got: id(1, 0), due: id(0, 0) };
    assert_eq!(checker.deliver(3, &message(1, 0)), Err(fault));
}

#[test]
fn an_echo_is_caught() {
    let mut checker = room(3);
    assert_eq!(checker.deliver(0, &message(0, 0)), Err(Fault::Own { receiver: 0, seq: 0 }));
    checker.deliver(2, &message(1, 0)).unwrap();
    assert_eq!(checker.deliver(0, &message(0, 0)), Err(Fault::Own { receiver: 0, seq: 0 }));
}

#[test]
fn unsent_messages_are_caught() {
    let mut checker = room(3);
    let fault = |got| Err(Fault::NeverSent { receiver: 2, got });
    assert_eq!(checker.deliver(2, &message(0, 3)), fault(id(0, 3)));
    assert_eq!(checker.deliver(2, &message(60_000, 0)), fault(id(60_000, 0)));
}

#[test]
fn damage_is_caught() {
    let mut checker = room(4);
    checker.deliver(2, &message(0, 0)).unwrap();
    let intact = message(0, 0);
    for at in 0..intact.len() {
        let mut bytes = intact.clone();
        bytes[at] ^= 0x55;
        assert!(checker.deliver(3, &bytes).is_err(), "byte {at}");
    }
    assert!(checker.deliver(3, &intact[..intact.len() - 1]).is_err());
    // Another time, which only the order knows to be wrong.
    let mut bytes = intact.clone();
    let at = bytes.len() - 9;
    bytes[at] = b'7';
    assert!(matches!(checker.deliver(3, &bytes), Err(Fault::Damaged { receiver: 3, .. })));
    assert_eq!(checker.deliver(3, &intact), Ok(Some(0)));
}

#[test]
fn another_encoding_of_the_same_message_passes() {
    let mut checker = room(4);
    checker.deliver(2, &message(0, 0)).unwrap();
    let intact = message(0, 0);
    // The body before the name.
    let (name, body) = intact.split_at(2 + b"load-0".len());
    assert_eq!(checker.deliver(3, &[body, name].concat()), Ok(Some(0)));
}

#[test]
fn probes_pass_at_any_position() {
    let mut checker = room(3);
    assert_eq!(checker.deliver(2, &encode(1, Purpose::Probe, 9)), Ok(None));
    checker.deliver(2, &message(0, 0)).unwrap();
    assert_eq!(checker.deliver(1, &encode(0, Purpose::Probe, 9)), Ok(None));
    assert_eq!(checker.deliver(1, &message(0, 0)), Ok(Some(0)));
}
