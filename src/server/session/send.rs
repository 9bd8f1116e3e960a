//! The send thread: what may block on a session's way out, and its end.

use std::sync::Arc;

use super::outlet::Pumped;
use super::{CloseReason, Session};

/// Drives the session whenever it gets the baton, until the session ends; then ends the stream.
///
/// It returns because the client left, broke a rule or is done, or because of a drain.
pub fn run(session: &Arc<Session>) {
    loop {
        session.turn.take();
        if let Some(reason) = turn(session) {
            finish(session, &reason);
            return;
        }
    }
}

/// Writes until there is nothing to do without the baton (`None`), or until the stream is to end.
fn turn(session: &Arc<Session>) -> Option<CloseReason> {
    loop {
        let ready = session.with_outlet(|outlet| match outlet.due(session) {
            Some(reason) => Err(reason.clone()),
            None => outlet.catch_up(session),
        });
        if let Err(reason) = ready {
            return Some(reason);
        }
        match session.pump(usize::MAX) {
            Pumped::AtHead | Pumped::Writing => return None,
            Pumped::NeedsSendThread => {}
            Pumped::Over => return Some(CloseReason::ClientLeft),
        }
    }
}

/// Ends the stream. The baton stays held for good: nobody drives the session any more.
fn finish(session: &Arc<Session>, reason: &CloseReason) {
    if let CloseReason::LogUnreadable(error) = reason {
        log::error!("the log can't be read for client {}, which is sent away: {error}", session.id());
    } else if reason.is_surprising() {
        log::warn!("client {} is sent away: {reason}", session.id());
    } else {
        log::debug!("client {} ends: {reason}", session.id());
    }
    let outlet = session.outlet.try_lock().and_then(|mut outlet| outlet.take());
    if let Some(outlet) = outlet {
        outlet.finish(reason);
    }
}
