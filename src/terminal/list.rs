//! `hubbub history`, `rooms` and `members`: listings, page by page.

use super::TerminalError;
use super::format::{JsonMember, JsonRoom, Printed, gap, json, shown_name};
use super::options::{HistoryOptions, ListOptions, MembersOptions};
use super::output::{Output, unless_closed};
use super::screen::Screen;
use super::server::Server;
use crate::client::{Gap, Member, Page, PagePlace, RoomInfo, each_page, lines};
use crate::escape::{escape, escape_name};
use crate::limits::PAGE_SIZE_MAX;

/// Why a listing ended early.
enum Stop {
    Output(std::io::Error),
    Error(TerminalError),
}

/// Messages of a room are numbered without a gap, so the last messages before a seq are those after another one: every
/// range is read forwards, and printed as it arrives.
pub fn history(server: Server, options: &HistoryOptions) -> Result<(), TerminalError> {
    let HistoryOptions { room, after, before, limit, format } = options;
    let format = format.format(server.has_login);
    let mut caller = server.caller()?;
    let mut output = Output::new(format.json);
    outcome((|| {
        let head = caller.messages(room, PagePlace::Newest, 1)?;
        let end = before.unwrap_or(u64::MAX).min(head.head_seq.saturating_add(1));
        let start = after.unwrap_or_else(|| end.saturating_sub(limit.saturating_add(1)));
        // If a message was requested by number and is gone, that is reported.
        if after.is_some() && start.saturating_add(1) < head.oldest_seq {
            let gone = head.oldest_seq - 1 - start;
            let notice = format!("{} before message {} no longer kept", lines(gone), head.oldest_seq);
            Screen::default().notice(&notice);
        }
        let (mut last, mut left) = (start, *limit);
        while left > 0 && last.saturating_add(1) < end {
            let size = left.min(PAGE_SIZE_MAX as u64).min(end - 1 - last);
            let page = caller.messages(room, PagePlace::After(last), size as u32)?;
            let Some(page_end) = page.last_seq.filter(|page_end| *page_end > last) else { break };
            let mut gaps = page.gaps.iter().peekable();
            for message in page.messages {
                show_gaps(&mut output, || gaps.next_if(|missing| missing.from_seq < message.seq))?;
                if message.seq <= last || message.seq >= end || left == 0 {
                    // Not requested; a server that repeats messages ends the listing.
                    return output.flush().map_err(Stop::Output);
                }
                output.line(&format.message(&Printed {
                    room,
                    seq: message.seq,
                    time_ms: message.time_ms,
                    id: &message.id,
                    sender: &message.sender,
                    body: &message.body,
                    kind: message.kind,
                    client_id: message.client_id,
                    authenticated: message.authenticated,
                }))?;
                (last, left) = (message.seq, left - 1);
            }
            show_gaps(&mut output, || gaps.next())?;
            last = last.max(page_end);
        }
        output.flush().map_err(Stop::Output)
    })())
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

fn outcome(outcome: Result<(), Stop>) -> Result<(), TerminalError> {
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
