//! The queue of log lines: callers add, the thread `log` takes.
//!
//! 1. Adding MUST NOT block. The lock is held to copy one line, and by the thread to take all of them.
//! 2. The lines are at most [`LINES_BYTES_MAX`], and as much again while the thread writes what it took. Others are dropped
//!    and counted; the thread reports their number once standard error takes lines again.
//! 3. The thread sleeps while there is nothing to write and nothing to report.

use std::time::Instant;

use parking_lot::{Condvar, Mutex};

use super::limiter::{Admission, Description, Limiter, Site, Skipped};
use crate::limits::LINES_BYTES_MAX;

#[derive(Default)]
pub struct Queue {
    // lock order: 4 (a leaf; a line may be logged under another leaf, though none should be)
    state: Mutex<QueueState>,
    /// There is something to write, or the timer of the thread must be set again.
    arrived: Condvar,
    /// The thread has written what it took.
    written: Condvar,
}

#[derive(Default)]
struct QueueState {
    lines: Vec<u8>,
    dropped: u64,
    limiter: Limiter,
    is_asleep: bool,
    is_writing: bool,
    is_closed: bool,
    /// The memory of the former batch.
    spare: Vec<u8>,
}

/// What the thread has to write.
#[derive(Default)]
pub struct Batch {
    /// Whole lines.
    pub lines: Vec<u8>,
    /// How many lines were dropped after them.
    pub dropped: u64,
    pub skipped: Vec<Skipped>,
}

impl Queue {
    /// Adds a line, or drops it if there is no space.
    pub fn push(&self, line: &[u8]) {
        let mut state = self.state.lock();
        if state.lines.len() + line.len() > LINES_BYTES_MAX {
            state.dropped += 1;
            return;
        }
        state.lines.extend_from_slice(line);
        let wake = std::mem::take(&mut state.is_asleep);
        drop(state);
        if wake {
            self.arrived.notify_one();
        }
    }

    /// Whether one more line of this kind may be added.
    pub fn admits(&self, site: Site, now: Instant, describe: impl FnOnce() -> Description) -> bool {
        let mut state = self.state.lock();
        let admission = state.limiter.admit(site, now, describe);
        let wake = admission == Admission::SkipFirst && std::mem::take(&mut state.is_asleep);
        drop(state);
        if wake {
            self.arrived.notify_one();
        }
        admission == Admission::Write
    }

    /// Waits for something to write. `None` means that the queue was closed, and all is written.
    pub fn next(&self) -> Option<Batch> {
        let mut state = self.state.lock();
        loop {
            let now = Instant::now();
            let skipped = if state.is_closed { state.limiter.end(now) } else { state.limiter.due(now) };
            if !state.lines.is_empty() || state.dropped > 0 || !skipped.is_empty() {
                state.is_writing = true;
                let spare = std::mem::take(&mut state.spare);
                let lines = std::mem::replace(&mut state.lines, spare);
                return Some(Batch { lines, dropped: std::mem::take(&mut state.dropped), skipped });
            }
            if state.is_closed {
                return None;
            }
            state.is_asleep = true;
            match state.limiter.next_due() {
                Some(due) => drop(self.arrived.wait_until(&mut state, due)),
                None => self.arrived.wait(&mut state),
            }
            state.is_asleep = false;
        }
    }

    /// The thread has written the batch that it took, and returns its memory.
    pub fn written(&self, mut spare: Vec<u8>) {
        spare.clear();
        // A burst does not keep its memory.
        spare.shrink_to(LINES_BYTES_MAX / 16);
        let mut state = self.state.lock();
        state.is_writing = false;
        state.spare = spare;
        drop(state);
        self.written.notify_all();
    }

    /// Waits until all lines so far are written, at most until then.
    pub fn flush(&self, deadline: Instant) {
        // The calling thread may have failed at any place: nothing here waits for long.
        let Some(mut state) = self.state.try_lock_until(deadline) else { return };
        while (!state.lines.is_empty() || state.is_writing)
            && !self.written.wait_until(&mut state, deadline).timed_out()
        {}
    }

    /// The thread ends once it has written everything.
    pub fn close(&self) {
        self.state.lock().is_closed = true;
        self.arrived.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;
    use std::time::Duration;

    use log::Level;

    use super::*;
    use crate::limits::REPEATS_MAX;

    const WAIT: Duration = Duration::from_secs(30);

    fn site() -> (Site, fn() -> Description) {
        let describe =
            || Description { level: Level::Info, target: "session".to_owned(), message: "session ended".to_owned() };
        (Site { file: "x.rs", line: 1 }, describe)
    }

    #[test]
    fn lines_come_out_in_order_and_what_is_too_much_is_counted() {
        let queue = Queue::default();
        let line = [b'x'; 999].into_iter().chain([b'\n']).collect::<Vec<_>>();
        let fitting = LINES_BYTES_MAX / line.len();
        (0..fitting + 7).for_each(|_| queue.push(&line));
        let batch = queue.next().unwrap();
        assert_eq!((batch.lines.len(), batch.dropped), (fitting * line.len(), 7));
        // While the thread writes, as many fit again.
        queue.push(b"next\n");
        queue.written(batch.lines);
        let batch = queue.next().unwrap();
        assert_eq!((batch.lines.as_slice(), batch.dropped), (&b"next\n"[..], 0));
        queue.written(batch.lines);
        queue.close();
        assert!(queue.next().is_none());
    }

    #[test]
    fn the_end_writes_what_waits_and_reports_what_was_skipped() {
        let queue = Queue::default();
        let (site, describe) = site();
        let admitted = (0..100).filter(|_| queue.admits(site, Instant::now(), describe)).count();
        assert_eq!(admitted, REPEATS_MAX as usize);
        queue.push(b"last\n");
        queue.close();
        let batch = queue.next().unwrap();
        assert_eq!((batch.lines.as_slice(), batch.skipped[0].count), (&b"last\n"[..], 100 - u64::from(REPEATS_MAX)));
        assert!(queue.next().is_none());
    }

    #[test]
    fn a_sleeping_thread_reports_in_time_what_was_skipped() {
        let queue = Arc::new(Queue::default());
        let taker = Arc::clone(&queue);
        let taking = thread::spawn(move || taker.next());
        let (site, describe) = site();
        let begun = Instant::now();
        (0..100).for_each(|_| assert!(queue.admits(site, Instant::now(), describe) || begun.elapsed() < WAIT));
        let batch = taking.join().unwrap().unwrap();
        assert_eq!((batch.lines.len(), batch.skipped[0].count), (0, 80));
        assert!(begun.elapsed() >= Duration::from_secs(1));
    }

    #[test]
    fn a_flush_waits_for_the_write_and_gives_up_at_its_deadline() {
        let queue = Arc::new(Queue::default());
        queue.flush(Instant::now() + WAIT);
        queue.push(b"one\n");
        // Nobody writes.
        queue.flush(Instant::now() + Duration::from_millis(20));
        let batch = queue.next().unwrap();
        queue.flush(Instant::now() + Duration::from_millis(20));
        let flushing = Arc::clone(&queue);
        let flushed = thread::spawn(move || flushing.flush(Instant::now() + WAIT));
        queue.written(batch.lines);
        flushed.join().unwrap();
    }
}
