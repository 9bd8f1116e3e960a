//! `hubbub send`: posts one message, or each line of the input, and exits when everything is stored.

use std::collections::HashSet;
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::TerminalError;
use super::format::hex;
use super::input::read_lines;
use super::json::{JsonPosted, json};
use super::options::SendOptions;
use super::outage::{self, Outage};
use super::output::{Output, unless_closed};
use super::screen::Screen;
use super::server::Server;
use crate::client::{Caller, Event, Line, Message, Session, SessionError, StartAt, mentioned, new_message_id};
use crate::names::{Body, Kind, MessageId, RoomName, UserName};
use crate::startup;

/// How long to try the first connection by default: a script should survive a restart of the server.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

pub fn send(server: Server, name: UserName, options: &SendOptions) -> Result<(), TerminalError> {
    if options.json {
        startup::check_output().map_err(TerminalError::Output)?;
    }
    if options.text.is_empty() { send_input(server, name, options) } else { send_text(server, &name, options) }
}

fn send_text(server: Server, name: &UserName, options: &SendOptions) -> Result<(), TerminalError> {
    let body = Body::new(options.text.join(" ")).map_err(TerminalError::Text)?;
    let within = server.timeout.unwrap_or(CONNECT_WITHIN);
    let call_timeout = server.call_timeout();
    let waiting = |error: &_| outage::waiting(&Screen::default(), error, within);
    let mut caller = Caller::connect_within(server.connector, server.address, call_timeout, within, waiting)?;
    let line = with_mentions(body);
    let (id, posted) = (line.id, caller.post(&options.room, name, &line)?);
    let mut answers = Answers::new(options);
    answers.stored(&options.room, posted.seq, &id).and_then(|()| answers.flush()).map_err(TerminalError::Output)
}

/// The line for a text: `@name` mentions somebody.
fn with_mentions(body: Body) -> Line {
    let mentions = mentioned(body.as_str(), []);
    Line { mentions, ..Line::new(new_message_id(), body, Kind::Text) }
}

/// The output for `--json`: where each message was stored.
struct Answers {
    /// `None` without `--json`, and when the output was closed.
    output: Option<Output>,
}

impl Answers {
    fn new(options: &SendOptions) -> Self {
        Self { output: options.json.then(|| Output::new(true)) }
    }

    fn stored(&mut self, room: &RoomName, seq: u64, id: &MessageId) -> io::Result<()> {
        let Some(output) = &mut self.output else { return Ok(()) };
        let outcome = output.line(&json(&JsonPosted { room: room.as_str(), seq, id: hex(id) }));
        self.unless_closed(outcome)
    }

    fn flush(&mut self) -> io::Result<()> {
        let Some(output) = &mut self.output else { return Ok(()) };
        let outcome = output.flush();
        self.unless_closed(outcome)
    }

    /// A closed output does not stop the sending.
    fn unless_closed(&mut self, outcome: io::Result<()>) -> io::Result<()> {
        if matches!(&outcome, Err(error) if error.kind() == io::ErrorKind::BrokenPipe) {
            self.output = None;
        }
        unless_closed(outcome)
    }
}

/// Reports the outcomes of the lines of an input.
struct Progress {
    outage: Outage,
    /// How many lines were not sent.
    skipped: Arc<AtomicU64>,
    answers: Answers,
    /// Lines that were reported as stored before their message arrived.
    early: HashSet<MessageId>,
}

impl Progress {
    fn take(&mut self, event: &Event<'_>) -> io::Result<()> {
        self.outage.show(event);
        match *event {
            Event::Message(Message { room, seq, ref id, own: true, .. }) if !self.early.remove(id) => {
                self.answers.stored(room, seq, id)
            }
            Event::Stored { room, id, seq } => {
                if self.answers.output.is_some() {
                    self.early.insert(id);
                }
                self.answers.stored(room, seq, &id)
            }
            Event::Pause => self.answers.flush(),
            Event::Rejected { .. } => {
                self.skipped.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// A session sends many lines at once, so its rate is far above that of calls.
fn send_input(server: Server, name: UserName, options: &SendOptions) -> Result<(), TerminalError> {
    startup::check_input().map_err(TerminalError::Input)?;
    let room = &options.room;
    let screen = Arc::new(Screen::default());
    let skipped = Arc::new(AtomicU64::new(0));
    let outage = Outage::new(Arc::clone(&screen), &server.address);
    let (late_inlet, rejected) = (outage.inlet(), Arc::clone(&skipped));
    let mut progress = Progress { outage, skipped: rejected, answers: Answers::new(options), early: HashSet::new() };
    let failure = Arc::new(Mutex::new(None));
    let failed = Arc::clone(&failure);
    let mut settings = server.settings(name, room.clone(), StartAt::Head);
    settings.patience.connect_within = server.timeout.unwrap_or(CONNECT_WITHIN);
    // A failing output, such as a full disk, does not stop the sending: stored messages can be looked up.
    let session = Session::start(server.connector, server.address, settings, move |event| {
        if let Err(error) = progress.take(&event) {
            progress.answers.output = None;
            failed.lock().get_or_insert(error);
        }
        ControlFlow::Continue(())
    })?;
    let inlet = session.inlet();
    let _ = late_inlet.set(inlet.clone());
    let room = room.clone();
    let counted = Arc::clone(&skipped);
    // A separate thread, because the session may end before the input. It ends with the process at the latest.
    crate::threads::spawn("input", move || {
        read_lines(&mut io::stdin().lock(), |line| {
            let body = match line.as_deref().map(str::trim_end) {
                Ok("") => return ControlFlow::Continue(()),
                Ok(text) => Body::new(text).map_err(|e| e.to_string()),
                Err(fault) => Err(fault.clone()),
            };
            match body.map(|body| inlet.post_line(&room, with_mentions(body))) {
                Ok(Ok(_)) => ControlFlow::Continue(()),
                Ok(Err(_)) => ControlFlow::Break(()),
                Err(fault) => {
                    counted.fetch_add(1, Ordering::Relaxed);
                    screen.notice(&format!("not sent: {fault}"));
                    ControlFlow::Continue(())
                }
            }
        });
        inlet.finish();
    })
    .map_err(|e| TerminalError::Session(SessionError::Thread(e)))?;
    session.wait()?;
    match skipped.load(Ordering::Relaxed) {
        0 => failure.lock().take().map_or(Ok(()), |error| Err(TerminalError::Output(error))),
        skipped => Err(TerminalError::Skipped(skipped)),
    }
}
