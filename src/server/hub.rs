//! What all streams of a server share, and the life of one: admitted, begun, ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use crossbeam_channel::Sender;
use parking_lot::Mutex;

use super::clients::{Client, Clients};
use super::log::Post;
use super::room::followers::Membership;
use super::room::{Room, Rooms};
use super::session::close::CloseReason;
use super::session::outlet::FrameSink;
use super::session::receive::{self, Source};
use super::session::{Session, send};
use crate::names::{ClientId, RoomName};
use crate::threads::{self, Prepared, Spawner};

pub struct Hub {
    pub clients: Clients,
    rooms: Arc<Rooms>,
    clients_max: usize,
    /// How many streams were refused since that was last logged.
    refused: AtomicU64,
    spawner: Spawner,
    // lock order: 1. `None` once a drain has begun: nothing more is accepted.
    posts: Mutex<Option<Sender<Post>>>,
}

/// A stream as the transport hands it over.
pub struct Stream {
    pub sink: Box<dyn FrameSink>,
    pub source: Box<dyn Source>,
    /// Which poller serves it.
    pub poller: usize,
}

/// What reads from a stream: a thread that gives the stream's source back, or none.
enum Receiving {
    Thread(JoinHandle<Option<Box<dyn Source>>>),
    NotStarted(Box<dyn Source>),
}

/// Room for one more client: its id, and its send thread.
pub struct Seat {
    id: ClientId,
    send_thread: Prepared<(), ()>,
}

impl Hub {
    pub fn new(rooms: Arc<Rooms>, clients_max: usize, spawner: Spawner, posts: Sender<Post>) -> Self {
        let (clients, refused) = (Clients::default(), AtomicU64::new(0));
        Self { clients, rooms, clients_max, refused, spawner, posts: Mutex::new(Some(posts)) }
    }

    /// Finds room for one more client, or says why there is none.
    pub fn admit(&self) -> Result<Seat, CloseReason> {
        let seat = self.find_seat();
        if seat.is_err() {
            // On a poller nothing is logged: standard error may block.
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        seat
    }

    fn find_seat(&self) -> Result<Seat, CloseReason> {
        if self.posts.lock().is_none() {
            return Err(CloseReason::Draining { until: Instant::now() });
        }
        if self.clients.count() >= self.clients_max {
            return Err(CloseReason::Full { clients_max: self.clients_max });
        }
        let id = self.clients.next_id();
        let send_thread = self.spawner.prepare(id.0, &format!("send-{id}"));
        Ok(Seat { id, send_thread: send_thread.map_err(|error| CloseReason::NoThread(error.to_string()))? })
    }

    /// Begins a session that follows the room from now on. Returns at once; the session's threads take it from here.
    pub fn begin(self: &Arc<Self>, seat: Seat, room: &RoomName, stream: Stream) {
        let Seat { id, send_thread } = seat;
        let Stream { sink, source, poller } = stream;
        let room = self.rooms.open(room);
        let (session, turns) = Session::new(id, sink, room.cursor_at_head(id));
        let client = Client { session: Arc::clone(&session), stop_receiving: source.stopper() };
        let stop_receiving = Arc::clone(&client.stop_receiving);
        self.clients.insert(client);
        // After the insertion: either a drain finds the client in the map, or the client finds that one has begun.
        let posts = self.posts.lock().clone();
        let membership = room.follow(poller, Arc::clone(&session) as _);

        let hub = Arc::clone(self);
        send_thread.run(move || {
            // Dropped last, and after a panic too.
            let leaving = Leaving { hub, session, room, poller, membership: Some(membership) };
            let receiving = leaving.hub.start_receiving(&leaving.session, &leaving.room, source, posts);
            send::run(&leaving.session, &turns);
            stop_receiving();
            receiving.end();
            leaving.hub.log_refusals();
        });
    }

    /// Stops accepting: neither clients nor posts. What was accepted goes on to the log writer, which ends after it.
    pub fn stop_accepting(&self) {
        let posts = self.posts.lock().take();
        drop(posts);
        self.clients.stop_receiving();
    }

    /// Logs how many streams were refused, if any, since this was last called.
    pub fn log_refusals(&self) {
        match self.refused.swap(0, Ordering::Relaxed) {
            0 => {}
            count => log::warn!("{count} streams were refused: the server is full, draining, or out of threads"),
        }
    }

    fn start_receiving(
        &self,
        session: &Arc<Session>,
        room: &Arc<Room>,
        source: Box<dyn Source>,
        posts: Option<Sender<Post>>,
    ) -> Receiving {
        let Some(posts) = posts else {
            session.close(CloseReason::Draining { until: Instant::now() });
            return Receiving::NotStarted(source);
        };
        match threads::prepare(&format!("recv-{}", session.id())) {
            Ok(thread) => {
                let (session, room) = (Arc::clone(session), room.name().clone());
                Receiving::Thread(thread.run(move || receive::run(source, &session, &room, &posts)))
            }
            Err(error) => {
                session.close(CloseReason::NoThread(error.to_string()));
                Receiving::NotStarted(source)
            }
        }
    }
}

impl Receiving {
    /// Waits for the receive thread, which has been stopped, and drops the source: what is left of the call ends.
    fn end(self) {
        match self {
            Self::Thread(thread) => drop(thread.join()),
            Self::NotStarted(source) => drop(source),
        }
    }
}

/// What a session leaves when it ends, so that nothing of its stream stays behind.
struct Leaving {
    hub: Arc<Hub>,
    session: Arc<Session>,
    room: Arc<Room>,
    poller: usize,
    membership: Option<Membership>,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        if let Some(membership) = self.membership.take() {
            self.room.unfollow(self.poller, membership);
        }
        self.session.abandon();
        self.hub.clients.remove(self.session.id());
    }
}
