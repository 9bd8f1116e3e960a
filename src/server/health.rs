//! Whether the server can do its work, for probes: is it starting, serving, draining, or unable to write its log.
//!
//! The state has two parts, each with one writer: the phase, which only the thread that starts and stops the server
//! changes, and the fault of the log, which only the log writer changes. A drain hides a fault, and so does the start.

use std::sync::Arc;

use parking_lot::Mutex;

/// The state of a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// It does not serve yet: the log is being opened, for example.
    #[default]
    Starting,
    Serving,
    /// It accepts nothing new, and will exit.
    Draining,
    /// It serves readers, but refuses to store messages, for this reason.
    Failed(String),
}

/// Called when the state has changed. MUST NOT block: the caller may be the log writer. It gets no argument, since the
/// state may have changed again: it reads [`HealthState::get`].
pub type Listener = Box<dyn Fn() + Send + Sync>;

/// The state of a server, and who is told when it changes.
#[derive(Default)]
pub struct HealthState {
    // lock order: 3 (a leaf, held for one copy or change)
    state: Mutex<State>,
    // lock order: 3 (a leaf, held for one copy or addition)
    listeners: Mutex<Vec<Arc<dyn Fn() + Send + Sync>>>,
}

#[derive(Default)]
struct State {
    phase: Phase,
    /// Why messages can't be stored.
    fault: Option<String>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Starting,
    Serving,
    Draining,
}

impl Health {
    /// The name of the state in metrics.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Serving => "serving",
            Self::Draining => "draining",
            Self::Failed(_) => "failed",
        }
    }

    /// All names.
    pub const WORDS: [&str; 4] = ["starting", "serving", "draining", "failed"];

    /// Why the server is not ready; `None` if it is.
    pub fn reason(&self) -> Option<String> {
        match self {
            Self::Serving => None,
            Self::Starting => Some("the server is starting".to_owned()),
            Self::Draining => Some("the server is shutting down".to_owned()),
            Self::Failed(fault) => Some(format!("messages can't be stored: {fault}")),
        }
    }
}

impl HealthState {
    pub fn get(&self) -> Health {
        let state = self.state.lock();
        match (state.phase, &state.fault) {
            (Phase::Starting, _) => Health::Starting,
            (Phase::Draining, _) => Health::Draining,
            (Phase::Serving, None) => Health::Serving,
            (Phase::Serving, Some(fault)) => Health::Failed(fault.clone()),
        }
    }

    /// The addresses are served from now on.
    pub fn set_serving(&self) {
        self.change(|state| {
            // A drain is never undone.
            if state.phase == Phase::Starting {
                state.phase = Phase::Serving;
            }
        });
    }

    /// A drain has started.
    pub fn set_draining(&self) {
        self.change(|state| state.phase = Phase::Draining);
    }

    /// Messages can't be stored. Only for the log writer.
    pub fn set_failed(&self, fault: String) {
        self.change(|state| state.fault = Some(fault));
    }

    /// Messages can be stored again. Only for the log writer.
    pub fn set_recovered(&self) {
        self.change(|state| state.fault = None);
    }

    /// Whether messages can't be stored, in whatever phase.
    pub fn is_failed(&self) -> bool {
        self.state.lock().fault.is_some()
    }

    /// Adds a listener, which is called after each change, on the thread that changed the state.
    pub fn on_change(&self, listener: Listener) {
        self.listeners.lock().push(Arc::from(listener));
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let changed = {
            let mut state = self.state.lock();
            let before = (state.phase, state.fault.clone());
            change(&mut state);
            before != (state.phase, state.fault.clone())
        };
        if changed {
            // Called without the lock, since a listener reads the state.
            let listeners = self.listeners.lock().clone();
            listeners.iter().for_each(|listener| listener());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_hear_of_each_change_once() {
        let state = Arc::new(HealthState::default());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (heard, read) = (Arc::clone(&seen), Arc::clone(&state));
        state.on_change(Box::new(move || heard.lock().push(read.get())));
        assert_eq!(state.get(), Health::Starting);
        state.set_recovered();
        state.set_serving();
        state.set_failed("full".to_owned());
        state.set_failed("full".to_owned());
        state.set_recovered();
        state.set_draining();
        state.set_serving();
        let full = Health::Failed("full".to_owned());
        assert_eq!(*seen.lock(), [Health::Serving, full, Health::Serving, Health::Draining]);
    }

    #[test]
    fn only_a_server_that_serves_and_stores_is_ready() {
        let state = HealthState::default();
        assert!(state.get().reason().is_some());
        state.set_failed("the disk is full".to_owned());
        assert_eq!(state.get(), Health::Starting);
        state.set_serving();
        assert_eq!(state.get().reason().unwrap(), "messages can't be stored: the disk is full");
        assert!(state.is_failed());
        state.set_recovered();
        assert_eq!(state.get().reason(), None);
        state.set_draining();
        assert!(state.get().reason().unwrap().contains("shutting down"));
    }

    #[test]
    fn each_state_has_its_word() {
        let states = [Health::Starting, Health::Serving, Health::Draining, Health::Failed(String::new())];
        assert_eq!(states.map(|state| state.word()), Health::WORDS);
    }
}
