//! Whether the server serves, for those who watch it: probes, load balancers, and the operator.
//!
//! The state has few causes, and each has one place that reports it: the start and the drain (`server.rs`), the log
//! writer when messages can't be stored (`writer.rs`), and the end of the log's life. Reading it takes no time, also on a
//! poller.

use std::sync::Arc;

use parking_lot::Mutex;

/// The state of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It does not accept calls yet.
    Starting,
    /// It stores and delivers messages.
    Serving,
    /// It shuts down. This is final.
    Draining,
    /// It can't store messages, for this reason, which may name files: it is for the operator. Reading may go on.
    Failed(String),
}

/// The state of a server, shared by those who set it and those who read it.
#[derive(Default)]
pub struct HealthState {
    // lock order: 3 (a leaf)
    facts: Mutex<Facts>,
    // lock order: 3 (a leaf; not held while one is called)
    observers: Mutex<Vec<Observer>>,
}

/// MUST NOT block, and MUST NOT set the state.
type Observer = Arc<dyn Fn() + Send + Sync>;

#[derive(Default)]
struct Facts {
    phase: Phase,
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
    /// The names of all states in metrics.
    pub const WORDS: [&str; 4] = ["starting", "serving", "draining", "failed"];

    pub fn is_serving(&self) -> bool {
        *self == Self::Serving
    }

    /// The name of the state in metrics.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Serving => "serving",
            Self::Draining => "draining",
            Self::Failed(_) => "failed",
        }
    }

    /// Why the server is not ready; `None` if it is.
    pub fn reason(&self) -> Option<String> {
        match self {
            Self::Serving => None,
            Self::Starting => Some("the server is starting".to_owned()),
            Self::Draining => Some("the server is shutting down".to_owned()),
            Self::Failed(reason) => Some(reason.clone()),
        }
    }
}

impl HealthState {
    pub fn get(&self) -> Health {
        self.facts.lock().health()
    }

    /// The server accepts calls. Without effect during a drain.
    pub fn set_serving(&self) {
        self.change(|facts| {
            if facts.phase == Phase::Starting {
                facts.phase = Phase::Serving;
            }
        });
    }

    /// The drain begins.
    pub fn set_draining(&self) {
        self.change(|facts| facts.phase = Phase::Draining);
    }

    /// Messages can't be stored.
    pub fn set_failed(&self, reason: String) {
        self.change(|facts| facts.fault = Some(reason));
    }

    /// Messages can be stored again.
    pub fn set_recovered(&self) {
        self.change(|facts| facts.fault = None);
    }

    /// Calls this after each change, on the thread that makes it: it MUST NOT block, and MUST NOT set the state. Changes
    /// that follow each other fast may be seen as one.
    pub fn on_change(&self, act: Box<dyn Fn() + Send + Sync>) {
        self.observers.lock().push(Arc::from(act));
    }

    fn change(&self, change: impl FnOnce(&mut Facts)) {
        let mut facts = self.facts.lock();
        let before = facts.health();
        change(&mut facts);
        let is_same = facts.health() == before;
        drop(facts);
        if !is_same {
            let observers = self.observers.lock().clone();
            observers.iter().for_each(|observer| observer());
        }
    }
}

impl Facts {
    fn health(&self) -> Health {
        match (self.phase, &self.fault) {
            (Phase::Starting, _) => Health::Starting,
            (Phase::Draining, _) => Health::Draining,
            (Phase::Serving, Some(reason)) => Health::Failed(reason.clone()),
            (Phase::Serving, None) => Health::Serving,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn failed(reason: &str) -> Health {
        Health::Failed(reason.to_owned())
    }

    #[test]
    fn a_server_starts_fails_recovers_and_drains() {
        let state = HealthState::default();
        assert_eq!(state.get(), Health::Starting);
        state.set_serving();
        assert_eq!(state.get(), Health::Serving);
        state.set_failed("the disk is full".to_owned());
        assert_eq!(state.get(), failed("the disk is full"));
        state.set_recovered();
        assert_eq!(state.get(), Health::Serving);
        state.set_draining();
        // Nothing brings a server back that shuts down.
        state.set_serving();
        state.set_recovered();
        assert_eq!(state.get(), Health::Draining);
    }

    #[test]
    fn a_fault_before_the_start_shows_after_it() {
        let state = HealthState::default();
        state.set_failed("the disk is full".to_owned());
        assert_eq!(state.get(), Health::Starting);
        state.set_serving();
        assert_eq!(state.get(), failed("the disk is full"));
    }

    #[test]
    fn each_state_has_its_word_and_only_one_is_ready() {
        let states = [Health::Starting, Health::Serving, Health::Draining, failed("the disk is full")];
        assert_eq!(states.each_ref().map(Health::word), Health::WORDS);
        let is_ready = states.each_ref().map(|state| state.reason().is_none());
        assert_eq!(is_ready, states.each_ref().map(Health::is_serving));
        assert_eq!(is_ready, [false, true, false, false]);
    }

    #[test]
    fn observers_are_called_once_for_each_change() {
        let (state, calls) = (Arc::<HealthState>::default(), Arc::<AtomicUsize>::default());
        let (seen, counted) = (Arc::clone(&state), Arc::clone(&calls));
        // An observer may read the state, and another may be added meanwhile.
        state.on_change(Box::new(move || {
            let _ = seen.get();
            counted.fetch_add(1, Ordering::Relaxed);
        }));
        state.set_serving();
        state.set_serving();
        state.set_recovered();
        assert_eq!(calls.load(Ordering::Relaxed), 1);
        state.set_failed("a".to_owned());
        state.set_failed("a".to_owned());
        state.set_failed("b".to_owned());
        state.set_draining();
        state.set_failed("c".to_owned());
        assert_eq!(calls.load(Ordering::Relaxed), 4);
    }
}
