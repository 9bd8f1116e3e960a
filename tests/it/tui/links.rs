//! Slow links, and windows that change their size.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::{COLUMNS, Place, ROWS, Screen};

/// Says something every few milliseconds until it is dropped.
struct Chatterbox {
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Chatterbox {
    fn start(place: &Place) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, say) = (Arc::clone(&stop), place.model.speaker());
        let thread = thread::spawn(move || {
            for n in 0.. {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                say("lobby", "bob", &format!("{n}: {}", "blah ".repeat(1 + n % 12)));
                thread::park_timeout(Duration::from_millis(5));
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Chatterbox {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = self.thread.take().map(thread::JoinHandle::join);
    }
}

/// Types letters, and returns how long each took to be on the screen.
pub fn echo_times(screen: &mut Screen, count: usize) -> Vec<Duration> {
    let mut times = Vec::new();
    let mut typed = String::new();
    for n in 0..count {
        if typed.len() == 50 {
            // The line must stay in its row.
            screen.press("\x15");
            typed.clear();
        }
        let letter = (b'a' + (n % 26) as u8) as char;
        typed.push(letter);
        let since = Instant::now();
        screen.press(&letter.to_string());
        let expected = format!("] {typed}");
        screen.wait_until("the letter", |text| text.lines().last().is_some_and(|row| row.contains(&expected)));
        times.push(since.elapsed());
        thread::park_timeout(Duration::from_millis(40));
    }
    times.sort();
    times
}

/// Frames waited in the buffers of a slow link, and each key behind them. Here: what is shown of a flood is given up for
/// keys, and the screen is right in the end.
#[test]
fn on_a_slow_link_keys_come_first() {
    for answers in [true, false] {
        let place = Place::new();
        let mut screen = Screen::start_with(place.command(&[]), COLUMNS, ROWS, answers);
        place.wait_for_join(&screen);
        screen.slow_down(10 * 1024);
        let chatterbox = Chatterbox::start(&place);
        screen.wait_for("blah");
        thread::park_timeout(Duration::from_millis(1500));
        let times = echo_times(&mut screen, 30);
        eprintln!("answers: {answers}: median {:?}, slowest {:?}", times[times.len() / 2], times[times.len() - 1]);
        drop(chatterbox);
        screen.slow_down(0);
        place.model.say("lobby", "bob", "the last word");
        screen.wait_for("the last word");
    }
}

/// A window that is dragged changes its size many times a second: the last size is shown, and the message at the end
/// stays there.
#[test]
fn a_storm_of_sizes_ends_with_the_last_one() {
    let place = Place::new();
    (1..=60).for_each(|n| place.model.say("lobby", "bob", &format!("message number {n}.")));
    let screen = place.start(&[]);
    screen.wait_for("number 60.");
    for n in 0..100_u16 {
        screen.resize(40 + n, 10 + n % 30);
    }
    screen.resize(72, 18);
    screen.wait_until("the last size", |text| {
        let rows: Vec<_> = text.lines().collect();
        rows.len() == 18 && text.contains("number 60.") && rows.last().is_some_and(|row| row.starts_with("[lobby]"))
    });
    screen.resize(20, 5);
    screen.wait_until("a tiny screen", |text| text.lines().last().is_some_and(|row| row.starts_with("[lobby")));
    screen.resize(1, 1);
    screen.resize(200, 60);
    screen.wait_until("a large screen", |text| text.lines().count() == 60 && text.contains("number 10."));
}
