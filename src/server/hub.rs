//! The state that all streams of a server share, and the life cycle of a stream: admitted, begun, ended.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;

use super::append_queue::{Lane, Lanes};
use super::clients::{Client, Clients};
use super::delivery::close::CloseReason;
use super::delivery::fanout::Fanout;
use super::delivery::output::{FrameSink, Reader};
use super::delivery::stream_writer::StreamWriter;
use super::gauges::{Gauges, Resource};
use super::log::{Log, LogError};
use super::network::Exempt;
use super::peer::Peer;
use super::quotas::{Quotas, Seat, Use};
use super::refusals::{Limit, Refusals, Shortage};
use super::room::Rooms;
use super::session::receive::{Conversation, Stopper};
use super::stream_end::StreamEnd;
use crate::names::{ClientId, RoomName, Seq};
use crate::threads::{Prepared, Spawner};

pub struct Hub {
    pub clients: Arc<Clients>,
    pub rooms: Arc<Rooms>,
    pub fanout: Arc<Fanout>,
    pub log: Arc<dyn Log>,
    admissions: Admissions,
    spawner: Spawner,
    // lock order: 1. `None` once a drain has started: nothing more is accepted.
    lanes: Mutex<Option<Lanes>>,
}

/// What decides whether a client is admitted.
pub struct Admissions {
    pub clients_max: usize,
    pub quotas: Quotas,
    pub exempt: Exempt,
    pub refusals: Arc<Refusals>,
    pub gauges: Arc<Gauges>,
}

/// A stream, as passed by the transport.
pub struct Stream {
    pub sink: Box<dyn FrameSink>,
    pub reader: Box<dyn Reader>,
    pub stop_receiving: Stopper,
}

/// The resources for one more client: its id, its place among the clients of its address, and its threads.
pub struct Admission {
    id: ClientId,
    peer: Peer,
    used: Option<Arc<Use>>,
    seat: Option<Seat>,
    receive_thread: Prepared,
    send_thread: Prepared,
}

impl Hub {
    pub fn new(
        rooms: Arc<Rooms>,
        fanout: Arc<Fanout>,
        log: Arc<dyn Log>,
        admissions: Admissions,
        spawner: Spawner,
        lanes: Lanes,
    ) -> Self {
        let clients = Arc::default();
        Self { clients, rooms, fanout, log, admissions, spawner, lanes: Mutex::new(Some(lanes)) }
    }

    /// The peer that the transport names so.
    pub fn peer(&self, name: String) -> Peer {
        Peer::new(name, &self.admissions.exempt)
    }

    /// Admits one more client, or returns why that is impossible.
    pub fn admit(&self, peer: Peer) -> Result<Admission, CloseReason> {
        let admission = self.find_place(peer);
        // Pollers do not log: standard error may block.
        match admission {
            Err(CloseReason::Full { .. }) => self.admissions.refusals.count(Shortage::Clients),
            Err(CloseReason::NoThread(_)) => self.admissions.refusals.count(Shortage::Threads),
            _ => {}
        }
        admission
    }

    fn find_place(&self, peer: Peer) -> Result<Admission, CloseReason> {
        if self.lanes.lock().is_none() {
            return Err(CloseReason::Draining { until: Instant::now() });
        }
        let count = self.clients.count();
        self.admissions.gauges.report(Resource::Clients, count + 1, self.admissions.clients_max);
        if count >= self.admissions.clients_max {
            return Err(CloseReason::Full { clients_max: self.admissions.clients_max });
        }
        let used = self.quota(&peer);
        let seat =
            used.as_ref().map(|used| used.seat().ok_or(CloseReason::AddressFull { clients_max: used.clients_max() }));
        let seat = seat.transpose()?;
        let (id, number) = self.clients.next_id();
        let thread = |name| self.spawner.prepare(name).map_err(|error| CloseReason::NoThread(error.to_string()));
        let receive_thread = thread(format!("recv-{number}"))?;
        Ok(Admission { id, peer, used, seat, receive_thread, send_thread: thread(format!("send-{number}"))? })
    }

    /// What the peer's address has taken; `None` if it is exempt.
    pub fn quota(&self, peer: &Peer) -> Option<Arc<Use>> {
        peer.source().map(|source| self.admissions.quotas.of(source))
    }

    /// Counts a client that exceeded a limit. Does not block.
    pub fn refuse(&self, limit: Limit, peer: &Peer) {
        self.admissions.refusals.exceeded(limit, peer.source());
    }

    /// Whether the room has messages. May read the log.
    pub fn is_stored(&self, name: &RoomName) -> Result<bool, LogError> {
        let is_open = self.rooms.get(name).is_some_and(|room| room.head() > Seq::ZERO);
        Ok(is_open || self.log.find(name)?.is_some())
    }

    /// A lane of the append queue; `None` once a drain has started.
    pub fn open_lane(&self, peer: Option<Peer>) -> Option<Lane> {
        self.lanes.lock().as_ref().map(|lanes| lanes.open(peer))
    }

    /// Begins a session and hands it to its threads. Never blocks. `conversation` creates its receiving side.
    pub fn begin<T: Conversation + 'static>(
        self: &Arc<Self>,
        admission: Admission,
        stream: Stream,
        conversation: impl FnOnce(Arc<StreamWriter>, Option<Arc<Use>>) -> T,
    ) {
        let Admission { id, peer, used, seat, receive_thread, send_thread } = admission;
        let Stream { sink, reader, stop_receiving } = stream;
        let writer = StreamWriter::new(id, sink, reader);
        let client = Client { writer: Arc::clone(&writer), stop_receiving: Arc::clone(&stop_receiving) };
        self.clients.insert(client);
        let end = StreamEnd::new(Arc::clone(&self.clients), Arc::clone(&writer), seat);
        let mut conversation = conversation(Arc::clone(&writer), used);
        // After the insertion: either a drain finds the client in the map, or the client finds that a drain has
        // started.
        match self.open_lane(peer.source().map(|_| peer)) {
            Some(lane) => {
                let end = Arc::clone(&end);
                receive_thread.run(move || {
                    conversation.run(&lane);
                    // The log writer waits for the end of all lanes; the conversation itself lasts as long as the
                    // stream.
                    drop(lane);
                    end.stopped_receiving(Box::new(conversation));
                });
            }
            None => {
                end.stopped_receiving(Box::new(conversation));
                writer.close(CloseReason::Draining { until: Instant::now() });
            }
        }
        writer.begin(end.send_side(send_thread, stop_receiving));
    }

    /// Stops accepting clients and posts. Accepted posts still go to the log writer, which ends after them.
    pub fn stop_accepting(&self) {
        let lanes = self.lanes.lock().take();
        drop(lanes);
        self.clients.stop_receiving();
    }
}
