//! `hubbub-server user` and `invite`: users, their devices, and bans.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Subcommand;
use hubbub::arguments::{OUTPUT, duration};
use hubbub::escape::escape_name;
use hubbub::server::auth::accounts::command::{BannedName, ListedToken, ListedUser, OperatorCommand, OperatorReply};
use hubbub::server::auth::accounts::event::StoredRole;
use hubbub::server::auth::principal::Role;
use hubbub::server::log::clock::date;
use serde_json::json;

use crate::operate::{
    self, ListOptions, PublicAddress, WRONG_REPLY, change, day, list_tokens, print_json, print_table, tell,
};

/// The commands on users. Each works while the server runs, and while it does not.
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Add a user, and print an invitation for its first device
    #[command(after_long_help = ADD_EXAMPLES)]
    Add {
        /// Name of the user; it never changes
        name: String,
        /// member, moderator or admin
        #[arg(long, value_name = "ROLE", default_value = "member")]
        role: Role,
        #[command(flatten)]
        link: LinkOptions,
    },
    /// Print the users
    #[command(after_long_help = LIST_EXAMPLES)]
    List {
        #[command(flatten)]
        output: ListOptions,
    },
    /// Print a user's devices
    #[command(after_long_help = DEVICES_EXAMPLES)]
    Devices {
        /// Name of the user
        name: String,
        #[command(flatten)]
        output: ListOptions,
    },
    /// End a user's logins
    ///
    /// Of one device, or without one: of all devices and programs of the user, and its open invitations. Connected
    /// clients are disconnected. The user can be invited again.
    #[command(after_long_help = REVOKE_EXAMPLES)]
    Revoke {
        /// Name of the user
        name: String,
        /// Device, by its id or label [default: all]
        device: Option<String>,
    },
    /// Ban a user: connected clients are disconnected, and none can log in
    ///
    /// Also for a name without an account here, which logs in with a certificate or a JSON web token.
    #[command(after_long_help = BAN_EXAMPLES)]
    Ban {
        /// Name of the user
        name: String,
        /// How long, for example 7d [default: for good]
        #[arg(long = "for", value_name = "TIME", value_parser = duration)]
        time: Option<Duration>,
    },
    /// End a ban; the user's devices can log in again
    #[command(after_long_help = UNBAN_EXAMPLES)]
    Unban {
        /// Name of the user
        name: String,
    },
    /// Change a user's role
    #[command(after_long_help = ROLE_EXAMPLES)]
    Role {
        /// Name of the user
        name: String,
        /// member, moderator or admin
        role: Role,
    },
    /// Refused: a user's name never changes
    #[command(hide = true)]
    Rename {
        /// Name of the user
        name: String,
        /// The other name
        new: Option<String>,
    },
}

/// What an invitation link needs.
#[derive(Debug, clap::Args)]
pub struct LinkOptions {
    /// Address of the server in the link
    ///
    /// HOST or HOST:PORT, as clients reach it. A running server may know it.
    #[arg(long, value_name = "ADDR", env = "HUBBUB_ADDRESS", help_heading = OUTPUT, display_order = 60)]
    pub address: Option<PublicAddress>,
}

pub const EXAMPLES: &str = "\
Examples:
  hubbub-server user add ann --address chat.example.org
  hubbub-server user list
  hubbub-server user revoke ann            log ann out everywhere";

pub const INVITE_EXAMPLES: &str = "\
Examples:
  hubbub-server invite ann
  hubbub-server invite ann --address chat.example.org:5000";

const ADD_EXAMPLES: &str = "\
Examples:
  hubbub-server user add ann
  hubbub-server user add bob --role admin --address chat.example.org";

const LIST_EXAMPLES: &str = "\
Examples:
  hubbub-server user list
  hubbub-server user list --json --data /var/lib/hubbub";

const DEVICES_EXAMPLES: &str = "\
Examples:
  hubbub-server user devices ann";

const REVOKE_EXAMPLES: &str = "\
Examples:
  hubbub-server user revoke ann phone      one device
  hubbub-server user revoke ann            all logins";

const BAN_EXAMPLES: &str = "\
Examples:
  hubbub-server user ban ann --for 7d
  hubbub-server user ban ann               for good";

const UNBAN_EXAMPLES: &str = "\
Examples:
  hubbub-server user unban ann";

const ROLE_EXAMPLES: &str = "\
Examples:
  hubbub-server user role ann moderator";

/// Prints another invitation.
pub fn invite(name: &str, link: &LinkOptions, data: &Path) -> anyhow::Result<ExitCode> {
    operate::invite(data, OperatorCommand::Invite { user: name.to_owned() }, link.address.as_ref())?;
    Ok(ExitCode::SUCCESS)
}

/// Runs a command on the accounts of a folder.
pub fn run(command: &UserCommand, data: &Path) -> anyhow::Result<ExitCode> {
    match command {
        UserCommand::Add { name, role, link } => {
            let command = OperatorCommand::AddUser { user: name.clone(), role: StoredRole(*role) };
            operate::invite(data, command, link.address.as_ref())?;
        }
        UserCommand::List { output } => list(data, output.json)?,
        UserCommand::Devices { name, output } => {
            let devices = list_tokens(data, &OperatorCommand::ListDevices { user: name.clone() })?;
            if output.json {
                print_json(&devices)?;
            } else {
                print_devices(&devices)?;
            }
        }
        UserCommand::Revoke { name, device } => {
            tell(&change(data, OperatorCommand::Revoke { user: name.clone(), device: device.clone() })?)?;
        }
        UserCommand::Ban { name, time } => {
            let for_ms = time.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
            tell(&change(data, OperatorCommand::Ban { user: name.clone(), for_ms })?)?;
        }
        UserCommand::Unban { name } => tell(&change(data, OperatorCommand::Unban { user: name.clone() })?)?,
        UserCommand::Role { name, role } => {
            tell(&change(data, OperatorCommand::SetRole { user: name.clone(), role: StoredRole(*role) })?)?;
        }
        UserCommand::Rename { name, .. } => anyhow::bail!(
            "user {} can't be renamed, because stored messages carry the name, and another user could then take it: add a user \
             with the other name, and end the logins of this one with hubbub-server user revoke",
            escape_name(name)
        ),
    }
    Ok(ExitCode::SUCCESS)
}

fn list(data: &Path, as_json: bool) -> anyhow::Result<()> {
    let (mut users, mut names) = (Vec::new(), Vec::new());
    let mut accounts = operate::open_to_list(data)?;
    let mut after = Some(0);
    while let Some(from) = after {
        let OperatorReply::Users { users: page, banned, next } =
            accounts.execute(OperatorCommand::ListUsers { after: from })?
        else {
            anyhow::bail!(WRONG_REPLY);
        };
        users.extend(page);
        names.extend(banned);
        after = next;
    }
    if as_json {
        let users = users.iter().map(|user| json!(user));
        let names = names
            .iter()
            .map(|name| json!({ "user": name.user, "banned": true, "banned_until_ms": name.banned_until_ms }));
        return print_json(&users.chain(names).collect::<Vec<_>>());
    }
    let rows: Vec<_> = users.iter().map(user_row).chain(names.iter().map(name_row)).collect();
    print_table(["role", "devices", "tokens", "state", "last use", "added", "user"], &rows)
}

fn user_row(user: &ListedUser) -> [String; 7] {
    let state = match user {
        ListedUser { banned: true, banned_until_ms, .. } => banned(*banned_until_ms),
        ListedUser { devices: 0, tokens: 0, invitations: 0, .. } => "no login".to_owned(),
        ListedUser { devices: 0, tokens: 0, .. } => "invited".to_owned(),
        _ => "active".to_owned(),
    };
    [
        user.role.0.to_string(),
        user.devices.to_string(),
        user.tokens.to_string(),
        state,
        user.last_use.clone().unwrap_or_else(|| "-".to_owned()),
        day(user.added_ms),
        escape_name(&user.user).into_owned(),
    ]
}

/// A banned name without an account.
fn name_row(name: &BannedName) -> [String; 7] {
    let none = || "-".to_owned();
    [none(), none(), none(), banned(name.banned_until_ms), none(), none(), escape_name(&name.user).into_owned()]
}

fn banned(until_ms: Option<u64>) -> String {
    until_ms.map_or_else(|| "banned".to_owned(), |until_ms| format!("banned until {}", date(until_ms)))
}

fn print_devices(devices: &[ListedToken]) -> anyhow::Result<()> {
    let row = |device: &ListedToken| {
        [
            device.id.to_string(),
            device.last_use.clone().unwrap_or_else(|| "-".to_owned()),
            day(device.issued_ms),
            escape_name(&device.label).into_owned(),
        ]
    };
    print_table(["id", "last use", "added", "device"], &devices.iter().map(row).collect::<Vec<_>>())
}
