//! A real server, the model of one of its rooms, and clients of both contracts.

use std::path::Path;
use std::sync::Arc;

use fastrand::Rng;
use grpcio::{Client, Environment, RpcStatusCode as Code};
use hubbub::threads::park::block_on;
use hubbub::wire::v1::list_messages_request::Place;

use super::calls::{Act, Caller};
use super::follower::{Follower, Scene};
use super::naive::Room;
use crate::support::chatter::{Chatter, Next, environment};
use crate::support::process::ServerProcess;
use crate::support::talker::{Talker, post};
use crate::support::wait_for;

pub const SENDERS: [&str; 5] = ["ann", "bob", "cid", "dan", "eve"];
const EMOJIS: [&str; 3] = ["+1", "\u{2764}\u{fe0f}", "tea"];

/// The room of the tutorial's contract.
pub const LOBBY: &str = "lobby";
/// The client of the tutorial's contract.
const CHATTER: &str = "zoe";

pub struct World {
    pub rng: Rng,
    environment: Arc<Environment>,
    target: String,
    client: Client,
    room: String,
    pub model: Room,
    /// How many messages the server keeps.
    kept: Option<u64>,
    followers: Vec<Follower>,
    listener: Option<Listener>,
    texts: u64,
    /// How many gaps clients got.
    pub gaps: usize,
}

/// A client of the tutorial's contract, and the message after which it listens.
struct Listener {
    chatter: Chatter,
    after: u64,
}

impl World {
    /// The room must be new.
    pub fn new(seed: u64, target: &str, room: &str, kept: Option<u64>) -> Self {
        let environment = environment();
        let client = Talker::connect(&environment, target, "caller").client;
        let (rng, model, target, room) = (Rng::with_seed(seed), Room::default(), target.to_owned(), room.to_owned());
        let (followers, listener) = Default::default();
        let (texts, gaps) = (0, 0);
        let mut world = Self { rng, environment, target, client, room, model, kept, followers, listener, texts, gaps };
        world.one(&("ann".to_owned(), Act::Post { id: 1 << 64, body: "the first".to_owned(), reply_to: 0 }));
        if world.room == LOBBY {
            let chatter = Chatter::join(&world.environment, &world.target, CHATTER);
            world.listener = Some(Listener { chatter, after: 0 });
            world.say();
            // Its join is not acknowledged, but what it says is.
            world.listener.iter_mut().for_each(|listener| listener.after = world.model.head);
        }
        world
    }

    /// The server has another address now.
    pub fn moved(&mut self, target: &str) {
        target.clone_into(&mut self.target);
        self.client = Talker::connect(&self.environment, target, "caller").client;
        for at in 0..self.followers.len() {
            self.resume(at);
        }
    }

    /// All clients disconnect.
    pub fn disconnect(&mut self) {
        self.followers.iter_mut().for_each(Follower::disconnect);
        self.finish_listening();
    }

    fn text(&mut self) -> String {
        self.texts += 1;
        let bytes = [0, 30, 300, 900, 3_000][self.rng.usize(..5)];
        format!("<{}.{}>{}", self.room, self.texts, "x".repeat(bytes))
    }

    fn sender(&mut self) -> String {
        SENDERS[self.rng.usize(..SENDERS.len())].to_owned()
    }

    /// The next user and act. Sometimes the act names an event that does not exist, or is not a message.
    fn draw(&mut self) -> (String, Act) {
        let by = self.sender();
        let oldest = self.model.messages.keys().next().copied().unwrap_or(1);
        let message = match self.rng.u32(..3) {
            0 => self.rng.u64(self.model.head.saturating_sub(8)..=self.model.head + 1),
            _ => self.rng.u64(oldest.saturating_sub(2)..=self.model.head + 1),
        };
        // Mostly its sender's.
        let own = self.model.messages.get(&message).map_or_else(|| by.clone(), |said| said.sender.clone());
        let own = if self.rng.u32(..5) == 0 { by.clone() } else { own };
        match self.rng.u32(..24) {
            0..7 => {
                let reply_to = if self.rng.u32(..4) == 0 { message } else { 0 };
                let (id, body) = (u128::from(self.texts + 1), self.text());
                (by, Act::Post { id, body, reply_to })
            }
            // Again.
            7 => match self.model.messages.get(&message).filter(|said| said.id > 0) {
                Some(said) => {
                    let (id, body, reply_to) = (said.id, said.texts[0].clone(), said.reply_to);
                    (said.sender.clone(), Act::Post { id, body, reply_to })
                }
                None => (by, Act::Topic("again".to_owned())),
            },
            8..12 => {
                let edited = self.model.messages.get(&message).map(|said| said.edited);
                let seen = match self.rng.u32(..6) {
                    0 => edited,
                    1 => Some(self.rng.u64(..=self.model.head)),
                    _ => None,
                };
                let same = self.model.messages.get(&message).and_then(|said| said.body.clone());
                let body = same.filter(|_| self.rng.u32(..8) == 0);
                (own, Act::Edit { message, body: body.unwrap_or_else(|| self.text()), seen })
            }
            12..14 => (own, Act::Delete { message }),
            14..20 => {
                let (emoji, removed) = (EMOJIS[self.rng.usize(..EMOJIS.len())].to_owned(), self.rng.u32(..3) == 0);
                (by, Act::React { message, emoji, removed })
            }
            20..23 => (by, Act::Pin { message, removed: self.rng.u32(..3) == 0 }),
            _ => (by, Act::Topic(["", "tea", "cake"][self.rng.usize(..3)].to_owned())),
        }
    }

    fn caller(&self, name: &str) -> Caller {
        Caller::new(&self.client, &self.room, name)
    }

    /// Makes a call, and compares its response with the model.
    pub fn call(&mut self) {
        let drawn = self.draw();
        self.one(&drawn);
    }

    fn one(&mut self, (by, act): &(String, Act)) {
        let found = self.caller(by).act(act).map_err(|end| end.code);
        if self.is_of_trimmed(act, &found) {
            self.trim();
        }
        assert_eq!(found, self.model.act(by, act), "{by} in {}: {act:?}", self.room);
    }

    /// Whether this is the response of a server that has deleted the message meanwhile.
    fn is_of_trimmed(&self, act: &Act, found: &Result<u64, Code>) -> bool {
        let (message, found_so) = match act {
            Act::Edit { message, .. } | Act::Delete { message } | Act::React { message, .. } => {
                (message, *found == Err(Code::NOT_FOUND))
            }
            Act::Pin { message, removed: false } => (message, *found == Err(Code::NOT_FOUND)),
            Act::Pin { message, removed: true } => (message, *found == Ok(0)),
            Act::Post { .. } | Act::Topic(_) => return false,
        };
        let newer = self.model.messages.range(message + 1..).count() as u64;
        found_so && self.model.messages.contains_key(message) && self.kept.is_some_and(|kept| newer >= kept)
    }

    /// Some calls at once, and a page. The order in which the server judged them is that of their seqs.
    pub fn burst(&mut self) {
        let drawn: Vec<_> = (0..self.rng.usize(2..9)).map(|_| self.draw()).collect();
        let pending: Vec<_> = drawn.iter().map(|(by, act)| self.caller(by).start(act)).collect();
        self.request_page();
        let results: Vec<_> = pending.into_iter().map(block_on).collect();
        let mut left: Vec<usize> = (0..drawn.len()).collect();
        loop {
            let due = self.model.head + 1;
            let is_next = |&at: &usize| {
                let (by, act) = &drawn[at];
                results[at] == Ok(due) && self.model.clone().act(by, act) == Ok(due)
            };
            let Some(at) = left.iter().position(is_next) else { break };
            let (by, act) = &drawn[left.remove(at)];
            self.model.act(by, act).expect("it is as judged before");
        }
        for at in left {
            match (&results[at], &drawn[at].1) {
                // Nothing had to be done.
                (Ok(seq), _) => assert!(*seq <= self.model.head, "{:?}: {seq} of {}", drawn[at], self.model.head),
                (Err(end), act) => {
                    let codes = [Code::NOT_FOUND, Code::FAILED_PRECONDITION, Code::PERMISSION_DENIED, Code::ABORTED];
                    assert!(codes.contains(&end.code), "{end:?}");
                    if let Act::Edit { body, .. } | Act::Post { body, .. } = act {
                        self.model.settle(body);
                    }
                }
            }
        }
        assert_eq!(self.caller("ann").page(None, 1).expect("a page").head_seq, self.model.head);
    }

    /// Many posts in one request, some of them changed at once.
    pub fn flood(&mut self) {
        let (by, mut commands, mut bytes) = (self.sender(), Vec::new(), 0);
        for _ in 0..self.rng.usize(2..400) {
            let (id, body) = (u128::from(self.texts + 1), self.text());
            bytes += body.len() + 64;
            if bytes > 60_000 {
                break;
            }
            commands.push(post(&self.room, id, &body));
            self.model.act(&by, &Act::Post { id, body, reply_to: 0 }).expect("it can be posted");
        }
        let mut talker = Talker::join(&self.environment, &self.target, &by, &self.room);
        talker.send(commands);
        loop {
            if talker.next().seq == self.model.head {
                break;
            }
        }
    }

    /// The client of the tutorial's contract says something.
    pub fn say(&mut self) {
        let text = self.text();
        let Some(listener) = &mut self.listener else { return };
        listener.chatter.say(&text);
        let (caller, due) = (self.caller("ann"), self.model.say(CHATTER, &text));
        wait_for("the message to be stored", || caller.page(None, 1).expect("a page").head_seq == due);
    }

    /// Retention may have deleted messages. Returns the oldest event.
    pub fn trim(&mut self) -> u64 {
        let oldest = self.caller("ann").page(None, 1).expect("a page").oldest_seq;
        self.model.trim(oldest);
        oldest
    }

    fn scene(&self) -> Scene<'_> {
        Scene { environment: &self.environment, target: &self.target, model: &self.model }
    }

    fn pick(&mut self) -> Option<usize> {
        (!self.followers.is_empty()).then(|| self.rng.usize(..self.followers.len()))
    }

    /// A client joins, or joins again and forgets what it held.
    pub fn join(&mut self) {
        let last = [None, Some(0), Some(5), Some(30), Some(u32::MAX)][self.rng.usize(..5)];
        let name = self.sender();
        let follower = Follower::join(&self.scene(), &name, &self.room, last);
        match self.pick().filter(|_| self.followers.len() >= 4) {
            Some(at) => {
                self.gaps += self.followers[at].gaps;
                self.followers[at] = follower;
            }
            None => self.followers.push(follower),
        }
    }

    /// A client reads some of what there is for it.
    pub fn read(&mut self) {
        let Some(at) = self.pick() else { return };
        let follower = &mut self.followers[at];
        for _ in 0..self.rng.usize(..60) {
            if follower.next > self.model.head {
                break;
            }
            follower.read(&self.model);
        }
    }

    pub fn resume_one(&mut self) {
        if let Some(at) = self.pick() {
            self.resume(at);
        }
    }

    fn resume(&mut self, at: usize) {
        let name = self.sender();
        let scene = Scene { environment: &self.environment, target: &self.target, model: &self.model };
        self.followers[at].resume(&scene, &name);
    }

    /// A client requests a page of older messages, which arrives later.
    pub fn request_page(&mut self) {
        let Some(at) = self.pick() else { return };
        let before = self.followers[at].from();
        let page = self.caller("ann").page(Some(Place::BeforeSeq(before)), self.rng.u32(1..20)).expect("a page");
        self.followers[at].hold_page(before, page);
    }

    pub fn take_page(&mut self) {
        if let Some(at) = self.pick() {
            self.followers[at].take_page();
        }
    }

    /// A page from anywhere has the messages of the model.
    pub fn check_page(&mut self) {
        let (seq, size) = (self.rng.u64(..=self.model.head + 1), self.rng.u32(1..60));
        let place = if self.rng.bool() { Place::AfterSeq(seq) } else { Place::BeforeSeq(seq) };
        let page = self.caller("ann").page(Some(place.clone()), size).expect("a page");
        assert_eq!(page.head_seq, self.model.head);
        self.model.trim(page.oldest_seq);
        let found: Vec<u64> = page.events.iter().map(|event| event.seq).collect();
        let expected: Vec<u64> = match place {
            Place::AfterSeq(_) => self.model.messages.range(seq + 1..).map(|(seq, _)| *seq).take(found.len()).collect(),
            _ => {
                let before: Vec<u64> = self.model.messages.range(..seq).map(|(seq, _)| *seq).collect();
                before[before.len() - found.len()..].to_vec()
            }
        };
        assert_eq!(found, expected, "{place:?}, {size}");
        // A page may be shorter because of its bytes, but not empty.
        let more = match place {
            Place::AfterSeq(_) => self.model.messages.range(seq + 1..).next().is_some(),
            _ => self.model.messages.range(..seq).next().is_some(),
        };
        assert!(found.len() <= size as usize && (!more || !found.is_empty()), "{place:?}, {size}");
        for event in &page.events {
            self.model.messages[&event.seq].check(event.seq, event.message());
        }
    }

    /// The client of the tutorial's contract reads all: each message that is not deleted, in order, with a text that it
    /// had; and nothing else.
    pub fn finish_listening(&mut self) {
        let Some(Listener { mut chatter, after }) = self.listener.take() else { return };
        let (name, end) = ("ann".to_owned(), self.text());
        self.one(&(name, Act::Post { id: u128::from(self.texts), body: end.clone(), reply_to: 0 }));
        // Those that were deleted since were sent before.
        let all = self.model.trimmed.range(after + 1..).chain(self.model.messages.range(after + 1..));
        let mut left = all.filter(|(_, said)| said.sender != CHATTER);
        loop {
            match chatter.next() {
                Next::Message { name, body } => {
                    let is_it = |said: &super::naive::Said| said.sender == name && said.texts.contains(&body);
                    loop {
                        let Some((seq, said)) = left.next() else { panic!("{name}: {:.20} came out of order", body) };
                        if is_it(said) {
                            break;
                        }
                        assert!(said.body.is_none(), "message {seq} is missing before {body:.20}");
                    }
                    if body == end {
                        return;
                    }
                }
                Next::Ended { code, message } => {
                    let is_behind = code == Code::DATA_LOSS && self.kept.is_some();
                    return assert!(is_behind, "{code:?}: {message}");
                }
            }
        }
    }

    /// Everybody catches up, and holds what the model says. So does the server.
    pub fn finish(&mut self) {
        self.finish_listening();
        let caller = self.caller("ann");
        for follower in &mut self.followers {
            follower.catch_up(&self.model);
        }
        let (mut events, page) = caller.messages();
        // Retention may have deleted some between two pages.
        self.model.trim(page.oldest_seq);
        events.retain(|event| event.seq >= page.oldest_seq);
        let found: Vec<u64> = events.iter().map(|event| event.seq).collect();
        assert_eq!(found, self.model.messages.keys().copied().collect::<Vec<_>>());
        let mut wrong = Vec::new();
        for event in &events {
            let said = &self.model.messages[&event.seq];
            said.check(event.seq, event.message());
            for (emoji, names) in &said.reactions {
                // Retention may have deleted the message since.
                let found = caller.reactors(event.seq, emoji, self.rng.u32(1..4));
                wrong.extend((found.as_ref() != Ok(names)).then_some((event.seq, found)));
            }
        }
        let oldest = self.trim();
        assert!(wrong.iter().all(|(seq, _)| *seq < oldest), "{oldest} is the oldest: {wrong:?}");
        for follower in &mut self.followers {
            follower.take_page();
            follower.check(&self.model, oldest);
            self.gaps += follower.gaps;
        }
        if let Some(kept) = self.kept {
            let newest = self.model.messages.keys().rev().nth(kept as usize - 1);
            assert!(newest.is_none_or(|seq| oldest <= *seq), "{oldest} is the oldest");
        }
        // A client that joins now gets the same, and none of the removed texts.
        let name = self.sender();
        let mut late = Follower::join(&self.scene(), &name, &self.room, Some(u32::MAX));
        late.catch_up(&self.model);
        let oldest = self.trim();
        late.check(&self.model, oldest);
        assert_eq!(late.held.range(oldest..).count(), self.model.messages.len());
    }
}

/// A server on this folder.
pub fn serve(data: &Path, arguments: &[&str]) -> ServerProcess {
    let data = data.to_str().expect("a plain path");
    ServerProcess::start(&[&["--data", data, "--sync", "os"], arguments].concat())
}
