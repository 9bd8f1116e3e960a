//! Limits the lines of events that clients can cause at will, so that they neither slow the server nor fill the disk.
//!
//! Each kind of line (a place in the code) has windows of time. In each, the first [`REPEATS_MAX`] lines are written; the
//! others are counted, and the end of the window writes one line with their number. The first window lasts a second. A
//! window that follows one with too many lines is twice as long, up to [`REPEATS_WINDOW_MAX`]. A window without too many
//! is the last one: the next line begins with a second again.
//!
//! All of it takes the time as an argument.

use std::time::{Duration, Instant};

use log::Level;

use crate::limits::{REPEATS_MAX, REPEATS_WINDOW, REPEATS_WINDOW_MAX};

/// Identifies a kind of line: where it is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Site {
    pub file: &'static str,
    pub line: u32,
}

/// What the lines of a kind have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    pub level: Level,
    pub target: String,
    pub message: String,
}

/// What becomes of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    Write,
    Skip,
    /// The same, and it is the first one of its window: [`Limiter::next_due`] has changed.
    SkipFirst,
}

/// The lines of a kind that were not written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    pub description: Description,
    pub count: u64,
    pub time: Duration,
}

/// The kinds of lines so far. Bound: one for each place in the code that logs a limited line.
#[derive(Default)]
pub struct Limiter {
    kinds: Vec<Kind>,
}

struct Kind {
    site: Site,
    description: Description,
    window: Option<Window>,
}

#[derive(Clone, Copy)]
struct Window {
    begin: Instant,
    length: Duration,
    written: u32,
    skipped: u64,
}

impl Window {
    fn new(begin: Instant, length: Duration) -> Self {
        Self { begin, length, written: 0, skipped: 0 }
    }

    fn end(&self) -> Instant {
        self.begin + self.length
    }

    fn has_ended(&self, now: Instant) -> bool {
        now >= self.end()
    }
}

impl Limiter {
    /// Whether a line may be written.
    pub fn admit(&mut self, site: Site, now: Instant, describe: impl FnOnce() -> Description) -> Admission {
        let at = self.kinds.iter().position(|kind| kind.site == site).unwrap_or_else(|| {
            self.kinds.push(Kind { site, description: describe(), window: None });
            self.kinds.len() - 1
        });
        let window = &mut self.kinds[at].window;
        // One that has ended with too many lines is still to be reported.
        let current = window.take().filter(|window| window.skipped > 0 || !window.has_ended(now));
        let window = window.insert(current.unwrap_or_else(|| Window::new(now, REPEATS_WINDOW)));
        if window.skipped == 0 && window.written < REPEATS_MAX {
            window.written += 1;
            return Admission::Write;
        }
        window.skipped += 1;
        if window.skipped == 1 { Admission::SkipFirst } else { Admission::Skip }
    }

    /// When [`Limiter::due`] has something to report, if nothing changes.
    pub fn next_due(&self) -> Option<Instant> {
        let windows = self.kinds.iter().filter_map(|kind| kind.window.as_ref());
        windows.filter(|window| window.skipped > 0).map(Window::end).min()
    }

    /// Reports the lines that were skipped in windows that have ended, and begins the next windows.
    pub fn due(&mut self, now: Instant) -> Vec<Skipped> {
        let mut due = Vec::new();
        for Kind { description, window, .. } in &mut self.kinds {
            let Some(ended) = window.filter(|window| window.has_ended(now)) else { continue };
            *window = (ended.skipped > 0).then(|| {
                // Lines were also skipped until this was called.
                let time = now.saturating_duration_since(ended.begin);
                due.push(Skipped { description: description.clone(), count: ended.skipped, time });
                Window::new(now, (2 * ended.length).min(REPEATS_WINDOW_MAX))
            });
        }
        due
    }

    /// Reports all lines that were skipped and not reported, for the end.
    pub fn end(&mut self, now: Instant) -> Vec<Skipped> {
        let kinds = std::mem::take(&mut self.kinds).into_iter();
        let skipped = kinds.filter_map(|Kind { description, window, .. }| {
            let window = window.filter(|window| window.skipped > 0)?;
            Some(Skipped { description, count: window.skipped, time: now.saturating_duration_since(window.begin) })
        });
        skipped.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Site = Site { file: "hub.rs", line: 1 };
    const END: Site = Site { file: "hub.rs", line: 2 };

    fn describe(message: &str) -> impl Fn() -> Description {
        move || Description { level: Level::Info, target: "session".to_owned(), message: message.to_owned() }
    }

    fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    /// Logs this many lines at once. Returns how many are written.
    fn log(limiter: &mut Limiter, site: Site, now: Instant, count: usize) -> usize {
        (0..count).filter(|_| limiter.admit(site, now, describe("ended")) == Admission::Write).count()
    }

    #[test]
    fn what_is_rare_is_always_written() {
        let (mut limiter, start) = (Limiter::default(), Instant::now());
        for second in 0..100 {
            let now = start + Duration::from_secs(second);
            assert_eq!(log(&mut limiter, START, now, REPEATS_MAX as usize), REPEATS_MAX as usize);
            assert_eq!((limiter.next_due(), limiter.due(now)), (None, Vec::new()));
        }
        assert_eq!(limiter.end(start), Vec::new());
    }

    #[test]
    fn a_flood_is_counted() {
        let (mut limiter, start) = (Limiter::default(), Instant::now());
        assert_eq!(log(&mut limiter, END, start, 4_832), 20);
        // Another kind is not affected.
        assert_eq!(log(&mut limiter, START, start + ms(500), 10), 10);
        assert_eq!(limiter.next_due(), Some(start + ms(1_000)));
        assert_eq!(limiter.due(start + ms(999)), Vec::new());
        let skipped = Skipped { description: describe("ended")(), count: 4_812, time: ms(1_000) };
        assert_eq!(limiter.due(start + ms(1_000)), [skipped]);
        assert_eq!((limiter.next_due(), limiter.due(start + ms(1_000))), (None, Vec::new()));
        // It is over: the next one begins anew.
        assert_eq!(limiter.due(start + ms(4_000)), Vec::new());
        assert_eq!(log(&mut limiter, END, start + ms(4_000), 21), 20);
        assert_eq!(limiter.next_due(), Some(start + ms(5_000)));
    }

    #[test]
    fn only_the_first_skipped_line_wakes_the_thread() {
        let (mut limiter, start) = (Limiter::default(), Instant::now());
        log(&mut limiter, END, start, REPEATS_MAX as usize);
        let skipped = [(); 3].map(|()| limiter.admit(END, start, describe("ended")));
        assert_eq!(skipped, [Admission::SkipFirst, Admission::Skip, Admission::Skip]);
    }

    /// 5,000 sessions a second, for a day: the lines take less than 10 MB, and every session is counted.
    #[test]
    fn a_flood_that_goes_on_gets_fewer_lines() {
        let (mut limiter, start) = (Limiter::default(), Instant::now());
        let (mut written, mut counted, mut reports) = (0, 0, Vec::new());
        for tenth in 0..10 * 86_400_u64 {
            let now = start + ms(100 * tenth);
            for report in limiter.due(now) {
                counted += report.count;
                reports.push(report.time.as_secs());
            }
            // 500 at once: only the first matter for what is written.
            written += log(&mut limiter, END, now, 25);
        }
        counted += limiter.end(start).iter().map(|report| report.count).sum::<u64>();
        assert_eq!(reports[..8], [1, 2, 4, 8, 16, 32, 64, 64]);
        assert_eq!(written as u64 + counted, 10 * 86_400 * 25);
        let lines = written + reports.len();
        assert!(lines * 300 < 10_000_000, "{lines} lines");
    }

    /// A report may be late, if standard error was stuck: then it says so, and nothing is written twice or lost.
    #[test]
    fn a_late_report_has_its_time() {
        let (mut limiter, start) = (Limiter::default(), Instant::now());
        assert_eq!(log(&mut limiter, END, start, 30), 20);
        assert_eq!(log(&mut limiter, END, start + ms(7_000), 30), 0);
        let late = limiter.due(start + ms(9_000));
        assert_eq!((late[0].count, late[0].time), (40, ms(9_000)));
        assert_eq!(log(&mut limiter, END, start + ms(9_000), 30), 20);
        let rest = limiter.end(start + ms(9_500));
        assert_eq!((rest[0].count, rest[0].time), (10, ms(500)));
    }
}
