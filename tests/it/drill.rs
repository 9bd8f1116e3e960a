//! docs/operating.md: its transcripts are run, each in an empty folder, with the real programs. What they print, what the
//! server logs, and how they end must be as the page shows. No warning and no error may be logged that it does not show.
//!
//! A block after `<!-- drill -->` has these lines:
//!
//! | line | what happens |
//! | --- | --- |
//! | `1$ COMMAND` | starts a server; or, if lines of output follow, a command that ends with them |
//! | `2$ COMMAND` | runs a command; with `&` at its end, beside the others |
//! | `1: LEVEL TEXT` | waits until the server has logged this. Neighbouring lines may come in any order |
//! | `1: exit status N` | waits for the server's end |
//! | `1^C` | stops the server |
//! | `exit status N` | how the command before ends; otherwise with 0 |
//! | any other | what the command before prints |
//!
//! `…` stands for any text, and alone for any lines. The default addresses are replaced by free ones.

use std::collections::{BTreeSet, VecDeque};
use std::env;
use std::fs;
use std::iter;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::support::foreign::project;
use crate::support::process::{self, ServerProcess, lasting_address};
use crate::terminal::client_command;

const PAGE: &str = "docs/operating.md";
/// The ports of the default addresses: of the chat, and of metrics and state.
const SHOWN_PORTS: [&str; 2] = ["5000", "9464"];
const MARK: &str = "<!-- drill -->\n```console\n";
/// How long a command may take, in seconds.
const COMMAND_S: &str = "60";
/// A machine that allows few clients has one more warning.
const OF_THE_MACHINE: &str = "clients can be served at once: ulimit -n or vm.max_map_count allows no more";

/// The transcripts below a heading.
fn transcripts(heading: &str) -> Vec<String> {
    let page = fs::read_to_string(project(PAGE)).expect("the page is there");
    let parts: Vec<_> = page.split(MARK).collect();
    let heading_before = |part: &str| part.lines().rev().find(|line| line.starts_with("##")).map(str::to_owned);
    let mut current = String::new();
    let mut found = Vec::new();
    for pair in parts.windows(2) {
        current = heading_before(pair[0]).unwrap_or(current);
        if current.trim_start_matches('#').trim() == heading {
            found.push(pair[1].split("```").next().expect("a block ends").to_owned());
        }
    }
    found
}

/// Whether a text is what the page shows. With `is_end`, a text that ends so is enough.
fn is_like(shown: &str, text: &str, is_end: bool) -> bool {
    let mut parts = shown.split('…');
    let first = parts.next().unwrap_or_default();
    let parts: Vec<_> = parts.collect();
    let Some((last, between)) = parts.split_last() else {
        return if is_end { text.ends_with(shown) } else { text == shown };
    };
    let start = if is_end { text.find(first) } else { text.starts_with(first).then_some(0) };
    let Some(mut rest) = start.map(|at| &text[at + first.len()..]) else { return false };
    for part in between {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// Whether lines are what the page shows.
fn are_like(shown: &[String], lines: &[String]) -> bool {
    match (shown.split_first(), lines.split_first()) {
        (None, None) => true,
        (Some((first, rest)), _) if first == "…" => (0..=lines.len()).any(|from| are_like(rest, &lines[from..])),
        (Some((first, shown)), Some((line, lines))) => is_like(first, line, false) && are_like(shown, lines),
        _ => false,
    }
}

/// Whether a line of a log is the one that the page shows, with its level.
fn is_logged(shown: &str, line: &str) -> bool {
    match shown.split_once(' ') {
        Some((level @ ("ERROR" | "WARN" | "INFO"), text)) => {
            line.contains(&format!(" {level} ")) && is_like(text, line, true)
        }
        _ => is_like(shown, line, true),
    }
}

/// A step of a transcript: its line, and those that belong to it.
struct Step {
    line: String,
    shown: Vec<String>,
}

fn steps(transcript: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let logs = |line: &str| line.starts_with("1: ") && !line.starts_with("1: exit status ");
    for line in transcript.lines() {
        let begins = ["1$ ", "2$ ", "1: ", "1^C"].iter().any(|begin| line.starts_with(begin));
        match steps.last_mut() {
            Some(last) if logs(line) && logs(&last.line) => last.shown.push(line[3..].to_owned()),
            Some(last) if !begins => last.shown.push(line.to_owned()),
            _ => {
                assert!(begins, "a transcript begins with a command: {line}");
                let shown = if logs(line) { vec![line[3..].to_owned()] } else { Vec::new() };
                steps.push(Step { line: line.to_owned(), shown });
            }
        }
    }
    steps
}

/// Takes `exit status N` from the end of what is shown.
fn take_status(shown: &mut Vec<String>) -> i32 {
    let status = shown
        .last()
        .and_then(|line| line.strip_prefix("exit status "))
        .map(|status| status.parse().unwrap_or_else(|error| panic!("{status}: {error}")));
    if status.is_some() {
        shown.pop();
    }
    status.unwrap_or(0)
}

/// A folder in which a transcript is run.
struct Drill {
    folder: TempDir,
    address: String,
    admin: String,
    server: Option<ServerProcess>,
    /// What the server has logged, and no step has taken yet.
    unread: VecDeque<String>,
    /// Which lines the page has shown so far. A fault may be logged again.
    shown: Vec<String>,
}

impl Drill {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        // Neither has a part that is replaced.
        let mut addresses = iter::repeat_with(lasting_address)
            .filter(|address| SHOWN_PORTS.iter().all(|shown| !address.contains(shown)));
        let address = addresses.next().expect("there are many");
        let admin = addresses.find(|other| *other != address).expect("there are many");
        Self { folder, address, admin, server: None, unread: VecDeque::new(), shown: Vec::new() }
    }

    fn run(&mut self, step: Step) {
        let Step { line, mut shown } = step;
        if let Some(command) = line.strip_prefix("2$ ") {
            self.command(command, shown);
        } else if let Some(command) = line.strip_prefix("1$ ") {
            if shown.is_empty() { self.serve(command) } else { self.command(command, shown) }
        } else if let Some(status) = line.strip_prefix("1: exit status ") {
            self.end(status.parse().expect("a status is a number"));
        } else if line.starts_with("1: ") {
            self.wait_for_lines(shown);
        } else {
            self.server.as_ref().expect("a server runs").signal(libc::SIGINT);
            let status = take_status(&mut shown);
            assert!(shown.is_empty(), "nothing else follows 1^C: {shown:?}");
            self.end(status);
        }
    }

    /// The ports that the page shows, and those in their places.
    fn ports(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let ports = [&self.address, &self.admin].map(|address| address.rsplit(':').next().expect("a port"));
        SHOWN_PORTS.into_iter().zip(ports)
    }

    /// A shell in the folder, which may be given a time.
    fn shell(&self, script: &str, seconds_max: Option<&str>) -> Command {
        let script = script.replace("0.0.0.0:5000", &self.address);
        let mut script = self.ports().fold(script, |script, (shown, port)| script.replace(shown, port));
        if let Some(server) = &self.server {
            script = script.replace("$(pidof hubbub-server)", &server.pid().to_string());
        }
        let mut shell = match seconds_max {
            Some(seconds) => client_command("timeout", &[seconds, "sh", "-c", &script]),
            None => client_command("sh", &["-c", &script]),
        };
        // Tests run beside each other, and have addresses of their own.
        let server = process::command();
        for (name, value) in server.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        let programs = Path::new(server.get_program()).parent().expect("the programs have a folder");
        let path = env::var("PATH").unwrap_or_default();
        shell.env("PATH", format!("{}:{path}", programs.display())).env("REPO", project(""));
        shell.env("HUBBUB_LISTEN", &self.address).env("HUBBUB_SERVER", &self.address).env("HUBBUB_ADMIN", &self.admin);
        // No proxy of this machine is asked for its own addresses.
        shell.env("no_proxy", "127.0.0.1,localhost");
        shell.current_dir(self.folder.path()).stdin(Stdio::null());
        shell
    }

    fn command(&mut self, command: &str, mut shown: Vec<String>) {
        if command.ends_with('&') {
            let mut shell = self.shell(command, Some(COMMAND_S));
            let status = shell.stdout(Stdio::null()).stderr(Stdio::null()).status().expect("a shell starts");
            assert!(status.success() && shown.is_empty(), "{command}");
            return;
        }
        let status = take_status(&mut shown);
        // In one pipe, as on a terminal.
        let output = self.shell(&format!("exec 2>&1; {command}"), Some(COMMAND_S)).output().expect("a shell starts");
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        let printed = self
            .ports()
            .fold(printed, |printed, (shown, port)| printed.replace(&format!(":{port}"), &format!(":{shown}")));
        let printed: Vec<_> = printed.lines().map(str::to_owned).collect();
        assert_eq!(output.status.code(), Some(status), "{command}: {printed:#?}");
        assert!(are_like(&shown, &printed), "{command}: {printed:#?}, and the page shows: {shown:#?}");
    }

    /// Starts a server, and waits until it listens.
    fn serve(&mut self, command: &str) {
        assert!(self.server.is_none(), "the server before was stopped: {command}");
        self.server = Some(ServerProcess::spawn(self.shell(&format!("exec {command}"), None)));
        loop {
            let line = self.server.as_mut().expect("it was started").wait_for_log("");
            let listens = line.contains("listening on ");
            self.unread.push_back(line);
            if listens {
                return;
            }
        }
    }

    fn wait_for_lines(&mut self, mut expected: Vec<String>) {
        eprintln!("waiting for {expected:#?}");
        while !expected.is_empty() {
            let server = self.server.as_mut().expect("a server runs");
            let line = self.unread.pop_front().unwrap_or_else(|| server.wait_for_log(""));
            match expected.iter().position(|shown| is_logged(shown, &line)) {
                Some(at) => self.shown.push(expected.remove(at)),
                None => self.check_known(&line, &expected),
            }
        }
    }

    /// Waits until the server has ended.
    fn end(&mut self, status: i32) {
        let mut server = self.server.take().expect("a server runs");
        let ended = server.wait();
        self.unread.extend(server.rest_of_log());
        assert_eq!(ended.code(), Some(status), "{:#?}", self.unread);
        while let Some(line) = self.unread.pop_front() {
            self.check_known(&line, &[]);
        }
    }

    /// A warning or an error that the page does not show is a fault: of the page, or of the server.
    fn check_known(&self, line: &str, expected: &[String]) {
        let is_fault = [" WARN ", " ERROR "].iter().any(|level| line.contains(level));
        let is_known = line.contains(OF_THE_MACHINE) || self.shown.iter().any(|shown| is_logged(shown, line));
        assert!(!is_fault || is_known, "{PAGE} does not show: {line}\nIt shows: {expected:#?}");
    }
}

fn run_transcripts(heading: &str) {
    let transcripts = transcripts(heading);
    assert!(!transcripts.is_empty(), "{PAGE} has a transcript below {heading}");
    for transcript in transcripts {
        let mut drill = Drill::new();
        steps(&transcript).into_iter().for_each(|step| drill.run(step));
        assert!(drill.server.is_none(), "{heading}: the server is stopped");
    }
}

#[test]
fn every_transcript_of_the_page_is_run() {
    let page = fs::read_to_string(project(PAGE)).expect("the page is there");
    let run = fs::read_to_string(project("tests/it/drill.rs")).expect("this file is there");
    let headings: Vec<_> = page.lines().filter(|line| line.starts_with("##")).collect();
    let (mut marked, mut faults) = (0, 0);
    for heading in headings {
        let heading = heading.trim_start_matches('#').trim();
        let count = transcripts(heading).len();
        marked += count;
        assert!(count == 0 || run.contains(&format!("run_transcripts(\"{heading}\")")), "{heading} is not run");
    }
    for line in page.lines().skip_while(|line| *line != "## The fault drill").filter(|line| line.starts_with("### ")) {
        faults += 1;
        assert!(!transcripts(line.trim_start_matches("### ")).is_empty(), "{line} has no transcript");
    }
    assert!(faults >= 7 && marked == page.matches(MARK).count(), "{faults} faults, {marked} transcripts");
}

/// The table and the sections name the same alerts, and there are such.
#[test]
fn the_alerts_of_each_fault_exist() {
    let page = fs::read_to_string(project(PAGE)).expect("the page is there");
    let rules = fs::read_to_string(project("deploy/prometheus/alerts.yml")).expect("the alerts are there");
    let named = |text: &str| -> BTreeSet<String> {
        let words = text.split('`').filter(|word| word.starts_with("Hubbub")).map(str::to_owned);
        words.inspect(|alert| assert!(rules.contains(&format!("- alert: {alert}\n")), "{alert} is no alert")).collect()
    };
    let mut faults = 0;
    for row in page.lines().filter(|line| line.starts_with("| [")) {
        let anchor = row.split(['#', ')']).nth(1).expect("a link to the section");
        let is_its_own = |section: &&str| {
            let heading = section.lines().next().unwrap_or_default().to_lowercase();
            heading.chars().filter(|c| *c == ' ' || c.is_ascii_alphabetic()).collect::<String>().replace(' ', "-")
                == anchor
        };
        let section = page.split("\n### ").find(is_its_own).unwrap_or_else(|| panic!("{anchor} is a section"));
        assert!(section.contains("\n- **Metrics and health**: "), "{anchor}");
        let (in_row, in_section) = (named(row), named(section));
        assert!(in_row.is_subset(&in_section), "{anchor}: {in_row:?}, {in_section:?}");
        assert!(!in_row.is_empty() || anchor == "an-older-backup-is-restored", "{anchor}");
        faults += 1;
    }
    assert!(faults >= 10, "{faults} faults");
}

#[test]
fn tls_in_five_lines() {
    run_transcripts("TLS in five lines");
}

#[test]
fn watch() {
    run_transcripts("Watch");
}

#[test]
fn back_up_verify_restore() {
    run_transcripts("Back up, verify, restore");
}

#[test]
fn upgrade_and_downgrade() {
    run_transcripts("Upgrade and downgrade");
}

#[test]
fn the_disk_is_almost_full() {
    run_transcripts("The disk is almost full");
}

#[test]
fn the_disk_is_full() {
    run_transcripts("The disk is full");
}

#[test]
fn the_disk_fails() {
    run_transcripts("The disk fails");
}

#[test]
fn the_disk_cannot_be_read() {
    run_transcripts("The disk can't be read");
}

#[test]
fn the_clock_is_wrong() {
    run_transcripts("The clock is wrong");
}

#[test]
fn the_certificate_expires() {
    run_transcripts("The certificate expires");
}

#[test]
fn an_older_backup_is_restored() {
    run_transcripts("An older backup is restored");
}

#[test]
#[cfg_attr(not(feature = "core-patches"), ignore = "the C core alone does otherwise")]
fn descriptors_run_out() {
    run_transcripts("Descriptors run out");
}

#[test]
fn a_file_is_damaged() {
    run_transcripts("A file is damaged");
}

#[test]
fn the_data_folder_is_gone() {
    run_transcripts("The data folder is gone");
}

#[test]
fn ellipses_stand_for_any_text_and_any_lines() {
    assert!(is_like("a … c", "a b c", false) && is_like("… c", "a b c", false) && is_like("a …", "a b c", false));
    assert!(is_like("b … d", "a b c d", true) && is_like("c d", "a b c d", true));
    assert!(!is_like("a … d", "a b c", false) && !is_like("b …", "a b c", false) && !is_like("b", "a b c", true));
    let lines = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    assert!(are_like(&lines("a … d"), &lines("a b c d")) && are_like(&lines("a …"), &lines("a")));
    assert!(!are_like(&lines("a … d"), &lines("a b c")) && !are_like(&lines("a"), &lines("a b")));
    assert!(is_logged("WARN b", "[time WARN  place] b"));
    assert!(!is_logged("WARN b", "[time ERROR place] b") && !is_logged("WARN b", "[time WARN  place] c"));
}
