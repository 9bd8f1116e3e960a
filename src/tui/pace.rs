//! When the screen is drawn, and how much of it. Pure logic: no terminal, no thread.
//!
//! A key is drawn at once. Messages that arrive are drawn at most 20 times a second, and never before the terminal has
//! taken what was written last: on a slow link, frames that wait in buffers delay the echo of every key after them. A
//! write that returned says little, because the system and ssh hold tens of kilobytes. So each large frame ends with a
//! question for the terminal's state, and its answer says that the frame has arrived. While it is missing, a key redraws
//! only the input, which is small.
//!
//! A terminal that does not answer is taken for a slow one.

use std::time::{Duration, Instant};

/// The shortest time between two frames with messages that arrived.
const FRAME_TIME: Duration = Duration::from_millis(50);

/// Of this many bytes on, a frame ends with a question. Smaller ones don't fill a buffer.
const ASKING_BYTES_MIN: usize = 256;

/// How long the first answer may take.
const FIRST_ANSWER_TIME: Duration = Duration::from_secs(1);

/// How long an answer may take from a terminal that has answered before: the link may be interrupted meanwhile.
const ANSWER_TIME: Duration = Duration::from_secs(10);

/// The assumed speed of a terminal that does not answer, in bytes per second.
const SILENT_BYTES_PER_SECOND: u64 = 10 * 1024;

/// Asks the terminal for its state: it answers `ESC [ 0 n`.
pub const QUESTION: &str = "\x1b[5n";

/// What is to be drawn, in the order of urgency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// Something arrived, or a clock went on.
    Arrived,
    /// The user typed: the input has changed, and nothing else that can't wait.
    Typed,
    /// The user has asked for something else: another room, older messages.
    Asked,
}

/// How much to draw now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    All,
    /// The input only; the rest is still to be drawn.
    Input,
    /// Nothing before this time, unless the terminal answers earlier.
    Wait(Instant),
}

/// Whether the terminal answers questions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Answers {
    #[default]
    Unknown,
    Yes,
    No,
}

/// When frames were drawn, and what the terminal has taken of them.
#[derive(Debug, Default)]
pub struct Pace {
    drawn_at: Option<Instant>,
    answers: Answers,
    /// How many answers are missing, and since when.
    missing: u32,
    asked_at: Option<Instant>,
    /// When a terminal that does not answer is assumed to have taken everything.
    taken_at: Option<Instant>,
}

impl Pace {
    /// What is due.
    pub fn due(&self, urgency: Urgency, now: Instant) -> Due {
        let taken_at = self.taken_at().filter(|at| *at > now);
        match urgency {
            Urgency::Arrived => {
                let next = self.drawn_at.map(|at| at + FRAME_TIME).filter(|at| *at > now);
                taken_at.max(next).map_or(Due::All, Due::Wait)
            }
            Urgency::Typed if taken_at.is_some() => Due::Input,
            Urgency::Typed => Due::All,
            Urgency::Asked => taken_at.map_or(Due::All, Due::Wait),
        }
    }

    /// Everything was drawn, in a frame of this size. True: it must end with the [`QUESTION`].
    pub fn drawn(&mut self, bytes: usize, now: Instant) -> bool {
        self.give_up(now);
        self.drawn_at = Some(now);
        self.count(bytes, now);
        let asks = bytes >= ASKING_BYTES_MIN;
        if asks {
            self.missing += 1;
            self.asked_at = Some(now);
        }
        asks
    }

    /// The input was drawn.
    pub fn drawn_input(&mut self, bytes: usize, now: Instant) {
        self.count(bytes, now);
    }

    /// The terminal has answered.
    pub fn answered(&mut self) {
        self.missing = self.missing.saturating_sub(1);
        self.answers = Answers::Yes;
        self.taken_at = None;
    }

    /// Whether the answer of a terminal that answers is missing.
    pub fn is_asked(&self) -> bool {
        self.missing > 0 && self.answers != Answers::No
    }

    /// Answers that never came are not waited for any more: the terminal was in other hands.
    pub fn forget(&mut self) {
        (self.missing, self.asked_at) = (0, None);
    }

    /// When the terminal has taken everything, at the latest.
    fn taken_at(&self) -> Option<Instant> {
        match self.answers {
            Answers::No => self.taken_at,
            _ if self.missing == 0 => None,
            Answers::Unknown => self.asked_at.map(|at| at + FIRST_ANSWER_TIME),
            Answers::Yes => self.asked_at.map(|at| at + ANSWER_TIME),
        }
    }

    /// The time for the missing answers is over.
    fn give_up(&mut self, now: Instant) {
        if self.missing > 0 && self.taken_at().is_some_and(|at| at <= now) {
            if self.answers == Answers::Unknown {
                self.answers = Answers::No;
            }
            self.missing = 0;
        }
    }

    fn count(&mut self, bytes: usize, now: Instant) {
        if self.answers == Answers::No {
            let time = Duration::from_millis(bytes as u64 * 1000 / SILENT_BYTES_PER_SECOND);
            self.taken_at = Some(self.taken_at.map_or(now, |at| at.max(now)) + time);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LARGE: usize = 2_400;

    fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn messages_are_drawn_twenty_times_a_second() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        let (mut frames, mut now) = (0, start);
        while now < start + Duration::from_secs(10) {
            match pace.due(Urgency::Arrived, now) {
                Due::All => {
                    frames += 1;
                    if pace.drawn(LARGE, now) {
                        pace.answered();
                    }
                }
                Due::Input => panic!("nothing was typed"),
                Due::Wait(until) => assert!(until > now),
            }
            now += ms(1);
        }
        assert_eq!(frames, 200);
    }

    /// A link that is as slow as a terminal may be: whatever is drawn, a key is on the screen in time.
    #[test]
    fn on_a_slow_link_keys_are_drawn_in_time() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        // What is on its way, in bytes, and the frame that waits for its answer.
        let (mut now, mut waiting, mut asked) = (start, 0.0_f64, None);
        let (mut longest, mut frames) = (0.0_f64, 0);
        for tick in 0..60_000_u32 {
            now += ms(1);
            waiting = (waiting - 10.0).max(0.0);
            if asked
                .take_if(|left| {
                    *left -= 10.0;
                    *left <= 0.0
                })
                .is_some()
            {
                pace.answered();
            }
            // Ten keys a second, and messages all the time.
            if tick % 100 == 0 {
                let bytes = match pace.due(Urgency::Typed, now) {
                    Due::All => LARGE,
                    Due::Input => 60,
                    Due::Wait(_) => panic!("a key never waits"),
                };
                waiting += bytes as f64;
                if bytes == LARGE {
                    frames += 1;
                    assert!(pace.drawn(bytes, now));
                    asked = Some(waiting);
                } else {
                    pace.drawn_input(bytes, now);
                }
                longest = longest.max(waiting / 10.0);
            } else if pace.due(Urgency::Arrived, now) == Due::All {
                frames += 1;
                waiting += LARGE as f64;
                assert!(pace.drawn(LARGE, now));
                asked = Some(waiting);
            }
        }
        assert!(longest <= 300.0, "{longest} ms");
        assert!(frames > 200, "{frames} frames in a minute");
    }

    #[test]
    fn a_terminal_that_does_not_answer_is_taken_for_a_slow_one() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        assert!(pace.drawn(LARGE, start));
        assert_eq!(pace.due(Urgency::Typed, start + ms(10)), Due::Input);
        assert_eq!(pace.due(Urgency::Asked, start + ms(10)), Due::Wait(start + FIRST_ANSWER_TIME));
        let later = start + FIRST_ANSWER_TIME;
        assert_eq!(pace.due(Urgency::Arrived, later), Due::All);
        pace.drawn(LARGE, later);
        assert_eq!(pace.due(Urgency::Arrived, later + ms(200)), Due::Wait(later + ms(LARGE as u64 * 1000 / 10_240)));
        assert_eq!(pace.due(Urgency::Typed, later + ms(200)), Due::Input);
        assert_eq!(pace.due(Urgency::Arrived, later + ms(240)), Due::All);
        // It answers after all.
        pace.answered();
        assert_eq!(pace.due(Urgency::Arrived, later + ms(60)), Due::All);
    }

    #[test]
    fn what_the_user_asks_for_waits_only_for_the_last_frame() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        assert_eq!(pace.due(Urgency::Asked, now), Due::All);
        pace.drawn(LARGE, now);
        pace.answered();
        assert_eq!(pace.due(Urgency::Asked, now + ms(1)), Due::All);
        assert!(matches!(pace.due(Urgency::Arrived, now + ms(1)), Due::Wait(_)));
        assert!(!pace.drawn(100, now), "a small frame needs no answer");
        assert!(!pace.is_asked());
        assert!(pace.drawn(LARGE, now) && pace.is_asked());
        pace.forget();
        assert!(!pace.is_asked());
    }

    /// The link was interrupted, or the computer slept.
    #[test]
    fn a_lost_answer_does_not_stop_the_screen() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        pace.drawn(LARGE, now);
        pace.answered();
        pace.drawn(LARGE, now);
        let later = now + ANSWER_TIME;
        assert_eq!(pace.due(Urgency::Arrived, later), Due::All);
        assert!(pace.drawn(LARGE, later));
        pace.answered();
        assert_eq!(pace.due(Urgency::Arrived, later + FRAME_TIME), Due::All);
    }
}
