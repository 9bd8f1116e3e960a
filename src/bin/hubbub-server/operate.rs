//! The common part of the commands on accounts: who executes them, invitations, and tables.

use std::fmt::Display;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use anyhow::Context as _;
use hubbub::address::Address;
use hubbub::arguments::{OUTPUT, switch};
use hubbub::escape::escape_name;
use hubbub::server::auth::accounts::command::{ListedToken, OperatorCommand, OperatorReply, Secret};
use hubbub::server::auth::token::INVITE;
use hubbub::server::log::clock::date;
use hubbub::server::operator::commands::FolderAccounts;
use serde::Serialize;
use unicode_width::UnicodeWidthStr as _;
use zeroize::Zeroizing;

use crate::words::{complain, counted};

/// How lists are printed.
#[derive(Debug, clap::Args)]
pub struct ListOptions {
    /// Print one JSON object a line
    #[arg(long, env = "HUBBUB_JSON", value_parser = switch, help_heading = OUTPUT, display_order = 60)]
    pub json: bool,
}

/// The port of HTTPS, which a link leaves out.
const HTTPS: u16 = 443;

/// How many bytes of a time as text are its day.
const DAY_LENGTH: usize = 10;

/// A reply of another kind than the command has.
pub const WRONG_REPLY: &str = "the server is of another version: use its own hubbub-server";

/// Executes a command that changes accounts.
pub fn change(data: &Path, command: OperatorCommand) -> anyhow::Result<OperatorReply> {
    Ok(FolderAccounts::open(data, is_first(&command))?.execute(command)?)
}

/// Whether a command may be the first one on a data folder, so that folder and accounts are created if missing.
fn is_first(command: &OperatorCommand) -> bool {
    use OperatorCommand::{AddToken, AddUser, Ban};
    matches!(command, AddUser { .. } | AddToken { .. } | Ban { .. })
}

/// All pages of a list of tokens.
pub fn list_tokens(data: &Path, command: &OperatorCommand) -> anyhow::Result<Vec<ListedToken>> {
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

/// Opens the accounts for a list.
pub fn open_to_list(data: &Path) -> anyhow::Result<FolderAccounts> {
    Ok(FolderAccounts::open(data, false)?)
}

/// Executes a command that prints an invitation, and prints it.
pub fn invite(data: &Path, command: OperatorCommand, address: Option<&PublicAddress>) -> anyhow::Result<()> {
    let mut accounts = FolderAccounts::open(data, is_first(&command))?;
    let status = accounts.status()?;
    let reply = accounts.execute(command)?;
    let OperatorReply::Invited { user, role, added, code: Secret(code), until_ms } = reply else {
        anyhow::bail!(WRONG_REPLY);
    };
    let name = escape_name(&user);
    if status.as_ref().is_some_and(|status| !status.accounts) {
        complain("the running server does not accept logins with accounts: restart it with accounts on");
    }
    let authority = status.as_ref().and_then(|status| status.authority.as_deref());
    let authority = authority.map_or(String::new(), |authority| format!("&ca={authority}"));
    let known = status.as_ref().and_then(|status| status.public.as_ref()).and_then(|public| public.parse().ok());
    let link = address.cloned().or(known).map(|address: PublicAddress| {
        Zeroizing::new(format!("https://{address}/{INVITE}{}{authority}", code.expose()))
    });
    let mut out = io::stdout().lock();
    let mut print = || -> io::Result<()> {
        if added {
            writeln!(out, "user {name} was added ({})", role.0)?;
        }
        writeln!(out, "to log in as {name}, run this command; it is valid once, until {}", date(until_ms))?;
        match &link {
            // In quotes, because a shell would take & and # for itself.
            Some(link) => writeln!(out, "  hubbub login '{}'", link.as_str())?,
            None => writeln!(out, "  hubbub login {}", code.expose())?,
        }
        out.flush()
    };
    print().with_context(|| format!("can't print the invitation; run hubbub-server invite {name} for another one"))?;
    if link.is_none() {
        complain("the server's address is not known, so there is no link: give it with --address HOST:PORT for one");
    }
    Ok(())
}

/// Prints what was changed.
pub fn tell(reply: &OperatorReply) -> anyhow::Result<()> {
    match reply {
        OperatorReply::Revoked { user, tokens, invitations } => println!(
            "revoked {} and {} of user {}",
            counted(tokens.len() as u64, "login"),
            counted(*invitations as u64, "open invitation"),
            escape_name(user)
        ),
        OperatorReply::Banned { user, until_ms, has_account } => {
            let until = until_ms.map_or_else(|| "for good".to_owned(), |until_ms| format!("until {}", date(until_ms)));
            println!("banned {} {until}", escape_name(user));
            if !has_account {
                complain(&format!(
                    "{} has no account here: the ban applies to certificates and JSON web tokens with that name",
                    escape_name(user)
                ));
            }
        }
        OperatorReply::Unbanned { user } => println!("{} is not banned any more", escape_name(user)),
        OperatorReply::RoleSet { user, role, before } if role == before => {
            println!("user {} was {} already", escape_name(user), role.0);
        }
        OperatorReply::RoleSet { user, role, before } => {
            println!("user {} is now {} (before: {})", escape_name(user), role.0, before.0);
        }
        _ => anyhow::bail!(WRONG_REPLY),
    }
    Ok(())
}

/// The address of a server in links: `HOST`, or `HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicAddress {
    host: String,
    port: u16,
}

impl std::str::FromStr for PublicAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected =
            || "expected HOST or HOST:PORT, as clients reach the server, for example chat.example.org".to_owned();
        let text = text.trim();
        let text = text.strip_prefix("https://").unwrap_or(text).trim_end_matches('/');
        let has_port = text.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
        let whole = if has_port { text.to_owned() } else { format!("{text}:{HTTPS}") };
        match whole.parse::<Address>() {
            Ok(Address::Tcp { port: 0, .. } | Address::Unix(_)) | Err(_) => Err(expected()),
            // An interface of this machine is not a host for others.
            Ok(Address::Tcp { host, .. }) if host.contains('%') => Err(expected()),
            Ok(Address::Tcp { host, port }) => Ok(Self { host, port }),
        }
    }
}

impl Display for PublicAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.host.contains(':'), self.port) {
            (true, HTTPS) => write!(f, "[{}]", self.host),
            (true, port) => write!(f, "[{}]:{port}", self.host),
            (false, HTTPS) => f.write_str(&self.host),
            (false, port) => write!(f, "{}:{port}", self.host),
        }
    }
}

/// The day of a time.
pub fn day(time_ms: u64) -> String {
    let mut text = date(time_ms);
    text.truncate(DAY_LENGTH);
    text
}

/// Prints one JSON object a line.
pub fn print_json(objects: &[impl Serialize]) -> anyhow::Result<()> {
    print(|out| objects.iter().try_for_each(|object| writeln!(out, "{}", serde_json::to_string(object)?)))
}

/// Prints rows below a head. The last column is as wide as it is.
pub fn print_table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> anyhow::Result<()> {
    let mut widths = head.map(|text| text.width());
    for row in rows {
        for (width, text) in widths.iter_mut().zip(row) {
            *width = (*width).max(text.width());
        }
    }
    let line = |out: &mut dyn Write, row: &[&str; N]| {
        let mut text = String::new();
        for (at, cell) in row.iter().enumerate() {
            text.push_str(cell);
            if at + 1 < N {
                text.extend(std::iter::repeat_n(' ', widths[at] - cell.width() + 2));
            }
        }
        writeln!(out, "{}", text.trim_end())
    };
    print(|out| {
        line(out, &head)?;
        rows.iter().try_for_each(|row| line(out, &row.each_ref().map(String::as_str)))
    })
}

fn print(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> anyhow::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    match write(&mut out).and_then(|()| out.flush()) {
        // The reader needs no more.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        printed => printed.context("can't write the list"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_have_the_shortest_address() {
        for (text, shown) in [
            ("chat.example.org", "chat.example.org"),
            ("chat.example.org:443", "chat.example.org"),
            ("https://chat.example.org/", "chat.example.org"),
            ("chat.example.org:5000", "chat.example.org:5000"),
            ("[2001:db8::1]", "[2001:db8::1]"),
            ("[2001:db8::1]:5000", "[2001:db8::1]:5000"),
        ] {
            assert_eq!(text.parse::<PublicAddress>().unwrap().to_string(), shown);
        }
        for bad in
            ["", ":5000", "unix:/run/x", "chat.example.org/path", "a b", "ann@x", "x:0", "[fe80::1%eth0]:1", "x#y"]
        {
            assert!(bad.parse::<PublicAddress>().is_err(), "{bad}");
        }
    }
}
