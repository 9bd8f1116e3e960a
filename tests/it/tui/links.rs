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

/// Types letters, and returns how many bytes the terminal took from each key to its echo.
fn bytes_before_echo(screen: &mut Screen, count: usize) -> Vec<usize> {
    let mut typed = String::new();
    screen.press("\x15");
    let echo = |n: usize| {
        typed.push(char::from(b'a' + (n % 26) as u8));
        let before = screen.bytes().len();
        screen.press(&typed[n..]);
        let expected = format!("] {typed}");
        screen.wait_until("the letter", |text| text.lines().last().is_some_and(|row| row.ends_with(&expected)));
        let taken = screen.bytes().len() - before;
        thread::park_timeout(Duration::from_millis(40));
        taken
    };
    (0..count).map(echo).collect()
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
        let mut waited = bytes_before_echo(&mut screen, 20);
        waited.sort_unstable();
        eprintln!("bytes before the echo: {waited:?}");
        // As much as the link takes in 300 ms; the time itself depends on the machine too. What a terminal that does not
        // answer has taken is only assumed, and on a busy machine this one takes less.
        let (most, at) = if answers { (3 * 1024, waited.len() - 2) } else { (4 * 1024, waited.len() / 2) };
        assert!(waited[at] <= most, "{waited:?}");
        drop(chatterbox);
        screen.slow_down(0);
        place.model.say("lobby", "bob", "the last word");
        screen.wait_for("the last word");
    }
}

/// codex #24527: a client asked the terminal for its size, its colours and the place of the cursor, and waited. Here the
/// terminal answers nothing, and is asked only whether it has taken a frame.
#[test]
fn no_question_is_waited_for() {
    let place = Place::new();
    let mut screen = Screen::start_with(place.command(&[]), COLUMNS, ROWS, false);
    place.wait_for_join(&screen);
    screen.press("typed");
    screen.wait_for("] typed");
    screen.resize(100, 30);
    screen.wait_until("the new size", |text| text.lines().count() == 30 && text.contains("] typed"));
    screen.press(" on\r");
    crate::support::wait_for("the message", || place.model.bodies("lobby") == ["typed on"]);
    screen.wait_until_quiet();
    // Every sequence but the known ones is a fault.
    screen.assert_frames();
    let bytes = screen.bytes();
    let screen_taken = bytes.windows(8).position(|window| window == b"\x1b[?1049h").expect("the screen was taken");
    assert!(!bytes[..screen_taken].contains(&0x1b), "nothing is asked before");
}

/// codex #25622, Codewhale #1539: a window that is dragged changes its size many times a second. Each size blanked the
/// screen, and the text jumped. The last size is shown, nothing is blank in between, and who has scrolled up stays where
/// they are.
#[test]
fn a_storm_of_sizes_keeps_the_place() {
    let place = Place::new();
    (1..=300).for_each(|n| place.model.say("lobby", "bob", &format!("message number {n}.")));
    let mut screen = place.start(&[]);
    screen.wait_for("number 300.");
    (0..4).for_each(|_| screen.press("\x1b[5~"));
    screen.wait_for("below --");
    screen.wait_until_quiet();
    let last = |text: &str| {
        let row = text.lines().rev().find(|row| row.contains("number "));
        let number = row.and_then(|row| row.rsplit_once("number ")?.1.split_once('.'));
        number.map(|(number, _)| number.to_owned())
    };
    let anchor = last(&screen.text()).expect("messages are shown");
    assert_ne!(anchor, "300");
    let before = screen.assert_frames();
    let sizes = [(60, 12), (90, 40), (140, 15), (72, 18), (COLUMNS, ROWS)];
    let mut count = 0;
    for (columns, rows) in sizes {
        for n in 0..40_u16 {
            screen.resize(60 + 2 * n, 10 + n % 30);
            count += 1;
            // As fast as a hand, and faster.
            thread::park_timeout(Duration::from_millis(u64::from(n % 4)));
        }
        screen.resize(columns, rows);
        count += 1;
        screen.wait_until("the last size", |text| {
            text.lines().count() == usize::from(rows) && text.lines().last().is_some_and(|row| row == "[lobby]")
        });
        screen.wait_until_quiet();
        assert_eq!(last(&screen.text()), Some(anchor.clone()), "{}", screen.text());
    }
    let redraws = screen.assert_frames() - before;
    eprintln!("{count} sizes, {redraws} of them drawn");
    assert!(redraws <= count, "{redraws} screens for {count} sizes");
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
    screen.wait_until("a tiny screen", |text| text.lines().last().is_some_and(|row| row == "[lobb…"));
    screen.resize(1, 1);
    screen.resize(200, 60);
    screen.wait_until("a large screen", |text| text.lines().count() == 60 && text.contains("number 10."));
    screen.wait_until_quiet();
    screen.assert_frames();
}
