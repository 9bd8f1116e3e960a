//! A client of a run: follows the room and posts, until it is told to stop.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::connection::{Connection, Credentials, Ender, HttpError};
use crate::address::Address;
use crate::client::{Backoff, Event, Line, RoomReader, SessionError, StartAt, StreamError, Unsure};
use crate::names::{RoomName, UserName};
use crate::threads::spawn;
use crate::wire::v1;

/// What a client does.
pub struct Settings {
    pub server: Address,
    pub credentials: Credentials,
    pub room: RoomName,
    pub name: UserName,
    /// How long it may have no connection; zero for the first one of a run.
    pub connect_within: Duration,
    pub outage_max: Duration,
    /// Whether it posts.
    pub posts: bool,
}

/// A running client.
pub struct HttpSession {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// The input of a client.
#[derive(Clone)]
pub struct HttpInlet {
    shared: Arc<Shared>,
}

struct Shared {
    // lock order: 1
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    posts: VecDeque<Line>,
    /// A post is in flight.
    is_posting: bool,
    finished: bool,
    /// It has ended, with this error if it failed.
    ended: bool,
    error: Option<SessionError>,
    /// End the connections of the two threads.
    enders: [Option<Ender>; 2],
}

/// The numbers of the threads' connections.
const FOLLOW: usize = 0;
const POST: usize = 1;

impl HttpSession {
    /// Connects and starts.
    pub fn start(
        settings: Settings,
        on_event: impl FnMut(Event<'_>) -> ControlFlow<()> + Send + 'static,
    ) -> Result<Self, SessionError> {
        let shared = Arc::new(Shared { state: Mutex::default(), changed: Condvar::new() });
        let settings = Arc::new(settings);
        // Shared by both threads, of which one learns what is stored.
        let handler = Arc::new(Mutex::new(on_event));
        let mut session = Self { shared: Arc::clone(&shared), threads: Vec::new() };
        let follower =
            Client { shared: Arc::clone(&shared), settings: Arc::clone(&settings), handler: Arc::clone(&handler) };
        let mut first = follower.connect(FOLLOW, settings.connect_within)?;
        if settings.connect_within.is_zero() {
            let refused = |error: HttpError| StreamError::Refused(format!("{}: {error}", settings.server));
            first.check().map_err(refused)?;
        }
        session.threads.push(spawn("follow", move || follower.follow(first))?);
        if settings.posts {
            let poster = Client { shared, settings, handler };
            session.threads.push(spawn("http-post", move || poster.post())?);
        }
        Ok(session)
    }

    pub fn inlet(&self) -> HttpInlet {
        HttpInlet { shared: Arc::clone(&self.shared) }
    }

    /// Waits for its end.
    pub fn wait(mut self) -> Result<(), SessionError> {
        self.join();
        self.shared.state.lock().error.take().map_or(Ok(()), Err)
    }

    fn join(&mut self) {
        for thread in self.threads.drain(..) {
            // A panic has been reported already.
            let _ = thread.join();
        }
    }
}

impl Drop for HttpSession {
    fn drop(&mut self) {
        if !self.threads.is_empty() {
            self.shared.end(None);
            self.join();
        }
    }
}

impl HttpInlet {
    /// Posts a line, once there is space for it.
    pub fn post(&self, line: Line, posts_max: usize) -> Result<(), SessionError> {
        let mut state = self.shared.state.lock();
        while !state.ended && state.posts.len() >= posts_max {
            self.shared.changed.wait(&mut state);
        }
        if state.ended || state.finished {
            return Err(SessionError::Ended);
        }
        state.posts.push_back(line);
        self.shared.changed.notify_all();
        Ok(())
    }

    /// Ends the client once everything is posted.
    pub fn finish(&self) {
        self.shared.state.lock().finished = true;
        self.shared.end_if_done();
    }

    /// Ends the client at once.
    pub fn stop(&self) {
        self.shared.end(None);
    }
}

impl Shared {
    /// The first error is kept.
    fn end(&self, error: Option<SessionError>) {
        let mut state = self.state.lock();
        if !state.ended {
            state.ended = true;
            state.error = error;
        }
        state.enders.iter().flatten().for_each(Ender::end);
        self.changed.notify_all();
    }

    fn end_if_done(&self) {
        let state = self.state.lock();
        let is_done = state.finished && state.posts.is_empty() && !state.is_posting;
        drop(state);
        if is_done {
            self.end(None);
        }
    }

    fn has_ended(&self) -> bool {
        self.state.lock().ended
    }

    /// Waits, at most until the end.
    fn pause(&self, time: Duration) {
        let until = Instant::now() + time;
        let mut state = self.state.lock();
        while !state.ended && !self.changed.wait_until(&mut state, until).timed_out() {}
    }
}

/// What each of the two threads has.
struct Client<H> {
    shared: Arc<Shared>,
    settings: Arc<Settings>,
    handler: Arc<Mutex<H>>,
}

impl<H: FnMut(Event<'_>) -> ControlFlow<()>> Client<H> {
    /// Connects, for at most that long.
    fn connect(&self, thread: usize, within: Duration) -> Result<Connection, SessionError> {
        let (began, mut backoff) = (Instant::now(), Backoff::default());
        loop {
            let failed = match self.connect_once(thread) {
                Ok(connection) => return Ok(connection),
                Err(_) if self.shared.has_ended() => return Err(SessionError::Ended),
                Err(error) => error,
            };
            if within.is_zero() {
                let server = &self.settings.server;
                let text = format!(
                    "can't connect to {server} ({failed}): start the server, or give the address of its --http"
                );
                return Err(StreamError::Lost(text).into());
            }
            let outage = began.elapsed();
            if outage >= within || !failed.is_temporary() {
                let unsure = Unsure::Stored(self.shared.state.lock().posts.len() as u64);
                let reason = format!("{}: {failed}", self.settings.server);
                return Err(SessionError::Outage {
                    outage: Duration::from_millis(outage.as_millis() as u64),
                    reason,
                    unsure,
                });
            }
            self.shared.pause(backoff.pause());
        }
    }

    fn connect_once(&self, thread: usize) -> Result<Connection, HttpError> {
        let connection = Connection::open(&self.settings.server, &self.settings.credentials)?;
        let ender = connection.ender()?;
        let mut state = self.shared.state.lock();
        // It may have ended meanwhile; then the first use of the connection fails.
        if state.ended {
            ender.end();
        }
        state.enders[thread] = Some(ender);
        Ok(connection)
    }

    fn tell(&self, event: Event<'_>) {
        if (self.handler.lock())(event).is_break() {
            self.shared.end(None);
        }
    }

    /// Follows the room until the end, over as many connections as it takes.
    fn follow(self, first: Connection) {
        let Settings { room, name, outage_max, .. } = &*self.settings;
        let mut reader = RoomReader::new(room.clone(), StartAt::Head);
        let mut connection = Some(first);
        while !self.shared.has_ended() {
            let opened = connection.take().map_or_else(|| self.connect(FOLLOW, *outage_max), Ok);
            let opened = match opened {
                Ok(opened) => opened,
                Err(error) => return self.shared.end(Some(error)),
            };
            let hello = v1::Hello { name: name.as_str().to_owned(), ..Default::default() };
            let request =
                v1::FollowRequest { hello: Some(hello).into(), rooms: vec![reader.join()], ..Default::default() };
            let error = self.read(opened, &request, &mut reader);
            reader.disconnected();
            if self.shared.has_ended() {
                return;
            }
            if !error.is_temporary() {
                return self.shared.end(Some(StreamError::Refused(error.to_string()).into()));
            }
            self.tell(Event::Disconnected { reason: error.to_string(), fault: false, kept: 0 });
            self.shared.pause(RECONNECT_PAUSE);
        }
    }

    /// Reads a stream until it ends.
    fn read(&self, connection: Connection, request: &v1::FollowRequest, reader: &mut RoomReader) -> HttpError {
        let mut stream = match connection.follow(request) {
            Ok(stream) => stream,
            Err(error) => return error,
        };
        loop {
            let message = match stream.next() {
                Ok(message) => message,
                Err(error) => return error,
            };
            let read = reader.read(&message, &mut *self.handler.lock());
            match read {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(())) => self.shared.end(None),
                Err(error) => {
                    log::error!("{error}");
                    return HttpError::Protocol("a response violates the contract");
                }
            }
        }
    }

    /// Posts what waits, each until it is stored or refused.
    fn post(self) {
        let mut connection = None;
        while let Some(line) = self.next_post() {
            if let Err(error) = self.store(line, &mut connection) {
                return self.shared.end(Some(error));
            }
            self.shared.state.lock().is_posting = false;
            self.shared.changed.notify_all();
            self.shared.end_if_done();
        }
    }

    fn next_post(&self) -> Option<Line> {
        let mut state = self.shared.state.lock();
        loop {
            if state.ended {
                return None;
            }
            if let Some(line) = state.posts.pop_front() {
                state.is_posting = true;
                return Some(line);
            }
            self.shared.changed.wait(&mut state);
        }
    }

    /// Posts a line, again if it may succeed later: its id keeps it from being stored twice.
    fn store(&self, line: Line, connection: &mut Option<Connection>) -> Result<(), SessionError> {
        let Settings { room, name, outage_max, .. } = &*self.settings;
        let request = v1::PostMessageRequest {
            room: room.as_str().to_owned(),
            sender: name.as_str().to_owned(),
            message_id: line.id.as_bytes().to_vec(),
            body: line.body.as_str().to_owned(),
            ..Default::default()
        };
        loop {
            let mut open = match connection.take() {
                Some(open) => open,
                None => self.connect(POST, *outage_max)?,
            };
            let posted: Result<v1::PostMessageResponse, _> = open.call("PostMessage", &request);
            match posted {
                Ok(posted) => {
                    *connection = Some(open);
                    self.tell(Event::Stored { room, id: line.id, seq: posted.seq });
                    return Ok(());
                }
                Err(_) if self.shared.has_ended() => return Err(SessionError::Ended),
                Err(error) if error.is_temporary() => {
                    log::info!("a post is repeated: {error}");
                    self.shared.pause(RECONNECT_PAUSE);
                }
                Err(error) => {
                    *connection = Some(open);
                    self.tell(Event::Rejected { line, reason: &error.to_string() });
                    return Ok(());
                }
            }
        }
    }
}

/// The pause before another attempt.
const RECONNECT_PAUSE: Duration = Duration::from_millis(100);
