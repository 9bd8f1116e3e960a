//! The options of a run, and the rules that concern several of them.

use std::time::Duration;

use clap::Parser;

use super::contract::{CONTRACT_HELP, CONTRACT_LONG_HELP, RunContract};
use super::payload::bytes_min;
use crate::address::Address;
use crate::arguments::{CONNECTION, Given, LOAD, OUTPUT, ProgramOptions, number, size, switch, timeout};
use crate::client::{LoginOptions, SERVER_HELP, SERVER_LONG_HELP, TlsOptions};
use crate::limits::BODY_BYTES_MAX;
use crate::names::{RoomName, UserName};

/// How many clients a run may have: each costs two threads and a connection.
const CLIENTS_MAX: usize = 20_000;

/// How many messages a run may have in all: the check of their order takes eight bytes for each.
pub const MESSAGES_MAX: u32 = 100_000_000;

/// How many pairs of a client and a sender a run may have: the checks of the numbers take about 28 bytes for each.
const PAIRS_MAX: usize = 25_000_000;

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
    /// Each client adds a hyphen and its number. With a login, all clients have the login's name.
    #[arg(long, env = "HUBBUB_NAME", default_value = "repeat", hide_default_value = true,
        help_heading = CONNECTION, display_order = 11)]
    pub name: String,
    #[arg(
        long, env = "HUBBUB_CONTRACT", value_name = "CONTRACT", default_value = "v1", hide_possible_values = true,
        help = CONTRACT_HELP, long_help = CONTRACT_LONG_HELP, help_heading = CONNECTION, display_order = 12
    )]
    pub contract: RunContract,
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
    #[command(flatten)]
    pub login: LoginOptions,
    #[command(flatten)]
    pub tls: TlsOptions,
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

impl Options {
    /// The faults of the load as a whole.
    fn check_load(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let Self { clients, senders, .. } = *self;
        if senders > clients {
            faults.push(format!("--senders {senders} is more than --clients {clients}: give at most as many"));
        }
        if clients.saturating_mul(senders) > PAIRS_MAX {
            faults.push(format!(
                "{clients} clients that check {senders} senders each are too many: their product may be {PAIRS_MAX} \
                 at most; give fewer --clients or --senders"
            ));
        }
        faults.extend(self.messages.map(|messages| self.check_messages(messages)).unwrap_or_default());
        if self.name.trim().is_empty() {
            faults.push("--name is empty: give some characters".to_owned());
        } else if let Err(fault) = UserName::new(format!("{}-{clients}", self.name)) {
            faults.push(format!("invalid --name: with the clients' numbers, {fault}"));
        }
        faults
    }

    /// The faults of this number of messages of each sender.
    pub fn check_messages(&self, messages: u32) -> Vec<String> {
        let mut faults = Vec::new();
        let Self { senders, size, .. } = *self;
        if (senders as u64).saturating_mul(messages.into()) > u64::from(MESSAGES_MAX) {
            faults.push(format!(
                "{senders} senders of {messages} messages each are too many: at most {MESSAGES_MAX} in all can be \
                 checked; give fewer --messages or --senders"
            ));
        }
        let size_min = bytes_min(&format!("{}-{senders}", self.name), messages);
        if size < size_min {
            faults.push(format!("--size {size} is too small for the numbering: give at least {size_min}"));
        }
        faults
    }
}

impl ProgramOptions for Options {
    const PROGRAM: &'static str = "hubbub-repeat";

    fn check(&mut self, given: &Given<'_>) -> Vec<String> {
        let mut faults = self.check_load();
        faults.extend(self.tls.check(given));
        if self.contract != RunContract::Tutorial && self.login.token_file.is_some() && given.is_flag("name") {
            faults.extend(given.useless("token_file", &["name"], "all clients have the name of the login"));
        }
        if self.contract == RunContract::Tutorial {
            if self.room.as_ref().is_some_and(|room| *room != RoomName::lobby()) {
                faults.extend(given.useless("contract", &["room"], "the tutorial's contract has no room but lobby"));
                // A variable that an option overrides.
                self.room = None;
            }
            faults.extend(given.useless("contract", &["token_file"], "the tutorial's contract has no logins"));
            if given.is_flag("reconnect_timeout") {
                let fails =
                    "--reconnect-timeout can't be used with --contract tutorial: a lost connection is a failure";
                faults.push(format!("{fails}; leave one out"));
            }
        }
        if self.contract == RunContract::Http && self.tls.are_given() {
            faults.push(
                "the TLS options can't be used with --contract http: give the address behind the proxy".to_owned(),
            );
        }
        if self.server.is_none() {
            faults.extend(self.contract.default_server().err().map(|fault| fault.to_string()));
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::{self, Stop};

    fn faults(arguments: &str) -> Vec<String> {
        match arguments::read::<Options>(arguments.split(' ').map(Into::into).collect()).unwrap_err() {
            Stop::Faults(faults) => faults,
            Stop::Help(help) => panic!("{help}"),
        }
    }

    #[test]
    fn all_faults_are_reported_at_once() {
        for (arguments, parts) in [
            (
                "hubbub-repeat --clients 0 --messages 0 --in-flight 0 --idle-timeout 0 --size 20KiB --rate x",
                &["--clients", "--messages", "--in-flight", "--idle-timeout", "--size", "--rate"][..],
            ),
            (
                "hubbub-repeat --clients 1 --senders 2 --size 9 --name  --messages 5 --contract tutorial --room tea",
                &["--senders", "--size", "--name", "--room"],
            ),
        ] {
            let faults = faults(arguments);
            for part in parts {
                assert_eq!(faults.iter().filter(|fault| fault.contains(part)).count(), 1, "{part}: {faults:?}");
            }
            assert_eq!(faults.len(), parts.len(), "{faults:?}");
        }
    }

    #[test]
    fn loads_that_cannot_be_checked_are_refused() {
        let expected =
            "100 senders of 40000000 messages each are too many: at most 100000000 in all can be checked; give";
        assert!(faults("hubbub-repeat --clients 100 --senders 100 --messages 40000000")[0].starts_with(expected));
        let faults = faults("hubbub-repeat --clients 20000 --senders 20000");
        assert!(faults.len() == 1 && faults[0].contains("their product may be 25000000 at most"), "{faults:?}");
    }
}
