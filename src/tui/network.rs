//! The threads of the network: one that keeps a session, and one that makes calls.
//!
//! `network` takes what the model asks for. It starts the session, and starts it again when the model wants that after
//! it has failed; while there is none, it drops joins and posts, because the model asks for them again when it learns
//! of the new session ([`NetEvent::Connected`] with `fresh`). It never blocks on the server: the model bounds the lines
//! that wait below the session's own bounds. `calls` makes the unary calls, one after the other.
//!
//! `network` ends when the model drops its channel, and then `calls` does, and the session is stopped.

use std::io;
use std::ops::ControlFlow;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::inlet::{Answer, Call, EVENTS_MAX, Incoming, JoinedState, NetEvent, Outgoing};
use crate::client::{
    Backoff, CallError, Caller, Event, Inlet, MessagePlace, NewText, RoomJoined, Session, SessionError, Settings,
    each_page,
};
use crate::names::UserName;
use crate::terminal::server::Server;
use crate::threads::spawn;

/// How many calls the model may have under way.
pub const CALLS_MAX: usize = 32;

/// How many lines the model may have unacknowledged, and how many bytes of them: what a user types during a long outage.
pub const LINES_MAX: usize = 1_000;
pub const BYTES_MAX: usize = 8 * 1024 * 1024;

/// How many members are listed, and rooms.
const LISTED_MAX: usize = 10_000;

/// Starts the threads. What happens is passed to `incoming`.
pub fn start(
    server: Server,
    name: UserName,
    requests: Receiver<Outgoing>,
    incoming: Sender<Incoming>,
) -> io::Result<()> {
    let (calls, waiting) = bounded(CALLS_MAX);
    let (caller, answers, by) = (server.clone(), incoming.clone(), name.clone());
    spawn("calls", move || make_calls(&caller, &by, &waiting, &answers))?;
    spawn("network", move || Network { server, name, incoming, calls }.run(&requests))?;
    Ok(())
}

struct Network {
    server: Server,
    name: UserName,
    incoming: Sender<Incoming>,
    calls: Sender<(u64, Call)>,
}

/// How a wait has ended.
enum Waited {
    /// The model wants a connection now.
    Hurried,
    Elapsed,
    /// The model has ended.
    Over,
}

impl Network {
    fn run(self, requests: &Receiver<Outgoing>) {
        loop {
            let Some((inlet, ended)) = self.connect(requests) else { return };
            if self.serve(&inlet, &ended, requests).is_break() {
                // The session stops when it is dropped, on its own thread.
                inlet.stop();
                return;
            }
            // It has failed. The model says when to try again.
            loop {
                match self.wait(requests, None) {
                    Waited::Hurried => break,
                    Waited::Elapsed => {}
                    Waited::Over => return,
                }
            }
        }
    }

    /// Tries until there is a session, which ends on a thread of its own. `None`: the model has ended.
    fn connect(&self, requests: &Receiver<Outgoing>) -> Option<(Inlet, Receiver<()>)> {
        let mut backoff = Backoff::new();
        loop {
            let error = match self.open() {
                Ok(session) => return Some(session),
                Err(error) => error,
            };
            let is_transient = match &error {
                SessionError::Connect(error) => error.is_transient(),
                SessionError::Stream(error) => matches!(error, crate::client::StreamError::Lost(_)),
                _ => false,
            };
            let waited = match is_transient {
                true => {
                    let pause = backoff.pause();
                    self.tell(vec![NetEvent::Retrying { reason: error.to_string(), pause }])?;
                    self.wait(requests, Some(Instant::now() + pause))
                }
                false => {
                    self.tell(vec![NetEvent::Ended(Some(error.to_string()))])?;
                    self.wait(requests, None)
                }
            };
            match waited {
                Waited::Hurried => backoff.reset(),
                Waited::Elapsed => {}
                Waited::Over => return None,
            }
        }
    }

    /// Starts a session, and the thread that waits for its end.
    fn open(&self) -> Result<(Inlet, Receiver<()>), SessionError> {
        let settings = Settings {
            name: self.name.clone(),
            rooms: Vec::new(),
            patience: crate::client::Patience { connect_within: Duration::ZERO, ..self.server.patience() },
            lines_max: LINES_MAX + 1,
            bytes_max: 2 * BYTES_MAX,
        };
        let late_inlet: Arc<OnceLock<Inlet>> = Arc::default();
        let mut events =
            Events { waiting: Vec::new(), incoming: self.incoming.clone(), inlet: Arc::clone(&late_inlet), lag: None };
        let (connector, address) = (self.server.connector.clone(), self.server.address.clone());
        let session = Session::start(connector, address, settings, move |event| events.take(event))?;
        let inlet = session.inlet();
        let _ = late_inlet.set(inlet.clone());
        let (end, ended) = bounded(1);
        let incoming = self.incoming.clone();
        let wait = move || {
            let reason = session.wait().err().map(|error| error.to_string());
            drop(end);
            let _ = incoming.send(Incoming::Events(vec![NetEvent::Ended(reason)]));
        };
        // Dropped with the closure if there is no thread, the session ends.
        spawn("session", wait).map_err(SessionError::Thread)?;
        Ok((inlet, ended))
    }

    /// Does what the model asks for, until the session has ended. Breaks when the model has.
    fn serve(&self, inlet: &Inlet, ended: &Receiver<()>, requests: &Receiver<Outgoing>) -> ControlFlow<()> {
        if self.tell(vec![NetEvent::Connected { fresh: true }]).is_none() {
            return ControlFlow::Break(());
        }
        loop {
            let request = crossbeam_channel::select! {
                recv(requests) -> request => request,
                recv(ended) -> _ => return ControlFlow::Continue(()),
            };
            let Ok(request) = request else { return ControlFlow::Break(()) };
            // If the session has ended, the model asks again when there is another one.
            match request {
                Outgoing::Join { room, from } => drop(inlet.join(&room, from)),
                Outgoing::Leave { room } => drop(inlet.leave(&room)),
                Outgoing::Post { room, line } => drop(inlet.post_line(&room, line)),
                Outgoing::Reconnect => inlet.reconnect(),
                other => self.other(other),
            }
        }
    }

    /// Waits until a time, or for ever, without a session.
    fn wait(&self, requests: &Receiver<Outgoing>, until: Option<Instant>) -> Waited {
        loop {
            let request = match until {
                Some(until) => requests.recv_deadline(until),
                None => requests.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match request {
                Ok(Outgoing::Reconnect) => return Waited::Hurried,
                Ok(other) => self.other(other),
                Err(RecvTimeoutError::Timeout) => return Waited::Elapsed,
                Err(RecvTimeoutError::Disconnected) => return Waited::Over,
            }
        }
    }

    fn other(&self, request: Outgoing) {
        if let Outgoing::Call(number, call) = request
            // The model bounds the calls under way, so there is space.
            && self.calls.try_send((number, call)).is_err()
        {
            log::warn!("a call was not made: too many wait");
        }
    }

    /// `None`: the model has ended.
    fn tell(&self, events: Vec<NetEvent>) -> Option<()> {
        self.incoming.send(Incoming::Events(events)).ok()
    }
}

/// Collects the session's events, on its receive thread.
struct Events {
    waiting: Vec<NetEvent>,
    incoming: Sender<Incoming>,
    inlet: Arc<OnceLock<Inlet>>,
    /// The last round-trip time that was passed on.
    lag: Option<Duration>,
}

impl Events {
    /// Breaks when the model has ended.
    fn take(&mut self, event: Event<'_>) -> ControlFlow<()> {
        // These are followed by a pause, when there is nothing more to read.
        let is_collected = matches!(
            event,
            Event::Joined(_)
                | Event::State(_)
                | Event::Message(_)
                | Event::Changed { .. }
                | Event::Unknown { .. }
                | Event::CaughtUp { .. }
                | Event::Gap { .. }
                | Event::Presence { .. }
                | Event::Stored { .. }
        );
        if matches!(event, Event::Pause) {
            let lag = self.inlet.get().and_then(Inlet::round_trip);
            if let Some(time) = lag.filter(|_| lag != self.lag) {
                self.lag = lag;
                self.waiting.push(NetEvent::RoundTrip(time));
            }
        }
        self.waiting.extend(owned(event));
        if (is_collected && self.waiting.len() < EVENTS_MAX) || self.waiting.is_empty() {
            return ControlFlow::Continue(());
        }
        let events = std::mem::take(&mut self.waiting);
        match self.incoming.send(Incoming::Events(events)) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    }
}

fn owned(event: Event<'_>) -> Option<NetEvent> {
    Some(match event {
        Event::Joined(joined) => NetEvent::Joined { room: joined.room.clone(), state: state(&joined), again: false },
        Event::State(joined) => NetEvent::Joined { room: joined.room.clone(), state: state(&joined), again: true },
        Event::Message(message) => {
            NetEvent::Message { room: message.room.clone(), own: message.own, message: Box::new(message.to_stored()) }
        }
        Event::Changed { room, seq, time_ms, change } => {
            NetEvent::Changed { room: room.clone(), seq, time_ms, change: Box::new(change.clone()) }
        }
        Event::Unknown { room, seq, .. } => NetEvent::Unknown { room: room.clone(), seq },
        Event::CaughtUp { room, head_seq } => NetEvent::CaughtUp { room: room.clone(), head_seq },
        Event::Left { room } => NetEvent::Left { room: room.clone() },
        Event::NotJoined { room, reason } => NetEvent::NotJoined { room: room.clone(), reason: reason.to_owned() },
        Event::Gap { room, gap } => NetEvent::Gap { room: room.clone(), gap },
        Event::Presence { room, name, authenticated, client_id, joined } => {
            NetEvent::Presence { room: room.clone(), name: name.to_owned(), authenticated, client_id, joined }
        }
        Event::Stored { room, id, seq } => NetEvent::Stored { room: room.clone(), id, seq },
        Event::Rejected { line, reason } => NetEvent::Rejected { line: Box::new(line), reason: reason.to_owned() },
        Event::Held { reason, pause } => NetEvent::Held { reason: reason.to_owned(), pause },
        Event::Disconnected { reason, .. } => NetEvent::Disconnected { reason },
        Event::Retrying { reason, pause } => NetEvent::Retrying { reason: reason.to_owned(), pause },
        Event::Reconnected => NetEvent::Connected { fresh: false },
        Event::Pause | Event::Waiting { .. } => return None,
    })
}

fn state(joined: &RoomJoined<'_>) -> JoinedState {
    JoinedState {
        time_ms: joined.time_ms,
        epoch: joined.epoch,
        head_seq: joined.head_seq,
        oldest_seq: joined.oldest_seq,
        members: joined.members,
        topic: joined.topic.to_owned(),
        pinned_seqs: joined.pinned_seqs.to_vec(),
    }
}

/// The thread of the calls. Ends when `network` has.
fn make_calls(server: &Server, by: &UserName, waiting: &Receiver<(u64, Call)>, answers: &Sender<Incoming>) {
    let mut caller = None;
    for (number, call) in waiting {
        let answer = make(server, by, &mut caller, call);
        if answers.send(Incoming::Answer(number, answer)).is_err() {
            return;
        }
    }
}

fn make(server: &Server, by: &UserName, open: &mut Option<Caller>, call: Call) -> Answer {
    let caller = match open.take().map_or_else(|| server.clone().caller(), Ok) {
        Ok(caller) => open.insert(caller),
        Err(error) => return call.failed(error.to_string()),
    };
    let words = |error: CallError| error.to_string();
    match call {
        Call::History { room, place, max } => Answer::History(caller.messages(&room, place, max).map_err(words)),
        Call::Members { room } => Answer::Members(all(|token| caller.members(&room, token)).map_err(words)),
        Call::Rooms => Answer::Rooms(all(|token| caller.rooms(token)).map_err(words)),
        Call::Search { query, max, page_token } => {
            let words = |error| match error {
                CallError::Unknown => "this server has no search: its operator can switch it on".to_owned(),
                error => words(error),
            };
            Answer::Search(caller.search(&query, max, &page_token).map_err(words))
        }
        Call::Edit { room, seq, epoch, body, mentions, seen } => {
            let (message, text) =
                (MessagePlace { room: &room, by, seq, epoch }, NewText { body: &body, mentions: &mentions, seen });
            Answer::Changed(caller.edit(message, text).map_err(words))
        }
        Call::Delete { room, seq, epoch } => {
            Answer::Changed(caller.delete(MessagePlace { room: &room, by, seq, epoch }).map_err(words))
        }
        Call::React { room, seq, epoch, emoji, removed } => {
            let message = MessagePlace { room: &room, by, seq, epoch };
            Answer::Changed(caller.react(message, &emoji, removed).map_err(words))
        }
        Call::Pin { room, seq, epoch, removed } => {
            Answer::Changed(caller.pin(MessagePlace { room: &room, by, seq, epoch }, removed).map_err(words))
        }
        Call::SetTopic { room, topic } => Answer::Changed(caller.set_topic(&room, by, &topic).map_err(words)),
    }
}

/// All pages of a listing, up to [`LISTED_MAX`] entries.
fn all<T>(read: impl FnMut(&str) -> Result<(Vec<T>, String), CallError>) -> Result<Vec<T>, CallError> {
    let mut listed = Vec::new();
    each_page(read, |page| {
        listed.extend(page.into_iter().take(LISTED_MAX - listed.len()));
        Ok(())
    })?;
    Ok(listed)
}
