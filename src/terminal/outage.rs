//! Shows lost connections to the user: one row for each outage, rewritten in place. If rows can't be rewritten, one
//! line when it begins and one when it ends.

use std::collections::HashSet;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use humantime::format_duration;

use super::format::{gap, start_of};
use super::rooms::SharedRooms;
use super::screen::Screen;
use super::status::{Status, Topic, duration};
use crate::address::Address;
use crate::client::{ConnectError, Event, Inlet, Tally, lines};
use crate::names::RoomName;

/// The destination of lines, once there is a session.
pub type LateInlet = Arc<OnceLock<Inlet>>;

/// Follows the events of a session, and shows those about its connection.
pub struct Outage {
    screen: Arc<Screen>,
    server: String,
    inlet: LateInlet,
    /// For the names of rooms, if there may be several.
    rooms: Option<SharedRooms>,
    /// There has been a connection.
    connected: bool,
    /// There is a connection, which was reported.
    is_up: bool,
    /// The rooms that are joined, and those of them that have not caught up since the connection was lost.
    joined: HashSet<RoomName>,
    behind: HashSet<RoomName>,
    phase: Phase,
}

enum Phase {
    Fine,
    /// There is no connection, or rooms have not caught up yet.
    Down {
        since: Instant,
        /// No message is missing so far.
        whole: bool,
        /// It is shown in the status row.
        in_row: bool,
    },
    /// The server can't store lines at the moment.
    Held {
        since: Instant,
    },
    /// The kept lines are being sent.
    Sending(SentAgain),
}

/// Lines that were kept and are being sent.
struct SentAgain {
    count: u64,
    /// How many lines of the session are settled when these are.
    settled: u64,
    rejected: u64,
    /// The text when they are stored, before their number.
    text: String,
    /// The previous outage, which continues if the connection is lost before they are stored.
    outage: Option<(Instant, bool)>,
}

impl Outage {
    pub fn new(screen: Arc<Screen>, address: &Address) -> Self {
        Self {
            screen,
            server: address.to_string(),
            inlet: LateInlet::default(),
            rooms: None,
            connected: false,
            is_up: false,
            joined: HashSet::new(),
            behind: HashSet::new(),
            phase: Phase::Fine,
        }
    }

    /// For a session that may be in several rooms.
    pub fn in_rooms(self, rooms: SharedRooms) -> Self {
        Self { rooms: Some(rooms), ..self }
    }

    /// Where to put the session's inlet when the session has started.
    pub fn inlet(&self) -> LateInlet {
        Arc::clone(&self.inlet)
    }

    /// Shows an event that is about the connection, or about lines that can't be sent.
    pub fn show(&mut self, event: &Event<'_>) {
        match event {
            Event::Disconnected { reason, .. } => {
                self.is_up = false;
                self.behind.clone_from(&self.joined);
                self.lost(reason);
            }
            Event::Waiting { error, within } => waiting(&self.screen, error, *within),
            Event::Retrying { reason, pause } => self.retrying(reason, Instant::now() + *pause),
            Event::CaughtUp { room, .. } => {
                self.behind.remove(*room);
                self.caught_up();
            }
            Event::Left { room } | Event::NotJoined { room, .. } => {
                self.joined.remove(*room);
                self.behind.remove(*room);
                if self.is_up {
                    self.caught_up();
                }
            }
            // A session in no room has nothing to catch up with.
            Event::Reconnected if self.connected => {
                self.is_up = true;
                self.caught_up();
            }
            Event::Joined(joined) => drop(self.joined.insert(joined.room.clone())),
            Event::Held { reason, pause } => self.held(reason, Instant::now() + *pause),
            Event::Gap { gap: missing, room } => {
                if let Phase::Down { whole, .. } = &mut self.phase {
                    *whole = false;
                }
                let prefix = self.rooms.as_ref().map_or_else(String::new, |rooms| rooms.lock().prefix(room));
                self.screen.notice(&format!("{prefix}{}", gap(missing)));
            }
            Event::Rejected { line, reason } => {
                self.screen.notice(&format!("not sent: {}: {reason}", start_of(line.body.as_str())));
                if let Phase::Sending(kept) = &mut self.phase {
                    kept.rejected += 1;
                    self.settled();
                }
            }
            Event::Message(message) if message.own => self.settled(),
            Event::Stored { .. } => self.settled(),
            Event::Message(_)
            | Event::Changed { .. }
            | Event::State(_)
            | Event::Unknown { .. }
            | Event::Reconnected
            | Event::Presence { .. }
            | Event::Pause => {}
        }
    }

    fn lost(&mut self, reason: &str) {
        if let Phase::Down { .. } = self.phase {
            return;
        }
        if let Phase::Sending(SentAgain { outage: Some((since, in_row)), .. }) = self.phase {
            self.phase = Phase::Down { since, whole: true, in_row };
            return;
        }
        let since = Instant::now();
        let topic = if self.connected { Topic::Lost } else { Topic::Unreached };
        let in_row = self.screen.show_status(self.status(topic, since, reason, None));
        self.phase = Phase::Down { since, whole: true, in_row };
        if !in_row {
            let server = &self.server;
            self.screen.notice(&match self.connected {
                true => format!("disconnected from {server}: {reason}; trying again{}", self.kept_so_far()),
                false => format!("can't connect to {server}: {reason}; trying again"),
            });
        }
    }

    fn retrying(&mut self, reason: &str, next: Instant) {
        if let Phase::Down { since, .. } = self.phase {
            let topic = if self.connected { Topic::Lost } else { Topic::Unreached };
            self.screen.show_status(self.status(topic, since, reason, Some(next)));
        }
    }

    /// All missed messages have arrived, if no room is behind any more.
    fn caught_up(&mut self) {
        if !self.behind.is_empty() {
            return;
        }
        let was_connected = std::mem::replace(&mut self.connected, true);
        let Phase::Down { since, whole, in_row } = self.phase else { return };
        let after = after(since);
        let text = match was_connected {
            true if whole => format!("connected again{after}; nothing lost"),
            true => format!("connected again{after}"),
            // On a terminal, the chat's first notice shows that.
            false if in_row => String::new(),
            false => format!("connected to {}{after}", self.server),
        };
        self.send_kept(text, 0, Some((since, in_row)));
    }

    fn held(&mut self, reason: &str, next: Instant) {
        let since = match self.phase {
            Phase::Held { since } => since,
            // It continues later, when everything has been read.
            Phase::Down { .. } => return,
            Phase::Fine | Phase::Sending(_) => Instant::now(),
        };
        let was_held = matches!(self.phase, Phase::Held { .. });
        self.phase = Phase::Held { since };
        if !self.screen.show_status(self.status(Topic::Held, since, reason, Some(next))) && !was_held {
            let server = &self.server;
            self.screen.notice(&format!("{server} can't store messages: {reason}; trying again{}", self.kept_so_far()));
        }
    }

    /// A line was stored, or given up.
    fn settled(&mut self) {
        match &self.phase {
            Phase::Held { since } => {
                let text = format!("{} stores again{}", self.server, after(*since));
                self.send_kept(text, 1, None);
            }
            Phase::Sending(kept) if self.tally().settled >= kept.settled => self.finish(),
            _ => {}
        }
    }

    /// The kept lines are sent now; `sent` of them were already.
    fn send_kept(&mut self, text: String, sent: u64, outage: Option<(Instant, bool)>) {
        let Tally { waiting, settled } = self.tally();
        self.phase =
            Phase::Sending(SentAgain { count: waiting + sent, settled: settled + waiting, rejected: 0, text, outage });
        if waiting == 0 {
            return self.finish();
        }
        self.screen.show_status(self.status(Topic::Sending(waiting), Instant::now(), "", None));
    }

    fn finish(&mut self) {
        let Phase::Sending(kept) = std::mem::replace(&mut self.phase, Phase::Fine) else { return };
        let sent = match kept.count.saturating_sub(kept.rejected) {
            0 => None,
            count => Some(format!("{} sent", lines(count))),
        };
        let text: Vec<String> = Some(kept.text).filter(|text| !text.is_empty()).into_iter().chain(sent).collect();
        self.screen.end_status(Some(text.join("; ")).filter(|text| !text.is_empty()).as_deref());
    }

    fn status(&self, topic: Topic, since: Instant, reason: &str, next: Option<Instant>) -> Status {
        let inlet = Arc::clone(&self.inlet);
        let waiting = Arc::new(move || inlet.get().map_or(0, |inlet| inlet.tally().waiting));
        Status { topic, server: self.server.clone(), since, reason: reason.to_owned(), next, waiting }
    }

    fn tally(&self) -> Tally {
        self.inlet.get().map(Inlet::tally).unwrap_or_default()
    }

    fn kept_so_far(&self) -> String {
        match self.tally().waiting {
            0 => String::new(),
            count => format!("; {} will be sent then", lines(count)),
        }
    }
}

/// The first connection failed and is tried again.
pub fn waiting(screen: &Screen, error: &ConnectError, within: Duration) {
    screen.notice(&format!("{error}; trying again for up to {}", format_duration(within)));
}

/// A duration, if it is long enough to show.
fn after(since: Instant) -> String {
    let time = since.elapsed();
    if time.as_secs() == 0 { String::new() } else { format!(" after {}", duration(time)) }
}
