//! The thread that draws: only it writes frames to the terminal.
//!
//! It draws the newest view when its time has come (`pace.rs`), and drops those in between. A frame has only what has
//! changed (`diff.rs`); if nothing has, nothing is written.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};
use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};

use super::diff::Diff;
use super::guard::Guard;
use super::inlet::Size;
use super::pace::{Due, Pace, QUESTION, Urgency};
use super::view::View;
use crate::threads::spawn;

/// How many texts for the terminal, such as a bell, may wait. More of them say nothing new.
const TEXTS_MAX: usize = 16;

/// How long the end of the program waits for the terminal's last answer: the shell would get it.
const LAST_ANSWER_TIME: Duration = Duration::from_millis(300);

/// A view that waits this long is not seen: the terminal takes no output, as when a link is interrupted.
const STALLED_TIME: Duration = Duration::from_secs(3);

/// Draws a view into a buffer. Returns where the cursor is, if it is shown.
pub type Draw = Box<dyn FnMut(&View, &mut Buffer) -> Option<Position> + Send>;

/// The model's side of the painter.
#[derive(Clone)]
pub struct Painter {
    shared: Arc<Shared>,
}

struct Shared {
    guard: Arc<Guard>,
    /// Lock order: 0, above those of the guard, and never held while drawing or writing.
    state: Mutex<State>,
    /// There may be something to draw.
    work: Condvar,
    /// The terminal has answered.
    answered: Condvar,
}

#[derive(Default)]
struct State {
    next: Option<Next>,
    texts: VecDeque<String>,
    pace: Pace,
    /// Everything must be drawn again.
    erased: bool,
    ended: bool,
}

/// The newest view that is not drawn.
struct Next {
    view: Arc<View>,
    size: Size,
    /// Whether the user asked for it.
    asked: bool,
    /// Whether the input has changed by typing, and is not drawn.
    typed: bool,
    /// How long there has been something to draw.
    since: Instant,
}

/// What to do.
enum Job {
    Draw { view: Arc<View>, size: Size, part: Part, erase: bool },
    Text(String),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    All,
    Input,
}

impl Painter {
    /// Starts the thread. It ends when the terminal is gone, or after [`Painter::finish`].
    pub fn start(guard: Arc<Guard>, draw: Draw) -> io::Result<Self> {
        let (work, answered) = (Condvar::new(), Condvar::new());
        let shared = Arc::new(Shared { guard, state: Mutex::default(), work, answered });
        let thread = Arc::clone(&shared);
        spawn("painter", move || Canvas::new(draw).run(&thread))?;
        Ok(Self { shared })
    }

    /// Shows a view, in place of one that is not drawn yet.
    pub fn show(&self, view: View, size: Size, urgency: Urgency) {
        let mut state = self.shared.state.lock();
        let before = state.next.take();
        let asked = urgency == Urgency::Asked || before.as_ref().is_some_and(|next| next.asked);
        let typed = urgency == Urgency::Typed || before.as_ref().is_some_and(|next| next.typed);
        let since = before.map_or_else(Instant::now, |next| next.since);
        state.next = Some(Next { view: Arc::new(view), size, asked, typed, since });
        self.shared.work.notify_one();
    }

    /// Whether the terminal has taken nothing for a while.
    pub fn is_stalled(&self) -> bool {
        self.shared.state.lock().next.as_ref().is_some_and(|next| next.since.elapsed() >= STALLED_TIME)
    }

    /// Writes a text for the terminal between two frames: a bell, a notification, a copied text.
    pub fn tell(&self, text: String) {
        let mut state = self.shared.state.lock();
        if state.texts.len() < TEXTS_MAX {
            state.texts.push_back(text);
        }
        self.shared.work.notify_one();
    }

    /// The terminal was in other hands: the next frame draws everything.
    pub fn erased(&self) {
        let mut state = self.shared.state.lock();
        state.erased = true;
        state.pace.forget();
        self.shared.work.notify_one();
    }

    /// The terminal has answered the question of a frame.
    pub fn answered(&self) {
        self.shared.state.lock().pace.answered();
        self.shared.work.notify_one();
        self.shared.answered.notify_all();
    }

    /// Draws no more, and waits a little for the answer to the last frame, which the shell would get otherwise. Call it
    /// before the terminal is restored, or lent.
    pub fn pause(&self) {
        let until = Instant::now() + LAST_ANSWER_TIME;
        let mut state = self.shared.state.lock();
        state.next = None;
        while state.pace.is_asked() && !self.shared.answered.wait_until(&mut state, until).timed_out() {}
        state.pace.forget();
    }

    /// The same at the end of the program.
    pub fn finish(&self) {
        self.shared.state.lock().ended = true;
        self.shared.work.notify_one();
        self.pause();
    }
}

impl Shared {
    /// Waits for something to do. `None`: nothing more is drawn.
    fn next(&self, has_drawn: bool) -> Option<Job> {
        let mut state = self.state.lock();
        loop {
            if state.ended {
                return None;
            }
            if let Some(text) = state.texts.pop_front() {
                return Some(Job::Text(text));
            }
            match state.next_frame(has_drawn, Instant::now()) {
                Ok(job) => return Some(job),
                Err(until) => self.wait(&mut state, until),
            }
        }
    }

    fn wait(&self, state: &mut MutexGuard<'_, State>, until: Option<Instant>) {
        match until {
            Some(until) => drop(self.work.wait_until(state, until)),
            None => self.work.wait(state),
        }
    }
}

impl State {
    /// What is drawn now, or when to look again.
    fn next_frame(&mut self, has_drawn: bool, now: Instant) -> Result<Job, Option<Instant>> {
        let Some(next) = &mut self.next else { return Err(None) };
        let urgency = if next.asked { Urgency::Asked } else { Urgency::Arrived };
        let due = match self.pace.due(urgency, now) {
            Due::Wait(_) if next.typed && !next.asked => self.pace.due(Urgency::Typed, now),
            Due::Wait(_) if next.typed => Due::Input,
            due => due,
        };
        let part = match due {
            Due::Wait(until) if has_drawn => return Err(Some(until)),
            Due::Input if has_drawn && !self.erased => Part::Input,
            _ => Part::All,
        };
        next.typed = false;
        let (view, size) = (Arc::clone(&next.view), next.size);
        let erase = part == Part::All && std::mem::take(&mut self.erased);
        if part == Part::All {
            self.next = None;
        }
        Ok(Job::Draw { view, size, part, erase })
    }
}

/// What the terminal shows.
struct Canvas {
    draw: Draw,
    diff: Diff,
    buffer: Buffer,
    /// The view that was drawn last.
    view: Option<(Arc<View>, Size)>,
}

impl Canvas {
    fn new(draw: Draw) -> Self {
        Self { draw, diff: Diff::default(), buffer: Buffer::default(), view: None }
    }

    fn run(mut self, shared: &Shared) {
        while let Some(job) = shared.next(self.view.is_some()) {
            let written = match job {
                Job::Text(text) => shared.guard.write(text.as_bytes()).map(drop),
                Job::Draw { view, size, part, erase } => self.frame(shared, view, size, part, erase),
            };
            // The terminal is gone: the input thread reports it.
            if written.is_err() {
                return;
            }
        }
    }

    fn frame(&mut self, shared: &Shared, view: Arc<View>, size: Size, part: Part, erase: bool) -> io::Result<()> {
        let (view, size) = match (&self.view, part) {
            (Some((shown, size)), Part::Input) => {
                let (input, answer) = (view.input.clone(), view.answer.clone());
                (Arc::new(View { input, answer, ..View::clone(shown) }), *size)
            }
            _ => (view, size),
        };
        if erase {
            self.diff.forget();
        } else if self.view.as_ref().is_some_and(|shown| *shown == (Arc::clone(&view), size)) {
            return Ok(());
        }
        self.buffer.resize(Rect::new(0, 0, size.columns, size.rows));
        let cursor = (self.draw)(&view, &mut self.buffer);
        let mut bytes = self.diff.frame(&self.buffer, cursor);
        self.view = Some((view, size));
        if bytes.is_empty() {
            return Ok(());
        }
        {
            let mut state = shared.state.lock();
            let (length, now) = (bytes.len(), Instant::now());
            match part {
                Part::Input => state.pace.drawn_input(length, now),
                Part::All if state.pace.drawn(length, now) => bytes.extend(QUESTION.as_bytes()),
                Part::All => {}
            }
        }
        if !shared.guard.write(&bytes)? {
            // Another program has the terminal. When it comes back, everything is drawn.
            shared.state.lock().pace.forget();
            self.view = None;
            self.diff.forget();
        }
        Ok(())
    }
}
