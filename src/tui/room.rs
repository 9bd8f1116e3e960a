//! A room as the screen has it: a window of its log, the user's own unsent messages, how far it was read, and which part
//! of it is shown. Pure logic: no terminal, no connection, no thread.
//!
//! The model passes the events of the session and the pages of history to it, and asks for the rows to show
//! ([`Room::shown`]) and for what to read from the server next ([`Room::wanted`]).

mod reading;
mod scroll;
mod window;
mod pane;
mod requests;
mod pages;
mod screen;
mod select;

use std::collections::HashSet;

use self::pane::Pane;
pub use self::pane::{Screenful, Scroll, Step};
use self::reading::Reading;
use self::requests::Requests;
pub use self::requests::Wanted;
pub use self::window::Limits;
use self::window::Window;
use super::entry::{Content, HeldMessage, Key, Notice, Pending, Presence, PresenceChange, Tone};
use super::marks;
use super::rows::RowCache;
use super::width::{Emoji, columns, drawn_name};
use crate::client::{Gap, GapReason, KeptChanges, LoggedChange, RoomJoined, RoomState, StoredMessage};
use crate::names::{EVERYBODY, Epoch, MessageId, RoomName};
use crate::terminal::change_format;
use crate::terminal::format::shown_name;

/// How far back a sender counts as somebody who spoke recently, in entries.
const SPOKE_ENTRIES: usize = 200;

/// Who the user is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Me {
    pub name: String,
    /// Whether own messages are those of a user who has logged in.
    pub authenticated: bool,
    /// Names of senders that had not logged in are marked.
    pub marks_claims: bool,
}

/// A room.
#[derive(Clone, Debug)]
pub struct Room {
    name: RoomName,
    me: Me,
    window: Window,
    changes: KeptChanges,
    state: RoomState,
    epoch: Option<Epoch>,
    head_seq: u64,
    oldest_seq: u64,
    /// The history of the last join has arrived.
    has_caught_up: bool,
    pending: Vec<Pending>,
    reading: Reading,
    /// The width of the longest name of a sender so far.
    widest_name: usize,
    unfolded: HashSet<u64>,
    /// The chosen message or gap.
    selected: Option<Key>,
    pane: Pane,
    cache: RowCache,
    requests: Requests,
}

impl Room {
    /// A room that is about to be joined. `mark`: how far it was read in an earlier chat, if its history is still the
    /// same one; otherwise the server reports the difference as a gap.
    pub fn new(name: RoomName, me: Me, limits: Limits, mark: Option<u64>) -> Self {
        Self {
            widest_name: columns(&drawn_name(&me.name, Emoji::Full)),
            name,
            me,
            window: Window::new(limits),
            changes: KeptChanges::default(),
            state: RoomState::default(),
            epoch: None,
            head_seq: 0,
            oldest_seq: 1,
            has_caught_up: false,
            pending: Vec::new(),
            reading: Reading::new(mark),
            unfolded: HashSet::new(),
            selected: None,
            pane: Pane::default(),
            cache: RowCache::default(),
            requests: Requests::default(),
        }
    }

    /// Its history is another one. The user's own messages that are not stored stay.
    pub fn forget_history(&mut self) {
        let new = Self::new(self.name.clone(), self.me.clone(), Limits::default(), None);
        *self = Self { pending: std::mem::take(&mut self.pending), ..new };
    }

    /// The room was joined or joined again.
    pub fn joined(&mut self, joined: &RoomJoined<'_>) {
        if self.epoch.is_none() {
            self.changes.start(joined.head_seq);
        }
        self.has_caught_up = false;
        self.state(joined);
        self.reading.joined(joined.head_seq);
    }

    /// The server reported the topic and the pins again.
    pub fn state(&mut self, joined: &RoomJoined<'_>) {
        self.state.joined(joined);
        // The epoch of a room without messages may change.
        self.epoch = Some(joined.epoch).filter(|_| joined.head_seq > 0);
        self.head_seq = joined.head_seq;
        self.oldest_seq = joined.oldest_seq;
        self.window.forget_below(joined.oldest_seq);
        self.requests.resume();
    }

    /// The requested or missed history has arrived.
    pub fn caught_up(&mut self, head_seq: u64) {
        self.has_caught_up = true;
        self.head_seq = self.head_seq.max(head_seq);
    }

    /// A message arrived. `own`: this session posted it.
    pub fn message(&mut self, message: StoredMessage, own: bool) {
        let seq = message.seq;
        self.head_seq = self.head_seq.max(seq);
        self.settled(&message.id);
        let held = self.hold(message, own);
        self.reading.arrived(&held);
        self.window.event(seq, Some(Content::Message(Box::new(held))), self.pane.anchor_key());
    }

    /// A message or the room was changed.
    pub fn changed(&mut self, seq: u64, time_ms: u64, change: &LoggedChange) {
        self.head_seq = self.head_seq.max(seq);
        self.changes.keep(seq, time_ms, change);
        let is_new = self.state.change(seq, change);
        self.window.event(seq, None, None);
        if let Some(message_seq) = change.message_seq() {
            let me = &self.me;
            self.window.change(message_seq, |held| {
                if change.apply(seq, time_ms, &mut held.message) {
                    held.mentions_me = is_mention(me, &held.message, held.is_own);
                }
            });
            // Replies quote it.
            self.cache.clear();
        }
        if is_new && matches!(change, LoggedChange::Pinned { .. } | LoggedChange::Room { .. }) {
            let message = change.message_seq().and_then(|seq| self.window.message(seq)).map(|held| &held.message);
            let text = change_format::change(change, message, self.me.marks_claims, false);
            self.notice(time_ms, text.trim_start_matches("* "), Tone::Notice);
        }
    }

    /// An event of an unknown kind.
    pub fn unknown(&mut self, seq: u64) {
        self.head_seq = self.head_seq.max(seq);
        self.window.event(seq, None, None);
    }

    /// Events are missing. If they may have changed others, all must be read again: see
    /// [`Timeline`](crate::client::Timeline).
    pub fn gap(&mut self, gap: &Gap) {
        let after = gap.to_seq.saturating_add(1).max(gap.from_seq);
        match gap.reason {
            GapReason::Retention => {
                self.oldest_seq = self.oldest_seq.max(after);
                self.window.restart(after);
            }
            GapReason::EpochChanged => {
                // The new history begins where the lost one did.
                let last = gap.from_seq.saturating_sub(1);
                self.changes.start(last);
                self.window.restart(gap.from_seq);
                self.reading.replaced(last);
            }
            GapReason::Damaged | GapReason::Other => {
                self.changes.start(gap.to_seq);
                self.window.restart(after);
            }
        }
        self.window.append(Content::Gap(*gap), None);
        self.head_seq = self.head_seq.max(if gap.reason == GapReason::EpochChanged { 0 } else { gap.to_seq });
        self.requests.resume();
        self.pane.go_to_end();
        self.cache.clear();
        (self.selected, self.unfolded) = (None, HashSet::new());
    }

    /// Somebody else joined or left.
    pub fn presence(&mut self, time_ms: u64, name: &str, joined: bool) {
        let recent = self.window.iter().rev().take(SPOKE_ENTRIES);
        let spoke = recent.filter_map(|entry| entry.message()).any(|held| held.message.sender == name);
        let change = PresenceChange { name: name.to_owned(), joined, spoke };
        let merged = self.window.change_last(|last| match last {
            Content::Presence(presence) => {
                presence.record(change.clone());
                Some(())
            }
            _ => None,
        });
        match merged {
            Some((key, ())) => self.cache.forget(key),
            None => {
                let mut presence = Presence { time_ms, ..Presence::default() };
                presence.record(change);
                self.window.append(Content::Presence(presence), self.pane.anchor_key());
            }
        }
    }

    /// Shows a line of the client.
    pub fn notice(&mut self, time_ms: u64, text: &str, tone: Tone) {
        let notice = Notice { time_ms, text: text.to_owned(), tone };
        self.window.append(Content::Notice(notice), self.pane.anchor_key());
    }

    /// Shows an own message that is not stored yet.
    pub fn post(&mut self, pending: Pending) {
        self.pending.push(pending);
    }

    /// An own message is stored, or was withdrawn. Returns it if it was shown.
    pub fn settled(&mut self, id: &MessageId) -> Option<Pending> {
        let at = self.pending.iter().position(|pending| pending.id == *id)?;
        Some(self.pending.remove(at))
    }

    /// An own message will never be stored.
    pub fn failed(&mut self, id: &MessageId, reason: &str) {
        if let Some(pending) = self.pending.iter_mut().find(|pending| pending.id == *id) {
            pending.failed = Some(reason.to_owned());
        }
    }

    /// Keeps the pending messages that are still to be stored, and those that never will be.
    pub fn keep_pending(&mut self, is_sent: impl Fn(&MessageId) -> bool) {
        self.pending.retain(|pending| pending.failed.is_some() || is_sent(&pending.id));
    }

    /// A text was sent: a message with it that could not be stored is not shown any more.
    pub fn sent_again(&mut self, body: &str) {
        self.pending.retain(|pending| pending.failed.is_none() || pending.body != body);
    }

    /// The connection is lost.
    pub fn disconnected(&mut self) {
        self.has_caught_up = false;
    }

    /// Shows the whole text of a message, or folds it again.
    pub fn toggle_fold(&mut self, seq: u64) {
        if !self.unfolded.remove(&seq) {
            self.unfolded.insert(seq);
        }
        self.cache.forget(Key::event(seq));
    }

    /// The room is shown now.
    pub fn entered(&mut self) {
        self.reading.entered();
    }

    /// Another room is shown now. What was made for the screen is given back.
    pub fn left(&mut self) {
        self.cache.clear();
        self.selected = None;
    }

    /// The terminal lost the focus while the room was shown.
    pub fn lost_focus(&mut self) {
        self.reading.lost_focus();
    }

    /// The room was shown to its end ([`Screenful::at_end`]) with the terminal focused. True: the mark moved.
    pub fn seen(&mut self) -> bool {
        self.reading.seen(self.head_seq)
    }

    /// The user sent something, or wants the line of unread messages to go.
    pub fn read(&mut self) {
        self.reading.done(self.head_seq);
    }

    /// The user marks the room as unread, from that message on.
    pub fn mark_unread(&mut self, from_seq: u64) {
        let start = self.window.position(Key::event(from_seq));
        let held = self.window.iter().skip(start).filter_map(|entry| entry.message());
        self.reading.mark_unread(from_seq, held);
    }

    pub fn name(&self) -> &RoomName {
        &self.name
    }

    pub fn topic(&self) -> &str {
        self.state.topic()
    }

    /// The last one pinned last.
    pub fn pinned_seqs(&self) -> &[u64] {
        self.state.pinned_seqs()
    }

    pub fn unread(&self) -> u64 {
        self.reading.unread()
    }

    /// There are more unread messages than counted.
    pub fn has_more_unread(&self) -> bool {
        self.reading.is_minimum()
    }

    pub fn mentions(&self) -> u64 {
        self.reading.mentions()
    }

    /// How far the room was read, and in which history, to be kept across restarts.
    pub fn mark(&self) -> Option<(u64, Epoch)> {
        self.reading.mark().zip(self.epoch)
    }

    /// How many events the server has that have not arrived.
    pub fn behind(&self) -> u64 {
        let last = self.window.known().map_or(self.head_seq, |(_, last)| last);
        if self.has_caught_up || !self.window.is_live() { 0 } else { self.head_seq.saturating_sub(last) }
    }

    /// The own messages that are not stored, in the order in which they were posted.
    pub fn pending(&self) -> &[Pending] {
        &self.pending
    }

    /// A message, if it is in memory.
    pub fn get(&self, seq: u64) -> Option<&StoredMessage> {
        self.window.message(seq).map(|held| &held.message)
    }

    /// The messages in memory, the newest first.
    pub fn newest(&self) -> impl Iterator<Item = &StoredMessage> {
        self.window.iter().rev().filter_map(|entry| entry.message()).map(|held| &held.message)
    }

    /// The user's last message in memory, and the last one of somebody else, that were not deleted.
    pub fn last_of(&self, own: bool) -> Option<&StoredMessage> {
        let mut held = self.window.iter().rev().filter_map(|entry| entry.message());
        held.find(|held| held.is_own == own && !held.message.extras.is_deleted()).map(|held| &held.message)
    }

    fn hold(&mut self, message: StoredMessage, own: bool) -> HeldMessage {
        let is_claim = self.me.marks_claims && !message.authenticated;
        let name_columns = columns(&drawn_name(&shown_name(&message.sender, is_claim), Emoji::Full));
        self.widest_name = self.widest_name.max(name_columns);
        let is_own = own || message.sender == self.me.name && message.authenticated == self.me.authenticated;
        let mentions_me = is_mention(&self.me, &message, is_own);
        HeldMessage { message, is_own, mentions_me }
    }
}

/// Whether a message mentions the user: by the list of names that its client sent, or by the name in its text, because
/// not all clients send a list.
pub fn is_mention(me: &Me, message: &StoredMessage, is_own: bool) -> bool {
    let is_named = || message.extras.mentions.iter().any(|name| *name == me.name || name == EVERYBODY);
    !is_own && !message.extras.is_deleted() && (is_named() || !marks::names(&message.body, &me.name).is_empty())
}

#[cfg(test)]
pub(super) mod tests;
