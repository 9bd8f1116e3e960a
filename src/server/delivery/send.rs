//! The send thread: the blocking work of a session's sending side, and the end of the stream.

use std::sync::Arc;

use super::close::CloseReason;
use super::output::Pumped;
use super::stream_writer::StreamWriter;

/// Drives the session each time it gets the baton, until the session ends; then ends the stream.
///
/// It returns because the client left, violated a rule or is done, or because of a drain.
pub fn run(writer: &Arc<StreamWriter>) {
    loop {
        writer.handover.take();
        if let Some(reason) = turn(writer) {
            finish(writer, &reason);
            return;
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
            Pumped::NeedsSendThread => {}
            Pumped::Over => return Some(CloseReason::ClientLeft),
        }
    }
}

/// Ends the stream. The baton is never given back: no thread drives the session any more.
fn finish(writer: &Arc<StreamWriter>, reason: &CloseReason) {
    if let CloseReason::LogUnreadable(error) = reason {
        log::error!("client {} is disconnected: the log can't be read: {error}", writer.id());
    } else if reason.is_surprising() {
        log::warn!("client {} is disconnected: {reason}", writer.id());
    } else {
        log::debug!("client {} ends: {reason}", writer.id());
    }
    let output = writer.output.try_lock().and_then(|mut output| output.take());
    if let Some(output) = output {
        output.finish(reason);
    }
}
