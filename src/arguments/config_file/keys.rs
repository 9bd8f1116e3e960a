//! Which options are keys, and what is meant by a key that is none.

use clap::builder::ValueRange;
use clap::{Arg, ArgAction, Command};
use toml::de::DeValue;

use crate::arguments::faults::EDITS_MAX;

/// The id of the option that names the file.
pub const CONFIG_ID: &str = "config";

/// The options that are keys: all that have a name and a variable, except the one that names the file.
pub fn keys(command: &Command) -> impl Iterator<Item = &Arg> {
    command.get_arguments().filter(|arg| is_key(arg))
}

fn is_key(arg: &Arg) -> bool {
    arg.get_long().is_some() && arg.get_env().is_some() && arg.get_id() != CONFIG_ID
}

/// The option of a key.
pub fn find<'a>(command: &'a Command, key: &str) -> Option<&'a Arg> {
    keys(command).find(|arg| arg.get_long() == Some(key))
}

/// Whether it takes no value on the command line.
pub fn is_switch(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::SetTrue | ArgAction::SetFalse)
}

/// Whether it may have several values.
pub fn is_repeatable(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Append)
        || arg.get_num_args().is_some_and(|range: ValueRange| range.max_values() > 1)
}

/// The option that may be meant by a key that is no option's, and the text of the fault.
pub fn unknown(command: &Command, key: &str, value: &DeValue<'_>) -> (Option<String>, String) {
    // `retain.for = …` is a table too.
    let dotted = match value {
        DeValue::Table(table) => table.keys().find_map(|inner| find(command, &format!("{key}-{}", inner.get_ref()))),
        _ => None,
    };
    let Some((meant, near)) = dotted.or_else(|| near(command, key)).and_then(|arg| Some((arg, arg.get_long()?))) else {
        let text = match value {
            DeValue::Table(_) => {
                format!("unknown table {key}: there are no tables; leave [{key}] out, and keep its keys")
            }
            _ if command.get_arguments().any(|arg| arg.get_long() == Some(key)) => {
                format!("{key} is an option of the command line only: leave it out")
            }
            _ => format!("unknown key {key}: --print-config lists all keys"),
        };
        return (None, text);
    };
    (Some(meant.get_id().to_string()), format!("unknown key {key}: did you mean {near}?"))
}

/// The option whose key is meant: written like a flag or a variable, or misspelt.
fn near<'a>(command: &'a Command, key: &str) -> Option<&'a Arg> {
    let key = key.to_lowercase().replace('_', "-");
    let key = key.trim_start_matches("--");
    let key = key.strip_prefix("hubbub-").unwrap_or(key);
    let known = keys(command).filter(|arg| !arg.is_hide_set());
    let known = known.map(|arg| (strsim::osa_distance(arg.get_long().unwrap_or_default(), key), arg));
    let (distance, near) = known.min_by_key(|(distance, _)| *distance)?;
    (distance <= EDITS_MAX && distance * 2 < key.len()).then_some(near)
}
