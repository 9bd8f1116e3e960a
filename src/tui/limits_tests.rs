//! The limits of the client are those that docs/terminal.md states.

use super::input_history;
use super::keys::ROOM_NUMBER_MAX;
use super::line_editor::{ALL_LINES_MAX, COUNTED_BYTES, ROOM_LINES_MAX, TEXT_BYTES_MAX};
use super::network::{BYTES_MAX, LINES_MAX};
use super::notify::COPY_BYTES_MAX;
use super::paste::{EACH_MAX, PASTE_BYTES_MAX};
use super::room::Limits;
use crate::limits::BODY_BYTES_MAX;

/// With a comma between the thousands.
fn number(number: usize) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(|group| String::from_utf8_lossy(group)).collect();
    groups.join(",")
}

/// In the largest unit that divides it.
fn bytes(count: usize) -> String {
    match (count % (1024 * 1024), count % 1024) {
        (0, _) => format!("{} MiB", count / 1024 / 1024),
        (_, 0) => format!("{} KiB", count / 1024),
        _ => format!("{} bytes", number(count)),
    }
}

#[test]
fn the_page_has_the_limits_of_the_code() {
    let window = Limits::default();
    let expected = [
        ("messages of a room in memory", format!("{}, or {} of text", number(window.entries), bytes(window.bytes))),
        ("messages that wait for the server", format!("{}, or {}", number(LINES_MAX), bytes(BYTES_MAX))),
        ("a text in the input", bytes(TEXT_BYTES_MAX)),
        ("a paste", bytes(PASTE_BYTES_MAX)),
        ("a paste that is sent a line each", format!("{EACH_MAX} lines")),
        (
            "lines for Up",
            format!(
                "{ROOM_LINES_MAX} in a room, {} in all; {} on the disk",
                number(ALL_LINES_MAX),
                input_history::LINES_MAX
            ),
        ),
        ("a text for the clipboard", bytes(COPY_BYTES_MAX)),
        ("numbered rooms", ROOM_NUMBER_MAX.to_string()),
    ];
    let page = include_str!("../../docs/terminal.md");
    let (_, table) = page.split_once("<!-- limits -->\n").expect("the page has the table");
    let (table, _) = table.split_once("<!-- end -->").expect("the table ends");
    let rows: Vec<_> = table.lines().skip(2).map(|row| row.split('|').map(str::trim).collect::<Vec<_>>()).collect();
    let stated: Vec<_> = rows.iter().map(|row| (row[1], row[2].to_owned())).collect();
    assert_eq!(stated, expected);
    let counted =
        format!("only {} can be sent, and the last {} is counted down", bytes(BODY_BYTES_MAX), bytes(COUNTED_BYTES));
    assert!(table.contains(&counted), "{counted}");
}
