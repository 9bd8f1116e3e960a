//! The pages that are made from `--print-config`.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use super::{Key, Place, keys, printed};

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn writes() -> bool {
    env::var_os("HUBBUB_WRITE_MAP").is_some()
}

/// With `HUBBUB_WRITE_MAP=1` it updates the file.
#[test]
fn the_file_in_deploy_is_what_the_server_prints() {
    let (file, printed) = (path("deploy/hubbub.toml"), printed());
    if writes() {
        fs::write(&file, printed).expect("the file can be written");
        return;
    }
    let stored = fs::read_to_string(&file).expect("the file is there");
    assert_eq!(stored, printed, "run this test with HUBBUB_WRITE_MAP=1 to update the file");
    assert_eq!(Place::new(&stored).faults(&[]), [""; 0]);
}

/// The table of the keys: what each accepts, its default, and when a change takes effect.
fn table(keys: &[Key]) -> String {
    let mut table = "| key | value | default | a change takes effect |\n| --- | --- | --- | --- |\n".to_owned();
    for Key { name, accepted, value, is_example, on_reload, .. } in keys {
        let default = if *is_example { String::new() } else { format!("`{value}`") };
        let effect = if *on_reload { "on SIGHUP" } else { "after a restart" };
        let _ = writeln!(table, "| `{name}` | {} | {default} | {effect} |", accepted.replace('|', "\\|"));
    }
    table
}

/// With `HUBBUB_WRITE_MAP=1` it updates the page.
#[test]
fn the_table_of_keys_matches_the_program() {
    const BEGIN: &str = "<!-- keys -->\n";
    let file = path("docs/configuration.md");
    let mut page = fs::read_to_string(&file).expect("the page is there");
    let start = page.find(BEGIN).expect("the table begins") + BEGIN.len();
    let end = start + page[start..].find("<!-- end -->").expect("the table ends");
    let table = table(&keys(&printed()));
    if writes() {
        page.replace_range(start..end, &table);
        fs::write(&file, page).expect("the page can be written");
    } else {
        assert_eq!(page[start..end], table, "run this test with HUBBUB_WRITE_MAP=1 to update the page");
    }
}

/// The page's example is a configuration, but for the files that it names.
#[test]
fn the_example_of_the_page_is_valid() {
    let page = fs::read_to_string(path("docs/configuration.md")).expect("the page is there");
    let example = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
    let faults = Place::new(example).faults(&[]);
    let keys = ["data", "listen", "tls-cert", "tls-key"];
    for fault in &faults {
        assert!(keys.iter().any(|key| fault.contains(&format!(": {key}: "))), "{faults:?}");
    }
    assert!(faults.iter().any(|fault| fault.contains("tls-cert: can't read /etc/")), "{faults:?}");
}
