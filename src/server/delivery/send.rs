//! The send thread: the blocking work of a session's sending side. It is started when there is such work, and ends when
//! there has been none for a while.

use std::sync::Arc;

use super::close::CloseReason;
use super::output::Pumped;
use super::stream_writer::{StreamWriter, ToSend};

/// Drives the session each time it gets the baton, until the stream must end. Returns why: the client left, violated a
/// rule or is done, or a drain has started. The baton is not given back: no thread drives the session any more.
///
/// `share` is the thread's share of the stream. Without work for a while, it is left for another thread (`None`).
pub fn run<T: ToSend + 'static>(writer: &Arc<StreamWriter>, mut share: Box<T>) -> Option<(Box<T>, CloseReason)> {
    loop {
        share = writer.handover.take(share)?;
        if let Some(reason) = turn(writer) {
            return Some((share, reason));
        }
    }
}

/// Writes until the baton is given back (`None`), or until the stream must end.
fn turn(writer: &Arc<StreamWriter>) -> Option<CloseReason> {
    loop {
        let ready = writer.with_output(|output| match output.due(&writer.signals) {
            Some(reason) => Err(reason.clone()),
            None => output.catch_up(),
        });
        if let Err(reason) = ready {
            return Some(reason);
        }
        match writer.pump(usize::MAX) {
            Pumped::AtHead | Pumped::Writing => return None,
            Pumped::NeedsSendThread | Pumped::Due => {}
            Pumped::Over => return Some(CloseReason::ClientLeft),
        }
    }
}
