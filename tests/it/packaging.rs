//! What packages are made of: units, man pages, completions, the files that are installed, and how the programs are built.
//! `make package-test` installs the Debian package.

mod settings;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::terminal::client_command;

const PROGRAMS: [&str; 3] =
    [env!("CARGO_BIN_EXE_hubbub-server"), env!("CARGO_BIN_EXE_hubbub"), env!("CARGO_BIN_EXE_hubbub-repeat")];

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn page(path: &str) -> String {
    fs::read_to_string(project(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn name(program: &str) -> &str {
    Path::new(program).file_name().and_then(|name| name.to_str()).expect("a plain name")
}

fn printed(program: &str, arguments: &[&str]) -> String {
    let output = client_command(program, arguments).output().expect("the program starts");
    assert!(output.status.success(), "{program} {arguments:?}: {}", text(&output));
    String::from_utf8(output.stdout).expect("it is text")
}

/// What a program said on both outputs.
fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Runs one of the project's tools, which must succeed.
fn tool(command: &mut Command) -> String {
    let output = command.current_dir(project(".")).output().expect("the tool starts");
    assert!(output.status.success(), "{command:?}: {}", text(&output));
    text(&output)
}

/// The names of a program's options that its full help lists, and of its commands.
fn listed(program: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let help = printed(program, &["--help"]);
    let is_option =
        |line: &&str| [2, 6].contains(&(line.len() - line.trim_start().len())) && line.trim().starts_with('-');
    let options =
        help.lines().filter(is_option).filter_map(|line| line.split([' ', ',']).find(|word| word.starts_with("--")));
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let commands = commands.filter(|line| !line.starts_with("   ")).filter_map(|line| line.split_whitespace().next());
    (options.map(str::to_owned).collect(), commands.map(str::to_owned).collect())
}

/// The score of systemd's own check of a unit; the lower, the better. It is 1.4.
#[test]
fn the_unit_is_hardened() {
    let unit = project("deploy/systemd/hubbub-server.service");
    let mut check = Command::new("systemd-analyze");
    let output = check.args(["security", "--offline=yes", "--threshold=20", "--no-pager"]).arg(&unit).output();
    let output = output.expect("systemd-analyze (Debian: systemd) is needed to check the unit");
    let said = text(&output);
    assert!(output.status.success() && said.contains("Overall exposure level"), "worse than 2.0: {said}");
}

/// A unit with a directive that systemd does not know is used without it.
#[test]
fn systemd_knows_every_line_of_the_units() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut units = Vec::new();
    for entry in fs::read_dir(project("deploy/systemd")).expect("the units are there") {
        let path = entry.expect("it can be listed").path();
        if path.extension().is_some_and(|end| end == "service" || end == "socket") {
            // The program and its man page are not installed here.
            let unit = fs::read_to_string(&path).expect("it is text").replace("/usr/bin/hubbub-server", "/bin/true");
            let unit: String =
                unit.lines().filter(|line| !line.starts_with("Documentation=")).flat_map(|line| [line, "\n"]).collect();
            units.push(folder.path().join(path.file_name().expect("it has a name")));
            fs::write(units.last().expect("it was added"), unit).expect("it is written");
        }
    }
    assert_eq!(units.len(), 3);
    let output = Command::new("systemd-analyze").arg("verify").args(&units).output().expect("systemd-analyze is there");
    let said = text(&output);
    let ours: Vec<_> = said.lines().filter(|line| line.contains("hubbub")).collect();
    assert!(ours.is_empty(), "{ours:?}");
}

#[test]
fn the_long_version_names_commit_and_features() {
    for program in PROGRAMS {
        let (short, long) = (printed(program, &["-V"]), printed(program, &["--version"]));
        assert_eq!(short, format!("{} {}\n", name(program), env!("CARGO_PKG_VERSION")));
        let lines: Vec<_> = long.lines().collect();
        assert_eq!((lines.len(), lines[0]), (3, short.trim_end()), "{long}");
        let commit = lines[1].strip_prefix("commit: ").expect("it names the commit, or that there is none");
        let is_hex = |commit: &str| commit.len() >= 7 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
        assert!(commit == "not named by the build" || is_hex(commit.trim_end_matches("+changes")), "{long}");
        let patches = if cfg!(feature = "core-patches") { '+' } else { '-' };
        // Of .cargo/config.toml, which this test was built with.
        assert_eq!(lines[2], format!("features: {patches}core-patches +fdatasync"));
    }
}

/// `cargo install --git` does not read .cargo/config.toml, so docs/install.md has its settings, and so has no other place.
#[test]
fn the_settings_of_the_build_are_in_the_docs() {
    let config = page(".cargo/config.toml");
    let settings = config.lines().skip_while(|line| *line != "[env]").skip(1).filter(|line| !line.is_empty());
    let install = page("docs/install.md");
    let mut count = 0;
    for setting in settings {
        let (name, value) = setting.split_once(" = ").expect("NAME = \"value\"");
        let value = value.trim_matches('"');
        let is_there =
            [format!("{name}={value}"), format!("{name}='{value}'")].iter().any(|form| install.contains(form));
        assert!(is_there, "docs/install.md lacks {setting}");
        count += 1;
    }
    assert_eq!(count, 3);
}

#[test]
fn every_option_is_in_the_man_page_and_every_command_has_one() {
    let folder = tempfile::tempdir().expect("a folder");
    for program in PROGRAMS {
        printed(program, &["--generate", "man", folder.path().to_str().expect("a plain path")]);
        let page = |name: &str| {
            let page = fs::read_to_string(folder.path().join(format!("{name}.1"))).expect("the page is there");
            // As it is read.
            page.replace("\\-", "-")
        };
        let (options, commands) = listed(program);
        let main = page(name(program));
        assert!(options.len() > 5 && options.iter().all(|option| main.contains(&format!("{option}\\f"))), "{main}");
        for command in commands.iter().filter(|command| *command != "help") {
            let page = page(&format!("{}-{command}", name(program)));
            assert!(page.contains(".SH EXAMPLES\n.nf\n"), "{page}");
        }
    }
    for entry in fs::read_dir(folder.path()).expect("the folder is there") {
        let path = entry.expect("it can be listed").path();
        let output = Command::new("groff")
            .args(["-man", "-Tutf8", "-wmac", "-wescape", "-wel", "-wmissing", "-z"])
            .arg(&path)
            .output();
        let output = output.expect("groff (Debian: groff-base) is needed to check man pages");
        assert_eq!((output.status.success(), text(&output).as_str()), (true, ""), "{}", path.display());
    }
}

/// What bash would offer for the last of these words.
fn completed(program: &str, words: &[&str]) -> Vec<String> {
    // As bash calls a function that completes. The function is found as bash finds it.
    const SCRIPT: &str = r#"
        eval "$("$1" --generate bash)" || exit 1
        shift
        function=$(complete -p "$1" | sed 's/.*-F \([^ ]*\).*/\1/') || exit 1
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE="$*" COMP_POINT=${#COMP_LINE} COMPREPLY=()
        "$function" "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let mut bash = Command::new("bash");
    bash.args(["--norc", "-c", SCRIPT, "bash", program, name(program)]).args(words);
    let output = bash.output().expect("bash is there");
    assert!(output.status.success() && output.stderr.is_empty(), "{program} {words:?}: {}", text(&output));
    String::from_utf8(output.stdout).expect("it is text").lines().map(str::to_owned).collect()
}

/// The crate's script named the programs with a hyphen in two ways, and completed no command of hubbub-server.
#[test]
fn bash_completes_options_and_commands() {
    for program in PROGRAMS {
        let (options, commands) = listed(program);
        let offered: BTreeSet<_> = completed(program, &["--"]).into_iter().collect();
        assert_eq!(offered, options, "{program}: neither fewer nor hidden ones");
        let offered: BTreeSet<_> = completed(program, &[""]).into_iter().collect();
        assert!(commands.is_subset(&offered), "{program}: {offered:?}");
    }
    let [server, client, _] = PROGRAMS;
    assert_eq!(completed(server, &["ba"]), ["backup"]);
    assert_eq!(completed(server, &["backup", "--fo"]), ["--force"]);
    assert_eq!(completed(server, &["st"]), ["stats"]);
    assert_eq!(completed(server, &["health", "--server-n"]), ["--server-name"]);
    assert_eq!(completed(server, &["--admin-"]), ["--admin-host"]);
    assert!(completed(server, &["room", ""]).contains(&"delete".to_owned()));
    assert_eq!(completed(client, &["his"]), ["history"]);
}

#[test]
fn a_wrong_request_for_pages_says_what_is_possible() {
    for arguments in
        [&["--generate"][..], &["--generate", "tcsh"], &["--generate", "man"], &["--generate", "bash", "x"]]
    {
        let output = client_command(PROGRAMS[1], arguments).output().expect("the program starts");
        let said = text(&output);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert_eq!(said, "hubbub: expected --generate bash, zsh or fish, or --generate man FOLDER\n");
    }
}

fn files(folder: &Path, found: &mut BTreeSet<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the folder can be listed") {
        let path = entry.expect("it can be listed").path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.insert(path);
        }
    }
}

#[test]
fn what_is_installed_is_removed_but_for_settings() {
    let folder = tempfile::tempdir().expect("a folder");
    let (dest, release) = (folder.path().join("dest"), Path::new(PROGRAMS[0]).parent().expect("it is in a folder"));
    let run = |action: &str| {
        let mut install = Command::new(project("tools/install-files"));
        install.arg(action).arg(release).env("DESTDIR", &dest).env("PREFIX", "/opt/hubbub");
        for variable in ["SYSCONFDIR", "UNITDIR", "SYSUSERSDIR"] {
            install.env_remove(variable);
        }
        tool(&mut install)
    };
    let installed = || {
        let mut found = BTreeSet::new();
        files(&dest, &mut found);
        found
            .iter()
            .map(|path| path.strip_prefix(&dest).expect("it is below").display().to_string())
            .collect::<BTreeSet<_>>()
    };
    run("install");
    let found = installed();
    for path in [
        "opt/hubbub/bin/hubbub-server",
        "opt/hubbub/bin/hubbub-repeat",
        "opt/hubbub/share/man/man1/hubbub-server-backup.1.gz",
        "opt/hubbub/share/bash-completion/completions/hubbub",
        "opt/hubbub/share/zsh/site-functions/_hubbub-server",
        "opt/hubbub/share/fish/vendor_completions.d/hubbub.fish",
        "opt/hubbub/lib/systemd/system/hubbub-server.socket",
        "opt/hubbub/lib/sysusers.d/hubbub.conf",
        "opt/hubbub/share/doc/hubbub/docs/install.md",
        "opt/hubbub/share/doc/hubbub/examples/hubbub.toml",
        "opt/hubbub/share/doc/hubbub/examples/prometheus/alerts.yml",
        "opt/hubbub/share/man/man1/hubbub-server-stats.1.gz",
        "opt/hubbub/share/man/man1/hubbub-server-health.1.gz",
        "etc/hubbub/hubbub.toml",
        "etc/hubbub/hubbub-server.env",
    ] {
        assert!(found.contains(path), "{path} is not installed: {found:?}");
    }
    let unit =
        fs::read_to_string(dest.join("opt/hubbub/lib/systemd/system/hubbub-server.service")).expect("it is there");
    for command in ["ExecStart=", "ExecReload="] {
        let command = format!("\n{command}/opt/hubbub/bin/hubbub-server --config /etc/hubbub/hubbub.toml");
        assert!(unit.contains(&command), "{unit}");
    }

    let (settings, other) = (dest.join("etc/hubbub/hubbub-server.env"), dest.join("opt/hubbub/bin/other"));
    fs::write(&settings, "HUBBUB_RETAIN_FOR=90d\n").expect("it can be changed");
    fs::write(dest.join("etc/hubbub/hubbub.toml"), "data = '/srv/hubbub'\n").expect("it can be changed");
    fs::write(&other, "").expect("it can be written");
    run("install");
    assert_eq!(fs::read_to_string(&settings).expect("it is there"), "HUBBUB_RETAIN_FOR=90d\n");
    let kept = fs::read_to_string(dest.join("etc/hubbub/hubbub.toml")).expect("it is there");
    assert_eq!(kept, "data = '/srv/hubbub'\n");
    run("uninstall");
    let left = ["etc/hubbub/hubbub-server.env", "etc/hubbub/hubbub.toml", "opt/hubbub/bin/other"];
    assert_eq!(installed(), left.map(str::to_owned).into());
    assert!(!dest.join("opt/hubbub/share/doc/hubbub").exists(), "a folder is left");
}
