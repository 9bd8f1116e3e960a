//! The progress bar, and how log lines get past it.

use std::io::{self, IsTerminal, Write};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::escape::escape;

/// How the bar looks: what is delivered, and of how many.
const STYLE: &str = "{wide_bar} {human_pos}/{human_len} deliveries";

/// A bar on standard error, if that is a terminal and the user wants one.
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

    /// Where log lines go: above the bar, without tearing it.
    pub fn log_target(&self) -> impl Write + Send + 'static {
        AboveBar(self.bar.clone())
    }

    /// Writes a line to standard error, whatever is logged.
    pub fn notice(&self, line: &str) {
        let line = format!("hubbub-repeat: {}\n", escape(line));
        // Nobody is left to tell that standard error is closed.
        let _ = self.bar.suspend(|| io::stderr().write_all(line.as_bytes()));
    }

    pub fn start(&self, deliveries: u64) {
        self.bar.set_length(deliveries);
        self.bar.reset();
    }

    pub fn set(&self, deliveries: u64) {
        self.bar.set_position(deliveries);
    }

    /// Removes the bar, so that the result stands alone.
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
