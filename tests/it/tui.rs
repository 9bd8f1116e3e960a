//! The full-screen client, on a pseudo-terminal, against a server.

mod screen;
mod ends;
mod keys;
mod pastes;
mod reading;
mod gaps;
mod kept;
mod sending;
mod hostile;
mod links;
mod load;
mod starts;
mod soak;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use self::screen::Screen;
use crate::support::wait_for;
use crate::terminal::client_command;
use crate::terminal::model::Model;

/// The usual size.
const COLUMNS: u16 = 80;
const ROWS: u16 = 24;

/// The client's program. A variable names another build of it.
fn client() -> String {
    std::env::var("HUBBUB_TEST_CLIENT").unwrap_or(env!("CARGO_BIN_EXE_hubbub").to_owned())
}

/// The client's program as a user with that home starts it.
fn command(home: &Path, arguments: &[&str]) -> Command {
    program(&client(), home, arguments)
}

/// The same for another program that starts the client.
fn program(program: &str, home: &Path, arguments: &[&str]) -> Command {
    let mut command = client_command(program, arguments);
    for variable in ["HUBBUB_PLAIN", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR", "LC_ALL", "LC_CTYPE"] {
        command.env_remove(variable);
    }
    for variable in ["VISUAL", "EDITOR", "TERM_PROGRAM", "COLORFGBG"] {
        command.env_remove(variable);
    }
    command.env("HOME", home).env("LANG", "C.UTF-8").env("TERM", "xterm-256color").env("USER", "user");
    command
}

/// A user's home, and a model of a server.
struct Place {
    home: TempDir,
    model: Model,
}

impl Place {
    fn new() -> Self {
        Self { home: tempfile::tempdir().expect("a folder can be made"), model: Model::start() }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let all = [&["--server", self.model.target.as_str(), "--name", "ann"], arguments].concat();
        command(self.home.path(), &all)
    }

    /// A client that has joined the lobby, or the rooms of its arguments.
    fn start(&self, arguments: &[&str]) -> Screen {
        let screen = Screen::start(self.command(arguments), COLUMNS, ROWS);
        self.wait_for_join(&screen);
        screen
    }

    fn wait_for_join(&self, screen: &Screen) {
        screen.wait_until("the prompt of a joined room", |text| {
            let last = text.lines().last().unwrap_or_default();
            last.starts_with('[') && !text.contains("connecting")
        });
        wait_for("the join", || !self.model.world().joins.is_empty());
    }
}

/// A short while, for what must not happen.
fn a_while() {
    std::thread::park_timeout(Duration::from_millis(300));
}
