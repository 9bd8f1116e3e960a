//! The loop of the model's thread: events in, requests out, and the newest view to the painter.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Select, Sender};
use signal_hook::consts::{SIGINT, SIGQUIT};

use super::guard::Guard;
use super::inlet::{End, Incoming, Outgoing};
use super::input_thread::InputThread;
use super::model::Model;
use super::outside;
use super::pace::Urgency;
use super::painter::Painter;
use super::store::Store;
use crate::terminal::raw::suspend;
use crate::threads::{panic_point, spawn};

/// How many events are handled before what they have changed is shown.
const EVENTS_AT_ONCE: usize = 64;

/// The shortest time between two views that only show what has arrived: the painter draws no more of them.
const VIEW_TIME: Duration = Duration::from_millis(50);

/// The other threads, as the loop knows them.
pub struct Parts {
    pub guard: Arc<Guard>,
    pub painter: Painter,
    pub input: InputThread,
    pub store: Store,
    pub incoming: Receiver<Incoming>,
    /// For the thread of an editor.
    pub events: Sender<Incoming>,
    pub requests: Sender<Outgoing>,
}

/// The state of the loop.
struct Loop {
    parts: Parts,
    /// What the network has not taken yet.
    queue: VecDeque<Outgoing>,
    /// Events that were taken from the channel and not handled yet.
    backlog: VecDeque<Incoming>,
    /// An editor has the terminal.
    is_editing: bool,
    /// When the last view was shown.
    shown_at: Option<Instant>,
    /// What the user has asked for is not shown yet.
    urgency: Option<Urgency>,
    exit_code: Option<i32>,
}

/// Runs until the program ends. Returns its exit code, and the parts.
pub fn run(model: &mut Model, parts: Parts) -> (i32, Parts) {
    let mut this = Loop {
        parts,
        queue: VecDeque::new(),
        backlog: VecDeque::new(),
        is_editing: false,
        shown_at: None,
        urgency: Some(Urgency::Asked),
        exit_code: None,
    };
    loop {
        this.settle(model);
        if let Some(code) = this.exit_code {
            return (code, this.parts);
        }
        if let Some(event) = this.wait(model) {
            this.handle(model, event);
            for _ in 1..EVENTS_AT_ONCE {
                let next = this.backlog.pop_front().or_else(|| this.parts.incoming.try_recv().ok());
                let Some(event) = next else { break };
                this.handle(model, event);
            }
        }
        model.tick(Instant::now());
        panic_point("model");
    }
}

impl Loop {
    /// Waits for an event, or until something is due.
    fn wait(&mut self, model: &Model) -> Option<Incoming> {
        if let Some(event) = self.backlog.pop_front() {
            return Some(event);
        }
        let view_at = self.urgency.and(self.shown_at).map(|at| at + VIEW_TIME);
        let due = [model.next_tick(), view_at].into_iter().flatten().min();
        let mut select = Select::new();
        let receives = select.recv(&self.parts.incoming);
        if !self.queue.is_empty() {
            select.send(&self.parts.requests);
        }
        let ready = match due {
            Some(due) => select.select_deadline(due).ok()?,
            None => select.select(),
        };
        if ready.index() == receives {
            // The loop has a sender itself, so the channel is open.
            return ready.recv(&self.parts.incoming).ok();
        }
        // Invariant: sending was selected only if there is a request.
        let request = self.queue.pop_front().expect("a request waits");
        // The network thread ends only with this loop.
        let _ = ready.send(&self.parts.requests, request);
        None
    }

    fn handle(&mut self, model: &mut Model, event: Incoming) {
        match event {
            // They are meant for the editor.
            Incoming::End(End::Signal(SIGINT | SIGQUIT)) if self.is_editing => {}
            // The editor was stopped, and the shell waits for this program too.
            Incoming::StopAsked if self.is_editing => suspend(),
            Incoming::StopAsked => self.suspend(model),
            Incoming::Continued if self.is_editing => {}
            Incoming::Continued => self.take_terminal(model),
            Incoming::Edited(text) => {
                self.is_editing = false;
                self.take_terminal(model);
                self.parts.input.resume();
                model.handle(Incoming::Edited(text), Instant::now());
            }
            event => model.handle(event, Instant::now()),
        }
    }

    /// Executes what the model asks for, and shows what has changed.
    fn settle(&mut self, model: &mut Model) {
        self.execute_all(model);
        for text in model.take_texts() {
            self.parts.painter.tell(text);
        }
        self.urgency = self.urgency.max(model.take_urgency());
        let Some(urgency) = self.urgency.filter(|_| !self.is_editing) else { return };
        let now = Instant::now();
        if urgency == Urgency::Arrived && self.shown_at.is_some_and(|at| now < at + VIEW_TIME) {
            return;
        }
        (self.urgency, self.shown_at) = (None, Some(now));
        model.stalled(self.parts.painter.is_stalled());
        self.parts.painter.show(model.view(), model.size(), urgency);
        // The view may need older history. Asked for only after the next event, it would come with the next key.
        self.execute_all(model);
    }

    fn execute_all(&mut self, model: &mut Model) {
        while let Some(request) = model.take_request() {
            self.execute(model, request);
        }
    }

    fn execute(&mut self, model: &mut Model, request: Outgoing) {
        match request {
            Outgoing::Keep(kept) => self.parts.store.keep(kept),
            Outgoing::Quit(code) => self.exit_code = Some(code),
            Outgoing::Redraw => self.parts.painter.erased(),
            Outgoing::Mouse(mouse) => self.parts.painter.tell(self.parts.guard.mouse(mouse)),
            Outgoing::Suspend => self.suspend(model),
            Outgoing::Edit(text) => self.edit(model, text),
            Outgoing::Browse(link) => self.browse(link),
            request @ (Outgoing::Join { .. }
            | Outgoing::Leave { .. }
            | Outgoing::Post { .. }
            | Outgoing::Call(..)
            | Outgoing::Reconnect) => self.queue.push_back(request),
        }
    }

    /// Opens a link, on a thread of its own: the program may run for long.
    fn browse(&self, link: String) {
        let events = self.parts.events.clone();
        let browse = move || {
            if let Err(fault) = outside::browse(&link) {
                let _ = events.send(Incoming::Fault(fault));
            }
        };
        // Without a thread, the link is not opened, which the user sees.
        let _ = spawn("browser", browse);
    }

    fn suspend(&mut self, model: &mut Model) {
        self.parts.painter.pause();
        self.parts.guard.lend();
        suspend();
        self.take_terminal(model);
    }

    /// The terminal is this program's again.
    fn take_terminal(&mut self, model: &mut Model) {
        // If the terminal is gone, the input thread reports it.
        let _ = self.parts.guard.enter();
        self.parts.painter.erased();
        model.handle(Incoming::Resized(self.parts.guard.size()), Instant::now());
        self.urgency = Some(Urgency::Asked);
    }

    /// Has the input thread stop reading. Events that it waits to pass are kept for later.
    fn pause_input(&mut self) {
        self.parts.input.pause();
        while !self.parts.input.has_paused() {
            self.backlog.extend(self.parts.incoming.try_iter());
        }
    }

    /// Gives the terminal to the editor, on a thread of its own.
    fn edit(&mut self, model: &mut Model, text: String) {
        self.is_editing = true;
        self.parts.painter.pause();
        self.pause_input();
        self.parts.guard.lend();
        let events = self.parts.events.clone();
        let edit = move || drop(events.send(Incoming::Edited(outside::edit(&text))));
        if let Err(error) = spawn("editor", edit) {
            let fault =
                format!("can't start a thread for the editor ({error}): raise the process limit, see ulimit -u");
            self.handle(model, Incoming::Edited(Err(fault)));
        }
    }
}
