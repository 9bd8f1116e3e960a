//! The readers of what people type and paste, and of their config, for [`crate::fuzz`].

use std::path::Path;

use unicode_segmentation::UnicodeSegmentation as _;

use super::commands::{self, Command, read};
use super::config::{Config, ConfigError};
use super::keys::{Action, Edit, NAMED};
use super::line_editor::{LineEditor, TEXT_BYTES_MAX};
use super::paste::{Answer, Choice, Paste, Plan, clean};
use crate::editing::Wanted;
use crate::names::RoomName;

/// What is left of a paste acts on nothing, and each answer to its question can be sent.
pub fn pastes(input: &[u8]) {
    let raw = String::from_utf8_lossy(input);
    let text = clean(&raw);
    assert!(text.chars().all(|c| !c.is_control() || matches!(c, '\n' | '\t')), "{text:?}");
    assert_eq!(clean(&text), text);
    match Paste::new(&raw).plan(0) {
        Plan::Nothing => {}
        Plan::Insert(text) => assert!(!text.is_empty()),
        Plan::Ask(question) => {
            let choices: Vec<_> = question.choices().map(|(_, choice, _)| choice).collect();
            for choice in choices {
                let answer = question.clone().answer(choice);
                assert_eq!(answer == Answer::Nothing, choice == Choice::Cancel);
            }
        }
    }
}

pub fn paste_seeds() -> Vec<Vec<u8>> {
    let pastes: [&[u8]; 3] = [
        b"a\r\nb\rc\n1\n2\n3\n4",
        b"\x1b[31m\x1b[13;1u\x1b[27;5;106~\x1b]0;t\x07",
        "\u{9b}1m\u{85}世\u{1b}".as_bytes(),
    ];
    pastes.map(<[u8]>::to_vec).to_vec()
}

/// Only what may be sent is, and a refusal has a reason.
pub fn entered(input: &[u8]) {
    let line = String::from_utf8_lossy(input);
    match read(&line) {
        Ok(Command::Say { body, .. }) => assert!(!body.as_str().trim().is_empty()),
        Ok(Command::Help(Some(name))) => assert!(commands::usage(name).is_some()),
        Ok(_) => {}
        Err(reason) => assert!(!reason.is_empty()),
    }
    let _ = commands::sent_text(&line);
}

pub fn entered_seeds() -> Vec<Vec<u8>> {
    let lines =
        ["/join #tea", "/react :tea: #12", "/go #tea/12", "/lastlog -hilight", "/edit #3 x", "/window goto 3", "//x"];
    lines.map(|line| line.as_bytes().to_vec()).to_vec()
}

/// A config is read, or each of its faults has a line.
pub fn config(input: &[u8]) {
    match Config::parse(&String::from_utf8_lossy(input), Path::new("config.toml")) {
        Ok(config) => assert!(config.keys.can_enter()),
        Err(ConfigError::Faults(faults)) => {
            assert!(!faults.is_empty() && faults.iter().all(|fault| fault.starts_with("config.toml:")), "{faults:?}");
        }
        Err(other) => panic!("{other}"),
    }
}

pub fn config_seeds() -> Vec<Vec<u8>> {
    let configs = [
        "server = \"x:1\"\nrooms = [\"tea\"]\n[screen]\nmouse = true\n[keys]\n\"ctrl-x e\" = \"find\"\n",
        "[profiles.work]\nserver = 7\n[keys.select]\nx = \"copy\"\n",
        "name = ann\n[screen\n",
    ];
    configs.map(|config| config.as_bytes().to_vec()).to_vec()
}

/// Whatever is pressed, the cursor is at a grapheme, and the text fits. Small bytes stand for keys.
pub fn line(input: &[u8]) {
    let edits: Vec<Edit> = NAMED
        .iter()
        .filter_map(|(.., action)| match action {
            Action::Edit(edit) => Some(*edit),
            _ => None,
        })
        .collect();
    let names = |_: Wanted| vec!["bob".to_owned(), "e\u{301}va".to_owned()];
    let rooms = [None, RoomName::new("tea").ok()];
    let mut editor = LineEditor::default();
    for c in String::from_utf8_lossy(input).chars() {
        match u32::from(c) as usize {
            0 => drop(editor.enter().is_some().then(|| editor.take())),
            1 => drop(editor.clear()),
            2 => drop(editor.cancel()),
            3 => drop(editor.complete(false, names)),
            4 | 5 => editor.switch_to(rooms[u32::from(c) as usize - 4].as_ref()),
            6 => drop(editor.give_back(rooms[1].as_ref(), "back")),
            7 => drop(editor.insert("🇩\u{301}\n")),
            key @ 8..32 => drop(editor.edit(edits[(key - 8) % edits.len()])),
            _ => drop(editor.type_char(c)),
        }
        let (text, cursor) = (editor.text(), editor.cursor());
        assert!(text.len() <= TEXT_BYTES_MAX);
        let is_start = || text.grapheme_indices(true).any(|(at, _)| at == cursor);
        assert!(cursor == text.len() || is_start(), "{text:?} {cursor}");
    }
}

pub fn line_seeds() -> Vec<Vec<u8>> {
    let lines =
        ["one two\u{8}\u{9}\u{14}", "a\u{0}b\u{11}\u{3}\u{4}c\u{5}\u{15}", "e\u{301}🇩🇪👩\u{200d}👧\u{10}\u{1e}\u{1f}"];
    lines.map(|line| line.as_bytes().to_vec()).to_vec()
}
