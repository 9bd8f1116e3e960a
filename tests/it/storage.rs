//! docs/storage.md: its description of tables and files must match the data folder of a server.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use hubbub::wire::{self, v1};
use rusqlite::Connection;
use tempfile::TempDir;

use super::support::chatter::environment;
use super::support::process::ServerProcess;
use super::support::talker::{Talker, call, post_message};

fn page() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/storage.md")).expect("the page is there")
}

/// The columns of the tables that the page describes, with their types, in the page's order.
fn described(page: &str) -> BTreeMap<String, Vec<(String, String)>> {
    let sections = page.split("\n## ").skip(1).filter(|section| section.starts_with('`'));
    let cell = |cell: &str| cell.trim().trim_matches('`').to_owned();
    let columns = |section: &str| {
        let rows = section.lines().filter(|line| line.starts_with("| `"));
        rows.map(|row| row.split('|').skip(1))
            .map(|mut cells| (cell(cells.next().unwrap()), cell(cells.next().unwrap())))
            .collect()
    };
    sections.map(|section| (cell(section.lines().next().unwrap()), columns(section))).collect()
}

/// The story: a user wrote a program for the database by this page, which was two versions old.
#[test]
fn the_page_describes_the_database_of_a_server() {
    let folder = TempDir::new().expect("a folder can be made");
    let data = folder.path().join("data");
    let mut server = ServerProcess::start(&["--data", data.to_str().expect("a plain path")]);
    let client = Talker::connect(&environment(), server.target(), "ann").client;
    for (number, room) in ["garden", "attic", "garden"].into_iter().enumerate() {
        post_message(&client, room, "ann", number as u128 + 1, "hello").expect("it is stored");
    }
    let (room, sender) = ("garden".to_owned(), "ann".to_owned());
    let delete = v1::DeleteMessageRequest { room, sender, message_seq: 2, ..Default::default() };
    call(&client, &wire::DELETE_MESSAGE, &delete).expect("it is deleted");
    let page = page();
    let files = page.split("\n| --- | --- |\n").nth(1).expect("the table of files");
    let mut files: Vec<_> = files.lines().map_while(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    let mut found: Vec<_> = fs::read_dir(&data).expect("it is there").map(|file| file.unwrap().file_name()).collect();
    // They are there while a program has the index open; the server opens it a moment after its start.
    found.retain(|name| !name.to_string_lossy().starts_with("search.db-"));
    found.sort();
    files.sort_unstable();
    assert_eq!(found, files);
    let write_ahead = fs::metadata(data.join("hubbub.db-wal")).expect("it is there").len();
    assert!(page.contains(&format!("{} MiB, laid out", write_ahead >> 20)), "it has {write_ahead} bytes");

    server.signal(libc::SIGTERM);
    assert_eq!(server.wait().code(), Some(0));
    let database = Connection::open(data.join("hubbub.db")).expect("it is a database");
    let version: i64 = database.pragma_query_value(None, "user_version", |row| row.get(0)).expect("it has a version");
    assert!(page.contains(&format!("user version {version}")), "the version is {version}");
    let names = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'";
    let mut names = database.prepare(names).expect("a statement");
    let names: Vec<String> = names.query_map((), |row| row.get(0)).expect("rows").map(Result::unwrap).collect();
    let columns = |database: &Connection, table: &String| {
        let mut columns = database.prepare("SELECT name, type FROM pragma_table_xinfo(?1)").expect("a statement");
        // SQLite appends the keywords of a generated column to its type.
        let kind = |kind: String| kind.split(' ').next().unwrap_or_default().to_owned();
        let columns = columns.query_map([table], |row| Ok((row.get(0)?, kind(row.get(1)?)))).expect("rows");
        columns.map(Result::unwrap).collect::<Vec<(String, String)>>()
    };
    let mut described = described(&page);
    let accounts = Connection::open(data.join("accounts.db")).expect("it is a database");
    assert_eq!(described.remove("accounts.db"), Some(columns(&accounts, &"events".to_owned())));
    // Its tables are of the server alone, which makes them again when it likes.
    described.remove("search.db");
    let found: BTreeMap<_, _> = names.iter().map(|table| (table.clone(), columns(&database, table))).collect();
    assert_eq!(described, found);

    let sql = page.split("```sql\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
    let mut statement = database.prepare(sql).expect("the example is valid");
    let rooms = statement.query_map((), |row| Ok((row.get(0)?, row.get(1)?))).expect("rows");
    let rooms: Vec<(String, i64)> = rooms.map(Result::unwrap).collect();
    assert_eq!(rooms, [("attic".to_owned(), 1), ("garden".to_owned(), 2)]);
}
