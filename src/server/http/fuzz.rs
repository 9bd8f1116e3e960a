//! The decoders of requests over HTTP, for [`crate::fuzz`].

use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use protobuf::MessageFull;

use super::fence::Fence;
use super::head::Head;
use super::input::Input;
use super::socket::Socket;
use super::{connect, cookie, follow};
use crate::limits::HTTP_BODY_BYTES_MAX;
use crate::wire::{json, v1};

/// What a client sends on a connection: each request is understood as a whole, or refused.
pub fn requests(input: &[u8]) {
    let (mut client, server) = UnixStream::pair().expect("there are descriptors");
    server.set_nonblocking(true).expect("a socket can be set");
    client.set_nonblocking(true).expect("a socket can be set");
    // The rest of an input that is longer than a socket's buffer is lost, as that of a client that vanishes.
    let _ = client.write_all(input);
    drop(client);
    let until = Instant::now() + Duration::from_secs(60);
    let mut connection = Input::new(Arc::new(Socket::new(server.into())), Arc::default());
    while let Ok(head) = connection.head(until) {
        request(&head);
        let Ok(body) = connection.body(head.body, HTTP_BODY_BYTES_MAX, until) else { break };
        assert!(body.len() <= HTTP_BODY_BYTES_MAX);
        if let Ok(form) = connect::post(&head)
            && let Ok(message) = connect::inflate(form, body.clone())
        {
            assert!(message.len() <= HTTP_BODY_BYTES_MAX);
        }
        if let Ok(form) = connect::stream(&head)
            && let Ok(message) = connect::envelope(form, &body)
        {
            assert!(form.is_gzipped || message.len() + connect::ENVELOPE_BYTES == body.len());
        }
    }
}

fn request(head: &Head) {
    assert!(head.path.starts_with('/') || head.path == "*");
    let fence = Fence { hosts: vec!["chat.example".to_owned()], origins: Vec::new() };
    let _ = (fence.check_host(head, false), fence.check_page(head), cookie::token(head), connect::get(head));
    if let Some(room) = follow::room_of(&head.path)
        && let Ok(following) = follow::events(head, room)
    {
        assert!(following.request.rooms.len() == 1);
    }
}

pub fn request_seeds() -> Vec<Vec<u8>> {
    const SEEDS: [&str; 5] = [
        "POST /hubbub.v1.ChatService/PostMessage HTTP/1.1\nHost: localhost:5080\nContent-Type: application/json\n\
         Content-Length: 2\nCookie: hubbub=hub_1\n\n{}GET /healthz HTTP/1.0\n\n",
        "POST /hubbub.v1.ChatService/Follow HTTP/1.1\nHost: [::1]\nContent-Type: application/connect+json\n\
         Transfer-Encoding: chunked\nConnect-Timeout-Ms: 5\nSec-Fetch-Site: same-origin\n\n7;x=y\n\0\0\0\0\x02{}\n0\nA: b\n\n",
        "GET /hubbub.v1.ChatService/ListRooms?encoding=json&message=%7B%7D&base64=0&compression=gzip&connect=v1 HTTP/1.1\n\
         Host: chat.example\nOrigin: https://app.example\nExpect: 100-continue\n\n",
        "GET /rooms/t%C3%A9a/events?last=5&after=ab-7 HTTP/1.1\nHost: x\nLast-Event-ID: 00000000000000ab-9\n\n",
        "OPTIONS * HTTP/1.1\nHost: x\nConnection: close, foo\n\n",
    ];
    SEEDS.iter().map(|seed| seed.replace('\n', "\r\n").into_bytes()).collect()
}

/// JSON that is understood is printed, and understood again as the same.
pub fn messages(input: &[u8]) {
    fn round_trip<M: MessageFull>(input: &[u8]) {
        let Ok(message) = json::parse::<M>(input) else { return };
        let mut text = Vec::new();
        json::print(&message, &mut text);
        assert!(json::parse::<M>(&text).is_ok_and(|again| again == message));
    }
    round_trip::<v1::PostMessageRequest>(input);
    round_trip::<v1::ListMessagesRequest>(input);
    round_trip::<v1::FollowRequest>(input);
    round_trip::<v1::FollowResponse>(input);
}

pub fn message_seeds() -> Vec<Vec<u8>> {
    const SEEDS: [&str; 4] = [
        r#"{"room":"tea","sender":"ann","body":"hi \ud83d\ude00","messageId":"AAECAwQFBgcICQoLDA0ODw==","kind":"KIND_ACTION"}"#,
        r#"{"room":"tea","before_seq":"18446744073709551615","pageSize":1e2,"unknown":[[[null]]]}"#,
        r#"{"hello":{"name":"bob"},"rooms":[{"room":"tea","after":{"seq":"7","epoch":9}},{"room":"x","last":50}]}"#,
        r#"{"events":[{"roomId":"1","seq":"2","timeMs":"3","message":{"sender":"ann","body":"hi","mentions":["*"]}}]}"#,
    ];
    SEEDS.iter().map(|seed| seed.as_bytes().to_vec()).collect()
}
