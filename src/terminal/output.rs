//! Data on standard output, for the commands that don't share it with a line being typed.

use std::io::{self, BufWriter, IsTerminal, Stdout, Write};

use super::screen::rows;

/// Buffered standard output. The writer flushes when no more output follows at the moment.
pub struct Output {
    stdout: BufWriter<Stdout>,
    /// On a terminal a line is broken into indented rows.
    in_rows: bool,
}

impl Output {
    /// `json` is written in one piece everywhere.
    pub fn new(json: bool) -> Self {
        let stdout = io::stdout();
        let in_rows = !json && stdout.is_terminal();
        Self { stdout: BufWriter::with_capacity(64 * 1024, stdout), in_rows }
    }

    /// Writes a line that holds no control characters.
    pub fn line(&mut self, line: &str) -> io::Result<()> {
        if self.in_rows {
            self.stdout.write_all(rows(line, self.stdout.get_ref()).as_bytes())?;
        } else {
            self.stdout.write_all(line.as_bytes())?;
        }
        self.stdout.write_all(b"\n")
    }

    pub fn flush(&mut self) -> io::Result<()> {
        self.stdout.flush()
    }
}

/// Distinguishes a closed output, which means that the reader needs no more, from a failed one.
pub fn unless_closed(outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome,
    }
}
