//! Counts the unary calls, by their kind and their outcome.

use super::error::{CODE_WORDS, CallResult, OK};
use crate::server::counter::WordCounters;

/// The kinds of calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The log writer executes it: posts and changes.
    Append,
    /// A query thread executes it: history, rooms, members, search.
    Read,
    Login,
}

const KINDS: [(Kind, &str); 3] = [(Kind::Append, "append"), (Kind::Read, "read"), (Kind::Login, "login")];

/// How many calls were answered. A call that its client gives up before the answer is not counted.
#[derive(Debug)]
pub struct Tally([WordCounters; KINDS.len()]);

impl Default for Tally {
    fn default() -> Self {
        Self(KINDS.map(|_| WordCounters::new(CODE_WORDS)))
    }
}

impl Tally {
    pub fn count<T>(&self, kind: Kind, result: &CallResult<T>) {
        self.0[kind as usize].count(result.as_ref().map_or_else(|error| error.code().word(), |_| OK));
    }

    /// The name of each kind with its counts.
    pub fn get(&self) -> impl Iterator<Item = (&'static str, &WordCounters)> {
        KINDS.into_iter().map(|(_, word)| word).zip(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::calls::error::CallError;

    #[test]
    fn calls_are_counted_by_kind_and_outcome() {
        let tally = Tally::default();
        tally.count(Kind::Append, &Ok(()));
        tally.count::<()>(Kind::Login, &Err(CallError::Busy));
        let all = tally.get().flat_map(|(kind, counts)| counts.get().map(move |(code, count)| (kind, code, count)));
        let counted: Vec<_> = all.filter(|(_, _, count)| *count > 0).collect();
        assert_eq!(counted, [("append", "ok", 1), ("login", "unavailable", 1)]);
    }

    #[test]
    fn every_code_has_its_place_in_the_list_of_words() {
        let source = include_str!("error.rs");
        let words = source.split("fn word").nth(1).and_then(|rest| rest.split("\n    }\n").next()).unwrap();
        let words: Vec<_> = words.lines().filter_map(|line| line.split('"').nth(1)).collect();
        assert_eq!(words, CODE_WORDS[1..]);
    }
}
