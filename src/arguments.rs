//! Command lines: how all three programs read their options and variables, report mistakes, and show help.
//!
//! clap stops at the first mistake and reports it without the remedy. [`read`] collects the mistakes in options and
//! variables and reports them at once, a line each. The short help (`-h`) fits a terminal of 24 rows and 80 columns;
//! the long help (`--help`) groups the options under headings and names each one's variable.

mod faults;
mod values;

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::process;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, CommandFactory, FromArgMatches};
use thiserror::Error;

use crate::escape::escape;

pub use values::{duration, number, size, switch, timeout};

/// The exit code for wrong usage.
pub const EXIT_USAGE: u8 = 2;

/// The width of help texts; less on a narrower terminal.
const HELP_COLUMNS_MAX: usize = 80;

/// The headings of the long help, in this order; each program has some of them.
pub const CONNECTION: &str = "Connection";
pub const LOGIN: &str = "Login";
pub const STORAGE: &str = "Storage";
pub const MESSAGES: &str = "Messages";
pub const LOAD: &str = "Load";
pub const OUTPUT: &str = "Output";
pub const LIMITS: &str = "Limits";
const OTHER: &str = "Other";

/// The options of a program, as clap derives them, with the rules that go beyond a single option.
pub trait ProgramOptions: CommandFactory + FromArgMatches {
    /// The program's name, which begins each mistake.
    const PROGRAM: &'static str;

    /// The mistakes that concern several options at once; values that depend on several options may be filled in.
    /// `given` has the source of each option's value.
    fn check(&mut self, given: &Given<'_>) -> Vec<String>;
}

/// Why no options were read.
#[derive(Debug, Error)]
pub enum Stop {
    /// The user asked for help or the version.
    #[error("{0}")]
    Help(clap::Error),
    /// The mistakes, each with its remedy.
    #[error("{}", .0.join("\n"))]
    Faults(Vec<String>),
}

/// The sources of the values of options.
#[derive(Clone, Copy)]
pub struct Given<'a> {
    matches: &'a ArgMatches,
    command: &'a Command,
    /// An option to ignore.
    without: Option<&'a str>,
}

impl Given<'_> {
    /// The same, as if this option were not given.
    pub fn without<'b>(&'b self, id: &'b str) -> Given<'b> {
        Given { without: Some(id), ..*self }
    }

    /// Whether the user set this option on the command line.
    pub fn is_flag(&self, id: &str) -> bool {
        self.source(id) == Some(ValueSource::CommandLine)
    }

    /// Whether the user set this option by its variable.
    pub fn is_variable(&self, id: &str) -> bool {
        self.source(id) == Some(ValueSource::EnvVariable)
    }

    /// Whether one option follows another on the command line.
    pub fn follows(&self, id: &str, other: &str) -> bool {
        self.matches.index_of(id) > self.matches.index_of(other)
    }

    /// Whether the variable of this flag turns it off.
    pub fn is_off(&self, id: &str) -> bool {
        self.value_source(id) == Some(ValueSource::EnvVariable) && self.is_false(id)
    }

    /// The option as the user wrote it: `--data`, or the variable's name.
    pub fn name(&self, id: &str) -> String {
        let argument = self.command.get_arguments().find(|argument| argument.get_id() == id);
        match argument.and_then(Arg::get_env).filter(|_| self.is_variable(id)) {
            Some(variable) => variable.to_string_lossy().into_owned(),
            None => format!("--{}", id.replace('_', "-")),
        }
    }

    /// The same with its value, if it takes one.
    fn name_and_value(&self, id: &str) -> String {
        let name = self.name(id);
        let raw = self.matches.get_raw(id).filter(|_| self.matches.try_get_one::<bool>(id).is_err());
        let value = raw.and_then(|mut values| values.next()).map(|value| value.to_string_lossy());
        match value {
            Some(value) if self.is_variable(id) => format!("{name}={value}"),
            Some(value) => format!("{name} {value}"),
            None => name,
        }
    }

    /// The faults of options that have no effect together with another one. An option on the command line overrides the
    /// variables that it makes meaningless.
    pub fn useless<'b>(&self, mode: &str, ids: &'b [&'b str], why: &'b str) -> impl Iterator<Item = String> {
        let mode_is_flag = self.is_flag(mode);
        let mode = self.name_and_value(mode);
        let useless = ids.iter().filter(|id| self.is_flag(id) || self.is_variable(id) && !mode_is_flag);
        let faults: Vec<_> =
            useless.map(|id| format!("{} can't be used with {mode}: {why}; leave one out", self.name(id))).collect();
        faults.into_iter()
    }

    fn source(&self, id: &str) -> Option<ValueSource> {
        self.value_source(id).filter(|_| !self.is_false(id) && self.without != Some(id))
    }

    fn value_source(&self, id: &str) -> Option<ValueSource> {
        // An id that this command does not have is one that the user could not set.
        self.matches.try_contains_id(id).is_ok().then(|| self.matches.value_source(id)).flatten()
    }

    fn is_false(&self, id: &str) -> bool {
        matches!(self.matches.try_get_one::<bool>(id), Ok(Some(false)))
    }
}

/// The program's options. Ends the program if they are wrong, or ask for help.
pub fn from_program<O: ProgramOptions>() -> O {
    from_arguments(std::env::args_os().collect())
}

/// The options in these arguments, the first of which is the program's name. Ends the program as [`from_program`] does.
pub fn from_arguments<O: ProgramOptions>(arguments: Vec<OsString>) -> O {
    read(arguments).unwrap_or_else(|stop| match stop {
        Stop::Help(help) => help.exit(),
        Stop::Faults(faults) => {
            complain(O::PROGRAM, &faults);
            process::exit(EXIT_USAGE.into());
        }
    })
}

/// Prints the mistakes on standard error, a line each. A mistake may contain text from any source, so it is escaped.
pub fn complain(program: &str, faults: &[String]) {
    let lines: String = faults.iter().map(|fault| format!("{program}: {}\n", escape(fault))).collect();
    let _ = io::stderr().write_all(lines.as_bytes());
}

/// Reads the options, or reports all mistakes.
pub fn read<O: ProgramOptions>(arguments: Vec<OsString>) -> Result<O, Stop> {
    let is_long = arguments.iter().any(|argument| argument == "--help" || argument == "help");
    let mut command = prepare(O::command(), is_long);
    let matches = faults::matches(&mut command, &arguments)?;
    let mut misplaced = Vec::new();
    let (mut inner, mut inner_command) = (&matches, &command);
    if let Some((name, sub)) = matches.subcommand() {
        misplaced = before_subcommand(&matches, &command, name);
        let sub_command = command.find_subcommand(name);
        (inner, inner_command) = (sub, sub_command.unwrap_or(&command));
    }
    if !misplaced.is_empty() {
        return Err(Stop::Faults(misplaced));
    }
    let mut options = O::from_arg_matches(&matches).map_err(|error| Stop::Faults(vec![faults::text(&error)]))?;
    let faults = options.check(&Given { matches: inner, command: inner_command, without: None });
    if faults.is_empty() { Ok(options) } else { Err(Stop::Faults(faults)) }
}

/// Options before a sub-command that are not its own: they would have no effect.
fn before_subcommand(matches: &ArgMatches, command: &Command, name: &str) -> Vec<String> {
    let own = command.find_subcommand(name);
    let arguments = command.get_arguments().filter(|argument| !argument.is_global_set());
    let given =
        arguments.filter(|argument| matches.value_source(argument.get_id().as_str()) == Some(ValueSource::CommandLine));
    let fault = |argument: &Arg| {
        let flag = format!("--{}", argument.get_long().unwrap_or_default());
        let has_own = own.is_some_and(|own| own.get_arguments().any(|other| other.get_long() == argument.get_long()));
        match has_own {
            true => format!("{flag} must follow {name}: write {name} {flag} …"),
            false => format!("{flag} can't be used with {name}: leave it out"),
        }
    };
    given.map(fault).collect()
}

/// Gives a command and its sub-commands the format that all programs share.
fn prepare(command: Command, is_long: bool) -> Command {
    let names: Vec<_> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    let is_root = command.get_version().is_some();
    let mut command = command
        .max_term_width(HELP_COLUMNS_MAX)
        .disable_help_flag(true)
        .disable_version_flag(true)
        .mut_args(|argument| {
            let argument = argument.hide_env(!is_long).hide_env_values(true);
            if is_long { argument } else { argument.help_heading(None::<&str>) }
        })
        .arg(other("help", 'h', ArgAction::Help, is_long).help("Print a summary (-h) or the full help (--help)"));
    if is_root {
        command = command
            .arg(other("version", 'V', ArgAction::Version, is_long).help("Print the version").hide_short_help(true));
    }
    let global: Vec<_> = command.get_arguments().filter(|argument| argument.is_global_set()).cloned().collect();
    for sub in names {
        command = command.mut_subcommand(sub, |sub| prepare(ordered(sub, &global), is_long));
    }
    command
}

/// The command with the program's global options before its own: clap appends them, and so their heading.
fn ordered(command: Command, global: &[Arg]) -> Command {
    let own: Vec<_> = command.get_arguments().cloned().collect();
    let mut in_order = global.iter().cloned().chain(own);
    // Each argument is replaced by the one at its position.
    command.args(global).mut_args(|argument| in_order.next().unwrap_or(argument))
}

fn other(name: &'static str, short: char, action: ArgAction, is_long: bool) -> Arg {
    let argument = Arg::new(name).short(short).long(name).action(action).display_order(1000);
    argument.help_heading(is_long.then_some(OTHER))
}

/// Whether clap's error is the help or the version that the user asked for.
fn is_help(error: &clap::Error) -> bool {
    matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion)
}
