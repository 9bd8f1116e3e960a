//! The answers to requests that are not served.

use super::answer::{self, Answer};
use super::connect::{FormFault, Refusal};
use super::fence::Intruder;
use super::head::HeadFault;
use super::input::{BodyFault, NoRequest};
use crate::limits::{HTTP_BODY_BYTES_MAX, HTTP_FOLLOW_BYTES_MAX};
use crate::server::calls::error::{CallError, Code};

/// The answer to a call that failed.
pub fn fail(error: &CallError) -> Answer {
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

/// The answer to input that is not a request.
pub fn refuse(fault: NoRequest) -> Answer {
    let status = match fault {
        NoRequest::Late => 408,
        NoRequest::TooLong | NoRequest::Fault(HeadFault::TooManyFields) => 431,
        NoRequest::Fault(HeadFault::Version) => 505,
        NoRequest::Idle | NoRequest::Fault(HeadFault::Syntax(_)) => 400,
    };
    Answer::text(status, &fault.to_string()).and_close()
}

/// The answer to a page that may not ask.
pub fn turn_away(intruder: &Intruder) -> Answer {
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

/// The answer to a browser that asks whether a page of another site may make a call.
pub fn preflight() -> Answer {
    Answer::new(204, "", "")
        .with("access-control-allow-methods", "GET, POST")
        .with(
            "access-control-allow-headers",
            "content-type, connect-protocol-version, connect-timeout-ms, authorization, last-event-id",
        )
        .with("access-control-max-age", "7200")
}

/// The answer to a request of another form, if these types would be right.
pub fn refuse_form(fault: &FormFault, types: &'static str) -> Answer {
    match fault {
        FormFault::Type => Answer::error(
            415,
            Code::InvalidArgument,
            "the body has another type than those of Accept-Post: use curl --json, or give the header content-type",
        )
        .with("accept-post", types),
        FormFault::Encoding(name) => {
            let message = format!("the encoding {name:?} is unknown: use gzip, or none");
            Answer::error(501, Code::Unimplemented, &message)
        }
        FormFault::Invalid(message) => Answer::error(400, Code::InvalidArgument, message),
        FormFault::Text(fault) => Answer::error(400, Code::InvalidArgument, &fault.to_string()),
        FormFault::TooLong => {
            let fault = BodyFault::TooLong { bytes_max: HTTP_BODY_BYTES_MAX };
            Answer::error(429, Code::ResourceExhausted, &fault.to_string())
        }
        FormFault::Fault(fault) => Answer::text(400, &fault.to_string()).and_close(),
    }
}

/// The answer to a body that can't be read.
pub fn refuse_body(fault: &BodyFault) -> Answer {
    let (status, code) = status_of_body(fault);
    Answer::error(status, code, &fault.to_string()).and_close()
}

fn status_of_body(fault: &BodyFault) -> (u16, Code) {
    match fault {
        BodyFault::TooLong { .. } => (429, Code::ResourceExhausted),
        BodyFault::Late => (408, Code::DeadlineExceeded),
        BodyFault::Syntax(_) | BodyFault::Gone => (400, Code::InvalidArgument),
    }
}

impl Refusal {
    /// What is wrong with the head of a stream's request.
    pub fn of_form(fault: &FormFault) -> Self {
        let (code, message) = match fault {
            FormFault::Encoding(name) => {
                (Code::Unimplemented, format!("the encoding {name:?} is unknown: use gzip, or none"))
            }
            FormFault::TooLong => {
                (Code::ResourceExhausted, BodyFault::TooLong { bytes_max: HTTP_FOLLOW_BYTES_MAX }.to_string())
            }
            FormFault::Type => (Code::InvalidArgument, "the type of the body is unknown".to_owned()),
            FormFault::Invalid(message) => (Code::InvalidArgument, (*message).to_owned()),
            FormFault::Text(fault) => (Code::InvalidArgument, fault.to_string()),
            FormFault::Fault(fault) => (Code::InvalidArgument, fault.to_string()),
        };
        Self { code, message }
    }

    /// Why the body of a stream's request can't be read.
    pub fn of_body(fault: &BodyFault) -> Self {
        let (_, code) = status_of_body(fault);
        Self { code, message: fault.to_string() }
    }
}
