//! The terminal client: lines in, lines out.
//!
//! Threads: `input` reads what is typed and hands lines to the session; the session's `send` and `receive` carry them
//! and what others say; `signals`, on a terminal only, puts the terminal in order before the program goes. `input` and
//! `signals` block where nothing but the end of the process can end them, which is why nobody joins them.

mod editor;
mod keys;
mod lines;
mod raw;
mod wrap;
mod screen;
mod signals;

use std::io::{self, BufRead, IsTerminal, Write};
use std::ops::ControlFlow;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use clap::Parser;
use thiserror::Error;

use self::editor::Action;
use self::lines::{RawLine, read_line};
use self::screen::{Screen, can_edit};
use crate::address::{Address, InvalidPort};
use crate::client::{
    Connector, Event, Inlet, Policy, SERVER_HELP, Session, SessionError, doubt, lines as count_lines, switch,
};
use crate::escape::{escape, escape_name};
use crate::names::{Body, InvalidText, UserName};
use crate::threads::spawn;

/// The exit code of a program that an interrupt ended, by the shell's convention.
const EXIT_INTERRUPTED: i32 = 130;

/// Talk to everybody on a Hubbub server. Enter sends the line; Ctrl-D ends, once what you sent is delivered.
#[derive(Debug, Parser)]
#[command(name = "hubbub", version, after_help = EXAMPLES)]
pub struct Options {
    /// Where the server is.
    #[arg(long, value_name = "ADDR", env = "HUBBUB_SERVER", hide_env = true, help = SERVER_HELP)]
    pub server: Option<Address>,
    /// The name that others see, 1 to 64 characters, or HUBBUB_NAME [default: asks, on a terminal]
    #[arg(long, env = "HUBBUB_NAME", hide_env = true)]
    pub name: Option<String>,
    /// Fail when the connection is lost, instead of trying again
    #[arg(long, env = "HUBBUB_NO_RECONNECT", hide_env = true, value_parser = switch)]
    pub no_reconnect: bool,
}

const EXAMPLES: &str = "\
Examples:
  hubbub                                        talk to the server on this machine
  hubbub --server chat.example.org:5000 --name ann
  hubbub --name bot < announcements.txt         say each line of a file, and leave
  tail -f log | hubbub --name log --no-reconnect

Each flag has a variable, such as HUBBUB_NO_RECONNECT=1.
Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.";

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
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error("can't read the input: {0}")]
    Input(io::Error),
    #[error("not sent: {} of the input, see above", count_lines(*.0))]
    Skipped(u64),
    #[error("no thread can be started ({0}): raise the limit of processes, see ulimit -u")]
    Thread(io::Error),
    #[error("can't use the terminal: {0}")]
    Terminal(io::Error),
}

impl TerminalError {
    /// The program's exit code: 2 where it was called wrongly.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Port(_) | Self::NoName | Self::Name(_) => 2,
            _ => 1,
        }
    }
}

/// Runs the client until the input ends, the output closes, or the session fails.
pub fn run(options: Options) -> Result<(), TerminalError> {
    let address = match options.server {
        Some(address) => address,
        None => Address::default_local()?,
    };
    let name = match options.name {
        Some(name) => UserName::new(name).map_err(TerminalError::Name)?,
        None => ask_name()?,
    };
    let policy = if options.no_reconnect { Policy::Fail } else { Policy::Reconnect };
    let screen = Arc::new(Screen::default());
    let shown = Arc::clone(&screen);
    let session = Session::start(Connector::new(1), address.clone(), policy, move |event| show(&shown, event))?;
    let editing = can_edit();
    if editing {
        // In this order: a signal in between would leave the terminal in disorder.
        signals::watch(Arc::clone(&screen)).map_err(TerminalError::Thread)?;
        screen.start_editing().map_err(TerminalError::Terminal)?;
        screen.notice(&format!("connected to {address} as {name}; Ctrl-D ends"));
    }
    let input = Input { screen: Arc::clone(&screen), inlet: session.inlet(), name, skipped: Arc::default() };
    let skipped = Arc::clone(&input.skipped);
    spawn("input", move || if editing { input.keys() } else { input.lines() }).map_err(TerminalError::Thread)?;
    let outcome = session.wait();
    screen.stop_editing();
    outcome?;
    match skipped.load(Ordering::Relaxed) {
        // On a terminal the user was there, and could say it again.
        n if n > 0 && !editing => Err(TerminalError::Skipped(n)),
        _ => Ok(()),
    }
}

/// Says on standard error why the client failed. The reason may hold text from a server, so it is escaped.
pub fn complain(error: &TerminalError) {
    let _ = writeln!(io::stderr(), "hubbub: {}", escape(&error.to_string()));
}

/// Asks for a name until it gets one that will do.
fn ask_name() -> Result<UserName, TerminalError> {
    if !io::stdin().is_terminal() {
        return Err(TerminalError::NoName);
    }
    loop {
        let _ = write!(io::stderr(), "Your name: ");
        let Some(line) = read_line(&mut io::stdin().lock()).map_err(TerminalError::Input)? else {
            return Err(TerminalError::NoName);
        };
        let fault = match line {
            RawLine::Text(text) => match UserName::new(text.trim()) {
                Ok(name) => return Ok(name),
                Err(e) => e.to_string(),
            },
            RawLine::TooLong(_) | RawLine::NotUtf8 => "the name is too long or no valid text".to_owned(),
        };
        let _ = writeln!(io::stderr(), "* {fault}");
    }
}

/// Shows what happens. Breaks when nobody reads it any more.
fn show(screen: &Screen, event: Event) -> ControlFlow<()> {
    match event {
        Event::Message(message) => {
            let line = format!("{}: {}", escape_name(&message.name), escape(&message.body));
            // A closed output is how a reader says that it has seen enough.
            if screen.print(&line).is_err() {
                return ControlFlow::Break(());
            }
        }
        Event::Disconnected { reason, doubtful } => {
            screen.notice(&format!("disconnected: {reason}{}", doubt(doubtful)));
        }
        Event::Retrying { pause } => screen.notice(&format!("trying again in {:.1} s", pause.as_secs_f64())),
        Event::Reconnected { kept: 0 } => screen.notice("connected again"),
        Event::Reconnected { kept } => {
            screen.notice(&format!("connected again; sending {} kept meanwhile", count_lines(kept as u64)))
        }
    }
    ControlFlow::Continue(())
}

/// The input thread's belongings.
struct Input {
    screen: Arc<Screen>,
    inlet: Inlet,
    name: UserName,
    /// How many lines could not be sent.
    skipped: Arc<AtomicU64>,
}

impl Input {
    /// Reads lines from an input that is no terminal, or none that can be edited on.
    fn lines(self) {
        let mut stdin = io::stdin().lock();
        loop {
            let going = match read_line(&mut stdin) {
                Ok(Some(RawLine::Text(line))) => self.say(&line),
                Ok(Some(RawLine::TooLong(bytes))) => {
                    self.skip(&format!("the line has {bytes} bytes, which is too long"))
                }
                Ok(Some(RawLine::NotUtf8)) => self.skip("the line is no valid UTF-8"),
                Ok(None) => break,
                Err(e) => {
                    let _ = self.skip(&format!("can't read the input: {e}"));
                    break;
                }
            };
            if going.is_break() {
                break;
            }
        }
        self.inlet.finish();
    }

    /// Reads keys from a terminal.
    fn keys(self) {
        loop {
            let mut stdin = io::stdin().lock();
            let bytes = match stdin.fill_buf() {
                Ok(bytes) => bytes.to_vec(),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                // The terminal is gone, and nobody is left to see more.
                Err(_) => Vec::new(),
            };
            stdin.consume(bytes.len());
            drop(stdin);
            let Ok(actions) = self.screen.typed(&bytes) else { break };
            if bytes.is_empty() || actions.into_iter().any(|action| self.act(action).is_break()) {
                break;
            }
        }
        self.screen.stop_editing();
        self.inlet.finish();
    }

    fn act(&self, action: Action) -> ControlFlow<()> {
        match action {
            Action::Line(line) => self.say(&line),
            Action::EndOfInput => ControlFlow::Break(()),
            Action::Interrupt => {
                self.screen.stop_editing();
                process::exit(EXIT_INTERRUPTED);
            }
            Action::Suspend => match self.screen.suspend() {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            },
            Action::Clear => ControlFlow::Continue(()),
        }
    }

    /// Hands a line to the session, unless it is blank. Breaks when the session has ended.
    fn say(&self, line: &str) -> ControlFlow<()> {
        let text = line.trim();
        if text.is_empty() {
            return ControlFlow::Continue(());
        }
        match Body::new(text) {
            Ok(body) => match self.inlet.send(self.name.clone(), body) {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            },
            Err(e) => self.skip(&e.to_string()),
        }
    }

    fn skip(&self, reason: &str) -> ControlFlow<()> {
        self.skipped.fetch_add(1, Ordering::Relaxed);
        self.screen.notice(&format!("not sent: {reason}"));
        ControlFlow::Continue(())
    }
}
