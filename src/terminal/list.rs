//! `hubbub history`, `rooms` and `members`: listings, page by page.

use super::TerminalError;
use super::change_format::ShownMessage;
use super::format::{Format, gap, shown_name};
use super::json::{JsonEvent, JsonMember, JsonRoom, json};
use super::options::{HistoryOptions, ListOptions, MembersOptions};
use super::output::{Output, unless_closed};
use super::screen::Screen;
use super::server::Server;
use crate::client::{CallError, Caller, Gap, Member, Page, PagePlace, RoomInfo, StoredMessage, each_page, lines};
use crate::escape::{escape, escape_name};
use crate::limits::PAGE_SIZE_MAX;
use crate::names::RoomName;

/// Why a listing ended early.
pub enum Stop {
    Output(std::io::Error),
    Error(TerminalError),
}

pub fn history(server: Server, options: &HistoryOptions) -> Result<(), TerminalError> {
    let HistoryOptions { room, after, before, limit, format } = options;
    let format = format.format(server.has_login);
    let mut caller = server.caller()?;
    let mut output = Output::new(format.json);
    outcome((|| {
        let head = caller.messages(room, PagePlace::Newest, 1)?;
        let end = before.unwrap_or(u64::MAX).min(head.head_seq.saturating_add(1));
        let start = match after {
            Some(after) => *after,
            None => start_of_last(&mut caller, room, end, *limit)?,
        };
        // If a message was requested by number and is gone, that is reported.
        if after.is_some() && start.saturating_add(1) < head.oldest_seq {
            let gone = head.oldest_seq - 1 - start;
            let notice = format!("{} before message {} no longer kept", lines(gone), head.oldest_seq);
            Screen::default().notice(&notice);
        }
        let (mut last, mut left) = (start, *limit);
        while left > 0 && last.saturating_add(1) < end {
            let size = left.min(PAGE_SIZE_MAX as u64);
            let page = caller.messages(room, PagePlace::After(last), size as u32)?;
            let Some(page_end) = page.last_seq.filter(|page_end| *page_end > last) else { break };
            let mut gaps = page.gaps.iter().peekable();
            for message in page.messages {
                show_gaps(&mut output, || gaps.next_if(|missing| missing.from_seq < message.seq))?;
                if message.seq <= last || message.seq >= end || left == 0 {
                    // Not requested; a server that repeats messages ends the listing.
                    return output.flush().map_err(Stop::Output);
                }
                output.line(&stored_line(format, room.as_str(), &message))?;
                (last, left) = (message.seq, left - 1);
            }
            show_gaps(&mut output, || gaps.next())?;
            last = last.max(page_end);
        }
        output.flush().map_err(Stop::Output)
    })())
}

/// The seq before the last `limit` messages before `end`. Other events take seqs too, so the pages are read backwards.
fn start_of_last(caller: &mut Caller, room: &RoomName, end: u64, limit: u64) -> Result<u64, CallError> {
    let (mut first, mut left) = (end, limit);
    while left > 0 && first > 1 {
        let page = caller.messages(room, PagePlace::Before(first), left.min(PAGE_SIZE_MAX as u64) as u32)?;
        let found = page.messages.len() as u64;
        let gap = page.gaps.first().map(|gap| gap.from_seq);
        let Some(start) = page.messages.first().map(|message| message.seq).into_iter().chain(gap).min() else { break };
        if start >= first {
            break;
        }
        (first, left) = (start, left.saturating_sub(found));
    }
    Ok(first.saturating_sub(1))
}

/// A message as a line.
pub fn stored_line(format: Format, room: &str, message: &StoredMessage) -> String {
    if format.json {
        return json(&JsonEvent::stored(room, message));
    }
    let StoredMessage { seq, ref body, kind, ref extras, .. } = *message;
    let sender = shown_name(&message.sender, format.marks_claims && !message.authenticated);
    let shown = ShownMessage {
        sender: &sender,
        seq,
        body,
        kind,
        extras,
        reply_target: None,
        marks_claims: format.marks_claims,
    };
    format.columns(seq, message.time_ms) + &shown.text(false)
}

/// Reports the missing messages, after the earlier output.
fn show_gaps<'a>(output: &mut Output, mut next: impl FnMut() -> Option<&'a Gap>) -> Result<(), Stop> {
    while let Some(missing) = next() {
        output.flush()?;
        Screen::default().notice(&gap(missing));
    }
    Ok(())
}

pub fn rooms(server: Server, options: &ListOptions) -> Result<(), TerminalError> {
    let mut caller = server.caller()?;
    let line = |room: RoomInfo| match options.json {
        true => json(&JsonRoom {
            room: &room.name,
            head_seq: room.head_seq,
            oldest_seq: room.oldest_seq,
            members: room.members,
            topic: &room.topic,
        }),
        false => {
            let kept = room.head_seq.saturating_add(1).saturating_sub(room.oldest_seq);
            let (messages, members) = (count(kept, "message"), count(room.members.into(), "member"));
            format!("{}: {messages}, {members}", escape(&room.name))
        }
    };
    list(options, |token| Ok(caller.rooms(token)?), line)
}

pub fn members(server: Server, options: &MembersOptions) -> Result<(), TerminalError> {
    let MembersOptions { room, list: options } = options;
    let marks_claims = server.has_login;
    let mut caller = server.caller()?;
    let line = |Member { client_id, name, authenticated }| match options.json {
        true => json(&JsonMember { room: room.as_str(), client_id, name: &name, authenticated }),
        false => escape_name(&shown_name(&name, marks_claims && !authenticated)).into_owned(),
    };
    list(options, |token| Ok(caller.members(room, token)?), line)
}

/// Prints a line for each item of a listing.
fn list<T>(
    options: &ListOptions,
    read: impl FnMut(&str) -> Result<Page<T>, Stop>,
    line: impl Fn(T) -> String,
) -> Result<(), TerminalError> {
    let mut output = Output::new(options.json);
    let printed =
        each_page(read, |page| page.into_iter().try_for_each(|item| output.line(&line(item)).map_err(Stop::Output)));
    outcome(printed.and_then(|()| output.flush().map_err(Stop::Output)))
}

/// A number of items, in words.
fn count(n: u64, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

pub fn outcome(outcome: Result<(), Stop>) -> Result<(), TerminalError> {
    match outcome {
        Ok(()) => Ok(()),
        Err(Stop::Output(e)) => unless_closed(Err(e)).map_err(TerminalError::Output),
        Err(Stop::Error(e)) => Err(e),
    }
}

impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Self {
        Self::Output(error)
    }
}

impl From<crate::client::CallError> for Stop {
    fn from(error: crate::client::CallError) -> Self {
        Self::Error(error.into())
    }
}
