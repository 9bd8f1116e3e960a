//! `hubbub-server token`: tokens for programs.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Subcommand;
use hubbub::arguments::duration;
use hubbub::escape::escape_name;
use hubbub::server::auth::accounts::command::{ListedToken, OperatorCommand, OperatorReply, Secret};
use hubbub::server::log::clock::date;

use crate::operate::{WRONG_REPLY, change, day, open_to_list, print_json, print_table};
use crate::users::{ListOptions, tell};
use crate::words::complain;

/// The commands on tokens. Each works while the server runs, and while it does not.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Add a token for a program, and print it once
    ///
    /// The token is alone on standard output. It acts as the user of this name, who is added if missing.
    #[command(after_long_help = ADD_EXAMPLES)]
    Add {
        /// Name of the program's user
        name: String,
        /// Allow only this room; repeatable [default: all rooms]
        #[arg(long, value_name = "ROOM")]
        room: Vec<String>,
        /// Allow only to read, or only to post; repeatable [default: both]
        #[arg(long, value_name = "ACT")]
        may: Vec<String>,
        /// How long it is valid, for example 90d [default: until it is revoked]
        #[arg(long, value_name = "TIME", value_parser = duration)]
        expires: Option<Duration>,
        /// What it is for, as token list shows it
        #[arg(long, value_name = "TEXT")]
        label: Option<String>,
    },
    /// Print the tokens of programs, without their secrets
    #[command(after_long_help = LIST_EXAMPLES)]
    List {
        /// Name of the user [default: all users]
        name: Option<String>,
        #[command(flatten)]
        output: ListOptions,
    },
    /// Revoke a token; a client that uses it is disconnected
    #[command(after_long_help = REVOKE_EXAMPLES)]
    Revoke {
        /// Id of the token: the 8 characters after hub_
        id: String,
    },
}

pub const EXAMPLES: &str = "\
Examples:
  hubbub-server token add ci --room builds --may post > ci.token
  hubbub-server token list
  hubbub-server token revoke 7k2m9x4d";

const ADD_EXAMPLES: &str = "\
Examples:
  hubbub-server token add ci --room builds --may post > ci.token
  hubbub-server token add archive --may read --expires 90d --label backup";

const LIST_EXAMPLES: &str = "\
Examples:
  hubbub-server token list
  hubbub-server token list ci --json";

const REVOKE_EXAMPLES: &str = "\
Examples:
  hubbub-server token revoke 7k2m9x4d";

/// Runs a command on the tokens of a folder.
pub fn run(command: &TokenCommand, data: &Path) -> anyhow::Result<ExitCode> {
    match command {
        TokenCommand::Add { name, room, may, expires, label } => {
            let command = OperatorCommand::AddToken {
                user: name.clone(),
                rooms: room.clone(),
                acts: may.clone(),
                expires_in_ms: expires.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
                label: label.clone(),
            };
            print_token(change(data, command)?)?;
        }
        TokenCommand::List { name, output } => {
            let tokens = listed(data, &OperatorCommand::ListTokens { user: name.clone(), after: 0 })?;
            if output.json {
                print_json(&tokens)?;
            } else {
                let rows: Vec<_> = tokens.iter().map(row).collect();
                print_table(["id", "last use", "added", "expires", "may", "rooms", "user", "label"], &rows)?;
            }
        }
        TokenCommand::Revoke { id } => {
            // The whole token was pasted: it is a secret, so it is not repeated.
            anyhow::ensure!(!id.starts_with("hub_"), "give only the token's id: the 8 characters after hub_");
            tell(&change(data, OperatorCommand::RevokeToken { id: id.clone() })?)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// All pages of a list of tokens.
pub fn listed(data: &Path, command: &OperatorCommand) -> anyhow::Result<Vec<ListedToken>> {
    let mut tokens = Vec::new();
    let mut accounts = open_to_list(data)?;
    let mut next = Some(command.clone());
    while let Some(command) = next {
        let OperatorReply::Tokens { tokens: page, next: after } = accounts.execute(command)? else {
            anyhow::bail!(WRONG_REPLY);
        };
        tokens.extend(page);
        next = after.map(|after| OperatorCommand::ListTokens { user: None, after });
    }
    Ok(tokens)
}

/// Prints a token alone, so that it can be redirected to a file.
fn print_token(reply: OperatorReply) -> anyhow::Result<()> {
    let OperatorReply::TokenAdded { user, added, id, token: Secret(token), until_ms } = reply else {
        anyhow::bail!(WRONG_REPLY);
    };
    let mut out = io::stdout().lock();
    let printed = writeln!(out, "{}", token.expose()).and_then(|()| out.flush());
    printed
        .with_context(|| format!("can't print the token; run hubbub-server token revoke {id}, and add another one"))?;
    let user = escape_name(&user);
    if added {
        complain(&format!("user {user} was added"));
    }
    let until =
        until_ms.map_or_else(|| "until it is revoked".to_owned(), |until_ms| format!("until {}", date(until_ms)));
    complain(&format!("token {id} of user {user} is valid {until}; it is not shown again"));
    Ok(())
}

fn row(token: &ListedToken) -> [String; 8] {
    let all = |list: Option<String>| list.unwrap_or_else(|| "all".to_owned());
    let expires = match token.expires_ms {
        None => "never".to_owned(),
        Some(_) if token.expired => "expired".to_owned(),
        Some(time_ms) => day(time_ms),
    };
    [
        token.id.to_string(),
        token.last_use.clone().unwrap_or_else(|| "-".to_owned()),
        day(token.issued_ms),
        expires,
        all(token.grants.acts.as_ref().map(|acts| acts.join(", "))),
        all(token
            .grants
            .rooms
            .as_ref()
            .map(|rooms| rooms.iter().map(|room| escape_name(room)).collect::<Vec<_>>().join(", "))),
        escape_name(&token.user).into_owned(),
        escape_name(&token.label).into_owned(),
    ]
}
