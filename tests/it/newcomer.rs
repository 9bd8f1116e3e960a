//! From nothing to two people who talk over TLS: the commands of docs/security.md, as they are printed there.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::support::process::{ServerProcess, command};
use super::tls::authority::Authority;

const CLIENT: &str = env!("CARGO_BIN_EXE_hubbub");

/// The commands that the page shows, below the heading, each without its prompt.
fn shown_commands() -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/security.md");
    let page = fs::read_to_string(path).expect("the page is there");
    let (_, section) = page.split_once("## From nothing to a second person").expect("the section is there");
    let (section, _) = section.split_once("\n## ").expect("another section follows");
    section.lines().filter_map(|line| line.strip_prefix("$ ")).map(str::to_owned).collect()
}

/// A person's client, with a home of its own.
fn client(home: &Path) -> Command {
    let mut client = Command::new(CLIENT);
    client.env_remove("XDG_CONFIG_HOME").env("HOME", home).stdin(Stdio::null());
    client
}

fn succeed(command: &mut Command) -> (String, String) {
    let Output { status, stdout, stderr } = command.output().expect("it starts");
    let (out, notes) = (String::from_utf8(stdout).expect("text"), String::from_utf8(stderr).expect("text"));
    assert!(status.success(), "{command:?}: {out}{notes}");
    (out, notes)
}

/// The link in the output of `invite`.
fn link(printed: &str) -> String {
    let line = printed.lines().find_map(|line| line.trim().strip_prefix("hubbub login "));
    line.unwrap_or_else(|| panic!("no link: {printed}")).trim_matches('\'').to_owned()
}

#[test]
fn two_people_talk_after_the_commands_of_the_page() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let commands = shown_commands();
    let (on_server, on_client): (Vec<_>, Vec<_>) = commands.iter().partition(|line| line.starts_with("hubbub-server "));
    assert!(on_server.len() <= 5 && on_client.len() == 1, "{commands:?}");
    let (mut server, mut links) = (None, Vec::new());
    for line in on_server {
        // This machine has neither that name nor that port.
        let line = line.replace("chat.example.org", "localhost").replace("0.0.0.0:5000", "127.0.0.1:0");
        let words: Vec<&str> = line.split(' ').skip(1).filter(|word| *word != "&").collect();
        let mut program = command();
        program.args(&words).current_dir(here);
        if line.ends_with(" &") {
            server = Some(ServerProcess::listening(program));
            continue;
        }
        let (out, _) = succeed(&mut program);
        if out.contains("hubbub login ") {
            links.push(link(&out));
        }
    }
    let server = server.expect("the page starts a server");
    let port = server.target().rsplit(':').next().expect("a port").to_owned();
    let address = format!("localhost:{port}");
    let [first, second] = &links[..] else { panic!("two invitations: {links:?}") };
    let homes = ["ann", "ann-at-work"].map(|name| here.join(name));
    for home in &homes {
        fs::create_dir(home).expect("a home");
    }
    // A link with another fingerprint, and one without any for an authority that the machine does not trust. Neither
    // sends the code, which stays valid.
    let (unmarked, fingerprint) = first.split_once("&ca=").expect("a fingerprint");
    let last = if fingerprint.ends_with('0') { '1' } else { '0' };
    let changed = format!("{unmarked}&ca={}{last}", &fingerprint[..fingerprint.len() - 1]);
    let others = Authority::new();
    for (link, expected) in [(changed.as_str(), "fingerprint"), (unmarked, "is not from an authority")] {
        let refused = client(&homes[0]).env("SSL_CERT_FILE", &others.file).args(["login", link]).output();
        let refused = refused.expect("it starts");
        let notes = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && notes.contains(expected), "{link}: {notes}");
    }
    for (home, link) in homes.iter().zip([first, second]) {
        let (_, notes) = succeed(client(home).args(["login", link]));
        assert!(notes.contains(&format!("* logged in to {address} as ann; the login is kept in ")), "{notes}");
        let kept = home.join(format!(".config/hubbub/logins/{address}.json"));
        let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&kept).expect("it is kept").permissions());
        assert_eq!(mode & 0o777, 0o600);
        assert!(!notes.contains("hub_"), "{notes}");
    }
    // The login is used from now on, with TLS, without an option.
    let at = |home: &Path, words: &[&str]| succeed(client(home).args(["--server", &address]).args(words)).0;
    at(&homes[0], &["send", "tea", "the kettle boils"]);
    assert_eq!(at(&homes[1], &["history", "tea"]), "ann: the kettle boils\n");
    // The login remembers that the server uses TLS, also when its authority is forgotten.
    fs::remove_dir_all(homes[1].join(".config/hubbub/known-servers")).expect("the authority was remembered");
    let mut by_system = client(&homes[1]);
    succeed(by_system.env("SSL_CERT_FILE", here.join("tls/ca.pem")).args(["--server", &address, "rooms"]));
    // Each code is valid once, and nobody gets in without one.
    let stranger = here.join("stranger");
    fs::create_dir(&stranger).expect("a home");
    let refused = client(&stranger).args(["login", first]).output().expect("it starts");
    let notes = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && notes.contains("it may have been used"), "{notes}");
    let refused = client(&stranger).args(["--server", &address, "rooms"]).output().expect("it starts");
    let notes = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && notes.contains("this server needs a login"), "{notes}");
    // A login that is forgotten is gone from this computer.
    let (_, notes) = succeed(client(&homes[1]).args(["--server", &address, "login", "--forget"]));
    assert!(notes.contains("is forgotten on this computer"), "{notes}");
    assert!(!client(&homes[1]).args(["--server", &address, "rooms"]).output().expect("it starts").status.success());
}

/// The code and the token would be there for everybody to read.
#[test]
fn a_code_is_not_sent_without_tls_to_another_machine() {
    let home = tempfile::tempdir().expect("a home");
    // Documentation's own network: nobody answers there, and nobody is asked.
    let code = ["login", "0000-0000-0000-0000", "--server", "192.0.2.1:5000"];
    let refused = client(home.path()).args(code).output().expect("it starts");
    let notes = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && notes.contains("would be sent without TLS: use --tls"), "{notes}");
    // Nor is a token.
    let mut rooms = client(home.path());
    let refused = rooms.args(["--server", "192.0.2.1:5000", "rooms"]).env("HUBBUB_TOKEN", "hub_x").output();
    let refused = refused.expect("it starts");
    let notes = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && notes.contains("would be sent without TLS: use --tls"), "{notes}");
}
