//! The log in memory: bounded in bytes, lost when the process exits.

mod reactions;
mod store;

use std::ops::Bound;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

use self::store::{ID_BYTES, KeptSegment, RoomLog, Store, Trimmed};
use super::batch;
use super::clock::millis;
use super::command::NewMessage;
use super::repeats;
use super::retention::{DueSegment, Schedule, SegmentEnd};
use super::stored::{Found, Head, Reaction, Stored};
use super::{
    Appender, Batch, ClockState, Command, Deleted, Due, History, Log, LogError, Outcome, Page, Part, Profile,
    Published, Retention, RoomState, Subscriber, Trim, check_room_count,
};
use crate::limits::{CLOCK_STEP_MAX, ROOMS_MAX, TRIM_MESSAGES_MAX};
use crate::names::{Emoji, Epoch, Generation, RoomId, RoomName, Sender, Seq};

/// Creates an empty log that keeps `bytes_max` bytes of all rooms together, and at least the newest segment.
pub fn open(bytes_max: usize, retention: Retention) -> (MemoryAppender, Arc<dyn Log>) {
    let log = Arc::new(MemoryLog { kept: Mutex::new(Store::new(Generation::random())) });
    (
        MemoryAppender {
            log: Arc::clone(&log),
            subscriber: Box::new(drop),
            bytes_max,
            rooms_max: ROOMS_MAX,
            schedule: Schedule::new(retention),
            ids_kept: retention.ids,
            deleted: Deleted::default(),
        },
        log,
    )
}

/// The side that appends.
pub struct MemoryAppender {
    log: Arc<MemoryLog>,
    subscriber: Subscriber,
    bytes_max: usize,
    rooms_max: usize,
    schedule: Schedule,
    /// How long the ids of trimmed messages are kept.
    ids_kept: Duration,
    deleted: Deleted,
}

/// The side that reads.
pub struct MemoryLog {
    // lock order: 3 (a leaf: nothing is locked under it)
    kept: Mutex<Store>,
}

impl MemoryAppender {
    /// The time at which the ids of the messages trimmed now are deleted.
    fn ids_due_ms(&self, now: SystemTime) -> u64 {
        millis(now.checked_add(self.ids_kept).unwrap_or(now))
    }

    /// No other thread appends. Nothing can fail after the heads of the rooms are known.
    fn append_batch(&mut self, Batch { posts, now }: &Batch<'_>) -> Result<Vec<Outcome>, LogError> {
        let ids_due_ms = self.ids_due_ms(*now);
        let mut kept = self.log.kept.lock();
        let mut claims = Claims { kept: &mut kept, rooms_max: self.rooms_max, created: Vec::new() };
        let plan = batch::plan(posts, *now, &mut claims)?;
        let created = claims.created;
        for room in &plan.rooms {
            for segment in &room.segments {
                kept.push(Arc::clone(segment), room.time_ms);
                self.schedule.appended(room.room, SegmentEnd { time_ms: room.time_ms, ..segment.end() });
            }
            kept.bytes += room.claims * ID_BYTES;
            for replaced in &room.replaced {
                kept.replace(room.room, replaced, &mut self.schedule);
            }
            if let Some(profile) = &room.profile {
                kept.room(room.room).profile = Arc::clone(profile);
            }
        }
        let (changed, mut outcomes) = plan.committed();
        repeats::refuse_others(*posts, &mut outcomes, |room, seq| Some(kept.room(room).read(seq, 1)));
        let mut trimmed = Vec::new();
        while kept.bytes > self.bytes_max && kept.ages.len() > 1 {
            let Some((room, first)) = kept.ages.pop_front() else { break };
            // A segment that was cut begins with the same message.
            while kept.room(room).oldest() <= first
                && let Some(more) = kept.trim(room, &mut self.schedule, ids_due_ms)
            {
                trimmed.push(more);
            }
            kept.forget_ids_beyond(self.bytes_max);
        }
        // Freeing trimmed segments may take long, so it happens after the lock is released.
        drop(kept);
        let published = created.into_iter().map(Published::Room).chain(changed);
        published.for_each(&mut self.subscriber);
        self.publish_trimmed(trimmed);
        Ok(outcomes)
    }

    fn apply_trim(&mut self, trim: &Trim) {
        let mut trimmed = Vec::new();
        let mut kept = self.log.kept.lock();
        for &(room, below) in &trim.rooms {
            while kept.rooms.get(&room).is_some_and(|room| room.oldest() < below)
                && let Some(more) = kept.trim(room, &mut self.schedule, trim.ids_until_ms)
            {
                self.deleted.messages += more.segment.messages();
                self.deleted.rooms.insert(room);
                trimmed.push(more);
            }
        }
        while let (Some(next), Some(last)) = (kept.expiring.keys().next(), trim.forget)
            && *next <= last
        {
            kept.forget_ids();
        }
        kept.forget_ids_beyond(self.bytes_max);
        kept.forget_ages();
        drop(kept);
        self.publish_trimmed(trimmed);
    }

    /// Publishes what trimming has changed in the rest of the rooms.
    fn publish_trimmed(&mut self, trimmed: Vec<Trimmed>) {
        trimmed.into_iter().map(|trimmed| Published::Changed(trimmed.changed)).for_each(&mut self.subscriber);
    }
}

impl Appender for MemoryAppender {
    fn subscribe(&mut self, subscriber: Subscriber) {
        self.subscriber = subscriber;
    }

    fn find(&mut self, name: &RoomName) -> Result<Option<RoomState>, LogError> {
        self.log.find(name)
    }

    fn apply(&mut self, commands: &[Command<'_>]) -> Result<Vec<Outcome>, LogError> {
        let mut outcomes = Vec::new();
        for command in commands {
            match command {
                Command::Append(batch) if commands.len() == 1 => return self.append_batch(batch),
                Command::Append(batch) => outcomes.extend(self.append_batch(batch)?),
                Command::Trim(trim) => self.apply_trim(trim),
                Command::SetRoomsMax(max) => self.rooms_max = *max,
            }
        }
        Ok(outcomes)
    }

    fn due(&mut self, now: SystemTime) -> Result<Due, LogError> {
        let now_ms = millis(now);
        let kept = self.log.kept.lock();
        let find = |room, oldest: SegmentEnd, _| {
            let segments = &kept.rooms[&room].segments;
            let at = segments.partition_point(|kept| kept.segment.last() < oldest.last);
            let segment = &segments[at].segment;
            let next = segments.get(at + 1).map(KeptSegment::end);
            let events = segment.last().0 - segment.first().0 + 1;
            Ok::<_, LogError>(DueSegment { events, bytes: segment.bytes(), next })
        };
        let rooms = self.schedule.find_due(now_ms, find)?;
        let forget = kept.ids_due(now_ms, TRIM_MESSAGES_MAX);
        let ids_next_ms = kept.expiring.keys().next().map(|expiry| expiry.due_ms);
        let next_ms = self.schedule.next_ms().into_iter().chain(ids_next_ms).min();
        Ok(Due::of(Trim { rooms, ids_until_ms: self.ids_due_ms(now), forget }, next_ms))
    }

    // Its bound in bytes is kept by each append.
    fn is_trim_due(&self) -> bool {
        false
    }

    fn date_back(&mut self, now: SystemTime) -> Result<usize, LogError> {
        let now_ms = millis(now);
        let latest_ms = now_ms.saturating_add(CLOCK_STEP_MAX.as_millis() as u64);
        let mut kept = self.log.kept.lock();
        let mut rooms = 0;
        while let Some(room) = self.schedule.dated_after(latest_ms) {
            let mut times = kept.room(room).segments.iter().map(|kept| kept.time_ms);
            let next_ms = times.find(|time_ms| *time_ms <= latest_ms).unwrap_or(now_ms);
            self.schedule.count_as(room, next_ms.min(now_ms));
            rooms += 1;
        }
        Ok(rooms)
    }

    fn deleted(&mut self) -> Deleted {
        std::mem::take(&mut self.deleted)
    }

    fn room_count(&self) -> usize {
        self.log.kept.lock().rooms.len()
    }

    fn rooms_max(&self) -> usize {
        self.rooms_max
    }

    fn free_bytes(&self) -> u64 {
        0
    }

    // The log has only one life.
    fn clock(&self) -> ClockState {
        ClockState::default()
    }

    fn keep_clock(&mut self, _state: ClockState) -> Result<(), LogError> {
        Ok(())
    }
}

impl Log for MemoryLog {
    fn read(&self, room: RoomId, from: Seq, bytes_max: usize) -> Result<Page, LogError> {
        let kept = self.kept.lock();
        // A room that was opened and has no message does not exist.
        let Some(room) = kept.rooms.get(&room) else { return Ok(Page::Segments(Vec::new())) };
        Ok(room.read(from, bytes_max))
    }

    fn history(
        &self,
        name: &RoomName,
        part: Part,
        messages_max: u64,
        bytes_max: usize,
    ) -> Result<Option<History>, LogError> {
        let mut kept = self.kept.lock();
        let Some(&id) = kept.by_name.get(name) else { return Ok(None) };
        let room = kept.room(id);
        Ok(Some(History { room: room.state(id), pieces: room.pieces(part, messages_max, bytes_max) }))
    }

    fn find(&self, name: &RoomName) -> Result<Option<RoomState>, LogError> {
        let mut kept = self.kept.lock();
        let id = kept.by_name.get(name).copied();
        Ok(id.map(|id| kept.room(id).state(id)))
    }

    fn message(&self, room: RoomId, number: u64) -> Result<Seq, LogError> {
        Ok(self.kept.lock().rooms.get(&room).map_or(Seq(1), |room| room.message(number)))
    }

    fn reactors(
        &self,
        room: RoomId,
        message: Seq,
        emoji: &Emoji,
        after: Seq,
        max: usize,
    ) -> Result<Vec<(Seq, Sender)>, LogError> {
        let kept = self.kept.lock();
        Ok(kept.rooms.get(&room).map_or(Vec::new(), |room| room.reactions.after(message, emoji, after, max)))
    }

    fn trims(&self) -> u64 {
        self.kept.lock().trims
    }

    fn rooms(&self, after: Option<&RoomName>, max: usize) -> Result<Vec<RoomState>, LogError> {
        let mut kept = self.kept.lock();
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let ids: Vec<_> =
            kept.by_name.range::<RoomName, _>((start, Bound::Unbounded)).take(max).map(|(_, id)| *id).collect();
        Ok(ids.into_iter().map(|id| kept.room(id).state(id)).collect())
    }
}

/// The log, as a batch uses it.
struct Claims<'a> {
    kept: &'a mut Store,
    rooms_max: usize,
    created: Vec<RoomState>,
}

impl Stored for Claims<'_> {
    // A room that is created here gets a message: none of its ids is known, and nothing can fail any more.
    fn head(&mut self, name: &RoomName) -> Result<Head, LogError> {
        let room = match self.kept.by_name.get(name) {
            Some(room) => *room,
            None => {
                check_room_count(name, self.kept.rooms.len(), self.rooms_max)?;
                let id = self.kept.next_room();
                let epoch = Epoch::first(self.kept.generation, id);
                let Store { lookalikes, rooms, .. } = &mut *self.kept;
                lookalikes.create(name, id, |other| Ok(rooms.get(&other).map(|room| room.name.clone())))?;
                self.kept.rooms.insert(id, RoomLog::new(name.clone(), epoch));
                self.kept.by_name.insert(name.clone(), id);
                self.created.push(RoomState::empty(id, name.clone(), epoch));
                id
            }
        };
        Ok(self.kept.room(room).end(room))
    }

    fn known_head(&mut self, name: &RoomName) -> Result<Option<Head>, LogError> {
        let room = self.kept.by_name.get(name).copied();
        Ok(room.map(|room| self.kept.room(room).end(room)))
    }

    // Nothing can fail after the heads are known, so a claim is final at once, and so are the changes of reactions.
    fn claim(
        &mut self,
        room: RoomId,
        message: &NewMessage,
        sender: &Sender,
        seq: Seq,
    ) -> Result<Option<Seq>, LogError> {
        let taken = *self.kept.room(room).ids.entry((message.id, sender.name.clone())).or_insert(seq);
        Ok((taken != seq).then_some(taken))
    }

    fn segment(&mut self, room: RoomId, seq: Seq) -> Result<Found, LogError> {
        let room = self.kept.room(room);
        Ok(room.find(seq).map_or(Found::Gone, |at| Found::Segment(Arc::clone(&room.segments[at].segment))))
    }

    fn has_reacted(&mut self, reaction: &Reaction<'_>) -> Result<bool, LogError> {
        Ok(self.kept.room(reaction.room).reactions.has(reaction))
    }

    fn react(&mut self, reaction: &Reaction<'_>, seq: Seq) -> Result<(), LogError> {
        self.kept.bytes += ID_BYTES;
        self.kept.room(reaction.room).reactions.add(reaction, seq);
        Ok(())
    }

    fn unreact(&mut self, reaction: &Reaction<'_>) -> Result<(), LogError> {
        self.kept.bytes -= ID_BYTES;
        self.kept.room(reaction.room).reactions.remove(reaction);
        Ok(())
    }

    fn reactor(&mut self, room: RoomId, message: Seq, emoji: &Emoji, skip: usize) -> Result<Option<Sender>, LogError> {
        Ok(self.kept.room(room).reactions.nth(message, emoji, skip))
    }

    fn forget_reactions(&mut self, room: RoomId, message: Seq) -> Result<(), LogError> {
        let count = self.kept.room(room).reactions.forget(message);
        self.kept.bytes -= count * ID_BYTES;
        Ok(())
    }

    fn profile(&mut self, room: RoomId) -> Result<Profile, LogError> {
        Ok(Profile::clone(&self.kept.room(room).profile))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::IDS_KEPT_SHARE;
    use crate::server::log::conformance::{Subject, at, conformance_tests, post, post_without_id, room};

    fn subject(retention: Retention) -> Subject {
        let (appender, log) = open(usize::MAX, retention);
        Subject { appender: Box::new(appender), log, open_again: None }
    }

    conformance_tests!(subject);

    #[test]
    fn all_rooms_together_are_bounded_in_bytes() {
        let (mut appender, log) = open(10_000, Retention::default());
        let rooms = [room("attic"), room("cellar")];
        for n in 0..1000 {
            appender.append(&[post(&rooms[n % 2], "ann", n as u64, "hello")], at(1)).unwrap();
            let kept = appender.log.kept.lock();
            let segments = kept.rooms.values().flat_map(|room| &room.segments);
            let ids: usize = kept.rooms.values().map(|room| room.ids.len()).sum();
            let bytes = segments.map(|kept| kept.segment.bytes()).sum::<usize>() + ids * ID_BYTES;
            let expiring: usize = kept.expiring.values().map(Vec::len).sum();
            assert_eq!((kept.bytes, kept.expiring_ids), (bytes, expiring));
            assert!(expiring * ID_BYTES <= 10_000 / IDS_KEPT_SHARE);
            assert!(bytes <= 10_000 && kept.ages.len() < 100);
            assert_eq!(ids, kept.rooms.values().map(|room| room.segments.len()).sum::<usize>() + expiring);
        }
        // The newest segment is kept even if the bound is smaller.
        let (mut appender, tiny) = open(0, Retention::default());
        appender.append(&[post_without_id(&rooms[0], "ann", "hello")], at(1)).unwrap();
        appender.append(&[post_without_id(&rooms[1], "ann", "there")], at(1)).unwrap();
        let oldest = |log: &Arc<dyn Log>, room| log.find(room).unwrap().map(|state| state.oldest);
        assert_eq!((oldest(&tiny, &rooms[0]), oldest(&tiny, &rooms[1])), (Some(Seq(2)), Some(Seq(1))));
        assert!(oldest(&log, &rooms[0]) > Some(Seq(400)));
    }
}
