//! Command lines: how all three programs read their options and variables, report mistakes, and show help.
//!
//! clap stops at the first mistake and reports it without the remedy. [`read`] collects the mistakes in options and
//! variables and reports them at once, a line each. The short help (`-h`) fits a terminal of 24 rows and 80 columns;
//! the long help (`--help`) groups the options under headings and names each one's variable.
//!
//! A program may have a configuration file too. Its keys and their meaning are those of the options, so there is no
//! other list of them.

mod values;
mod config_file;
mod given;
mod faults;
mod variables;
mod settings;
mod print;
mod generate;
pub mod version;

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process;

use clap::builder::ValueParser;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, CommandFactory, FromArgMatches};
use thiserror::Error;

use crate::escape::escape;
use config_file::{CONFIG_ID, ConfigFile};
use given::Broken;

pub use given::Given;
pub use print::{Effect, print};
pub use settings::{Setting, Settings};
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
pub const CONFIGURATION: &str = "Configuration";
const OTHER: &str = "Other";

/// The options of a program, as clap derives them, with the rules that go beyond a single option.
pub trait ProgramOptions: CommandFactory + FromArgMatches {
    /// The program's name, which begins each mistake.
    const PROGRAM: &'static str;

    /// The mistakes that concern several options at once; values that depend on several options may be filled in.
    /// `given` has the source of each option's value.
    fn check(&mut self, given: &Given<'_>) -> Vec<String>;

    /// The options of the program that a sub-command reads from the configuration file, besides those that it shares.
    fn read_by(_sub_command: &str) -> &'static [&'static str] {
        &[]
    }
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

/// What was read: the options as far as they are known, and the mistakes.
pub struct Reading<O> {
    /// `None` if too little is known because of the mistakes.
    pub options: Option<O>,
    pub faults: Vec<String>,
    /// What can be used, but deserves a look.
    pub warnings: Vec<String>,
    pub settings: Settings,
    /// Whether there is a configuration file without a key.
    pub file_is_empty: bool,
    broken: Broken,
}

impl<O> Reading<O> {
    /// Whether a mistake that was found later only follows from one that is known: it names an option with a mistake.
    pub fn follows(&self, fault: &str) -> bool {
        self.broken.is_named(fault)
    }
}

/// The program's options. Ends the program if they are wrong, or ask for help, a man page or a completion.
///
/// `commit` is the commit that it was built from, if the builder has named it.
pub fn from_program<O: ProgramOptions>(commit: Option<&str>) -> O {
    from_arguments(std::env::args_os().collect(), commit)
}

/// The options in these arguments, the first of which is the program's name. Ends the program as [`from_program`] does.
pub fn from_arguments<O: ProgramOptions>(arguments: Vec<OsString>, commit: Option<&str>) -> O {
    generate_if_asked::<O>(&arguments);
    read_with(&arguments, commit).unwrap_or_else(|stop| match stop {
        Stop::Help(help) => help.exit(),
        Stop::Faults(faults) => {
            complain(O::PROGRAM, &faults);
            process::exit(EXIT_USAGE.into());
        }
    })
}

/// Ends the program if it was asked for a man page or a completion.
pub fn generate_if_asked<O: ProgramOptions>(arguments: &[OsString]) {
    if let Some(what) = generate::asked(arguments) {
        let fault = generate::generate(prepare(O::command(), true), what).err();
        fault.iter().for_each(|fault| complain(O::PROGRAM, std::slice::from_ref(fault)));
        process::exit(if fault.is_none() { 0 } else { EXIT_USAGE.into() });
    }
}

/// Prints the mistakes on standard error, a line each. A mistake may contain text from any source, so it is escaped.
pub fn complain(program: &str, faults: &[String]) {
    let lines: String = faults.iter().map(|fault| format!("{program}: {}\n", escape(fault))).collect();
    let _ = io::stderr().write_all(lines.as_bytes());
}

/// Reads the options, or reports all mistakes.
pub fn read<O: ProgramOptions>(arguments: Vec<OsString>) -> Result<O, Stop> {
    read_with(&arguments, None)
}

fn read_with<O: ProgramOptions>(arguments: &[OsString], commit: Option<&str>) -> Result<O, Stop> {
    let Reading { options, faults, .. } = inspect(arguments, commit).map_err(Stop::Help)?;
    match options {
        Some(options) if faults.is_empty() => Ok(options),
        _ => Err(Stop::Faults(faults)),
    }
}

/// Reads the options from the command line, the variables and the configuration file, and finds all mistakes. The error is
/// the help or the version that the user asked for. `commit` is the commit that the program was built from, if the builder
/// has named it.
pub fn inspect<O: ProgramOptions>(arguments: &[OsString], commit: Option<&str>) -> Result<Reading<O>, clap::Error> {
    let is_long = arguments.iter().any(|argument| argument == "--help" || argument == "help");
    let mut command = O::command();
    let mut file = ConfigFile::default();
    let has_file = command.get_arguments().any(|argument| argument.get_id() == CONFIG_ID);
    if has_file && let Some(preview) = preview(&command, arguments) {
        if let Some(path) = config_path(&preview, arguments) {
            file = ConfigFile::read(&path, &command);
        }
        if let Some(name) = preview.subcommand_name() {
            file.for_sub_command(&command, O::read_by(name));
        }
        command = file.apply(command);
    }
    let mut command = prepare(command, is_long).long_version(version::long(commit));
    let parsed = faults::matches(&mut command, arguments)?;
    let mut ids = parsed.broken;
    let file_is_known = file.broken().map(|broken| ids.extend(broken)).is_some();
    let broken = Broken::new(&ids, &command);
    let misspelled = if has_file { variables::misspelled(&command, names_of_variables()) } else { Vec::new() };
    let mut faults = parsed.faults;
    faults.extend(file.faults.iter().map(|fault| fault.text.clone()));
    let mut reading = Reading {
        options: None,
        faults,
        warnings: file.warnings.iter().cloned().chain(misspelled).collect(),
        settings: Settings::default(),
        file_is_empty: file.is_empty(),
        broken,
    };

    let Some(matches) = parsed.matches else { return Ok(reading) };
    let (mut inner, mut inner_command) = (&matches, &command);
    if let Some((name, sub)) = matches.subcommand() {
        reading.faults.extend(before_subcommand(&matches, &command, name));
        let sub_command = command.find_subcommand(name);
        (inner, inner_command) = (sub, sub_command.unwrap_or(&command));
    }
    reading.settings = Settings::new(&command, &matches, &file);
    // With a file, many mistakes may wait: those of options that concern each other are found in the same run.
    let goes_on = has_file && file_is_known && matches.subcommand_name().is_none();
    if !reading.faults.is_empty() && !goes_on {
        return Ok(reading);
    }
    let mut options = match O::from_arg_matches(&matches) {
        Ok(options) => options,
        Err(error) => {
            reading.faults.push(faults::text(&error));
            return Ok(reading);
        }
    };
    let more = options.check(&Given { matches: inner, command: inner_command, file: &file, without: None });
    let more: Vec<_> = more.into_iter().filter(|fault| !reading.follows(fault)).collect();
    reading.faults.extend(more);
    reading.options = Some(options);
    Ok(reading)
}

fn names_of_variables() -> impl Iterator<Item = OsString> {
    std::env::vars_os().map(|(name, _)| name)
}

/// The command line without a look at its values: it tells the sub-command and the file, also if there are mistakes. `None`
/// if the user asked for help.
fn preview(command: &Command, arguments: &[OsString]) -> Option<ArgMatches> {
    anything(command.clone()).ignore_errors(true).try_get_matches_from(arguments).ok()
}

/// The command with options that accept any value, and have no variables; except the one of the configuration file.
fn anything(command: Command) -> Command {
    let names: Vec<_> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    let command = command.mut_args(|argument| match argument.get_action().takes_values() {
        _ if argument.get_id() == CONFIG_ID => argument.value_parser(ValueParser::os_string()),
        true => argument.value_parser(ValueParser::os_string()).env(None::<&str>).default_values(None::<&str>),
        false => argument.env(None::<&str>),
    });
    names.into_iter().fold(command, |command, name| command.mut_subcommand(name, anything))
}

/// The configuration file, if one is named.
fn config_path(preview: &ArgMatches, arguments: &[OsString]) -> Option<PathBuf> {
    let named = preview.try_get_one::<OsString>(CONFIG_ID).ok().flatten().map(PathBuf::from);
    // After a mistake, clap reads no further.
    let after = || {
        let mut options = arguments.iter().take_while(|argument| *argument != "--");
        options.find_map(|argument| Some(PathBuf::from(argument.to_str()?.strip_prefix("--config=")?)))
    };
    let apart = || {
        let options: Vec<_> = arguments.iter().take_while(|argument| *argument != "--").collect();
        options.windows(2).find(|pair| *pair[0] == *"--config").map(|pair| PathBuf::from(pair[1]))
    };
    named.or_else(after).or_else(apart).filter(|path| !path.as_os_str().is_empty())
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

/// The command with the program's global options before its own, except for those on connections, whose heading is the
/// first: clap appends them, and so their heading.
fn ordered(command: Command, global: &[Arg]) -> Command {
    let is_first = |argument: &Arg| argument.get_help_heading() == Some(CONNECTION);
    let (first, own): (Vec<_>, Vec<_>) = command.get_arguments().cloned().partition(is_first);
    let mut in_order = first.into_iter().chain(global.iter().cloned()).chain(own);
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

#[cfg(test)]
mod tests;
