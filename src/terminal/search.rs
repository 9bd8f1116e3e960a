//! `hubbub search`: finds messages by their words, the newest first.

use std::time::{SystemTime, UNIX_EPOCH};

use super::TerminalError;
use super::list::{outcome, stored_line};
use super::options::SearchOptions;
use super::output::Output;
use super::screen::Screen;
use super::server::Server;
use crate::client::SearchQuery;
use crate::escape::escape;

/// The maximum number of entries of a page.
const PAGE_SIZE: u64 = 100;

pub fn search(server: Server, options: &SearchOptions) -> Result<(), TerminalError> {
    let SearchOptions { words, room, sender, since, limit, format } = options;
    let format = format.format(server.has_login);
    let mut caller = server.caller()?;
    let mut output = Output::new(format.json);
    let after = since.map(|since| SystemTime::now().checked_sub(since).unwrap_or(UNIX_EPOCH));
    let after = after.and_then(|after| after.duration_since(UNIX_EPOCH).ok());
    let query = SearchQuery {
        text: words.join(" "),
        room: room.clone(),
        sender: sender.clone(),
        after_ms: after.map_or(0, |after| after.as_millis() as u64),
        before_ms: 0,
    };
    outcome((|| {
        let (mut left, mut token, mut behind) = (*limit, String::new(), 0);
        while left > 0 {
            let page = caller.search(&query, left.min(PAGE_SIZE) as u32, &token)?;
            behind = page.behind_count;
            for found in page.found.iter().take(left as usize) {
                let line = stored_line(format, &found.room, &found.message);
                // Without a room, the line begins with it: no name of a user can begin with a bracket.
                let prefix =
                    if format.json || room.is_some() { String::new() } else { format!("[{}] ", escape(&found.room)) };
                output.line(&format!("{prefix}{line}"))?;
            }
            left = left.saturating_sub(page.found.len() as u64);
            if page.next_page_token.is_empty() || page.next_page_token == token {
                break;
            }
            token = page.next_page_token;
        }
        output.flush()?;
        if behind > 0 {
            Screen::default().notice(&format!("not searched yet: up to {behind} of the newest messages"));
        }
        Ok(())
    })())
}
