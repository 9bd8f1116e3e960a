//! Calls on a connection that stays: their responses arrive in the order of the requests.

use super::head::{Body, HeadParser, shown};
use crate::check::Fault;
use crate::connection::ConnectionError;
use crate::http2::frames::FRAME_BYTES_MAX;

/// A longer response is refused.
const RESPONSE_BYTES_MAX: usize = FRAME_BYTES_MAX;

/// The responses of a connection.
#[derive(Default)]
pub struct Calls {
    heads: HeadParser,
    /// The status and the length of the response whose body is being read.
    current: Option<(u16, usize)>,
    /// The start of an incomplete body.
    partial: Vec<u8>,
    /// The response to the greeting is due, which is not passed on.
    awaits_greeting: bool,
}

impl Calls {
    /// A connection whose first request is the greeting.
    pub fn after_greeting() -> Calls {
        Calls { awaits_greeting: true, ..Calls::default() }
    }

    pub fn greeted(&self) -> bool {
        !self.awaits_greeting
    }

    /// Passes on the body of each response, when it is complete.
    pub fn take(
        &mut self,
        mut input: &[u8],
        mut on_body: impl FnMut(&[u8]) -> Result<(), Fault>,
    ) -> Result<(), ConnectionError> {
        loop {
            let (status, length) = match self.current {
                Some(current) => current,
                None => {
                    let Some(head) = self.heads.take(&mut input)? else { return Ok(()) };
                    match head.body {
                        Body::Bytes(length) if length <= RESPONSE_BYTES_MAX => (head.status, length),
                        _ => {
                            return Err(ConnectionError::Protocol(
                                "a response to a call without a length, or a long one",
                            ));
                        }
                    }
                }
            };
            let (bytes, rest) = input.split_at(input.len().min(length - self.partial.len()));
            input = rest;
            let body = if bytes.len() == length {
                bytes
            } else {
                self.partial.extend_from_slice(bytes);
                &self.partial
            };
            if body.len() < length {
                self.current = Some((status, length));
                return Ok(());
            }
            if status != 200 {
                return Err(ConnectionError::Status(status, shown(body)));
            }
            if !std::mem::take(&mut self.awaits_greeting) {
                on_body(body)?;
            }
            self.partial.clear();
            self.current = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16, body: &str) -> String {
        format!("HTTP/1.1 {status} Words\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    }

    fn read(calls: &mut Calls, parts: &[&[u8]]) -> Result<Vec<String>, String> {
        let mut bodies = Vec::new();
        for part in parts {
            let taken = calls.take(part, |body| {
                bodies.push(String::from_utf8(body.to_vec()).unwrap());
                Ok(())
            });
            taken.map_err(|error| error.to_string())?;
        }
        Ok(bodies)
    }

    #[test]
    fn bodies_do_not_depend_on_where_reads_end() {
        let bodies = ["ok", "one", "", "three", "three"];
        let bytes = bodies.map(|body| response(200, body)).concat();
        for split in 0..=bytes.len() {
            let (first, second) = bytes.as_bytes().split_at(split);
            assert_eq!(read(&mut Calls::default(), &[first, second]).unwrap(), bodies, "split at {split}");
            let mut calls = Calls::after_greeting();
            assert!(!calls.greeted());
            assert_eq!(read(&mut calls, &[first, second]).unwrap(), bodies[1..], "split at {split}");
            assert!(calls.greeted());
        }
    }

    #[test]
    fn another_status_is_a_fault_with_the_servers_text() {
        let error = read(&mut Calls::default(), &[response(429, "later").as_bytes()]).unwrap_err();
        assert!(error.contains("429") && error.contains("later"), "{error}");
        let long = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", RESPONSE_BYTES_MAX + 1);
        for head in ["HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", &long] {
            assert!(read(&mut Calls::default(), &[head.as_bytes()]).is_err(), "{head}");
        }
    }
}
