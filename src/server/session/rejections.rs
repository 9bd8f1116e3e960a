//! Counts the commands that were rejected, by the code that their clients got.

use crate::server::counter::WordCounters;
use crate::wire::answer::RejectionCode;

/// How many commands of streams were rejected.
#[derive(Debug)]
pub struct Rejections(WordCounters);

/// The names of the codes in metrics.
const WORDS: &[&str] = &[
    "invalid",
    "not_joined",
    "already_joined",
    "too_many_rooms",
    "unavailable",
    "unknown",
    "limited",
    "conflict",
    "denied",
];

impl Default for Rejections {
    fn default() -> Self {
        Self(WordCounters::new(WORDS))
    }
}

impl Rejections {
    pub fn count(&self, code: RejectionCode) {
        self.0.count(word(code));
    }

    pub fn get(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.0.get()
    }
}

fn word(code: RejectionCode) -> &'static str {
    match code {
        RejectionCode::Invalid => "invalid",
        RejectionCode::NotJoined => "not_joined",
        RejectionCode::AlreadyJoined => "already_joined",
        RejectionCode::TooManyRooms => "too_many_rooms",
        RejectionCode::Unavailable => "unavailable",
        RejectionCode::Unknown => "unknown",
        RejectionCode::Limited => "limited",
        RejectionCode::Conflict => "conflict",
        RejectionCode::Denied => "denied",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_counted() {
        let codes = [
            RejectionCode::Invalid,
            RejectionCode::NotJoined,
            RejectionCode::AlreadyJoined,
            RejectionCode::TooManyRooms,
            RejectionCode::Unavailable,
            RejectionCode::Unknown,
            RejectionCode::Limited,
            RejectionCode::Conflict,
            RejectionCode::Denied,
        ];
        let rejections = Rejections::default();
        codes.into_iter().for_each(|code| rejections.count(code));
        assert!(rejections.get().all(|(_, count)| count == 1));
    }
}
