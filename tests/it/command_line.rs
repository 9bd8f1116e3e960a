//! The command lines of all three programs: their help, and the errors for mistakes.

use std::process::{Command, Output, Stdio};

use crate::terminal::client_command;

/// A terminal's default size. The prompt takes the last row.
const ROWS: usize = 24;
const COLUMNS: usize = 80;

const PROGRAMS: [&str; 3] =
    [env!("CARGO_BIN_EXE_hubbub"), env!("CARGO_BIN_EXE_hubbub-server"), env!("CARGO_BIN_EXE_hubbub-repeat")];

fn command(program: &str, arguments: &str) -> Command {
    let mut command = client_command(program, &[]);
    command.args(arguments.split(' ').filter(|argument| !argument.is_empty())).env_remove("COLUMNS");
    command.stdin(Stdio::null());
    command
}

fn output(command: &mut Command) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command.output().expect("the program starts");
    let text = |bytes| String::from_utf8(bytes).expect("the output is text");
    (status.code(), text(stdout), text(stderr))
}

fn help(program: &str, arguments: &str) -> String {
    let (code, help, errors) = output(&mut command(program, arguments));
    assert_eq!((code, errors.as_str()), (Some(0), ""), "{program} {arguments}");
    help
}

/// The empty name, for the program itself, and the names of the commands that its help lists.
fn commands(program: &str) -> Vec<String> {
    let help = help(program, "-h");
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names = listed.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help");
    std::iter::once(String::new()).chain(names.map(str::to_owned)).collect()
}

#[test]
fn the_short_help_fits_a_terminal() {
    let mut count = 0;
    for program in PROGRAMS {
        for name in commands(program) {
            let help = help(program, &format!("{name} -h"));
            let widest = help.lines().map(|line| line.chars().count()).max().unwrap_or(0);
            assert!(help.lines().count() < ROWS && widest <= COLUMNS, "{program} {name}: {help}");
            count += 1;
        }
    }
    assert_eq!(count, 3 + 10 + 10, "all programs and commands are checked");
}

/// In the full help, every option is under a heading and names its variable, and every command has examples.
#[test]
fn the_full_help_has_headings_variables_and_examples() {
    for program in PROGRAMS {
        for name in commands(program) {
            let help = help(program, &format!("{name} --help"));
            assert!(help.lines().all(|line| line.chars().count() <= COLUMNS), "{help}");
            assert!(help.contains("\nExamples:\n  hubbub"), "{program} {name}: {help}");
            assert!(!help.contains("\nOptions:\n"), "{program} {name}: {help}");
            let headings = ["Connection:", "Storage:", "Load:", "Messages:", "Limits:", "Output:", "Other:"];
            let places: Vec<_> = headings.iter().filter_map(|heading| help.find(&format!("\n{heading}\n"))).collect();
            assert!(places.is_sorted() && !places.is_empty(), "{program} {name}: {help}");
            let options = help.split("\n      --").skip(1);
            for option in options {
                let flag = option.split([' ', '\n']).next().expect("an option has a name");
                let variable = format!("[env: HUBBUB_{}]", flag.to_uppercase().replace('-', "_"));
                let has_none = flag.starts_with("no-time")
                    || flag.starts_with("no-seq")
                    || ["force", "no-chat", "forget", "out", "client", "top", "all", "check-config", "print-config"]
                        .contains(&flag);
                assert!(has_none || option.contains(&variable), "{program} {name}: {option}");
            }
        }
        for name in commands(program).iter().filter(|name| !name.is_empty()) {
            assert_eq!(help(program, &format!("help {name}")), help(program, &format!("{name} --help")));
        }
    }
}

/// The common options have the same order in all programs and commands.
#[test]
fn common_options_have_the_same_order() {
    let order = ["--server", "--listen", "--name", "--contract", "--timeout", "--room", "--last", "--json", "--help"];
    for program in PROGRAMS {
        for name in commands(program) {
            let help = help(program, &format!("{name} -h"));
            let places: Vec<_> = order.iter().filter_map(|flag| help.find(&format!("{flag} "))).collect();
            assert!(places.is_sorted(), "{program} {name}: {help}");
        }
    }
}

/// The story: with one wrong option and three wrong variables, it took five attempts to find all mistakes, and the
/// value of a variable was reported as that of an option.
#[test]
fn wrong_options_and_variables_are_reported_together() {
    let [client, server, repeat] = PROGRAMS;
    for (program, arguments, variables, expected) in [
        (
            client,
            "tail tea --from x",
            &[("HUBBUB_LAST", "y"), ("HUBBUB_JSON", "z"), ("HUBBUB_TIMEOUT", "1 \u{1b}[31m")][..],
            &[
                r#"invalid value "x" for --from: expected a whole number from 0 upwards"#,
                r#"invalid value "y" for HUBBUB_LAST: expected a whole number from 0 to 4294967295"#,
                r#"invalid value "z" for HUBBUB_JSON: expected 1 or 0"#,
                r#"invalid value "1 \u{1b}[31m" for HUBBUB_TIMEOUT: expected seconds"#,
            ][..],
        ),
        (
            server,
            "--retain-for 90 --clients-max 0 --pollers 0 --listen :80",
            &[("HUBBUB_SYNC", "never"), ("HUBBUB_LOG_BYTES_MAX", "64M"), ("HUBBUB_SOCKET_MODE", "rw")],
            &[
                r#"invalid value "90" for --retain-for: missing unit (expected for example 90s, 90m, 90h or 90d)"#,
                r#"invalid value "0" for --clients-max: expected a whole number from 1 to"#,
                r#"invalid value "0" for --pollers: expected a whole number from 1 to 256"#,
                r#"invalid value ":80" for --listen: invalid address ":80""#,
                r#"invalid value "64M" for HUBBUB_LOG_BYTES_MAX: expected bytes, or a number with a unit such as 64MiB"#,
                r#"invalid value "never" for HUBBUB_SYNC: expected full or os"#,
                r#"invalid value "rw" for HUBBUB_SOCKET_MODE: expected an octal mode"#,
            ],
        ),
        (
            server,
            "--no-such-flag",
            &[("HUBBUB_SYNC", "never")],
            &["unknown option --no-such-flag", r#"invalid value "never" for HUBBUB_SYNC"#, "see hubbub-server --help"],
        ),
        (
            repeat,
            "--clients 0 --size 1MB --rate -1",
            &[("HUBBUB_IDLE_TIMEOUT", "0"), ("PORT", "x")],
            &[
                r#"invalid value "0" for --clients: expected a whole number from 1 to 20000"#,
                r#"invalid value "1MB" for --size: expected 1 to 16384 bytes"#,
                r#"invalid value "0" for HUBBUB_IDLE_TIMEOUT: expected more than 0"#,
            ],
        ),
    ] {
        let (code, shown, errors) = output(command(program, arguments).envs(variables.iter().copied()));
        assert_eq!((code, shown.as_str()), (Some(2), ""), "{errors}");
        for line in expected {
            assert_eq!(errors.lines().filter(|text| text.contains(line)).count(), 1, "{line}: {errors}");
        }
    }
}

/// The story: `--ephemeral --data /srv/chat` stored nothing in /srv/chat, without an error.
#[test]
fn combinations_that_cannot_work_are_refused_with_the_reason() {
    let server = PROGRAMS[1];
    let ephemeral = "can't be used with --ephemeral: an ephemeral server stores nothing on disk";
    for (arguments, expected) in [
        ("--ephemeral --data d", format!("--data {ephemeral}")),
        ("--ephemeral --restored", format!("--restored {ephemeral}")),
        ("--ephemeral --sync os", format!("--sync {ephemeral}")),
        ("--ephemeral --trust-clock", format!("--trust-clock {ephemeral}")),
        ("--log-bytes-max 1MB", "--log-bytes-max: expected at least 16MiB".to_owned()),
        ("--socket-mode 0660", "--socket-mode needs a Unix socket".to_owned()),
        ("--listen 127.0.0.1:1 --listen 127.0.0.1:1", "--listen 127.0.0.1:1 is given several times".to_owned()),
        ("--retain-messages 1 --retain-events 2", "--retain-events can't be used with --retain-messages 1".to_owned()),
        ("--ephemeral backup x", "--ephemeral can't be used with backup: leave it out".to_owned()),
    ] {
        let (code, _, errors) = output(&mut command(server, arguments));
        assert_eq!(code, Some(2), "{arguments}: {errors}");
        assert!(errors.starts_with(&format!("hubbub-server: {expected}")), "{arguments}: {errors}");
    }
    // A variable with the value 0 counts as unset, and an option overrides the variables that it makes meaningless:
    // only the address is invalid here.
    for (arguments, variables) in [
        ("--ephemeral", &[("HUBBUB_RESTORED", "0"), ("HUBBUB_DATA", "/nowhere")][..]),
        ("--sync os", &[("HUBBUB_EPHEMERAL", "0"), ("HUBBUB_LOG_BYTES_MAX", "1GB"), ("HUBBUB_DATA", "/proc/no")]),
        // The former name alone was refused as a second --retain-messages.
        ("--ephemeral --retain-events 5", &[]),
    ] {
        let arguments = format!("{arguments} --listen unix:/nowhere/socket");
        let (code, _, errors) = output(command(server, &arguments).envs(variables.iter().copied()));
        assert_eq!(code, Some(1), "{errors}");
    }
    let mut both = command(server, "");
    let (code, _, errors) = output(both.envs([("HUBBUB_EPHEMERAL", "1"), ("HUBBUB_DATA", "d")]));
    assert_eq!(code, Some(2));
    assert!(errors.contains("HUBBUB_DATA can't be used with HUBBUB_EPHEMERAL"), "{errors}");
}

/// Arguments that are not text, empty, or contain escape sequences for the terminal.
#[test]
fn odd_arguments_are_refused_and_shown_escaped() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    let client = PROGRAMS[0];
    for (argument, expected) in [
        (&b"t\xffa"[..], r#"invalid argument "t\xFFa": expected UTF-8"#),
        (b"", "the room's name is empty"),
        (b"tea\nmilk", r#"invalid value "tea\nmilk" for <ROOM>"#),
        (b"\x1b[2J", r#"invalid value "\u{1b}[2J" for <ROOM>"#),
    ] {
        let (code, _, errors) = output(command(client, "history").arg(OsStr::from_bytes(argument)));
        assert_eq!(code, Some(2), "{errors}");
        assert!(errors.contains(expected) && !errors.contains('\u{1b}'), "{errors}");
    }
}
