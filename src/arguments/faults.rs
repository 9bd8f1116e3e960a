//! The mistakes of a command line: all invalid values of options and variables, and the first syntax error.
//!
//! clap reports one mistake. If it is an invalid value, the argument is set to accept any value and clap parses again,
//! so each invalid value is found once. After a syntax error (an unknown option, a missing argument) the meaning of the
//! rest of the line is unclear, so only the variables are checked.

use std::error::Error as _;
use std::ffi::OsString;

use clap::builder::ValueParser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgMatches, Command};

use super::is_help;
use crate::names::RoomName;

/// More mistakes than any real command line has.
const FAULTS_MAX: usize = 100;

/// The maximum edit distance of a suggested name.
pub(super) const EDITS_MAX: usize = 2;

/// The result of parsing.
pub struct Parsed {
    /// `None` if too little is known because of the mistakes.
    pub matches: Option<ArgMatches>,
    pub faults: Vec<String>,
    /// The ids of the options whose values are unknown because of mistakes.
    pub broken: Vec<String>,
}

/// Parses the arguments, and finds all mistakes in them and in the variables. The error is the help or the version.
pub fn matches(command: &mut Command, arguments: &[OsString]) -> Result<Parsed, clap::Error> {
    let (mut faults, mut broken) = (Vec::new(), Vec::new());
    let mut lenient = command.clone();
    let form = loop {
        let error = match lenient.try_get_matches_from_mut(arguments) {
            Ok(matches) if faults.is_empty() => {
                *command = lenient;
                return Ok(Parsed { matches: Some(matches), faults, broken });
            }
            Ok(_) => {
                let matches = without(command, arguments, &broken);
                return Ok(Parsed { matches, faults, broken });
            }
            Err(error) if is_help(&error) => return Err(error),
            Err(error) => error,
        };
        let Some(argument) = wrong_value(&error).filter(|_| faults.len() < FAULTS_MAX) else { break Some(error) };
        let id = find(&lenient, &argument).map(|argument| argument.get_id().to_string());
        // An option that accepts anything, and has no value at all.
        if id.as_ref().is_some_and(|id| broken.contains(id)) {
            break None;
        }
        faults.push(value_fault(&error, &lenient, &argument, arguments));
        broken.extend(id);
        lenient = accepting(lenient, &argument);
    };
    faults.extend(form.map(|form| form_fault(&form, arguments)));
    // The variables of the program itself; those of a sub-command are unknown here.
    for _ in 0..FAULTS_MAX {
        let Err(error) = lenient.try_get_matches_from_mut(&arguments[..1]) else { break };
        let Some(argument) = wrong_value(&error) else { break };
        faults.push(value_fault(&error, &lenient, &argument, &arguments[..1]));
        lenient = accepting(lenient, &argument);
    }
    faults.push(help_hint(command, arguments));
    Ok(Parsed { matches: None, faults, broken })
}

/// Parses the arguments without these options and their variables. `None` if that is not possible.
fn without(command: &mut Command, arguments: &[OsString], broken: &[String]) -> Option<ArgMatches> {
    let is_broken = |argument: &Arg| broken.iter().any(|id| argument.get_id() == id.as_str());
    let flags = command.get_arguments().filter(|argument| is_broken(argument)).filter_map(Arg::get_long);
    let flags: Vec<_> = flags.map(|long| format!("--{long}")).collect();
    let (mut kept, mut rest) = (Vec::new(), arguments.iter());
    while let Some(argument) = rest.next() {
        let text = argument.to_string_lossy();
        let name = text.split('=').next().unwrap_or_default();
        match flags.iter().any(|flag| flag == name) {
            true if !text.contains('=') => drop(rest.next()),
            true => {}
            false => kept.push(argument),
        }
    }
    let strict = command.clone().mut_args(|argument| match is_broken(&argument) {
        true => argument.env(None::<&str>),
        false => argument,
    });
    *command = strict;
    command.try_get_matches_from_mut(kept).ok()
}

/// The text of any other error of clap.
pub fn text(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let first = text.lines().next().unwrap_or_default();
    first.strip_prefix("error: ").unwrap_or(first).to_owned()
}

/// The argument whose value is wrong, as clap shows it: `--last <N>`. `None` for mistakes of another kind.
fn wrong_value(error: &clap::Error) -> Option<String> {
    let is_value = matches!(error.kind(), ErrorKind::ValueValidation | ErrorKind::InvalidValue);
    is_value.then(|| context(error, ContextKind::InvalidArg)).flatten()
}

/// The command with an argument, by the name that clap shows, that accepts anything and has no variable.
fn accepting(command: Command, shown: &str) -> Command {
    let names: Vec<_> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    let command = command.mut_args(|argument| match is_shown(&argument, shown) {
        true => argument.value_parser(ValueParser::os_string()).env(None::<&str>),
        false => argument,
    });
    names.into_iter().fold(command, |command, name| command.mut_subcommand(name, |sub| accepting(sub, shown)))
}

fn value_fault(error: &clap::Error, command: &Command, shown: &str, arguments: &[OsString]) -> String {
    let value = context(error, ContextKind::InvalidValue).unwrap_or_default();
    let argument = find(command, shown);
    let flag = argument.and_then(Arg::get_long).map(|long| format!("--{long}"));
    let is_given = |flag: &String| {
        let with_value = format!("{flag}=");
        let options = arguments.iter().take_while(|argument| *argument != "--");
        options.map(|argument| argument.to_string_lossy()).any(|it| it == *flag || it.starts_with(&with_value))
    };
    let variable = argument.and_then(Arg::get_env).map(|variable| variable.to_string_lossy().into_owned());
    let name = match (flag, variable) {
        (Some(flag), Some(variable)) => {
            if is_given(&flag) {
                flag
            } else {
                variable
            }
        }
        (Some(flag), None) => flag,
        (None, _) => shown.to_owned(),
    };
    match (error.source(), expected(error)) {
        (Some(reason), _) => format!("invalid value {value:?} for {name}: {reason}"),
        (None, Some(expected)) if value.is_empty() => format!("missing value for {name}: {expected}"),
        (None, None) if value.is_empty() => format!("missing value for {name}: write {shown}"),
        (None, Some(expected)) => format!("invalid value {value:?} for {name}: {expected}"),
        (None, None) => format!("invalid value {value:?} for {name}"),
    }
}

/// The values that an argument accepts, if they are few: `expected v1 or tutorial`.
fn expected(error: &clap::Error) -> Option<String> {
    match error.get(ContextKind::ValidValue)? {
        ContextValue::Strings(values) if !values.is_empty() => Some(format!("expected {}", values.join(" or "))),
        _ => None,
    }
}

/// Whether clap shows the argument as this text: `--last <N>`, `<ROOM>` or `[TEXT]...`.
fn is_shown(argument: &Arg, shown: &str) -> bool {
    match shown.strip_prefix("--") {
        Some(option) => argument.get_long() == option.split([' ', '=', '[']).next(),
        None => {
            let name = shown.trim_matches(|c| "<>[].".contains(c));
            let own = argument.get_value_names().and_then(|names| names.first()).map(|name| name.as_str());
            argument.get_long().is_none()
                && own.map_or_else(|| argument.get_id().as_str().eq_ignore_ascii_case(name), |own| own == name)
        }
    }
}

fn find<'a>(command: &'a Command, shown: &str) -> Option<&'a Arg> {
    let own = command.get_arguments().find(|argument| is_shown(argument, shown));
    own.or_else(|| command.get_subcommands().find_map(|sub| find(sub, shown)))
}

/// A syntax error of the command line.
fn form_fault(error: &clap::Error, arguments: &[OsString]) -> String {
    let invalid = context(error, ContextKind::InvalidArg);
    let meant = invalid.clone().or_else(|| context(error, ContextKind::InvalidSubcommand)).unwrap_or_default();
    let suggested = |kind| {
        let near = context(error, kind).filter(|name| strsim::osa_distance(name, &meant) <= EDITS_MAX);
        near.map(|name| format!(": did you mean {name}?")).unwrap_or_default()
    };
    match (error.kind(), invalid) {
        (ErrorKind::UnknownArgument, Some(option)) if option.starts_with('-') => {
            if let Some(fault) = dashed_text(&option, arguments) {
                return fault;
            }
            format!("unknown option {option}{}", suggested(ContextKind::SuggestedArg))
        }
        (ErrorKind::UnknownArgument, Some(argument)) => format!("unexpected argument {argument:?}: leave it out"),
        (ErrorKind::InvalidSubcommand, _) => {
            let name = context(error, ContextKind::InvalidSubcommand).unwrap_or_default();
            if name.starts_with('@') && is_client(arguments) {
                return format!("the profile {name} must come first, as in: hubbub {name}");
            }
            match suggested(ContextKind::SuggestedSubcommand) {
                none if none.is_empty() && is_client(arguments) && RoomName::new(&name).is_ok() => {
                    format!("unknown command {name:?}: to chat in a room of that name, write hubbub chat {name}")
                }
                suggested => format!("unknown command {name:?}{suggested}"),
            }
        }
        (ErrorKind::MissingRequiredArgument, Some(missing)) => format!("missing argument: {missing}"),
        (ErrorKind::ArgumentConflict, Some(option)) => {
            let option = option.split(' ').next().unwrap_or_default();
            format!("{option} is given several times: leave one out")
        }
        (ErrorKind::TooManyValues, Some(option)) => {
            let value = context(error, ContextKind::InvalidValue).unwrap_or_default();
            format!("{option} takes no value: leave out {value:?}")
        }
        (ErrorKind::InvalidUtf8, _) => match arguments.iter().find(|argument| argument.to_str().is_none()) {
            Some(argument) => format!("invalid argument {argument:?}: expected UTF-8"),
            None => "an argument is not valid UTF-8".to_owned(),
        },
        _ => text(error),
    }
}

/// `hubbub send tea -x`: a text that begins with a dash looks like an option.
fn dashed_text(option: &str, arguments: &[OsString]) -> Option<String> {
    let send = arguments.iter().position(|argument| argument == "send")?;
    let given = arguments.iter().position(|argument| {
        let argument = argument.to_string_lossy();
        argument == option || option.len() == 2 && !argument.starts_with("--") && argument.starts_with(option)
    })?;
    // The room comes first.
    let example = match arguments.get(send + 1).map(|room| room.to_string_lossy()) {
        Some(room) if given > send + 1 && !room.starts_with('-') => format!("hubbub send {room} -- {option} …"),
        _ => return None,
    };
    Some(format!("unknown option {option}: if it is text to send, put -- before it: {example}"))
}

/// A reference to the help.
fn help_hint(command: &Command, arguments: &[OsString]) -> String {
    let sub = arguments.iter().skip(1).find_map(|argument| command.find_subcommand(argument));
    match sub {
        Some(sub) => format!("see {} {} --help", command.get_name(), sub.get_name()),
        None => format!("see {} --help", command.get_name()),
    }
}

fn is_client(arguments: &[OsString]) -> bool {
    arguments.first().is_some_and(|program| program.to_string_lossy().ends_with("hubbub"))
}

fn context(error: &clap::Error, kind: ContextKind) -> Option<String> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text.clone()),
        ContextValue::Strings(texts) => Some(texts.join(" ")),
        _ => None,
    }
}
