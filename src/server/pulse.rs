//! The pulse: whether the threads that every message passes still turn.
//!
//! A process may run and do nothing: a thread waits for a lock that nobody releases, or a disk does not respond. So the
//! service manager's watchdog is answered only if the log writer has taken an order since the last time, and each thread
//! of the fan-out was seen. The order opens the lobby, which is open anyway: nothing is read or stored.

use std::sync::Arc;

use crossbeam_channel::{Receiver, TryRecvError, bounded};

use super::append_queue::Order;
use super::hub::Hub;
use super::log::LogError;
use super::room::RoomHandle;
use crate::names::RoomName;

/// Probes a server's threads.
pub struct Pulse {
    hub: Arc<Hub>,
}

/// A probe that is on its way.
pub struct Probe {
    fanout: Receiver<()>,
    /// `None` if nothing is accepted any more.
    writer: Option<Receiver<Result<RoomHandle, LogError>>>,
}

impl Pulse {
    pub(super) fn new(hub: Arc<Hub>) -> Self {
        Self { hub }
    }

    /// Sends a probe. Never blocks. MUST NOT be called again before [`Probe::silent`] has returned `None`.
    pub fn probe(&self) -> Probe {
        let (reply, writer) = bounded(1);
        let order = Order::Room { name: RoomName::lobby(), reply };
        // A lane that stayed open would keep the writer from ending.
        let lane = self.hub.open_lane(None);
        let is_accepted = lane.is_some_and(|lane| lane.try_push(order).is_ok());
        Probe { fanout: self.hub.fanout.probe(), writer: is_accepted.then_some(writer) }
    }
}

impl Probe {
    /// Which threads have not seen the probe yet; `None` if all have.
    pub fn silent(&self) -> Option<&'static str> {
        if let Some(writer) = &self.writer
            && matches!(writer.try_recv(), Err(TryRecvError::Empty))
        {
            return Some("the log writer");
        }
        (self.fanout.try_recv() == Err(TryRecvError::Empty)).then_some("the fan-out")
    }
}
