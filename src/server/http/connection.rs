//! A connection: its requests, in order, each answered before the next is read.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::answer::{self, Answer};
use super::connect::{self, FormFault, TYPES};
use super::fence::{Asker, Intruder};
use super::head::{BodyLength, Head, Method as Verb};
use super::input::{BodyFault, Input, NoRequest};
use super::methods::{Codec, Method};
use super::server::Shared;
use super::socket::Socket;
use crate::limits::{HTTP_BODY_TIME, HTTP_IDLE_MAX, HTTP_LINGER, HTTP_LINGER_BYTES_MAX, RESPONSE_TIMEOUT};
use crate::server::auth::credentials::{Credentials, Presented};
use crate::server::calls::dispatch::CallOrigin;
use crate::server::calls::error::{CallError, Code};
use crate::server::calls::slots::Slot;
use crate::threads::park::{block_on, block_on_until};

/// The paths of the calls begin so.
const SERVICE: &str = "/hubbub.v1.ChatService/";

/// What a load balancer asks for.
const HEALTH: &str = "/healthz";

/// A connection, on its thread.
pub struct Connection {
    pub shared: Arc<Shared>,
    pub socket: Arc<Socket>,
    /// As gRPC would name it: `ipv4:192.0.2.1:5000`, or `unix:`.
    pub name: String,
}

/// An answer, and the slot of its call, which is taken until the client has the answer.
type Reply = (Answer, Option<Slot>);

impl Connection {
    /// Serves it until it ends.
    pub fn serve(self) {
        let mut input = Input::new(Arc::clone(&self.socket));
        loop {
            let (head, (answer, slot)) = match input.head(Instant::now() + HTTP_IDLE_MAX) {
                Ok(head) => {
                    let reply = self.answer(&head, &mut input);
                    (Some(head), reply)
                }
                Err(NoRequest::Idle) => return,
                Err(fault) => (None, (refuse(fault), None)),
            };
            let has_body = head.as_ref().is_none_or(|head| head.method != Verb::Head);
            let keeps_alive = head.is_some_and(|head| head.keeps_alive);
            let closes = answer.closes || !keeps_alive || self.shared.is_draining();
            let bytes = answer.encode(has_body, closes, SystemTime::now());
            let sent = self.socket.send_all(&bytes, Instant::now() + RESPONSE_TIMEOUT);
            drop(slot);
            if closes || sent.is_err() {
                return self.socket.linger(Instant::now() + HTTP_LINGER, HTTP_LINGER_BYTES_MAX);
            }
        }
    }

    fn answer(&self, head: &Head, input: &mut Input) -> Reply {
        let fence = &self.shared.fence;
        let checked = fence.check_host(head, self.name.starts_with("unix:")).and_then(|()| fence.check_page(head));
        let asker = match checked {
            Ok(asker) => asker,
            Err(intruder) => return (unread(head, turn_away(&intruder)), None),
        };
        let (answer, slot) = match head.path.strip_prefix(SERVICE) {
            Some(name) => self.call(name, &asker, head, input),
            None => (unread(head, self.page(head)), None),
        };
        let answer = match asker {
            Asker::Own => answer,
            Asker::Allowed(origin) => answer.with("access-control-allow-origin", origin).with("vary", "origin"),
        };
        (answer, slot)
    }

    /// What is no call.
    fn page(&self, head: &Head) -> Answer {
        let is_read = matches!(head.method, Verb::Get | Verb::Head);
        match head.path.as_str() {
            HEALTH if !is_read => Answer::text(405, "only GET is allowed here").with("allow", "GET, HEAD"),
            HEALTH if self.shared.is_draining() => Answer::text(503, "the server is shutting down"),
            HEALTH => Answer::text(200, "ok"),
            _ => Answer::text(
                404,
                "nothing is here: the calls are at /hubbub.v1.ChatService/ListRooms and its like, for example with\n\
                 curl --json '{}' http://.../hubbub.v1.ChatService/ListRooms",
            ),
        }
    }

    fn call(&self, name: &str, asker: &Asker, head: &Head, input: &mut Input) -> Reply {
        let error = |status, code, message: &str| (unread(head, Answer::error(status, code, message)), None);
        let Some(method) = self.shared.methods.find(name) else {
            return error(404, Code::Unimplemented, "there is no such method in this contract");
        };
        match head.method {
            Verb::Options if *asker != Asker::Own => return (unread(head, preflight()), None),
            Verb::Post => {}
            Verb::Get if method.is_safe => {}
            _ => {
                let allowed = if method.is_safe { "GET, POST" } else { "POST" };
                let (answer, _) = error(405, Code::Unimplemented, "use POST");
                return (answer.with("allow", allowed), None);
            }
        }
        match self.request(head, input) {
            Ok((codec, timeout, request)) => self.execute(method, head, codec, timeout, &request),
            Err(answer) => (answer, None),
        }
    }

    /// Reads the message of a call.
    fn request(&self, head: &Head, input: &mut Input) -> Result<(Codec, Option<Duration>, Vec<u8>), Answer> {
        let fault = |fault| refuse_form(&fault);
        let (form, message) = if head.method == Verb::Get {
            let (form, message) = connect::get(head).map_err(|error| unread(head, fault(error)))?;
            if head.body != BodyLength::Bytes(0) {
                let refused = FormFault::Invalid("a GET has its message in the query, and no body");
                return Err(unread(head, fault(refused)));
            }
            (form, message)
        } else {
            let form = connect::post(head).map_err(|error| unread(head, fault(error)))?;
            let until = Instant::now() + HTTP_BODY_TIME;
            if head.expects_continue && !input.has_more() {
                // If it can't be sent, reading fails.
                let _ = self.socket.send_all(b"HTTP/1.1 100 Continue\r\n\r\n", until);
            }
            (form, input.body(head.body, until).map_err(|error| refuse_body(&error))?)
        };
        let message = connect::inflate(form, message).map_err(fault)?;
        Ok((form.codec, form.timeout, message))
    }

    fn execute(&self, method: &Method, head: &Head, codec: Codec, timeout: Option<Duration>, request: &[u8]) -> Reply {
        let bearer = Presented::of_headers(head.values("authorization"));
        let origin =
            CallOrigin { connection: self.name.clone(), credentials: Credentials { bearer, certificate: None } };
        let mut response = match method.begin(&self.shared.dispatcher, origin, codec, request) {
            Ok(response) => response,
            Err(fault) => {
                let message = format!("the request can't be read: {fault}");
                return (Answer::error(400, Code::InvalidArgument, &message), None);
            }
        };
        let result = match timeout {
            None => Some(block_on(response)),
            Some(timeout) => block_on_until(&mut response, Instant::now() + timeout),
        };
        match result {
            Some(Ok((slot, bytes))) => {
                let content_type = match codec {
                    Codec::Json => "application/json",
                    Codec::Proto => "application/proto",
                };
                (Answer::new(200, content_type, bytes), Some(slot))
            }
            Some(Err(error)) => (fail(&error), None),
            None => {
                let message = "the response was not there in the time that the client gave (Connect-Timeout-Ms)";
                (Answer::error(504, Code::DeadlineExceeded, message), None)
            }
        }
    }
}

/// The answer to a request whose body, if it has one, was not read.
fn unread(head: &Head, answer: Answer) -> Answer {
    if head.body == BodyLength::Bytes(0) { answer } else { answer.and_close() }
}

fn fail(error: &CallError) -> Answer {
    let code = error.code();
    let mut answer = Answer::error(answer::status(code), code, &error.to_string());
    if code == Code::Unauthenticated {
        answer = answer.with("www-authenticate", "Bearer");
    }
    match error.retry_after() {
        Some(time) => answer.with("retry-after", time.as_secs().max(1).to_string()),
        None => answer,
    }
}

fn refuse(fault: NoRequest) -> Answer {
    use super::head::HeadFault;
    let status = match fault {
        NoRequest::Late => 408,
        NoRequest::TooLong | NoRequest::Fault(HeadFault::TooManyFields) => 431,
        NoRequest::Fault(HeadFault::Version) => 505,
        NoRequest::Idle | NoRequest::Fault(HeadFault::Syntax(_)) => 400,
    };
    Answer::text(status, &fault.to_string()).and_close()
}

fn turn_away(intruder: &Intruder) -> Answer {
    match intruder {
        Intruder::Host(name) => Answer::text(
            421,
            &format!("this server does not know the name {name:?}: its operator can give it with --http-host"),
        ),
        Intruder::Site => {
            let message =
                "a page of another site may not use this server: its operator can allow it with --http-origin";
            Answer::error(403, Code::PermissionDenied, message)
        }
        Intruder::Fault(fault) => Answer::text(400, &fault.to_string()).and_close(),
    }
}

fn preflight() -> Answer {
    Answer::new(204, "", "")
        .with("access-control-allow-methods", "GET, POST")
        .with(
            "access-control-allow-headers",
            "content-type, connect-protocol-version, connect-timeout-ms, authorization",
        )
        .with("access-control-max-age", "7200")
}

fn refuse_form(fault: &FormFault) -> Answer {
    match fault {
        FormFault::Type => Answer::error(
            415,
            Code::InvalidArgument,
            "the body must be JSON or protobuf: use curl --json, or give the header content-type: application/json",
        )
        .with("accept-post", TYPES),
        FormFault::Encoding(name) => {
            let message = format!("the encoding {name:?} is unknown: use gzip, or none");
            Answer::error(501, Code::Unimplemented, &message)
        }
        FormFault::Invalid(message) => Answer::error(400, Code::InvalidArgument, message),
        FormFault::TooLong => Answer::error(429, Code::ResourceExhausted, &BodyFault::TooLong.to_string()),
        FormFault::Fault(fault) => Answer::text(400, &fault.to_string()).and_close(),
    }
}

fn refuse_body(fault: &BodyFault) -> Answer {
    let (status, code) = match fault {
        BodyFault::TooLong => (429, Code::ResourceExhausted),
        BodyFault::Late => (408, Code::DeadlineExceeded),
        BodyFault::Syntax(_) | BodyFault::Gone => (400, Code::InvalidArgument),
    };
    Answer::error(status, code, &fault.to_string()).and_close()
}
