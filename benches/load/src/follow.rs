//! The calls of `hubbub.v1` over Connect: `Follow`, whose responses have the bytes of the chat's, and `PostMessage`.

use crate::chat::{From, ID_BYTES, hello_content, join_content, message_id, room_name};
use crate::endpoint::Endpoint;
use crate::grpc::write_prefix;
use crate::http1::request::post;
use crate::message::{Mark, PADDING, Purpose, sender_name};
use crate::protobuf::{self, Value, write_bytes};

const FOLLOW: &str = "/hubbub.v1.ChatService/Follow";
const POST_MESSAGE: &str = "/hubbub.v1.ChatService/PostMessage";
const STREAM_TYPE: &str = "application/connect+proto";
const CALL_TYPE: &str = "application/proto";

/// The request that follows these rooms as the client with this index.
pub fn follow(server: &Endpoint, client: u32, rooms: impl Iterator<Item = usize>, from: From) -> Vec<u8> {
    let name = if server.login.is_some() { String::new() } else { sender_name(client) };
    let mut message = Vec::new();
    write_bytes(&mut message, 1, &hello_content(&name));
    for room in rooms {
        write_bytes(&mut message, 2, &join_content(room, from));
    }
    let mut body = Vec::with_capacity(message.len() + 8);
    write_prefix(&mut body, message.len());
    body.extend(message);
    post(server, FOLLOW, STREAM_TYPE, &body)
}

/// A sender's calls of `PostMessage` to the first room: the request, encoded once with its head; only its id and its
/// mark change.
pub struct PostCall {
    request: Vec<u8>,
    id_at: usize,
    body_at: usize,
    sender: u32,
    start_unix_ms: u64,
}

/// The response to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Posted<'a> {
    pub seq: u64,
    pub id: &'a [u8],
    pub was_stored: bool,
}

impl PostCall {
    /// `sender` is below [`crate::message::SENDERS_MAX`]; `body_bytes` between the bounds in [`crate::message`].
    pub fn new(server: &Endpoint, sender: u32, body_bytes: usize, start_unix_ms: u64) -> PostCall {
        let mut message = Vec::with_capacity(body_bytes + 64);
        write_bytes(&mut message, 1, room_name(0).as_bytes());
        if server.login.is_none() {
            write_bytes(&mut message, 2, sender_name(sender).as_bytes());
        }
        write_bytes(&mut message, 3, &[0; ID_BYTES]);
        let id_end = message.len();
        write_bytes(&mut message, 4, &vec![PADDING; body_bytes]);
        let request = post(server, POST_MESSAGE, CALL_TYPE, &message);
        // The message is the end of the request, and its body the end of the message.
        let id_at = request.len() - message.len() + id_end - ID_BYTES;
        let body_at = request.len() - body_bytes;
        PostCall { request, id_at, body_at, sender, start_unix_ms }
    }

    pub fn len(&self) -> usize {
        self.request.len()
    }

    /// The request, for this number and time.
    pub fn fill(&mut self, seq: u64, sent_ns: u64) -> &[u8] {
        let id = self.id(seq, sent_ns);
        self.request[self.id_at..][..ID_BYTES].copy_from_slice(&id);
        let mark = Mark { purpose: Purpose::Load, sender: self.sender, seq, sent_ns };
        mark.write(&mut self.request[self.body_at..]);
        &self.request
    }

    /// The id of the message with this number and time.
    pub fn id(&self, seq: u64, sent_ns: u64) -> [u8; ID_BYTES] {
        message_id(self.start_unix_ms, self.sender, seq, sent_ns)
    }
}

impl<'a> Posted<'a> {
    /// `None` if it is not valid protobuf.
    pub fn read(bytes: &'a [u8]) -> Option<Posted<'a>> {
        let mut posted = Posted { seq: 0, id: &[], was_stored: false };
        protobuf::read(bytes, |field, value| match (field, value) {
            (1, Value::Number(seq)) => posted.seq = seq,
            (2, Value::Bytes(id)) => posted.id = id,
            (3, Value::Number(was_stored)) => posted.was_stored = was_stored != 0,
            _ => {}
        })?;
        Some(posted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{BODY_BYTES_MAX, BODY_BYTES_MIN};

    fn server() -> Endpoint {
        Endpoint { address: "127.0.0.1:80".parse().unwrap(), tls: None, login: None }
    }

    fn fields(bytes: &[u8]) -> Vec<(u64, Vec<u8>)> {
        let mut fields = Vec::new();
        protobuf::read(bytes, |field, value| {
            if let Value::Bytes(bytes) = value {
                fields.push((field, bytes.to_vec()));
            }
        })
        .unwrap();
        fields
    }

    fn body(request: &[u8]) -> &[u8] {
        let end = request.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
        &request[end + 4..]
    }

    #[test]
    fn a_post_is_encoded_as_the_contract_requires() {
        for body_bytes in [BODY_BYTES_MIN, 64, 128, BODY_BYTES_MAX] {
            let mut call = PostCall::new(&server(), 515, body_bytes, 1_700_000_000_000);
            call.fill(0x2b, 3_000_000);
            let request = call.fill(0x2a, 5_000_000).to_vec();
            assert_eq!(request.len(), call.len());
            let message = body(&request);
            let length = format!("\r\ncontent-length: {}\r\n", message.len());
            assert!(String::from_utf8_lossy(&request).contains(&length));
            let mark = Mark { purpose: Purpose::Load, sender: 515, seq: 0x2a, sent_ns: 5_000_000 };
            let [room, sender, id, text] = fields(message).try_into().unwrap();
            assert_eq!((room.0, &room.1[..]), (1, &b"bench-000000"[..]));
            assert_eq!((sender.0, &sender.1[..]), (2, &b"load-515"[..]));
            assert_eq!((id.0, &id.1[..]), (3, &call.id(0x2a, 5_000_000)[..]));
            assert_eq!((text.0, text.1.len(), Mark::read(&text.1)), (4, body_bytes, Some(mark)));
        }
    }

    #[test]
    fn the_request_of_a_follower_has_its_rooms() {
        let request = follow(&server(), 7, [0, 12].into_iter(), From::Head);
        let [flags, l0, l1, l2, l3, message @ ..] = body(&request) else { panic!("it has an envelope") };
        assert_eq!((*flags, u32::from_be_bytes([*l0, *l1, *l2, *l3])), (0, message.len() as u32));
        let [hello, first, second] = fields(message).try_into().unwrap();
        assert_eq!((hello.0, &fields(&hello.1)[0].1[..]), (1, &b"load-7"[..]));
        assert_eq!((first.0, &first.1[..]), (2, &b"\x0a\x0cbench-000000"[..]));
        assert_eq!((second.0, &second.1[..]), (2, &b"\x0a\x0cbench-000012"[..]));
    }

    #[test]
    fn responses_are_read() {
        let posted = Posted { seq: 300, id: b"an id", was_stored: true };
        assert_eq!(Posted::read(b"\x08\xac\x02\x12\x05an id\x18\x01"), Some(posted));
        assert_eq!(Posted::read(b"\x12\x05an"), None);
    }
}
