//! The configuration of the server: checked, printed, and read again while the server runs.

use std::env;
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::CommandFactory as _;
use hubbub::arguments::{self, EXIT_USAGE, Effect, Reading, Setting, Settings};
use hubbub::escape::escape;
use hubbub::server::adjuster::Adjuster;
use hubbub::server::preflight::{self, Preflight};
use hubbub::server::reload::Reloadable;
use hubbub::supervisor::sockets::InheritedSockets;

use crate::options::{self, Args};
use crate::words::{PROGRAM, counted};

/// The keys that take effect on SIGHUP. All others need a restart: what they set is built at the start, or, like the
/// retention of messages, must not change by a slip, because it can't be undone.
pub const ON_RELOAD: [&str; 11] = [
    "rooms-max",
    "disk-reserve",
    "clients-per-address",
    "connections-per-address",
    "post-rate",
    "post-bytes-rate",
    "stored-per-day",
    "room-rate",
    "rooms-per-address",
    "exempt",
    "limit-loopback",
];

/// The keys for one start: in a file, they would have their effect at each.
const FOR_ONE_START: [&str; 2] = ["restored", "trust-clock"];

/// systemd names the main process of a service in this variable to the commands of a reload.
const MAIN_PROCESS: &str = "MAINPID";

const TITLE: &str = "\
The configuration of hubbub-server, as printed by hubbub-server --print-config.

A line that begins with # and a key has the default of that key, or an example: take the # away to set it.
An option on the command line overrides its variable, and a variable overrides this file.

Check it:  hubbub-server --config FILE --check-config
Use it:    hubbub-server --config FILE
Change it: edit the file, check it, and send SIGHUP to the server (systemctl reload, kill -HUP)";

/// When a changed key takes effect.
fn effect(key: &str) -> Effect {
    if ON_RELOAD.contains(&key) { Effect::OnReload } else { Effect::AfterRestart }
}

/// Prints a file with all keys, and the given values.
pub fn print(settings: &Settings) -> ExitCode {
    let file = arguments::print(&Args::command(), settings, TITLE, effect);
    match io::stdout().write_all(file.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            arguments::complain(PROGRAM, &[format!("can't write the configuration: {error}")]);
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}

/// What can be used, but deserves a look.
pub fn warnings(reading: &Reading<Args>) -> Vec<String> {
    let is_on = |setting: &&Setting| setting.is_in_file && setting.values.iter().any(|value| value == "true");
    let once = FOR_ONE_START.iter().filter_map(|key| reading.settings.get(key)).filter(is_on);
    let once = once.map(|Setting { name, key, .. }| {
        format!("{name} has its effect at every start: leave it out, and give --{key} for the one start that needs it")
    });
    reading.warnings.iter().cloned().chain(once).collect()
}

/// Reports all faults and warnings, a line each.
pub fn check(mut reading: Reading<Args>) -> ExitCode {
    let (mut faults, mut warnings) = (std::mem::take(&mut reading.faults), warnings(&reading));
    if let Some(args) = reading.options.take() {
        let found = look(args, &reading.settings);
        let (more, looks) = found.unwrap_or_else(|fault| (vec![fault], Vec::new()));
        // Without a key that has a fault, something else may seem to be missing.
        faults.extend(more.into_iter().filter(|fault| !reading.follows(fault)));
        // Before a reload, what is in use is in use by the server that goes on with it.
        if env::var_os(MAIN_PROCESS).is_none() {
            warnings.extend(looks);
        }
    }
    let warnings: Vec<_> = warnings.into_iter().map(|warning| format!("warning: {warning}")).collect();
    arguments::complain(PROGRAM, &warnings);
    arguments::complain(PROGRAM, &faults);
    if faults.is_empty() {
        let _ = writeln!(io::stdout(), "the configuration is valid");
        return ExitCode::SUCCESS;
    }
    ExitCode::from(EXIT_USAGE)
}

/// The faults and the warnings of what a configuration names, each with the place of its key.
fn look(args: Args, settings: &Settings) -> Result<(Vec<String>, Vec<String>), String> {
    let config = options::config(args, InheritedSockets::default()).map_err(|error| error.to_string())?;
    let Preflight { faults, warnings } = preflight::check(&config);
    let lines = |findings: Vec<preflight::Finding>| {
        let name = |key| settings.get(key).map_or_else(|| format!("--{key}"), |setting| setting.name.clone());
        findings.into_iter().map(|finding| format!("{}: {}", name(finding.key), finding.text)).collect()
    };
    Ok((lines(faults), lines(warnings)))
}

/// The configuration of a running server, which reads it again on request.
pub struct RunningConfig {
    arguments: Vec<OsString>,
    /// What is in use: of keys that need a restart, the values of the start.
    settings: Settings,
    file_is_empty: bool,
    adjuster: Adjuster,
}

impl RunningConfig {
    pub fn new(arguments: Vec<OsString>, settings: Settings, file_is_empty: bool, adjuster: Adjuster) -> Self {
        Self { arguments, settings, file_is_empty, adjuster }
    }
}

impl Reloadable for RunningConfig {
    fn name(&self) -> &'static str {
        "the configuration"
    }

    /// Not when it changes: it may be half written.
    fn files(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    fn reload(&mut self) -> Result<String, String> {
        let reading = arguments::inspect::<Args>(&self.arguments, None).map_err(|help| help.to_string())?;
        for warning in warnings(&reading) {
            log::warn!("the configuration: {}", escape(&warning));
        }
        for fault in &reading.faults {
            log::error!("the configuration: {}", escape(fault));
        }
        let faults = reading.faults.len() as u64;
        let args = reading.options.filter(|_| faults == 0);
        let args = args.ok_or_else(|| format!("{}, in the lines above", counted(faults, "fault")))?;
        if reading.file_is_empty && !self.file_is_empty {
            let whole = "the file has become empty, as if it were just being written";
            return Err(format!("{whole}: send SIGHUP again when it is complete, or restart to use all defaults"));
        }
        let changes: Vec<_> =
            self.settings.changes(&reading.settings).map(|(before, now)| (before.clone(), now.clone())).collect();
        let (applied, waiting): (Vec<_>, Vec<_>) =
            changes.into_iter().partition(|(_, now)| effect(&now.key) == Effect::OnReload);
        if !applied.is_empty() {
            self.adjuster
                .apply(&options::config(args, InheritedSockets::default()).map_err(|error| error.to_string())?);
        }
        for (before, now) in &applied {
            log::info!("the configuration: {} is now {}, before {}", now.key, shown(now), shown(before));
            self.settings.replace(now.clone());
        }
        for (before, now) in &waiting {
            log::warn!(
                "the configuration: {} stays {} until a restart, which would use {}",
                now.key,
                shown(before),
                shown(now)
            );
        }
        self.file_is_empty = reading.file_is_empty;
        let counts = (counted(applied.len() as u64, "change"), waiting.len());
        Ok(match counts {
            (applied, 0) => format!("read again, {applied} applied"),
            (applied, waiting) => format!("read again, {applied} applied, {waiting} after a restart"),
        })
    }
}

fn shown(setting: &Setting) -> String {
    escape(&setting.shown()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inspect(line: &str) -> Reading<Args> {
        let words: Vec<_> = line.split_whitespace().map(OsString::from).collect();
        arguments::inspect::<Args>(&words, None).unwrap()
    }

    #[test]
    fn the_keys_with_a_meaning_of_their_own_are_keys() {
        let settings = inspect("hubbub-server").settings;
        for key in ON_RELOAD.into_iter().chain(FOR_ONE_START) {
            assert!(settings.get(key).is_some(), "{key}");
        }
    }

    /// What a preflight names must be there, too: its findings are shown with the place of the key.
    #[test]
    fn the_keys_of_findings_are_keys() {
        let settings = inspect("hubbub-server").settings;
        let files = ["tls-cert", "tls-key", "client-ca", "jwt-key", "jwt-jwks"];
        for key in ["data", "listen", "http", "admin", "auth", "clients-max"].into_iter().chain(files) {
            assert!(settings.get(key).is_some(), "{key}");
        }
    }

    /// `--print-config` and the log show all values: secrets must be in files, which options name.
    #[test]
    fn no_key_holds_a_secret() {
        for setting in inspect("hubbub-server").settings.iter() {
            let words: Vec<_> = setting.key.split('-').collect();
            for secret in ["secret", "password", "token", "passphrase", "credentials"] {
                assert!(!words.contains(&secret), "{}: a value that --print-config must not show?", setting.key);
            }
        }
        let command = Args::command();
        for key in ["tls-key", "jwt-key", "jwt-jwks"] {
            let option = command.get_arguments().find(|option| option.get_long() == Some(key)).unwrap();
            let path = clap::value_parser!(PathBuf);
            assert_eq!(option.get_value_parser().type_id(), path.type_id(), "{key} names a file");
        }
    }
}
