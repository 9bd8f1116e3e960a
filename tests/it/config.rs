//! The configuration file: its keys are the options, every fault is found at once, and what can change at run time does.

mod docs;
mod reload;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::process::ServerProcess;
use crate::terminal::client_command;
use crate::tls::authority::Authority;

/// A folder with a configuration file, in which the server is started.
struct Place(tempfile::TempDir);

/// What a run of the server's program said.
struct Said {
    code: Option<i32>,
    output: String,
    errors: Vec<String>,
}

/// A key of a printed file.
#[derive(Debug)]
struct Key {
    name: String,
    /// Its meaning, in paragraphs.
    comment: Vec<String>,
    /// What its values are.
    accepted: String,
    variable: String,
    on_reload: bool,
    /// As TOML. An example, if there is no default.
    value: String,
    is_example: bool,
}

impl Place {
    fn new(config: &str) -> Self {
        let place = Self(tempfile::tempdir().expect("a folder"));
        place.write(config);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Replaces the file. `{DIR}` is its folder.
    fn write(&self, config: &str) {
        let config = config.replace("{DIR}", self.0.path().to_str().expect("it is UTF-8"));
        // Renamed into its place, as an editor or a package does it.
        fs::write(self.path("new.toml"), config).expect("a file is written");
        fs::rename(self.path("new.toml"), self.path("hubbub.toml")).expect("a file is renamed");
    }

    /// The server's program, without variables of the test's own environment.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = client_command(env!("CARGO_BIN_EXE_hubbub-server"), arguments);
        command.current_dir(self.0.path()).stdin(std::process::Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Said {
        said(&mut self.command(arguments))
    }

    /// The faults that `--check-config` finds.
    fn faults(&self, arguments: &[&str]) -> Vec<String> {
        let Said { code, output, errors } =
            self.run(&[&["--config", "hubbub.toml", "--check-config"], arguments].concat());
        let faults: Vec<_> = errors.into_iter().filter(|line| !line.starts_with("warning: ")).collect();
        let expected = if faults.is_empty() { (Some(0), "the configuration is valid\n") } else { (Some(2), "") };
        assert_eq!((code, output.as_str()), expected, "{faults:?}");
        faults
    }
}

fn said(command: &mut Command) -> Said {
    let output = command.output().expect("hubbub-server starts");
    let text = |bytes| String::from_utf8(bytes).expect("the output is text");
    let errors = text(output.stderr);
    let errors = errors.lines().map(|line| line.strip_prefix("hubbub-server: ").unwrap_or(line).to_owned()).collect();
    Said { code: output.status.code(), output: text(output.stdout), errors }
}

/// The lines that set something.
fn settings(printed: &str) -> Vec<&str> {
    printed.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect()
}

/// The keys of a printed file, which sets none of them.
fn keys(printed: &str) -> Vec<Key> {
    let (mut keys, mut comment) = (Vec::new(), Vec::<String>::new());
    for line in printed.lines() {
        match line.strip_prefix('#') {
            None => comment.clear(),
            Some("") => comment.push(String::new()),
            Some(text) if text.starts_with(' ') => match comment.last_mut() {
                Some(last) if !last.is_empty() && !text.starts_with(" Value: ") && !text.starts_with(" Variable: ") => {
                    last.push_str(text);
                }
                Some(last) if last.is_empty() => *last = text.trim().to_owned(),
                _ => comment.push(text.trim().to_owned()),
            },
            Some(text) => {
                let (name, value) = text.split_once(" = ").unwrap_or_else(|| panic!("not a key: {line}"));
                let (value, note) = value.split_once("  # ").unwrap_or((value, ""));
                let last = comment.pop().unwrap_or_default();
                let (variable, effect) = last.split_once(". ").unwrap_or_else(|| panic!("{name}: {last}"));
                let accepted = comment.pop().unwrap_or_default();
                keys.push(Key {
                    name: name.to_owned(),
                    accepted: accepted.strip_prefix("Value: ").expect("its value").trim_end_matches('.').to_owned(),
                    variable: variable.strip_prefix("Variable: ").expect("its variable").to_owned(),
                    on_reload: effect.contains("SIGHUP"),
                    value: value.to_owned(),
                    is_example: !note.is_empty(),
                    comment: std::mem::take(&mut comment).into_iter().filter(|text| !text.is_empty()).collect(),
                });
            }
        }
    }
    keys
}

fn printed() -> String {
    Place::new("").run(&["--print-config"]).output
}

/// Whether the default is lower on a small machine, so that its usual value is refused there.
fn depends_on_machine(key: &Key) -> bool {
    key.name == "clients-max"
}

/// Each option that the help shows with a variable is a key, and nothing else is.
#[test]
fn every_option_is_a_key() {
    let help = Place::new("").run(&["--help"]).output;
    let options = help.split("\n      --").skip(1).filter(|option| option.contains("[env: "));
    let options: BTreeSet<_> = options.filter_map(|option| option.split([' ', '\n']).next()).collect();
    let printed = printed();
    let keys = keys(&printed);
    let names: BTreeSet<_> = keys.iter().map(|key| key.name.as_str()).collect();
    assert!(names.len() == keys.len() && names.len() > 40, "{names:?}");
    let expected: BTreeSet<_> = options.into_iter().filter(|option| *option != "config").collect();
    assert_eq!(names, expected);
    for Key { name, comment, accepted, variable, .. } in &keys {
        assert_eq!(*variable, format!("HUBBUB_{}", name.to_uppercase().replace('-', "_")));
        assert!(!comment.is_empty() && !accepted.is_empty(), "{name}");
    }
}

#[test]
fn a_printed_file_is_valid_and_so_is_each_default_in_it() {
    let printed = printed();
    assert_eq!(settings(&printed), [""; 0]);
    let place = Place::new(&printed);
    assert_eq!(place.faults(&[]), [""; 0]);
    let defaults: String = keys(&printed)
        .iter()
        .filter(|key| !key.is_example && !depends_on_machine(key))
        .map(|Key { name, value, .. }| format!("{name} = {value}\n"))
        .collect();
    place.write(&defaults);
    assert_eq!(place.faults(&[]), [""; 0], "{defaults}");
    // Printed again, they are set, and a second time the same.
    let again = place.run(&["--config", "hubbub.toml", "--print-config"]);
    assert_eq!((again.code, settings(&again.output).len()), (Some(0), defaults.lines().count()));
    place.write(&again.output);
    assert_eq!(place.run(&["--config", "hubbub.toml", "--print-config"]).output, again.output);
    // Examples are of the kind that the option takes, or the fault says what that is.
    for key in keys(&printed) {
        let depends = depends_on_machine(&key);
        let Key { name, value, is_example, .. } = key;
        place.write(&format!("{name} = {value}\n"));
        let faults = place.faults(&[]);
        assert!(is_example || depends || faults.is_empty(), "{name}: {faults:?}");
        assert!(faults.iter().all(|fault| fault.starts_with(&format!("hubbub.toml:1: {name}"))), "{name}: {faults:?}");
    }
}

#[test]
fn flags_override_variables_and_variables_the_file() {
    let place =
        Place::new("rooms-max = 5\npost-rate = 5\nroom-rate = 5\nephemeral = true\nexempt = ['10.0.0.0/8', '::1']\n");
    let mut command = place.command(&["--config", "hubbub.toml", "--print-config", "--rooms-max", "7"]);
    command.env("HUBBUB_ROOMS_MAX", "6").env("HUBBUB_POST_RATE", "6").env("HUBBUB_EPHEMERAL", "0");
    let Said { code, output, errors } = said(&mut command);
    assert_eq!((code, errors), (Some(0), Vec::new()));
    let mut lines = settings(&output);
    lines.sort_unstable();
    let expected =
        ["ephemeral = false", "exempt = [\"10.0.0.0/8\", \"::1\"]", "post-rate = 6", "room-rate = 5", "rooms-max = 7"];
    assert_eq!(lines, expected);
    // The file may be named by its variable, and an empty variable is none.
    let named =
        said(place.command(&["--print-config"]).env("HUBBUB_CONFIG", "hubbub.toml").env("HUBBUB_ROOM_RATE", ""));
    assert!(settings(&named.output).contains(&"room-rate = 5"), "{}", named.output);
    assert_eq!(settings(&said(place.command(&["--print-config"]).env("HUBBUB_CONFIG", "")).output), [""; 0]);
}

/// What strangers write. Each starts with the file's name and a line, and says what to write instead.
#[test]
fn faults_name_the_file_the_line_the_key_and_the_remedy() {
    let place = Place::new("");
    for (text, expected) in [
        ("listen = 0.0.0.0:5000", "hubbub.toml:1: listen: text must be in quotes: listen = \"0.0.0.0:5000\""),
        ("\nlisten = ['a', 5000]", "hubbub.toml:2: listen: invalid value 5000: invalid address \"5000\": missing host"),
        (
            "listen = ['127.0.0.1:5001', '127.0.0.1:5001']",
            "hubbub.toml:1: listen 127.0.0.1:5001 is given several times: leave one out",
        ),
        ("retain-for = 90", "hubbub.toml:1: retain-for: invalid value 90: missing unit (expected for example 90s"),
        ("retian-for = '90d'", "hubbub.toml:1: unknown key retian-for: did you mean retain-for?"),
        ("socket-mode = 0o660", "hubbub.toml:1: socket-mode: only decimal numbers have a meaning here"),
        ("socket-mode = 0660", "hubbub.toml:1: socket-mode: text must be in quotes: socket-mode = \"0660\""),
        ("socket-mode = '0660'", "hubbub.toml:1: socket-mode needs a Unix socket: give one with --listen unix:PATH"),
        ("clients-max = 0", "hubbub.toml:1: clients-max: invalid value 0: expected a whole number from 1 to"),
        ("sync = 'always'", "hubbub.toml:1: sync: invalid value 'always': expected full or os"),
        ("search = 'maybe'", "hubbub.toml:1: search: invalid value 'maybe': expected on or off"),
        ("log-bytes-max = '1MB'", "hubbub.toml:1: log-bytes-max: expected at least 16MiB for a log on a disk"),
        ("auth = ['accounts', 'open']", "hubbub.toml:1: auth: open can't be combined with logins: leave it out"),
        ("tls-cert = '/none.pem'", "hubbub.toml:1: tls-cert needs its private key: give it with --tls-key"),
        ("jwt-issuer = 'shop'", "hubbub.toml:1: jwt-issuer needs --auth jwt: add that, or leave it out"),
        (
            "exempt = '10.0.0.0/99'",
            "hubbub.toml:1: exempt: invalid value '10.0.0.0/99': invalid network \"10.0.0.0/99\"",
        ),
        ("http = 'a:b:c'", "hubbub.toml:1: http: invalid value 'a:b:c': invalid address \"a:b:c\""),
        ("[storage]\ndata = 'x'", "hubbub.toml:1: unknown table storage: there are no tables; leave [storage] out"),
        ("data = \"\\u001b[2J\\u0007\"\nrooms-max = 0\n[", "hubbub.toml:2: rooms-max: invalid value 0"),
    ] {
        place.write(text);
        let faults = place.faults(&[]);
        assert!(faults.iter().any(|fault| fault.starts_with(expected)), "{text}: {faults:?}");
        assert!(faults.iter().all(|fault| !fault.contains('\u{1b}')), "{text}: {faults:?}");
        // The start says the same.
        let started = place.run(&["--config", "hubbub.toml"]);
        assert_eq!((started.code, started.errors), (Some(2), faults), "{text}");
    }
    for search in ["true", "false", "'on'", "'off'"] {
        place.write(&format!("search = {search}\n"));
        assert_eq!(place.faults(&[]), [""; 0]);
    }
    assert_eq!(place.run(&["--config", "none.toml"]).code, Some(2));
    assert!(place.run(&["--config", "."]).errors[0].starts_with(".: this is a folder"));
}

/// The story of many servers: one fault for each start.
#[test]
fn check_config_finds_every_fault_at_once() {
    let place = Place::new(
        "listen = ['0.0.0.0:0', 'unix:/nowhere/hubbub']\n\
         data = 'file'\n\
         tls-cert = 'none.pem'\n\
         tls-key = 'none.key'\n\
         client-ca = 'none-ca.pem'\n\
         auth = ['mtls', 'jwt']\n\
         jwt-key = ['none-1.jwk', 'none-2.jwk']\n\
         jwt-issuer = 'shop'\n\
         jwt-audience = 'hubbub'\n\
         retain-for = 90\n\
         colour = 'red'\n",
    );
    fs::write(place.path("file"), "").expect("a file is written");
    let mut command = place.command(&["--config", "hubbub.toml", "--check-config", "--post-rate", "few"]);
    let Said { code, output, errors } = said(command.env("HUBBUB_SYNC", "always"));
    assert_eq!((code, output.as_str()), (Some(2), ""));
    let faults: Vec<_> = errors.iter().filter(|line| !line.starts_with("warning: ")).collect();
    let expected = [
        "for --post-rate: expected a whole number from 0 upwards",
        "invalid value \"always\" for HUBBUB_SYNC: expected full or os",
        "hubbub.toml:10: retain-for: invalid value 90: missing unit",
        "hubbub.toml:11: unknown key colour",
        "hubbub.toml:1: listen: can't listen on unix:/nowhere/hubbub: its folder does not exist",
        "hubbub.toml:3: tls-cert: can't read none.pem",
        "hubbub.toml:4: tls-key: can't read none.key",
        "hubbub.toml:5: client-ca: can't read none-ca.pem",
        "hubbub.toml:7: jwt-key: can't read none-1.jwk",
        "hubbub.toml:7: jwt-key: can't read none-2.jwk",
        "hubbub.toml:2: data: the data folder file can't be used",
    ];
    for text in expected {
        assert_eq!(faults.iter().filter(|fault| fault.contains(text)).count(), 1, "{text}: {faults:#?}");
    }
    assert_eq!(faults.len(), expected.len(), "{faults:#?}");
    // Paths that depend on the working directory are warned of.
    assert!(errors.iter().any(|line| line.starts_with("warning: hubbub.toml:3: tls-cert: none.pem is relative")));
}

#[test]
fn check_config_finds_what_other_machines_could_reach_and_what_is_only_for_one_start() {
    let place = Place::new("listen = '0.0.0.0:0'\nrestored = true\n");
    let faults = place.faults(&[]);
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(faults[0].starts_with("hubbub.toml:1: listen: 0.0.0.0:0 can be reached from other machines"), "{faults:?}");
    let Said { errors, .. } = place.run(&["--config", "hubbub.toml", "--check-config", "--insecure"]);
    let expected = "warning: hubbub.toml:2: restored has its effect at every start: leave it out, and give --restored for the \
                    one start that needs it";
    assert_eq!(errors, [expected]);
}

/// What a container's settings get wrong: the file has no part in it, and the variables of the other programs are none of
/// the server's.
#[test]
fn a_misspelled_variable_is_warned_of() {
    let place = Place::new("data = '{DIR}/data'\n");
    let mut command = place.command(&["--config", "hubbub.toml", "--check-config"]);
    let Said { code, errors, .. } = said(command.env("HUBBUB_RETAIN_FRO", "90d").env("HUBBUB_UNRELATED", "1"));
    assert_eq!(code, Some(0));
    assert_eq!(errors, ["warning: the variable HUBBUB_RETAIN_FRO has no effect: did you mean HUBBUB_RETAIN_FOR?"]);
    // The start says it too.
    let mut command = place.command(&["--config", "hubbub.toml", "--listen", "127.0.0.1:0", "--http", "none"]);
    command.env("HUBBUB_RETAIN_FRO", "90d");
    let mut server = ServerProcess::spawn(command);
    server.wait_for_log("the variable HUBBUB_RETAIN_FRO has no effect");
    drop(server);
    // Those of all programs at once.
    let mut command = place.command(&["--config", "hubbub.toml", "--check-config"]);
    for program in [env!("CARGO_BIN_EXE_hubbub"), env!("CARGO_BIN_EXE_hubbub-repeat")] {
        for name in ["", "chat", "send", "tail", "history", "search", "export", "import"] {
            let help = client_command(program, &[]).args(name.split_terminator(' ')).arg("--help").output();
            let help = String::from_utf8(help.expect("it starts").stdout).expect("its help is text");
            let variables = help.split("[env: ").skip(1).filter_map(|rest| rest.split(']').next());
            for variable in variables.filter(|variable| !printed().contains(&format!("Variable: {variable}."))) {
                command.env(variable, "1");
            }
        }
    }
    let Said { code, errors, .. } = said(&mut command);
    assert_eq!((code, errors), (Some(0), Vec::new()));
}

#[test]
fn check_config_starts_nothing_and_creates_nothing() {
    let authority = Authority::new();
    let pair = authority.server("server");
    let text = |path: &Path| path.to_str().expect("it is UTF-8").to_owned();
    let place = Place::new(&format!(
        "listen = ['127.0.0.1:0', 'unix:socket']\ndata = 'a/b/data'\ntls-cert = '{}'\ntls-key = '{}'\n",
        text(&pair.certificate),
        text(&pair.key)
    ));
    assert_eq!(place.faults(&[]), [""; 0]);
    let files: Vec<_> = fs::read_dir(place.0.path()).expect("the folder is there").flatten().collect();
    assert_eq!(files.len(), 1, "{files:?}");
    // The certificate and the key do not fit together.
    let other = authority.server("other");
    assert_eq!(place.faults(&["--tls-key", &text(&other.key)]).len(), 1);
}

/// An operator checks a changed file while the server runs.
#[test]
fn what_the_running_server_uses_is_no_fault() {
    let place = Place::new("listen = '127.0.0.1:0'\ndata = 'data'\nhttp = 'none'\n");
    let mut server = ServerProcess::listening(place.command(&["--config", "hubbub.toml"]));
    let taken = server.target().to_owned();
    let arguments = ["--config", "hubbub.toml", "--check-config", "--listen", &taken];
    let Said { code, output, errors } = place.run(&arguments);
    assert_eq!((code, output.as_str()), (Some(0), "the configuration is valid\n"), "{errors:?}");
    let warned = |text: &str| errors.iter().any(|line| line.starts_with("warning: ") && line.contains(text));
    assert!(warned("is taken: another server runs there") && warned("a server is running with data"), "{errors:?}");
    server.signal(libc::SIGTERM);
    assert_eq!(server.wait().code(), Some(0));
    assert!(place.path("data/hubbub.db").exists(), "the folder of the file was used");
}

/// An operator's command works on the folder of the server, whose file has it.
#[test]
fn commands_take_the_data_folder_from_the_file() {
    let place = Place::new("data = 'chat'\nrooms-max = 'many'\n");
    let added = place.run(&["user", "add", "ann", "--config", "hubbub.toml"]);
    assert_eq!(added.code, Some(0), "{:?}", added.errors);
    let listed = said(place.command(&["user", "list"]).env("HUBBUB_CONFIG", "hubbub.toml"));
    assert!(listed.output.contains("ann"), "{}", listed.output);
    assert!(place.path("chat").is_dir() && !place.path("hubbub-data").exists());
    let elsewhere = place.run(&["--config", "hubbub.toml", "user", "list", "--data", "other"]);
    assert!(!elsewhere.output.contains("ann"), "{}", elsewhere.output);
    // A file that can't be understood may have another folder.
    place.write("data = 'chat\n");
    let unknown = place.run(&["--config", "hubbub.toml", "user", "list"]);
    assert_eq!(unknown.code, Some(2));
    assert!(unknown.errors[0].starts_with("hubbub.toml:1: "), "{:?}", unknown.errors);
    for flag in ["--check-config", "--print-config"] {
        let refused = place.run(&[flag, "user", "list"]);
        assert_eq!(refused.code, Some(2));
        assert!(refused.errors[0].starts_with(&format!("{flag} can't be used with user")), "{:?}", refused.errors);
    }
}
