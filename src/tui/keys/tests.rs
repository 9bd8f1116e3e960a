//! Tests of the key map and of chords.

use std::collections::BTreeSet;

use crossterm::event::{KeyEventKind, KeyEventState};
use proptest::prelude::*;

use super::*;

fn event(code: KeyCode, modifiers: KeyModifiers) -> KeyEvent {
    KeyEvent::new(code, modifiers)
}

/// The event of a key by its name, as the map reads it.
fn named(name: &str) -> KeyEvent {
    let key: Key = name.parse().unwrap();
    let has = |modifier: &str| key.to_string().contains(modifier);
    let mut modifiers = KeyModifiers::NONE;
    for (name, modifier) in
        [("Ctrl-", KeyModifiers::CONTROL), ("Alt-", KeyModifiers::ALT), ("Shift-", KeyModifiers::SHIFT)]
    {
        modifiers.set(modifier, has(name));
    }
    event(key.code(), modifiers)
}

/// What keys lead to, one after the other, with something in the input.
fn pressed(names: &[&str]) -> Vec<Pressed> {
    let mut keys = Keys::default();
    names.iter().map(|name| keys.press(&named(name), Context::Input, false)).collect()
}

#[test]
fn each_action_has_a_name_and_each_default_an_action() {
    for context in [Context::Input, Context::Select, Context::List] {
        let names: Vec<_> = NAMED.iter().filter(|(of, ..)| *of == context).map(|(_, name, _)| *name).collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "{context:?}");
    }
    for (context, name, action) in NAMED {
        assert_eq!(Action::named(context, name), Some(action));
        assert_eq!(action.name(context).as_deref(), Some(name));
    }
    assert_eq!(Action::named(Context::Input, "room-99"), Some(Action::Room(99)));
    for none in ["room-0", "room-100", "room-x", "copy", ""] {
        assert_eq!(Action::named(Context::Input, none), None, "{none}");
    }
    let map = KeyMap::default();
    assert!(map.can_enter());
    for (context, name, all) in DEFAULTS {
        let action = Action::named(context, name).unwrap();
        for keys in all {
            assert_eq!(map.action(context, &chord(keys).unwrap()), Some(action), "{keys}");
        }
        assert_eq!(map.keys_of(context, action).len(), all.len(), "{name}");
    }
}

#[test]
fn keys_are_read_and_shown() {
    for (name, shown) in [
        ("ctrl-x", "Ctrl-X"),
        ("C-X", "Ctrl-X"),
        ("alt-n", "Alt-n"),
        ("ALT-N", "Alt-N"),
        ("alt-shift-n", "Alt-N"),
        ("M-1", "Alt-1"),
        ("meta-/", "Alt-/"),
        ("shift-tab", "Shift-Tab"),
        ("ctrl-_", "Ctrl-_"),
        ("ctrl-7", "Ctrl-_"),
        ("ctrl--", "Ctrl-Minus"),
        ("alt--", "Alt-Minus"),
        ("pgup", "PageUp"),
        ("alt-←", "Alt-Left"),
        ("F7", "F7"),
        ("space", "Space"),
        ("ctrl+alt+del", "Ctrl-Alt-Delete"),
        ("é", "é"),
        // Its capital letter has another small one.
        ("ctrl-µ", "Ctrl-µ"),
        ("ctrl-É", "Ctrl-é"),
        ("ctrl-İ", "Ctrl-İ"),
    ] {
        let key: Key = name.parse().unwrap();
        assert_eq!(key.to_string(), shown);
        assert_eq!(shown.parse(), Ok(key));
    }
    for bad in ["", "ctrl-", "hyper-x", "f0", "f25", "fx", "xx", "ctrl-xx", "ctrl x", "\u{1b}"] {
        assert!(bad.parse::<Key>().is_err(), "{bad}");
    }
}

#[test]
fn text_is_typed_and_keys_act() {
    assert_eq!(pressed(&["a", "é", "世", "space"]), ["a", "é", "世", " "].map(|c| Pressed::Type(c.parse().unwrap())));
    assert_eq!(pressed(&["alt-0", "f7"]), [Pressed::Act(Action::Room(10)), Pressed::Act(Action::ToggleRooms)]);
    assert_eq!(pressed(&["alt-z"]), [Pressed::Unbound("alt-z".parse().unwrap())]);
    // In a message selection, letters are keys.
    let mut keys = Keys::default();
    assert_eq!(keys.press(&named("y"), Context::Select, true), Pressed::Act(Action::Selected(Selected::Copy)));
    assert_eq!(keys.press(&named("x"), Context::Select, true), Pressed::Unbound("x".parse().unwrap()));
    assert_eq!(keys.press(&named("x"), Context::List, true), Pressed::Type('x'));
}

#[test]
fn rooms_are_shown_also_while_a_message_is_selected() {
    let mut keys = Keys::default();
    let mut press = |name| keys.press(&named(name), Context::Select, true);
    assert_eq!(press("alt-3"), Pressed::Act(Action::Room(3)));
    assert_eq!(press("alt-a"), Pressed::Act(Action::NextActiveRoom));
    assert_eq!(
        (press("alt-j"), press("1"), press("2")),
        (Pressed::Begun, Pressed::Begun, Pressed::Act(Action::Room(12)))
    );
    assert_eq!(press("f7"), Pressed::Act(Action::ToggleRooms));
    // Its own keys come first, and nothing changes the input.
    assert_eq!(press("ctrl-n"), Pressed::Act(Action::Selected(Selected::Down)));
    for name in ["ctrl-w", "ctrl-y", "ctrl-x", "tab", "backspace", "alt-enter"] {
        assert!(matches!(press(name), Pressed::Unbound(_)), "{name}");
    }
}

#[test]
fn enter_and_end_depend_on_the_line() {
    let mut keys = Keys::default();
    let mut press = |name, is_empty| keys.press(&named(name), Context::Input, is_empty);
    assert_eq!(press("enter", false), Pressed::Act(Action::Enter));
    assert_eq!(press("enter", true), Pressed::Act(Action::MarkRead));
    assert_eq!(press("end", false), Pressed::Act(Action::Edit(Edit::LineEnd)));
    assert_eq!(press("end", true), Pressed::Act(Action::Live));
}

#[test]
fn chords_need_all_their_keys() {
    let mut keys = Keys::default();
    assert_eq!(keys.press(&named("ctrl-x"), Context::Input, false), Pressed::Begun);
    assert_eq!(keys.begun().as_deref(), Some("Ctrl-X …"));
    assert_eq!(keys.press(&named("ctrl-e"), Context::Input, false), Pressed::Act(Action::EditOutside));
    assert_eq!(keys.begun(), None);
    assert_eq!(pressed(&["ctrl-x", "esc"])[1], Pressed::Nothing);
    assert_eq!(pressed(&["ctrl-x", "ctrl-c"])[1], Pressed::Nothing);
}

/// A key that does not go on with a chord was lost in editors that beep instead: text that follows a wrong key must be
/// there.
#[test]
fn a_key_that_abandons_a_chord_does_what_it_does_alone() {
    assert_eq!(pressed(&["ctrl-x", "h", "i"]), [Pressed::Begun, Pressed::Type('h'), Pressed::Type('i')]);
    assert_eq!(pressed(&["ctrl-x", "alt-1"])[1], Pressed::Act(Action::Room(1)));
    assert_eq!(pressed(&["alt-j", "h"])[1], Pressed::Type('h'));
    assert_eq!(pressed(&["alt-j", "1", "h"])[1..], [Pressed::Begun, Pressed::Type('h')]);
    // A chord may be abandoned for another one.
    assert_eq!(pressed(&["ctrl-x", "ctrl-x", "ctrl-e"])[2], Pressed::Act(Action::EditOutside));
}

#[test]
fn two_digits_follow_alt_j() {
    let room = |number| Pressed::Act(Action::Room(number));
    assert_eq!(pressed(&["alt-j", "1", "2"])[2], room(12));
    assert_eq!(pressed(&["alt-j", "0", "3"])[2], room(3));
    assert_eq!(pressed(&["alt-j", "alt-1", "alt-1"])[2], room(11));
    assert_eq!(pressed(&["alt-j", "7", "enter"])[2], room(7));
    assert_eq!(pressed(&["alt-j", "7", "backspace", "1", "5"])[4], room(15));
    assert_eq!(pressed(&["alt-j", "0", "0", "5"])[2..], [Pressed::Nothing, Pressed::Type('5')]);
    assert_eq!(pressed(&["alt-j", "ctrl-1"])[1], Pressed::Unbound("ctrl-1".parse().unwrap()));
    assert_eq!(pressed(&["alt-j", "esc", "5"])[1..], [Pressed::Nothing, Pressed::Type('5')]);
    let mut keys = Keys::default();
    keys.press(&named("alt-j"), Context::Input, false);
    keys.press(&named("1"), Context::Input, false);
    assert_eq!(keys.begun().as_deref(), Some("Alt-j 1…"));
    keys.abandon();
    assert_eq!(keys.press(&named("1"), Context::Input, false), Pressed::Type('1'));
}

/// crossterm #540: Ctrl-_ arrives as Ctrl-7 without the kitty protocol, and as Ctrl-Shift-Minus with it.
#[test]
fn undo_is_known_in_all_forms() {
    use KeyModifiers as M;
    for (code, modifiers) in [('7', M::CONTROL), ('_', M::CONTROL), ('-', M::CONTROL | M::SHIFT), ('/', M::CONTROL)] {
        let pressed = Keys::default().press(&event(KeyCode::Char(code), modifiers), Context::Input, false);
        assert_eq!(pressed, Pressed::Act(Action::Edit(Edit::Undo)), "{code}");
    }
}

/// crossterm #504: Backspace did nothing while Shift was still pressed, and Ctrl-H, which many terminals send for
/// Ctrl-Backspace or Backspace, was no key. With the kitty protocol, Ctrl-I, Ctrl-M and Ctrl-[ are keys of their own.
#[test]
fn keys_that_were_the_same_byte_stay_the_same() {
    use KeyModifiers as M;
    let press = |code, modifiers| Keys::default().press(&event(code, modifiers), Context::Input, false);
    let backspace = Pressed::Act(Action::Edit(Edit::Backspace));
    assert_eq!(press(KeyCode::Backspace, M::SHIFT), backspace);
    assert_eq!(press(KeyCode::Char('h'), M::CONTROL), backspace);
    assert_eq!(press(KeyCode::Char('i'), M::CONTROL), Pressed::Act(Action::Complete));
    assert_eq!(press(KeyCode::Char('m'), M::CONTROL), Pressed::Act(Action::Enter));
    assert_eq!(press(KeyCode::Char('['), M::CONTROL), Pressed::Act(Action::Cancel));
    assert_eq!(press(KeyCode::BackTab, M::SHIFT), Pressed::Act(Action::CompleteBack));
    assert_eq!(press(KeyCode::Up, M::SHIFT), Pressed::Act(Action::Edit(Edit::Up)));
    // But not Enter: with Shift it is a line break, where the terminal tells.
    assert_eq!(press(KeyCode::Enter, M::SHIFT), Pressed::Act(Action::Edit(Edit::NewLine)));
    assert_eq!(press(KeyCode::Char(' '), M::SHIFT), Pressed::Type(' '));
    // Xim #4: tmux makes Alt-Esc of Esc pressed twice.
    assert_eq!(press(KeyCode::Esc, M::ALT), Pressed::Act(Action::Cancel));
}

/// In many terminals Ctrl-Shift-C copies; where it reaches the client, it must not clear the line.
#[test]
fn control_has_no_case_and_shift_is_another_key() {
    use KeyModifiers as M;
    let press = |c, modifiers| Keys::default().press(&event(KeyCode::Char(c), modifiers), Context::Input, false);
    assert_eq!(press('C', M::CONTROL), Pressed::Act(Action::Interrupt));
    assert!(matches!(press('C', M::CONTROL | M::SHIFT), Pressed::Unbound(_)));
    assert!(matches!(press('c', M::CONTROL | M::SHIFT), Pressed::Unbound(_)));
    // Ctrl-Alt types characters on some layouts (crossterm #917); what nothing is bound to types none.
    assert!(matches!(press('\\', M::CONTROL | M::ALT), Pressed::Unbound(_)));
}

/// With a Russian, Greek or Hebrew layout, Ctrl-C and Alt-a arrived as other letters: nobody could leave (shitty #16,
/// pi #718).
#[test]
fn other_layouts_have_the_same_commands() {
    use KeyModifiers as M;
    let press = |c, modifiers| Keys::default().press(&event(KeyCode::Char(c), modifiers), Context::Input, false);
    for (layout, latin) in [("сфяСФЯ", "cazCAZ"), ("ψαζ", "caz"), ("בשז", "caz")] {
        let found: String = layout.chars().filter_map(latin_of).collect();
        assert_eq!(found, latin);
    }
    assert_eq!(press('с', M::CONTROL), Pressed::Act(Action::Interrupt));
    assert_eq!(press('ф', M::ALT), Pressed::Act(Action::NextActiveRoom));
    assert_eq!(press('Т', M::ALT | M::SHIFT), Pressed::Act(Action::TogglePeople));
    assert_eq!(press('α', M::ALT), Pressed::Act(Action::NextActiveRoom));
    assert_eq!(press('ф', M::NONE), Pressed::Type('ф'));
}

/// libcosmic #1030: commands did nothing while Caps Lock was on.
#[test]
fn caps_lock_changes_no_command() {
    use KeyModifiers as M;
    let press = |c, modifiers| Keys::default().press(&event(KeyCode::Char(c), modifiers), Context::Input, false);
    assert_eq!(press('A', M::ALT | M::SHIFT), Pressed::Act(Action::NextActiveRoom));
    assert_eq!(press('Ф', M::ALT | M::SHIFT), Pressed::Act(Action::NextActiveRoom));
    assert_eq!(press('E', M::CONTROL), Pressed::Act(Action::Edit(Edit::LineEnd)));
    // A capital letter that is bound is a key of its own.
    assert_eq!(press('N', M::ALT | M::SHIFT), Pressed::Act(Action::TogglePeople));
    assert_eq!(press('n', M::ALT), Pressed::Act(Action::NextMention));
}

fn latin_of(c: char) -> Option<char> {
    let key = Key::new(KeyCode::Char(c), KeyModifiers::ALT);
    key.fallbacks().find_map(|key| match key.code() {
        KeyCode::Char(c) => Some(c),
        _ => None,
    })
}

#[test]
fn released_keys_and_modifiers_do_nothing() {
    use crossterm::event::ModifierKeyCode;
    let mut keys = Keys::default();
    let released = KeyEvent::new_with_kind(KeyCode::Char('a'), KeyModifiers::NONE, KeyEventKind::Release);
    let repeated = KeyEvent::new_with_kind(KeyCode::Char('a'), KeyModifiers::NONE, KeyEventKind::Repeat);
    let shift = event(KeyCode::Modifier(ModifierKeyCode::LeftShift), KeyModifiers::SHIFT);
    assert_eq!(keys.press(&released, Context::Input, true), Pressed::Nothing);
    assert_eq!(keys.press(&repeated, Context::Input, true), Pressed::Type('a'));
    // They don't abandon a chord.
    keys.press(&named("ctrl-x"), Context::Input, true);
    assert_eq!(keys.press(&shift, Context::Input, true), Pressed::Nothing);
    assert_eq!(keys.press(&released, Context::Input, true), Pressed::Nothing);
    assert_eq!(keys.press(&named("ctrl-e"), Context::Input, true), Pressed::Act(Action::EditOutside));
}

#[test]
fn a_user_binds_keys() {
    let mut map = KeyMap::default();
    map.bind(Context::Input, "f2", "go-to-room").unwrap();
    map.bind(Context::Input, "esc 1", "room-1").unwrap();
    map.bind(Context::Input, "alt-1", "none").unwrap();
    map.bind(Context::Input, "ctrl-x", "quit").unwrap_err();
    map.bind(Context::Input, "ctrl-x", "suspend").unwrap();
    let mut keys = Keys::new(map);
    let mut press = |name| keys.press(&named(name), Context::Input, false);
    assert_eq!(press("f2"), Pressed::Act(Action::GoToRoom));
    assert_eq!(press("alt-1"), Pressed::Unbound("alt-1".parse().unwrap()));
    // It took the place of the chords that begin with it, and a chord that of its first key.
    assert_eq!(press("ctrl-x"), Pressed::Act(Action::Suspend));
    assert_eq!((press("esc"), press("1")), (Pressed::Begun, Pressed::Act(Action::Room(1))));
    assert_eq!(keys.map().keys_of(Context::Input, Action::GoToRoom), ["F2", "Alt-g", "Ctrl-G"]);
}

#[test]
fn a_binding_that_can_not_work_is_refused_with_the_remedy() {
    let mut map = KeyMap::default();
    map.bind(Context::Input, "f2 f3", "help").unwrap();
    let mut refused = |context, keys, action| map.bind(context, keys, action).unwrap_err().to_string();
    for (context, keys, action, reason) in [
        (Context::Input, "a", "help", "a types text: add ctrl or alt"),
        (Context::List, "space x", "leave", "Space types text"),
        (Context::Input, "f2", "help", "F2 is the beginning of F2 F3: remove one of them"),
        (Context::Input, "f2 f3 f4", "help", "F2 F3 is the beginning of F2 F3 F4"),
        (Context::Input, "f2 f3", "find", "F2 F3 is bound twice"),
        (Context::Input, "f2 f3 f4 f5 f6", "find", "has more than 4 keys"),
        (Context::Input, " ", "find", "give a key"),
        (Context::Input, "hyper-q", "find", "is not a key: write it as alt-1"),
        (Context::Input, "f4", "nxt-room", "did you mean \"next-room\"?"),
        (Context::Input, "f4", "frobnicate", "docs/terminal.md lists all"),
        (Context::Input, "f4", "copy", "unknown action \"copy\""),
    ] {
        let shown = refused(context, keys, action);
        assert!(shown.contains(reason), "{shown}");
    }
    // A letter may be bound where nothing is typed.
    assert_eq!(map.bind(Context::Select, "x", "copy"), Ok(()));
}

#[test]
fn a_map_without_enter_is_noticed() {
    let mut map = KeyMap::default();
    map.bind(Context::Input, "enter", "new-line").unwrap();
    assert!(!map.can_enter());
    map.bind(Context::Input, "alt-enter", "enter").unwrap();
    assert!(map.can_enter());
}

fn any_event() -> impl Strategy<Value = KeyEvent> {
    let code = prop_oneof![
        any::<char>().prop_map(KeyCode::Char),
        "[a-zA-Z0-9_/-]".prop_map(|c| KeyCode::Char(c.chars().next().unwrap())),
        (0..30u8).prop_map(KeyCode::F),
        prop::sample::select(vec![
            KeyCode::Enter,
            KeyCode::Esc,
            KeyCode::Tab,
            KeyCode::BackTab,
            KeyCode::Backspace,
            KeyCode::Left,
            KeyCode::Up,
            KeyCode::Home,
            KeyCode::End,
            KeyCode::PageUp,
            KeyCode::Delete,
            KeyCode::Null,
            KeyCode::CapsLock,
        ]),
    ];
    (code, 0..64u8, 0..3u8).prop_map(|(code, modifiers, kind)| KeyEvent {
        code,
        modifiers: KeyModifiers::from_bits_truncate(modifiers),
        kind: [KeyEventKind::Press, KeyEventKind::Repeat, KeyEventKind::Release][usize::from(kind)],
        state: KeyEventState::NONE,
    })
}

proptest! {
    /// Text is never swallowed: every pressed character without Control and Alt is typed, unless it is a digit of a
    /// room's number.
    #[test]
    fn typed_text_arrives(events in proptest::collection::vec(any_event(), 0..40)) {
        let mut keys = Keys::default();
        for event in events {
            let counts = keys.begun().is_some_and(|begun| begun.starts_with("Alt-j"));
            let pressed = keys.press(&event, Context::Input, false);
            let typed = Key::of_event(&event).and_then(Key::text);
            match (typed, pressed) {
                (Some(c), Pressed::Type(typed)) => prop_assert_eq!(c, typed),
                (Some(c), pressed) => prop_assert!(counts && c.is_ascii_digit(), "{:?}: {:?}", event, pressed),
                (None, pressed) => prop_assert!(!matches!(pressed, Pressed::Type(_)), "{:?}", event),
            }
            if let Pressed::Type(c) = pressed {
                prop_assert!(!c.is_control());
            }
        }
    }

    /// The name of a key is read as the same key.
    #[test]
    fn names_of_keys_are_read_back(event in any_event()) {
        let Some(key) = Key::of_event(&event) else { return Ok(()) };
        let is_named = match key.code() {
            KeyCode::Char(c) => !c.is_whitespace() || c == ' ',
            KeyCode::F(number) => (1..=24).contains(&number),
            _ => true,
        };
        // Hyper has no name, and nobody has the key.
        if is_named && !event.modifiers.contains(KeyModifiers::HYPER) {
            prop_assert_eq!(key.to_string().parse(), Ok(key), "{}", key);
        }
    }

    #[test]
    fn any_text_is_a_key_or_refused(text in "\\PC{0,12}", action in "[a-z-]{0,12}") {
        let mut map = KeyMap::default();
        if let Err(error) = map.bind(Context::Input, &text, &action) {
            prop_assert!(!error.to_string().is_empty());
        }
    }
}
