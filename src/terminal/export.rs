//! `hubbub export`: prints the log of a room as it is now, an event a line.
//!
//! The first line has the state of the room. Each message is as it is when it is read: it includes all changes up to the
//! head that the first line names. Their events follow at their places, for readers that need the history.

use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;

use parking_lot::Mutex;

use super::TerminalError;
use super::json::{JsonEvent, JsonHead, json};
use super::options::ExportOptions;
use super::outage::Outage;
use super::output::{Output, unless_closed};
use super::progress::Progress;
use super::screen::Screen;
use super::server::Server;
use crate::client::{Event, Gap, GapReason, Session, StartAt};
use crate::names::{RoomName, UserName};

/// Prints the events of a room up to its head.
struct Exporter {
    output: Output,
    outage: Outage,
    /// The head when the export began.
    head_seq: Option<u64>,
    progress: Progress,
}

pub fn export(server: Server, name: UserName, options: &ExportOptions) -> Result<(), TerminalError> {
    let screen = Arc::new(Screen::default());
    let outage = Outage::new(screen, &server.address);
    let mut exporter = Exporter { output: Output::new(true), outage, head_seq: None, progress: Progress::of_export() };
    let failure = Arc::new(Mutex::new(Ok(())));
    let failed = Arc::clone(&failure);
    let settings = server.settings(name, options.room.clone(), StartAt::After { seq: 0, epoch: None });
    let session =
        Session::start(server.connector.clone(), server.address.clone(), settings, move |event| {
            match exporter.take(&event) {
                Ok(flow) => flow,
                Err(error) => {
                    *failed.lock() = Err(error);
                    ControlFlow::Break(())
                }
            }
        })?;
    session.wait()?;
    std::mem::replace(&mut *failure.lock(), Ok(()))
}

impl Exporter {
    fn take(&mut self, event: &Event<'_>) -> Result<ControlFlow<()>, TerminalError> {
        let line = match event {
            Event::Joined(joined) if self.head_seq.is_none() => {
                if joined.head_seq == 0 {
                    return Err(TerminalError::NoRoom(joined.room.clone()));
                }
                self.head_seq = Some(joined.head_seq);
                self.progress.set_length(joined.head_seq);
                json(&JsonHead::from(joined))
            }
            Event::Message(message) => json(&JsonEvent::message(message)),
            Event::Changed { room, seq, time_ms, change } => {
                json(&JsonEvent::change(room.as_str(), *seq, *time_ms, change))
            }
            Event::Unknown { room, seq, time_ms } => json(&JsonEvent::unknown(room.as_str(), *seq, *time_ms)),
            Event::Gap { room, gap } => return self.gap(room, gap),
            Event::CaughtUp { .. } => return self.write("").map(|()| ControlFlow::Break(())),
            _ => {
                self.progress.suspend(|| self.outage.show(event));
                return Ok(ControlFlow::Continue(()));
            }
        };
        self.write(&line)?;
        let seq = match event {
            Event::Message(message) => message.seq,
            Event::Changed { seq, .. } | Event::Unknown { seq, .. } => *seq,
            _ => 0,
        };
        self.progress.set(seq.min(self.head_seq.unwrap_or(seq)));
        // After an outage, the room may have more. What was printed does not include that.
        if self.head_seq.is_some_and(|head| seq >= head) {
            return self.write("").map(|()| ControlFlow::Break(()));
        }
        Ok(ControlFlow::Continue(()))
    }

    /// What retention has deleted is not in the log. Everything else that is missing makes the export incomplete.
    fn gap(&mut self, room: &RoomName, gap: &Gap) -> Result<ControlFlow<()>, TerminalError> {
        match gap.reason {
            GapReason::Retention => Ok(ControlFlow::Continue(())),
            GapReason::EpochChanged => Err(TerminalError::HistoryLost(room.clone())),
            GapReason::Damaged | GapReason::Other => {
                self.write("")?;
                Err(TerminalError::Missing { room: room.clone(), from_seq: gap.from_seq, to_seq: gap.to_seq })
            }
        }
    }

    /// Writes a line. An empty one only makes sure that the others are written.
    fn write(&mut self, line: &str) -> Result<(), TerminalError> {
        let written = if line.is_empty() { self.output.flush() } else { self.output.line(line) };
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(TerminalError::Closed),
            written => unless_closed(written).map_err(TerminalError::Output),
        }
    }
}
