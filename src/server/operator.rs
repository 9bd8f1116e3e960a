//! The operator's socket: commands for a running server, from the machine that it runs on.
//!
//! The server listens at `operator.sock` in its data folder. Only its own user and root may connect: the socket's mode
//! says so, and the system tells who is at the other end. There is no other way to change accounts.
//!
//! A few threads serve the connections, each one at a time and for a bounded time. So a client that stops half way
//! delays the others for seconds at most, and never the server.

pub mod protocol;
mod place;
mod audit;
pub mod commands;
#[cfg(fuzzing)]
pub mod fuzz;
#[cfg(test)]
mod tests;

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use rustix::event::PollFlags;

pub use self::place::SOCKET;
use self::place::{Listening, is_trusted, peer_uid};
use self::protocol::{Lines, Request, Response, Status, wait_for};
use super::auth::accounts::Accounts;
use crate::limits::{
    OPERATOR_REQUEST_BYTES_MAX, OPERATOR_REQUESTS_MAX, OPERATOR_RESPONSE_BYTES_MAX, OPERATOR_THREADS, OPERATOR_TIMEOUT,
};
use crate::threads;

/// How long a thread waits after it could not accept a connection, for example without file descriptors.
const ACCEPT_RETRY: Duration = Duration::from_secs(1);

/// Tells what a server says of itself.
pub type StatusSource = Box<dyn Fn() -> Status + Send + Sync>;

/// The operator's socket. Dropping it ends its threads, and removes the socket.
pub struct Operator {
    /// `None` tells the threads to end.
    stop: Option<UnixStream>,
    threads: Vec<JoinHandle<()>>,
    // The last share: dropped after the threads are joined, it removes the socket.
    _desk: Arc<Desk>,
}

/// What the threads share.
struct Desk {
    listening: Listening,
    /// Readable when the threads must end.
    stopped: UnixStream,
    accounts: Arc<Accounts>,
    status: StatusSource,
}

impl Operator {
    /// Listens in a data folder, which no other server uses.
    pub fn start(folder: &Path, accounts: Arc<Accounts>, status: StatusSource) -> io::Result<Self> {
        let (stop, stopped) = UnixStream::pair()?;
        let desk = Arc::new(Desk { listening: Listening::start(folder)?, stopped, accounts, status });
        let mut operator = Self { stop: Some(stop), threads: Vec::new(), _desk: Arc::clone(&desk) };
        // After an error, dropping the operator ends those that were started.
        for number in 0..OPERATOR_THREADS {
            let desk = Arc::clone(&desk);
            operator.threads.push(threads::spawn(&format!("operator-{number}"), move || desk.run())?);
        }
        Ok(operator)
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        // Its other end becomes readable.
        self.stop = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Desk {
    /// Serves one connection after the other, until the server stops.
    fn run(&self) {
        threads::owned();
        let mut is_failing = false;
        loop {
            let listener = self.listening.listener.as_fd();
            match wait_for(listener, PollFlags::IN, Some(self.stopped()), None) {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => log::warn!("can't wait for the operator's commands: {error}"),
            }
            let stream = match self.listening.listener.accept() {
                Ok((stream, _)) => stream,
                // Another thread has it.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) => {
                    if !is_failing {
                        log::warn!("can't accept the operator's commands: {error}");
                    }
                    is_failing = true;
                    match wait_for(self.stopped(), PollFlags::IN, Some(self.stopped()), Some(ACCEPT_RETRY)) {
                        Ok(true) => return,
                        _ => continue,
                    }
                }
            };
            is_failing = false;
            // A panic has been reported. It ends this connection; the next one is served.
            let served = catch_unwind(AssertUnwindSafe(|| self.serve(&stream)));
            match served {
                Ok(Ok(())) => {}
                Ok(Err(error)) => log::debug!("a connection of the operator's socket ended: {error}"),
                Err(_) => log::error!("a command of the operator has failed: this is a bug, please report it"),
            }
        }
    }

    fn stopped(&self) -> BorrowedFd<'_> {
        self.stopped.as_fd()
    }

    fn serve(&self, stream: &UnixStream) -> io::Result<()> {
        let uid = peer_uid(stream)?;
        let mut lines = Lines::new(stream, Some(self.stopped()))?;
        if !is_trusted(uid) {
            log::warn!(target: "audit", "user {uid} of this machine was refused at the operator's socket");
            return lines
                .write(&encoded(&failed("run the command as the server's user, or as root")), OPERATOR_TIMEOUT);
        }
        for _ in 0..OPERATOR_REQUESTS_MAX {
            let Some(line) = lines.read(OPERATOR_REQUEST_BYTES_MAX, OPERATOR_TIMEOUT)? else { return Ok(()) };
            let mut response = encoded(&self.respond(&line, uid));
            if response.len() > OPERATOR_RESPONSE_BYTES_MAX {
                response = encoded(&failed("the response is too long: ask for less"));
            }
            lines.write(&response, OPERATOR_TIMEOUT)?;
        }
        Ok(())
    }

    fn respond(&self, line: &str, uid: u32) -> Response {
        threads::panic_point("operator-request");
        match serde_json::from_str(line) {
            Ok(Request::Status) => Response::Status { status: (self.status)() },
            Ok(Request::Execute { command }) => match self.accounts.execute(command, SystemTime::now()) {
                Ok(reply) => {
                    audit::log(uid, &reply);
                    Response::Done { reply }
                }
                Err(error) => failed(&error.to_string()),
            },
            // Without the text: it may have a secret.
            Err(_) => failed("the request is not valid: use the hubbub-server of the server's own version"),
        }
    }
}

fn failed(error: &str) -> Response {
    Response::Failed { error: error.to_owned() }
}

fn encoded(response: &Response) -> String {
    serde_json::to_string(response).expect("a response has only texts and numbers")
}
