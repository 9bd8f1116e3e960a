//! docs/reference.md: its tables of options are generated from the programs' help pages.

use std::env;
use std::fs;
use std::path::Path;

use crate::terminal::client_command;

const PROGRAMS: [&str; 3] =
    [env!("CARGO_BIN_EXE_hubbub-server"), env!("CARGO_BIN_EXE_hubbub"), env!("CARGO_BIN_EXE_hubbub-repeat")];

/// An option on a help page.
struct Declared {
    /// Its name, with its value.
    option: String,
    /// The command that it belongs to; empty for an option of the program itself.
    command: String,
    variable: String,
    /// The paragraphs of its description.
    meaning: Vec<String>,
}

fn help(program: &str, arguments: &[&str]) -> String {
    let output = client_command(program, arguments).output().expect("the program starts");
    String::from_utf8(output.stdout).expect("it is text")
}

/// The options that a help page lists.
fn declared(help: &str, command: &str) -> Vec<Declared> {
    let mut all: Vec<Declared> = Vec::new();
    let mut begins = true;
    for line in help.lines() {
        let (text, indent) = (line.trim(), line.len() - line.trim_start().len());
        if [2, 6].contains(&indent) && text.contains("--") && text.starts_with('-') {
            let (option, command) = (text.replace(['<', '>'], ""), command.to_owned());
            all.push(Declared { option, command, variable: String::new(), meaning: Vec::new() });
        } else if indent == 10
            && let Some(Declared { variable, meaning, .. }) = all.last_mut()
            && !text.is_empty()
        {
            if let Some(name) = text.strip_prefix("[env: ") {
                *variable = format!("`{}`", name.trim_end_matches(']'));
            } else if begins {
                meaning.push(text.to_owned());
            } else if let Some(paragraph) = meaning.last_mut() {
                *paragraph += &format!(" {text}");
            }
        }
        begins = text.is_empty() || text.ends_with(']') || indent != 10;
    }
    all.retain(|declared| !declared.option.contains("--help") && !declared.option.contains("--version"));
    all
}

/// The table of a program's options: its common options, then those of single commands.
fn table(program: &str) -> String {
    let main = help(program, &["--help"]);
    let mut all = declared(&main, "");
    let commands = main.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let commands = commands.filter(|line| !line.starts_with("   ")).filter_map(|line| line.split_whitespace().next());
    for command in commands.filter(|command| *command != "help") {
        let own = declared(&help(program, &[command, "--help"]), command);
        let is_known = |own: &Declared| all.iter().any(|known| known.command.is_empty() && known.option == own.option);
        let own: Vec<_> = own.into_iter().filter(|own| !is_known(own)).collect();
        all.extend(own);
    }
    let mut table = "| option | variable | meaning |\n| --- | --- | --- |\n".to_owned();
    for Declared { option, command, variable, meaning } in all {
        let option = if command.is_empty() { format!("`{option}`") } else { format!("`{command}` `{option}`") };
        let sentence = |paragraph: &String| {
            let is_whole = paragraph.ends_with('.') || paragraph.starts_with('[');
            format!("{paragraph}{}", if is_whole { "" } else { "." })
        };
        let meaning: Vec<_> = meaning.iter().map(sentence).collect();
        table += &format!("| {option} | {variable} | {} |\n", meaning.join(" ").replace('|', "\\|"));
    }
    table
}

/// With `HUBBUB_WRITE_MAP=1` it updates the page, like the test of the code map.
#[test]
fn the_tables_of_options_match_the_help_pages() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference.md");
    let mut page = fs::read_to_string(&path).expect("the page is there");
    for program in PROGRAMS {
        let name = Path::new(program).file_name().and_then(|name| name.to_str()).expect("a plain name");
        let table = table(program);
        assert!(table.lines().count() > 8, "{table}");
        let begin = format!("<!-- options of {name} -->\n");
        let start = page.find(&begin).unwrap_or_else(|| panic!("the page has no options of {name}")) + begin.len();
        let end = start + page[start..].find("<!-- end -->").expect("the table has an end");
        if env::var_os("HUBBUB_WRITE_MAP").is_some() {
            page.replace_range(start..end, &table);
            fs::write(&path, &page).expect("the page can be written");
        } else {
            assert_eq!(page[start..end], table, "run this test with HUBBUB_WRITE_MAP=1 to update the page");
        }
    }
}

#[test]
fn the_page_of_limits_names_every_option_that_is_one() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/limits.md")).expect("it is there");
    let help = help(PROGRAMS[0], &["--help"]);
    let section: Vec<_> = help.lines().skip_while(|line| *line != "Limits:").skip(1).collect();
    let end = section.iter().position(|line| line.ends_with(':') && !line.starts_with(' ')).unwrap_or(section.len());
    let options = declared(&section[..end].join("\n"), "");
    assert!(options.len() > 10, "the help page has a section of limits");
    for Declared { option, .. } in options {
        let name = option.split_whitespace().next().unwrap_or_default();
        assert!(name == "--pollers" || page.contains(&format!("`{name}`")), "docs/limits.md does not name {name}");
    }
}
