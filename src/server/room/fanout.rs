//! The fan-out thread: it tells the followers of a room that there is something to read.
//!
//! Telling a follower whose stream is idle starts the write to it right here, with no hand-off to another thread
//! (`session::outlet`); a busy one goes on by itself when its write is done.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Sender, unbounded};

use super::{Room, Rooms};
use crate::server::log::Segment;
use crate::server::threads;

/// Where commits are published: each goes into its room's tail, and the fan-out thread is told of the room.
pub struct Publisher {
    rooms: Arc<Rooms>,
    // Bound: a room stands in it once at most, however many commits wait (`Room::announced`).
    announced: Sender<Arc<Room>>,
}

/// Starts the fan-out thread. It ends when the publisher is dropped and everybody was told of what it published.
pub fn spawn(rooms: Arc<Rooms>) -> io::Result<(Publisher, JoinHandle<()>)> {
    let (announced, inbox) = unbounded::<Arc<Room>>();
    let thread = threads::spawn("fanout-0", move || {
        while let Ok(room) = inbox.recv() {
            room.tell_followers();
        }
    })?;
    Ok((Publisher { rooms, announced }, thread))
}

impl Publisher {
    pub fn publish(&self, segment: Arc<Segment>) {
        let room = self.rooms.open(segment.room());
        if room.publish(segment) {
            // The thread ends only after this sender is dropped.
            let _ = self.announced.send(room);
        }
    }
}
