//! The command line: options, their variables, and the commands.

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use super::format::Format;
use crate::address::Address;
use crate::arguments::{self, CONNECTION, Given, MESSAGES, OUTPUT, ProgramOptions, number, switch, timeout};
use crate::client::{CONTRACT_HELP, CONTRACT_LONG_HELP, Contract, SERVER_HELP, SERVER_LONG_HELP};
use crate::names::RoomName;

/// The terminal client of Hubbub, a chat server.
///
/// Without a command it opens a chat in a room: Enter sends, /help lists the commands, and Ctrl-D leaves once
/// everything is stored. With a command it posts, follows, or lists, for scripts and pipes.
#[derive(Debug, Parser)]
#[command(name = "hubbub", version, after_long_help = EXAMPLES)]
pub struct Options {
    #[arg(
        long, global = true, value_name = "ADDR", env = "HUBBUB_SERVER", help = SERVER_HELP,
        long_help = SERVER_LONG_HELP, help_heading = CONNECTION, display_order = 10
    )]
    pub server: Option<Address>,
    /// Your name, as others see it [default: asks for one]
    ///
    /// 1 to 64 characters. Chat and send need one; without it, tail is a member named "tail".
    #[arg(long, global = true, env = "HUBBUB_NAME", help_heading = CONNECTION, display_order = 11)]
    pub name: Option<String>,
    /// Give up after this long without an answer
    ///
    /// Or without a connection. Seconds, or a number with a unit such as 500ms, 30s or 5m. By default, send tries for
    /// 10 s to connect, the other commands fail if no server can be reached when they start, and an answer may take 10
    /// s. Chat, tail, and send from standard input then keep reconnecting during an outage.
    #[arg(
        long, global = true, value_name = "TIME", env = "HUBBUB_TIMEOUT", value_parser = timeout,
        help_heading = CONNECTION, display_order = 13
    )]
    pub timeout: Option<Duration>,
    #[command(flatten)]
    pub chat: ChatOptions,
    #[command(subcommand)]
    pub command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Chat interactively in a room (the default)
    #[command(after_long_help = CHAT_EXAMPLES)]
    Chat(ChatCommand),
    /// Post a message, or each line of standard input
    ///
    /// Exits with 0 only if everything is stored, once and in order.
    #[command(after_long_help = SEND_EXAMPLES)]
    Send(SendOptions),
    /// Follow a room, as tail -f follows a file
    ///
    /// Prints the last messages and then new ones as they come. If the connection is lost, it resumes without losing or
    /// repeating a message.
    #[command(after_long_help = TAIL_EXAMPLES)]
    Tail(TailOptions),
    /// Print a part of a room's history
    ///
    /// Without --after and --before: the newest messages.
    #[command(after_long_help = HISTORY_EXAMPLES)]
    History(HistoryOptions),
    /// List the rooms
    #[command(after_long_help = ROOMS_EXAMPLES)]
    Rooms(ListOptions),
    /// List the members of a room
    #[command(after_long_help = MEMBERS_EXAMPLES)]
    Members(MembersOptions),
}

#[derive(Clone, Debug, Args)]
pub struct ChatOptions {
    /// Room to chat in
    #[arg(
        long, env = "HUBBUB_ROOM", default_value_t = RoomName::lobby(),
        help_heading = MESSAGES, display_order = 20
    )]
    pub room: RoomName,
    /// Show this many messages first
    #[arg(
        long, env = "HUBBUB_LAST", value_name = "N", default_value_t = 50, value_parser = number(0..=u32::MAX),
        help_heading = MESSAGES, display_order = 21
    )]
    pub last: u32,
    #[arg(
        long, env = "HUBBUB_CONTRACT", default_value = "v1", hide_possible_values = true, help = CONTRACT_HELP,
        long_help = CONTRACT_LONG_HELP, help_heading = CONNECTION, display_order = 12
    )]
    pub contract: Contract,
    /// Fail when the connection is lost
    ///
    /// Instead of reconnecting.
    #[arg(
        long, env = "HUBBUB_NO_RECONNECT", value_parser = switch, help_heading = CONNECTION, display_order = 14
    )]
    pub no_reconnect: bool,
}

#[derive(Clone, Debug, Args)]
pub struct ChatCommand {
    /// Room to chat in; the same as --room
    #[arg(value_name = "ROOM")]
    pub room_argument: Option<RoomName>,
    #[command(flatten)]
    pub chat: ChatOptions,
}

#[derive(Debug, Args)]
pub struct SendOptions {
    /// Room to post in
    pub room: RoomName,
    /// Text to post [default: lines of standard input]
    ///
    /// Several words are one message. Without it, each line of standard input is a message. Put -- before a text that
    /// begins with a dash.
    pub text: Vec<String>,
    /// Print where each message is stored, as JSON
    ///
    /// For each message {"room":"tea","seq":17,"id":"0192…"}, once it is stored. tail --json shows the id as
    /// message_id.
    #[arg(long, env = "HUBBUB_JSON", value_parser = switch, help_heading = OUTPUT, display_order = 30)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct TailOptions {
    /// Room to follow
    pub room: RoomName,
    /// Begin with this many of the last messages
    #[arg(
        long, env = "HUBBUB_LAST", value_name = "N", default_value_t = 10, value_parser = number(0..=u32::MAX),
        help_heading = MESSAGES, display_order = 21
    )]
    pub last: u32,
    /// Begin with the message of this number
    ///
    /// 0 and 1 are the beginning of the room. If the message does not exist yet, tail waits for it.
    #[arg(
        long, env = "HUBBUB_FROM", value_name = "SEQ", value_parser = number(0_u64..), help_heading = MESSAGES,
        display_order = 22
    )]
    pub from: Option<u64>,
    #[command(flatten)]
    pub format: FormatOptions,
}

#[derive(Debug, Args)]
pub struct HistoryOptions {
    /// Room to read
    pub room: RoomName,
    /// Print the messages after this number, oldest first
    #[arg(
        long, env = "HUBBUB_AFTER", value_name = "SEQ", value_parser = number(0_u64..), help_heading = MESSAGES,
        display_order = 23
    )]
    pub after: Option<u64>,
    /// Print the messages before this number
    ///
    /// Without --after: the newest of them.
    #[arg(
        long, env = "HUBBUB_BEFORE", value_name = "SEQ", value_parser = number(0_u64..), help_heading = MESSAGES,
        display_order = 24
    )]
    pub before: Option<u64>,
    /// Print at most this many messages
    #[arg(
        long, env = "HUBBUB_LIMIT", value_name = "N", default_value_t = 50, value_parser = number(0_u64..),
        help_heading = MESSAGES, display_order = 25
    )]
    pub limit: u64,
    #[command(flatten)]
    pub format: FormatOptions,
}

/// How messages are printed.
#[derive(Debug, Args)]
pub struct FormatOptions {
    /// Print each message as a JSON object
    #[arg(long, env = "HUBBUB_JSON", value_parser = switch, help_heading = OUTPUT, display_order = 30)]
    pub json: bool,
    /// Print times [default: on a terminal]
    ///
    /// When each message was stored, in local time; TZ sets the time zone. On a terminal as "2026-11-26 21:00:42",
    /// elsewhere as "2026-11-26T21:00:42+00:00".
    #[arg(
        long, env = "HUBBUB_TIME", value_parser = switch,
        help_heading = OUTPUT, display_order = 31
    )]
    time: bool,
    /// Print no times
    #[arg(long, help_heading = OUTPUT, display_order = 32)]
    no_time: bool,
    /// Print numbers [default: on a terminal]
    ///
    /// A number is a message's position in its room; --from, --after and --before take it.
    #[arg(
        long, env = "HUBBUB_SEQ", value_parser = switch,
        help_heading = OUTPUT, display_order = 33
    )]
    seq: bool,
    /// Print no numbers
    #[arg(long, help_heading = OUTPUT, display_order = 34)]
    no_seq: bool,
}

#[derive(Debug, Args)]
pub struct ListOptions {
    /// Print each one as a JSON object
    #[arg(long, env = "HUBBUB_JSON", value_parser = switch, help_heading = OUTPUT, display_order = 30)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct MembersOptions {
    /// Room to list
    pub room: RoomName,
    #[command(flatten)]
    pub list: ListOptions,
}

const EXAMPLES: &str = "\
Examples:
  hubbub                                     chat in the lobby of a local server
  hubbub chat tea --server chat.example.org
  hubbub --name bot < announcements.txt      post each line of a file, and leave
  hubbub --name ci send builds 'all green'
  hubbub tail builds --last 100 --json
  hubbub history builds --before 500 --limit 20
  hubbub help tail

An option overrides its variable; an empty variable counts as unset.
Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.";

const CHAT_EXAMPLES: &str = "\
Examples:
  hubbub chat tea --name ann
  hubbub chat tea --last 0                   show no history
  some-program | hubbub chat tea --name bot  post its lines, and print what others say";

const SEND_EXAMPLES: &str = "\
Examples:
  hubbub --name ci send builds 'all green'
  hubbub --name ci send builds < report.txt  post each line
  hubbub --name ci send builds --json done   print the message's number and id
  hubbub --name ci send builds -- -x         post a text that begins with a dash";

const TAIL_EXAMPLES: &str = "\
Examples:
  hubbub tail builds
  hubbub tail builds --from 1 --json         the whole room, for a program
  hubbub tail builds --time | tee builds.log";

const HISTORY_EXAMPLES: &str = "\
Examples:
  hubbub history builds                      the last 50 messages
  hubbub history builds --before 500 --limit 20
  hubbub history builds --after 0 --limit 1000000 --json > builds.json";

const ROOMS_EXAMPLES: &str = "\
Examples:
  hubbub rooms
  hubbub rooms --json --server chat.example.org";

const MEMBERS_EXAMPLES: &str = "\
Examples:
  hubbub members tea
  hubbub members tea --json";

impl Options {
    /// The program's options. Ends the program if they are wrong, or ask for help.
    pub fn from_program() -> Self {
        arguments::from_program()
    }
}

impl ProgramOptions for Options {
    const PROGRAM: &'static str = "hubbub";

    fn check(&mut self, given: &Given<'_>) -> Vec<String> {
        let mut faults = match &mut self.command {
            None => self.chat.check(given),
            Some(Command::Chat(command)) => command.check(given),
            Some(Command::Tail(tail)) => tail.check(given),
            Some(Command::History(history)) => history.check(given),
            Some(Command::Send(_) | Command::Rooms(_) | Command::Members(_)) => Vec::new(),
        };
        if self.server.is_none() {
            faults.extend(Address::default_local().err().map(|fault| fault.to_string()));
        }
        faults
    }
}

impl ChatOptions {
    fn check(&self, given: &Given<'_>) -> Vec<String> {
        let mut faults = Vec::new();
        if self.contract == Contract::Tutorial {
            let history = "the tutorial's contract has no history";
            faults.extend(given.useless("contract", &["last"], history));
            if self.room != RoomName::lobby() {
                faults.extend(given.useless("contract", &["room"], "the tutorial's contract has no room but lobby"));
            }
        }
        if self.no_reconnect {
            faults.extend(given.useless("no_reconnect", &["timeout"], "the first lost connection ends the chat"));
        }
        faults
    }
}

impl ChatCommand {
    fn check(&mut self, given: &Given<'_>) -> Vec<String> {
        let mut faults = Vec::new();
        if let Some(room) = self.room_argument.take() {
            if given.is_flag("room") {
                faults.push("the room is given twice: leave out --room".to_owned());
            }
            if self.chat.contract == Contract::Tutorial && room != RoomName::lobby() {
                faults.push(format!("{room} can't be used: the tutorial's contract has no room but lobby"));
            }
            self.chat.room = room;
            faults.extend(self.chat.check(&given.without("room")));
        } else {
            faults.extend(self.chat.check(given));
        }
        faults
    }
}

impl TailOptions {
    fn check(&mut self, given: &Given<'_>) -> Vec<String> {
        let mut faults = self.format.check(given);
        if self.from.is_some() {
            faults.extend(given.useless("from", &["last"], "each says where to begin"));
        }
        faults
    }
}

impl HistoryOptions {
    fn check(&mut self, given: &Given<'_>) -> Vec<String> {
        let mut faults = self.format.check(given);
        if let (Some(after), Some(before)) = (self.after, self.before)
            && after > before
        {
            let (after_name, before_name) = (given.name("after"), given.name("before"));
            faults.push(format!("{after_name} {after} is behind {before_name} {before}: exchange them"));
        }
        faults
    }
}

impl FormatOptions {
    /// The format of this process's output: times and numbers as requested, by default only on a terminal.
    pub fn format(&self) -> Format {
        let aligned = io::stdout().is_terminal();
        let time = self.time || !self.no_time && aligned;
        let seq = self.seq || !self.no_seq && aligned;
        Format { json: self.json, time, seq, aligned }
    }

    fn check(&mut self, given: &Given<'_>) -> Vec<String> {
        // The last option counts, and it overrides the variable. clap's `overrides_with` can't do that: it treats a
        // variable like an option.
        for (yes, no, id, no_id) in
            [(&mut self.time, &mut self.no_time, "time", "no_time"), (&mut self.seq, &mut self.no_seq, "seq", "no_seq")]
        {
            *no = match (given.is_flag(id), given.is_flag(no_id)) {
                (true, true) => given.follows(no_id, id),
                (false, false) => given.is_off(id),
                (_, off) => off,
            };
            *yes &= !*no;
        }
        if !self.json {
            return Vec::new();
        }
        let ids = ["time", "no_time", "seq", "no_seq"];
        given.useless("json", &ids, "a JSON object always has seq and time_ms").collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::Stop;

    fn read(arguments: &str) -> Result<Options, Stop> {
        arguments::read(arguments.split(' ').map(Into::into).collect())
    }

    fn faults(arguments: &str) -> Vec<String> {
        match read(arguments).unwrap_err() {
            Stop::Faults(faults) => faults,
            Stop::Help(help) => panic!("{help}"),
        }
    }

    #[test]
    fn without_a_command_it_is_the_chat() {
        let options = read("hubbub --server 127.0.0.1:1 --room tea --last 3").unwrap();
        assert!(options.command.is_none());
        assert_eq!((options.chat.room.as_str(), options.chat.last), ("tea", 3));
        for arguments in ["hubbub chat --room tea --server 127.0.0.1:1", "hubbub --server 127.0.0.1:1 chat tea"] {
            let options = read(arguments).unwrap();
            assert!(matches!(options.command, Some(Command::Chat(command)) if command.chat.room.as_str() == "tea"));
            assert!(options.server.is_some());
        }
        assert_eq!(faults("hubbub chat tea --room milk"), ["the room is given twice: leave out --room"]);
    }

    #[test]
    fn flags_that_would_do_nothing_are_mistakes() {
        for arguments in ["hubbub --room tea chat", "hubbub --room tea rooms", "hubbub --contract tutorial send a b"] {
            assert_eq!(faults(arguments).len(), 1, "{arguments}");
        }
        assert_eq!(faults("hubbub --room tea chat"), ["--room must follow chat: write chat --room …"]);
        assert_eq!(faults("hubbub --room tea rooms"), ["--room can't be used with rooms: leave it out"]);
        assert!(read("hubbub --server 127.0.0.1:1 --name ann rooms").is_ok());
    }

    #[test]
    fn combinations_that_contradict_each_other_are_refused() {
        for (arguments, fault) in [
            ("hubbub --contract tutorial --room tea", "--room can't be used with --contract tutorial: the tutorial's"),
            ("hubbub --contract tutorial --last 5", "--last can't be used with --contract tutorial"),
            ("hubbub chat tea --contract tutorial", "tea can't be used: the tutorial's"),
            ("hubbub --no-reconnect --timeout 5s", "--timeout can't be used with --no-reconnect: the first lost"),
            ("hubbub tail tea --from 3 --last 5", "--last can't be used with --from 3: each says where to begin"),
            ("hubbub tail tea --json --time", "--time can't be used with --json"),
            ("hubbub history tea --json --no-seq", "--no-seq can't be used with --json"),
            ("hubbub history tea --after 6 --before 5", "--after 6 is behind --before 5: exchange them"),
        ] {
            assert!(faults(arguments)[0].starts_with(fault), "{:?}", faults(arguments));
        }
        assert!(read("hubbub chat lobby --contract tutorial").is_ok());
        assert!(read("hubbub history tea --after 5 --before 6 --limit 0").is_ok());
    }

    #[test]
    fn columns_are_set_by_the_last_option() {
        let columns = |arguments: &str| match read(arguments).unwrap().command {
            Some(Command::Tail(tail)) => (tail.format.format().time, tail.format.format().seq),
            command => panic!("{command:?}"),
        };
        assert_eq!(columns("hubbub tail tea --time --seq"), (true, true));
        assert_eq!(columns("hubbub tail tea --no-time --time --seq --no-seq"), (true, false));
        assert_eq!(columns("hubbub tail tea --no-time --no-seq"), (false, false));
    }

    #[test]
    fn words_are_one_message_and_rooms_are_checked() {
        let options = read("hubbub send tea the kettle boils").unwrap();
        assert!(matches!(options.command, Some(Command::Send(send)) if send.text.join(" ") == "the kettle boils"));
        assert!(faults("hubbub tail .tea")[0].contains("no '.' at the beginning"));
    }

    /// The story: `hubbub send tea -x` was "unexpected argument '-x' found", and nothing said how to send it.
    #[test]
    fn text_that_begins_with_a_dash_follows_two() {
        let options = read("hubbub send tea -- -x --json").unwrap();
        assert!(matches!(options.command, Some(Command::Send(send)) if send.text == ["-x", "--json"] && !send.json));
        let told = "unknown option -x: if it is text to send, put -- before it: hubbub send tea -- -x …";
        assert_eq!(faults("hubbub send tea -x")[0], told);
        assert_eq!(faults("hubbub --name ann send tea well -x")[0], told);
        assert_eq!(faults("hubbub send --jsn tea x")[0], "unknown option --jsn: did you mean --json?");
    }

    /// The story: of five mistakes clap named the first, so that it took five attempts to find them all.
    #[test]
    fn all_wrong_values_are_reported_at_once() {
        let told = faults("hubbub history .tea --limit 1.5 --after x --timeout soon --server :5000");
        for (fault, start) in told.iter().zip([
            "invalid value \".tea\" for <ROOM>: ",
            "invalid value \"1.5\" for --limit: expected a whole number from 0 upwards",
            "invalid value \"x\" for --after: expected a whole number from 0 upwards",
            "invalid value \"soon\" for --timeout: expected seconds, or a number with a unit",
            "invalid value \":5000\" for --server: ",
        ]) {
            assert!(fault.starts_with(start), "{told:?}");
        }
        assert_eq!(told.len(), 5, "{told:?}");
    }

    /// clap lists the values of an enumeration beside its error, not in it.
    #[test]
    fn wrong_values_of_an_enumeration_name_the_right_ones() {
        for (arguments, told) in [
            ("hubbub --contract v2", "invalid value \"v2\" for --contract: expected v1 or tutorial"),
            ("hubbub --contract V1", "invalid value \"V1\" for --contract: expected v1 or tutorial"),
            ("hubbub --contract", "missing value for --contract: expected v1 or tutorial"),
        ] {
            assert_eq!(faults(arguments)[0], told);
        }
    }

    #[test]
    fn mistakes_in_the_form_name_what_was_meant() {
        for (arguments, told) in [
            ("hubbub tial tea", "unknown command \"tial\": did you mean tail?"),
            ("hubbub milk", "unknown command \"milk\": to chat in a room of that name, write hubbub chat milk"),
            ("hubbub tail", "missing argument: <ROOM>"),
            ("hubbub tail tea milk", "unexpected argument \"milk\": leave it out"),
            ("hubbub tail tea --lats 5", "unknown option --lats: did you mean --last?"),
            ("hubbub tail tea --last", "missing value for --last: write --last <N>"),
            ("hubbub tail tea --last 1 --last 2", "--last is given several times: leave one out"),
            ("hubbub tail tea --json=yes", "--json takes no value: leave out \"yes\""),
        ] {
            assert_eq!(faults(arguments)[0], told);
            assert!(faults(arguments).last().unwrap().ends_with("--help"));
        }
    }
}
