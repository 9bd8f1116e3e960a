//! The state of a naive server: a list of the messages of each room.

use std::collections::HashMap;

use hubbub::wire::v1::event::Event as Kind;
use hubbub::wire::v1::gap::Reason;
use hubbub::wire::v1::{self, join};

use crate::support::talker::Talker;

/// The messages of a room, and which of them are kept.
#[derive(Clone, Default)]
pub struct Room {
    /// The sender and the body of each message, the first with seq 1.
    pub said: Vec<(String, String)>,
    /// The seq for each sender and id, whether the message is kept or not: no run takes a day.
    pub ids: HashMap<(String, u128), u64>,
    /// 0 until a client has learned it.
    pub epoch: u64,
    /// The minimum number of newest messages that are kept; `None` keeps all.
    pub kept: Option<u64>,
}

/// The position of a client in a room, and the room's messages until then.
#[derive(Clone)]
pub struct Place {
    pub room: &'static str,
    pub seq: u64,
    pub epoch: u64,
    pub said: Vec<(String, String)>,
}

/// A client's view of a room that it has joined.
pub struct View {
    pub room: &'static str,
    pub next: u64,
    /// The end of the requested history, until it was reported.
    pub history_to: Option<u64>,
}

/// A client, and the answers that it still expects.
pub struct Client {
    pub name: String,
    pub talker: Talker,
    pub views: Vec<View>,
    /// How many of its posts had been stored before, and are not acknowledged yet.
    pub posted_due: usize,
}

impl Room {
    pub fn head(&self) -> u64 {
        self.said.len() as u64
    }

    /// Whether retention may have deleted this message.
    fn may_be_trimmed(&self, seq: u64) -> bool {
        self.kept.is_some_and(|kept| seq + kept <= self.head())
    }

    /// Appends a message and returns its seq; or, as an error, the seq of the earlier message with this id.
    pub fn say(&mut self, sender: &str, id: u128, body: &str) -> Result<u64, u64> {
        let next = self.head() + 1;
        match *self.ids.entry((sender.to_owned(), id)).or_insert(next) {
            seq if seq == next => {
                self.said.push((sender.to_owned(), body.to_owned()));
                Ok(seq)
            }
            seq => Err(seq),
        }
    }

    /// The body of the earlier message with this id, if there is one.
    pub fn body(&self, sender: &str, id: u128) -> Option<String> {
        let seq = self.ids.get(&(sender.to_owned(), id))?;
        Some(self.said[*seq as usize - 1].1.clone())
    }

    /// Checks that a received message is the one with its seq.
    pub fn check(&self, seq: u64, message: &v1::Message) {
        let (sender, body) = &self.said[seq as usize - 1];
        assert_eq!((&message.sender, &message.body), (sender, body), "message {seq}");
    }

    pub fn check_oldest(&self, oldest: u64) {
        assert!(oldest >= 1 && (oldest == 1 || self.may_be_trimmed(oldest - 1)), "{oldest} of {} is kept", self.head());
    }

    /// The position of a client that reads this message next.
    pub fn place_before(&self, room: &'static str, next: u64) -> Place {
        let said = self.said[..next as usize - 1].to_vec();
        Place { room, seq: next - 1, epoch: self.epoch, said }
    }

    /// The first message seen by a client that has been replaced since.
    fn first_replaced(&self, place: &Place) -> u64 {
        let same = self.said.iter().zip(&place.said).take_while(|(now, then)| now == then);
        same.count() as u64 + 1
    }
}

impl Client {
    /// Joins, and reads the events before the first message. Returns whether one of them was a gap.
    pub fn joined(&mut self, rooms: &mut HashMap<&'static str, Room>, joins: Joins) -> bool {
        let known = rooms.entry(joins.room).or_default();
        let joined = loop {
            let event = self.talker.next();
            match event.event {
                Some(Kind::Joined(joined)) => break joined,
                Some(Kind::Presence(_)) => {}
                other => panic!("{} expected to join {}: {other:?}", self.name, joins.room),
            }
        };
        let head = known.head();
        assert_eq!(joined.head_seq, head, "the head of {}", joins.room);
        known.check_oldest(joined.oldest_seq);
        assert!(joined.epoch != 0 && (known.epoch == 0 || joined.epoch == known.epoch), "{joined:?}");
        // A room without messages may have another epoch after all its members have left.
        known.epoch = if head == 0 { 0 } else { joined.epoch };
        let (next, replaced) = match (joins.from, &joins.place) {
            (None, _) => (head + 1, None),
            (Some(join::From::Last(count)), _) => {
                ((head + 1).saturating_sub(count.into()).max(joined.oldest_seq), None)
            }
            (Some(join::From::After(after)), _) if after.epoch == 0 => (after.seq.min(head) + 1, None),
            // A client that has seen nothing has lost nothing, in any epoch.
            (Some(join::From::After(after)), _) if after.seq == 0 => (1, None),
            (Some(join::From::After(after)), _) if after.epoch == joined.epoch && after.seq <= head => {
                (after.seq + 1, None)
            }
            // In this epoch, no message was beyond the head.
            (Some(join::From::After(after)), _) if after.epoch == joined.epoch => {
                (self.replaced(after.seq, head + 1), Some(()))
            }
            (Some(join::From::After(after)), Some(place)) => {
                (self.replaced(after.seq, known.first_replaced(place)), Some(()))
            }
            (Some(join::From::After(after)), None) => (self.replaced(after.seq, after.seq.saturating_add(1)), Some(())),
            (Some(other), _) => unreachable!("no step joins from {other:?}"),
        };
        self.views.push(View { room: joins.room, next, history_to: Some(head) });
        replaced.is_some()
    }

    /// Reads the report that the messages which the client has seen up to this one are replaced. It must begin with the
    /// first replaced message, or an earlier one. Returns the next seq.
    fn replaced(&mut self, seen: u64, first_replaced: u64) -> u64 {
        match self.talker.next().event {
            Some(Kind::Gap(gap)) => {
                assert_eq!(gap.reason.enum_value(), Ok(Reason::REASON_EPOCH_CHANGED));
                assert!(gap.to_seq == seen && gap.from_seq >= 1, "{gap:?}");
                assert!(gap.from_seq <= first_replaced, "{first_replaced} is another message now: {gap:?}");
                assert!(gap.from_seq <= seen.saturating_add(1), "{gap:?} skips what was not seen");
                gap.from_seq
            }
            other => panic!("a gap was expected: {other:?}"),
        }
    }

    /// Compares an event with the model. Returns the number of gaps: 0 or 1.
    pub fn take(&mut self, rooms: &HashMap<&'static str, Room>, event: v1::Event) -> usize {
        let seq = event.seq;
        let room = self.talker.room(event.room_id);
        let view = self.views.iter_mut().find(|view| Some(view.room) == room);
        let view = view.unwrap_or_else(|| panic!("{} got an event of a room that it is not in: {event:?}", self.name));
        let room = &rooms[view.room];
        match event.event {
            Some(Kind::Message(message)) => {
                assert_eq!(seq, view.next, "{} reads {}", self.name, view.room);
                room.check(seq, &message);
                view.next += 1;
            }
            Some(Kind::CaughtUp(caught_up)) => {
                assert_eq!(view.history_to.take(), Some(caught_up.head_seq));
                assert!(view.next > caught_up.head_seq);
            }
            Some(Kind::Gap(gap)) => {
                assert_eq!(gap.reason.enum_value(), Ok(Reason::REASON_RETENTION));
                assert!(gap.from_seq == view.next && gap.to_seq >= gap.from_seq, "{gap:?} from {}", view.next);
                assert!(room.may_be_trimmed(gap.to_seq), "{gap:?} of {}", room.head());
                view.next = gap.to_seq + 1;
                return 1;
            }
            Some(Kind::Posted(posted)) => {
                let id = u128::from_be_bytes(posted.message_id.try_into().expect("an id has 16 bytes")) & !(1 << 127);
                assert_eq!(room.ids.get(&(self.name.clone(), id)), Some(&posted.message_seq));
                self.posted_due -= 1;
            }
            Some(Kind::Presence(_)) => {}
            other => panic!("{} did not expect {other:?}", self.name),
        }
        0
    }
}

/// The join of a room: the requested position, and the messages that were seen before.
pub struct Joins {
    pub room: &'static str,
    pub from: Option<join::From>,
    pub place: Option<Place>,
}
