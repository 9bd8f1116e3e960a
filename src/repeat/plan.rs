//! The options of a run, and the checked plan derived from them.

use std::io::{self, BufRead, IsTerminal, Read as _, Write};
use std::time::Duration;

use clap::Parser;
use thiserror::Error;

use super::payload::bytes_min;
use crate::address::Address;
use crate::arguments::{self, CONNECTION, Given, LOAD, OUTPUT, ProgramOptions, number, size, switch, timeout};
use crate::client::{CONTRACT_HELP, CONTRACT_LONG_HELP, Contract, SERVER_HELP, SERVER_LONG_HELP};
use crate::limits::BODY_BYTES_MAX;
use crate::names::{RoomName, UserName};

/// How many clients a run may have: each costs two threads and a connection.
const CLIENTS_MAX: usize = 20_000;

/// How many messages a run may have in all: the check of their order takes eight bytes for each.
const MESSAGES_MAX: u32 = 100_000_000;

/// How many pairs of a client and a sender a run may have: the checks of the numbers take about 28 bytes for each.
const PAIRS_MAX: usize = 25_000_000;

/// How many times the user is asked before the program gives up.
const QUESTIONS_MAX: usize = 5;

/// Load a Hubbub server with numbered messages, and verify what every client gets.
///
/// Checks that every client gets each message once, in the same order for all, and that no acknowledged message is
/// lost, even if connections are lost. Ctrl-C stops sending, waits for the sent messages, and reports; a second Ctrl-C
/// exits at once without a report.
#[derive(Clone, Debug, Parser)]
#[command(name = "hubbub-repeat", version, after_long_help = EXAMPLES)]
pub struct Options {
    #[arg(
        long, value_name = "ADDR", env = "HUBBUB_SERVER", help = SERVER_HELP, long_help = SERVER_LONG_HELP,
        help_heading = CONNECTION, display_order = 10
    )]
    pub server: Option<Address>,
    /// Name of the clients [default: repeat]
    ///
    /// Each client adds a hyphen and its number.
    #[arg(long, env = "HUBBUB_NAME", default_value = "repeat", hide_default_value = true,
        help_heading = CONNECTION, display_order = 11)]
    pub name: String,
    #[arg(
        long, env = "HUBBUB_CONTRACT", value_name = "CONTRACT", default_value = "v1", hide_possible_values = true,
        help = CONTRACT_HELP, long_help = CONTRACT_LONG_HELP, help_heading = CONNECTION, display_order = 12
    )]
    pub contract: Contract,
    /// Give up after this long without a message
    ///
    /// While there are connections. Seconds, or a number with a unit such as 500ms or 1m.
    #[arg(
        long, env = "HUBBUB_IDLE_TIMEOUT", value_name = "TIME", default_value = "10s", value_parser = timeout,
        help_heading = CONNECTION, display_order = 13
    )]
    pub idle_timeout: Duration,
    /// Give up a client after this long without a connection
    ///
    /// On hubbub.v1; on the tutorial's contract a client that loses its connection has failed.
    #[arg(
        long, env = "HUBBUB_RECONNECT_TIMEOUT", value_name = "TIME", default_value = "30s", value_parser = timeout,
        hide_short_help = true, help_heading = CONNECTION, display_order = 14
    )]
    pub reconnect_timeout: Duration,
    /// Room to use [default: repeat]
    ///
    /// On the tutorial's contract: lobby, which is its only room.
    #[arg(long, env = "HUBBUB_ROOM", help_heading = LOAD, display_order = 20)]
    pub room: Option<RoomName>,
    /// Number of clients
    ///
    /// Each has a connection of its own.
    #[arg(
        long, env = "HUBBUB_CLIENTS", value_name = "N", default_value_t = 2, value_parser = number(1..=CLIENTS_MAX),
        help_heading = LOAD, display_order = 21
    )]
    pub clients: usize,
    /// Number of clients that send
    #[arg(
        long, env = "HUBBUB_SENDERS", value_name = "N", default_value_t = 1, value_parser = number(1..=CLIENTS_MAX),
        help_heading = LOAD, display_order = 22
    )]
    pub senders: usize,
    /// Messages of each sender [default: asks for it]
    ///
    /// Without it, the number is read from standard input.
    #[arg(
        long, env = "HUBBUB_MESSAGES", value_name = "N", value_parser = number(1..=MESSAGES_MAX), help_heading = LOAD,
        display_order = 23
    )]
    pub messages: Option<u32>,
    /// Messages per second in all; 0: no limit
    ///
    /// Of all senders together.
    #[arg(
        long, env = "HUBBUB_RATE", value_name = "N", default_value_t = 0, value_parser = number(0..=u32::MAX),
        help_heading = LOAD, display_order = 24
    )]
    pub rate: u32,
    /// Size of a message's body in bytes
    ///
    /// Bytes, or a number with a unit such as 16KiB, which is the maximum.
    #[arg(
        long, env = "HUBBUB_SIZE", value_name = "SIZE", default_value_t = 128, value_parser = size(1..=BODY_BYTES_MAX),
        help_heading = LOAD, display_order = 25
    )]
    pub size: usize,
    /// Messages in flight at once
    ///
    /// Sent, but not yet received by every client.
    #[arg(
        long, env = "HUBBUB_IN_FLIGHT", value_name = "N", default_value_t = 1024, value_parser = number(1..=u32::MAX),
        help_heading = LOAD, display_order = 26
    )]
    pub in_flight: u32,
    /// Print the report as a JSON object
    #[arg(long, env = "HUBBUB_JSON", value_parser = switch, help_heading = OUTPUT, display_order = 30)]
    pub json: bool,
    /// Show no progress bar and no line for each message
    #[arg(long, short, env = "HUBBUB_QUIET", value_parser = switch, help_heading = OUTPUT, display_order = 31)]
    pub quiet: bool,
}

const EXAMPLES: &str = "\
Examples:
  hubbub-repeat --messages 10                   send ten numbered messages
  echo 10 | hubbub-repeat                       the same
  hubbub-repeat --clients 100 --senders 10 --messages 1000 --quiet
  hubbub-repeat --clients 100 --rate 200 --messages 1000 --json --quiet

An option overrides its variable; an empty variable counts as unset.
Exit codes: 0 everything arrived; 1 a message was lost, repeated or out of order, or a client failed; 2 wrong usage;
130 interrupted, and no fault so far.";

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

/// An invalid number of messages.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct InvalidPlan(pub String);

impl Options {
    /// The program's options. Ends the program if they are wrong, or ask for help.
    pub fn from_program() -> Self {
        arguments::from_program()
    }

    /// The faults of the load as a whole.
    fn check_load(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut check = |holds: bool, fault: String| {
            if !holds {
                faults.push(fault);
            }
        };
        let Self { clients, senders, size, .. } = *self;
        check(
            senders <= clients,
            format!("--senders {senders} is more than --clients {clients}: give at most as many"),
        );
        check(
            clients.saturating_mul(senders) <= PAIRS_MAX,
            format!(
                "{clients} clients that check {senders} senders each are too many: their product may be {PAIRS_MAX} \
                 at most; give fewer --clients or --senders"
            ),
        );
        if let Some(messages) = self.messages {
            check(self.fits(messages), self.too_many(messages));
            let size_min = self.size_min(messages);
            check(size >= size_min, format!("--size {size} is too small for the numbering: give at least {size_min}"));
        }
        match UserName::new(format!("{}-{clients}", self.name)) {
            _ if self.name.trim().is_empty() => check(false, "--name is empty: give some characters".to_owned()),
            Ok(_) => {}
            Err(fault) => check(false, format!("invalid --name: with the clients' numbers, {fault}")),
        }
        faults
    }

    fn fits(&self, messages: u32) -> bool {
        (self.senders as u64).saturating_mul(messages.into()) <= u64::from(MESSAGES_MAX)
    }

    fn too_many(&self, messages: u32) -> String {
        let senders = self.senders;
        format!(
            "{senders} senders of {messages} messages each are too many: at most {MESSAGES_MAX} in all can be checked; \
             give fewer --messages or --senders"
        )
    }

    /// The smallest body that the text and the numbering fit into.
    fn size_min(&self, messages: u32) -> usize {
        bytes_min(&format!("{}-{}", self.name, self.senders), messages)
    }
}

impl ProgramOptions for Options {
    const PROGRAM: &'static str = "hubbub-repeat";

    fn check(&mut self, given: &Given<'_>) -> Vec<String> {
        let mut faults = self.check_load();
        if self.contract == Contract::Tutorial {
            if self.room.as_ref().is_some_and(|room| *room != RoomName::lobby()) {
                faults.extend(given.useless("contract", &["room"], "the tutorial's contract has no room but lobby"));
                // A variable that an option overrides.
                self.room = None;
            }
            if given.is_flag("reconnect_timeout") {
                let fails =
                    "--reconnect-timeout can't be used with --contract tutorial: a lost connection is a failure";
                faults.push(format!("{fails}; leave one out"));
            }
        }
        if self.server.is_none() {
            faults.extend(Address::default_local().err().map(|fault| fault.to_string()));
        }
        faults
    }
}

impl Plan {
    /// The plan for this number of messages, if the options do not give it.
    pub fn new(options: &Options, messages: u32) -> Result<Self, InvalidPlan> {
        let invalid = |fault: String| InvalidPlan(fault);
        if !options.fits(messages) {
            return Err(invalid(options.too_many(messages)));
        }
        let size_min = options.size_min(messages);
        if options.size < size_min {
            return Err(invalid(format!(
                "--size {} is too small for the numbering: give at least {size_min}",
                options.size
            )));
        }
        let names = (1..=options.clients).map(|n| UserName::new(format!("{}-{n}", options.name)));
        Ok(Self {
            server: match &options.server {
                Some(server) => server.clone(),
                None => Address::default_local().map_err(|fault| invalid(fault.to_string()))?,
            },
            contract: options.contract,
            room: options.room.clone().unwrap_or_else(|| default_room(options.contract)),
            clients: options.clients,
            senders: u16::try_from(options.senders).map_err(|fault| invalid(fault.to_string()))?,
            messages,
            rate: (options.rate > 0).then_some(options.rate),
            body_bytes: options.size,
            names: names.collect::<Result<_, _>>().map_err(|fault| invalid(format!("invalid --name: {fault}")))?,
            in_flight: options.in_flight,
            idle_timeout: options.idle_timeout,
            reconnect_timeout: options.reconnect_timeout,
        })
    }
}

/// How many messages each sender sends: from the options, or else from the console.
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
                return Err(InvalidPlan(fault));
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
    InvalidPlan(format!("the number of messages is missing{why}: give it with --messages, or on standard input"))
}

/// A separate room, so that numbered messages don't fill one that people read.
fn default_room(contract: Contract) -> RoomName {
    match contract {
        // Invariant: the name is a valid constant.
        Contract::V1 => RoomName::new("repeat").expect("the default room's name is valid"),
        Contract::Tutorial => RoomName::lobby(),
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, FromArgMatches as _};

    use super::*;
    use crate::arguments::Stop;

    /// The options, with no settings from the environment that the tests run in.
    fn options(arguments: &[&str]) -> Options {
        let command = Options::command().mut_args(|argument| argument.env(None::<&str>));
        let matches = command.get_matches_from([&["hubbub-repeat", "--server", "127.0.0.1:1"], arguments].concat());
        Options::from_arg_matches(&matches).unwrap()
    }

    fn faults(arguments: &str) -> Vec<String> {
        match arguments::read::<Options>(arguments.split(' ').map(Into::into).collect()).unwrap_err() {
            Stop::Faults(faults) => faults,
            Stop::Help(help) => panic!("{help}"),
        }
    }

    #[test]
    fn a_plan_is_made_of_sound_options() {
        let options = options(&["--clients", "5", "--senders", "5", "--rate", "0", "--name", "r"]);
        let plan = Plan::new(&options, 7).unwrap();
        assert_eq!((plan.clients, plan.senders, plan.messages, plan.rate), (5, 5, 7, None));
        assert_eq!(plan.names[4].as_str(), "r-5");
        assert_eq!((plan.idle_timeout, plan.reconnect_timeout), (Duration::from_secs(10), Duration::from_secs(30)));
    }

    #[test]
    fn every_fault_is_told_at_once() {
        let told =
            faults("hubbub-repeat --clients 0 --messages 0 --in-flight 0 --idle-timeout 0 --size 20KiB --rate x");
        for part in ["--clients", "--messages", "--in-flight", "--idle-timeout", "--size", "--rate"] {
            assert_eq!(told.iter().filter(|fault| fault.contains(part)).count(), 1, "{part}: {told:?}");
        }
        assert_eq!(told.len(), 6, "{told:?}");
        let told = faults(
            "hubbub-repeat --clients 1 --senders 2 --size 9 --name  --messages 5 --contract tutorial --room tea",
        );
        for part in ["--senders", "--size", "--name", "--room tea"] {
            assert_eq!(
                told.iter().filter(|fault| fault.contains(part.split(' ').next().unwrap())).count(),
                1,
                "{told:?}"
            );
        }
        assert_eq!(told.len(), 4, "{told:?}");
    }

    /// A regression: only totals above 32 bits were refused, so that a plan could allocate 16 GB at its start.
    #[test]
    fn too_many_messages_are_refused() {
        let options = options(&["--clients", "100", "--senders", "100"]);
        assert!(Plan::new(&options, MESSAGES_MAX / 100).is_ok());
        let InvalidPlan(fault) = Plan::new(&options, 40_000_000).unwrap_err();
        let told = "100 senders of 40000000 messages each are too many: at most 100000000 in all can be checked; give";
        assert!(fault.starts_with(told), "{fault}");
        assert!(faults("hubbub-repeat --clients 100 --senders 100 --messages 40000000")[0].starts_with(told));
    }

    #[test]
    fn too_many_clients_that_check_too_many_senders_are_refused() {
        assert!(Plan::new(&options(&["--clients", "5000", "--senders", "5000"]), 1).is_ok());
        let told = faults("hubbub-repeat --clients 20000 --senders 20000");
        assert!(told.len() == 1 && told[0].contains("their product may be 25000000 at most"), "{told:?}");
    }
}
