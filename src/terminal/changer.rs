//! The thread that makes the chat's calls, one after the other: a message is edited before it is deleted, in the order
//! in which the user has typed that, and the user continues to type meanwhile.

use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::screen::Screen;
use super::server::Server;
use crate::client::{CallError, Caller};
use crate::threads::spawn;

/// How many calls may wait.
const CALLS_MAX: usize = 64;

/// A call: `Err` is the reason why it failed, for the user. The deadline is for waits before it.
pub type Job = Box<dyn FnOnce(&mut OpenCaller<'_>, Instant) -> Result<(), String> + Send>;

/// Makes calls.
#[derive(Clone)]
pub struct Changer {
    jobs: Sender<(Job, Sender<()>)>,
}

/// The connection for calls, which is opened by the first one.
pub struct OpenCaller<'a> {
    server: &'a Server,
    caller: &'a mut Option<Caller>,
}

impl Changer {
    /// The thread ends with the process.
    pub fn start(screen: Arc<Screen>, server: Server) -> Self {
        let (jobs, waiting) = bounded(CALLS_MAX);
        // Without the thread, nobody takes the jobs.
        let _ = spawn("changer", move || run(&screen, &server, &waiting));
        Self { jobs }
    }

    /// Makes a call. Returns a channel that is closed when it is done; `None` if too many wait.
    pub fn call(&self, job: Job) -> Option<Receiver<()>> {
        let (done, is_done) = bounded(1);
        self.jobs.try_send((job, done)).is_ok().then_some(is_done)
    }
}

fn run(screen: &Screen, server: &Server, waiting: &Receiver<(Job, Sender<()>)>) {
    let mut caller = None;
    for (job, done) in waiting {
        let deadline = Instant::now() + server.call_timeout();
        let mut open = OpenCaller { server, caller: &mut caller };
        if let Err(fault) = job(&mut open, deadline) {
            screen.notice(&fault);
        }
        drop(done);
    }
}

impl OpenCaller<'_> {
    /// Makes a call of the server.
    pub fn call<T>(&mut self, call: impl FnOnce(&mut Caller) -> Result<T, CallError>) -> Result<T, CallError> {
        let caller = match self.caller.take() {
            Some(caller) => caller,
            None => self.server.clone().caller()?,
        };
        call(self.caller.insert(caller))
    }
}
