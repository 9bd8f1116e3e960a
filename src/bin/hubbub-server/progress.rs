//! The progress bar of long commands, on standard error, if that is a terminal.

use std::io::{self, IsTerminal as _};

use hubbub::server::log::sqlite::Progress;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The form of the bar, and what is shown if the end is not known.
const STYLE: &str = "{msg} {wide_bar} {decimal_bytes}/{decimal_total_bytes} ({eta})";
const STYLE_WITHOUT_END: &str = "{msg} …";

/// A bar, which is removed on drop.
pub struct Bar {
    bar: ProgressBar,
}

impl Bar {
    pub fn new() -> Self {
        let shown = io::stderr().is_terminal();
        let target = if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Self { bar: ProgressBar::with_draw_target(None, target) }
    }
}

impl Progress for Bar {
    fn begin(&mut self, what: &'static str, bytes: u64) {
        let style = if bytes == 0 { STYLE_WITHOUT_END } else { STYLE };
        // Invariant: the templates are valid constants.
        self.bar.set_style(ProgressStyle::with_template(style).expect("the bar's template is valid"));
        self.bar.set_message(what);
        self.bar.set_length(bytes);
        self.bar.reset();
        self.bar.tick();
    }

    fn at(&mut self, bytes: u64) {
        self.bar.set_position(bytes);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
