//! The number of messages, asked for on the console or read from standard input.

use std::io::{self, BufRead, IsTerminal, Read as _, Write};

use super::options::{MESSAGES_MAX, Options};
use super::plan::InvalidPlan;

/// How many times the user is asked before the program gives up.
const QUESTIONS_MAX: usize = 5;

/// How many messages each sender sends: from the options, or else from the console.
pub fn messages(options: &Options) -> Result<u32, InvalidPlan> {
    if let Some(messages) = options.messages {
        return Ok(messages);
    }
    let is_terminal = io::stdin().is_terminal();
    let mut input = io::stdin().lock();
    for _ in 0..QUESTIONS_MAX {
        if is_terminal {
            let _ = write!(io::stderr(), "How many messages? ");
        }
        let line = read_line(&mut input)?;
        match line.trim().parse() {
            Ok(messages @ 1..=MESSAGES_MAX) => return Ok(messages),
            _ if is_terminal => drop(writeln!(io::stderr(), "Enter a number from 1 to {MESSAGES_MAX}.")),
            _ => {
                let start: String = line.trim().chars().take(40).collect();
                let fault =
                    format!("invalid number of messages on standard input: {start:?} (expected 1 to {MESSAGES_MAX})");
                return Err(InvalidPlan(fault));
            }
        }
    }
    Err(missing(""))
}

/// Reads the first line that is not blank; no more of an input than a number can take.
fn read_line(input: &mut impl BufRead) -> Result<String, InvalidPlan> {
    const LINE_BYTES_MAX: u64 = 4096;
    let mut input = input.take(LINE_BYTES_MAX);
    loop {
        let mut line = Vec::new();
        match input.read_until(b'\n', &mut line) {
            Ok(0) => return Err(missing("standard input ended without it")),
            Ok(_) if line.trim_ascii().is_empty() => {}
            Ok(_) => return Ok(String::from_utf8_lossy(&line).into_owned()),
            Err(error) => return Err(missing(&format!("standard input can't be read: {error}"))),
        }
    }
}

fn missing(why: &str) -> InvalidPlan {
    let why = if why.is_empty() { String::new() } else { format!(" ({why})") };
    InvalidPlan(format!("the number of messages is missing{why}: give it with --messages, or on standard input"))
}
