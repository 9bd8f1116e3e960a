//! Tests of the config.

use std::fs;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use proptest::prelude::*;

use super::*;
use crate::names::RoomName;
use crate::tui::keys::{Action, Context, Keys, Pressed};

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new("/home/ann/.config/hubbub/config.toml"))
}

fn faults(text: &str) -> Vec<String> {
    match parse(text) {
        Err(ConfigError::Faults(faults)) => {
            faults.into_iter().map(|fault| fault.replace("/home/ann/.config/hubbub/", "")).collect()
        }
        outcome => panic!("{text}: {outcome:?}"),
    }
}

#[test]
fn nothing_is_needed() {
    let config = parse("").unwrap();
    assert_eq!(config.profile, Profile::default());
    assert_eq!((config.screen, config.notifications), (Screen::default(), Notifications::default()));
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(Config::load(&folder.path().join(FILE_NAME)).unwrap().path, None);
}

#[test]
fn all_keys_are_read() {
    let config = parse(
        r##"
        server = "chat.example.org"
        name = "ann"
        rooms = ["tea", "#dev"]
        tls = true
        ca = "ca.pem"
        cert = "/etc/ann.pem"
        key = "/etc/ann.key"
        token-file = "token"
        server-name = "chat"

        [profiles.work]
        server = "work.example.org:7000"
        rooms = "builds"

        [screen]
        rooms = false
        people = false
        mouse = true
        joins = "hide"
        emoji = "full"
        background = "light"
        colors = "256"

        [input]
        history = false

        [notifications]
        bell = false
        desktop = "osc777"
        words = ["kettle", " tea "]
        muted = ["noise"]

        [keys]
        alt-k = "go-to-room"
        "ctrl-x r" = "search-history"
        f8 = "none"

        [keys.select]
        x = "delete"
        "##,
    )
    .unwrap();
    let room = |name| RoomName::new(name).unwrap();
    let profile = &config.profile;
    assert_eq!(profile.server.as_ref().unwrap().to_string(), "chat.example.org:5000");
    assert_eq!(profile.rooms, [room("tea"), room("dev")]);
    assert_eq!(profile.ca.as_deref(), Some(Path::new("/home/ann/.config/hubbub/ca.pem")));
    assert_eq!(profile.cert.as_deref(), Some(Path::new("/etc/ann.pem")));
    assert_eq!(profile.token_file.as_deref(), Some(Path::new("/home/ann/.config/hubbub/token")));
    assert!(profile.tls && profile.key.is_some() && profile.server_name.as_deref() == Some("chat"));
    let work = config.profile(Some("work")).unwrap();
    assert_eq!((work.rooms.as_slice(), work.tls, &work.name), (&[room("builds")][..], false, &None));
    let screen = Screen {
        rooms: Some(false),
        people: Some(false),
        mouse: true,
        joins: Joins::Hide,
        emoji: Emoji::Full,
        background: Background::Light,
        colors: Colors::Many,
    };
    assert_eq!(config.screen, screen);
    assert!(!config.input.history && parse("").unwrap().input.history);
    let Notifications { bell, desktop, words, muted } = &config.notifications;
    assert_eq!((*bell, *desktop, muted.as_slice()), (false, Desktop::Osc777, &[room("noise")][..]));
    assert_eq!(words, &["kettle", "tea"]);
    let mut keys = Keys::new(config.keys);
    let alt = KeyEvent::new(KeyCode::Char('k'), KeyModifiers::ALT);
    assert_eq!(keys.press(&alt, Context::Input, true), Pressed::Act(Action::GoToRoom));
    let f8 = KeyEvent::new(KeyCode::F(8), KeyModifiers::NONE);
    assert!(matches!(keys.press(&f8, Context::Input, true), Pressed::Unbound(_)));
}

#[test]
fn each_fault_has_its_line_and_the_remedy() {
    let found = faults(
        r#"server = "https://chat.example.org"
nmae = "ann"
rooms = ["tea", ".hidden", 7]
tls = "yes"
name = " ann"
[screen]
mouse = 1
joins = "sometimes"
back_ground = "dark"
[notifications]
words = ["", " "]
muted = true
[keys]
alt-k = "go-to-rom"
a = "help"
hyper-x = "help"
f2 = "help"
F2 = "find"
[keys.select]
y = "copy-it"
[profiles.work]
sever = "x"
[profiles."a b"]
server = "x"
[profiles.empty]
name = "x"
"#,
    );
    for (number, parts) in [
        (1, ["server: invalid address", "write chat.example.org, and --tls"]),
        (2, ["unknown key nmae", "did you mean name?"]),
        (3, ["rooms:", "'.'"]),
        (3, ["rooms: expected a text in quotes", "not a number"]),
        (4, ["tls: expected true or false", "not a text"]),
        (5, ["name:", "blank"]),
        (7, ["mouse: expected true or false", "not a number"]),
        (8, ["joins: expected \"fold\", \"show\", \"hide\"", "not sometimes"]),
        (9, ["unknown key back_ground in [screen]", "did you mean background?"]),
        (11, ["words: it is empty", "leave the key out"]),
        (11, ["words:", "a word has letters"]),
        (12, ["muted: expected a text in quotes", "not true or false"]),
        (14, ["unknown action \"go-to-rom\"", "did you mean \"go-to-room\"?"]),
        (15, ["a types text", "add ctrl or alt"]),
        (16, ["\"hyper-x\" is not a key", "alt-1"]),
        (18, ["F2 is bound twice", "remove one of them"]),
        (20, ["unknown action \"copy-it\"", "docs/terminal.md"]),
        (22, ["unknown key sever in [profiles.work]", "did you mean server?"]),
        (23, ["the name of a profile has 1 to 64 letters", "[profiles.work]"]),
        (25, ["the profile empty has no server", "add server = "]),
    ]
    .iter()
    {
        let place = format!("config.toml:{number}: ");
        let is_there = |fault: &&String| fault.starts_with(&place) && parts.iter().all(|part| fault.contains(part));
        assert!(found.iter().any(|fault| is_there(&fault)), "{number} {parts:?}:\n{}", found.join("\n"));
    }
    assert_eq!(found.len(), 20, "{}", found.join("\n"));
}

#[test]
fn what_is_no_toml_is_explained() {
    for (text, fault) in [
        ("name = ann", "config.toml:1: name: text must be in quotes: name = \"ann\""),
        ("\nname =", "config.toml:2: name: missing value"),
        ("name = ann = bob 'c", "config.toml:1: "),
        ("tls = yes", "config.toml:1: tls: invalid value yes: expected true or false"),
        ("name ann", "config.toml:1: expected KEY = VALUE"),
        ("name = \"a\"\nname = \"b\"", "config.toml:2: name is given twice: leave one out"),
        ("[screen]\n[screen]", "config.toml:2: [screen] is given twice: join the two"),
        ("[screen", "config.toml:1: "),
        ("name = \"ann", "config.toml:1: "),
        ("alt-/ = \"help\"", "config.toml:1: "),
        ("screen = 7", "config.toml:1: screen: expected a table, as in [screen], not a number"),
        ("cert = \"x\"", "config.toml:1: cert needs the private key too: add key = \"FILE\""),
        ("[keys]\nenter = \"new-line\"", "config.toml:1: no key sends a message"),
        ("frobnicate = 1", "config.toml:1: unknown key frobnicate: known are server, name, rooms"),
        ("token_file = \"x\"", "config.toml:1: unknown key token_file: did you mean token-file?"),
    ] {
        let found = faults(text);
        assert!(found.len() == 1 && found[0].starts_with(fault), "{text}: {found:?}");
    }
    let many = faults(&(0..1000).map(|n| format!("x{n} = 1\n")).collect::<String>());
    assert_eq!((many.len(), many.last().unwrap().ends_with("correct these first")), (51, true));
}

#[test]
fn files_that_are_none_are_explained() {
    let folder = tempfile::tempdir().unwrap();
    let reason = |path: &Path| Config::load(path).unwrap_err().to_string();
    assert!(reason(folder.path()).ends_with("this is a folder: give the file in it"));
    assert!(reason(Path::new("/dev/null")).ends_with("not a regular file: write the configuration into one"));
    let path = folder.path().join("config.toml");
    fs::write(&path, b"name = \"a\"\n# \xff").unwrap();
    assert!(reason(&path).ends_with("line 2 is not UTF-8: save the file as UTF-8"));
    fs::write(&path, vec![b'#'; 1024 * 1024 + 1]).unwrap();
    assert!(reason(&path).ends_with("larger than 1 MiB, so not a configuration file"));
    fs::write(&path, "\u{feff}name = \"ann\"").unwrap();
    assert_eq!(Config::load(&path).unwrap().path, Some(path));
}

#[test]
fn a_profile_that_is_not_there_names_the_nearest() {
    let config = parse("[profiles.work]\nserver = \"x\"").unwrap();
    let reason = |name| config.profile(Some(name)).unwrap_err().to_string();
    assert!(reason("wrok").ends_with("did you mean @work?"));
    assert!(reason("home").contains("add [profiles.home] with its server to /home/ann"));
    assert!(Config::default().profile(Some("x")).unwrap_err().to_string().contains("there is no config file"));
    assert!(config.profile(None).is_ok());
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "[a-z\\[\\]=\"'., \n\t#0-9-]{0,80}") {
        if let Err(error) = parse(&text) {
            prop_assert!(error.to_string().contains("config.toml:"));
        }
    }

    #[test]
    fn any_key_and_action_are_read_or_refused(key in "\\PC{0,10}", action in "\\PC{0,10}") {
        let quoted = |text: &str| format!("{text:?}");
        let text = format!("[keys]\n{} = {}", quoted(&key), quoted(&action));
        prop_assert!(parse(&text).is_ok() || parse(&text).unwrap_err().to_string().contains("config.toml:"));
    }
}
