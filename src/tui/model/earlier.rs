//! Lines that an earlier client of the same server and name left. They may be stored or not; each has its message id, so
//! the server stores none twice.
//!
//! Recent ones are sent by themselves: they are pending, as if they had just been entered. Older ones are offered, and
//! wait for `/unsent send` or `/unsent drop`.

use std::time::Duration;

use super::super::inlet::KeptLine;
use super::Model;
use super::parts::Sent;
use crate::client::lines;
use crate::terminal::clock::local_ms;

/// Lines that are younger are sent by themselves. The server knows a message's id for a day after retention has deleted
/// the message, so a line that was stored is recognized with half a day to spare, also if a clock was wrong by hours. And
/// what is older may be out of place.
const SENT_AGE_MAX: Duration = Duration::from_secs(12 * 60 * 60);

/// A line may seem to be this much younger than nothing: clocks are corrected by a few seconds. With more, the clock was
/// set back, and the line's age is unknown.
const CLOCK_STEP_MAX: Duration = Duration::from_secs(60);

/// The answer of `/unsent` if there is nothing.
pub const NOTHING_UNSENT: &str = "no text is kept from an earlier chat";

impl Model {
    /// Posts the recent lines, in their order. The others stay for [`Model::offer_old`].
    pub(super) fn send_recent(&mut self) {
        let (now_ms, mut has_space) = (local_ms(), true);
        for kept in std::mem::take(&mut self.offered) {
            // What does not fit is offered, with all that follows it, so that the order stays.
            if has_space && is_recent(kept.since_ms, now_ms) {
                has_space = self.post_earlier(kept.clone()).is_ok();
                if has_space {
                    continue;
                }
            }
            self.offered.push(kept);
        }
        // They may be in rooms that are not shown.
        if !self.sent.is_empty() {
            self.notices.push(format!("sending {} of an earlier chat", lines(self.sent.len() as u64)));
        }
    }

    /// Tells the user about the lines that are not sent by themselves.
    pub(super) fn offer_old(&mut self) {
        if !self.offered.is_empty() {
            let count = self.offered.len() as u64;
            let them = if count == 1 { "it" } else { "them" };
            self.notices.push(format!(
                "kept from an earlier chat, perhaps not stored: {}; /unsent shows {them}, /unsent send sends {them}, \
                 /unsent drop deletes {them}",
                lines(count)
            ));
        }
    }

    /// There is a session. The lines have waited for it, perhaps for days: those that are too old by now are offered.
    pub(super) fn put_aside_old(&mut self) {
        let now_ms = local_ms();
        let is_old = |sent: &Sent| sent.is_earlier && !is_recent(sent.since_ms, now_ms);
        let (old, sent): (Vec<_>, Vec<_>) = std::mem::take(&mut self.sent).into_iter().partition(is_old);
        self.sent = sent;
        if old.is_empty() {
            return;
        }
        for Sent { room, line, since_ms, .. } in old {
            if let Some(open) = self.find(&room) {
                open.room.settled(&line.id);
            }
            self.offered.push(KeptLine { room, line, since_ms });
        }
        self.offer_old();
        self.keeping.changed();
    }

    /// `/unsent send`: posts what is offered.
    pub(super) fn send_unsent(&mut self) -> Result<(), String> {
        let offered = std::mem::take(&mut self.offered);
        if offered.is_empty() {
            return Err(NOTHING_UNSENT.to_owned());
        }
        let (count, mut faults) = (offered.len(), Vec::new());
        for kept in offered {
            if let Err(fault) = self.post_earlier(kept.clone()) {
                faults.push(fault);
                self.offered.push(kept);
            }
        }
        // The user has decided: it is not put aside any more.
        self.sent.iter_mut().for_each(|sent| sent.is_earlier = false);
        self.keeping.changed();
        match faults.first() {
            Some(fault) => Err(format!("{} of {count} were not sent: {fault}", faults.len())),
            None => Ok(()),
        }
    }

    /// `/unsent drop`: deletes what is offered.
    pub(super) fn drop_unsent(&mut self) -> Result<(), String> {
        let count = std::mem::take(&mut self.offered).len() as u64;
        if count == 0 {
            return Err(NOTHING_UNSENT.to_owned());
        }
        self.keeping.at_once();
        self.tell(&format!("deleted: {}", lines(count)));
        Ok(())
    }

    /// Posts a line with the id that it had, in its room, which is joined if it is not in the list any more.
    fn post_earlier(&mut self, kept: KeptLine) -> Result<(), String> {
        let id = kept.line.id;
        if self.sent.iter().any(|sent| sent.line.id == id) {
            return Ok(());
        }
        self.open_room(&kept.room);
        self.post(kept)?;
        // Invariant: it was posted just now, so it is the last one.
        if let Some(sent) = self.sent.last_mut().filter(|_| !self.has_session) {
            sent.is_earlier = true;
        }
        Ok(())
    }
}

fn is_recent(since_ms: u64, now_ms: u64) -> bool {
    let age = Duration::from_millis(now_ms.saturating_sub(since_ms));
    let step = Duration::from_millis(since_ms.saturating_sub(now_ms));
    age < SENT_AGE_MAX && step <= CLOCK_STEP_MAX
}
