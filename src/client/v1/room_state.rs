//! The topic and the pinned messages of a room. Pure logic.
//!
//! Those of a join are the ones at its head: events up to it are history.

use super::change::LoggedChange;
use super::events::RoomJoined;

#[derive(Clone, Debug, Default)]
pub struct RoomState {
    topic: String,
    pinned_seqs: Vec<u64>,
    /// They are those at this seq, or later.
    seq: u64,
}

impl RoomState {
    /// The room was joined or joined again, or the server reported it again.
    pub fn joined(&mut self, joined: &RoomJoined<'_>) {
        self.topic = joined.topic.to_owned();
        self.pinned_seqs = joined.pinned_seqs.to_vec();
        self.seq = joined.head_seq;
    }

    /// A change arrived. False: it is included already.
    pub fn change(&mut self, seq: u64, change: &LoggedChange) -> bool {
        if seq <= self.seq {
            return false;
        }
        match change {
            LoggedChange::Pinned { message_seq, removed, .. } => self.pin(*message_seq, *removed),
            LoggedChange::Deleted { message_seq, .. } => self.pin(*message_seq, true),
            LoggedChange::Room { topic: Some(topic), .. } => self.topic.clone_from(topic),
            _ => {}
        }
        true
    }

    /// Empty for none.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The last one pinned last.
    pub fn pinned_seqs(&self) -> &[u64] {
        &self.pinned_seqs
    }

    fn pin(&mut self, seq: u64, removed: bool) {
        self.pinned_seqs.retain(|pinned| *pinned != seq);
        if !removed {
            self.pinned_seqs.push(seq);
        }
    }
}
