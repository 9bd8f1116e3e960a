//! What all streams of a server share, and the life of one: admitted, begun, ended.

use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::Sender;
use parking_lot::Mutex;

use super::clients::{Client, Clients};
use super::log::Log;
use super::log::writer::Order;
use super::refusals::{Refusals, Shortage};
use super::room::Rooms;
use super::session::close::CloseReason;
use super::session::outlet::{FrameSink, Reader};
use super::session::receive::{Stop, Stopper, Talk};
use super::session::{Session, ToSend, send};
use crate::names::ClientId;
use crate::threads::{Prepared, Spawner};

pub struct Hub {
    pub clients: Clients,
    pub rooms: Arc<Rooms>,
    pub log: Arc<dyn Log>,
    clients_max: usize,
    refusals: Arc<Refusals>,
    spawner: Spawner,
    // lock order: 1. `None` once a drain has begun: nothing more is accepted.
    orders: Mutex<Option<Sender<Order>>>,
}

/// A stream as the transport hands it over.
pub struct Stream {
    pub sink: Box<dyn FrameSink>,
    pub reader: Box<dyn Reader>,
    pub stop_receiving: Stopper,
}

/// Room for one more client: its id, and its threads.
pub struct Seat {
    id: ClientId,
    receive_thread: Prepared,
    send_thread: Prepared,
}

impl Hub {
    pub fn new(
        rooms: Arc<Rooms>,
        log: Arc<dyn Log>,
        clients_max: usize,
        spawner: Spawner,
        orders: Sender<Order>,
        refusals: Arc<Refusals>,
    ) -> Self {
        let clients = Clients::default();
        Self { clients, rooms, log, clients_max, refusals, spawner, orders: Mutex::new(Some(orders)) }
    }

    /// Finds room for one more client, or says why there is none.
    pub fn admit(&self) -> Result<Seat, CloseReason> {
        let seat = self.find_seat();
        // On a poller nothing is logged: standard error may block.
        match seat {
            Err(CloseReason::Full { .. }) => self.refusals.note(Shortage::Clients),
            Err(CloseReason::NoThread(_)) => self.refusals.note(Shortage::Threads),
            _ => {}
        }
        seat
    }

    fn find_seat(&self) -> Result<Seat, CloseReason> {
        if self.orders().is_none() {
            return Err(CloseReason::Draining { until: Instant::now() });
        }
        if self.clients.count() >= self.clients_max {
            return Err(CloseReason::Full { clients_max: self.clients_max });
        }
        let (id, number) = self.clients.next_id();
        let thread = |name| self.spawner.prepare(name).map_err(|error| CloseReason::NoThread(error.to_string()));
        let receive_thread = thread(format!("recv-{number}"))?;
        Ok(Seat { id, receive_thread, send_thread: thread(format!("send-{number}"))? })
    }

    /// Where posts go; nowhere once a drain has begun.
    pub fn orders(&self) -> Option<Sender<Order>> {
        self.orders.lock().clone()
    }

    /// Begins a session. Never blocks; the session's threads take it from here. `talk` makes its receiving side.
    pub fn begin<T: Talk + 'static>(
        self: &Arc<Self>,
        seat: Seat,
        stream: Stream,
        talk: impl FnOnce(Arc<Session>) -> T,
    ) {
        let Seat { id, receive_thread, send_thread } = seat;
        let Stream { sink, reader, stop_receiving } = stream;
        let session = Session::new(id, sink, reader);
        let client = Client { session: Arc::clone(&session), stop_receiving: Arc::clone(&stop_receiving) };
        self.clients.insert(client);
        let leaving = Leaving { hub: Arc::clone(self), session: Arc::clone(&session), talk: Mutex::default() };
        let leaving = Arc::new(leaving);
        let mut talk = talk(Arc::clone(&session));
        // After the insertion: either a drain finds the client in the map, or the client finds that one has begun.
        match self.orders() {
            Some(orders) => {
                let leaving = Arc::clone(&leaving);
                receive_thread.run(move || {
                    talk.run(&orders);
                    // The log writer waits for the end of all of these; the talk itself lasts as long as the stream.
                    drop(orders);
                    leaving.talk.lock().replace(Box::new(talk));
                });
            }
            None => {
                leaving.talk.lock().replace(Box::new(talk));
                session.close(CloseReason::Draining { until: Instant::now() });
            }
        }
        session.begin(Box::new(SendSide { thread: send_thread, sending: Sending { leaving, stop_receiving } }));
    }

    /// Stops accepting: neither clients nor posts. What was accepted goes on to the log writer, which ends after it.
    pub fn stop_accepting(&self) {
        let orders = self.orders.lock().take();
        drop(orders);
        self.clients.stop_receiving();
    }
}

/// A send thread that has not begun, and what it will hold.
struct SendSide {
    thread: Prepared,
    sending: Sending,
}

impl ToSend for SendSide {
    fn begin(self: Box<Self>) {
        let Self { thread, sending } = *self;
        thread.run(move || {
            send::run(&sending.leaving.session);
            drop(sending);
        });
    }

    fn forgo(self: Box<Self>) {
        let Self { thread, sending } = *self;
        // Where the receive thread has ended already, clearing up is not for a poller: a talk may be in a thousand rooms.
        if sending.leaving.talk.lock().is_some() {
            thread.run(move || drop(sending));
        }
    }
}

/// What the send thread holds for as long as the stream goes on.
struct Sending {
    leaving: Arc<Leaving>,
    stop_receiving: Stopper,
}

impl Drop for Sending {
    fn drop(&mut self) {
        (self.stop_receiving)(Stop::AfterWhatCame);
    }
}

/// What a session leaves when both of its threads have ended, or have panicked, so that nothing of its stream stays behind.
struct Leaving {
    hub: Arc<Hub>,
    session: Arc<Session>,
    /// What has received from the stream, when it has ended.
    // lock order: 3 (a leaf)
    talk: Mutex<Option<Box<dyn Talk>>>,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        drop(self.talk.get_mut().take());
        self.session.abandon();
        self.hub.clients.remove(self.session.id());
    }
}
