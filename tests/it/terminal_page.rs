//! docs/terminal.md: its tables of keys, commands and settings are those of the client.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{env, fs};

use hubbub::tui::commands::{COMMANDS, REFUSED, Usage};
use hubbub::tui::config::{Config, INPUT_KEYS, NOTIFICATION_KEYS, PROFILE_KEYS, SCREEN_KEYS};
use hubbub::tui::keys::{Action, Context, DEFAULTS, KeyMap, NAMED, chord, shown};

/// What people who come from irssi, WeeChat and other clients expect to find: each has a row in the table.
const HABITS: [&str; 25] = [
    "switch to room 1–10",
    "11th and on",
    "next/previous room",
    "next room with something",
    "last room",
    "jump by name, fuzzy",
    "scroll",
    "to the unread line",
    "previous/next mention",
    "back to live",
    "line start/end, word, kill",
    "input history",
    "search in the text",
    "newline in a message",
    "$EDITOR",
    "complete",
    "hide lists",
    "bare screen for copying",
    "redraw",
    "mouse",
    "suspend",
    "Ctrl-C",
    "Ctrl-D",
    "help",
    "select a message",
];

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/terminal.md")
}

fn page() -> String {
    fs::read_to_string(path()).expect("docs/terminal.md is there")
}

/// Where the lines after a mark are, in bytes.
fn section(page: &str, mark: &str) -> std::ops::Range<usize> {
    let begin = format!("<!-- {mark} -->\n");
    let start = page.find(&begin).unwrap_or_else(|| panic!("the page has no {mark}")) + begin.len();
    let end = page[start..].find("<!-- end -->").expect("the section has an end");
    start..start + end
}

/// The rows of a table without its head, in cells.
fn rows(page: &str, mark: &str) -> Vec<Vec<String>> {
    let cells = |row: &str| {
        let row = row.trim().trim_start_matches('|').trim_end_matches('|').replace("\\|", "\u{0}");
        row.split('|').map(|cell| cell.trim().replace('\u{0}', "|")).collect()
    };
    page[section(page, mark)].lines().skip(2).map(cells).collect()
}

/// The texts between backticks. `a` … `c` stands for those between them too, which differ by a digit.
fn quoted(cell: &str) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for (number, part) in cell.split('`').enumerate() {
        if number % 2 == 0 {
            continue;
        }
        let is_range = cell.split('`').nth(number - 1).is_some_and(|between| between.contains('…'));
        if let (true, Some(first)) = (is_range, all.last().cloned()) {
            let digit = |text: &str| text.chars().last().and_then(|c| c.to_digit(10)).expect("a range ends in digits");
            let stem = &first[..first.len() - 1];
            all.extend((digit(&first) + 1..digit(part)).map(|digit| format!("{stem}{digit}")));
        }
        all.push(part.to_owned());
    }
    all
}

/// The actions of a table with their keys, as the key map shows them.
fn documented(page: &str, mark: &str) -> Vec<(String, BTreeSet<String>)> {
    let mut all = Vec::new();
    for row in rows(page, mark) {
        let [.., keys, what, action] = row.as_slice() else { panic!("{row:?}") };
        assert!(what.ends_with('.') || what.ends_with(".)"), "a sentence says what Hubbub does: {row:?}");
        let (keys, actions) = (quoted(keys), quoted(action));
        assert!(!actions.is_empty(), "{row:?}");
        let keys = keys.iter().map(|keys| shown(&chord(keys).unwrap_or_else(|fault| panic!("{row:?}: {fault}"))));
        match actions.len() {
            1 => all.push((actions[0].clone(), keys.collect())),
            count => {
                assert_eq!(count, keys.len(), "a key for each action: {row:?}");
                all.extend(actions.into_iter().zip(keys.map(|keys| BTreeSet::from([keys]))));
            }
        }
    }
    all
}

#[test]
fn the_tables_of_keys_are_the_default_key_map() {
    let page = page();
    let map = KeyMap::default();
    for (context, mark) in [
        (Context::Input, "keys of the input"),
        (Context::Select, "keys of a selection"),
        (Context::List, "keys of a list"),
    ] {
        let documented = documented(&page, mark);
        let names: BTreeSet<_> = documented.iter().map(|(name, _)| name.clone()).collect();
        assert_eq!(names.len(), documented.len(), "an action has two rows in {mark}");
        for (name, keys) in &documented {
            let action = Action::named(context, name).unwrap_or_else(|| panic!("{name} is no action of {mark}"));
            let bound: BTreeSet<_> = map.keys_of(context, action).into_iter().collect();
            assert_eq!(keys, &bound, "the keys of {name}");
        }
        let of_context = |of: &Context| *of == context;
        let known = NAMED.iter().filter(|(of, ..)| of_context(of)).map(|(_, name, _)| *name);
        let bound = DEFAULTS.iter().filter(|(of, ..)| of_context(of)).map(|(_, name, _)| *name);
        let missing: Vec<_> = known.chain(bound).filter(|name| !names.contains(*name)).collect();
        assert!(missing.is_empty(), "{mark} has no row for {missing:?}");
    }
}

#[test]
fn every_habit_has_a_row() {
    let rows = rows(&page(), "keys of the input");
    let habits: Vec<_> = rows.iter().map(|row| row[0].as_str()).filter(|habit| !habit.is_empty()).collect();
    assert_eq!(habits, HABITS);
    // What a row promises is more than its key: these are the parts that differ between clients.
    let says = |habit: &str, parts: &[&str]| {
        let start = rows.iter().position(|row| row[0] == habit).expect("it is a habit");
        let end = rows[start + 1..].iter().position(|row| !row[0].is_empty()).map_or(rows.len(), |at| start + 1 + at);
        let text: String = rows[start..end].concat().concat();
        parts.iter().for_each(|part| assert!(text.contains(part), "{habit} does not say {part:?}"));
    };
    says("next room with something", &["mentions first", "direct messages", "then back"]);
    says("jump by name, fuzzy", &["`/go"]);
    says("scroll", &["wheel"]);
    says("back to live", &["`End`", "if the input is empty"]);
    says("line start/end, word, kill", &["before the cursor in the row", "`Ctrl-Y`", "`Ctrl-_`"]);
    says("input history", &["in this room", "in any room", "draft"]);
    says("search in the text", &["`/lastlog`", "list", "jumps"]);
    says("$EDITOR", &["`/editor`"]);
    says("complete", &["last comes first", "`: `", "`#rooms`", "`/commands`", "`:wave:`"]);
    says("mouse", &["At the start the terminal has it", "Shift selects"]);
    says("Ctrl-C", &["clears the line", "Ctrl-C again or `/quit`"]);
    says("Ctrl-D", &["on an empty line, nothing"]);
    says("help", &["`/help COMMAND`"]);
}

/// The tables of commands, as the client has them.
fn commands() -> String {
    let mut table = "| command | short | what it does |\n| --- | --- | --- |\n".to_owned();
    for Usage { name, aliases, arguments, text } in COMMANDS {
        let aliases: Vec<_> = aliases.iter().map(|alias| format!("`/{alias}`")).collect();
        let usage = format!("/{name} {arguments}");
        let cells = [format!("`{}`", usage.trim_end()), aliases.join(", "), format!("{}.", capital(text))];
        table += &format!("| {} |\n", cells.map(|cell| cell.replace('|', "\\|")).join(" | "));
    }
    table
}

fn refused() -> String {
    let mut table = "| commands | instead |\n| --- | --- |\n".to_owned();
    for (names, reason) in REFUSED {
        let names: Vec<_> = names.split(' ').map(|name| format!("`/{name}`")).collect();
        table += &format!("| {} | {}. |\n", names.join(", "), capital(reason));
    }
    table
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// With `HUBBUB_WRITE_MAP=1` it updates the page, like the test of the code map.
#[test]
fn the_tables_of_commands_are_those_of_the_help() {
    let mut page = page();
    for (mark, table) in [("commands", commands()), ("refused commands", refused())] {
        let section = section(&page, mark);
        if env::var_os("HUBBUB_WRITE_MAP").is_some() {
            page.replace_range(section, &table);
            fs::write(path(), &page).expect("the page can be written");
        } else {
            assert_eq!(page[section], table, "run this test with HUBBUB_WRITE_MAP=1 to update the page");
        }
    }
}

#[test]
fn the_config_of_the_page_is_read_and_its_table_has_all_keys() {
    let page = page();
    let example = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
    let config = Config::parse(example, Path::new("config.toml")).unwrap_or_else(|fault| panic!("{fault}"));
    assert!(config.profile(Some("work")).is_ok() && config.notifications.words == ["kettle"]);
    let rows = rows(&page, "keys of the config");
    let documented: Vec<_> = rows.iter().flat_map(|row| quoted(&row[1])).collect();
    let known = PROFILE_KEYS.iter().chain(&SCREEN_KEYS).chain(&INPUT_KEYS).chain(&NOTIFICATION_KEYS);
    assert_eq!(documented, known.map(ToString::to_string).collect::<Vec<_>>());
}

#[test]
fn ten_things_stand_beside_other_clients() {
    let rows = rows(&page(), "the ten most common things");
    assert_eq!(rows.len(), 10);
    for row in rows {
        assert!(row.len() == 4 && row.iter().all(|cell| !cell.is_empty()), "{row:?}");
        // Each command that Hubbub's column names is one.
        for command in quoted(&row[3]).iter().filter(|text| text.starts_with('/')) {
            assert!(hubbub::tui::commands::read(command).is_ok(), "{command}");
        }
    }
}
