//! A client that sends any bytes, and reads responses.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::Value;

use crate::support::DEADLINE;

/// A connection.
pub struct Client {
    pub stream: TcpStream,
    received: Vec<u8>,
}

/// A response.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    /// Names in lower case.
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Client {
    pub fn connect(address: &str) -> Self {
        let stream = TcpStream::connect(address).expect("it accepts connections");
        stream.set_read_timeout(Some(DEADLINE)).expect("it can be set");
        // A request is sent in pieces, of which none waits for the server to confirm the one before.
        stream.set_nodelay(true).expect("it can be set");
        stream.set_write_timeout(Some(DEADLINE)).expect("it can be set");
        Self { stream, received: Vec::new() }
    }

    pub fn send(&mut self, bytes: &[u8]) {
        // The server may have closed the connection already; then reading shows it.
        let _ = self.stream.write_all(bytes);
    }

    /// A line feed stands for the end of a line.
    pub fn send_text(&mut self, text: &str) {
        self.send(text.replace('\n', "\r\n").as_bytes());
    }

    /// The next response, to a request other than HEAD. `None` at the end of the connection.
    pub fn response(&mut self) -> Option<Response> {
        let end = self.read_until(|bytes| bytes.windows(4).position(|end| end == b"\r\n\r\n").map(|at| at + 4))?;
        let head = String::from_utf8(self.received.drain(..end).collect()).expect("a head is text");
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|status| status.parse().ok());
        let status = status.unwrap_or_else(|| panic!("{head}"));
        let field = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned()));
        let fields: Vec<_> = lines.filter_map(field).collect();
        let mut response = Response { status, fields, body: Vec::new() };
        if !matches!(status, 100 | 204 | 304) {
            let length: usize = response.field("content-length").expect("a length").parse().expect("a number");
            self.read_until(|bytes| (bytes.len() >= length).then_some(length)).expect("the whole body");
            response.body = self.received.drain(..length).collect();
        }
        Some(response)
    }

    /// Sends a request and reads the response.
    pub fn ask(&mut self, text: &str) -> Response {
        self.send_text(text);
        self.response().expect("a response")
    }

    /// Calls a method with JSON.
    pub fn call(&mut self, method: &str, request: &Value) -> Response {
        self.call_with(method, request, "")
    }

    pub fn call_with(&mut self, method: &str, request: &Value, fields: &str) -> Response {
        let body = request.to_string();
        let head = format!(
            "POST /hubbub.v1.ChatService/{method} HTTP/1.1\nHost: localhost\nContent-Type: application/json\n\
             Content-Length: {}\n{fields}\n",
            body.len()
        );
        self.send_text(&head);
        self.send(body.as_bytes());
        self.response().expect("a response")
    }

    /// Whether the server has closed the connection, and nothing more was received.
    pub fn is_closed(&mut self) -> bool {
        self.read_until(|_| None).is_none() && self.received.is_empty()
    }

    fn read_until(&mut self, found: impl Fn(&[u8]) -> Option<usize>) -> Option<usize> {
        let mut chunk = [0; 4096];
        loop {
            if let Some(found) = found(&self.received) {
                return Some(found);
            }
            match self.stream.read(&mut chunk) {
                Ok(count @ 1..) => self.received.extend_from_slice(&chunk[..count]),
                Ok(0) | Err(_) => return None,
            }
        }
    }
}
