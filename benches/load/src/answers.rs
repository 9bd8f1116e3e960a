//! The check of the responses to calls that post: each must have the seq under which the members got the message.
//!
//! A sender's calls are answered in the order in which they were made, and its messages enter the room in that order, so
//! both are compared one by one. Either may be known first.

use std::collections::VecDeque;

use crate::check::Fault;

/// The seqs that senders learn, and those of their messages.
pub struct Answers {
    by_sender: Vec<Seqs>,
}

/// One of both is empty.
#[derive(Clone, Default)]
struct Seqs {
    /// As the responses say, of messages that no member has received yet.
    told: VecDeque<u64>,
    /// As the members got them, of messages whose calls were not answered yet.
    seen: VecDeque<u64>,
}

impl Answers {
    pub fn new(senders: usize) -> Answers {
        Answers { by_sender: vec![Seqs::default(); senders] }
    }

    /// The call for the sender's next message was answered.
    pub fn told(&mut self, sender: usize, seq: u64) -> Result<(), Fault> {
        let Seqs { told, seen } = &mut self.by_sender[sender];
        match seen.pop_front() {
            Some(due) => same(sender, seq, due),
            None => {
                told.push_back(seq);
                Ok(())
            }
        }
    }

    /// The first member has received the sender's next message.
    pub fn seen(&mut self, sender: usize, seq: u64) -> Result<(), Fault> {
        let Seqs { told, seen } = &mut self.by_sender[sender];
        match told.pop_front() {
            Some(told) => same(sender, told, seq),
            None => {
                seen.push_back(seq);
                Ok(())
            }
        }
    }
}

fn same(sender: usize, told: u64, seq: u64) -> Result<(), Fault> {
    if told == seq { Ok(()) } else { Err(Fault::Answer { sender, told, seq }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_may_come_first() {
        let mut answers = Answers::new(2);
        for seq in [1, 2] {
            assert_eq!(answers.told(0, seq), Ok(()));
            assert_eq!(answers.seen(1, seq), Ok(()));
        }
        for seq in [1, 2] {
            assert_eq!(answers.seen(0, seq), Ok(()));
            assert_eq!(answers.told(1, seq), Ok(()));
        }
        assert_eq!(answers.seen(0, 5), Ok(()));
        assert_eq!(answers.told(0, 4), Err(Fault::Answer { sender: 0, told: 4, seq: 5 }));
        assert_eq!(answers.told(1, 6), Ok(()));
        assert_eq!(answers.seen(1, 7), Err(Fault::Answer { sender: 1, told: 6, seq: 7 }));
    }
}
