//! A response: its status, its fields and its body, encoded into one piece.

use std::fmt;
use std::io::Write as _;
use std::time::SystemTime;

use crate::server::calls::error::Code;

/// A response.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub content_type: &'static str,
    pub fields: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
    /// Whether the connection is closed after it.
    pub closes: bool,
    /// Whether it may be kept, for the field `Cache-Control`.
    cache: &'static str,
}

/// On every response: no program may guess a type, no other site may embed it, and no address is passed on.
const ALWAYS: &str = "x-content-type-options: nosniff\r\nreferrer-policy: no-referrer\r\n\
                      cross-origin-resource-policy: same-origin\r\n";

impl Answer {
    pub fn new(status: u16, content_type: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Self { status, content_type, fields: Vec::new(), body: body.into(), closes: false, cache: "no-store" }
    }

    /// A text for people.
    pub fn text(status: u16, text: &str) -> Self {
        Self::new(status, "text/plain; charset=utf-8", format!("{text}\n"))
    }

    /// An error of Connect: its code and text, as JSON.
    pub fn error(status: u16, code: Code, message: &str) -> Self {
        let body = serde_json::json!({ "code": word(code), "message": message });
        Self::new(status, "application/json", body.to_string())
    }

    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.fields.push((name, value.into()));
        self
    }

    /// It may be kept on this condition.
    pub fn cached(mut self, cache: &'static str) -> Self {
        self.cache = cache;
        self
    }

    /// Nothing more is read from the connection: it may contain the rest of this request.
    pub fn and_close(mut self) -> Self {
        self.closes = true;
        self
    }

    /// The head of a response without an end. No proxy may hold back or change what follows.
    pub fn encode_head_of_stream(&self, is_chunked: bool, now: SystemTime) -> Vec<u8> {
        let mut text = format!(
            "HTTP/1.1 {} {}\r\ndate: {}\r\n{ALWAYS}cache-control: no-store, no-transform\r\nx-accel-buffering: no\r\n\
             connection: close\r\ncontent-type: {}\r\n",
            self.status,
            reason(self.status),
            date(now),
            self.content_type
        );
        for (name, value) in &self.fields {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str(if is_chunked { "transfer-encoding: chunked\r\n\r\n" } else { "\r\n" });
        text.into_bytes()
    }

    /// Adds the bytes of the response. Without a body, it answers HEAD.
    pub fn encode(&self, to: &mut Vec<u8>, has_body: bool, closes: bool, date: &str) {
        let mut line = |text: fmt::Arguments<'_>| {
            // Writing into a vector can't fail.
            let _ = to.write_fmt(text);
        };
        line(format_args!("HTTP/1.1 {} {}\r\n", self.status, reason(self.status)));
        line(format_args!("date: {}\r\n{ALWAYS}cache-control: {}\r\n", date, self.cache));
        if !matches!(self.status, 204 | 304) {
            line(format_args!("content-type: {}\r\ncontent-length: {}\r\n", self.content_type, self.body.len()));
        }
        for (name, value) in &self.fields {
            line(format_args!("{name}: {value}\r\n"));
        }
        line(format_args!("connection: {}\r\n\r\n", if closes { "close" } else { "keep-alive" }));
        if has_body {
            to.extend_from_slice(&self.body);
        }
    }
}

/// The time of an answer, as its field `Date` has it.
pub fn date(now: SystemTime) -> String {
    httpdate::fmt_http_date(now)
}

/// The words of Connect's protocol.
pub fn word(code: Code) -> &'static str {
    match code {
        Code::Cancelled => "canceled",
        Code::InvalidArgument => "invalid_argument",
        Code::DeadlineExceeded => "deadline_exceeded",
        Code::NotFound => "not_found",
        Code::AlreadyExists => "already_exists",
        Code::ResourceExhausted => "resource_exhausted",
        Code::FailedPrecondition => "failed_precondition",
        Code::Aborted => "aborted",
        Code::Internal => "internal",
        Code::Unavailable => "unavailable",
        Code::DataLoss => "data_loss",
        Code::Unauthenticated => "unauthenticated",
        Code::PermissionDenied => "permission_denied",
        Code::Unimplemented => "unimplemented",
    }
}

/// The HTTP status of a code, as Connect's protocol defines it.
pub fn status(code: Code) -> u16 {
    match code {
        Code::Cancelled => 499,
        Code::InvalidArgument | Code::FailedPrecondition => 400,
        Code::Unauthenticated => 401,
        Code::PermissionDenied => 403,
        Code::NotFound => 404,
        Code::AlreadyExists | Code::Aborted => 409,
        Code::ResourceExhausted => 429,
        Code::Internal | Code::DataLoss => 500,
        Code::Unimplemented => 501,
        Code::Unavailable => 503,
        Code::DeadlineExceeded => 504,
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        304 => "Not Modified",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        415 => "Unsupported Media Type",
        421 => "Misdirected Request",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        499 => "Client Closed Request",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "Error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_one_piece() {
        let answer = Answer::error(404, Code::NotFound, "no \"room\"").with("retry-after", "1");
        let text = |has_body, closes| {
            let mut bytes = Vec::new();
            answer.encode(&mut bytes, has_body, closes, &date(SystemTime::UNIX_EPOCH));
            String::from_utf8(bytes).unwrap()
        };
        let whole = text(true, true);
        assert!(whole.starts_with("HTTP/1.1 404 Not Found\r\ndate: Thu, 01 Jan 1970 00:00:00 GMT\r\n"), "{whole}");
        assert!(whole.contains("\r\nretry-after: 1\r\n") && whole.contains("\r\ncontent-length: 44\r\n"), "{whole}");
        assert!(whole.ends_with("close\r\n\r\n{\"code\":\"not_found\",\"message\":\"no \\\"room\\\"\"}"), "{whole}");
        assert!(text(false, false).ends_with("keep-alive\r\n\r\n"));
    }
}
