//! What the user asks for: flags, their variables, and the commands.

use std::env;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::address::Address;
use crate::client::{CONTRACT_HELP, Contract, SERVER_HELP, switch};
use crate::names::{InvalidText, RoomName};

/// Talk in the rooms of a Hubbub server. Enter sends; Ctrl-D ends, once all you said is stored.
#[derive(Debug, Parser)]
#[command(name = "hubbub", version, after_help = EXAMPLES, disable_help_subcommand = true)]
pub struct Options {
    /// Where the server is.
    #[arg(long, global = true, value_name = "ADDR", env = "HUBBUB_SERVER", hide_env = true, help = SERVER_HELP)]
    pub server: Option<Address>,
    /// The name that others see, 1 to 64 characters, or HUBBUB_NAME [default: asks, where it needs one]
    #[arg(long, global = true, env = "HUBBUB_NAME", hide_env = true)]
    pub name: Option<String>,
    #[command(flatten)]
    pub chat: ChatOptions,
    #[command(subcommand)]
    pub command: Option<Command>,
}

const EXAMPLES: &str = "\
Examples:
  hubbub                                        talk in the lobby of the server on this machine
  hubbub --server chat.example.org:5000 --name ann --room tea
  hubbub --name bot < announcements.txt         say each line of a file, and leave
  hubbub --name ci send builds 'all green'      say one thing, or each line of the input
  hubbub tail builds --last 100 --json          follow a room, as tail -f follows a file
  hubbub history builds --before 500 --limit 20

In a chat, /help lists the commands. Each flag has a variable, such as HUBBUB_ROOM=tea.
Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.";

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Talk, and listen: what is done without a command
    Chat(ChatOptions),
    /// Say one thing, or each line of the input, and leave when all of it is stored
    #[command(after_help = "Exits with 0 only if all that was said is stored, once and in order.")]
    Send(SendOptions),
    /// Follow a room, as tail -f follows a file; lost connections lose and repeat nothing
    Tail(TailOptions),
    /// Show a part of what was said in a room
    History(HistoryOptions),
    /// List the rooms
    Rooms(ListOptions),
    /// List who is in a room
    Members(MembersOptions),
}

#[derive(Clone, Debug, Args)]
pub struct ChatOptions {
    /// The room
    #[arg(long, env = "HUBBUB_ROOM", hide_env = true, default_value = "lobby", value_parser = room)]
    pub room: RoomName,
    /// How many of the last messages to show at first
    #[arg(long, env = "HUBBUB_LAST", hide_env = true, value_name = "N", default_value_t = 50)]
    pub last: u32,
    #[arg(long, env = "HUBBUB_CONTRACT", hide_env = true, default_value = "v1", help = CONTRACT_HELP)]
    pub contract: Contract,
    /// Fail when the connection is lost, instead of trying again
    #[arg(long, env = "HUBBUB_NO_RECONNECT", hide_env = true, value_parser = switch)]
    pub no_reconnect: bool,
}

#[derive(Debug, Args)]
pub struct SendOptions {
    /// The room
    #[arg(value_parser = room)]
    pub room: RoomName,
    /// What to say; several words are one message [default: each line of standard input]
    pub text: Vec<String>,
}

#[derive(Debug, Args)]
pub struct TailOptions {
    /// The room
    #[arg(value_parser = room)]
    pub room: RoomName,
    /// Begin with this message; 0 and 1 are the beginning, and one that is not there yet is waited for
    #[arg(long, env = "HUBBUB_FROM", hide_env = true, value_name = "SEQ")]
    pub from: Option<u64>,
    /// Begin with the last so many messages, where --from does not say otherwise
    #[arg(long, env = "HUBBUB_LAST", hide_env = true, value_name = "N", default_value_t = 10)]
    pub last: u32,
    /// Print a JSON object a line
    #[arg(long, env = "HUBBUB_JSON", hide_env = true, value_parser = switch)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct HistoryOptions {
    /// The room
    #[arg(value_parser = room)]
    pub room: RoomName,
    /// The messages that follow this one, the oldest of them first
    #[arg(long, env = "HUBBUB_AFTER", hide_env = true, value_name = "SEQ")]
    pub after: Option<u64>,
    /// The messages before this one, the newest of them; or, with --after, where to end
    #[arg(long, env = "HUBBUB_BEFORE", hide_env = true, value_name = "SEQ")]
    pub before: Option<u64>,
    /// How many at most
    #[arg(long, env = "HUBBUB_LIMIT", hide_env = true, value_name = "N", default_value_t = 50)]
    pub limit: u64,
    /// Print a JSON object a line
    #[arg(long, env = "HUBBUB_JSON", hide_env = true, value_parser = switch)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct ListOptions {
    /// Print a JSON object a line
    #[arg(long, env = "HUBBUB_JSON", hide_env = true, value_parser = switch)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct MembersOptions {
    /// The room
    #[arg(value_parser = room)]
    pub room: RoomName,
    /// Print a JSON object a line
    #[arg(long, env = "HUBBUB_JSON", hide_env = true, value_parser = switch)]
    pub json: bool,
}

impl Options {
    /// The program's arguments and variables. Ends the program where they are wrong, or ask for help.
    pub fn from_program() -> Self {
        Self::read(env::args_os()).unwrap_or_else(|error| error.exit())
    }

    /// The flags of the chat may stand alone; before another command they would do nothing, so there they are a mistake.
    fn read(arguments: impl IntoIterator<Item = std::ffi::OsString>) -> Result<Self, clap::Error> {
        let mut command = Self::command();
        let matches = command.try_get_matches_from_mut(arguments)?;
        if let Some(name) = matches.subcommand_name() {
            for flag in ["room", "last", "contract", "no_reconnect"] {
                if matches.value_source(flag) == Some(ValueSource::CommandLine) {
                    let flag = flag.replace('_', "-");
                    let fault = format!("--{flag} stands before `{name}`: give it after, where `{name}` has it");
                    return Err(command.error(ErrorKind::ArgumentConflict, fault));
                }
            }
        }
        Self::from_arg_matches(&matches)
    }
}

fn room(text: &str) -> Result<RoomName, InvalidText> {
    RoomName::new(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &str) -> Result<Options, clap::Error> {
        Options::read(arguments.split(' ').map(Into::into))
    }

    #[test]
    fn without_a_command_it_is_the_chat() {
        let options = read("hubbub --server 127.0.0.1:1 --room tea --last 3").unwrap();
        assert!(options.command.is_none());
        assert_eq!((options.chat.room.as_str(), options.chat.last), ("tea", 3));
        let options = read("hubbub chat --room tea --server 127.0.0.1:1").unwrap();
        assert!(matches!(options.command, Some(Command::Chat(chat)) if chat.room.as_str() == "tea"));
        assert!(options.server.is_some());
    }

    #[test]
    fn flags_that_would_do_nothing_are_mistakes() {
        for arguments in ["hubbub --room tea chat", "hubbub --room tea rooms", "hubbub --contract tutorial send a b"] {
            let told = read(arguments).unwrap_err().to_string();
            assert!(told.contains("give it after"), "{told}");
        }
        assert!(read("hubbub --server 127.0.0.1:1 --name ann rooms").is_ok());
    }

    #[test]
    fn words_are_one_message_and_rooms_are_checked() {
        let options = read("hubbub send tea the kettle boils").unwrap();
        assert!(matches!(options.command, Some(Command::Send(send)) if send.text.join(" ") == "the kettle boils"));
        assert!(read("hubbub tail .tea").unwrap_err().to_string().contains("no '.' at the beginning"));
    }

    /// The help is read on a terminal.
    #[test]
    fn the_help_fits_a_screen() {
        let help = read("hubbub --help").unwrap_err().to_string();
        assert!(help.contains("Examples:") && help.lines().count() <= 42, "{help}");
    }
}
