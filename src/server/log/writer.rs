//! The log writer: the one thread that appends.
//!
//! It takes everything that waits, commits it as one batch, and publishes it; what arrives meanwhile makes up the next
//! batch. So batches arise from load: a lone post is committed at once, a flood in large groups.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::{Log, Post, Segment};
use crate::limits::{APPEND_QUEUE_POSTS_MAX, BATCH_BYTES_MAX, BATCH_POSTS_MAX};
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
        for segment in log.append(gather(first, posts)) {
            publish(segment);
        }
    }
}

/// Takes what waits behind the first post, up to the bounds of a batch.
fn gather(first: Post, posts: &Receiver<Post>) -> Vec<Post> {
    let mut bytes = first.event.bytes();
    let mut batch = vec![first];
    while bytes < BATCH_BYTES_MAX && batch.len() < BATCH_POSTS_MAX {
        let Ok(post) = posts.try_recv() else { break };
        bytes += post.event.bytes();
        batch.push(post);
    }
    batch
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::{ClientId, RoomName};
    use crate::server::log::Event;
    use crate::wire::Frame;

    fn post(bytes: usize) -> Post {
        let frame = Frame::new(vec![b'x'; bytes]);
        Post { room: RoomName::lobby(), event: Event { sender: ClientId(1), frame } }
    }

    #[test]
    fn a_batch_takes_what_waits_within_its_bounds() {
        let (sender, receiver) = bounded(3 * BATCH_POSTS_MAX);
        (0..2 * BATCH_POSTS_MAX).for_each(|_| sender.send(post(1)).unwrap());
        let count = gather(post(1), &receiver).len();
        let bytes = count * post(1).event.bytes();
        assert!(count <= BATCH_POSTS_MAX && bytes < BATCH_BYTES_MAX + post(1).event.bytes());

        let (sender, receiver) = bounded(3);
        (0..2).for_each(|_| sender.send(post(BATCH_BYTES_MAX)).unwrap());
        assert_eq!(gather(post(1), &receiver).len(), 2);
        assert_eq!(gather(post(1), &receiver).len(), 2);
        assert_eq!(gather(post(1), &receiver).len(), 1);
    }
}
