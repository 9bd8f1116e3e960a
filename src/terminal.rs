//! The terminal client: an interactive chat, and commands for scripts and pipes.
//!
//! Threads of the chat: `input` reads the input and passes lines to the session; the session's `send` and `receive`
//! exchange messages with the server; on a terminal, `signals` restores the terminal before the program exits, and
//! `status` rewrites the status row. `members` requests the list of members once. `input`, `signals` and `status` block
//! in calls that only the end of the process interrupts, so they are not joined.

pub(crate) mod server;
mod invitation;
mod options;
mod option_rules;
pub(crate) mod local_time;
pub(crate) mod clock;
pub(crate) mod format;
pub(crate) mod change_format;
mod json;
mod editor;
mod keys;
mod commands;
mod lines;
pub(crate) mod raw;
mod wrap;
mod status;
mod live;
mod screen;
pub(crate) mod unsent;
mod signals;
mod login;
mod input;
mod outage;
pub(crate) mod namesakes;
pub(crate) mod presence;
mod rooms;
mod people;
mod timelines;
mod changer;
mod joining;
mod changing;
pub(crate) mod nearest;
mod chat_v1;
mod chat_tutorial;
mod output;
mod send;
mod tail;
mod list;
mod search;
mod progress;
mod export;
mod import;
#[cfg(fuzzing)]
pub mod fuzz;

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use thiserror::Error;

use self::input::{Destination, Input};
use self::invitation::Invitation;
use self::lines::{RawLine, read_line};
use self::options::LoginCommand;
pub use self::options::{ChatOptions, Command, Options};
pub use self::screen::can_edit;
use self::screen::{Aids, Screen};
pub use self::server::Server;
use crate::address::{Address, InvalidPort};
use crate::arguments::EXIT_USAGE;
use crate::client::{
    CallError, ClientTls, ConnectError, Connector, Contract, KnownServers, LoginFault, LoginOptions, SessionError,
    StoredLogin, TlsFault, TlsOptions, chain_with_fingerprint, lines as count_lines, own_name,
};
use crate::escape::escape;
use crate::limits::LIBRARY_THREADS;
use crate::names::{InvalidText, RoomName, UserName};
use crate::startup;
use crate::threads::{self, spawn};

/// Why the client failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TerminalError {
    #[error(transparent)]
    Port(#[from] InvalidPort),
    #[error("no name: give one with --name, or set HUBBUB_NAME")]
    NoName,
    #[error("{0}, with --name or HUBBUB_NAME")]
    Name(InvalidText),
    #[error("not sent: {0}")]
    Text(InvalidText),
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("can't read the input: {0}")]
    Input(io::Error),
    #[error("can't write the output: {0}")]
    Output(io::Error),
    #[error("not sent: {} of the input, see above", count_lines(*.0))]
    Skipped(u64),
    #[error("not imported: {}, see above", count_lines(*.0))]
    NotImported(u64),
    #[error("stopped at line {line}: {reason}; after another attempt, nothing is stored twice")]
    Import { line: u64, reason: String },
    #[error("there is no room {0}")]
    NoRoom(RoomName),
    #[error("the server has lost a part of the history of {0} meanwhile: export it again")]
    HistoryLost(RoomName),
    #[error("incomplete: the server can't read the events {from_seq} to {to_seq} of {room}")]
    Missing { room: RoomName, from_seq: u64, to_seq: u64 },
    #[error("the output was closed before the end")]
    Closed,
    #[error("can't start a thread ({0}): raise the process limit, see ulimit -u")]
    Thread(io::Error),
    #[error(transparent)]
    Login(LoginFault),
    #[error("can't use the terminal: {0}")]
    Terminal(io::Error),
    /// Each fault of the config file in a line.
    #[error("{0}")]
    Config(String),
}

impl TerminalError {
    /// The program's exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Port(_) | Self::NoName | Self::Name(_) | Self::Text(_) | Self::Config(_) => EXIT_USAGE,
            _ => 1,
        }
    }
}

/// The user's name: from the options, from the server if there is a login, or from a prompt.
fn known_at(server: &Server, name: Option<String>) -> Result<UserName, TerminalError> {
    match name {
        None if server.has_login => Ok(own_name(&server.connector, &server.address, server.call_timeout())?),
        name => known_as(name),
    }
}

/// The same, with a default name for programs that need none.
fn known_or(server: &Server, name: Option<String>, default: &str) -> Result<UserName, TerminalError> {
    known_at(server, name.or_else(|| (!server.has_login).then(|| default.to_owned())))
}

/// A chat, as it is run for a server, the user's name if it is known, and the options.
pub type Chat = fn(Server, Option<String>, &ChatOptions) -> Result<(), TerminalError>;

/// Runs the command of the options. `face` chooses the full-screen chat; `None` is the chat in lines.
pub fn run(options: Options, face: impl Fn(&ChatOptions) -> Option<Chat>) -> Result<(), TerminalError> {
    let chat = |server: Server, name: Option<String>, options: &ChatOptions| match face(options) {
        Some(full_screen) => full_screen(server, name, options),
        None => chat(server, name, options),
    };
    let address = match options.server {
        Some(ref address) => address.clone(),
        None => Address::default_local()?,
    };
    let invitation = match &options.command {
        Some(Command::Login(LoginCommand { forget: true, .. })) => return login::forget(&address),
        Some(Command::Login(login)) => login.invitation.as_ref(),
        _ => None,
    };
    if matches!(&options.command, Some(command) if !matches!(command, Command::Chat(_) | Command::Send(_))) {
        startup::check_output().map_err(TerminalError::Output)?;
    }
    // The library panics without its threads, and takes one to poll.
    threads::check_available(1 + LIBRARY_THREADS).map_err(TerminalError::Thread)?;
    let address = invitation.and_then(|invitation| invitation.server.clone()).unwrap_or(address);
    let Options { login: presented, tls, timeout, .. } = &options;
    let (server, stored_name) = reach(address, invitation, tls, presented, *timeout)?;
    let name = options.name.or(stored_name);
    match options.command {
        None => chat(server, name, &options.chat),
        Some(Command::Chat(command)) => chat(server, name, &command.chat),
        Some(Command::Login(command)) => {
            let Some(invitation) = &command.invitation else { return Ok(()) };
            let name = login::login(&server, invitation, options.login.insecure)?;
            if command.no_chat || !can_edit() {
                return Ok(());
            }
            // Now with the login.
            let server = reach(server.address, None, &options.tls, &options.login, options.timeout)?.0;
            chat(server, Some(name), &options.chat)
        }
        Some(Command::Send(send)) => {
            let name = known_at(&server, name)?;
            send::send(server, name, &send)
        }
        Some(Command::Tail(tail)) => {
            let name = known_or(&server, name, "tail")?;
            tail::tail(server, name, &tail)
        }
        Some(Command::Search(search)) => search::search(server, &search),
        Some(Command::Export(export)) => {
            let name = known_or(&server, name, "export")?;
            export::export(server, name, &export)
        }
        Some(Command::Import(import)) => {
            let name = known_or(&server, name, "import")?;
            import::import(server, name, &import)
        }
        Some(Command::History(history)) => list::history(server, &history),
        Some(Command::Rooms(rooms)) => list::rooms(server, &rooms),
        Some(Command::Members(members)) => list::members(server, &members),
    }
}

/// The server, with TLS and the login as the options say, and the name of the user whose login is kept for it.
fn reach(
    address: Address,
    invitation: Option<&Invitation>,
    tls: &TlsOptions,
    presented: &LoginOptions,
    timeout: Option<Duration>,
) -> Result<(Server, Option<String>), TerminalError> {
    let connect = |fault: TlsFault| TerminalError::Connect(fault.into());
    let stored = StoredLogin::load(&address).map_err(TerminalError::Login)?;
    let needs_tls = invitation.is_some_and(|invitation| invitation.server.is_some())
        || stored.as_ref().is_some_and(|stored| stored.tls);
    let tls = match invitation {
        // The operator vouches for the authority.
        Some(Invitation { authority: Some(fingerprint), .. }) => {
            let authority = chain_with_fingerprint(&address, *fingerprint)?;
            Some(KnownServers::of_user().and_then(|known| known.remember(&address, &authority)).map_err(connect)?)
        }
        _ => tls.for_server(&address, needs_tls)?,
    };
    let (login, name) = if invitation.is_some() { (None, None) } else { presented.choose(stored) };
    let has_login = login.is_some() || tls.as_ref().is_some_and(ClientTls::has_identity);
    let connector = Connector::new(1).with_tls(tls).with_login(login);
    Ok((Server { address, connector, has_login, timeout }, name))
}

/// Prints on standard error why the client failed. The reason may contain text from a server, so it is escaped.
pub fn complain(error: &TerminalError) {
    let _ = writeln!(io::stderr(), "hubbub: {}", escape(&error.to_string()));
}

fn chat(server: Server, name: Option<String>, options: &ChatOptions) -> Result<(), TerminalError> {
    match options.contract {
        Contract::Tutorial => chat_tutorial::chat(server, known_as(name)?, options),
        Contract::V1 => {
            let name = known_at(&server, name)?;
            chat_v1::chat(server, name, options)
        }
    }
}

/// Passes the input to the destination, and waits for the session's end.
fn converse(
    screen: Arc<Screen>,
    skipped: Arc<AtomicU64>,
    destination: Destination,
    aids: Aids,
    wait: impl FnOnce() -> Result<(), TerminalError>,
) -> Result<(), TerminalError> {
    let editing = can_edit();
    if editing {
        // In this order: a signal in between would leave the terminal in disorder.
        signals::watch(Arc::clone(&screen), destination.clone()).map_err(TerminalError::Thread)?;
        screen.start_editing(aids).map_err(TerminalError::Terminal)?;
    }
    let unsent = destination.clone();
    let outcome = start_input(&screen, &skipped, destination, editing).and_then(|()| wait());
    let draft = screen.stop_editing();
    // After a clean end there is nothing to keep or show.
    if io::stdin().is_terminal() {
        unsent.leave(draft, true);
    }
    outcome?;
    match skipped.load(Ordering::Relaxed) {
        // On a terminal the user has seen the notice, and could send the line again.
        n if n > 0 && !editing => Err(TerminalError::Skipped(n)),
        _ => Ok(()),
    }
}

/// Starts the threads that end with the process.
fn start_input(
    screen: &Arc<Screen>,
    skipped: &Arc<AtomicU64>,
    destination: Destination,
    editing: bool,
) -> Result<(), TerminalError> {
    let input = Input { screen: Arc::clone(screen), destination, skipped: Arc::clone(skipped) };
    spawn("input", move || if editing { input.keys() } else { input.lines() }).map_err(TerminalError::Thread)?;
    if editing {
        let screen = Arc::clone(screen);
        spawn("status", move || screen.keep_status()).map_err(TerminalError::Thread)?;
    }
    Ok(())
}

/// The user's name: from the options, or from a prompt.
fn known_as(name: Option<String>) -> Result<UserName, TerminalError> {
    match name {
        Some(name) => UserName::new(name).map_err(TerminalError::Name),
        None => ask_name(),
    }
}

/// Prompts for a name until it gets a valid one.
fn ask_name() -> Result<UserName, TerminalError> {
    if !io::stdin().is_terminal() {
        return Err(TerminalError::NoName);
    }
    read_name(None)
}

/// Prompts for a name on the terminal, with the name that an empty answer stands for.
pub fn read_name(default: Option<UserName>) -> Result<UserName, TerminalError> {
    loop {
        let prompt = default.as_ref().map_or_else(String::new, |name| format!(" [{}]", escape(name.as_str())));
        let _ = write!(io::stderr(), "Your name{prompt}: ");
        let Some(line) = read_line(&mut io::stdin().lock()).map_err(TerminalError::Input)? else {
            return Err(TerminalError::NoName);
        };
        let fault = match line {
            RawLine::Text(text) if text.trim().is_empty() && default.is_some() => {
                return default.ok_or(TerminalError::NoName);
            }
            RawLine::Text(text) => match UserName::new(text.trim()) {
                Ok(name) => return Ok(name),
                Err(e) => e.to_string(),
            },
            RawLine::TooLong(_) | RawLine::NotUtf8 => "the name is too long or not valid UTF-8".to_owned(),
        };
        let _ = writeln!(io::stderr(), "* {fault}");
    }
}
