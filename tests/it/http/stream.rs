//! A client of a stream: reads its chunks, and the envelopes or events in them.

use std::collections::VecDeque;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::Value;

use crate::support::DEADLINE;

/// A stream whose head has come.
pub struct Stream {
    pub socket: TcpStream,
    pub head: String,
    /// The body so far, without the framing of chunks, from `start` on.
    body: Vec<u8>,
    raw: Vec<u8>,
    is_chunked: bool,
    /// The last chunk has come, or the connection has ended.
    pub is_over: bool,
    /// Events over Connect that were not asked for yet.
    events: VecDeque<Value>,
}

/// An event of a stream of Server-Sent Events.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Event {
    pub name: String,
    pub id: String,
    pub data: Value,
}

impl Stream {
    /// Sends a request and reads the head of the response.
    pub fn open(address: &str, request: &[u8]) -> Self {
        let socket = TcpStream::connect(address).expect("it accepts connections");
        socket.set_read_timeout(Some(DEADLINE)).expect("it can be set");
        let mut stream = Self {
            socket,
            head: String::new(),
            body: vec![],
            raw: vec![],
            is_chunked: false,
            is_over: false,
            events: VecDeque::new(),
        };
        stream.socket.write_all(request).expect("it is sent");
        while !stream.raw.windows(4).any(|end| end == b"\r\n\r\n") {
            assert!(stream.read(), "{}", String::from_utf8_lossy(&stream.raw));
        }
        let end = stream.raw.windows(4).position(|end| end == b"\r\n\r\n").expect("it was found") + 4;
        stream.head = String::from_utf8(stream.raw.drain(..end).collect()).expect("a head is text");
        stream.is_chunked = stream.head.contains("transfer-encoding: chunked");
        stream.take_chunks();
        stream
    }

    /// Follows rooms over Connect, with a request in JSON.
    pub fn follow(address: &str, request: &Value, fields: &str) -> Self {
        Self::follow_with(address, &envelope(0, request.to_string().as_bytes()), fields)
    }

    pub fn follow_with(address: &str, body: &[u8], fields: &str) -> Self {
        let head = format!(
            "POST /hubbub.v1.ChatService/Follow HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/connect+json\r\n\
             Content-Length: {}\r\n{fields}\r\n",
            body.len()
        );
        Self::open(address, &[head.as_bytes(), body].concat())
    }

    /// Follows a room by Server-Sent Events. The target begins after `/rooms/`.
    pub fn events(address: &str, target: &str, fields: &str) -> Self {
        Self::open(address, format!("GET /rooms/{target} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n").as_bytes())
    }

    /// Reads more. `false` at the end.
    fn read(&mut self) -> bool {
        let mut chunk = [0; 16 * 1024];
        match self.socket.read(&mut chunk) {
            Ok(count @ 1..) => self.raw.extend_from_slice(&chunk[..count]),
            Ok(0) => self.is_over = true,
            Err(error) => panic!("{error}: {}", String::from_utf8_lossy(&self.raw)),
        }
        !self.is_over
    }

    fn take_chunks(&mut self) {
        if !self.is_chunked {
            self.body.append(&mut self.raw);
            return;
        }
        while let Some(end) = self.raw.windows(2).position(|end| end == b"\r\n") {
            let size = std::str::from_utf8(&self.raw[..end]).expect("a size is text");
            let size = usize::from_str_radix(size, 16).expect("a size is a number");
            let whole = end + 2 + size + 2;
            if self.raw.len() < whole {
                return;
            }
            assert_eq!(&self.raw[whole - 2..whole], b"\r\n");
            self.body.extend_from_slice(&self.raw[end + 2..whole - 2]);
            self.raw.drain(..whole);
            self.is_over |= size == 0;
        }
    }

    /// The next envelope: its flags and its JSON. `None` at the end.
    pub fn envelope(&mut self) -> Option<(u8, Value)> {
        loop {
            if let Some(head) = self.body.get(..5) {
                let length = u32::from_be_bytes(head[1..].try_into().expect("it has four bytes")) as usize;
                if let Some(message) = self.body.get(5..5 + length) {
                    let found = (head[0], serde_json::from_slice(message).expect("a message is JSON"));
                    self.body.drain(..5 + length);
                    return Some(found);
                }
            }
            if self.is_over || !self.more() {
                return None;
            }
        }
    }

    /// The next event. `None` at the end.
    pub fn event(&mut self) -> Option<Event> {
        loop {
            if let Some(end) = self.body.windows(2).position(|end| end == b"\n\n") {
                let text = String::from_utf8(self.body.drain(..end + 2).collect()).expect("events are text");
                let mut event = Event::default();
                for line in text.lines() {
                    match line.split_once(": ") {
                        Some(("event", name)) => event.name = name.to_owned(),
                        Some(("id", id)) => event.id = id.to_owned(),
                        Some(("data", data)) => event.data = serde_json::from_str(data).expect("data is JSON"),
                        _ => assert!(line.is_empty() || line == "retry: 2000", "{line}"),
                    }
                }
                if event != Event::default() {
                    return Some(event);
                }
                continue;
            }
            if self.is_over || !self.more() {
                return None;
            }
        }
    }

    fn more(&mut self) -> bool {
        let more = self.read();
        self.take_chunks();
        more
    }

    /// The first event over Connect of which this is `Some`. The others stay: the order of those of different rooms, and of
    /// answers, is not specified.
    fn find<T>(&mut self, wanted: impl Fn(&Value) -> Option<T>) -> T {
        let mut looked_at = 0;
        loop {
            if let Some((at, found)) =
                self.events.iter().enumerate().skip(looked_at).find_map(|(at, event)| Some((at, wanted(event)?)))
            {
                self.events.remove(at);
                return found;
            }
            looked_at = self.events.len();
            let (flags, message) = self.envelope().expect("the stream goes on");
            assert_eq!(flags, 0, "{message}");
            self.events.extend(message["events"].as_array().cloned().unwrap_or_default());
        }
    }

    /// The next event over Connect of this kind.
    pub fn wait_for(&mut self, kind: &str) -> Value {
        self.find(|event| event.get(kind).is_some().then(|| event.clone()))
    }

    /// The bodies of the next messages over Connect.
    pub fn bodies(&mut self, count: usize) -> Vec<String> {
        (0..count).map(|_| self.find(|event| event["message"]["body"].as_str().map(str::to_owned))).collect()
    }

    /// The message of the end of a stream over Connect, after which nothing comes.
    pub fn end(&mut self) -> Value {
        loop {
            match self.envelope().expect("a stream has an end") {
                (2, end) => {
                    assert_eq!(self.envelope(), None);
                    return end;
                }
                (0, _) => {}
                (flags, message) => panic!("{flags}: {message}"),
            }
        }
    }
}

/// A message in an envelope.
pub fn envelope(flags: u8, message: &[u8]) -> Vec<u8> {
    [&[flags], (message.len() as u32).to_be_bytes().as_slice(), message].concat()
}
