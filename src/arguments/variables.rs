//! Variables that a program does not know: a misspelled one would have no effect, in silence.

use std::collections::BTreeSet;
use std::ffi::OsString;

use clap::Command;

use super::faults::EDITS_MAX;

/// What all variables of the programs begin with.
const PREFIX: &str = "HUBBUB_";

/// How many letters of a name there must be for one that may be wrong: the variables of the other programs are not
/// mistakes, and some are short.
const LETTERS_PER_EDIT: usize = 4;

/// Warns of those of these variables that are not known, but are nearly one of the program itself. All others may be meant
/// for another program.
pub fn misspelled(command: &Command, variables: impl Iterator<Item = OsString>) -> Vec<String> {
    let own: BTreeSet<String> = variables_of(command).collect();
    let mut known = BTreeSet::new();
    collect(command, &mut known);
    let variables: BTreeSet<String> = variables.filter_map(|name| name.into_string().ok()).collect();
    let unknown = variables.difference(&known).filter_map(|name| Some((name, name.strip_prefix(PREFIX)?)));
    let warning = |(name, letters): (&String, &str)| {
        let edits_max = EDITS_MAX.min(letters.len() / LETTERS_PER_EDIT);
        let distances = own.iter().map(|own| (strsim::osa_distance(name, own), own));
        let (_, near) = distances.min().filter(|(distance, _)| *distance <= edits_max)?;
        Some(format!("the variable {name} has no effect: did you mean {near}?"))
    };
    unknown.filter_map(warning).collect()
}

/// Adds the variables of a command and of its sub-commands.
fn collect(command: &Command, known: &mut BTreeSet<String>) {
    known.extend(variables_of(command));
    command.get_subcommands().for_each(|sub| collect(sub, known));
}

fn variables_of(command: &Command) -> impl Iterator<Item = String> {
    command.get_arguments().filter_map(|argument| Some(argument.get_env()?.to_str()?.to_owned()))
}

#[cfg(test)]
mod tests {
    use clap::Arg;

    use super::*;

    #[test]
    fn only_what_is_nearly_a_known_variable_is_misspelled() {
        let arg = |name: &'static str| Arg::new(name).env(name);
        let command = Command::new("x")
            .args(["HUBBUB_ROOMS_MAX", "HUBBUB_DATA", "HUBBUB_RETAIN_FOR"].map(arg))
            .subcommand(Command::new("y").args(["HUBBUB_ROOM_NAX", "HUBBUB_JSON"].map(arg)));
        for (name, near) in [
            ("HUBBUB_ROOM_MAX", Some("HUBBUB_ROOMS_MAX")),
            ("HUBBUB_RETIAN_FOR", Some("HUBBUB_RETAIN_FOR")),
            ("HUBBUB_DATE", Some("HUBBUB_DATA")),
            // Known, of another program, of the system.
            ("HUBBUB_ROOM_NAX", None),
            ("HUBBUB_RATE", None),
            ("HUBBUB_JSONL", None),
            ("HUBBUB_", None),
            ("XUBBUB_DATA", None),
            ("PATH", None),
        ] {
            let expected = near.map(|near| format!("the variable {name} has no effect: did you mean {near}?"));
            assert_eq!(misspelled(&command, [OsString::from(name)].into_iter()), Vec::from_iter(expected), "{name}");
        }
    }
}
