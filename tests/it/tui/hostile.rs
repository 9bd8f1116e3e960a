//! Text of others changes nothing outside its row, and reaches the terminal only escaped.

use super::{COLUMNS, Place, ROWS, Screen, a_while, config};

const TEXTS: [&str; 10] = [
    "\x1b[2J\x1b[H gone",
    "\x1b]0;title\x07\x1b]52;c;aGk=\x07",
    "\u{9b}2J\u{9d}0;x\u{9c}",
    "\r\x1b[A│ forged",
    "\u{202e}desrever\u{202c}",
    "☺\u{fe0f}☺\u{fe0f}☺\u{fe0f} x",
    "👩\u{200d}👩\u{200d}👧\u{200d}👦 family",
    "e\u{301}\u{301}\u{301}\u{301}\u{301} zalgo\u{336}\u{336}",
    "\u{1f3f4}\u{e0067}\u{e0062}\u{e007f} flag",
    "\u{200b}\u{2060}\u{feff}invisible",
];

/// The control characters in the output, without those of the client's own sequences.
#[test]
fn no_text_reaches_the_terminal_unescaped() {
    let place = Place::new();
    TEXTS.iter().for_each(|text| place.model.say("lobby", "bob", text));
    place.model.say("lobby", "ev\x1b[31mil", "with a name");
    place.model.say("lobby", "bob", "the last one");
    let screen = place.start(&[]);
    screen.wait_for("the last one");
    let bytes = screen.bytes();
    let output = String::from_utf8(bytes).expect("it is text");
    for forbidden in
        ["\x1b]0;", "\x1b]52;", "\u{9b}", "\u{9d}", "\u{202e}", "\u{200b}", "\u{feff}", "\x1b[31m", "\u{fe0f}"]
    {
        assert!(!output.contains(forbidden), "{forbidden:?}");
    }
    screen.wait_until_quiet();
    screen.assert_frames();
    // Everything else is where it belongs.
    let rows = screen.rows();
    assert!(rows.last().is_some_and(|row| row.starts_with("[lobby]")), "{}", screen.text());
    // After the separator, which is in its place: it looks like no row of another user.
    let forged = rows.iter().find(|row| row.contains("forged")).expect("it is shown");
    assert!(forged.contains("│ \\u{1b}[A│ forged"), "{forged}");
}

/// Texts that terminals disagree about.
const UNCERTAIN: [&str; 9] = [
    "☺\u{fe0f}☺\u{fe0f}☺\u{fe0f}☺\u{fe0f}☺\u{fe0f}☺\u{fe0f}☺\u{fe0f}☺\u{fe0f}☺\u{fe0f}☺\u{fe0f}☺\u{fe0f}☺\u{fe0f} x",
    "❤\u{fe0f}\u{200d}🔥 ✈\u{fe0f} ☎\u{fe0f} ▶\u{fe0f} ©\u{fe0f}",
    "👩\u{200d}👩\u{200d}👧\u{200d}👦👩\u{200d}👩\u{200d}👧\u{200d}👦👩\u{200d}👩\u{200d}👧\u{200d}👦 families",
    "1\u{fe0f}\u{20e3}2\u{fe0f}\u{20e3} 🇩🇪🇫🇷🇮🇹🇩 flags",
    "👍🏽👍🏽👍🏿 skin",
    "ﷺ ﷽ ﷽ ﷽ wide signs",
    "क्षत्रिय \u{17d8}\u{17d8} scripts",
    "שלום │ مرحبا │ right to left",
    "世界世界世界 ambiguous ①②③ ½ ☆ │",
];

/// ratatui #75, #2357, #2431, #2585, tmux #357, #4287, mosh #724: a terminal drew a character wider than the client
/// thought, and everything after it was out of place. Here on the bytes of a conversation that scrolls, read by a terminal
/// on which VS16 makes a symbol wide, and by one on which it changes nothing.
#[test]
fn text_of_uncertain_width_stays_in_its_row() {
    const WIDE: u16 = 110;
    for emoji in ["simple", "full"] {
        let place = Place::new();
        config(&place, &format!("[screen]\nemoji = \"{emoji}\"\n"));
        let mut screen = Screen::start(place.command(&[]), WIDE, ROWS);
        place.wait_for_join(&screen);
        for (at, text) in UNCERTAIN.iter().chain(&TEXTS).enumerate() {
            place.model.say("lobby", "bob", text);
            place.model.say("lobby", "cat", &format!("plain {at} of them"));
            screen.wait_for(&format!("plain {at} "));
            screen.press("x");
        }
        screen.wait_for(&"x".repeat(UNCERTAIN.len() + TEXTS.len()));
        screen.wait_until_quiet();
        screen.assert_frames();
        let bytes = String::from_utf8(screen.bytes()).expect("it is text");
        assert_eq!(bytes.contains('\u{fe0f}'), emoji == "full");
        for vs16_is_wide in [true, false] {
            let shown = if vs16_is_wide { bytes.clone() } else { bytes.replace('\u{fe0f}', "") };
            let rows = emulated(&shown, WIDE, ROWS);
            let all = rows.iter().map(|row| row.concat()).collect::<Vec<_>>().join("\n");
            let what = format!("{emoji}, VS16 is wide: {vs16_is_wide}\n{all}");
            // The columns are those of a row whose text is plain.
            let plain = rows.iter().rev().find(|row| row.concat().contains("plain")).expect("it is there");
            let lines: Vec<_> = (0..plain.len()).filter(|column| plain[*column] == "│").collect();
            assert_eq!(lines.len(), 3, "rooms, names and people: {what}");
            let messages = &rows[1..rows.len() - 2];
            for (at, row) in messages.iter().enumerate() {
                assert!(lines.iter().all(|column| row[*column].starts_with('│')), "row {}: {what}", at + 1);
                let text = row[lines[1] + 1..lines[2]].concat();
                let name = row[lines[0] + 1..lines[1]].concat();
                // Each text has a row, in which nothing of another one is left.
                assert_eq!(name.contains("cat"), text.starts_with(" plain"), "{what}");
                assert!(!name.contains("cat") || text.trim_end().ends_with("of them"), "{what}");
            }
            assert!(rows[rows.len() - 2].concat().contains("] [ann] [1:lobby]"), "{what}");
            assert!(rows[rows.len() - 1].concat().starts_with("[lobby] xxx"), "{what}");
        }
    }
}

/// What an emulator shows after these bytes: the text of each cell.
fn emulated(bytes: &str, columns: u16, rows: u16) -> Vec<Vec<String>> {
    let size = |count: u16| count.try_into().expect("a terminal has cells");
    let mut parser = vt100::Parser::new(size(rows), size(columns), 0);
    parser.process(bytes.as_bytes());
    let cell = |row, column| {
        let cell = parser.screen().cell(row, column).expect("it is on the screen");
        match cell.contents() {
            "" if cell.is_wide_continuation() => String::new(),
            "" => " ".to_owned(),
            contents => contents.to_owned(),
        }
    };
    (0..rows).map(|row| (0..columns).map(|column| cell(row, column)).collect()).collect()
}

/// A name in a notification ended its sequence, and the rest was the terminal's. tmux passes on only what is wrapped, and
/// perhaps not even that, so the bell rings too.
#[test]
fn notifications_have_no_control_characters() {
    const START: &str = "\x1b]777;notify;";
    const WRAPPED: &str = "\x1bPtmux;\x1b\x1b]777;notify;";
    for in_tmux in [false, true] {
        let place = Place::new();
        config(&place, "[notifications]\ndesktop = \"osc777\"\n");
        let mut command = place.command(&[]);
        if in_tmux {
            command.env("TMUX", "/tmp/tmux-1000/default,1,0");
        }
        let mut screen = Screen::start(command, COLUMNS, ROWS);
        place.wait_for_join(&screen);
        screen.press("\x1b[O");
        a_while();
        place.model.say("lobby", "bob\x07\x1b\\;x", "ann: \x1b]0;title\x07\x1b\\ look;here");
        screen.wait_for("look");
        crate::support::wait_for("the notification", || {
            String::from_utf8_lossy(&screen.bytes()).contains("]777;notify;")
        });
        screen.wait_until_quiet();
        // No title either.
        screen.assert_frames();
        let bytes = screen.bytes();
        let output = String::from_utf8_lossy(&bytes);
        let (start, end) = if in_tmux { (WRAPPED, "\x07\x1b\\") } else { (START, "\x07") };
        let (before, rest) = output.split_once(start).expect("it is there");
        let (payload, after) = rest.split_once(end).expect("it ends");
        assert!(!payload.contains(char::is_control) && payload.contains("look,here"), "{payload:?}");
        assert_eq!(payload.matches(';').count(), 1, "a title and a text: {payload:?}");
        assert_eq!(output.matches("]777;notify;").count(), 1);
        assert!(before.contains('\x07') || after.contains('\x07'), "the bell");
    }
}
