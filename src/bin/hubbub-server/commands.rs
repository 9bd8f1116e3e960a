//! The commands besides serving.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use hubbub::arguments::STORAGE;
use hubbub::server::log::sqlite::{self, Report};

use crate::dev_cert::DevCert;
use crate::health::HealthProbe;
use crate::options::Args;
use crate::progress::Bar;
use crate::words::counted;
use crate::{dev_cert, health, rooms, stats, tokens, users};

/// The commands besides serving.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write a backup of the log to a file; a server may be running
    ///
    /// The backup is one consistent state, with every message that was acknowledged before the command started.
    #[command(after_long_help = BACKUP_EXAMPLES)]
    Backup {
        /// File to write
        file: PathBuf,
        /// Replace the file if it exists
        #[arg(long, help_heading = STORAGE, display_order = 29)]
        force: bool,
    },
    /// Replace the log with a backup; no server may be running
    ///
    /// Checks the whole backup before it changes anything. After the next start, clients learn which messages are lost.
    #[command(after_long_help = RESTORE_EXAMPLES)]
    Restore {
        /// Backup to restore
        file: PathBuf,
    },
    /// Check the whole log, or a backup
    ///
    /// Reports every fault with its room and message number, and exits with 1 if there is one.
    #[command(after_long_help = VERIFY_EXAMPLES)]
    Verify {
        /// Backup to check [default: the log in the data folder]
        file: Option<PathBuf>,
    },
    /// List the rooms of the log, or delete some
    #[command(after_long_help = rooms::EXAMPLES, subcommand)]
    Room(rooms::RoomCommand),
    /// Print the log's size and growth; a server may be running
    ///
    /// Sums of all rooms, and the largest rooms. What the last day and the last 7 days have added is counted from the
    /// times of messages that are still kept.
    #[command(after_long_help = stats::EXAMPLES)]
    Stats(stats::StatsOptions),
    /// Add and list users, end their logins, ban them
    #[command(after_long_help = users::EXAMPLES, subcommand)]
    User(users::UserCommand),
    /// Print an invitation for another device of a user
    ///
    /// A link, if the server's address is known, and a code. Either is valid once, for a week.
    #[command(after_long_help = users::INVITE_EXAMPLES)]
    Invite {
        /// Name of the user
        name: String,
        #[command(flatten)]
        link: users::LinkOptions,
    },
    /// Add, list and revoke tokens for programs
    #[command(after_long_help = tokens::EXAMPLES, subcommand)]
    Token(tokens::TokenCommand),
    /// Make a certificate for trying TLS, from an authority of your own
    #[command(after_long_help = dev_cert::EXAMPLES)]
    DevCert(DevCert),
    /// Ask a running server whether it serves; the exit code is 0 if so
    ///
    /// A probe, for containers. It prints one line, and exits with 1 if the server does not serve, or can't be reached. It
    /// needs no login.
    #[command(after_long_help = health::EXAMPLES)]
    Health(HealthProbe),
}

const BACKUP_EXAMPLES: &str = "\
Examples:
  hubbub-server backup /backups/monday.db
  hubbub-server backup --data /var/lib/hubbub --force /backups/latest.db";

const RESTORE_EXAMPLES: &str = "\
Examples:
  hubbub-server restore /backups/monday.db
  hubbub-server restore --data /var/lib/hubbub /backups/latest.db";

const VERIFY_EXAMPLES: &str = "\
Examples:
  hubbub-server verify                     check ./hubbub-data
  hubbub-server verify /backups/monday.db";

/// Runs a command, and prints its result. `args` has the options of the server beside it.
pub fn run(command: &Command, args: &Args) -> anyhow::Result<ExitCode> {
    let data = args.data.as_path();
    match command {
        Command::Backup { file, force } => {
            let bytes = sqlite::backup(data, file, *force, &mut Bar::new())?;
            println!("{}: {bytes} bytes", file.display());
        }
        Command::Restore { file } => {
            let report = sqlite::restore(data, file, &mut Bar::new())?;
            println!("restored into {}: {}", data.display(), summary(&report));
        }
        Command::Verify { file } => {
            let report = sqlite::verify(file.as_deref().unwrap_or(data), &mut Bar::new())?;
            report.faults.iter().for_each(|fault| println!("{fault}"));
            println!("{}", summary(&report));
            if !report.faults.is_empty() {
                return Ok(ExitCode::FAILURE);
            }
        }
        Command::Stats(options) => return stats::run(options, data),
        Command::Room(command) => return rooms::run(command, data),
        Command::User(command) => return users::run(command, data),
        Command::Invite { name, link } => return users::invite(name, link, data),
        Command::Token(command) => return tokens::run(command, data),
        Command::DevCert(command) => dev_cert::run(command)?,
        Command::Health(probe) => return health::run(probe, args),
    }
    Ok(ExitCode::SUCCESS)
}

fn summary(report: &Report) -> String {
    let unchecked = match report.unchecked {
        0 => String::new(),
        count => format!(", {} of an earlier version without a checksum", counted(count, "segment")),
    };
    let faults = match report.faults.len() as u64 {
        0 => "no faults".to_owned(),
        count => counted(count, "fault"),
    };
    let (rooms, messages) = (counted(report.rooms, "room"), counted(report.messages, "message"));
    format!("{rooms}, {messages}, {faults}{unchecked}")
}
