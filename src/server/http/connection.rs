//! A connection: its requests, answered in their order. The response to a request that follows rooms has no end: the
//! connection is a stream from then on, and needs no thread any more.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::answer::{self, Answer};
use super::connect::{self, CALL_TYPES, Form, FormFault, Refusal, STREAM_TYPES};
use super::cookie;
use super::fence::{Asker, Fence, Intruder};
use super::follow::{self, Following};
use super::form::StreamForm;
use super::head::{BodyLength, Head, Method as Verb};
use super::held::Held;
use super::idle::Idle;
use super::input::{BodyFault, Input, NoRequest};
use super::methods::{Begun, Codec, Method};
use super::owed::{Due, Owed, Terms};
use super::refuse::{fail, preflight, refuse, refuse_body, refuse_form, turn_away};
use super::session;
use super::shared::Shared;
use super::sink::HttpSink;
use super::socket::Socket;
use crate::limits::{
    HTTP_BODY_BYTES_MAX, HTTP_BODY_TIME, HTTP_FOLLOW_BYTES_MAX, HTTP_IDLE_MAX, HTTP_LINGER, HTTP_LINGER_BYTES_MAX,
};
use crate::server::auth::credentials::{Credentials, Presented};
use crate::server::calls::bundle::Bundle;
use crate::server::calls::dispatch::CallOrigin;
use crate::server::calls::error::Code;
use crate::server::calls::slots::Slot;
use crate::server::chat_stream::{self, FollowStream};
use crate::server::delivery::close::CloseReason;
use crate::server::hub::{Entrance, Face};
use crate::server::peer::Peer;
use crate::server::session::chat::decode;
use crate::threads::park::block_on_until;

/// The paths of the methods begin so.
const SERVICE: &str = "/hubbub.v1.ChatService/";

/// The method that is a stream.
const FOLLOW: &str = "Follow";

/// What a load balancer asks for.
const HEALTH: &str = "/healthz";

/// What stands at any other path.
const NOTHING: &str = "nothing is here: the page is at /, and the calls are at /hubbub.v1.ChatService/ListRooms and its like, \
                       for example with\ncurl --json '{}' http://.../hubbub.v1.ChatService/ListRooms";

/// A connection, on its thread.
pub struct Connection {
    shared: Arc<Shared>,
    socket: Arc<Socket>,
    /// As gRPC would name it: `ipv4:192.0.2.1:5000`, or `unix:`.
    name: String,
    peer: Peer,
    /// `None` once a stream has it.
    held: Option<Held>,
    owed: Owed,
    /// The posts of calls whose answers are owed, until they are handed over.
    bundle: Option<Arc<Bundle>>,
}

/// The result of a request.
enum Outcome {
    Answer(Answer),
    /// The slot of a call is taken until the client has the answer.
    Result(Answer, Slot),
    /// A call was begun.
    Call(Begun, Codec),
    /// The connection is a stream now.
    Stream,
}

/// Whether a connection goes on.
#[derive(PartialEq, Eq)]
enum Next {
    Request,
    End,
}

impl From<Answer> for Outcome {
    fn from(answer: Answer) -> Self {
        Self::Answer(answer)
    }
}

impl Connection {
    pub fn new(shared: Arc<Shared>, socket: Arc<Socket>, name: String, held: Held) -> Self {
        let peer = shared.dispatcher.hub().peer(name.clone());
        Self { shared, socket, name, peer, held: Some(held), owed: Owed::default(), bundle: None }
    }

    /// Serves it until it ends, or is a stream.
    pub fn serve(mut self, idle: Arc<Idle>) {
        let mut input = Input::new(Arc::clone(&self.socket), idle);
        while self.serve_one(&mut input) == Next::Request {}
    }

    fn serve_one(&mut self, input: &mut Input) -> Next {
        if !input.has_head() && self.send() == Next::End {
            return Next::End;
        }
        let head = match input.head(Instant::now() + HTTP_IDLE_MAX) {
            Ok(head) => head,
            Err(NoRequest::Idle) => return Next::End,
            Err(fault) => {
                self.owed.push(refuse(fault).into(), Terms { asker: Asker::Own, has_body: true, closes: true });
                return self.send();
            }
        };
        if !self.may_follow(&head, input) && self.send() == Next::End {
            return Next::End;
        }
        let (asker, outcome) = self.answer(&head, input);
        let is_in_order = matches!(&outcome, Outcome::Call(begun, _) if begun.is_in_order);
        let due = match outcome {
            Outcome::Answer(answer) => Due::Answer(answer, None),
            Outcome::Result(answer, slot) => Due::Answer(answer, Some(slot)),
            Outcome::Call(begun, codec) => Due::Call(begun.response, codec),
            Outcome::Stream => return Next::End,
        };
        self.owed.push(due, Terms { asker, has_body: head.method != Verb::Head, closes: !head.keeps_alive });
        let may_wait = is_in_order && head.keeps_alive && !self.owed.is_full();
        if may_wait { Next::Request } else { self.send() }
    }

    /// Whether a request may begin before those that came before it are answered: a call for the log writer that is there
    /// as a whole, and not inflated. So the input bounds what is executed together.
    fn may_follow(&self, head: &Head, input: &Input) -> bool {
        let method = head.path.strip_prefix(SERVICE).and_then(|name| self.shared.methods.find(name));
        method.is_some_and(|method| method.appends)
            && input.has_body(head.body)
            && matches!(head.one("connect-timeout-ms"), Ok(None))
            && matches!(head.one("content-encoding"), Ok(None))
            && self.shared.dispatcher.hands_over_at_once(&self.peer)
    }

    /// Sends the answers that are owed.
    fn send(&mut self) -> Next {
        if let Some(bundle) = self.bundle.take() {
            bundle.hand_over(self.shared.dispatcher.hub(), self.peer.clone());
        }
        let open = &self.shared.open;
        match self.owed.send(&self.socket, || open.is_draining() || open.is_crowd()) {
            Ok(false) => Next::Request,
            Ok(true) | Err(_) => {
                self.socket.linger(Instant::now() + HTTP_LINGER, HTTP_LINGER_BYTES_MAX);
                Next::End
            }
        }
    }

    /// Executes a request, or begins to. Also returns the asker.
    fn answer(&mut self, head: &Head, input: &mut Input) -> (Asker, Outcome) {
        let fence = &self.shared.fence;
        if let Err(intruder) = fence.check_host(head, self.name.starts_with("unix:")) {
            return (Asker::Own, unread(head, turn_away(&intruder)).into());
        }
        // Any site may have a link to the page, which has no secrets.
        if let Some(answer) = self.page(head) {
            return (Asker::Own, unread(head, answer).into());
        }
        let asker = match fence.check_page(head) {
            Ok(asker) => asker,
            Err(intruder) => return (Asker::Own, unread(head, turn_away(&intruder)).into()),
        };
        let outcome = match (head.path.strip_prefix(SERVICE), follow::room_of(&head.path)) {
            (Some(FOLLOW), _) => self.follow(&asker, head, input),
            (Some(name), _) => self.call(name, &asker, head, input),
            (None, Some(room)) => self.events(room, &asker, head),
            (None, None) if head.path == session::PATH => self.session(&asker, head, input),
            (None, None) => unread(head, Answer::text(404, NOTHING)).into(),
        };
        (asker, outcome)
    }

    /// A file of the page, or the state of the server; `None` at another path.
    fn page(&self, head: &Head) -> Option<Answer> {
        let file = self.shared.page.find(&head.path);
        if file.is_none() && head.path != HEALTH {
            return None;
        }
        Some(match file {
            _ if !matches!(head.method, Verb::Get | Verb::Head) => {
                Answer::text(405, "only GET is allowed here").with("allow", "GET, HEAD")
            }
            Some(file) => file.get(head).unwrap_or_else(|fault| Answer::text(400, &fault.to_string())),
            None if self.shared.open.is_draining() => Answer::text(503, "the server is shutting down"),
            None => Answer::text(200, "ok"),
        })
    }

    /// The login of a page, which only this server's own page may use.
    fn session(&self, asker: &Asker, head: &Head, input: &mut Input) -> Outcome {
        if *asker != Asker::Own {
            return unread(head, turn_away(&Intruder::Site)).into();
        }
        let dispatcher = &self.shared.dispatcher;
        let (origin, is_secure) = (self.origin(asker, head), Fence::is_secure(head));
        match head.method {
            Verb::Get => unread(head, session::get(dispatcher, origin)).into(),
            Verb::Delete => unread(head, session::delete(dispatcher, origin, is_secure)).into(),
            Verb::Post => {
                // The type keeps a form of another site from posting here.
                if let Err(fault) = connect::post(head) {
                    return unread(head, refuse_form(&fault, CALL_TYPES)).into();
                }
                match self.body(head, input, HTTP_BODY_BYTES_MAX) {
                    Ok(body) => session::post(dispatcher, &origin, &body, is_secure).into(),
                    Err(fault) => refuse_body(&fault).into(),
                }
            }
            _ => {
                let answer = Answer::text(405, "use GET, POST or DELETE").with("allow", "GET, POST, DELETE");
                unread(head, answer).into()
            }
        }
    }

    fn origin(&self, asker: &Asker, head: &Head) -> CallOrigin {
        CallOrigin {
            connection: self.name.clone(),
            peer: self.peer.clone(),
            credentials: credentials(asker, head),
            bundle: None,
        }
    }

    fn call(&mut self, name: &str, asker: &Asker, head: &Head, input: &mut Input) -> Outcome {
        let Some(method) = self.shared.methods.find(name) else {
            let message = "there is no such method in this contract";
            return unread(head, Answer::error(404, Code::Unimplemented, message)).into();
        };
        if let Some(answer) = other_verb(head, asker, method.is_safe) {
            return answer.into();
        }
        match self.request(head, input) {
            Ok((form, request)) => {
                let mut origin = self.origin(asker, head);
                if method.appends && form.timeout.is_none() {
                    origin.bundle = Some(Arc::clone(self.bundle.get_or_insert_default()));
                }
                self.execute(method, origin, form, &request)
            }
            Err(answer) => answer.into(),
        }
    }

    /// Reads the message of a call.
    fn request(&self, head: &Head, input: &mut Input) -> Result<(Form, Vec<u8>), Answer> {
        let fault = |fault: FormFault| refuse_form(&fault, CALL_TYPES);
        let (form, message) = if head.method == Verb::Get {
            let (form, message) = connect::get(head).map_err(|error| unread(head, fault(error)))?;
            if head.body != BodyLength::Bytes(0) {
                let refused = FormFault::Invalid("a GET has its message in the query, and no body");
                return Err(unread(head, fault(refused)));
            }
            (form, message)
        } else {
            let form = connect::post(head).map_err(|error| unread(head, fault(error)))?;
            (form, self.body(head, input, HTTP_BODY_BYTES_MAX).map_err(|error| refuse_body(&error))?)
        };
        Ok((form, connect::inflate(form, message).map_err(fault)?))
    }

    fn body(&self, head: &Head, input: &mut Input, bytes_max: usize) -> Result<Vec<u8>, BodyFault> {
        let until = Instant::now() + HTTP_BODY_TIME;
        let is_too_long = matches!(head.body, BodyLength::Bytes(length) if length > bytes_max as u64);
        if head.expects_continue && !input.has_more() && !is_too_long {
            // If it can't be sent, reading fails.
            let _ = self.socket.send_all(b"HTTP/1.1 100 Continue\r\n\r\n", until);
        }
        input.body(head.body, bytes_max, until)
    }

    fn execute(&self, method: &Method, origin: CallOrigin, form: Form, request: &[u8]) -> Outcome {
        let late = || {
            let message = "the response was not there in the time that the client gave (Connect-Timeout-Ms)";
            Answer::error(504, Code::DeadlineExceeded, message).into()
        };
        // What a client does not wait for is not done.
        if form.timeout == Some(Duration::ZERO) {
            return late();
        }
        let mut begun = match method.begin(&self.shared.dispatcher, origin, form.codec, request) {
            Ok(begun) => begun,
            Err(fault) => {
                let message = format!("the request can't be read: {fault}");
                return Answer::error(400, Code::InvalidArgument, &message).into();
            }
        };
        let Some(timeout) = form.timeout else { return Outcome::Call(begun, form.codec) };
        match block_on_until(&mut begun.response, Instant::now() + timeout) {
            Some(Ok((slot, bytes))) => Outcome::Result(Answer::new(200, form.codec.content_type(), bytes), slot),
            Some(Err(error)) => fail(&error).into(),
            None => late(),
        }
    }

    /// Begins a stream of Connect. What is wrong with it is the end of a stream that has no message.
    fn follow(&mut self, asker: &Asker, head: &Head, input: &mut Input) -> Outcome {
        if let Some(answer) = other_verb(head, asker, false) {
            return answer.into();
        }
        let codec = match connect::stream_codec(head) {
            Ok(codec) => codec,
            Err(fault) => return unread(head, refuse_form(&fault, STREAM_TYPES)).into(),
        };
        let form = StreamForm::of(codec);
        let end = |Refusal { code, message }: Refusal| {
            let end = form.end(Some((answer::word(code), message)));
            Answer::new(200, form.content_type(), connect::last_envelope(&end))
        };
        let request = match connect::stream(head) {
            Ok(request) => request,
            Err(fault) => return unread(head, end(Refusal::of_form(&fault))).into(),
        };
        let body = match self.body(head, input, HTTP_FOLLOW_BYTES_MAX) {
            Ok(body) => body,
            Err(fault) => return end(Refusal::of_body(&fault)).and_close().into(),
        };
        let begun = follow::connect(request, &body).and_then(|following| {
            self.begin(asker, head, following).map_err(|reason| {
                let code = Code::of_end(&reason).unwrap_or(Code::Internal);
                Refusal { code, message: reason.to_string() }
            })
        });
        match begun {
            Ok(()) => Outcome::Stream,
            Err(refusal) => end(refusal).into(),
        }
    }

    /// Begins a stream of Server-Sent Events.
    fn events(&mut self, room: &str, asker: &Asker, head: &Head) -> Outcome {
        if head.method == Verb::Options && *asker != Asker::Own {
            return unread(head, preflight()).into();
        }
        if head.method != Verb::Get {
            return unread(head, Answer::text(405, "only GET is allowed here").with("allow", "GET")).into();
        }
        if head.body != BodyLength::Bytes(0) {
            return Answer::text(400, "a GET has no body here").and_close().into();
        }
        let following = match follow::events(head, room) {
            Ok(following) => following,
            Err(fault) => return refuse_form(&fault, STREAM_TYPES).into(),
        };
        match self.begin(asker, head, following) {
            Ok(()) => Outcome::Stream,
            Err(reason) => {
                let code = Code::of_end(&reason).unwrap_or(Code::Internal);
                let answer = Answer::error(answer::status(code), code, &reason.to_string());
                if code == Code::Unauthenticated { answer.with("www-authenticate", "Bearer") } else { answer }.into()
            }
        }
    }

    fn begin(&mut self, asker: &Asker, head: &Head, following: Following) -> Result<(), CloseReason> {
        let Following { request, form, timeout } = following;
        let (hub, credentials) = (self.shared.dispatcher.hub(), credentials(asker, head));
        let commands = decode::follow(request)?;
        let admission = hub.admit(self.name.clone(), Face::Http, Entrance::Login(&credentials))?;
        self.socket.prepare_for_stream();
        let watching = self.shared.watch.add(Arc::clone(&self.socket));
        let watching = watching.map_err(|error| CloseReason::NotWatched(error.to_string()))?;
        let answer = asker.mark(Answer::new(200, form.content_type(), ""));
        let is_chunked = !head.is_old;
        let bytes = answer.encode_head_of_stream(is_chunked, SystemTime::now());
        // Invariant: a connection becomes a stream once.
        let held = self.held.take();
        let sink = Box::new(HttpSink::new(watching, form, is_chunked, bytes, held));
        let (until, shard) = (timeout.map(|timeout| Instant::now() + timeout), self.shared.watch.shard);
        chat_stream::follow(hub, admission, FollowStream { credentials, sink, commands, until, shard });
        Ok(())
    }
}

/// The token of a program, or of this server's own page.
fn credentials(asker: &Asker, head: &Head) -> Credentials {
    let bearer = match Presented::of_headers(head.values("authorization")) {
        Presented::Nothing if *asker == Asker::Own => cookie::token(head),
        presented => presented,
    };
    Credentials { bearer, certificate: None }
}

/// The answer to a request for a method with another verb than it has.
fn other_verb(head: &Head, asker: &Asker, is_safe: bool) -> Option<Answer> {
    match head.method {
        Verb::Options if *asker != Asker::Own => Some(unread(head, preflight())),
        Verb::Post => None,
        Verb::Get if is_safe => None,
        _ => {
            let allowed = if is_safe { "GET, POST" } else { "POST" };
            Some(unread(head, Answer::error(405, Code::Unimplemented, "use POST").with("allow", allowed)))
        }
    }
}

/// The answer to a request whose body, if it has one, was not read.
fn unread(head: &Head, answer: Answer) -> Answer {
    if head.body == BodyLength::Bytes(0) { answer } else { answer.and_close() }
}
