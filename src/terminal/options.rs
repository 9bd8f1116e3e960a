//! The command line: options, their variables, and the commands.

use std::env;
use std::ffi::OsString;
use std::io::{self, IsTerminal as _};
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use super::format::Format;
use super::invitation::Invitation;
use crate::address::Address;
use crate::arguments::{self, CONNECTION, MESSAGES, OUTPUT, duration, number, switch, timeout};
use crate::client::{
    CONTRACT_HELP, CONTRACT_LONG_HELP, Contract, LoginOptions, SERVER_HELP, SERVER_LONG_HELP, TlsOptions,
};
use crate::editing::room;
use crate::names::{RoomName, UserName};

/// The terminal client of Hubbub, a chat server.
///
/// Without a command it opens a chat: Enter sends, /help lists the commands, and /quit leaves once everything is
/// stored. With a command it posts, follows, or lists, for scripts and pipes.
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
    /// Use the server, the name and the rooms of a profile in the config file
    ///
    /// The same as @NAME as the first argument. Other options override it.
    #[arg(
        long, global = true, value_name = "NAME", env = "HUBBUB_PROFILE", hide_short_help = true,
        help_heading = CONNECTION, display_order = 15
    )]
    pub profile: Option<String>,
    #[command(flatten)]
    pub login: LoginOptions,
    #[command(flatten)]
    pub tls: TlsOptions,
    #[command(flatten)]
    pub chat: ChatOptions,
    /// Panics in the thread of this name. For tests.
    #[arg(long, hide = true, value_name = "THREAD")]
    pub panic_in: Option<String>,
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
    /// Find messages by their words, newest first
    ///
    /// All words must occur. A word that ends with * is the beginning of words, and words in quotes stand together; put
    /// them in single quotes for the shell.
    #[command(after_long_help = SEARCH_EXAMPLES)]
    Search(SearchOptions),
    /// Print the log of a room, an event a line
    ///
    /// As it is now: messages have their last text, and changes stand at their places.
    #[command(after_long_help = EXPORT_EXAMPLES)]
    Export(ExportOptions),
    /// Post the messages of an export
    ///
    /// Reads standard input. A repeated import stores nothing twice, so one that was interrupted can be started again.
    /// Messages keep their senders where the server has no logins. Their times are those of the import.
    #[command(after_long_help = IMPORT_EXAMPLES)]
    Import(ImportOptions),
    /// List the rooms
    #[command(after_long_help = ROOMS_EXAMPLES)]
    Rooms(ListOptions),
    /// List the members of a room
    #[command(after_long_help = MEMBERS_EXAMPLES)]
    Members(MembersOptions),
    /// Log in to a server with an invitation, and chat
    ///
    /// The invitation is the code or the link that the server's operator has sent you, and is valid once. The login is
    /// kept in your config folder, and used from then on for this server. On a terminal, the chat begins.
    #[command(after_long_help = LOGIN_EXAMPLES)]
    Login(LoginCommand),
}

#[derive(Clone, Debug, Args)]
pub struct LoginCommand {
    /// The code, or the link in quotes
    #[arg(value_name = "CODE", required_unless_present = "forget", conflicts_with = "forget")]
    pub invitation: Option<Invitation>,
    /// Do not chat afterwards
    #[arg(long, help_heading = CONNECTION, display_order = 20)]
    pub no_chat: bool,
    /// Forget the login for the server, on this computer
    #[arg(long, help_heading = CONNECTION, display_order = 20)]
    pub forget: bool,
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
        hide_short_help = true, help_heading = MESSAGES, display_order = 21
    )]
    pub last: u32,
    #[arg(
        long, env = "HUBBUB_CONTRACT", default_value = "v1", hide_possible_values = true, hide_short_help = true,
        help = CONTRACT_HELP,
        long_help = CONTRACT_LONG_HELP, help_heading = CONNECTION, display_order = 12
    )]
    pub contract: Contract,
    /// Fail when the connection is lost
    ///
    /// Instead of reconnecting.
    #[arg(
        long, env = "HUBBUB_NO_RECONNECT", value_parser = switch, hide_short_help = true,
        help_heading = CONNECTION, display_order = 14
    )]
    pub no_reconnect: bool,
    /// Chat in lines, without the full screen
    ///
    /// Output scrolls as that of other programs does: for screen readers, and to keep it in the terminal. The full
    /// screen needs a terminal with UTF-8 on both sides; without one, the chat is in lines too.
    #[arg(
        long, env = "HUBBUB_PLAIN", value_parser = switch, hide_short_help = true, help_heading = OUTPUT,
        display_order = 30
    )]
    pub plain: bool,
    /// More rooms to join.
    #[arg(skip)]
    pub others: Vec<RoomName>,
    /// Whether the user named the rooms.
    #[arg(skip)]
    pub names_rooms: bool,
}

#[derive(Clone, Debug, Args)]
pub struct ChatCommand {
    /// Rooms to chat in; one is the same as --room
    #[arg(value_name = "ROOM", value_parser = room)]
    pub rooms: Vec<RoomName>,
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

#[derive(Debug, Args)]
pub struct SearchOptions {
    /// Words to find
    #[arg(required = true)]
    pub words: Vec<String>,
    /// Only messages in this room
    #[arg(long, env = "HUBBUB_ROOM", help_heading = MESSAGES, display_order = 20)]
    pub room: Option<RoomName>,
    /// Only messages of this sender; --from is the same
    #[arg(
        long, alias = "from", value_name = "NAME", env = "HUBBUB_SENDER", value_parser = sender,
        help_heading = MESSAGES, display_order = 21
    )]
    pub sender: Option<UserName>,
    /// Only messages of this time until now, for example 7d
    #[arg(
        long, value_name = "TIME", env = "HUBBUB_SINCE", value_parser = duration,
        help_heading = MESSAGES, display_order = 22
    )]
    pub since: Option<Duration>,
    /// Print at most this many messages
    #[arg(
        long, env = "HUBBUB_LIMIT", value_name = "N", default_value_t = 20, value_parser = number(0_u64..),
        help_heading = MESSAGES, display_order = 25
    )]
    pub limit: u64,
    #[command(flatten)]
    pub format: FormatOptions,
}

#[derive(Debug, Args)]
pub struct ExportOptions {
    /// Room to export
    pub room: RoomName,
    /// Print a JSON object for each event (the default, and the only format)
    #[arg(long, env = "HUBBUB_JSONL", value_parser = switch, help_heading = OUTPUT, display_order = 30)]
    pub jsonl: bool,
}

#[derive(Debug, Args)]
pub struct ImportOptions {
    /// Room to post in
    pub room: RoomName,
    /// Post the messages of others under your own name
    ///
    /// Each begins with its sender. Needed after a login, when the server accepts no other name.
    #[arg(long, env = "HUBBUB_QUOTE", value_parser = switch, help_heading = MESSAGES, display_order = 20)]
    pub quote: bool,
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
    pub time: bool,
    /// Print no times
    #[arg(long, help_heading = OUTPUT, display_order = 32)]
    pub no_time: bool,
    /// Print numbers [default: on a terminal]
    ///
    /// A number is a message's position in its room; --from, --after and --before take it.
    #[arg(
        long, env = "HUBBUB_SEQ", value_parser = switch,
        help_heading = OUTPUT, display_order = 33
    )]
    pub seq: bool,
    /// Print no numbers
    #[arg(long, help_heading = OUTPUT, display_order = 34)]
    pub no_seq: bool,
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
  hubbub                                     chat in the rooms of the last time
  hubbub @work                               the same with a profile of the config
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
  hubbub chat tea attic --name ann           two rooms
  hubbub chat tea --plain                    in lines, as for a screen reader
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

const SEARCH_EXAMPLES: &str = "\
Examples:
  hubbub search kettle
  hubbub search 'boil*' --room tea --from ann
  hubbub search '\"the kettle\" boils' --since 7d --json";

const EXPORT_EXAMPLES: &str = "\
Examples:
  hubbub export tea --jsonl > tea.jsonl
  hubbub export tea | jq -r 'select(.event == \"message\") | .body'";

const IMPORT_EXAMPLES: &str = "\
Examples:
  hubbub import tea < tea.jsonl
  hubbub export tea --server old | hubbub import tea --server new";

const ROOMS_EXAMPLES: &str = "\
Examples:
  hubbub rooms
  hubbub rooms --json --server chat.example.org";

const MEMBERS_EXAMPLES: &str = "\
Examples:
  hubbub members tea
  hubbub members tea --json";

const LOGIN_EXAMPLES: &str = "\
Examples:
  hubbub login 'https://chat.example.org:5000/#invite=MZE1-3MK6-R349-EFV5'
  hubbub login MZE1-3MK6-R349-EFV5 --server chat.example.org --tls
  hubbub login --forget --server chat.example.org";

fn sender(name: &str) -> Result<UserName, String> {
    UserName::new(name).map_err(|fault| fault.to_string())
}

impl Options {
    /// The options of this process. Ends it if they are wrong, or ask for help.
    pub fn from_program(commit: Option<&str>) -> Self {
        arguments::from_arguments(with_profile(env::args_os().collect()), commit)
    }
}

/// The arguments, with a first one such as `@work` as the option that it stands for.
fn with_profile(mut arguments: Vec<OsString>) -> Vec<OsString> {
    let name = arguments.get(1).and_then(|first| first.to_str()).and_then(|first| first.strip_prefix('@'));
    if let Some(name) = name.filter(|name| !name.is_empty()) {
        let option = format!("--profile={name}").into();
        arguments[1] = option;
    }
    arguments
}

impl FormatOptions {
    /// The format of this process's output: times and numbers as requested, by default only on a terminal.
    pub fn format(&self, marks_claims: bool) -> Format {
        let aligned = io::stdout().is_terminal();
        let time = self.time || !self.no_time && aligned;
        let seq = self.seq || !self.no_seq && aligned;
        Format { json: self.json, time, seq, aligned, marks_claims }
    }
}
