use proptest::prelude::*;

use super::super::super::entry::{Notice, Tone};
use super::super::tests::message;
use super::*;

fn content(seq: u64) -> Content {
    let message = message(seq, "bob", "hi");
    Content::Message(Box::new(HeldMessage { message, is_own: false, mentions_me: false }))
}

fn entries(seqs: impl Iterator<Item = u64>) -> Vec<Entry> {
    seqs.map(|seq| Entry { key: Key::event(seq), content: content(seq) }).collect()
}

fn notice() -> Content {
    Content::Notice(Notice { time_ms: 0, text: "x".to_owned(), tone: Tone::Notice })
}

fn small() -> Window {
    Window::new(Limits { entries: 0, bytes: usize::MAX })
}

const MOST: usize = 4 * MARGIN;

#[test]
fn a_live_window_drops_its_oldest_entries() {
    let mut window = small();
    (1..=10_000).for_each(|seq| window.event(seq, Some(content(seq)), None));
    assert_eq!((window.len(), window.is_live()), (MOST, true));
    assert_eq!(window.known(), Some((10_000 - MOST as u64 + 1, 10_000)));
}

/// Somebody who reads old messages keeps them, however much arrives.
#[test]
fn what_is_on_the_screen_stays() {
    let mut window = small();
    (1..=1_000).for_each(|seq| window.event(seq, Some(content(seq)), None));
    let screen = Key::event(10);
    (1_001..=10_000).for_each(|seq| window.event(seq, Some(content(seq)), Some(screen)));
    assert!(window.message(10).is_some() && window.len() <= MOST && !window.is_live());
    let (first, last) = window.known().unwrap();
    assert_eq!((first, window.iter().last().unwrap().key.seq), (1, last));
    // Further down, the newer ones are read again, until the window is live.
    let mut last = last;
    while !window.is_live() {
        let page = entries((last + 1..=10_000).take(200));
        last = page.last().unwrap().key.seq;
        window.newer(last, page, 10_000, Some(Key::event(last)));
    }
    assert!(window.len() <= MOST && window.message(10_000).is_some() && window.message(10).is_none());
    let seqs: Vec<_> = window.iter().map(|entry| entry.key.seq).collect();
    assert!(seqs.windows(2).all(|pair| pair[0] + 1 == pair[1]), "nothing is missing");
}

#[test]
fn long_texts_count() {
    let mut window = Window::new(Limits { entries: usize::MAX, bytes: 20_000_000 });
    for seq in 1..=10_000 {
        let message = message(seq, "bob", &"x".repeat(16_000));
        let held = HeldMessage { message, is_own: false, mentions_me: false };
        window.event(seq, Some(Content::Message(Box::new(held))), None);
    }
    assert!(window.bytes() <= 20_000_000 && window.len() > 1_000);
}

#[test]
fn lines_of_the_client_are_between_the_events() {
    let mut window = small();
    window.append(notice(), None);
    window.event(5, Some(content(5)), None);
    window.append(notice(), None);
    window.append(notice(), None);
    window.event(6, None, None);
    window.append(notice(), None);
    window.event(7, Some(content(7)), None);
    let keys: Vec<_> = window.iter().map(|entry| (entry.key.seq, entry.key.after)).collect();
    assert_eq!(keys, [(0, 1), (5, 0), (5, 1), (5, 2), (6, 1), (7, 0)]);
    assert_eq!(window.known(), Some((5, 7)));
}

#[test]
fn what_the_server_deleted_is_forgotten() {
    let mut window = small();
    (1..=9).for_each(|seq| window.event(seq, Some(content(seq)), None));
    window.forget_below(4);
    assert_eq!((window.len(), window.known()), (6, Some((4, 9))));
    window.forget_below(20);
    assert_eq!((window.len(), window.known(), window.bytes()), (0, None, 0));
}

/// What may happen to a window.
#[derive(Clone, Debug)]
enum Op {
    Live(bool),
    Notice,
    Older(u64),
    Newer(u64),
    Jump(u64),
    Edit(u64),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => any::<bool>().prop_map(Op::Live),
        2 => Just(Op::Notice),
        2 => (1..400u64).prop_map(Op::Older),
        2 => (1..400u64).prop_map(Op::Newer),
        1 => (1..3000u64).prop_map(Op::Jump),
        1 => (1..3000u64).prop_map(Op::Edit),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// The log is the seqs from 1 on; even ones may be changes, which are not shown. Whatever happens, the window has
    /// exactly the messages between its ends, in order, and counts its bytes.
    #[test]
    fn a_window_has_all_messages_between_its_ends(ops in proptest::collection::vec(op(), 1..200), screen in 0..3000u64) {
        let mut window = small();
        let mut log: Vec<bool> = vec![true; 2_500];
        let shown = |log: &[bool], from: u64, to: u64| -> Vec<u64> {
            (from.max(1)..=to.min(log.len() as u64)).filter(|seq| log[*seq as usize - 1]).collect()
        };
        (1..=2_500).for_each(|seq| window.event(seq, Some(content(seq)), None));
        let mut at = Key::event(screen);
        for op in ops {
            let head = log.len() as u64;
            let (first, last) = window.known().unwrap();
            match op {
                Op::Live(is_message) => {
                    log.push(is_message);
                    window.event(head + 1, is_message.then(|| content(head + 1)), Some(at));
                }
                Op::Notice => window.append(notice(), Some(at)),
                Op::Older(count) => {
                    let page = shown(&log, first.saturating_sub(count), first - 1);
                    at = Key::event(first);
                    window.older(first.saturating_sub(count).max(1), entries(page.into_iter()), Some(at));
                }
                Op::Newer(count) => {
                    at = Key::event(last);
                    let page = shown(&log, last + 1, last + count);
                    window.newer((last + count).min(head), entries(page.into_iter()), head, Some(at));
                }
                Op::Jump(seq) => {
                    let to = (seq + 100).min(head);
                    at = Key::event(seq);
                    window.replace(seq.min(to), to, entries(shown(&log, seq.min(to), to).into_iter()), head);
                }
                Op::Edit(seq) => _ = window.change(seq, |held| held.message.body = "longer than before".to_owned()),
            }
            let (first, last) = window.known().unwrap();
            let held: Vec<_> = window.iter().filter(|entry| entry.key.after == 0).map(|entry| entry.key.seq).collect();
            prop_assert_eq!(held, shown(&log, first, last));
            prop_assert!(window.iter().zip(window.iter().skip(1)).all(|(a, b)| a.key < b.key));
            prop_assert_eq!(window.bytes(), window.iter().map(bytes).sum::<usize>());
            prop_assert!(window.len() <= MOST);
            prop_assert!(!window.is_live() || last == log.len() as u64);
        }
    }
}
