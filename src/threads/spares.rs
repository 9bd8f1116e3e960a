//! Spare threads: a thread whose job is done waits for another for a while.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

use super::start::show_name;
use crate::limits::{SPARE_THREAD_TIME, SPARE_THREADS_MAX};

/// The name of a thread that waits for a job.
pub const SPARE: &str = "spare";

/// Where a thread finds its next job.
#[derive(Default)]
pub struct JobSlot {
    // lock order: 3 (a leaf)
    assignment: Mutex<Option<Assignment>>,
    put: Condvar,
}

pub enum Assignment {
    Job(Box<dyn FnOnce() + Send>),
    Dismissal,
}

impl JobSlot {
    pub fn put(&self, assignment: Assignment) {
        *self.assignment.lock() = Some(assignment);
        self.put.notify_one();
    }

    /// Waits for an assignment.
    fn take(&self) -> Assignment {
        let mut assignment = self.assignment.lock();
        loop {
            match assignment.take() {
                Some(assignment) => return assignment,
                None => self.put.wait(&mut assignment),
            }
        }
    }
}

/// Threads that wait for another job: starting and ending one costs as much as the rest of a short visit of a client.
pub struct Spares {
    // lock order: 3 (a leaf)
    idle: Mutex<Idle>,
    /// Notifies the owner, which MUST call [`Spares::dismiss`], that a thread waits while none did before.
    on_first: Box<dyn Fn() + Send + Sync>,
}

#[derive(Default)]
struct Idle {
    /// Oldest first, each with the time at which it ends. Bound: `SPARE_THREADS_MAX`.
    slots: VecDeque<(Arc<JobSlot>, Instant)>,
    closed: bool,
}

impl Spares {
    pub fn new(on_first: impl Fn() + Send + Sync + 'static) -> Self {
        Self { idle: Mutex::default(), on_first: Box::new(on_first) }
    }

    pub fn take(&self) -> Option<Arc<JobSlot>> {
        self.idle.lock().slots.pop_back().map(|(slot, _)| slot)
    }

    /// Keeps a thread that has no job, or ends it if enough others wait.
    pub fn offer(&self, slot: Arc<JobSlot>) {
        let mut idle = self.idle.lock();
        if idle.closed || idle.slots.len() >= SPARE_THREADS_MAX {
            drop(idle);
            return slot.put(Assignment::Dismissal);
        }
        let is_first = idle.slots.is_empty();
        idle.slots.push_back((slot, Instant::now() + SPARE_THREAD_TIME));
        drop(idle);
        if is_first {
            (self.on_first)();
        }
    }

    /// Ends the threads that have waited for [`SPARE_THREAD_TIME`]. Returns when the next one will have.
    pub fn dismiss(&self, now: Instant) -> Option<Instant> {
        loop {
            let slot = {
                let mut idle = self.idle.lock();
                match idle.slots.front() {
                    Some((_, over)) if *over <= now => idle.slots.pop_front(),
                    next => return next.map(|(_, over)| *over),
                }
            };
            if let Some((slot, _)) = slot {
                slot.put(Assignment::Dismissal);
            }
        }
    }

    /// Ends all waiting threads, and every thread that is offered later.
    pub fn close(&self) {
        let slots = {
            let mut idle = self.idle.lock();
            idle.closed = true;
            std::mem::take(&mut idle.slots)
        };
        for (slot, _) in slots {
            slot.put(Assignment::Dismissal);
        }
    }

    /// How many threads wait.
    #[cfg(test)]
    pub fn count(&self) -> usize {
        self.idle.lock().slots.len()
    }
}

/// The main loop of a thread: jobs, until it is ended.
pub fn work(slot: &Arc<JobSlot>, spares: &Spares) {
    while let Assignment::Job(job) = slot.take() {
        job();
        show_name(SPARE);
        spares.offer(Arc::clone(slot));
    }
}
