//! The model of the full-screen client: events change it, and it asks for requests and shows views. It is on one thread,
//! and knows no terminal, no connection and no disk.
//!
//! Its parts are in modules of their own, each with the methods that belong together.

mod open_room;
mod parts;
mod listing;
mod rooms;
mod net;
mod sending;
mod earlier;
mod pasting;
mod calling;
mod answers;
mod keys;
mod acting;
mod selecting;
mod commanding;
mod changing;
mod lists;
mod mention_list;
mod mentions;
mod notices;
mod screen;
mod keeping;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use self::listing::Open;
use self::mention_list::Mentions;
use self::open_room::OpenRoom;
use self::parts::{Calls, Keeping, Sent};
use super::config::Config;
use super::inlet::{End, EnteredLine, Incoming, KeptLine, Look, Outgoing, Size};
use super::keys::Keys;
use super::line_editor::LineEditor;
use super::notify::Wrapping;
use super::pace::Urgency;
use super::paste::PasteWatch;
use super::room::Me;
use super::signals::EXIT_SIGNAL_BASE;
use super::view::Answer;
use crate::editing::{Slashed, slashed};
use crate::names::{Epoch, RoomName};
use crate::terminal::clock::Clock;

/// How long after the pause of the server the answer to the next attempt may take.
const HELD_TIME: Duration = Duration::from_secs(2);

/// A terminal that may not say that it has lost the focus, as tmux without `focus-events`, counts as left alone when no
/// key was pressed for this long.
const IDLE_TIME: Duration = Duration::from_secs(120);

/// What the model begins with.
pub struct Setup {
    pub me: Me,
    /// The server, as the user named it.
    pub server: String,
    /// The rooms in their order, each with how far it was read.
    pub rooms: Vec<(RoomName, Option<(u64, Epoch)>)>,
    /// The rooms that were muted while chatting.
    pub muted: Vec<RoomName>,
    pub current: Option<RoomName>,
    /// What the screen showed at the end of the last chat. The config comes first.
    pub look: Look,
    pub drafts: Vec<(RoomName, String)>,
    /// Lines of earlier clients that may be stored or not, in their order.
    pub unsent: Vec<KeptLine>,
    /// The lines that were entered in earlier chats, the oldest first.
    pub history: Vec<EnteredLine>,
    /// What the user should know, such as files that could not be read.
    pub notices: Vec<String>,
    /// How many messages of a room to read first.
    pub newest: u32,
    pub config: Config,
    /// Where the config file is, or would be.
    pub config_place: Option<PathBuf>,
    pub size: Size,
    pub wrapping: Wrapping,
}

/// The connection.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Link {
    /// The first connection is being made.
    Connecting,
    Online,
    Offline {
        reason: String,
        retry_at: Option<Instant>,
    },
    /// The server can't store messages until then.
    Held {
        reason: String,
        until: Instant,
    },
    /// The session has failed, and starts again only when the user wants it.
    Ended {
        reason: String,
    },
}

/// What the input is for, if it is not a new message.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Purpose {
    Reply {
        seq: u64,
    },
    /// `seen`: the version of the message that the user saw.
    Edit {
        seq: u64,
        seen: u64,
    },
}

impl Purpose {
    /// The command that does the same with the text. `None`: there is no text, or it is a command itself.
    fn command(&self, typed: &str) -> Option<String> {
        let Slashed::Text(text) = slashed(typed) else { return None };
        Some(match self {
            Self::Reply { seq } => format!("/reply #{seq} {text}"),
            Self::Edit { seq, .. } => format!("/edit #{seq} {text}"),
        })
    }
}

/// What the screen shows besides the rooms.
#[derive(Clone, Debug)]
struct Shows {
    rooms: bool,
    people: bool,
    bare: bool,
    numbers: bool,
    mouse: bool,
}

pub struct Model {
    me: Me,
    server: String,
    config: Config,
    config_place: Option<PathBuf>,
    wrapping: Wrapping,
    size: Size,
    clock: Clock,
    newest: u32,
    rooms: Vec<OpenRoom>,
    current: Option<usize>,
    /// The room that was shown before, and where a jump to rooms with something began.
    previous: Option<RoomName>,
    jumped_from: Option<RoomName>,
    link: Link,
    /// There is a session that knows the requested rooms.
    has_session: bool,
    /// There was a session.
    has_connected: bool,
    round_trip: Option<Duration>,
    calls: Calls,
    /// The own lines that are not known to be stored, in their order.
    sent: Vec<Sent>,
    /// Lines of earlier clients that are too old to be sent without a question.
    offered: Vec<KeptLine>,
    /// What the user should know once there is a room.
    notices: Vec<String>,
    keys: Keys,
    editor: LineEditor,
    /// The entered lines, for the disk.
    history: Arc<Vec<EnteredLine>>,
    paste: PasteWatch,
    purpose: Option<(RoomName, Purpose)>,
    open: Option<Open>,
    /// The mentions that were listed last.
    mentions: Option<Mentions>,
    is_selecting: bool,
    /// A gap that the user wants to read: its room and its first event.
    opening_gap: Option<(RoomName, u64)>,
    answer: Option<Answer>,
    shows: Shows,
    has_focus: bool,
    /// The terminal reports its focus, always.
    reports_focus: bool,
    /// When the last key was pressed.
    typed_at: Instant,
    /// The terminal takes no output: nobody sees what is shown.
    is_stalled: bool,
    /// When the user pressed Ctrl-C on an empty line.
    interrupted_at: Option<Instant>,
    /// The user leaves, at the latest then.
    leaving: Option<Instant>,
    keeping: Keeping,
    requests: VecDeque<Outgoing>,
    texts: Vec<String>,
    urgency: Option<Urgency>,
    /// What the status row shows of the time: its change is shown.
    shown_minute: String,
}

impl Model {
    pub fn new(setup: Setup) -> Self {
        let Setup { me, server, rooms, muted, current, look, drafts, unsent, history, .. } = setup;
        let Setup { notices, newest, config, config_place, size, wrapping, .. } = setup;
        let shows = Shows {
            rooms: config.screen.rooms.unwrap_or(look.rooms),
            people: config.screen.people.unwrap_or(look.people),
            bare: false,
            numbers: look.numbers,
            mouse: config.screen.mouse,
        };
        let keys = Keys::new(config.keys.clone());
        let mut model = Self {
            server,
            config_place,
            wrapping,
            size,
            clock: Clock::new(),
            newest,
            rooms: rooms.into_iter().map(|(name, mark)| OpenRoom::new(name, &me, mark, newest)).collect(),
            current: None,
            previous: None,
            jumped_from: None,
            link: Link::Connecting,
            has_session: false,
            has_connected: false,
            round_trip: None,
            calls: Calls::default(),
            sent: Vec::new(),
            offered: unsent,
            notices: Vec::new(),
            keys,
            editor: LineEditor::default(),
            history: Arc::default(),
            paste: PasteWatch::default(),
            purpose: None,
            open: None,
            mentions: None,
            is_selecting: false,
            opening_gap: None,
            answer: None,
            shows,
            has_focus: true,
            reports_focus: false,
            typed_at: Instant::now(),
            is_stalled: false,
            interrupted_at: None,
            leaving: None,
            keeping: Keeping::default(),
            requests: VecDeque::new(),
            texts: Vec::new(),
            urgency: Some(Urgency::Asked),
            shown_minute: String::new(),
            config,
            me,
        };
        for open in &mut model.rooms {
            open.is_muted = muted.contains(open.name()) || model.config.notifications.muted.contains(open.name());
        }
        history.iter().for_each(|line| model.editor.remember(line.room.as_ref(), &line.text));
        model.history = Arc::new(history);
        model.begin(current, drafts, notices);
        model
    }

    /// Takes an event.
    pub fn handle(&mut self, event: Incoming, now: Instant) {
        if matches!(event, Incoming::Key(_) | Incoming::Paste(_)) {
            self.typed_at = now;
            if !self.reports_focus && !self.has_focus {
                self.focus(true);
            }
        }
        match event {
            Incoming::Key(key) => self.key(&key, now),
            Incoming::Paste(text) => self.pasted(&text, now),
            Incoming::Mouse(mouse) => self.mouse(mouse),
            Incoming::Focus(has_focus) => {
                self.reports_focus = self.wrapping.reports_all_focus();
                self.focus(has_focus);
            }
            Incoming::Resized(size) => {
                self.size = size;
                self.wants(Urgency::Asked);
            }
            Incoming::Continued | Incoming::StopAsked => self.wants(Urgency::Asked),
            Incoming::Events(events) => {
                events.into_iter().for_each(|event| self.net(event, now));
                self.wants(Urgency::Arrived);
            }
            Incoming::Answer(number, answer) => self.answered(number, answer),
            Incoming::Fault(fault) => self.fail_whole(&fault),
            Incoming::Edited(text) => self.edited_outside(text),
            Incoming::End(End::Signal(signal)) => self.end(EXIT_SIGNAL_BASE + signal),
            Incoming::End(End::HungUp) => self.end(EXIT_SIGNAL_BASE + signal_hook::consts::SIGHUP),
        }
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Instant) {
        if self.leaving.is_some_and(|deadline| self.is_settled() || deadline <= now) {
            self.end(0);
        }
        if let Some(kept) = self.kept_if_due(now) {
            self.requests.push_back(Outgoing::Keep(kept));
        }
        // Lines that are held back are sent again by then, and held back again if necessary.
        if matches!(&self.link, Link::Held { until, .. } if *until + HELD_TIME <= now) {
            self.link = Link::Online;
            self.wants(Urgency::Arrived);
        }
        if self.idle_at().is_some_and(|idle| idle <= now) {
            self.focus(false);
        }
        let minute = self.minute();
        if minute != self.shown_minute {
            self.shown_minute = minute;
            self.wants(Urgency::Arrived);
        }
        if self.counts_seconds() {
            self.wants(Urgency::Arrived);
        }
    }

    /// When [`Model::tick`] has something to do, at the latest.
    pub fn next_tick(&self) -> Option<Instant> {
        let now = Instant::now();
        let second = || now + Duration::from_millis(1000 - u64::from(self.clock_ms() % 1000));
        let minute = now + Duration::from_millis(60_000 - self.clock.now() % 60_000);
        let seconds = self.counts_seconds().then(second);
        [Some(minute), seconds, self.leaving, self.keeping.due, self.idle_at()].into_iter().flatten().min()
    }

    /// When the user counts as away, if no key is pressed.
    fn idle_at(&self) -> Option<Instant> {
        (self.has_focus && !self.reports_focus).then(|| self.typed_at + IDLE_TIME)
    }

    /// Whether the terminal takes what is shown.
    pub fn stalled(&mut self, is_stalled: bool) {
        self.is_stalled = is_stalled;
    }

    /// What the model asks for next.
    pub fn take_request(&mut self) -> Option<Outgoing> {
        self.requests.pop_front()
    }

    /// Texts for the terminal beside its screen, such as the bell.
    pub fn take_texts(&mut self) -> Vec<String> {
        std::mem::take(&mut self.texts)
    }

    /// Whether the view has changed, and how urgent it is to show it.
    pub fn take_urgency(&mut self) -> Option<Urgency> {
        self.urgency.take()
    }

    pub fn size(&self) -> Size {
        self.size
    }

    fn wants(&mut self, urgency: Urgency) {
        self.urgency = self.urgency.max(Some(urgency));
    }

    /// Answers what the user did.
    fn tell(&mut self, text: &str) {
        self.answer = Some(Answer { text: text.to_owned(), is_error: false });
        self.wants(Urgency::Asked);
    }

    fn fail(&mut self, text: &str) {
        self.answer = Some(Answer { text: text.to_owned(), is_error: true });
        self.wants(Urgency::Asked);
    }

    /// Ends the program, with what must be kept on the disk.
    fn end(&mut self, code: i32) {
        let kept = self.kept();
        self.requests.push_back(Outgoing::Keep(kept));
        self.requests.push_back(Outgoing::Quit(code));
    }

    /// Whether the screen shows a countdown, or a time that grows.
    fn counts_seconds(&self) -> bool {
        let counts = match &self.link {
            Link::Offline { retry_at, .. } => retry_at.is_some(),
            Link::Held { .. } => true,
            Link::Connecting | Link::Online | Link::Ended { .. } => false,
        };
        counts || (self.link == Link::Online && !self.sent.is_empty())
    }

    fn clock_ms(&self) -> u32 {
        u32::try_from(self.clock.now() % 1_000_000).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
