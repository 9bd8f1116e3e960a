//! The progress bar, and log lines above it.

use std::io::{self, IsTerminal, Write};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::escape::escape;

/// The format of the bar: delivered messages, of the total.
const STYLE: &str = "{wide_bar} {human_pos}/{human_len} deliveries";

/// A bar on standard error, if that is a terminal and `--quiet` is not given.
#[derive(Clone)]
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    pub fn new(quiet: bool) -> Self {
        let shown = !quiet && io::stderr().is_terminal();
        let target = if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        // Invariant: the template is a valid constant.
        let style = ProgressStyle::with_template(STYLE).expect("the bar's template is valid");
        Self { bar: ProgressBar::with_draw_target(Some(0), target).with_style(style) }
    }

    /// The target of log lines: above the bar.
    pub fn log_target(&self) -> impl Write + Send + 'static {
        AboveBar(self.bar.clone())
    }

    /// Writes a line to standard error, independently of the log level.
    pub fn notice(&self, line: &str) {
        let line = format!("hubbub-repeat: {}\n", escape(line));
        // If standard error is closed, the error can't be reported.
        let _ = self.bar.suspend(|| io::stderr().write_all(line.as_bytes()));
    }

    pub fn start(&self, deliveries: u64) {
        self.bar.set_length(deliveries);
        self.bar.reset();
    }

    pub fn set(&self, deliveries: u64) {
        self.bar.set_position(deliveries);
    }

    /// Removes the bar before the result is printed.
    pub fn stop(&self) {
        self.bar.finish_and_clear();
    }
}

struct AboveBar(ProgressBar);

impl Write for AboveBar {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.suspend(|| io::stderr().write_all(bytes))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
