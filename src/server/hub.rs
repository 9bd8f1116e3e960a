//! The state that all streams of a server share, and the life cycle of a stream: admitted, begun, ended.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;

use super::append_queue::{Lane, Lanes};
use super::auth::authenticator::Authenticator;
use super::auth::credentials::Credentials;
use super::auth::stream_login::{LoginCell, StreamLogin};
use super::clients::{Client, Clients};
use super::counter::WordCounters;
use super::deadlines::Deadlines;
use super::delivery::close::CloseReason;
use super::delivery::fanout::Fanout;
use super::delivery::output::{FrameSink, Reader};
use super::delivery::record::{self, SessionRecord};
use super::delivery::stream_writer::StreamWriter;
use super::gauges::{Gauges, Resource};
use super::log::{Log, LogError};
use super::network::Exempt;
use super::peer::{Peer, Transport};
use super::quotas::{AddressLimits, Quotas, Seat, Use};
use super::refusals::{Limit, Refusals, Shortage};
use super::room::Rooms;
use super::search::Search;
use super::session::receive::{Conversation, Stopper};
use super::session::rejections::Rejections;
use super::stream_end::{Ends, StreamEnd};
use super::trim::Trimmer;
use crate::limits::LOGIN_SHARE;
use crate::names::{RoomName, Seq};
use crate::threads::{OnDemand, Spawner};

pub struct Hub {
    pub clients: Arc<Clients>,
    pub rooms: Arc<Rooms>,
    pub fanout: Arc<Fanout>,
    pub log: Arc<dyn Log>,
    pub authenticator: Arc<Authenticator>,
    /// `None` if search is switched off.
    pub search: Option<Arc<Search>>,
    /// How many commands of streams were rejected.
    pub rejections: Arc<Rejections>,
    /// How many clients were refused before their session began, by the reason.
    pub refused: WordCounters,
    admissions: Admissions,
    ends: Arc<Ends>,
    // lock order: 1. `None` once a drain has started: nothing more is accepted.
    lanes: Mutex<Option<Lanes>>,
}

/// How a client comes.
#[derive(Clone, Copy)]
pub enum Entrance<'a> {
    /// Its contract has a login, for which the call presents this. It may take the place of a client that is silent.
    Login(&'a Credentials),
    /// Its contract has no login.
    Guest,
}

/// The transport's kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Face {
    Grpc,
    Http,
}

/// What decides whether a client is admitted.
pub struct Admissions {
    pub authenticator: Arc<Authenticator>,
    /// Whether TCP addresses of gRPC speak TLS.
    pub has_tls: bool,
    pub clients_max: usize,
    pub quotas: Quotas,
    // lock order: 3 (a leaf, held to look at an address)
    pub exempt: Mutex<Exempt>,
    pub refusals: Arc<Refusals>,
    pub gauges: Arc<Gauges>,
}

/// The reasons for which a client is not admitted, as metrics name them.
pub const REFUSAL_WORDS: &[&str] = &["draining", "login", "no_guests", "address_full", "full"];

/// A stream, as passed by the transport.
pub struct Stream {
    pub sink: Box<dyn FrameSink>,
    pub reader: Box<dyn Reader>,
    /// Takes the receive thread, which it starts when there is something to receive.
    pub start_receiving: Box<dyn FnOnce(Box<dyn OnDemand>)>,
    pub stop_receiving: Stopper,
    /// Whether another client may take its place while it is silent.
    pub may_be_displaced: bool,
    pub login: Arc<LoginCell>,
    /// The shard of the fan-out, which is that of the thread that drives the stream.
    pub shard: usize,
}

/// The resources for one more client: its record and number, and its place among the clients of its address.
pub struct Admission {
    number: u64,
    peer: Peer,
    record: SessionRecord,
    used: Option<Arc<Use>>,
    seat: Option<Seat>,
}

impl Hub {
    pub fn new(
        rooms: Arc<Rooms>,
        fanout: Arc<Fanout>,
        (log, search): (Arc<dyn Log>, Option<Arc<Search>>),
        admissions: Admissions,
        spawner: Spawner,
        deadlines: Deadlines,
        lanes: Lanes,
    ) -> Self {
        let clients: Arc<Clients> = Arc::default();
        let refusals = Arc::clone(&admissions.refusals);
        let authenticator = Arc::clone(&admissions.authenticator);
        let trimmer = Trimmer::new(deadlines.clone(), spawner.clone());
        let ends = Arc::new(Ends { clients: Arc::clone(&clients), spawner, deadlines, refusals, trimmer });
        let lanes = Mutex::new(Some(lanes));
        let (rejections, refused) = (Arc::default(), WordCounters::new(REFUSAL_WORDS));
        Self { clients, rooms, fanout, log, authenticator, search, rejections, refused, admissions, ends, lanes }
    }

    /// The login of a stream that presents this.
    pub fn login(&self, credentials: Credentials) -> StreamLogin {
        StreamLogin::new(Arc::clone(&self.authenticator), credentials, self.ends.deadlines.clone())
    }

    pub fn deadlines(&self) -> Deadlines {
        self.ends.deadlines.clone()
    }

    /// Ends the streams whose logins no longer hold.
    pub fn close_invalid_logins(&self) {
        self.clients.close_invalid(|principal| self.authenticator.is_valid(principal));
    }

    /// The peer that the transport names so.
    pub fn peer(&self, name: String) -> Peer {
        Peer::new(name, &self.admissions.exempt.lock())
    }

    /// Sets the limits of addresses, and who is exempt from them. Clients stay what they were when they came.
    pub fn set_address_limits(&self, limits: &AddressLimits, exempt: Exempt) {
        self.admissions.quotas.set_limits(limits);
        let before = std::mem::replace(&mut *self.admissions.exempt.lock(), exempt);
        drop(before);
    }

    /// Admits one more client, on this connection as the transport names it, or returns why that is impossible.
    pub fn admit(&self, connection: String, face: Face, entrance: Entrance<'_>) -> Result<Admission, CloseReason> {
        let transport = match face {
            Face::Grpc => Transport::grpc(self.admissions.has_tls, &connection),
            Face::Http => Transport::Http,
        };
        let admission = self.find_place(&connection, transport, entrance);
        if let Err(reason) = &admission {
            self.refused.count(reason.word());
            record::refused(&connection, transport, reason);
            if matches!(reason, CloseReason::Full { .. }) {
                self.admissions.refusals.count(Shortage::Clients);
            }
        }
        admission
    }

    fn find_place(
        &self,
        connection: &str,
        transport: Transport,
        entrance: Entrance<'_>,
    ) -> Result<Admission, CloseReason> {
        let peer = self.peer(connection.to_owned());
        if self.lanes.lock().is_none() {
            return Err(CloseReason::Draining { until: Instant::now() });
        }
        let used = self.quota(&peer);
        let needs_login = self.authenticator.needs_login();
        let (displaces, clients_max) = match entrance {
            Entrance::Login(credentials) => {
                self.authenticator.precheck(credentials, used.as_deref()).map_err(CloseReason::Login)?;
                (true, self.admissions.clients_max)
            }
            Entrance::Guest if needs_login && !self.authenticator.allows_tutorial => return Err(CloseReason::NoGuests),
            Entrance::Guest if needs_login => {
                (false, self.admissions.clients_max - self.admissions.clients_max / LOGIN_SHARE)
            }
            Entrance::Guest => (false, self.admissions.clients_max),
        };
        let seat =
            used.as_ref().map(|used| used.seat().ok_or(CloseReason::AddressFull { clients_max: used.clients_max() }));
        let seat = seat.transpose()?;
        let count = self.clients.count();
        self.admissions.gauges.report(Resource::Clients, count + 1, self.admissions.clients_max);
        if count >= clients_max {
            let silent = if displaces { self.clients.silent(Instant::now()) } else { None };
            silent.ok_or(CloseReason::Full { clients_max })?.writer.close(CloseReason::Displaced);
        }
        let (id, number) = self.clients.next_id();
        let record = SessionRecord::new(id, connection, transport);
        Ok(Admission { number, peer, record, used, seat })
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

    /// Begins a session, whose threads start when they are needed. Never blocks. `conversation` creates its receiving side.
    pub fn begin<T: Conversation + 'static>(
        self: &Arc<Self>,
        admission: Admission,
        stream: Stream,
        conversation: impl FnOnce(Arc<StreamWriter>, Option<Arc<Use>>) -> T,
    ) {
        let Admission { number, peer, record, used, seat } = admission;
        let Stream { sink, reader, start_receiving, stop_receiving, may_be_displaced, login, shard } = stream;
        let silent_since = may_be_displaced.then(Instant::now);
        let writer = StreamWriter::new(record, sink, reader, self.fanout.sent(shard));
        let stopper = Arc::clone(&stop_receiving);
        self.clients.insert(Client { writer: Arc::clone(&writer), stop_receiving: stopper, silent_since, login });
        let end = StreamEnd::new(Arc::clone(&self.ends), Arc::clone(&writer), number, seat);
        let conversation = Box::new(conversation(Arc::clone(&writer), used));
        // After the insertion: either a drain finds the client in the map, or the client finds that a drain has
        // started.
        match self.open_lane(peer.source().map(|_| peer)) {
            Some(lane) => start_receiving(Arc::clone(&end).receive_side(conversation, lane)),
            None => {
                end.stopped_receiving(conversation);
                writer.close(CloseReason::Draining { until: Instant::now() });
            }
        }
        writer.begin(end.send_side(stop_receiving));
    }

    /// Stops accepting clients and posts. Accepted posts still go to the log writer, which ends after them.
    pub fn stop_accepting(&self) {
        let lanes = self.lanes.lock().take();
        drop(lanes);
        self.clients.stop_receiving();
    }
}
