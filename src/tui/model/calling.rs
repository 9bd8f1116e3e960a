//! The calls that are under way.

use super::super::inlet::{Call, Outgoing};
use super::super::network::CALLS_MAX;
use super::parts::Asked;
use super::{Link, Model};

impl Model {
    /// Makes a call. False: it can't be made now.
    pub(super) fn call(&mut self, call: Call, asked: Asked) -> bool {
        let is_online = matches!(self.link, Link::Online | Link::Held { .. });
        if !is_online || self.calls.asked.len() >= CALLS_MAX {
            return false;
        }
        self.calls.last += 1;
        self.calls.asked.insert(self.calls.last, asked);
        self.requests.push_back(Outgoing::Call(self.calls.last, call));
        true
    }

    /// Makes a call for the user, who learns if it can't be made.
    pub(super) fn call_for_user(&mut self, call: Call, asked: Asked) {
        if !self.call(call, asked) {
            let reason = match self.link {
                Link::Online | Link::Held { .. } => "the server has not answered the requests before",
                _ => "there is no connection",
            };
            self.fail(&format!("not possible now: {reason}"));
        }
    }
}
