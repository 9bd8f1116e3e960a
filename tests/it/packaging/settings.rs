//! The settings of the service and of the container: the files and variables that they name, and who reads them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use super::{PROGRAMS, page, printed, project, text, tool};
use crate::support::process::ServerProcess;
use crate::terminal::client_command;
use crate::tls::authority::Authority;

/// A variable that no option has is ignored in silence.
#[test]
fn every_variable_in_the_files_belongs_to_an_option() {
    let help = printed(PROGRAMS[0], &["--help"]);
    let mut count = 0;
    for file in [
        "deploy/systemd/hubbub-server.service",
        "deploy/systemd/hubbub-server.socket",
        "deploy/systemd/hubbub-server.env",
        "Dockerfile",
        "deploy/docker/compose.yaml",
        "deploy/docker/prometheus.yml",
    ] {
        let text = page(file);
        for word in text.split(|char: char| !char.is_ascii_alphanumeric() && char != '_') {
            if let Some(name) = word.strip_prefix("HUBBUB_").filter(|name| !name.is_empty() && *name != "COMMIT") {
                assert!(help.contains(&format!("[env: HUBBUB_{name}]")), "{file}: {word}");
                count += 1;
            }
        }
    }
    assert!(count > 8, "{count} variables were found");
}

/// The commands of the unit: all of them name the same file, and a reload checks it before the signal.
#[test]
fn the_unit_starts_and_checks_with_the_same_file() {
    let unit = page("deploy/systemd/hubbub-server.service");
    let commands: Vec<_> = unit.lines().filter(|line| line.starts_with("Exec")).collect();
    const START: &str = "/usr/bin/hubbub-server --config /etc/hubbub/hubbub.toml";
    let expected = [
        format!("ExecStart={START}"),
        format!("ExecReload={START} --check-config"),
        "ExecReload=/bin/kill -HUP $MAINPID".to_owned(),
    ];
    assert_eq!(commands, expected);
    // A variable of the unit would override the key of the same name in silence.
    assert!(!unit.lines().any(|line| line.starts_with("Environment=")), "{unit}");
    let files = page("Cargo.toml").lines().find(|line| line.starts_with("conf-files")).map(str::to_owned);
    let files = files.expect("the package has files of settings");
    for file in ["/etc/hubbub/hubbub.toml", "/etc/hubbub/hubbub-server.env"] {
        assert!(files.contains(&format!("{file:?}")), "{files}");
    }
}

/// The key of a line of a configuration file, with its value, if it has one. A comment that sets a key begins with `#key`.
fn entry(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.strip_prefix('#').unwrap_or(line).split_once(" = ")?;
    key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-').then_some((key, value))
}

/// The service's file is a part of what `--print-config` prints, which `tests/it/config/docs.rs` compares with
/// `deploy/hubbub.toml`: it sets the folder only, and what it shows can be used.
#[test]
fn the_services_file_is_a_part_of_the_printed_one_and_each_line_of_it_is_valid() {
    let (services, all_keys) = (page("deploy/systemd/hubbub.toml"), page("deploy/hubbub.toml"));
    let known: Vec<_> = all_keys.lines().filter_map(entry).collect();
    let shown: Vec<_> = services.lines().filter_map(entry).collect();
    assert!(shown.len() > 10 && known.len() > 40, "{shown:?}");
    for (key, value) in &shown {
        let default = known.iter().find(|(known, _)| known == key).unwrap_or_else(|| panic!("{key} is no key")).1;
        // What the key has without it, or an example.
        let is_own = ["data", "listen", "auth", "tls-cert", "tls-key", "http-host", "retain-messages", "log-bytes-max"];
        let default = default.split("  # ").next().unwrap_or_default();
        assert!(default == *value || is_own.contains(key), "{key} = {value} is not {default}");
    }
    let set = |text: &str| -> Vec<String> {
        text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect()
    };
    assert_eq!(set(&services), ["data = \"/var/lib/hubbub\""]);

    // With each key set, at a place of this test.
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new();
    let pair = authority.server("chat.example.org");
    let path = |path: &Path| path.to_str().expect("a plain path").to_owned();
    let all: String = services
        .lines()
        .map(|line| format!("{}\n", if entry(line).is_some() { line.trim_start_matches('#') } else { line }))
        .collect();
    let all = all
        .replace("/var/lib/hubbub", &path(&folder.path().join("data")))
        .replace("/etc/hubbub/chat.pem", &path(&pair.certificate))
        .replace("/etc/hubbub/chat.key", &path(&pair.key))
        .replace("0.0.0.0:5000", "0.0.0.0:0");
    assert_eq!(set(&all).len(), shown.len());
    fs::write(folder.path().join("hubbub.toml"), all).expect("it can be written");
    let file = path(&folder.path().join("hubbub.toml"));
    assert_eq!(printed(PROGRAMS[0], &["--config", &file, "--check-config"]), "the configuration is valid\n");
}

/// systemd names the service's main process to the check before a reload. Then what the server uses is no surprise.
#[test]
fn a_check_before_a_reload_does_not_warn_of_the_server_itself() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data").to_str().expect("a plain path").to_owned();
    let server = ServerProcess::start(&["--data", &data]);
    let check = |arguments: &[&str], main_process: bool| {
        let arguments = [&["--check-config", "--data", &data, "--http", "none"][..], arguments].concat();
        let mut check = client_command(PROGRAMS[0], &arguments);
        if main_process {
            check.env("MAINPID", "1");
        }
        let output = check.output().expect("the program starts");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let other = ServerProcess::start(&[]);
    let taken = ["--listen", server.target(), "--admin", other.target()];
    let (code, warnings) = check(&taken, false);
    assert_eq!((code, warnings.matches(" is taken: ").count()), (Some(0), 2), "{warnings}");
    assert!(warnings.contains("a server is running with"), "{warnings}");
    assert_eq!(check(&taken, true), (Some(0), String::new()));
    // Faults are faults, also of the admin address.
    let (code, faults) = check(&["--listen", "127.0.0.1:0", "--admin", "unix:/nowhere/admin"], true);
    assert!(code == Some(2) && faults.contains("--admin: can't listen on unix:/nowhere/admin"), "{faults}");
}

/// A variable of the environment file with a slip of the pen had no effect, and nobody said so. Those of the build, of the
/// tests and of the clients are no slips.
#[test]
fn a_misspelt_variable_is_a_warning_and_those_of_builds_and_clients_are_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut check = client_command(PROGRAMS[0], &["--check-config", "--listen", "127.0.0.1:0", "--http", "none"]);
    check.current_dir(folder.path()).env("HUBBUB_COMMIT", "d04c7b2").env("HUBBUB_FETCHED_COMMIT", "d04c7b2");
    let variables = |program: &str| -> BTreeSet<String> {
        let help = printed(program, &["--help"]);
        help.split("[env: ").skip(1).filter_map(|rest| rest.split([']', '=']).next()).map(str::to_owned).collect()
    };
    let own = variables(PROGRAMS[0]);
    let others = variables(PROGRAMS[1]).union(&variables(PROGRAMS[2])).cloned().collect::<BTreeSet<_>>();
    let others: Vec<_> = others.difference(&own).filter(|variable| variable.starts_with("HUBBUB_")).collect();
    assert!(others.len() > 5, "{others:?}");
    check.envs(others.iter().map(|variable| (variable, "x"))).env("HUBBUB_RETIAN_FOR", "90d");
    let output = check.output().expect("the program starts");
    let expected =
        "hubbub-server: warning: the variable HUBBUB_RETIAN_FOR has no effect: did you mean HUBBUB_RETAIN_FOR?\n";
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), expected));
}

/// The admin address of the container: Prometheus finds it by its name, and no port of it is published.
#[test]
fn prometheus_reaches_the_container_and_nobody_else_does() {
    let (compose, prometheus) = (page("deploy/docker/compose.yaml"), page("deploy/docker/prometheus.yml"));
    assert!(compose.contains("HUBBUB_ADMIN: 0.0.0.0:9464\n") && compose.contains("HUBBUB_ADMIN_HOST: server\n"));
    assert!(prometheus.contains("targets: [\"server:9464\"]"), "{prometheus}");
    let published = compose.lines().map(str::trim).filter(|line| line.starts_with("- \"") && line.contains(':'));
    let published: Vec<_> = published.collect();
    assert_eq!(published, ["- \"80:80\"", "- \"443:443\"", "- \"127.0.0.1:9090:9090\""]);
    let service = |name: &str| {
        let (_, rest) = compose.split_once(&format!("\n  {name}:\n")).unwrap_or_else(|| panic!("there is no {name}"));
        rest.lines().take_while(|line| line.starts_with("    ")).collect::<Vec<_>>().join("\n")
    };
    for (name, network) in [("server", "inside"), ("prometheus", "inside"), ("proxy", "outside")] {
        let service = service(name);
        assert!(service.contains(&format!("networks: [{network}]")), "{service}");
    }
    assert!(page("Dockerfile").contains("CMD [\"hubbub-server\", \"health\"]"));
    // As the container has them: beside each other.
    let folder = tempfile::tempdir().expect("a folder");
    for file in ["deploy/docker/prometheus.yml", "deploy/prometheus/alerts.yml"] {
        let name = Path::new(file).file_name().expect("a plain name");
        fs::copy(project(file), folder.path().join(name)).expect("it is copied");
    }
    let mut promtool = Command::new("promtool");
    let output = promtool.args(["check", "config"]).arg(folder.path().join("prometheus.yml")).output();
    let output = output.expect("promtool is installed: tools/install-deps metrics");
    assert!(output.status.success(), "{}", text(&output));
}

/// Another folder of settings is that of the unit too.
#[test]
fn the_unit_names_the_folder_of_settings() {
    let folder = tempfile::tempdir().expect("a folder");
    let release = Path::new(PROGRAMS[0]).parent().expect("it is in a folder");
    let mut install = Command::new(project("tools/install-files"));
    install.arg("install").arg(release).env("DESTDIR", folder.path());
    tool(install.env("PREFIX", "/opt/hubbub").env("SYSCONFDIR", "/opt/etc").env("UNITDIR", "/units"));
    let unit = fs::read_to_string(folder.path().join("units/hubbub-server.service")).expect("it is there");
    assert!(
        !unit.contains(" /etc/") && !unit.contains("=-/etc/") && unit.matches("/opt/etc/hubbub/").count() == 5,
        "{unit}"
    );
    assert!(folder.path().join("opt/etc/hubbub/hubbub.toml").is_file());
}
