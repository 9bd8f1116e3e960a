//! The messages of the tutorial's contract, and a codec that decodes what comes and sends what is encoded already.

use bytes::{BufMut, Bytes};
use prost::Message;
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

#[derive(Clone, PartialEq, Message)]
pub struct FromClient {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub body: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct FromServer {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub body: String,
}

pub struct ChatCodec;

/// Decodes a [`FromClient`].
pub struct ClientDecoder;

/// Copies an encoded [`FromServer`] into the stream's buffer.
pub struct EncodedEncoder;

impl Codec for ChatCodec {
    type Encode = Bytes;
    type Decode = FromClient;
    type Encoder = EncodedEncoder;
    type Decoder = ClientDecoder;

    fn encoder(&mut self) -> EncodedEncoder {
        EncodedEncoder
    }

    fn decoder(&mut self) -> ClientDecoder {
        ClientDecoder
    }
}

impl Decoder for ClientDecoder {
    type Item = FromClient;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<FromClient>, Status> {
        FromClient::decode(source).map(Some).map_err(|error| Status::invalid_argument(error.to_string()))
    }
}

impl Encoder for EncodedEncoder {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(message);
        Ok(())
    }
}
