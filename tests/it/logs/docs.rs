//! docs/logs.md: its events and their fields, and its table of all other lines, which is made from the code.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The parts of every line in JSON.
pub const PARTS: [&str; 4] = ["time", "level", "target", "message"];

/// The event of lines that were dropped.
pub const DROPPED: &str = "… log lines were dropped, because standard error took none";

fn page() -> (PathBuf, String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/logs.md");
    let text = fs::read_to_string(&path).expect("the page is there");
    (path, text)
}

/// The event of a message: a number is part of some.
pub fn event_of(message: &str) -> String {
    if message.starts_with("and ") && message.contains(" more in the last ") {
        return "and … more in the last second".to_owned();
    }
    match message.split_once(" log line") {
        Some((_, rest)) => {
            format!("… log lines were {}", rest.trim_start_matches("s were ").trim_start_matches(" was "))
        }
        None => message.to_owned(),
    }
}

/// The events of the page with their fields: a heading with the message, and a table.
pub fn events() -> BTreeMap<String, BTreeSet<String>> {
    let (_, text) = page();
    let mut events = BTreeMap::new();
    for section in text.split("\n### `").skip(1) {
        let (event, rest) = section.split_once('`').expect("a heading ends");
        let rest = rest.split("\n## ").next().unwrap_or_default();
        let rows = rest.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
        events.insert(event.to_owned(), rows.map(|(field, _)| field.to_owned()).collect());
    }
    assert!(events.len() >= 7, "{events:?}");
    events
}

/// A line that the code logs: its level, and its text with `…` for what differs.
type Line = (&'static str, String);

const LEVELS: [&str; 3] = ["error", "warn", "info"];

/// All source files of the server.
fn sources() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = vec![root.join("server.rs"), root.join("startup.rs")];
    let mut folders: Vec<_> = ["server", "threads", "bin/hubbub-server"].map(|folder| root.join(folder)).into();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("the folder is there") {
            let path = entry.expect("it can be listed").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                files.push(path);
            }
        }
    }
    files
}

/// The string literals of a macro's arguments that are not inside other brackets, each with the character before it.
fn literals(arguments: &str) -> Vec<(char, String)> {
    let (mut found, mut depth, mut before) = (Vec::new(), 0, ' ');
    let mut chars = arguments.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' if depth == 0 => break,
            ')' | ']' | '}' => depth -= 1,
            '"' => {
                let mut text = String::new();
                loop {
                    match chars.next() {
                        None | Some('"') => break,
                        Some('\\') => match chars.next() {
                            // A line that goes on.
                            Some('\n') => while chars.next_if(|c| c.is_whitespace()).is_some() {},
                            Some(escaped) => text.push(escaped),
                            None => break,
                        },
                        Some(c) => text.push(c),
                    }
                }
                if depth == 0 {
                    found.push((before, text));
                }
            }
            _ => {}
        }
        if !c.is_whitespace() {
            before = c;
        }
    }
    found
}

/// A format with `…` in place of its arguments.
fn shown(format: &str) -> String {
    let (mut text, mut rest) = (String::new(), format);
    while let Some((before, after)) = rest.split_once('{') {
        text += before;
        text.push('…');
        rest = after.split_once('}').map_or("", |(_, rest)| rest);
    }
    text + rest
}

/// The lines in one file.
fn lines_of(source: &str) -> BTreeSet<Line> {
    let mut lines = BTreeSet::new();
    let code = source.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    for level in LEVELS {
        for (at, begin) in code.match_indices(&format!("log::{level}!(")) {
            let literals = literals(&code[at + begin.len()..]);
            // The message of a line with fields follows a semicolon; a target comes before the message.
            let with_fields = literals.iter().find(|(before, _)| *before == ';');
            let plain = literals.iter().find(|(before, _)| *before != ':');
            let Some((_, format)) = with_fields.or(plain) else { continue };
            let text = shown(format);
            // The others are made elsewhere, or are events.
            if text.contains(char::is_alphabetic) && with_fields.is_none() {
                lines.insert((level, text));
            }
        }
    }
    lines
}

fn table() -> String {
    let lines: BTreeSet<Line> =
        sources().iter().flat_map(|path| lines_of(&fs::read_to_string(path).expect("a source is text"))).collect();
    assert!(lines.len() > 80, "too few lines were found: {lines:?}");
    let mut table = "| level | line |\n| --- | --- |\n".to_owned();
    for level in LEVELS {
        for (_, text) in lines.iter().filter(|(other, _)| *other == level) {
            table += &format!("| {level} | {} |\n", text.replace('|', "\\|"));
        }
    }
    table
}

/// With `HUBBUB_WRITE_MAP=1` it updates the page, like the test of the code map.
#[test]
fn the_page_lists_every_line_of_the_code() {
    let (path, mut text) = page();
    let begin = "<!-- lines: made from the code -->\n";
    let start = text.find(begin).expect("the table has a begin") + begin.len();
    let end = start + text[start..].find("<!-- end -->").expect("the table has an end");
    let table = table();
    if std::env::var_os("HUBBUB_WRITE_MAP").is_some() {
        text.replace_range(start..end, &table);
        fs::write(&path, text).expect("the page can be written");
    } else {
        assert_eq!(text[start..end], table, "run this test with HUBBUB_WRITE_MAP=1 to update the page");
    }
}

/// The closed list of reasons, which programs may compare.
#[test]
fn the_page_lists_every_reason() {
    let source = include_str!("../../../src/server/delivery/close.rs");
    let words = source.split("pub fn word(&self)").nth(1).and_then(|rest| rest.split("    }\n\n").next());
    let words: BTreeSet<_> = words.expect("the words are there").split('"').skip(1).step_by(2).collect();
    let (_, page) = page();
    let section = page.split("\n## Reasons").nth(1).and_then(|rest| rest.split("\n## ").next()).expect("a section");
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let listed: BTreeSet<_> = rows.map(|(word, _)| word).collect();
    assert!(words.len() > 20, "{words:?}");
    assert_eq!(listed, words);
}
