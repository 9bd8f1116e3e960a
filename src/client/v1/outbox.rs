//! The lines that a server has not acknowledged yet. Pure logic: no connection, no thread.
//!
//! A line stays here until its message comes back, or `Posted` does; only then it is certainly stored. After a lost
//! connection, the client first reads the messages that it missed, which acknowledges the stored lines. Then the
//! remaining lines are posted again, with the same ids and in the same order, and the server recognizes stored ones by
//! their ids.
//!
//! Order: the lines of one room are stored in the order in which they were passed in. There is one exception, which is
//! unavoidable if more than one line is in flight: if a server could not store a line at the moment, it may have stored
//! later ones already, and those then precede it. No more lines of that room are sent until the retry time is over;
//! then sending continues from that line, in order, and lines that were stored already are not stored again.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::line::Line;
use super::wire::{post_bytes, push_post};
use crate::names::{MessageId, RoomName};

/// How many lines of a session are unacknowledged, and how many were acknowledged or given up so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub waiting: u64,
    pub settled: u64,
}

/// The maximum size of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestLimits {
    pub commands_max: usize,
    pub bytes_max: usize,
}

/// The result of a rejection.
#[derive(Debug, PartialEq, Eq)]
pub enum Rejection {
    /// The line is given up.
    Dropped(Line),
    /// The line is held back until its retry time, with all later ones of its room.
    Held,
    /// It is not in the outbox, or was held back already.
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
    /// The room whose turn it is, so that no room starves another.
    turn: usize,
    /// The line whose round trip is measured: one at a time.
    sampled: Option<(MessageId, Instant)>,
    round_trip: Option<Duration>,
}

#[derive(Debug)]
struct Queue {
    room: RoomName,
    lines: VecDeque<Line>,
    /// How many of them, from the front, were sent on this connection. Invariant: at most as many as there are.
    sent: usize,
    /// Whether lines may be sent on this connection.
    open: bool,
    /// Whether lines were sent on an earlier connection and may be stored: the missed history shows which.
    unsure: bool,
    held_until: Option<Instant>,
}

impl Outbox {
    pub fn new(rooms: impl IntoIterator<Item = RoomName>, lines_max: usize, bytes_max: usize) -> Self {
        let rooms = rooms.into_iter().map(Queue::new).collect();
        Self { rooms, lines: 0, bytes: 0, lines_max, bytes_max, settled: 0, turn: 0, sampled: None, round_trip: None }
    }

    /// Adds a room, at an unused index.
    pub fn add(&mut self, index: usize, room: RoomName) {
        match self.rooms.get_mut(index) {
            Some(unused) => *unused = Queue::new(room),
            None => self.rooms.push(Queue::new(room)),
        }
    }

    /// Gives up the lines of a room, whose index is released.
    pub fn remove(&mut self, room: usize) -> Vec<Line> {
        let lines = std::mem::take(&mut self.rooms[room].lines);
        self.lines -= lines.len();
        self.bytes -= lines.iter().map(|line| line.body.as_str().len()).sum::<usize>();
        self.settled += lines.len() as u64;
        (self.rooms[room].sent, self.rooms[room].open) = (0, false);
        lines.into()
    }

    /// The number of unacknowledged lines of the room.
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
        let of = |queue: &Queue| queue.lines.iter().map(|line| (queue.room.clone(), line.clone())).collect::<Vec<_>>();
        self.rooms.iter().flat_map(of).collect()
    }

    pub fn is_empty(&self) -> bool {
        self.lines == 0
    }

    /// Whether a line of this many bytes may be pushed; into an empty outbox, any line may.
    pub fn has_room_for(&self, bytes: usize) -> bool {
        self.is_empty() || (self.lines < self.lines_max && self.bytes + bytes <= self.bytes_max)
    }

    /// Adds a line. The caller made sure that there is space for it.
    pub fn push(&mut self, room: usize, line: Line) {
        assert!(self.has_room_for(line.body.as_str().len()), "a line was pushed into a full outbox");
        self.lines += 1;
        self.bytes += line.body.as_str().len();
        self.rooms[room].lines.push_back(line);
    }

    /// The room is joined on this connection: its lines may be sent, unless some may be stored already.
    pub fn open(&mut self, room: usize) {
        let queue = &mut self.rooms[room];
        queue.open = !queue.unsure;
    }

    /// The missed messages of the room have arrived: lines that were sent before and are not among them may be sent
    /// again.
    pub fn caught_up(&mut self, room: usize) {
        let queue = &mut self.rooms[room];
        (queue.open, queue.unsure) = (true, false);
    }

    /// The connection is lost: all lines are sent again, once their room is joined again and has caught up.
    pub fn rewind(&mut self) {
        self.sampled = None;
        for queue in &mut self.rooms {
            queue.open = false;
            queue.unsure |= queue.sent > 0 || queue.held_until.is_some();
            queue.sent = 0;
        }
    }

    /// Appends the lines that may be sent now and fit to the request, and marks them as sent. Returns how many.
    pub fn fill(&mut self, request: &mut Vec<u8>, limits: RequestLimits, now: Instant) -> usize {
        let mut filled = 0;
        for _ in 0..self.rooms.len() {
            let queue = &mut self.rooms[self.turn];
            if queue.held_until.is_some_and(|until| until <= now) {
                queue.held_until = None;
            }
            while queue.may_go() {
                let line = &queue.lines[queue.sent];
                let bytes = request.len() + post_bytes(&queue.room, line);
                // If the server's limit is below one line, the line is sent anyway, and the server answers with the
                // rule.
                if filled > 0 && (filled == limits.commands_max || bytes > limits.bytes_max) {
                    return filled;
                }
                push_post(request, &queue.room, line);
                self.sampled.get_or_insert((line.id, now));
                queue.sent += 1;
                filled += 1;
            }
            self.turn = (self.turn + 1) % self.rooms.len();
        }
        filled
    }

    /// When the next held-back line may be sent, if it waits for nothing else.
    pub fn next_hold(&self) -> Option<Instant> {
        let held = self.rooms.iter().filter(|queue| queue.open && queue.sent < queue.lines.len());
        held.filter_map(|queue| queue.held_until).min()
    }

    /// The server has the line. False means that it is not, or no longer, in the outbox.
    pub fn acknowledge(&mut self, room: usize, id: &MessageId) -> bool {
        if let Some((_, sent_at)) = self.sampled.take_if(|(sampled, _)| *sampled == *id) {
            self.round_trip = Some(sent_at.elapsed());
        }
        self.rooms[room].find(id).is_some_and(|at| self.take(room, at).is_some())
    }

    /// The time from a post to its acknowledgement, as it was measured last.
    pub fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    /// The server rejected a line: permanently, or until a time.
    pub fn reject(&mut self, id: &MessageId, retry_at: Option<Instant>) -> Rejection {
        self.sampled.take_if(|(sampled, _)| *sampled == *id);
        let found = self.rooms.iter().enumerate().find_map(|(room, queue)| Some((room, queue.find(id)?)));
        let Some((room, at)) = found else { return Rejection::Known };
        let Some(retry_at) = retry_at else {
            return self.take(room, at).map_or(Rejection::Known, Rejection::Dropped);
        };
        let queue = &mut self.rooms[room];
        let was_held = queue.held_until.is_some();
        queue.held_until = queue.held_until.max(Some(retry_at));
        queue.sent = queue.sent.min(at);
        if was_held { Rejection::Known } else { Rejection::Held }
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
    fn new(room: RoomName) -> Self {
        Self { room, lines: VecDeque::new(), sent: 0, open: false, unsure: false, held_until: None }
    }

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
    use crate::names::{Body, Kind};
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
        Line::new(id(n), Body::new(n.to_string()).unwrap(), Kind::Text)
    }

    /// The bodies of the lines that are sent now.
    fn sent(outbox: &mut Outbox, limits: RequestLimits, now: Instant) -> Vec<String> {
        let mut request = Vec::new();
        let count = outbox.fill(&mut request, limits, now);
        assert!(request.len() <= limits.bytes_max);
        let request = v1::ChatRequest::parse_from_bytes(&request).unwrap();
        assert_eq!(request.commands.len(), count);
        request.commands.iter().map(|command| command.post().body.clone()).collect()
    }

    #[test]
    fn lines_are_sent_once_and_stay_until_they_are_acknowledged() {
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
        // A line that is acknowledged before it is sent again is not sent again.
        assert!(outbox.acknowledge(0, &id(2)));
        outbox.open(0);
        assert!(sent(&mut outbox, LIMITS, now).is_empty(), "they may be among the missed messages");
        outbox.caught_up(0);
        assert_eq!(sent(&mut outbox, LIMITS, now), ["4", "5"]);
        assert!(outbox.acknowledge(0, &id(4)) && outbox.acknowledge(0, &id(5)));
        assert!(outbox.is_empty() && outbox.bytes == 0);
    }

    #[test]
    fn one_line_at_a_time_is_measured() {
        let (mut outbox, now) = (outbox(1), Instant::now());
        (1..=3).for_each(|n| outbox.push(0, line(n)));
        sent(&mut outbox, LIMITS, now);
        outbox.acknowledge(0, &id(2));
        assert_eq!(outbox.round_trip(), None, "the first line is measured");
        outbox.acknowledge(0, &id(1));
        assert!(outbox.round_trip().is_some());
        // A line that was sent again after a lost connection is measured from then on.
        sent(&mut outbox, LIMITS, now);
        outbox.rewind();
        assert_eq!(outbox.sampled, None);
        outbox.open(0);
        outbox.caught_up(0);
        sent(&mut outbox, LIMITS, now);
        assert_eq!(outbox.sampled, Some((id(3), now)));
        outbox.reject(&id(3), None);
        assert_eq!(outbox.sampled, None);
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
    fn a_room_that_is_not_joined_does_not_block_others() {
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
    fn a_permanent_rejection_drops_one_line() {
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
    fn a_temporary_rejection_holds_back_the_later_lines_of_its_room() {
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
        // The first and the third are stored.
        assert!(outbox.acknowledge(0, &id(1)) && outbox.acknowledge(0, &id(3)));
        assert_eq!(sent(&mut outbox, LIMITS, later), ["2", "4"]);
        assert_eq!(outbox.next_hold(), None);
    }
}
