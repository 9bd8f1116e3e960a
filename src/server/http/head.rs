//! The head of a request: parsed by `httparse`, and refused if two programs could understand it differently. A proxy
//! and a server that disagree on where a request ends let a client smuggle requests past the proxy.

use std::ops::Range;
use std::str;

use httparse::{EMPTY_HEADER, Status};
use memchr::memchr_iter;
use thiserror::Error;

use crate::limits::HTTP_FIELDS_MAX;

/// The head of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    pub method: Method,
    /// Without the query, and not decoded.
    pub path: String,
    /// What follows the `?`, not decoded; empty without one.
    pub query: String,
    /// The target's host, if it has one, or else the field `Host`.
    pub host: Option<String>,
    /// HTTP/1.0, whose clients know no chunked responses.
    pub is_old: bool,
    pub keeps_alive: bool,
    pub body: BodyLength,
    pub expects_continue: bool,
    /// Names in lower case, and values, as parts of the text.
    fields: Vec<(Range<usize>, Range<usize>)>,
    text: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Get,
    Head,
    Post,
    Delete,
    Options,
    Other,
}

/// How long the body is, by the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    Bytes(u64),
    Chunked,
}

/// Why a head is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum HeadFault {
    #[error("the request is not HTTP/1.1: {0}")]
    Syntax(&'static str),
    #[error("the request has more than {HTTP_FIELDS_MAX} header fields: send fewer")]
    TooManyFields,
    #[error("this address speaks HTTP/1.1 only; gRPC is served at another address (--listen)")]
    Version,
}

impl Head {
    /// Reads a head that is complete, with its empty line. Empty lines before it are skipped.
    pub fn parse(bytes: &[u8]) -> Result<Self, HeadFault> {
        check_lines(bytes)?;
        let mut fields = [EMPTY_HEADER; HTTP_FIELDS_MAX];
        let mut request = httparse::Request::new(&mut fields);
        match request.parse(bytes) {
            Ok(Status::Complete(_)) => {}
            Ok(Status::Partial) => return Err(HeadFault::Syntax("it has no end")),
            Err(httparse::Error::TooManyHeaders) => return Err(HeadFault::TooManyFields),
            Err(httparse::Error::Version) => return Err(HeadFault::Version),
            Err(httparse::Error::HeaderName | httparse::Error::HeaderValue) => {
                return Err(HeadFault::Syntax("a header field has a forbidden character"));
            }
            Err(_) => return Err(HeadFault::Syntax("its first line is malformed")),
        }
        let is_old = request.version == Some(0);
        let mut text = Vec::with_capacity(bytes.len());
        let mut add = |part: &[u8]| {
            text.extend_from_slice(part);
            text.len() - part.len()..text.len()
        };
        let fields = request.headers.iter();
        let fields: Vec<_> = fields.map(|field| (add(field.name.as_bytes()), add(field.value))).collect();
        fields.iter().for_each(|(name, _)| text[name.clone()].make_ascii_lowercase());
        let (target_host, path, query) = target(request.path.unwrap_or_default())?;
        let method = match request.method.unwrap_or_default() {
            "GET" => Method::Get,
            "HEAD" => Method::Head,
            "POST" => Method::Post,
            "DELETE" => Method::Delete,
            "OPTIONS" => Method::Options,
            _ => Method::Other,
        };
        let mut head = Self {
            method,
            path,
            query,
            host: None,
            is_old,
            keeps_alive: false,
            body: BodyLength::Bytes(0),
            expects_continue: false,
            fields,
            text,
        };
        let host = head.one("host")?.map(str::to_owned);
        if host.is_none() && !is_old {
            return Err(HeadFault::Syntax("it has no Host"));
        }
        head.host = target_host.or(host);
        head.body = head.body_length()?;
        head.keeps_alive = head.keeps_alive();
        head.expects_continue = !is_old && head.has_word("expect", "100-continue");
        Ok(head)
    }

    /// The values of a field, whose name is in lower case.
    pub fn values<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        let fields = self.fields.iter().filter(move |(other, _)| self.text[other.clone()] == *name.as_bytes());
        fields.map(|(_, value)| &self.text[value.clone()])
    }

    /// The value of a field that may occur once.
    pub fn one<'a>(&'a self, name: &str) -> Result<Option<&'a str>, HeadFault> {
        let mut values = self.values(name);
        match (values.next(), values.next()) {
            (None, _) => Ok(None),
            (Some(value), None) => match str::from_utf8(value) {
                Ok(value) => Ok(Some(value.trim())),
                Err(_) => Err(HeadFault::Syntax("a header field is not UTF-8")),
            },
            _ => Err(HeadFault::Syntax("a header field occurs twice")),
        }
    }

    /// Whether a field that is a list of words has this one; what follows a semicolon does not count.
    pub fn has_word(&self, name: &str, word: &str) -> bool {
        let words = self.values(name).filter_map(|value| str::from_utf8(value).ok());
        words.flat_map(|value| value.split(',')).any(|other| name_of(other).eq_ignore_ascii_case(word))
    }

    fn body_length(&self) -> Result<BodyLength, HeadFault> {
        match (self.one("content-length")?, self.one("transfer-encoding")?) {
            (None, None) => Ok(BodyLength::Bytes(0)),
            (Some(length), None) => {
                let is_number = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
                let length = length.parse().ok().filter(|_| is_number);
                length.map(BodyLength::Bytes).ok_or(HeadFault::Syntax("Content-Length is not a number"))
            }
            (None, Some(_)) if self.is_old => Err(HeadFault::Syntax("HTTP/1.0 has no Transfer-Encoding")),
            (None, Some(coding)) if coding.eq_ignore_ascii_case("chunked") => Ok(BodyLength::Chunked),
            (None, Some(_)) => Err(HeadFault::Syntax("the Transfer-Encoding is not chunked")),
            (Some(_), Some(_)) => Err(HeadFault::Syntax("it has both Content-Length and Transfer-Encoding")),
        }
    }

    fn keeps_alive(&self) -> bool {
        if self.is_old { self.has_word("connection", "keep-alive") } else { !self.has_word("connection", "close") }
    }
}

/// A word of a list, without its parameters.
fn name_of(word: &str) -> &str {
    word.split(';').next().unwrap_or_default().trim()
}

/// Refuses line feeds alone, which `httparse` takes for the end of a line, and others for a part of a value.
pub fn check_lines(bytes: &[u8]) -> Result<(), HeadFault> {
    match memchr_iter(b'\n', bytes).any(|at| at == 0 || bytes[at - 1] != b'\r') {
        true => Err(HeadFault::Syntax("a line ends without a carriage return")),
        false => Ok(()),
    }
}

/// The host, the path and the query of a target: `/path?query`, `http://host/path?query`, or `*`.
fn target(target: &str) -> Result<(Option<String>, String, String), HeadFault> {
    let (host, rest) = match target.strip_prefix("http://").or_else(|| target.strip_prefix("https://")) {
        Some(absolute) => {
            let (host, _) = absolute.split_once(['/', '?']).unwrap_or((absolute, ""));
            (Some(host.to_owned()), &absolute[host.len()..])
        }
        None if target.starts_with('/') || target == "*" => (None, target),
        None => return Err(HeadFault::Syntax("its target is not a path")),
    };
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let path = if path.is_empty() { "/" } else { path };
    Ok((host, path.to_owned(), query.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Head, HeadFault> {
        Head::parse(text.replace('\n', "\r\n").as_bytes())
    }

    fn with(fields: &str) -> Result<Head, HeadFault> {
        parse(&format!("POST /a HTTP/1.1\nHost: x\n{fields}\n"))
    }

    #[test]
    fn what_a_client_sends_is_understood() {
        let head = parse("GET /a/b?c=%20d&e HTTP/1.1\nhost: Example.org:80\nX-Y: \u{e9} z \n\n").unwrap();
        assert_eq!((head.method, head.path.as_str(), head.query.as_str()), (Method::Get, "/a/b", "c=%20d&e"));
        assert_eq!((head.host.as_deref(), head.one("x-y")), (Some("Example.org:80"), Ok(Some("\u{e9} z"))));
        assert!(head.keeps_alive && !head.is_old && head.body == BodyLength::Bytes(0));
        let head =
            parse("POST http://other/x?y HTTP/1.1\nHost: x\nContent-Length: 12\nExpect: 100-Continue\n\n").unwrap();
        assert_eq!((head.host.as_deref(), head.path.as_str(), head.body), (Some("other"), "/x", BodyLength::Bytes(12)));
        assert!(head.expects_continue);
        let old = parse("GET / HTTP/1.0\n\n").unwrap();
        assert!(old.is_old && !old.keeps_alive && old.host.is_none());
        assert!(parse("GET / HTTP/1.0\nConnection: Keep-Alive\n\n").unwrap().keeps_alive);
        assert!(!with("Connection: foo, close\n").unwrap().keeps_alive);
        assert_eq!(with("Transfer-Encoding: Chunked\n").unwrap().body, BodyLength::Chunked);
        assert_eq!(parse("OPTIONS * HTTP/1.1\nHost: x\n\n").unwrap().path, "*");
        assert_eq!(parse("GET http://h?q HTTP/1.1\nHost: x\n\n").unwrap().query, "q");
        assert_eq!(parse("BREW / HTTP/1.1\nHost: x\n\n").unwrap().method, Method::Other);
    }

    /// Each is understood differently by some proxy or server.
    #[test]
    fn what_could_be_smuggled_is_refused() {
        let refused = [
            "Content-Length: 1\nContent-Length: 1\n",
            "Content-Length: 1\nContent-Length: 2\n",
            "Content-Length: 1\nTransfer-Encoding: chunked\n",
            "Transfer-Encoding: chunked\nTransfer-Encoding: chunked\n",
            "Transfer-Encoding: gzip, chunked\n",
            "Transfer-Encoding: chunked, identity\n",
            "Transfer-Encoding: xchunked\n",
            "Transfer-Encoding: \u{b}chunked\n",
            "Transfer-Encoding : chunked\n",
            "Content-Length : 1\n",
            "Content-Length: +1\n",
            "Content-Length: -1\n",
            "Content-Length: 0x1\n",
            "Content-Length: 1,1\n",
            "Content-Length:\n",
            "Content-Length: 99999999999999999999\n",
            "Host: y\n",
            "A: b\n folded\n",
            "A\n",
            ": b\n",
            "A: \0\n",
        ];
        for fields in refused {
            assert!(matches!(with(fields), Err(HeadFault::Syntax(_))), "{fields:?}: {:?}", with(fields));
        }
        for text in [
            "GET / HTTP/1.1\n\n",
            "GET /\n\n",
            "GET  / HTTP/1.1\nHost: x\n\n",
            "GET a HTTP/1.1\nHost: x\n\n",
            "GET\u{b}/ HTTP/1.1\nHost: x\n\n",
            "POST / HTTP/1.0\nTransfer-Encoding: chunked\n\n",
        ] {
            assert!(matches!(parse(text), Err(HeadFault::Syntax(_))), "{text:?}: {:?}", parse(text));
        }
        let bare: [&[u8]; 3] = [
            b"GET / HTTP/1.1\nHost: x\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: x\n\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\nA: b\rContent-Length: 1\r\n\r\n",
        ];
        for bytes in bare {
            assert!(matches!(Head::parse(bytes), Err(HeadFault::Syntax(_))), "{}", String::from_utf8_lossy(bytes));
        }
        assert_eq!(parse("PRI * HTTP/2.0\n\n"), Err(HeadFault::Version));
        assert_eq!(with(&"A: b\n".repeat(HTTP_FIELDS_MAX)), Err(HeadFault::TooManyFields));
    }
}
