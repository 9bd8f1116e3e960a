//! `hubbub import`: posts the messages of an export to a room.
//!
//! - Messages are posted as the file has them: with their last text, without their times and numbers, which the server
//!   gives. Deleted ones are left out, and so are the events of changes, which the messages include.
//! - Each keeps its id, so that a repeated import stores nothing twice, and continues one that was interrupted. Ids that
//!   a server has generated are replaced by others that follow from them.
//! - Each keeps its sender where names are claims. After a login only the user's own name is accepted: with `--quote`
//!   the messages of others are posted under it, with their senders in the text.
//! - Replies get the numbers of this room. Reactions, pins and the topic follow, as far as the caller may set them.

use std::collections::HashMap;
use std::io::{self, BufRead, Read as _};

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::TerminalError;
use super::options::ImportOptions;
use super::progress::Progress;
use super::screen::Screen;
use super::server::Server;
use crate::client::{CallError, Caller, Line, MessagePlace};
use crate::limits::MENTIONS_MAX;
use crate::names::{Body, Emoji, Kind, Mentions, MessageId, RoomName, Topic, UserName};
use crate::startup;

/// The longest line: a message with the longest text, every character of it escaped, and with all reactions.
const LINE_BYTES_MAX: usize = 1024 * 1024;

/// A line of the file. What is not used is ignored.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ImportedLine {
    event: String,
    seq: u64,
    message_id: String,
    sender: String,
    body: String,
    kind: String,
    reply_to_seq: u64,
    mentions: Vec<String>,
    reactions: Vec<ImportedReaction>,
    deleted_by: Option<ImportedPerson>,
    topic: String,
    pinned_seqs: Vec<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ImportedReaction {
    emoji: String,
    people: Vec<ImportedPerson>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ImportedPerson {
    name: String,
}

struct Importer {
    caller: Caller,
    room: RoomName,
    /// The name of this client, and whether it can post only under it.
    name: UserName,
    has_login: bool,
    quotes: bool,
    screen: Screen,
    /// The numbers in this room of the file's messages.
    seqs: HashMap<u64, u64>,
    topic: String,
    pinned_seqs: Vec<u64>,
    stored: u64,
    known: u64,
    faults: u64,
    progress: Progress,
}

/// Why a line is not imported.
enum Fault {
    /// The others can be.
    Line(String),
    /// No other can be.
    All(CallError),
}

pub fn import(server: Server, name: UserName, options: &ImportOptions) -> Result<(), TerminalError> {
    startup::check_input().map_err(TerminalError::Input)?;
    let has_login = server.has_login;
    let mut importer = Importer {
        caller: server.caller()?,
        room: options.room.clone(),
        name,
        has_login,
        quotes: options.quote,
        screen: Screen::default(),
        seqs: HashMap::new(),
        topic: String::new(),
        pinned_seqs: Vec::new(),
        stored: 0,
        known: 0,
        faults: 0,
        progress: Progress::of_import(),
    };
    let outcome = importer.run(&mut io::stdin().lock());
    let Importer { stored, known, .. } = importer;
    drop(importer.progress);
    importer.screen.notice(&format!("imported: {}; there already: {}", messages(stored), messages(known)));
    outcome?;
    if importer.faults > 0 { Err(TerminalError::NotImported(importer.faults)) } else { Ok(()) }
}

impl Importer {
    fn run(&mut self, input: &mut impl BufRead) -> Result<(), TerminalError> {
        let (mut line, mut bytes) = (Vec::new(), 0);
        for number in 1_u64.. {
            line.clear();
            let read = input.take(LINE_BYTES_MAX as u64 + 1).read_until(b'\n', &mut line);
            if read.map_err(TerminalError::Input)? == 0 {
                break;
            }
            bytes += line.len() as u64;
            self.progress.set(bytes);
            let outcome = match line.len() > LINE_BYTES_MAX {
                true => return Err(TerminalError::Import { line: number, reason: "the line is too long".to_owned() }),
                false => self.line(&line),
            };
            match outcome {
                Ok(()) => {}
                Err(Fault::Line(fault)) => {
                    self.faults += 1;
                    let notice = format!("line {number} is not imported: {fault}");
                    self.progress.suspend(|| self.screen.notice(&notice));
                }
                Err(Fault::All(error)) => {
                    return Err(TerminalError::Import { line: number, reason: error.to_string() });
                }
            }
        }
        self.state();
        Ok(())
    }

    fn line(&mut self, line: &[u8]) -> Result<(), Fault> {
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        let read: ImportedLine = serde_json::from_slice(line)
            .map_err(|error| Fault::Line(format!("it is not a line of an export ({error})")))?;
        match read.event.as_str() {
            "message" if read.deleted_by.is_some() => Ok(()),
            "message" => self.message(&read),
            "room" => {
                (self.topic, self.pinned_seqs) = (read.topic, read.pinned_seqs);
                Ok(())
            }
            // The messages include them. What is newer than this client is left out too.
            "edited" | "reacted" | "deleted" | "pinned" | "room_changed" | "unknown" => Ok(()),
            _ => Err(Fault::Line("it is not a line of an export".to_owned())),
        }
    }

    fn message(&mut self, read: &ImportedLine) -> Result<(), Fault> {
        let line_fault = |fault: String| Fault::Line(fault);
        let sender = UserName::new(read.sender.as_str()).map_err(|fault| line_fault(fault.to_string()))?;
        let is_own = !self.has_login || sender == self.name;
        if !is_own && !self.quotes {
            let text = format!(
                "the server accepts only your own name, {}: with --quote, {sender}'s messages are posted under it",
                self.name
            );
            return Err(Fault::All(CallError::Refused(text)));
        }
        let text = if is_own { read.body.clone() } else { format!("{sender}: {}", read.body) };
        let body = Body::new(text).map_err(|fault| line_fault(fault.to_string()))?;
        let kind = if read.kind == "action" && is_own { Kind::Action } else { Kind::Text };
        let id = id(&read.message_id, read.sender.as_str(), is_own)
            .ok_or_else(|| line_fault("its message_id is not 32 hexadecimal digits".to_owned()))?;
        let mentions = read.mentions.iter().take(MENTIONS_MAX).cloned().collect();
        let mentions = Mentions::new(mentions).unwrap_or_default();
        // A reply to a message that is not in the file is none.
        let reply_to = self.seqs.get(&read.reply_to_seq).copied();
        let line = Line { reply_to, mentions, ..Line::new(id, body, kind) };
        let by = if is_own { &sender } else { &self.name };
        let posted = self.caller.post(&self.room, by, &line).map_err(|error| match error {
            CallError::Refused(reason) => Fault::Line(reason),
            error => Fault::All(error),
        })?;
        if posted.was_stored {
            self.known += 1;
        } else {
            self.stored += 1;
        }
        self.seqs.insert(read.seq, posted.seq);
        self.reactions(read, posted.seq)
    }

    fn reactions(&mut self, read: &ImportedLine, seq: u64) -> Result<(), Fault> {
        for reaction in &read.reactions {
            let emoji = Emoji::new(reaction.emoji.as_str()).map_err(|fault| Fault::Line(fault.to_string()))?;
            for person in &reaction.people {
                let Ok(by) = UserName::new(person.name.as_str()) else { continue };
                if self.has_login && by != self.name {
                    continue;
                }
                let message = MessagePlace { room: &self.room, by: &by, seq, epoch: None };
                match self.caller.react(message, &emoji, false) {
                    Ok(_) => {}
                    Err(CallError::Refused(reason)) => return Err(Fault::Line(format!("a reaction: {reason}"))),
                    Err(error) => return Err(Fault::All(error)),
                }
            }
        }
        Ok(())
    }

    /// Sets the topic and the pins.
    fn state(&mut self) {
        let mut outcomes = Vec::new();
        if !self.topic.is_empty() {
            let topic = Topic::new(&self.topic).map_err(|fault| fault.to_string());
            let set = |topic: Topic| self.caller.set_topic(&self.room, &self.name, &topic).map_err(|e| e.to_string());
            outcomes.push(topic.and_then(set).map_err(|fault| format!("the topic is not imported: {fault}")));
        }
        for pinned in &self.pinned_seqs {
            let Some(seq) = self.seqs.get(pinned).copied() else { continue };
            let message = MessagePlace { room: &self.room, by: &self.name, seq, epoch: None };
            let pinned = self.caller.pin(message, false);
            outcomes.push(pinned.map_err(|fault| format!("message {seq} is not pinned: {fault}")));
        }
        for fault in outcomes.into_iter().filter_map(Result::err) {
            self.faults += 1;
            self.progress.suspend(|| self.screen.notice(&fault));
        }
    }
}

/// The id of an imported message. That of the file, if a client had chosen it and its sender stays; otherwise another
/// one that follows from it.
fn id(hex: &str, sender: &str, keeps_sender: bool) -> Option<MessageId> {
    let is_hex = hex.len() == 32 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    let bytes = u128::from_str_radix(hex, 16).ok().filter(|_| is_hex)?.to_be_bytes();
    if let Some(id) = MessageId::chosen(&bytes).ok().filter(|_| keeps_sender) {
        return Some(id);
    }
    let hash = Sha256::new().chain_update(sender.as_bytes()).chain_update([0xff]).chain_update(bytes).finalize();
    let mut derived: [u8; 16] = hash[..16].try_into().ok()?;
    // Ids that begin with zeros are the server's.
    derived[0] |= 1;
    Some(MessageId::from_bytes(derived))
}

fn messages(count: u64) -> String {
    if count == 1 { "1 message".to_owned() } else { format!("{count} messages") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_kept_or_follow_from_those_of_the_file() {
        let chosen = "019ac1d54f3a7b10a1d2c3e4f5061728";
        let kept = id(chosen, "ann", true).unwrap();
        assert_eq!(kept.as_bytes()[..2], [0x01, 0x9a]);
        let quoted = id(chosen, "ann", false).unwrap();
        assert!(quoted != kept && quoted == id(chosen, "ann", false).unwrap());
        assert_ne!(quoted, id(chosen, "bob", false).unwrap());
        let generated = id("0000000012345678a1d2c3e4f5061728", "ann", true).unwrap();
        assert!(generated.is_chosen());
        for bad in ["", "019a", "+19ac1d54f3a7b10a1d2c3e4f5061728", "zz9ac1d54f3a7b10a1d2c3e4f5061728"] {
            assert_eq!(id(bad, "ann", true), None, "{bad}");
        }
    }
}
