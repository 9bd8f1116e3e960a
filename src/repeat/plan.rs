//! What a run does: the options as the user gave them, and the checked plan made of them.

use std::io::{self, BufRead, IsTerminal, Read as _, Write};
use std::str::FromStr;
use std::time::Duration;

use clap::Parser;
use thiserror::Error;

use super::payload::bytes_min;
use crate::address::Address;
use crate::client::{CONTRACT_HELP, Contract, SERVER_HELP, switch};
use crate::limits::BODY_BYTES_MAX;
use crate::names::{InvalidText, RoomName, UserName};

/// How many clients a run may have: each costs two threads and a connection.
const CLIENTS_MAX: usize = 20_000;

/// How many messages a run may have in all: the check of their order takes eight bytes for each.
const MESSAGES_MAX: u32 = 100_000_000;

/// How many pairs of a client and a sender a run may have: the checks of the numbers take about 28 bytes for each.
const PAIRS_MAX: usize = 25_000_000;

/// How many times the console is asked before the program gives up.
const QUESTIONS_MAX: usize = 5;

/// Send numbered messages through a Hubbub server, and check that every client gets each of them once, in one order, and
/// that nothing is lost that the server has acknowledged, however often connections are lost.
#[derive(Clone, Debug, Parser)]
#[command(name = "hubbub-repeat", version, after_help = EXAMPLES)]
pub struct Options {
    /// Where the server is.
    #[arg(long, value_name = "ADDR", env = "HUBBUB_SERVER", hide_env = true, help = SERVER_HELP)]
    pub server: Option<Address>,
    /// How many clients, each with a connection of its own
    #[arg(
        long, env = "HUBBUB_CLIENTS", hide_env = true,
        value_name = "N", default_value_t = 2, value_parser = number::<usize>
    )]
    pub clients: usize,
    /// How many of the clients send
    #[arg(
        long, env = "HUBBUB_SENDERS", hide_env = true,
        value_name = "S", default_value_t = 1, value_parser = number::<usize>
    )]
    pub senders: usize,
    /// How many messages each sender sends [default: read from standard input]
    #[arg(long, env = "HUBBUB_MESSAGES", hide_env = true, value_name = "M", value_parser = number::<u32>)]
    pub messages: Option<u32>,
    /// Messages per second, of all senders together; 0 is as fast as it goes
    #[arg(
        long, env = "HUBBUB_RATE", hide_env = true,
        value_name = "R", default_value_t = 0, value_parser = number::<u32>
    )]
    pub rate: u32,
    /// The size of a message's body in bytes, at most 16384
    #[arg(
        long, env = "HUBBUB_SIZE", hide_env = true,
        value_name = "B", default_value_t = 128, value_parser = number::<usize>
    )]
    pub size: usize,
    /// What to speak.
    #[arg(
        long, env = "HUBBUB_CONTRACT", hide_env = true,
        value_name = "CONTRACT", default_value = "v1", help = CONTRACT_HELP
    )]
    pub contract: Contract,
    /// The room to use [default: repeat; with the tutorial's contract, lobby]
    #[arg(long, env = "HUBBUB_ROOM", hide_env = true, value_parser = room)]
    pub room: Option<RoomName>,
    /// What the clients are called, before a hyphen and their number
    #[arg(long, env = "HUBBUB_NAME", hide_env = true, default_value = "repeat")]
    pub name: String,
    /// How many messages may be sent and not yet at every client
    #[arg(
        long, env = "HUBBUB_IN_FLIGHT", hide_env = true,
        value_name = "N", default_value_t = 1024, value_parser = number::<u32>
    )]
    pub in_flight: u32,
    /// Give up when nothing has come for so long, though there are connections
    #[arg(
        long, env = "HUBBUB_IDLE_TIMEOUT", hide_env = true,
        value_name = "SECONDS", default_value_t = 10, value_parser = number::<u32>
    )]
    pub idle_timeout: u32,
    /// Give up a client that has had no connection for so long (v1 only)
    #[arg(
        long, env = "HUBBUB_RECONNECT_TIMEOUT", hide_env = true,
        value_name = "SECONDS", default_value_t = 30, value_parser = number::<u32>
    )]
    pub reconnect_timeout: u32,
    /// Print one JSON object in place of the table
    #[arg(long, env = "HUBBUB_JSON", hide_env = true, value_parser = switch)]
    pub json: bool,
    /// Neither log each message sent nor show a progress bar
    #[arg(long, short, env = "HUBBUB_QUIET", hide_env = true, value_parser = switch)]
    pub quiet: bool,
}

const EXAMPLES: &str = "\
Examples:
  hubbub-repeat --messages 10                   send ten numbered messages, and listen
  echo 10 | hubbub-repeat                       the same
  hubbub-repeat --clients 100 --senders 10 --messages 1000 --quiet
  hubbub-repeat --clients 100 --rate 200 --messages 1000 --json --quiet

Each flag has a variable, such as HUBBUB_MESSAGES=10 or HUBBUB_QUIET=1.
Exit codes: 0 all there, 1 lost, duplicated, out of order or failed, 2 wrong usage.";

/// A checked plan.
#[derive(Clone, Debug)]
pub struct Plan {
    pub server: Address,
    pub contract: Contract,
    pub room: RoomName,
    pub clients: usize,
    pub senders: u16,
    /// Messages of each sender.
    pub messages: u32,
    /// Messages per second in all, if there is to be a limit.
    pub rate: Option<u32>,
    pub body_bytes: usize,
    /// A name for each client.
    pub names: Vec<UserName>,
    pub in_flight: u32,
    pub idle_timeout: Duration,
    /// How long a client may have no connection.
    pub reconnect_timeout: Duration,
}

/// What is wrong with the options: every fault at once.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{}", .0.join("\nhubbub-repeat: "))]
pub struct InvalidPlan(pub Vec<String>);

impl Plan {
    pub fn new(options: &Options, messages: u32) -> Result<Self, InvalidPlan> {
        let mut faults = Vec::new();
        let mut check = |holds: bool, fault: String| {
            if !holds {
                faults.push(fault);
            }
        };
        let Options { clients, senders, size, .. } = *options;
        check(
            (1..=CLIENTS_MAX).contains(&clients),
            format!("--clients is {clients}: give a number from 1 to {CLIENTS_MAX}"),
        );
        check(
            (1..=clients.max(1)).contains(&senders),
            format!("--senders is {senders}: give a number from 1 to that of the clients, {clients}"),
        );
        check(messages > 0, "--messages is 0: give at least 1".to_owned());
        check(
            (senders as u64).saturating_mul(messages.into()) <= u64::from(MESSAGES_MAX),
            format!(
                "{senders} senders of {messages} messages each are too many: at most {MESSAGES_MAX} in all can be \
                 checked; give fewer --messages or --senders"
            ),
        );
        check(
            clients.saturating_mul(senders) <= PAIRS_MAX,
            format!(
                "{clients} clients that check {senders} senders each are too many: their product may be {PAIRS_MAX} \
                 at most; give fewer --clients or --senders"
            ),
        );
        let size_min = bytes_min(&format!("{}-{}", options.name, senders), messages);
        check(
            (size_min..=BODY_BYTES_MAX).contains(&size),
            format!("--size is {size}: give a number from {size_min} (the text and the numbering) to {BODY_BYTES_MAX}"),
        );
        check(options.in_flight > 0, "--in-flight is 0: give at least 1".to_owned());
        check(options.idle_timeout > 0, "--idle-timeout is 0: give at least 1".to_owned());
        check(
            options.contract == Contract::V1 || options.room.as_ref().is_none_or(|room| *room == RoomName::lobby()),
            "--room is given: the tutorial's contract has no room but lobby".to_owned(),
        );
        let names = (1..=clients.min(CLIENTS_MAX)).map(|n| UserName::new(format!("{}-{n}", options.name)));
        let names: Result<Vec<_>, _> = names.collect();
        let blank = options.name.trim().is_empty();
        check(!blank, "--name is empty: give some characters".to_owned());
        check(
            names.is_ok(),
            format!("--name does not do: {}", names.as_ref().err().map_or(String::new(), |e| e.to_string())),
        );
        let server = match &options.server {
            Some(server) => Some(server.clone()),
            None => Address::default_local().map_err(|e| check(false, e.to_string())).ok(),
        };
        match (server, names, u16::try_from(senders)) {
            (Some(server), Ok(names), Ok(senders)) if faults.is_empty() => Ok(Self {
                server,
                contract: options.contract,
                room: options.room.clone().unwrap_or_else(|| default_room(options.contract)),
                clients,
                senders,
                messages,
                rate: (options.rate > 0).then_some(options.rate),
                body_bytes: size,
                names,
                in_flight: options.in_flight,
                idle_timeout: Duration::from_secs(options.idle_timeout.into()),
                reconnect_timeout: Duration::from_secs(options.reconnect_timeout.into()),
            }),
            _ => Err(InvalidPlan(faults)),
        }
    }
}

/// How many messages each sender shall send: from the options, or else from the console.
pub fn messages(options: &Options) -> Result<u32, InvalidPlan> {
    if let Some(messages) = options.messages {
        return Ok(messages);
    }
    let is_terminal = io::stdin().is_terminal();
    let mut input = io::stdin().lock();
    for _ in 0..QUESTIONS_MAX {
        if is_terminal {
            let _ = write!(io::stderr(), "How many messages? ");
        }
        let line = read_line(&mut input)?;
        match line.trim().parse() {
            Ok(messages @ 1..=MESSAGES_MAX) => return Ok(messages),
            _ if is_terminal => drop(writeln!(io::stderr(), "Enter a number from 1 to {MESSAGES_MAX}.")),
            _ => {
                let start: String = line.trim().chars().take(40).collect();
                let fault =
                    format!("invalid number of messages on standard input: {start:?} (expected 1 to {MESSAGES_MAX})");
                return Err(InvalidPlan(vec![fault]));
            }
        }
    }
    Err(missing(""))
}

/// Reads the first line that is not blank; no more of an input than a number can take.
fn read_line(input: &mut impl BufRead) -> Result<String, InvalidPlan> {
    const LINE_BYTES_MAX: u64 = 4096;
    let mut input = input.take(LINE_BYTES_MAX);
    loop {
        let mut line = Vec::new();
        match input.read_until(b'\n', &mut line) {
            Ok(0) => return Err(missing("standard input ended without it")),
            Ok(_) if line.trim_ascii().is_empty() => {}
            Ok(_) => return Ok(String::from_utf8_lossy(&line).into_owned()),
            Err(error) => return Err(missing(&format!("standard input can't be read: {error}"))),
        }
    }
}

fn missing(why: &str) -> InvalidPlan {
    let why = if why.is_empty() { String::new() } else { format!(" ({why})") };
    InvalidPlan(vec![format!("the number of messages is missing{why}: give it with --messages, or on standard input")])
}

/// A room of its own, so that numbered messages don't fill one that people read.
fn default_room(contract: Contract) -> RoomName {
    match contract {
        // Invariant: the name is a valid constant.
        Contract::V1 => RoomName::new("repeat").expect("the default room's name is valid"),
        Contract::Tutorial => RoomName::lobby(),
    }
}

fn room(text: &str) -> Result<RoomName, InvalidText> {
    RoomName::new(text)
}

/// Reads a number, and says in plain words when it is none.
fn number<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| "give a whole number, not too large".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, FromArgMatches as _};

    use super::*;

    /// The options, with no settings from the environment that the tests run in.
    fn options(arguments: &[&str]) -> Options {
        let command = Options::command().mut_args(|argument| argument.env(None::<&str>));
        let matches = command.get_matches_from([&["hubbub-repeat", "--server", "127.0.0.1:1"], arguments].concat());
        Options::from_arg_matches(&matches).unwrap()
    }

    #[test]
    fn a_plan_is_made_of_sound_options() {
        let options = options(&["--clients", "5", "--senders", "5", "--rate", "0", "--name", "r"]);
        let plan = Plan::new(&options, 7).unwrap();
        assert_eq!((plan.clients, plan.senders, plan.messages, plan.rate), (5, 5, 7, None));
        assert_eq!(plan.names[4].as_str(), "r-5");
    }

    #[test]
    fn every_fault_is_told_at_once() {
        let options = options(&["--clients", "1", "--senders", "2", "--size", "9", "--in-flight", "0", "--name", " "]);
        let InvalidPlan(faults) = Plan::new(&options, 0).unwrap_err();
        for part in ["--senders", "--messages", "--size", "--in-flight", "--name"] {
            assert_eq!(faults.iter().filter(|fault| fault.contains(part)).count(), 1, "{part}: {faults:?}");
        }
        assert_eq!(faults.len(), 5);
    }

    /// A regression: only what did not fit into 32 bits was refused, so that a plan could ask for 16 GB at its start.
    #[test]
    fn too_many_messages_are_refused() {
        let options = options(&["--clients", "100", "--senders", "100"]);
        assert!(Plan::new(&options, MESSAGES_MAX / 100).is_ok());
        let InvalidPlan(faults) = Plan::new(&options, 40_000_000).unwrap_err();
        let told = "100 senders of 40000000 messages each are too many: at most 100000000 in all can be checked; give";
        assert!(faults.len() == 1 && faults[0].starts_with(told), "{faults:?}");
    }

    #[test]
    fn too_many_clients_that_check_too_many_senders_are_refused() {
        assert!(Plan::new(&options(&["--clients", "5000", "--senders", "5000"]), 1).is_ok());
        let InvalidPlan(faults) = Plan::new(&options(&["--clients", "20000", "--senders", "20000"]), 1).unwrap_err();
        assert!(faults.len() == 1 && faults[0].contains("their product may be 25000000 at most"), "{faults:?}");
    }
}
