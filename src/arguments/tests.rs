//! The configuration file together with the command line.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand};

use super::*;

#[derive(Debug, Parser)]
#[command(name = "test", version)]
struct Options {
    #[command(subcommand)]
    command: Option<Sub>,
    /// The file
    #[arg(long, env = "HUBBUB_TEST_NO_CONFIG", global = true)]
    config: Option<PathBuf>,
    /// Listen here; repeatable [default: here]
    #[arg(long, value_name = "ADDR", env = "HUBBUB_TEST_NO_LISTEN", value_delimiter = ',', help_heading = CONNECTION)]
    listen: Vec<String>,
    /// Folder
    #[arg(long, env = "HUBBUB_TEST_NO_DATA", default_value = "./data", global = true, help_heading = STORAGE)]
    data: PathBuf,
    /// Delete after this time, for example 90d
    ///
    /// A second paragraph, which says more about that.
    #[arg(long, value_name = "TIME", env = "HUBBUB_TEST_NO_RETAIN", value_parser = duration, help_heading = STORAGE)]
    retain_for: Option<std::time::Duration>,
    /// Rooms
    #[arg(
        long, value_name = "N", env = "HUBBUB_TEST_NO_ROOMS", default_value_t = 9, value_parser = number(1_usize..=99),
        help_heading = LIMITS
    )]
    rooms_max: usize,
    /// In memory
    #[arg(long, env = "HUBBUB_TEST_NO_EPHEMERAL", value_parser = switch, help_heading = STORAGE)]
    ephemeral: bool,
}

#[derive(Debug, Subcommand)]
enum Sub {
    Backup { file: PathBuf },
}

impl ProgramOptions for Options {
    const PROGRAM: &'static str = "test";

    fn check(&mut self, given: &Given<'_>) -> Vec<String> {
        if !self.ephemeral {
            return Vec::new();
        }
        given.useless("ephemeral", &["data", "retain_for"], "nothing is stored").collect()
    }
}

struct File(tempfile::TempDir);

impl File {
    fn new(text: &str) -> Self {
        let file = Self(tempfile::tempdir().unwrap());
        fs::write(file.path(), text).unwrap();
        file
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("t.toml")
    }

    fn inspect(&self, arguments: &str) -> Reading<Options> {
        let path = self.path();
        let path = path.to_str().unwrap();
        let words = ["test"].into_iter().chain(arguments.split_whitespace());
        let words: Vec<_> = words.map(|word| OsString::from(word.replace("FILE", path))).collect();
        inspect(&words, None).unwrap()
    }

    /// The faults, with a short name of the file.
    fn faults(&self, arguments: &str) -> Vec<String> {
        let faults = self.inspect(arguments).faults;
        faults.into_iter().map(|fault| fault.replace(self.path().to_str().unwrap(), "f")).collect()
    }
}

#[test]
fn a_flag_overrides_the_file_and_the_file_the_default() {
    let file = File::new("listen = ['a', 'b']\nrooms-max = 5\nephemeral = true\n");
    let options = file.inspect("--config FILE --rooms-max 7 --listen c").options.unwrap();
    assert_eq!((options.rooms_max, options.listen, options.ephemeral), (7, vec!["c".to_owned()], true));
    let options = file.inspect("--config=FILE").options.unwrap();
    assert_eq!((options.rooms_max, options.listen), (5, vec!["a".to_owned(), "b".to_owned()]));
    assert_eq!(options.data, Path::new("./data"));
    let options = file.inspect("").options.unwrap();
    assert_eq!((options.rooms_max, options.ephemeral), (9, false));
}

#[test]
fn a_command_takes_what_it_shares_from_the_file() {
    let file = File::new("data = '/srv/chat'\nrooms-max = 0\ncolour = 'red'\n");
    for arguments in ["--config FILE backup x", "backup x --config FILE"] {
        let reading = file.inspect(arguments);
        let options = reading.options.unwrap_or_else(|| panic!("{:?}", reading.faults));
        assert_eq!(options.data, Path::new("/srv/chat"), "{arguments}");
    }
    assert_eq!(file.inspect("backup x --data /y --config FILE").options.unwrap().data, Path::new("/y"));
    assert!(file.inspect("backup x --config /none.toml").faults[0].starts_with("/none.toml: no such file"));
    assert_eq!(file.inspect("--config FILE").faults.len(), 2);
}

/// The story of each: one start for each mistake.
#[test]
fn the_mistakes_of_file_and_command_line_are_found_together() {
    let file = File::new("rooms-max = 0\nephemeral = true\ndata = '/srv'\ncolour = 1\n");
    let expected = [
        "invalid value \"90\" for --retain-for: missing unit (expected for example 90s, 90m, 90h or 90d)",
        "f:1: rooms-max: invalid value 0: expected a whole number from 1 to 99",
        "f:4: unknown key colour: --print-config lists all keys",
        "f:3: data can't be used with ephemeral (f:2): nothing is stored; leave one out",
    ];
    assert_eq!(file.faults("--config FILE --retain-for 90"), expected);
    // Also where clap stops before it reads the name of the file.
    let faults = file.faults("--colour red --config FILE");
    assert_eq!(faults.len(), 4, "{faults:?}");
    assert!(faults[0].starts_with("unknown option --colour"), "{faults:?}");
    // What is overridden is checked too.
    assert!(file.faults("--config FILE --rooms-max 3")[0].starts_with("f:1: rooms-max"));
}

#[test]
fn faults_that_only_follow_from_others_are_left_out() {
    let file = File::new("ephemeral = perhaps\ndata = '/srv'\n");
    assert_eq!(file.faults("--config FILE"), ["f:1: ephemeral: invalid value perhaps: expected true or false"]);
    let reading = file.inspect("--config FILE");
    assert!(reading.follows("x needs --ephemeral: add it") && !reading.follows("--ephemeral-too is missing"));
    assert!(reading.follows("HUBBUB_TEST_NO_EPHEMERAL=2") && !reading.follows("--data"));
}

#[test]
fn a_flag_overrides_the_keys_that_it_makes_meaningless() {
    let file = File::new("data = '/srv'\nretain-for = '1d'\n");
    assert_eq!(file.faults("--config FILE --ephemeral"), Vec::<String>::new());
    // A default says nothing, as in a printed file of which every line is taken.
    let file = File::new("data = './data'\nephemeral = true\n");
    assert_eq!(file.faults("--config FILE"), Vec::<String>::new());
    let file = File::new("ephemeral = true\n");
    assert_eq!(
        file.faults("--config FILE --data x"),
        ["--data can't be used with ephemeral (f:1): nothing is stored; leave one out"]
    );
}

/// An option without its value was reported a hundred times.
#[test]
fn a_missing_value_is_reported_once() {
    let faults = File::new("").faults("--rooms-max 3 --config");
    assert_eq!(faults, ["missing value for --config: write --config <CONFIG>", "see test --help"]);
}

#[test]
fn help_does_not_depend_on_the_file() {
    let file = File::new("rooms-max = 5\ncolour");
    let text = |words: &[&str]| {
        let path = file.path().display().to_string();
        let words: Vec<_> = words.iter().map(|word| OsString::from(word.replace("FILE", &path))).collect();
        inspect::<Options>(&words, None).err().expect("help").to_string()
    };
    assert_eq!(text(&["test", "--config", "FILE", "--help"]), text(&["test", "--help"]));
    assert_eq!(text(&["test", "--config", "FILE", "-V"]), text(&["test", "-V"]));
}

#[test]
fn a_printed_file_has_every_key_and_is_read_again() {
    let print = |reading: &Reading<Options>| {
        super::print(&<Options as CommandFactory>::command(), &reading.settings, "A title.", |key| match key {
            "rooms-max" => Effect::OnReload,
            _ => Effect::AfterRestart,
        })
    };
    let nothing = File::new("");
    let printed = print(&nothing.inspect(""));
    let lines: Vec<_> = printed.lines().filter(|line| line.contains(" = ")).collect();
    let expected = [
        "#listen = [\"here\"]",
        "#data = \"./data\"",
        "#retain-for = \"90d\"  # an example: not set by default",
        "#ephemeral = false",
        "#rooms-max = 9",
    ];
    assert_eq!(lines, expected, "{printed}");
    assert!(printed.contains("\n# A second paragraph, which says more about that.\n"), "{printed}");
    let info =
        "# Value: a whole number from 1 to 99.\n# Variable: HUBBUB_TEST_NO_ROOMS. A change takes effect on SIGHUP.\n";
    assert!(printed.contains(info), "{printed}");
    assert!(printed.lines().all(|line| line.chars().count() <= 100));
    assert_eq!(File::new(&printed).inspect("--config FILE").settings, nothing.inspect("").settings);

    // Everything is given, with characters that need care.
    let file = File::new(
        "retain-for = '1h 30m'\nrooms-max = 5\nephemeral = false\nlisten = ['a \"b\" \\', \"c\\n\\u001b\u{e4}\"]\n",
    );
    let all = file.inspect("--config FILE --data 7");
    assert_eq!(all.faults, Vec::<String>::new());
    let printed = print(&all);
    let lines: Vec<_> = printed.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
    let expected = [
        "listen = [\"a \\\"b\\\" \\\\\", \"c\\u000A\\u001B\u{e4}\"]",
        "data = 7",
        "retain-for = \"1h 30m\"",
        "ephemeral = false",
        "rooms-max = 5",
    ];
    assert_eq!(lines, expected);
    let again = File::new(&printed).inspect("--config FILE");
    assert_eq!((again.faults.len(), print(&again)), (0, printed));

    // Each line is valid without its mark.
    let printed = print(&nothing.inspect(""));
    let keys = printed.lines().filter_map(|line| line.strip_prefix('#')).filter(|line| line.contains(" = "));
    let text: String = keys.map(|line| format!("{line}\n")).collect();
    assert_eq!(File::new(&text).inspect("--config FILE").faults, Vec::<String>::new(), "{text}");
}

#[test]
fn changes_are_those_of_values() {
    let before = File::new("rooms-max = 5\nlisten = 'a'\n").inspect("--config FILE").settings;
    let now = File::new("listen = ['a']\nretain-for = '1d'\nephemeral = 'no'\n").inspect("--config FILE").settings;
    let changes: Vec<_> = before.changes(&now).map(|(from, to)| (to.key.clone(), from.shown(), to.shown())).collect();
    let expected = [("retain-for", "the default", "1d"), ("rooms-max", "5", "9")];
    assert_eq!(changes, expected.map(|(key, from, to)| (key.to_owned(), from.to_owned(), to.to_owned())));
}
