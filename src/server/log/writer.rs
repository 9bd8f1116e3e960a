//! The log writer: the one thread that appends.
//!
//! It takes everything that waits, commits it as one batch, and publishes it; what arrives meanwhile makes up the next
//! batch. So batches arise from load: a lone post is committed at once, a flood in large groups.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::{Log, Post, Segment};
use crate::limits::{APPEND_QUEUE_POSTS_MAX, BATCH_POSTS_MAX};
use crate::threads;

/// Starts the writer. It ends when every clone of the returned sender is dropped and the queue is empty.
///
/// The queue is bounded: a send waits while [`APPEND_QUEUE_POSTS_MAX`] posts wait for the writer. `publish` is called
/// on the writer's thread with each committed segment, in the order of commits.
pub fn spawn(
    log: Arc<dyn Log>,
    publish: impl FnMut(Arc<Segment>) + Send + 'static,
) -> io::Result<(Sender<Post>, JoinHandle<()>)> {
    let (sender, receiver) = bounded(APPEND_QUEUE_POSTS_MAX);
    let thread = threads::spawn("log-writer", move || run(&*log, &receiver, publish))?;
    Ok((sender, thread))
}

fn run(log: &dyn Log, posts: &Receiver<Post>, mut publish: impl FnMut(Arc<Segment>)) {
    while let Ok(first) = posts.recv() {
        let mut batch = vec![first];
        batch.extend(posts.try_iter().take(BATCH_POSTS_MAX - 1));
        for segment in log.append(batch) {
            publish(segment);
        }
    }
}
