//! The progress bar of `export` and `import`, on standard error.

use std::io::{self, IsTerminal as _};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rustix::fs::{FileType, fstat, tell};
use rustix::stdio::stdin;

/// The forms of the bar: events, bytes, and bytes of an unknown number.
const EVENTS: &str = "exporting {wide_bar} {human_pos}/{human_len} events";
const BYTES: &str = "importing {wide_bar} {decimal_bytes}/{decimal_total_bytes}";
const BYTES_SO_FAR: &str = "importing … {decimal_bytes}";

/// A bar, which is removed on drop.
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// For an export, whose number of events is not known yet. Nothing is shown if the export itself goes to a terminal.
    pub fn of_export() -> Self {
        Self::new(io::stderr().is_terminal() && !io::stdout().is_terminal(), EVENTS, None)
    }

    /// For an import of standard input. Nothing is shown if somebody types it.
    pub fn of_import() -> Self {
        let bytes = input_bytes();
        let style = if bytes.is_some() { BYTES } else { BYTES_SO_FAR };
        Self::new(io::stderr().is_terminal() && !io::stdin().is_terminal(), style, bytes)
    }

    fn new(is_shown: bool, style: &str, length: Option<u64>) -> Self {
        let target = if is_shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        // Invariant: the templates are valid constants.
        let style = ProgressStyle::with_template(style).expect("the bar's template is valid");
        Self { bar: ProgressBar::with_draw_target(length, target).with_style(style) }
    }

    pub fn set_length(&self, length: u64) {
        self.bar.set_length(length);
    }

    pub fn set(&self, position: u64) {
        self.bar.set_position(position);
    }

    /// Does something that may write lines to the terminal.
    pub fn suspend<T>(&self, act: impl FnOnce() -> T) -> T {
        self.bar.suspend(act)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// How many bytes are left of standard input, if it is a file.
fn input_bytes() -> Option<u64> {
    let file = fstat(stdin()).ok().filter(|file| FileType::from_raw_mode(file.st_mode) == FileType::RegularFile)?;
    let at = tell(stdin()).ok()?;
    u64::try_from(file.st_size).ok()?.checked_sub(at)
}
