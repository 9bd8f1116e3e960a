//! The answers that a connection owes its client, in the order of the requests.
//!
//! A client may send several requests before it reads an answer. Of those that came together, the calls for the log
//! writer are begun one after another, and are stored together. Their answers are sent in one piece, when the next request
//! is not there yet or has to wait for them.

use std::time::{Instant, SystemTime};

use super::answer::{self, Answer};
use super::fence::Asker;
use super::methods::{Codec, Encoded};
use super::refuse::fail;
use super::socket::{Interrupted, Socket};
use crate::limits::{HTTP_PIPELINED_MAX, RESPONSE_TIMEOUT};
use crate::server::calls::slots::Slot;
use crate::threads::park::block_on;

/// The length of a short answer, in bytes.
const ANSWER_BYTES: usize = 400;

/// The answers that a connection owes.
#[derive(Default)]
pub struct Owed(Vec<(Due, Terms)>);

/// One of them.
pub enum Due {
    /// The slot of a call is taken until the client has the answer.
    Answer(Answer, Option<Slot>),
    /// The result of a call, once it is there.
    Call(Encoded, Codec),
}

/// How a request wants its answer.
pub struct Terms {
    pub asker: Asker,
    /// An answer to HEAD has none.
    pub has_body: bool,
    /// The connection ends after it.
    pub closes: bool,
}

impl From<Answer> for Due {
    fn from(answer: Answer) -> Self {
        Self::Answer(answer, None)
    }
}

impl Owed {
    pub fn is_full(&self) -> bool {
        self.0.len() >= HTTP_PIPELINED_MAX
    }

    pub fn push(&mut self, due: Due, terms: Terms) {
        self.0.push((due, terms));
    }

    /// Waits until all results are there, and sends the answers. Returns whether the connection ends with the last of
    /// them: the request or the answer may say so, or the server, which is then asked.
    pub fn send(&mut self, socket: &Socket, must_close: impl FnOnce() -> bool) -> Result<bool, Interrupted> {
        let Some((last, last_terms)) = self.0.pop() else { return Ok(false) };
        // The log writer executes calls in their order: when the last one is done, all are, and this thread is woken
        // once.
        let last = last.wait();
        let closes = last.0.closes || last_terms.closes || must_close();
        let count = self.0.len() + 1;
        let (mut bytes, mut slots) = (Vec::with_capacity(count * ANSWER_BYTES), Vec::with_capacity(count));
        let date = answer::date(SystemTime::now());
        let mut add = |(answer, slot): (Answer, _), terms: &Terms, closes| {
            terms.asker.mark(answer).encode(&mut bytes, terms.has_body, closes, &date);
            slots.push(slot);
        };
        for (due, terms) in self.0.drain(..) {
            add(due.wait(), &terms, false);
        }
        add(last, &last_terms, closes);
        let sent = socket.send_all(&bytes, Instant::now() + RESPONSE_TIMEOUT);
        drop(slots);
        sent.map(|()| closes)
    }
}

impl Due {
    fn wait(self) -> (Answer, Option<Slot>) {
        match self {
            Self::Answer(answer, slot) => (answer, slot),
            Self::Call(response, codec) => match block_on(response) {
                Ok((slot, bytes)) => (Answer::new(200, codec.content_type(), bytes), Some(slot)),
                Err(error) => (fail(&error), None),
            },
        }
    }
}
