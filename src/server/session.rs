//! A session: the server's side of one stream.
//!
//! Two threads serve it. The receive thread takes what the client sends and hands posts to the log writer ([`receive`];
//! for each contract in its own way, [`tutorial`] and [`chat`]). The send thread ([`send`]) owns all that may block on the
//! way out: it reads the log for a cursor that lags, and ends the stream, where the client has not. What need not block
//! does not wait for it: whoever learns that there is something to write (the fan-out, of a commit; the transport, of the
//! end of a write) takes the session's [`baton`] and drives the [`outlet`] on the spot.
//!
//! | call | by whoever | does |
//! | --- | --- | --- |
//! | `look_again`, `wake`, `close` | has a reason to look | takes the baton, and with it drives |
//! | `drive` | got the baton | pumps, and gives the baton back, or on to the send thread |
//! | `end` | found with the baton that the call is over | lets go of the stream, or leaves that to a send thread that has begun |
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
use self::outlet::{FrameSink, Gone, Outlet, Pumped, Reader};
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

/// A send thread that has not begun. Either happens, once.
pub trait ToSend: Send {
    /// Has the thread [run](send::run). Never blocks.
    fn begin(self: Box<Self>);

    /// The stream is over, and lets go of all that the thread would have held. Never blocks.
    fn forgo(self: Box<Self>);
}

/// The baton, on its way to the send thread. A queue's wait would look for it many times before it rests.
#[derive(Default)]
struct Turn {
    // lock order: 3 (a leaf)
    state: Mutex<TurnState>,
    changed: Condvar,
}

#[derive(Default)]
struct TurnState {
    given: bool,
    /// There until the send thread has something to do for the first time, if it ever has.
    to_send: Option<Box<dyn ToSend>>,
}

impl Turn {
    fn give(&self) {
        let to_send = {
            let mut state = self.state.lock();
            state.given = true;
            state.to_send.take()
        };
        match to_send {
            Some(to_send) => to_send.begin(),
            None => drop(self.changed.notify_one()),
        }
    }

    /// Waits until it is given.
    fn take(&self) {
        let mut state = self.state.lock();
        while !std::mem::take(&mut state.given) {
            self.changed.wait(&mut state);
        }
    }
}

impl Session {
    /// A session whose baton is held by the caller, who has it [begin](Self::begin).
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

    /// Writes what there is to write, and has the session woken from now on, when the call ends too. `to_send`
    /// begins when there is something to do that blocks. Never blocks itself.
    pub fn begin(self: &Arc<Self>, to_send: Box<dyn ToSend>) {
        self.turn.state.lock().to_send = Some(to_send);
        let watched = self.with_outlet(|outlet| outlet.watch(self));
        if watched == Err(Gone) {
            self.closing.set(CloseReason::ClientLeft);
        }
        self.drive();
    }

    /// There is something new for the reader.
    pub fn look_again(self: &Arc<Self>) {
        if self.baton.published() {
            self.drive();
        }
    }

    /// Asks the session to end. The first reason stands.
    pub fn close(self: &Arc<Self>, reason: CloseReason) {
        self.closing.set(reason);
        if self.baton.woken() {
            self.drive();
        }
    }

    /// Lets go of the stream, where its send thread has not ended it: the outlet refers to the session that it is part of.
    pub fn abandon(&self) {
        let outlet = self.outlet.try_lock().and_then(|mut outlet| outlet.take());
        drop(outlet);
    }

    /// For the baton's holder.
    fn with_outlet<T>(&self, act: impl FnOnce(&mut Outlet) -> T) -> T {
        let mut outlet = self.outlet.try_lock().expect("only the baton's holder locks the outlet");
        // Invariant: who takes the outlet out keeps the baton for good.
        act(outlet.as_mut().expect("the baton goes round only while there is an outlet"))
    }

    /// Writes what there is to write without blocking. The caller holds the baton, and gives it away with this call.
    fn drive(self: &Arc<Self>) {
        match self.pump(BORROWED_FRAMES_MAX) {
            Pumped::AtHead | Pumped::Writing => {}
            Pumped::NeedsSendThread => self.turn.give(),
            Pumped::Over => self.end(),
        }
    }

    /// The call is over, and nothing is left to do that blocks: a send thread that has not begun need not. The baton stays
    /// held for good: nobody drives the session any more.
    fn end(&self) {
        let to_send = self.turn.state.lock().to_send.take();
        match to_send {
            Some(to_send) => {
                self.abandon();
                to_send.forgo();
            }
            None => self.turn.give(),
        }
    }

    /// Writes up to `frames_max` frames. With `AtHead` and `Writing` the baton is given back.
    fn pump(self: &Arc<Self>, frames_max: usize) -> Pumped {
        loop {
            let pumped = self.with_outlet(|outlet| outlet.pump(self, frames_max));
            let given_back = match pumped {
                Pumped::AtHead => self.baton.rest(),
                Pumped::Writing => self.baton.rest_writing(),
                Pumped::NeedsSendThread | Pumped::Over => return pumped,
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
