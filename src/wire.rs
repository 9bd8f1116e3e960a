//! The wire contracts: the generated messages, the method tables, and the marshaller for messages that are already
//! encoded. [`event`] defines the encoding of events, [`json`] the JSON form of all messages.
//!
//! The method tables are written by hand (about ten lines each) because no generator supports this version of the
//! protobuf library, and because the server's side of a stream sends [`Frame`]s, which no generator knows.

pub mod event;
pub mod change;
pub mod answer;
pub mod request;
pub mod json;

use std::io::{self, BufRead};

use grpcio::{GrpcSlice, Marshaller, Method, MethodType};
use protobuf::{CodedInputStream, Message as _};

/// Decodes a message, or fails if a field declares more bytes than there are. The library's own `parse_from_bytes` takes
/// the end of its input for the end of such a field, but refuses the same bytes within another message.
pub fn parse<M: protobuf::Message>(bytes: &[u8]) -> protobuf::Result<M> {
    M::parse_from(&mut input(bytes)?)
}

/// The input of [`parse`].
pub fn input(bytes: &[u8]) -> protobuf::Result<CodedInputStream<'_>> {
    let mut input = CodedInputStream::from_bytes(bytes);
    input.push_limit(bytes.len() as u64)?;
    Ok(input)
}

/// The messages of `proto/chatserver/chat.proto`.
pub mod tutorial {
    pub use self::generated::chat::{FromClient, FromServer, file_descriptor};

    mod generated {
        include!(concat!(env!("OUT_DIR"), "/chatserver/mod.rs"));
    }
}

/// The messages of `proto/hubbub/v1/chat.proto`.
pub mod v1 {
    pub use self::generated::chat::*;

    mod generated {
        include!(concat!(env!("OUT_DIR"), "/hubbub_v1/mod.rs"));
    }
}

/// The messages of `proto/grpc/health/v1/health.proto`.
pub mod health {
    pub use self::generated::health::*;

    mod generated {
        include!(concat!(env!("OUT_DIR"), "/grpc_health_v1/mod.rs"));
    }
}

/// The messages of `proto/grpc/reflection/v1/reflection.proto`.
pub mod reflection {
    pub use self::generated::reflection::*;

    mod generated {
        include!(concat!(env!("OUT_DIR"), "/grpc_reflection_v1/mod.rs"));
    }
}

/// The earlier package of [`reflection`], which has the same messages: only its description is used.
pub mod reflection_v1alpha {
    pub use self::generated::reflection::file_descriptor;

    mod generated {
        include!(concat!(env!("OUT_DIR"), "/grpc_reflection_v1alpha/mod.rs"));
    }
}

/// `hubbub.v1.ChatService/Chat` as a client calls it.
pub const CHAT_CLIENT: Method<v1::ChatRequest, v1::ChatResponse> = duplex(CHAT, protobuf(), protobuf());

/// `hubbub.v1.ChatService/Chat` as the server serves it: its frames hold events that were encoded once, when stored.
pub const CHAT_SERVER: Method<Request, Frame> = duplex(CHAT, REQUESTS, FRAMES);

pub const POST_MESSAGE: Method<v1::PostMessageRequest, v1::PostMessageResponse> =
    unary("/hubbub.v1.ChatService/PostMessage");
const LIST_MESSAGES_NAME: &str = "/hubbub.v1.ChatService/ListMessages";

pub const LIST_MESSAGES: Method<v1::ListMessagesRequest, v1::ListMessagesResponse> = unary(LIST_MESSAGES_NAME);

/// `ListMessages` as the server serves it: its response holds events as stored in the log.
pub const LIST_MESSAGES_SERVER: Method<v1::ListMessagesRequest, Frame> =
    Method { ty: MethodType::Unary, name: LIST_MESSAGES_NAME, req_mar: protobuf(), resp_mar: FRAMES };

pub const LOGIN: Method<v1::LoginRequest, v1::LoginResponse> = unary("/hubbub.v1.ChatService/Login");
pub const LIST_ROOMS: Method<v1::ListRoomsRequest, v1::ListRoomsResponse> = unary("/hubbub.v1.ChatService/ListRooms");
pub const LIST_MEMBERS: Method<v1::ListMembersRequest, v1::ListMembersResponse> =
    unary("/hubbub.v1.ChatService/ListMembers");

pub const EDIT_MESSAGE: Method<v1::EditMessageRequest, v1::EditMessageResponse> =
    unary("/hubbub.v1.ChatService/EditMessage");
pub const DELETE_MESSAGE: Method<v1::DeleteMessageRequest, v1::DeleteMessageResponse> =
    unary("/hubbub.v1.ChatService/DeleteMessage");
pub const SET_REACTION: Method<v1::SetReactionRequest, v1::SetReactionResponse> =
    unary("/hubbub.v1.ChatService/SetReaction");
pub const LIST_REACTIONS: Method<v1::ListReactionsRequest, v1::ListReactionsResponse> =
    unary("/hubbub.v1.ChatService/ListReactions");
pub const SET_PIN: Method<v1::SetPinRequest, v1::SetPinResponse> = unary("/hubbub.v1.ChatService/SetPin");
pub const CHANGE_ROOM: Method<v1::ChangeRoomRequest, v1::ChangeRoomResponse> =
    unary("/hubbub.v1.ChatService/ChangeRoom");
pub const SEARCH_MESSAGES: Method<v1::SearchMessagesRequest, v1::SearchMessagesResponse> =
    unary("/hubbub.v1.ChatService/SearchMessages");

/// `hubbub.v1.ChatService/Follow` as a client calls it.
pub const FOLLOW_CLIENT: Method<v1::FollowRequest, v1::FollowResponse> =
    Method { ty: MethodType::ServerStreaming, name: FOLLOW, req_mar: protobuf(), resp_mar: protobuf() };

/// `hubbub.v1.ChatService/Follow` as the server serves it, with frames.
pub const FOLLOW_SERVER: Method<v1::FollowRequest, Frame> =
    Method { ty: MethodType::ServerStreaming, name: FOLLOW, req_mar: protobuf(), resp_mar: FRAMES };

pub const HEALTH_CHECK: Method<health::HealthCheckRequest, health::HealthCheckResponse> =
    unary("/grpc.health.v1.Health/Check");
pub const HEALTH_LIST: Method<health::HealthListRequest, health::HealthListResponse> =
    unary("/grpc.health.v1.Health/List");
const HEALTH_WATCH: &str = "/grpc.health.v1.Health/Watch";

/// `grpc.health.v1.Health/Watch` as a client calls it.
pub const HEALTH_WATCH_CLIENT: Method<health::HealthCheckRequest, health::HealthCheckResponse> =
    Method { ty: MethodType::ServerStreaming, name: HEALTH_WATCH, req_mar: protobuf(), resp_mar: protobuf() };

/// The same as the server serves it.
pub const HEALTH_WATCH_SERVER: Method<health::HealthCheckRequest, Frame> =
    Method { ty: MethodType::ServerStreaming, name: HEALTH_WATCH, req_mar: protobuf(), resp_mar: FRAMES };

const REFLECTION: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
const REFLECTION_V1ALPHA: &str = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";

/// Server reflection as a client calls it, in both packages.
pub const REFLECTION_CLIENT: Method<reflection::ServerReflectionRequest, reflection::ServerReflectionResponse> =
    duplex(REFLECTION, protobuf(), protobuf());
pub const REFLECTION_V1ALPHA_CLIENT: Method<reflection::ServerReflectionRequest, reflection::ServerReflectionResponse> =
    duplex(REFLECTION_V1ALPHA, protobuf(), protobuf());

/// Server reflection as the server serves it: it decodes requests itself.
pub const REFLECTION_SERVER: Method<Request, Frame> = duplex(REFLECTION, REQUESTS, FRAMES);
pub const REFLECTION_V1ALPHA_SERVER: Method<Request, Frame> = duplex(REFLECTION_V1ALPHA, REQUESTS, FRAMES);

const CHAT: &str = "/hubbub.v1.ChatService/Chat";
const FOLLOW: &str = "/hubbub.v1.ChatService/Follow";

/// The marshaller of messages that are already encoded.
const FRAMES: Marshaller<Frame> = Marshaller { ser: Frame::share, de: Frame::read };

/// The marshaller of messages that are decoded later.
const REQUESTS: Marshaller<Request> = Marshaller { ser: Request::refuse, de: Request::keep };

const fn protobuf<T: protobuf::Message>() -> Marshaller<T> {
    Marshaller { ser: grpcio::pb_ser, de: grpcio::pb_de }
}

const fn unary<Q: protobuf::Message, P: protobuf::Message>(name: &'static str) -> Method<Q, P> {
    Method { ty: MethodType::Unary, name, req_mar: protobuf(), resp_mar: protobuf() }
}

const fn duplex<Q, P>(name: &'static str, req_mar: Marshaller<Q>, resp_mar: Marshaller<P>) -> Method<Q, P> {
    Method { ty: MethodType::Duplex, name, req_mar, resp_mar }
}

/// The tutorial's one method, as its full name on the wire.
const TUTORIAL_CHAT: &str = "/chatserver.Services/ChatService";

/// The request header with which a client of the tutorial's contract requests that the server end the stream with `OK`
/// once all messages sent before the half-close are committed. Without it a half-closed stream continues to receive.
pub const END_AFTER_HALF_CLOSE: &str = "hubbub-end-after-half-close";

/// The tutorial's method as a client calls it.
pub const TUTORIAL_CHAT_CLIENT: Method<tutorial::FromClient, tutorial::FromServer> =
    duplex(TUTORIAL_CHAT, protobuf(), protobuf());

/// The tutorial's method as the server serves it: it sends frames, encoded once for all receivers.
pub const TUTORIAL_CHAT_SERVER: Method<Request, Frame> = duplex(TUTORIAL_CHAT, REQUESTS, FRAMES);

/// One encoded gRPC message. Cloning it, and sending it, shares the bytes by reference count.
#[derive(Clone, Debug)]
pub struct Frame(GrpcSlice);

impl Frame {
    /// Takes the bytes over, without a copy if the vector is exactly full.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(GrpcSlice::from(bytes))
    }

    pub fn as_slice(&self) -> &[u8] {
        self.0.as_slice()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn share(&self, buffer: &mut GrpcSlice) -> grpcio::Result<()> {
        *buffer = self.0.clone();
        Ok(())
    }

    fn read(mut reader: grpcio::MessageReader) -> grpcio::Result<Self> {
        let bytes = read_all(&mut reader).map_err(|e| grpcio::Error::Codec(Box::new(e)))?;
        Ok(Self::new(bytes))
    }
}

/// One received gRPC message, not decoded yet.
pub struct Request(grpcio::MessageReader);

impl Request {
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn parse<Q: protobuf::Message>(mut self) -> protobuf::Result<Q> {
        let mut message = Q::new();
        message.merge_from(&mut CodedInputStream::from_buf_read(&mut self.0))?;
        Ok(message)
    }

    /// Its bytes, copied into one piece.
    pub fn into_bytes(mut self) -> io::Result<Vec<u8>> {
        read_all(&mut self.0)
    }

    fn keep(reader: grpcio::MessageReader) -> grpcio::Result<Self> {
        Ok(Self(reader))
    }

    fn refuse(&self, _buffer: &mut GrpcSlice) -> grpcio::Result<()> {
        Err(grpcio::Error::Codec("a request that came is not sent again".into()))
    }
}

/// The bytes of a message. The library's own `read_to_end` never returns if a slice of the message is empty, as a peer
/// can make it.
fn read_all(reader: &mut grpcio::MessageReader) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(reader.len());
    while !reader.is_empty() {
        let slice = reader.fill_buf()?;
        if slice.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let length = slice.len();
        bytes.extend_from_slice(slice);
        reader.consume(length);
    }
    Ok(bytes)
}

/// Encodes a message for a client of the tutorial's contract.
pub fn encode_from_server(name: &str, body: &str) -> Frame {
    let message = tutorial::FromServer { name: name.to_owned(), body: body.to_owned(), ..Default::default() };
    // Invariant: writing into a vector can't fail, and both fields are bounded far below protobuf's 2 GiB.
    let bytes = message.write_to_bytes().expect("encoding into memory succeeds");
    Frame::new(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_decodes_to_what_was_encoded() {
        let frame = encode_from_server("ann", "hello");
        let message = tutorial::FromServer::parse_from_bytes(frame.as_slice()).unwrap();
        assert_eq!((message.name.as_str(), message.body.as_str()), ("ann", "hello"));
    }
}
