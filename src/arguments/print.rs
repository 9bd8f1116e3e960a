//! A whole configuration file: every key, with its meaning from the help texts, its default, and its value if it has one.

use std::fmt::Write as _;

use clap::{Arg, Command};

use super::config_file::{is_repeatable, is_switch, keys, reason};
use super::settings::{Setting, Settings};

/// The width of the comments.
const COLUMNS: usize = 100;

/// When a changed key takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    OnReload,
    AfterRestart,
}

/// A text that no option accepts that checks its value; its fault names what is accepted.
const PROBE: &str = "?";

/// The file. `title` is its first comment.
pub fn print(command: &Command, settings: &Settings, title: &str, effect: impl Fn(&str) -> Effect) -> String {
    let mut file = String::new();
    comment(&mut file, title);
    let mut all: Vec<_> = keys(command).filter(|arg| !arg.is_hide_set()).collect();
    let mut headings: Vec<&str> = Vec::new();
    for arg in &all {
        let heading = heading(arg);
        if !headings.contains(&heading) {
            headings.push(heading);
        }
    }
    let order = |arg: &Arg| headings.iter().position(|heading| *heading == self::heading(arg));
    all.sort_by_key(|arg| (order(arg), arg.get_display_order()));
    let mut last = "";
    for arg in all {
        let heading = heading(arg);
        if heading != last {
            let _ = write!(file, "\n# {:-<width$}\n", format!("---- {heading} "), width = COLUMNS - 2);
            last = heading;
        }
        let long = arg.get_long().unwrap_or_default();
        file.push('\n');
        entry(&mut file, arg, settings.get(long), effect(long));
    }
    file
}

fn heading(arg: &Arg) -> &str {
    arg.get_help_heading().unwrap_or("Other")
}

fn entry(file: &mut String, arg: &Arg, setting: Option<&Setting>, effect: Effect) {
    let key = arg.get_long().unwrap_or_default();
    let help = arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default();
    comment(file, help.trim());
    let effect = match effect {
        Effect::OnReload => "A change takes effect on SIGHUP.",
        Effect::AfterRestart => "A change takes effect after a restart.",
    };
    let variable = arg.get_env().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let _ = writeln!(file, "#");
    comment(file, &format!("Value: {}.", accepted(arg)));
    comment(file, &format!("Variable: {variable}. {effect}"));
    let texts: Option<Vec<_>> =
        setting.map(|setting| setting.values.iter().map(|value| value.to_str()).collect()).unwrap_or_default();
    match (setting.filter(|setting| setting.is_given), texts) {
        (None, _) => {
            let (values, is_default) = default(arg);
            let note = if is_default { "" } else { "  # an example: not set by default" };
            let values: Vec<_> = values.iter().map(String::as_str).collect();
            let _ = writeln!(file, "#{key} = {}{note}", toml(arg, &values));
        }
        (Some(_), Some(values)) => {
            let _ = writeln!(file, "{key} = {}", toml(arg, &values));
        }
        (Some(_), None) => {
            comment(file, &format!("{key} has a value that is not UTF-8, so that a file can't hold it."))
        }
    }
}

/// The default of an option, or an example if it has none that is a value.
fn default(arg: &Arg) -> (Vec<String>, bool) {
    let defaults: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy().into_owned()).collect();
    if is_switch(arg) {
        return (vec!["false".to_owned()], true);
    }
    if !defaults.is_empty() {
        return (defaults, true);
    }
    let help = arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default();
    let after = |mark: &str, ends: &[char]| {
        let rest = &help[help.find(mark)? + mark.len()..];
        let word = rest.split(ends).next().unwrap_or_default().trim_end_matches(['.', ',', ';', ':']);
        (!word.is_empty() && reason(arg, word).is_none()).then(|| word.to_owned())
    };
    if let Some(word) = after("[default: ", &[']']) {
        return (vec![word], true);
    }
    let ends = [' ', '\n'];
    let example = after("or example ", &ends).or_else(|| after("such as ", &ends));
    (vec![example.unwrap_or_else(|| value_name(arg).to_owned())], false)
}

/// What an option accepts: its parser says so, or its placeholder.
fn accepted(arg: &Arg) -> String {
    let one = match reason(arg, PROBE) {
        _ if is_switch(arg) => "true or false".to_owned(),
        Some(reason) => match reason.split_once("expected ") {
            Some((_, expected)) if expected.contains('(') => expected.to_owned(),
            Some((_, expected)) => expected.trim_end_matches(')').to_owned(),
            None => value_name(arg).to_owned(),
        },
        None => value_name(arg).to_owned(),
    };
    if is_repeatable(arg) { format!("{one}; or an array of these") } else { one }
}

fn value_name(arg: &Arg) -> &str {
    arg.get_value_names().and_then(|names| names.first()).map_or("TEXT", |name| name.as_str())
}

/// A value of TOML.
fn toml(arg: &Arg, values: &[&str]) -> String {
    let one = |text: &&str| {
        let is_number = text.parse::<i64>().is_ok_and(|number| number.to_string() == **text);
        let is_bare = is_number || is_switch(arg);
        if is_bare { (*text).to_owned() } else { quoted(text) }
    };
    let all: Vec<_> = values.iter().map(one).collect();
    if is_repeatable(arg) { format!("[{}]", all.join(", ")) } else { all.concat() }
}

fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// Adds text as a comment, in lines of [`COLUMNS`].
fn comment(file: &mut String, text: &str) {
    for paragraph in text.lines() {
        let mut line = String::from("#");
        for word in paragraph.split_whitespace() {
            if line.chars().count() + 1 + word.chars().count() > COLUMNS && line.len() > 1 {
                let _ = writeln!(file, "{line}");
                line = String::from("#");
            }
            line.push(' ');
            line.push_str(word);
        }
        let _ = writeln!(file, "{line}");
    }
}
