//! The lines that a server has not acknowledged yet. Pure logic: no connection, no thread.
//!
//! A line stays here until its message comes back, or the server says that it has it; only then is it stored for sure.
//! When a connection is lost, the client first reads what it missed, which acknowledges what was stored. Then all that is
//! still here is posted again, with the same ids and in the same order, and the server knows by the ids what it has already.
//!
//! Order: the lines of one room are stored in the order in which they were handed over. There is one exception, which no
//! client can avoid that sends more than one line at a time: where a server asks to wait with a line that it could not
//! store, it may have taken later ones already, and those then stand before it. Nothing more of that room is sent until
//! the time is over; then it goes on from that line, in order, and what was taken already is not stored again.

use std::collections::VecDeque;
use std::time::Instant;

use super::wire::{post_bytes, push_post};
use crate::names::{Body, Kind, MessageId, RoomName};

/// A line to post.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub id: MessageId,
    pub body: Body,
    pub kind: Kind,
}

/// How many lines of a session wait for their acknowledgement, and how many were acknowledged or given up so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub waiting: u64,
    pub settled: u64,
}

/// What a request may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestLimits {
    pub commands_max: usize,
    pub bytes_max: usize,
}

/// What a rejection led to.
#[derive(Debug, PartialEq, Eq)]
pub enum Rejection {
    /// The line is given up.
    Dropped(Line),
    /// The line is held back until its time, and all that follow it in its room.
    Held,
    /// It is not here, or was held back already.
    Known,
}

/// The lines of a session, in all rooms, bounded in number and in bytes.
#[derive(Debug)]
pub struct Outbox {
    rooms: Vec<Queue>,
    lines: usize,
    bytes: usize,
    lines_max: usize,
    bytes_max: usize,
    /// How many lines were acknowledged or given up so far.
    settled: u64,
    /// Whose turn it is, so that no room starves another.
    turn: usize,
}

#[derive(Debug)]
struct Queue {
    room: RoomName,
    lines: VecDeque<Line>,
    /// How many of them, from the front, were sent on this connection. Invariant: at most as many as there are.
    sent: usize,
    /// Whether lines may go on this connection.
    open: bool,
    /// Whether lines were sent on an earlier connection and may be stored: the history that was missed tells.
    unsure: bool,
    held_until: Option<Instant>,
}

impl Outbox {
    pub fn new(rooms: impl IntoIterator<Item = RoomName>, lines_max: usize, bytes_max: usize) -> Self {
        let queue =
            |room| Queue { room, lines: VecDeque::new(), sent: 0, open: false, unsure: false, held_until: None };
        let rooms = rooms.into_iter().map(queue).collect();
        Self { rooms, lines: 0, bytes: 0, lines_max, bytes_max, settled: 0, turn: 0 }
    }

    /// Takes in lines of another room, at an index that is not in use.
    pub fn add(&mut self, index: usize, room: RoomName) {
        let queue = Queue { room, lines: VecDeque::new(), sent: 0, open: false, unsure: false, held_until: None };
        match self.rooms.get_mut(index) {
            Some(unused) => *unused = queue,
            None => self.rooms.push(queue),
        }
    }

    /// Gives up the lines of a room, whose index is not used any more.
    pub fn remove(&mut self, room: usize) -> Vec<Line> {
        let lines = std::mem::take(&mut self.rooms[room].lines);
        self.lines -= lines.len();
        self.bytes -= lines.iter().map(|line| line.body.as_str().len()).sum::<usize>();
        self.settled += lines.len() as u64;
        (self.rooms[room].sent, self.rooms[room].open) = (0, false);
        lines.into()
    }

    /// Whether no line of the room waits for its acknowledgement.
    pub fn is_idle(&self, room: usize) -> bool {
        self.rooms[room].lines.is_empty()
    }

    /// How many lines of the room wait for their acknowledgement.
    pub fn waiting(&self, room: usize) -> usize {
        self.rooms[room].lines.len()
    }

    /// The room is being left: its lines wait until it is joined again.
    pub fn close(&mut self, room: usize) {
        self.rooms[room].open = false;
    }

    pub fn len(&self) -> usize {
        self.lines
    }

    pub fn tally(&self) -> Tally {
        Tally { waiting: self.lines as u64, settled: self.settled }
    }

    /// The lines, with their rooms.
    pub fn pending(&self) -> Vec<(RoomName, Line)> {
        let lines =
            self.rooms.iter().flat_map(|queue| queue.lines.iter().map(|line| (queue.room.clone(), line.clone())));
        lines.collect()
    }

    /// What the lines say, in the order of their rooms.
    pub fn bodies(&self) -> Vec<String> {
        let lines = self.rooms.iter().flat_map(|queue| &queue.lines);
        lines.map(|line| line.body.as_str().to_owned()).collect()
    }

    pub fn is_empty(&self) -> bool {
        self.lines == 0
    }

    /// Whether a line of so many bytes may be pushed. One always may into an empty outbox.
    pub fn has_room_for(&self, bytes: usize) -> bool {
        self.is_empty() || (self.lines < self.lines_max && self.bytes + bytes <= self.bytes_max)
    }

    /// Takes a line in. The caller made sure that there is room for it.
    pub fn push(&mut self, room: usize, line: Line) {
        assert!(self.has_room_for(line.body.as_str().len()), "a line was pushed into a full outbox");
        self.lines += 1;
        self.bytes += line.body.as_str().len();
        self.rooms[room].lines.push_back(line);
    }

    /// The room is joined on this connection: its lines may go, unless some may be stored already.
    pub fn open(&mut self, room: usize) {
        let queue = &mut self.rooms[room];
        queue.open = !queue.unsure;
    }

    /// What was missed of the room has come: what was sent before and did not come with it may go again.
    pub fn caught_up(&mut self, room: usize) {
        let queue = &mut self.rooms[room];
        (queue.open, queue.unsure) = (true, false);
    }

    /// The connection is lost: everything is to be sent again, once its room is joined again and has caught up.
    pub fn rewind(&mut self) {
        for queue in &mut self.rooms {
            queue.open = false;
            queue.unsure |= queue.sent > 0 || queue.held_until.is_some();
            queue.sent = 0;
        }
    }

    /// Appends to the request what may be sent now and fits into it, and notes it as sent. Returns how many lines.
    pub fn fill(&mut self, request: &mut Vec<u8>, limits: RequestLimits, now: Instant) -> usize {
        let mut filled = 0;
        for _ in 0..self.rooms.len() {
            let queue = &mut self.rooms[self.turn];
            if queue.held_until.is_some_and(|until| until <= now) {
                queue.held_until = None;
            }
            while queue.may_go() {
                let line = &queue.lines[queue.sent];
                let bytes = request.len() + post_bytes(&queue.room, &line.body);
                // A server that reads less than one line is asked all the same, and answers with its rule.
                if filled > 0 && (filled == limits.commands_max || bytes > limits.bytes_max) {
                    return filled;
                }
                push_post(request, &queue.room, &line.id, &line.body, line.kind);
                queue.sent += 1;
                filled += 1;
            }
            self.turn = (self.turn + 1) % self.rooms.len();
        }
        filled
    }

    /// When the next line that is held back may go, if one waits for nothing else.
    pub fn next_hold(&self) -> Option<Instant> {
        let held = self.rooms.iter().filter(|queue| queue.open && queue.sent < queue.lines.len());
        held.filter_map(|queue| queue.held_until).min()
    }

    /// The server has the line. False says that it was not here, or not any more.
    pub fn acknowledge(&mut self, room: usize, id: &MessageId) -> bool {
        self.rooms[room].find(id).is_some_and(|at| self.take(room, at).is_some())
    }

    /// The server did not take a line: for good, or until a time.
    pub fn reject(&mut self, id: &MessageId, retry_at: Option<Instant>) -> Rejection {
        let found = self.rooms.iter().enumerate().find_map(|(room, queue)| Some((room, queue.find(id)?)));
        let Some((room, at)) = found else { return Rejection::Known };
        let Some(retry_at) = retry_at else {
            return self.take(room, at).map_or(Rejection::Known, Rejection::Dropped);
        };
        let queue = &mut self.rooms[room];
        let told = queue.held_until.is_some();
        queue.held_until = queue.held_until.max(Some(retry_at));
        queue.sent = queue.sent.min(at);
        if told { Rejection::Known } else { Rejection::Held }
    }

    fn take(&mut self, room: usize, at: usize) -> Option<Line> {
        let queue = &mut self.rooms[room];
        let line = queue.lines.remove(at)?;
        queue.sent -= usize::from(at < queue.sent);
        self.lines -= 1;
        self.bytes -= line.body.as_str().len();
        self.settled += 1;
        Some(line)
    }
}

impl Queue {
    fn may_go(&self) -> bool {
        self.open && self.held_until.is_none() && self.sent < self.lines.len()
    }

    /// Nearly always the first.
    fn find(&self, id: &MessageId) -> Option<usize> {
        self.lines.iter().position(|line| line.id == *id)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use protobuf::Message as _;

    use super::*;
    use crate::wire::v1;

    const LIMITS: RequestLimits = RequestLimits { commands_max: 1024, bytes_max: 64 * 1024 };

    fn outbox(rooms: usize) -> Outbox {
        let names = (0..rooms).map(|n| RoomName::new(&format!("room{n}")).unwrap());
        let mut outbox = Outbox::new(names, 100, 1000);
        (0..rooms).for_each(|room| outbox.open(room));
        outbox
    }

    fn id(n: u8) -> MessageId {
        MessageId::from_bytes([n; 16])
    }

    fn line(n: u8) -> Line {
        Line { id: id(n), body: Body::new(n.to_string()).unwrap(), kind: Kind::Text }
    }

    /// What goes up now: the bodies.
    fn sent(outbox: &mut Outbox, limits: RequestLimits, now: Instant) -> Vec<String> {
        let mut request = Vec::new();
        let count = outbox.fill(&mut request, limits, now);
        assert!(request.len() <= limits.bytes_max);
        let request = v1::ChatRequest::parse_from_bytes(&request).unwrap();
        assert_eq!(request.commands.len(), count);
        request.commands.iter().map(|command| command.post().body.clone()).collect()
    }

    #[test]
    fn lines_go_up_once_and_stay_until_they_are_acknowledged() {
        let (mut outbox, now) = (outbox(1), Instant::now());
        (1..=4).for_each(|n| outbox.push(0, line(n)));
        assert_eq!(sent(&mut outbox, LIMITS, now), ["1", "2", "3", "4"]);
        assert!(sent(&mut outbox, LIMITS, now).is_empty());
        assert!(outbox.acknowledge(0, &id(1)) && outbox.acknowledge(0, &id(3)));
        assert!(!outbox.acknowledge(0, &id(3)) && !outbox.acknowledge(0, &id(9)));
        assert_eq!(outbox.tally(), Tally { waiting: 2, settled: 2 });
        outbox.push(0, line(5));
        assert_eq!(sent(&mut outbox, LIMITS, now), ["5"]);
        outbox.rewind();
        assert!(sent(&mut outbox, LIMITS, now).is_empty(), "the room is not joined yet");
        // One that comes back before it is sent again need not be.
        assert!(outbox.acknowledge(0, &id(2)));
        outbox.open(0);
        assert!(sent(&mut outbox, LIMITS, now).is_empty(), "they may be among what was missed");
        outbox.caught_up(0);
        assert_eq!(sent(&mut outbox, LIMITS, now), ["4", "5"]);
        assert!(outbox.acknowledge(0, &id(4)) && outbox.acknowledge(0, &id(5)));
        assert!(outbox.is_empty() && outbox.bytes == 0);
    }

    #[test]
    fn requests_and_the_outbox_are_bounded() {
        let (mut outbox, now) = (outbox(2), Instant::now());
        for n in 0..100 {
            assert!(outbox.has_room_for(1));
            outbox.push(usize::from(n % 2), line(n));
        }
        assert!(!outbox.has_room_for(1));
        let limits = RequestLimits { commands_max: 3, ..LIMITS };
        assert_eq!(sent(&mut outbox, limits, now), ["0", "2", "4"]);
        let limits = RequestLimits { bytes_max: 100, ..LIMITS };
        let few = sent(&mut outbox, limits, now);
        assert!(!few.is_empty() && few.len() < 4, "{few:?}");
        let mut small = Outbox::new([RoomName::lobby()], 100, 10);
        let large = Line { body: Body::new("x".repeat(20)).unwrap(), ..line(1) };
        assert!(small.has_room_for(20));
        small.push(0, large);
        assert!(!small.has_room_for(1));
    }

    #[test]
    fn a_room_that_is_not_joined_holds_no_other_up() {
        let (mut outbox, now) = (outbox(2), Instant::now());
        outbox.rewind();
        outbox.open(1);
        outbox.push(0, line(1));
        outbox.push(1, line(2));
        assert_eq!(sent(&mut outbox, LIMITS, now), ["2"]);
        outbox.open(0);
        assert_eq!(sent(&mut outbox, LIMITS, now), ["1"]);
    }

    #[test]
    fn a_line_that_is_rejected_for_good_costs_only_itself() {
        let (mut outbox, now) = (outbox(1), Instant::now());
        (1..=3).for_each(|n| outbox.push(0, line(n)));
        sent(&mut outbox, LIMITS, now);
        assert_eq!(outbox.reject(&id(2), None), Rejection::Dropped(line(2)));
        assert_eq!(outbox.reject(&id(2), None), Rejection::Known);
        outbox.rewind();
        outbox.open(0);
        outbox.caught_up(0);
        assert_eq!(sent(&mut outbox, LIMITS, now), ["1", "3"]);
    }

    #[test]
    fn a_line_that_must_wait_holds_back_its_room_and_goes_first() {
        let (mut outbox, now) = (outbox(2), Instant::now());
        let later = now + Duration::from_secs(1);
        (1..=3).for_each(|n| outbox.push(0, line(n)));
        sent(&mut outbox, LIMITS, now);
        assert_eq!(outbox.next_hold(), None);
        assert_eq!(outbox.reject(&id(2), Some(later)), Rejection::Held);
        assert_eq!(outbox.reject(&id(3), Some(later)), Rejection::Known);
        outbox.push(0, line(4));
        outbox.push(1, line(5));
        assert_eq!(sent(&mut outbox, LIMITS, now), ["5"]);
        assert_eq!(outbox.next_hold(), Some(later));
        // The first was taken meanwhile, as was the third.
        assert!(outbox.acknowledge(0, &id(1)) && outbox.acknowledge(0, &id(3)));
        assert_eq!(sent(&mut outbox, LIMITS, later), ["2", "4"]);
        assert_eq!(outbox.next_hold(), None);
    }
}
