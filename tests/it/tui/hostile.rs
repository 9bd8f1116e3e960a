//! Text of others changes nothing outside its row, and reaches the terminal only escaped.

use super::{COLUMNS, Place, ROWS, Screen, a_while};

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
    // Everything else is where it belongs.
    let rows = screen.rows();
    assert!(rows.last().is_some_and(|row| row.starts_with("[lobby]")), "{}", screen.text());
    // After the separator, which is in its place: it looks like no row of another user.
    let forged = rows.iter().find(|row| row.contains("forged")).expect("it is shown");
    assert!(forged.contains("│ \\u{1b}[A│ forged"), "{forged}");
}

/// A name in a notification or in the window's title.
#[test]
fn notifications_have_no_control_characters() {
    let place = Place::new();
    let config = place.home.path().join(".config/hubbub");
    std::fs::create_dir_all(&config).expect("a folder");
    std::fs::write(config.join("config.toml"), "[notifications]\ndesktop = \"osc777\"\n").expect("a file");
    let mut screen = Screen::start(place.command(&[]), COLUMNS, ROWS);
    place.wait_for_join(&screen);
    screen.press("\x1b[O");
    a_while();
    place.model.say("lobby", "bob", "ann: \x1b]0;title\x07 look;here");
    screen.wait_for("look");
    crate::support::wait_for("the notification", || {
        String::from_utf8_lossy(&screen.bytes()).contains("\x1b]777;notify;")
    });
    let bytes = screen.bytes();
    let output = String::from_utf8_lossy(&bytes);
    let start = output.find("\x1b]777;notify;").expect("it is there") + "\x1b]777;notify;".len();
    let payload = &output[start..start + output[start..].find('\x07').expect("it ends")];
    assert!(!payload.contains('\x1b') && payload.contains("look,here"), "{payload:?}");
    // In tmux it is wrapped, and without the focus lost there is none.
    assert_eq!(output.matches("\x1b]777;notify;").count(), 1);
}
