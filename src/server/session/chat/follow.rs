//! The receiving side of a follower: all its commands come with its request.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::command::Commands;
use crate::server::deadlines::Deadline;
use crate::server::session::receive::{Received, Source, Stopper};

/// The commands of a follower's request, and then the end of what it sends.
pub struct FollowSource {
    commands: Option<Commands>,
    is_over: Arc<AtomicBool>,
    /// For the end of the stream, if its client has given one.
    _deadline: Option<Deadline>,
}

impl FollowSource {
    pub fn new(commands: Commands) -> Self {
        Self { commands: Some(commands), is_over: Arc::default(), _deadline: None }
    }

    /// The same with a deadline, which is lifted at the end of the stream.
    pub fn until(self, deadline: Option<Deadline>) -> Self {
        Self { _deadline: deadline, ..self }
    }
}

impl Source<Commands> for FollowSource {
    fn receive(&mut self, _deadline: Option<Instant>) -> Received<Commands> {
        match self.commands.take() {
            _ if self.is_over() => Received::Over,
            Some(commands) => Received::Item(commands),
            None => Received::HalfClosed { end_when_posted: false },
        }
    }

    /// It sends nothing more.
    fn pause(&mut self, _until: Instant) {}

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    fn stopper(&self) -> Stopper {
        let is_over = Arc::clone(&self.is_over);
        Arc::new(move |_when| is_over.store(true, Ordering::Release))
    }
}
