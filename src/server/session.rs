//! A session: the server's side of one stream.
//!
//! Two threads serve it. The receive thread takes what the client sends and hands posts to the log writer ([`receive`];
//! for each contract in its own way, [`tutorial`] and [`chat`]). The send thread ([`send`]) owns all that may block on the
//! way out: it reads the log for a cursor that lags, and ends the stream. What need not block does not wait for it:
//! whoever learns that there is something to write (the fan-out, of a commit; the transport, of the end of a write) takes
//! the session's [`baton`] and drives the [`outlet`] on the spot.
//!
//! | call | by whoever | does |
//! | --- | --- | --- |
//! | `look_again`, `wake`, `close` | has a reason to look | takes the baton, and with it drives |
//! | `drive` | got the baton | pumps, and gives the baton back, or on to the send thread |
//! | `pump` | holds the baton | writes what can be written without waiting |
//! | `turn` | is the send thread, with the baton | reads the log or ends the stream where needed, and pumps |

pub mod baton;
pub mod close;
pub mod outlet;
pub mod receive;
pub mod send;
pub mod tutorial;
pub mod chat;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Wake;

use parking_lot::{Condvar, Mutex};

use self::baton::Baton;
use self::close::{CloseReason, Closing};
use self::outlet::{FrameSink, Outlet, Pumped, Reader};
use crate::names::ClientId;

/// How many frames a thread that is not the session's own writes before it leaves the rest to the send thread.
const BORROWED_FRAMES_MAX: usize = 16;

/// What all threads that deal with one stream share.
pub struct Session {
    id: ClientId,
    baton: Baton,
    // Invariant: only the holder of the baton locks it, so nobody ever waits for this lock. `None` after the end.
    outlet: Mutex<Option<Outlet>>,
    closing: Closing,
    /// Whether the transport has called since the sink was last asked how it is.
    transport_called: AtomicBool,
    /// Where the send thread gets the baton.
    turn: Turn,
}

/// The baton, on its way to the send thread. A queue's wait would look for it many times before it rests.
#[derive(Default)]
struct Turn {
    // lock order: 3 (a leaf)
    given: Mutex<bool>,
    changed: Condvar,
}

impl Turn {
    fn give(&self) {
        *self.given.lock() = true;
        self.changed.notify_one();
    }

    /// Waits until it is given.
    fn take(&self) {
        let mut given = self.given.lock();
        while !std::mem::take(&mut *given) {
            self.changed.wait(&mut given);
        }
    }
}

impl Session {
    /// A session whose baton is held: by the send thread, which begins with a turn of its own.
    pub fn new(id: ClientId, sink: Box<dyn FrameSink>, reader: Box<dyn Reader>) -> Arc<Self> {
        let outlet = Mutex::new(Some(Outlet::new(sink, reader)));
        let session = Self {
            id,
            baton: Baton::held(),
            outlet,
            closing: Closing::default(),
            transport_called: AtomicBool::new(false),
            turn: Turn::default(),
        };
        Arc::new(session)
    }

    pub fn id(&self) -> ClientId {
        self.id
    }

    /// There is something new for the reader.
    pub fn look_again(self: &Arc<Self>) {
        if self.baton.published() {
            self.drive();
        }
    }

    /// Asks the session to end. The first reason stands; the send thread carries it out.
    pub fn close(self: &Arc<Self>, reason: CloseReason) {
        self.closing.set(reason);
        if self.baton.woken() {
            self.drive();
        }
    }

    /// Lets go of the stream, where its send thread has not ended it: the outlet refers to the session that it is part of.
    pub fn abandon(&self) {
        if let Some(mut outlet) = self.outlet.try_lock() {
            drop(outlet.take());
        }
    }

    /// Writes what there is to write without blocking. The caller holds the baton, and gives it away with this call.
    fn drive(self: &Arc<Self>) {
        if self.pump(BORROWED_FRAMES_MAX) == Pumped::NeedsSendThread {
            self.turn.give();
        }
    }

    /// Writes up to `frames_max` frames. With any result but `NeedsSendThread` the baton is given back.
    fn pump(self: &Arc<Self>, frames_max: usize) -> Pumped {
        loop {
            let pumped = {
                let mut outlet = self.outlet.try_lock().expect("only the baton's holder locks the outlet");
                // Invariant: the outlet is taken out only by the send thread, which then keeps the baton for good.
                let outlet = outlet.as_mut().expect("the baton goes round only while there is an outlet");
                outlet.pump(self, frames_max)
            };
            let given_back = match pumped {
                Pumped::AtHead => self.baton.rest(),
                Pumped::Writing => self.baton.rest_writing(),
                Pumped::NeedsSendThread => return pumped,
            };
            if given_back {
                return pumped;
            }
        }
    }
}

/// The transport wakes a session when a write is done or the call has ended.
impl Wake for Session {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.transport_called.store(true, Ordering::Release);
        if self.baton.woken() {
            self.drive();
        }
    }
}
