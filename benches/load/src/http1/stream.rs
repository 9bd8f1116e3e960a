//! A stream: one request, and a response of chunks that has no end.

use super::chunks::Chunks;
use super::head::{Body, HeadParser, shown};
use crate::check::Fault;
use crate::connection::ConnectionError;
use crate::grpc::MessageError;

/// A response of chunks.
#[derive(Default)]
pub struct Stream {
    head: HeadParser,
    chunks: Chunks,
    /// Its head has arrived.
    pub greeted: bool,
}

impl Stream {
    /// Passes on the content of received bytes, piece by piece.
    #[inline]
    pub fn take(
        &mut self,
        mut input: &[u8],
        mut on_data: impl FnMut(&[u8]) -> Result<(), Fault>,
    ) -> Result<(), ConnectionError> {
        if !self.greeted {
            let Some(head) = self.head.take(&mut input)? else { return Ok(()) };
            if head.status != 200 {
                return Err(ConnectionError::Status(head.status, shown(input)));
            }
            if head.body != Body::Chunked {
                // The response of a stream that was refused: its only message has the reason.
                return Err(ConnectionError::StreamEnded(shown(input)));
            }
            self.greeted = true;
            // It has only one.
            self.head = HeadParser::default();
        }
        while let Some(piece) = self.chunks.next(&mut input)? {
            on_data(piece).map_err(|fault| match fault {
                Fault::Framing(MessageError::Ended) => ConnectionError::StreamEnded(shown(piece)),
                fault => fault.into(),
            })?;
        }
        if self.chunks.is_over() {
            return Err(ConnectionError::StreamEnded("without a reason".to_owned()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grpc::{Deframer, write_prefix};

    const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";

    fn chunk(bytes: &[u8]) -> Vec<u8> {
        [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
    }

    fn message(content: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        write_prefix(&mut bytes, content.len());
        bytes.extend(content);
        chunk(&bytes)
    }

    fn read(bytes: &[u8]) -> Result<Vec<Vec<u8>>, String> {
        let (mut stream, mut deframer, mut messages) = (Stream::default(), Deframer::default(), Vec::new());
        // Reads may end anywhere.
        for piece in bytes.chunks(100) {
            let taken = stream.take(piece, |mut bytes| {
                while let Some(message) = deframer.next(&mut bytes)? {
                    messages.push(message.to_vec());
                }
                Ok(())
            });
            taken.map_err(|error| error.to_string())?;
        }
        Ok(messages)
    }

    #[test]
    fn messages_follow_the_head() {
        let large = [7; 500];
        let bytes = [HEAD, &message(b"one"), &message(b""), &message(&large)].concat();
        assert_eq!(read(&bytes), Ok(vec![b"one".to_vec(), Vec::new(), large.to_vec()]));
    }

    #[test]
    fn the_end_is_a_fault_with_the_servers_reason() {
        let end = chunk(b"\x02\0\0\0\x09{\"a\":\"b\"}");
        let refused = b"HTTP/1.1 200 OK\r\ncontent-length: 14\r\n\r\n\x02\0\0\0\x09{\"a\":\"b\"}";
        for bytes in [&[HEAD, &message(b"one"), &end].concat()[..], refused] {
            let error = read(bytes).unwrap_err();
            assert!(error.contains("ended the stream") && error.contains(r#"{\"a\":\"b\"}"#), "{error}");
        }
        assert!(read(&[HEAD, b"0\r\n\r\n"].concat()).unwrap_err().contains("without a reason"));
    }

    #[test]
    fn another_status_is_a_fault_with_the_servers_text() {
        let error = read(b"HTTP/1.1 503 Busy\r\ncontent-length: 5\r\n\r\nlater").unwrap_err();
        assert!(error.contains("503") && error.contains("later"), "{error}");
    }
}
