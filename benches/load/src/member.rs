//! The progress of a client's join over `hubbub.v1`, and a client that checks messages independently of others.

use crate::chat::{Event, What, take_entry};
use crate::check::{Fault, MessageId, shown, unexpected};
use crate::grpc::Deframer;
use crate::message::Mark;

/// The server's answers to a client's join.
#[derive(Default)]
pub struct Member {
    stage: Stage,
    /// The room's number; 0 before it is joined.
    pub room_id: u64,
    /// The room's newest message when it was joined.
    pub head_seq: u64,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd)]
enum Stage {
    #[default]
    Arrived,
    Welcomed,
    Joined,
    CaughtUp,
}

/// A client that reads from its place in the log, independently of others, and checks each message: it must be one of
/// ours, intact, and have the next seq.
pub struct Reader {
    pub member: Member,
    messages: Deframer,
    from_start: bool,
    /// The seq of its next message, once it has joined.
    pub next_seq: u64,
    start_unix_ms: u64,
    body_bytes: usize,
}

impl Member {
    pub fn caught_up(&self) -> bool {
        self.stage == Stage::CaughtUp
    }

    /// Processes an event that is not a message.
    pub fn heed(&mut self, receiver: usize, event: &Event<'_>) -> Result<(), Fault> {
        let (due, next) = match event.what {
            What::Welcome => (Stage::Arrived, Stage::Welcomed),
            // A room that had no message when it was joined gets another number with its first.
            What::Joined { head_seq: 0, .. } if self.caught_up() && self.head_seq == 0 => {
                self.room_id = event.room_id;
                return Ok(());
            }
            What::Joined { head_seq, .. } => {
                (self.room_id, self.head_seq) = (event.room_id, head_seq);
                (Stage::Welcomed, Stage::Joined)
            }
            What::CaughtUp => (Stage::Joined, Stage::CaughtUp),
            What::Presence | What::Unknown => return Ok(()),
            What::Unwelcome { name, content } => {
                return Err(Fault::Unwelcome { receiver, text: format!("{name} {}", shown(content)) });
            }
            What::Message(message) => return Err(unexpected(receiver, message.body)),
        };
        if self.stage != due {
            return Err(Fault::Unwelcome { receiver, text: format!("{:?} out of turn", event.what) });
        }
        self.stage = next;
        Ok(())
    }
}

impl Reader {
    pub fn new(from_start: bool, start_unix_ms: u64, body_bytes: usize) -> Reader {
        Reader {
            member: Member::default(),
            messages: Deframer::default(),
            from_start,
            next_seq: 0,
            start_unix_ms,
            body_bytes,
        }
    }

    /// Checks received bytes, and calls `on_message` with each message's mark.
    pub fn take(
        &mut self,
        receiver: usize,
        mut bytes: &[u8],
        mut on_message: impl FnMut(Mark) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        while let Some(mut response) = self.messages.next(&mut bytes)? {
            while !response.is_empty() {
                let (entry, event) = take_entry(&mut response).ok_or_else(|| unexpected(receiver, response))?;
                let What::Message(message) = event.what else {
                    self.member.heed(receiver, &event)?;
                    if let What::Joined { head_seq, .. } = event.what {
                        self.next_seq = if self.from_start { 1 } else { head_seq + 1 };
                    }
                    continue;
                };
                if self.next_seq == 0 || event.room_id != self.member.room_id {
                    return Err(unexpected(receiver, entry));
                }
                if event.seq != self.next_seq {
                    return Err(Fault::Hole { receiver, got: event.seq, due: self.next_seq });
                }
                self.next_seq += 1;
                let mark = message.mark(self.start_unix_ms, self.body_bytes);
                on_message(mark.ok_or_else(|| unexpected(receiver, entry))?)?;
            }
        }
        Ok(())
    }
}

pub fn id(mark: Mark) -> MessageId {
    MessageId { sender: mark.sender, seq: mark.seq }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::tests::{BODY_BYTES, START_UNIX_MS, entry, message_entry};
    use crate::grpc::write_prefix;

    fn framed(entries: &[Vec<u8>]) -> Vec<u8> {
        let response = entries.concat();
        let mut bytes = Vec::new();
        write_prefix(&mut bytes, response.len());
        bytes.extend(response);
        bytes
    }

    fn joined(head_seq: u8) -> Vec<Vec<u8>> {
        vec![entry(0, 0, 1, 5, b""), entry(3, 0, 1, 6, &[0x18, head_seq])]
    }

    fn read(from_start: bool, entries: &[Vec<u8>]) -> Result<(Vec<u64>, bool), Fault> {
        let mut reader = Reader::new(from_start, START_UNIX_MS, BODY_BYTES);
        let mut numbers = Vec::new();
        for byte in framed(entries) {
            reader.take(0, &[byte], |mark| {
                numbers.push(mark.seq);
                Ok(())
            })?;
        }
        Ok((numbers, reader.member.caught_up()))
    }

    #[test]
    fn history_precedes_new_messages() {
        let mut entries = joined(2);
        entries.extend([message_entry(3, 1, 0, 7), message_entry(3, 2, 0, 8), entry(3, 0, 1, 7, b"\x08\x02")]);
        entries.push(message_entry(3, 3, 1, 0));
        assert_eq!(read(true, &entries), Ok((vec![7, 8, 0], true)));
        assert_eq!(read(false, &entries), Err(Fault::Hole { receiver: 0, got: 1, due: 3 }));
    }

    #[test]
    fn holes_repeats_and_other_rooms_are_caught() {
        let read_after = |seq, room| {
            let mut entries = joined(0);
            entries.extend([message_entry(3, 1, 0, 0), message_entry(room, seq, 0, 1)]);
            read(true, &entries)
        };
        assert_eq!(read_after(2, 3), Ok((vec![0, 1], false)));
        assert_eq!(read_after(1, 3), Err(Fault::Hole { receiver: 0, got: 1, due: 2 }));
        assert_eq!(read_after(3, 3), Err(Fault::Hole { receiver: 0, got: 3, due: 2 }));
        assert!(read_after(2, 4).is_err());
    }

    /// The number comes with a second `Joined`.
    #[test]
    fn a_room_may_get_another_number_before_its_first_message() {
        let caught_up = entry(3, 0, 1, 7, b"");
        let numbered = |from: u8| {
            let mut entries = joined(from);
            entries.extend([caught_up.clone(), entry(9, 0, 1, 6, &[0x18, 0]), message_entry(9, 1, 0, 0)]);
            read(true, &entries)
        };
        assert_eq!(numbered(0), Ok((vec![0], true)));
        assert!(numbered(2).is_err());
    }

    #[test]
    fn unexpected_events_are_caught() {
        assert!(read(true, &[message_entry(3, 1, 0, 0)]).is_err());
        assert!(read(true, &joined(0)[1..]).is_err());
        assert!(read(true, &[joined(0), vec![entry(3, 0, 1, 8, b"")]].concat()).is_err());
    }
}
