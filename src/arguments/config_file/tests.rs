//! What a stranger writes into a configuration file, and what the reading says about it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use clap::{CommandFactory as _, Parser};
use proptest::prelude::*;

use super::*;
use crate::arguments::{duration, number, size, switch};

#[derive(Debug, Parser)]
struct Options {
    #[arg(long, env = "TEST_CONFIG", global = true)]
    config: Option<PathBuf>,
    #[arg(long)]
    check_config: bool,
    #[arg(long, env = "TEST_LISTEN", value_delimiter = ',')]
    listen: Vec<String>,
    #[arg(long, env = "TEST_DATA", default_value = "data", global = true)]
    data: PathBuf,
    #[arg(long, env = "TEST_RETAIN_FOR", value_parser = duration)]
    retain_for: Option<std::time::Duration>,
    #[arg(long, env = "TEST_ROOMS_MAX", default_value_t = 9, value_parser = number(1_usize..))]
    rooms_max: usize,
    #[arg(long, env = "TEST_LOG_BYTES_MAX", value_parser = size(1..))]
    log_bytes_max: Option<usize>,
    #[arg(long, env = "TEST_EPHEMERAL", value_parser = switch)]
    ephemeral: bool,
    #[arg(long, env = "TEST_AUTH", value_delimiter = ',', default_value = "open", value_parser = ["open", "jwt"])]
    auth: Vec<String>,
    #[arg(long, env = "TEST_OLD", hide = true, value_parser = number(1_u64..))]
    old: Option<u64>,
}

/// The entries and the faults.
fn read(text: &str) -> (Vec<(String, Vec<String>)>, Vec<String>) {
    let file = parse(text, "f", &Options::command());
    let entries = file.entries.into_iter().map(|entry| (entry.key, entry.values)).collect();
    (entries, file.faults.into_iter().map(|fault| fault.text).collect())
}

#[test]
fn values_are_those_of_the_command_line() {
    for (text, key, values) in [
        ("listen = ['a:1', \"b:2\"]", "listen", &["a:1", "b:2"][..]),
        ("listen = 'a:1'", "listen", &["a:1"]),
        ("listen = 'a:1,b:2'", "listen", &["a:1,b:2"]),
        ("listen = [\n  'a:1', # one\n  'b:2',\n]", "listen", &["a:1", "b:2"]),
        ("retain-for = '1h 30m'", "retain-for", &["1h 30m"]),
        ("rooms-max = 7_500", "rooms-max", &["7500"]),
        ("rooms-max = '7500'", "rooms-max", &["7500"]),
        ("rooms-max = +5", "rooms-max", &["5"]),
        ("log-bytes-max = 4096", "log-bytes-max", &["4096"]),
        ("log-bytes-max = '64MiB'", "log-bytes-max", &["64MiB"]),
        ("ephemeral = true", "ephemeral", &["true"]),
        ("ephemeral = false", "ephemeral", &["false"]),
        ("ephemeral = 1", "ephemeral", &["1"]),
        ("ephemeral = 'yes'", "ephemeral", &["yes"]),
        ("'auth' = ['jwt']", "auth", &["jwt"]),
        ("data = '/srv/ch\u{e4}t room'", "data", &["/srv/ch\u{e4}t room"]),
        ("data = 7", "data", &["7"]),
        ("old = 3", "old", &["3"]),
    ] {
        let values = values.iter().map(|&value| value.to_owned()).collect();
        assert_eq!(read(text), (vec![(key.to_owned(), values)], Vec::new()), "{text}");
    }
    for nothing in ["", "\n", "# a comment\r\n", "   \n\t\n"] {
        assert_eq!(read(nothing), (Vec::new(), Vec::new()), "{nothing:?}");
    }
    assert_eq!(read("rooms-max = 1\r\nephemeral = true\r\n").0.len(), 2);
}

#[test]
fn every_fault_has_its_line_its_key_and_what_is_allowed() {
    for (text, expected) in [
        // Values that the option refuses.
        (
            "retain-for = 90",
            "f:1: retain-for: invalid value 90: missing unit (expected for example 90s, 90m, 90h or 90d)",
        ),
        ("\n\nrooms-max = 0", "f:3: rooms-max: invalid value 0: expected a whole number from 1 upwards"),
        ("rooms-max = -1", "f:1: rooms-max: invalid value -1: expected a whole number from 1 upwards"),
        ("rooms-max = 1.5", "f:1: rooms-max: invalid value 1.5: expected a whole number from 1 upwards"),
        (
            "rooms-max = 99999999999999999999999",
            "f:1: rooms-max: invalid value 99999999999999999999999: expected a whole number",
        ),
        ("rooms-max = true", "f:1: rooms-max: invalid value true: expected a whole number from 1 upwards"),
        ("log-bytes-max = '64M'", "f:1: log-bytes-max: invalid value '64M': expected bytes, or a number with a unit"),
        ("auth = 'ldap'", "f:1: auth: invalid value 'ldap': expected open or jwt"),
        ("auth = ['jwt',\n 'ldap']", "f:2: auth: invalid value 'ldap': expected open or jwt"),
        ("ephemeral = 2", "f:1: ephemeral: invalid value 2: expected 1 or 0"),
        // Types that have no meaning.
        ("rooms-max = 0o17", "f:1: rooms-max: only decimal numbers have a meaning here"),
        ("rooms-max = [1]", "f:1: rooms-max: expected text in quotes, or a number, not an array"),
        ("ephemeral = [true]", "f:1: ephemeral: expected true or false, not an array"),
        ("retain-for = 2026-01-01", "f:1: retain-for: expected text in quotes, or a number, not a date"),
        ("data = { path = 'x' }", "f:1: data: expected text in quotes, or a number, not a table"),
        ("listen = [['a:1']]", "f:1: listen: expected text in quotes, or a number, not an array within the array"),
        ("listen = []", "f:1: listen: it is empty: give a value, or leave the key out"),
        ("listen = ['']", "f:1: listen: it is empty"),
        ("data = ''", "f:1: data: it is empty"),
        ("data = \"a\\u0000b\"", "f:1: data: it contains a NUL character"),
        // Keys that are none.
        ("retain_for = '1d'", "f:1: unknown key retain_for: did you mean retain-for?"),
        ("RETAIN_FOR = '1d'", "f:1: unknown key RETAIN_FOR: did you mean retain-for?"),
        ("HUBBUB_RETAIN_FOR = '1d'", "f:1: unknown key HUBBUB_RETAIN_FOR: did you mean retain-for?"),
        ("'--retain-for' = '1d'", "f:1: unknown key --retain-for: did you mean retain-for?"),
        ("retian-for = '1d'", "f:1: unknown key retian-for: did you mean retain-for?"),
        ("retain.for = '1d'", "f:1: unknown key retain: did you mean retain-for?"),
        ("colour = 'red'", "f:1: unknown key colour: --print-config lists all keys"),
        ("x = 1", "f:1: unknown key x: --print-config lists all keys"),
        ("check-config = true", "f:1: check-config is an option of the command line only"),
        ("config = 'other.toml'", "f:1: config is an option of the command line only"),
        ("olt = 3", "f:1: unknown key olt: --print-config lists all keys"),
        (
            "[server]\nrooms-max = 1",
            "f:1: unknown table server: there are no tables; leave [server] out, and keep its keys",
        ),
        ("[[listen]]\naddress = 'a:1'", "listen: expected text in quotes, or a number, not a table"),
        // What is no TOML.
        ("listen = 127.0.0.1:5000", "f:1: listen: text must be in quotes: listen = \"127.0.0.1:5000\""),
        ("data = /var/lib/hubbub # the disk", "f:1: data: text must be in quotes: data = \"/var/lib/hubbub\""),
        ("retain-for = 90d", "f:1: retain-for: text must be in quotes: retain-for = \"90d\""),
        ("rooms-max = 0660", "f:1: rooms-max: text must be in quotes: rooms-max = \"0660\""),
        ("ephemeral = yes", "f:1: ephemeral: invalid value yes: expected true or false"),
        ("ephemeral = True", "f:1: ephemeral: invalid value True: expected true or false"),
        ("data =", "f:1: data: missing value"),
        ("ephemeral", "f:1: expected KEY = VALUE"),
        ("rooms-max: 5", "f:1: expected KEY = VALUE"),
        ("rooms-max 5", "f:1: expected KEY = VALUE"),
        ("rooms-max = 1\n\nrooms-max = 2", "f:3: rooms-max is given twice: leave one out"),
        ("data = 'a", "f:1: "),
        ("data = \"C:\\data\"", "f:1: "),
        ("[server", "f:1: unclosed table"),
        ("\u{0}", "f:1: "),
    ] {
        let (_, faults) = read(text);
        assert_eq!(faults.len(), 1, "{text}: {faults:?}");
        assert!(
            faults[0].starts_with(expected) || expected.starts_with("listen:") && faults[0].contains(expected),
            "{text}: {faults:?}"
        );
    }
}

#[test]
fn all_faults_are_found_at_once() {
    let text = "listen = 127.0.0.1:1\n\
                rooms-max = 0\n\
                retain_for = '1d'\n\
                data = '/srv/a'\n\
                auth = ['ldap', 'saml']\n\
                ephemeral = perhaps\n\
                data = '/srv/b'\n\
                [limits]\n\
                log-bytes-max = 'much'\n\
                colour = 1\n";
    let (entries, faults) = read(text);
    let lines: Vec<_> = faults.iter().map(|fault| fault.split(':').nth(1).unwrap_or_default()).collect();
    assert_eq!(lines, ["1", "2", "3", "5", "5", "6", "7", "8", "9", "10"], "{faults:?}");
    assert_eq!(entries, [("data".to_owned(), vec!["/srv/a".to_owned()])]);
}

/// Another program's file: reading it takes time that grows with its length, and not with the square of that.
#[test]
fn a_file_that_is_none_has_a_hundred_faults() {
    for line in [
        "x\n",
        "x = 1\n",
        "[x]\n",
        "# é\nrooms-max = 0\n",
        "2026-11-28 INFO listening on 127.0.0.1:5000\n",
        "[",
        "listen = [",
    ] {
        let (entries, faults) = read(&line.repeat(1_000_000 / line.len()));
        assert!(entries.is_empty() && faults.len() <= 101, "{line}: {}", faults.len());
        assert!(faults.len() < 101 || faults[100] == "f: there may be more faults: correct these first", "{faults:?}");
    }
    let keys: String = (0..100_000).map(|n| format!("k{n} = 1\n")).collect();
    assert_eq!(read(&keys).1.len(), 101);
    assert_eq!(read(&format!("auth = [{}]", "'x', ".repeat(100_000))).1.len(), 101);
}

/// A value that was not understood is not used, and neither is a guess.
#[test]
fn a_line_with_an_error_has_no_value() {
    for text in ["rooms-max = 5 6", "data = x", "listen = ['a:1' 'b:2']", "retain-for = '1d' # fine\nrooms-max = '1' x"]
    {
        let (entries, faults) = read(text);
        assert!(!faults.is_empty() && entries.iter().all(|(key, _)| key == "retain-for"), "{text}: {entries:?}");
    }
}

#[test]
fn a_fault_says_which_option_is_unknown() {
    let broken = |text: &str| parse(text, "f", &Options::command()).broken();
    assert_eq!(broken("rooms-max = 0"), Some(vec!["rooms_max".to_owned()]));
    assert_eq!(broken("rooms-mx = 1"), Some(vec!["rooms_max".to_owned()]));
    assert_eq!(broken("rooms-max = many"), Some(vec!["rooms_max".to_owned()]));
    assert_eq!(broken("colour = 1"), Some(Vec::new()));
    assert_eq!(broken("[rooms"), None);
}

#[test]
fn a_sub_command_needs_the_options_that_it_shares_and_a_file_that_can_be_read() {
    let faults_of = |text: &str, read: &[&str]| {
        let mut file = parse(text, "f", &Options::command());
        file.for_sub_command(&Options::command(), read);
        (file.entries.len(), file.faults.len())
    };
    let faults = |text: &str| faults_of(text, &[]);
    assert_eq!(faults_of("data = '/srv'\nrooms-max = 5", &["rooms_max"]), (2, 0));
    assert_eq!(faults_of("data = '/srv'\nrooms-max = 0\ncolour = 1", &["rooms_max"]), (1, 1));
    assert_eq!(faults("data = '/srv'\nrooms-max = 5"), (1, 0));
    assert_eq!(faults("data = '/srv'\nrooms-max = 0\ncolour = 1"), (1, 0));
    assert_eq!(faults("data = ''\nrooms-max = 0"), (0, 1));
    assert_eq!(faults("data = '/srv'\nrooms-max = many"), (1, 1));
}

#[test]
fn files_that_cannot_be_read_are_refused_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hubbub.toml");
    let said = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        let file = ConfigFile::read(&path, &Options::command());
        file.faults.into_iter().map(|fault| fault.text).collect::<Vec<_>>().join("\n")
    };
    for (bytes, expected) in [
        (&b"rooms-max = 1\ndata = '\xff'"[..], "hubbub.toml: line 2 is not UTF-8: save the file as UTF-8"),
        (b"\xff\xfer\0o\0", "hubbub.toml: the text is UTF-16: save it as UTF-8"),
        (b"\xfe\xff\0r\0o", "hubbub.toml: the text is UTF-16: save it as UTF-8"),
        (&[b'\n'; 1024 * 1024 + 1], "hubbub.toml: larger than 1 MiB"),
        (&[b' '; 10_000_000], "hubbub.toml: larger than 1 MiB"),
        (b"\x7fELF\x02\x01\x01\0", "hubbub.toml:1: "),
    ] {
        let said = said(bytes);
        assert!(said.contains(expected) && said.lines().count() == 1, "{said}");
    }
    for bytes in [&b""[..], b"\xef\xbb\xbf", b"\xef\xbb\xbfrooms-max = 1\r\n", &[b'\n'; 1024 * 1024]] {
        assert_eq!(said(bytes), "", "{:?}", &bytes[..bytes.len().min(20)]);
    }
    // The lines are those that an editor shows.
    assert!(said(b"\xef\xbb\xbf\r\nrooms-max = 0\r\n").contains("hubbub.toml:2: rooms-max"));

    let read = |path: &Path| ConfigFile::read(path, &Options::command()).faults.remove(0).text;
    assert!(read(folder.path()).ends_with("this is a folder: give the file in it"));
    assert!(read(&folder.path().join("none.toml")).contains("no such file: create it"));
    assert!(read(Path::new("none-of-that-name.toml")).contains("no such file in /"));
    assert!(read(Path::new("/dev/null")).contains("not a regular file"));
    let pipe = folder.path().join("pipe");
    let name = std::ffi::CString::new(pipe.to_str().unwrap()).unwrap();
    // SAFETY: the name is a C string.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    assert!(read(&pipe).contains("not a regular file"));
    let link = folder.path().join("loop");
    std::os::unix::fs::symlink(&link, &link).unwrap();
    assert!(read(&link).starts_with(link.to_str().unwrap()));
}

#[test]
fn deserving_a_look() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hubbub.toml");
    fs::write(&path, "data = 'here'\n").unwrap();
    let warnings = || ConfigFile::read(&path, &Options::command()).warnings;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(&warnings()[..], [one] if one.contains(":1: data: here is relative to the working directory")));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    fs::write(&path, "data = '/here'\n").unwrap();
    assert!(matches!(&warnings()[..], [one] if one.contains("every user of this machine can change it: chmod o-w /")));
}

/// A piece of a file.
fn piece() -> impl Strategy<Value = String> {
    let text = "[ -~\\n\\r\\t\u{0}\u{e9}\u{feff}]{0,6}".prop_map(String::from);
    let keys = prop::sample::select(vec!["listen", "data", "rooms-max", "ephemeral", "auth", "old", "x"]);
    let marks = prop::sample::select(vec![
        " = ",
        "\n",
        "[",
        "]",
        "\"",
        "'",
        "\"\"\"",
        "{",
        "}",
        ",",
        "#",
        ".",
        "true",
        "7",
        "1e9",
        "0x7",
        "\\u",
        "2026-01-01",
    ]);
    prop_oneof![text, keys.prop_map(String::from), marks.prop_map(String::from)]
}

proptest! {
    /// Whatever stands in the file: it is read, or each fault has a line of the file.
    #[test]
    fn any_text_is_read_or_refused(pieces in prop::collection::vec(piece(), 0..40)) {
        let text = pieces.concat();
        let (entries, faults) = read(&text);
        let lines = 1 + text.bytes().filter(|byte| *byte == b'\n').count();
        for fault in faults {
            let line = fault.strip_prefix("f:").and_then(|rest| rest.split(':').next()?.parse::<usize>().ok());
            prop_assert!(line.is_some_and(|line| (1..=lines).contains(&line)), "{text:?}: {fault}");
        }
        prop_assert!(entries.iter().all(|(_, values)| !values.is_empty()));
    }
}
