//! The accounts of a data folder, for the operator's commands: through the server that runs, or in the file.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use thiserror::Error;

use super::audit;
use super::place::{self, SOCKET};
use super::protocol::{Lines, Request, Response, Status};
use crate::limits::{OPERATOR_RESPONSE_BYTES_MAX, OPERATOR_RESPONSE_TIMEOUT, OPERATOR_TIMEOUT};
use crate::server::auth::accounts::command::{OperatorCommand, OperatorReply};
use crate::server::auth::accounts::error::AccountsError;
use crate::server::auth::accounts::{Accounts, FILE};
use crate::server::log::sqlite::{Folder, OpenError};

/// Why a command of the operator fails.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OperatorError {
    #[error(transparent)]
    Accounts(#[from] AccountsError),
    /// What the server replied.
    #[error("{0}")]
    Refused(String),
    #[error("no accounts in {}: name the server's data folder with --data, or add a user with hubbub-server user add", .0.display())]
    NoAccounts(PathBuf),
    #[error("can't connect to {}: {fault}; run the command as the server's user, or as root", .path.display())]
    Connect { path: PathBuf, fault: io::Error },
    #[error(
        "a server uses {}, but does not listen at {SOCKET} there: it may be starting or stopping, so run the command again; \
         or stop it, if it is of an earlier version",
        .0.display()
    )]
    Silent(PathBuf),
    #[error("the server did not answer ({0}): hubbub-server user list and token list show whether the change was made")]
    Lost(io::Error),
}

/// Access to the accounts of a data folder.
pub enum FolderAccounts {
    /// A server uses the folder, and executes the commands.
    Running(Connection),
    /// No server uses it, and none can start meanwhile.
    Stopped { accounts: Accounts, _folder: Folder },
}

/// A connection to a running server.
pub struct Connection {
    stream: UnixStream,
}

impl FolderAccounts {
    /// Opens the accounts of a folder. `create` has folder and file created if they are missing.
    pub fn open(folder: &Path, create: bool) -> Result<Self, OperatorError> {
        if let Some(connection) = Connection::open(folder)? {
            return Ok(Self::Running(connection));
        }
        if !create && !folder.join(FILE).exists() {
            return Err(OperatorError::NoAccounts(folder.to_owned()));
        }
        let held = match Folder::open(folder) {
            Ok(held) => held,
            // It may have started meanwhile.
            Err(OpenError::Locked { .. }) => {
                let connection = Connection::open(folder)?.ok_or_else(|| OperatorError::Silent(folder.to_owned()))?;
                return Ok(Self::Running(connection));
            }
            Err(error) => return Err(AccountsError::from(error).into()),
        };
        Ok(Self::Stopped { accounts: Accounts::open(folder)?, _folder: held })
    }

    /// What the running server says of itself; `None` if none runs.
    pub fn status(&mut self) -> Result<Option<Status>, OperatorError> {
        match self {
            Self::Stopped { .. } => Ok(None),
            Self::Running(connection) => match connection.ask(&Request::Status)? {
                Response::Status { status } => Ok(Some(status)),
                other => Err(unexpected(other)),
            },
        }
    }

    /// Executes a command. A change is on the disk when this returns.
    pub fn execute(&mut self, command: OperatorCommand) -> Result<OperatorReply, OperatorError> {
        match self {
            Self::Stopped { accounts, .. } => {
                let reply = accounts.execute(command, SystemTime::now())?;
                audit::log(rustix::process::getuid().as_raw(), &reply);
                Ok(reply)
            }
            Self::Running(connection) => match connection.ask(&Request::Execute { command })? {
                Response::Done { reply } => Ok(reply),
                other => Err(unexpected(other)),
            },
        }
    }
}

impl Connection {
    /// Connects to the server that uses a folder; `None` if none listens there.
    pub fn open(folder: &Path) -> Result<Option<Self>, OperatorError> {
        let fault = |fault| OperatorError::Connect { path: folder.join(SOCKET), fault };
        Ok(place::connect(folder).map_err(fault)?.map(|stream| Self { stream }))
    }

    /// Sends a request, and waits for the response.
    pub fn ask(&mut self, request: &Request) -> Result<Response, OperatorError> {
        let text = serde_json::to_string(request).expect("a request has only texts and numbers");
        let response = (|| {
            let mut lines = Lines::new(&self.stream, None)?;
            lines.write(&text, OPERATOR_TIMEOUT)?;
            let line = lines.read(OPERATOR_RESPONSE_BYTES_MAX, OPERATOR_RESPONSE_TIMEOUT)?;
            line.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))
        })();
        let line = response.map_err(OperatorError::Lost)?;
        serde_json::from_str(&line).map_err(|_| {
            OperatorError::Refused("the server is of another version: use its own hubbub-server".to_owned())
        })
    }
}

fn unexpected(response: Response) -> OperatorError {
    match response {
        Response::Failed { error } => OperatorError::Refused(error),
        _ => OperatorError::Refused("the server is of another version: use its own hubbub-server".to_owned()),
    }
}
