//! Pastes, the question about a long one, and the text that comes back from `$EDITOR`. None of them is lost, and none is
//! sent without an answer.

use std::time::Instant;

use crossterm::event::KeyEvent;

use super::super::inlet::Outgoing;
use super::super::keys::{Edit, Key};
use super::super::pace::Urgency;
use super::super::paste::{self, Choice, Paste, Plan, Question, Stray, clean};
use super::Model;
use super::listing::Open;

impl Model {
    /// A key that came right after a paste, faster than a person presses it, belongs to it.
    pub(super) fn stray(&mut self, stray: Stray) {
        let c = match stray {
            Stray::LineBreak => '\n',
            Stray::Text(c) => c,
            Stray::Nothing => return,
        };
        match &mut self.open {
            Some(Open::Paste(question)) => {
                question.add_char(c);
                self.wants(Urgency::Asked);
            }
            Some(_) => {}
            None if c == '\n' => drop(self.editor.edit(Edit::NewLine)),
            None => self.typed(c),
        }
    }

    pub(super) fn pasted(&mut self, raw: &str, now: Instant) {
        self.paste.pasted(now);
        let paste = Paste::new(raw);
        if paste.is_cut {
            self.fail("the paste has more than 1 MiB: its end is missing");
        }
        match &mut self.open {
            Some(Open::Paste(question)) => {
                let is_added = question.add(paste);
                self.paste.asked(now);
                return match is_added {
                    true => self.tell("the second paste was added to the first one"),
                    false => self.fail("the second paste was not added: together they are too long"),
                };
            }
            Some(Open::List(_)) => return self.filter(|filter| filter.push_str(&paste.in_one_line())),
            // It has no use for a text, so it makes way.
            Some(Open::Help(_)) => self.open = None,
            None => {}
        }
        self.is_selecting = false;
        self.wants(Urgency::Asked);
        match paste.plan(self.editor.text().len()) {
            Plan::Nothing => {}
            Plan::Insert(text) => self.insert(&text),
            Plan::Ask(question) => {
                self.paste.asked(now);
                self.open = Some(Open::Paste(question));
                self.keeping.changed();
            }
        }
    }

    /// Inserts a text into the input.
    pub(super) fn insert(&mut self, text: &str) {
        if let Err(fault) = self.editor.insert(text) {
            self.fail(&fault.to_string());
        }
        self.keeping.changed();
        self.wants(Urgency::Asked);
    }

    /// A key, while the question about a paste is open. A letter that comes too soon was not meant as its answer: it is
    /// typed. No other key does anything, Enter least of all.
    pub(super) fn at_question(&mut self, event: &KeyEvent, now: Instant) {
        let Some(Open::Paste(question)) = &self.open else { return };
        let typed = Key::of_event(event).and_then(Key::text);
        let choice = question.choice(event);
        match choice.filter(|_| typed.is_none() || self.paste.may_answer(now)) {
            Some(choice) => return self.paste_choice(choice, now),
            None => self.paste.asked(now),
        }
        match typed {
            Some(c) => self.typed(c),
            None => self.tell("the paste waits for one of the letters above; Esc cancels it"),
        }
    }

    fn paste_choice(&mut self, choice: Choice, now: Instant) {
        let Some(Open::Paste(question)) = self.open.take() else { return };
        self.wants(Urgency::Asked);
        self.keeping.changed();
        match question.clone().answer(choice) {
            paste::Answer::Insert(text) => {
                if let Err(fault) = self.editor.insert(&text) {
                    self.ask_again(question, &fault.to_string(), now);
                }
            }
            // If the editor fails, the paste is in the input.
            paste::Answer::Edit(text) => match self.editor.replace(&self.with_inserted(&text)) {
                Ok(()) => self.requests.push_back(Outgoing::Edit(self.editor.text().to_owned())),
                Err(fault) => self.ask_again(question, &fault.to_string(), now),
            },
            paste::Answer::Send(bodies) => {
                for (at, (body, kind)) in bodies.iter().enumerate() {
                    if let Err(fault) = self.send(body.clone(), *kind, None) {
                        let rest: Vec<_> = bodies[at..].iter().map(|(body, _)| body.as_str()).collect();
                        // A failure to insert it would be shown.
                        self.insert(&rest.join("\n"));
                        return self.fail(&format!("{} not sent: {fault}; it is in the input", rest.len()));
                    }
                }
            }
            paste::Answer::Nothing => {
                if self.editor.keep_killed(question.text()) {
                    self.tell("the paste is cancelled; Ctrl-Y inserts it");
                }
            }
        }
    }

    fn ask_again(&mut self, question: Question, fault: &str, now: Instant) {
        self.paste.asked(now);
        self.open = Some(Open::Paste(question));
        self.fail(fault);
    }

    /// The input with a text at the cursor.
    fn with_inserted(&self, text: &str) -> String {
        let (before, after) = self.editor.text().split_at(self.editor.cursor());
        format!("{before}{text}{after}")
    }

    /// The input with the paste in question, to be kept as a draft.
    pub(super) fn draft_with_paste(&self) -> Option<String> {
        match &self.open {
            Some(Open::Paste(question)) => Some(self.with_inserted(question.text())),
            _ => None,
        }
    }

    /// The text came back from the editor, or did not.
    pub(super) fn edited_outside(&mut self, text: Result<String, String>) {
        // An editor may have put in anything, as a paste may.
        let replaced = text.and_then(|text| self.editor.replace(&clean(&text)).map_err(|fault| fault.to_string()));
        match replaced {
            Ok(()) => self.keeping.changed(),
            Err(fault) => self.fail_whole(&fault),
        }
        self.wants(Urgency::Asked);
    }
}
