//! The log lines of the server: one line for each event, on standard error, as text or as JSON.
//!
//! - **Logging never blocks.** Standard error may be a pipe that nobody reads, or a file on a full disk. A caller formats
//!   its line and adds it to a bounded queue; the thread `log` writes. Lines that do not fit are dropped and counted, and
//!   so are those that can't be written. So a poller may log too. Only commands, which have no such thread, write
//!   directly.
//! - **Nobody can forge a line.** Text from clients is escaped: whatever a name contains, a line stays one line, and acts
//!   on no terminal.
//! - **No line has a token.** What has the form of one loses its secret, wherever it comes from (`redact.rs`).
//! - **Clients can't fill a disk with lines.** Events that a client can cause at will have the target `session` or `login`,
//!   and are limited: 20 lines in a second of each kind, then their number (`limiter.rs`).
//!
//! The variable `RUST_LOG` selects what is logged, as `env_logger` defines it.

mod format;
mod fields;
mod line;
mod redact;
mod limiter;
mod queue;
mod output;
mod writer;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread::JoinHandle;
use std::time::{Instant, SystemTime};

use log::kv::Value;
use log::{Level, Log, Metadata, Record};
use rustix::stdio::stderr;

pub use self::format::LogFormat;
use self::format::Style;
use self::limiter::{Description, Site};
use self::queue::Queue;
use self::writer::Writer;
use crate::limits::LINES_FLUSH_TIMEOUT;
use crate::{arguments, threads};

/// The target of the lines of sessions: started, ended, refused.
pub const SESSION: &str = "session";

/// The target of the lines of failed logins.
pub const LOGIN: &str = "login";

/// The targets whose lines are limited.
const LIMITED: [&str; 2] = [SESSION, LOGIN];

/// What is logged without `RUST_LOG`. The lines of the C core are for its developers.
const DEFAULT_FILTER: &str = "info,grpcio=off";

const NO_FIELDS: [(&str, Value<'static>); 0] = [];

/// The log of this program.
pub struct Logging {
    lines: Arc<Lines>,
}

/// Owns the thread `log`. Dropping it writes the lines that wait, within [`LINES_FLUSH_TIMEOUT`], and ends the thread.
pub struct LogThread {
    lines: Arc<Lines>,
    thread: Option<JoinHandle<()>>,
}

/// What becomes of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Mode {
    /// Its caller writes it.
    Direct,
    /// The thread writes it.
    Queued,
    /// Standard error is stuck, and the program is about to end.
    Dropped,
}

struct Lines {
    /// Selects the lines.
    filter: env_logger::Logger,
    style: Style,
    mode: AtomicU8,
    queue: Queue,
}

/// Sets up the log of this program. At first, each line is written by its caller.
pub fn install(format: LogFormat) -> Logging {
    let env = env_logger::Env::default().default_filter_or(DEFAULT_FILTER);
    let filter = env_logger::Builder::from_env(env).build();
    let level = filter.filter();
    let mode = AtomicU8::new(Mode::Direct as u8);
    let lines = Arc::new(Lines { filter, style: Style::of_program(format), mode, queue: Queue::default() });
    // It fails if there is one, which then stays.
    if log::set_boxed_logger(Box::new(Arc::clone(&lines))).is_ok() {
        log::set_max_level(level);
    }
    Logging { lines }
}

impl Logging {
    /// Writes why the program fails, whatever `RUST_LOG` selects: in JSON if that is the form of the lines.
    pub fn report(&self, program: &str, error: &str) {
        if self.lines.mode() == Mode::Dropped {
            return;
        }
        if self.lines.style != Style::Json {
            return arguments::complain(program, &[error.to_owned()]);
        }
        let line =
            line::line(Style::Json, SystemTime::now(), Level::Error, program, format_args!("{error}"), &NO_FIELDS);
        // If it can't be written, there is nowhere to say so.
        drop(output::write_all(stderr(), &line));
    }

    /// From now on, a thread writes the lines. If it can't be started, their callers go on to write them.
    pub fn start_thread(&self) -> io::Result<LogThread> {
        let lines = Arc::clone(&self.lines);
        let thread = threads::spawn("log", move || {
            let mut writer = Writer::new(stderr(), lines.style);
            while let Some(batch) = lines.queue.next() {
                lines.queue.written(writer.write(batch));
            }
        })?;
        self.lines.set_mode(Mode::Queued);
        Ok(LogThread { lines: Arc::clone(&self.lines), thread: Some(thread) })
    }
}

impl Drop for LogThread {
    fn drop(&mut self) {
        self.lines.queue.close();
        if let Some(thread) = self.thread.take() {
            let has_ended = threads::join_until(thread, Instant::now() + LINES_FLUSH_TIMEOUT);
            self.lines.set_mode(if has_ended { Mode::Direct } else { Mode::Dropped });
        }
    }
}

impl Lines {
    fn set_mode(&self, mode: Mode) {
        self.mode.store(mode as u8, Ordering::Release);
    }

    fn mode(&self) -> Mode {
        let mode = self.mode.load(Ordering::Acquire);
        // Invariant: only `set_mode` changes it.
        [Mode::Direct, Mode::Queued, Mode::Dropped][usize::from(mode)]
    }

    /// Whether one more line of this kind may be written.
    fn admits(&self, record: &Record<'_>) -> bool {
        if !LIMITED.contains(&record.target()) {
            return true;
        }
        let site = Site { file: record.file_static().unwrap_or_default(), line: record.line().unwrap_or_default() };
        let describe = || Description {
            level: record.level(),
            target: record.target().to_owned(),
            message: record.args().to_string(),
        };
        self.queue.admits(site, Instant::now(), describe)
    }
}

impl Log for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.filter.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if !self.filter.matches(record) {
            return;
        }
        match self.mode() {
            Mode::Queued if self.admits(record) => {
                self.queue.push(&line::of_record(self.style, SystemTime::now(), record))
            }
            // If it can't be written, there is nowhere to say so.
            Mode::Direct => {
                drop(output::write_all(stderr(), &line::of_record(self.style, SystemTime::now(), record)));
            }
            Mode::Queued | Mode::Dropped => {}
        }
    }

    /// Waits until the lines so far are written, at most [`LINES_FLUSH_TIMEOUT`]: for ends of the program that drop
    /// nothing.
    fn flush(&self) {
        if self.mode() == Mode::Queued {
            self.queue.flush(Instant::now() + LINES_FLUSH_TIMEOUT);
        }
    }
}
