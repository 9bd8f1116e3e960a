//! The methods of `hubbub.v1.ChatService` that are unary calls, by their names, in either encoding.

use std::collections::HashMap;
use std::pin::Pin;

use protobuf::MessageFull;

use crate::server::calls::caller::Caller;
use crate::server::calls::dispatch::{Appending, CallOrigin, Dispatcher};
use crate::server::calls::error::CallResult;
use crate::server::calls::slots::Slot;
use crate::server::calls::{change, messages, post, reactions, rooms, search};
use crate::server::hub::Hub;
use crate::wire::{self, Frame, json, v1};

/// An encoding of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    Json,
    Proto,
}

/// The response to a call, encoded, and its slot.
pub type Encoded = Pin<Box<dyn Future<Output = CallResult<(Slot, Vec<u8>)>> + Send>>;

/// A call that was begun.
pub struct Begun {
    pub response: Encoded,
    /// Whether calls for the log writer that are begun later are executed later.
    pub is_in_order: bool,
}

/// Begins a call. Fails with the reason if its request can't be decoded.
type Begin = Box<dyn Fn(&Dispatcher, CallOrigin, Codec, &[u8]) -> Result<Begun, String> + Send + Sync>;

/// A method.
pub struct Method {
    /// Whether it has no side effects, and so may be called with GET.
    pub is_safe: bool,
    /// Whether it is executed by the log writer.
    pub appends: bool,
    begin: Begin,
}

/// All methods.
pub struct Methods(HashMap<&'static str, Method>);

impl Method {
    pub fn begin(
        &self,
        dispatcher: &Dispatcher,
        origin: CallOrigin,
        codec: Codec,
        request: &[u8],
    ) -> Result<Begun, String> {
        (self.begin)(dispatcher, origin, codec, request)
    }
}

impl Methods {
    pub fn new() -> Self {
        let login: Begin = Box::new(|dispatcher, origin, codec, request| {
            let response = dispatcher.login(origin, codec.decode(request)?);
            Ok(Begun { response: encoded(response, codec), is_in_order: false })
        });
        Self(HashMap::from([
            ("PostMessage", append(post::post_message)),
            ("EditMessage", append(change::edit_message)),
            ("DeleteMessage", append(change::delete_message)),
            ("SetReaction", append(change::set_reaction)),
            ("SetPin", append(change::set_pin)),
            ("ChangeRoom", append(change::change_room)),
            ("Login", Method { is_safe: false, appends: false, begin: login }),
            ("ListMessages", read(messages::list_messages)),
            ("ListReactions", read(reactions::list_reactions)),
            ("ListRooms", read(rooms::list_rooms)),
            ("ListMembers", read(rooms::list_members)),
            ("SearchMessages", read(search::search_messages)),
        ]))
    }

    pub fn find(&self, name: &str) -> Option<&Method> {
        self.0.get(name)
    }
}

fn append<Q, P, F>(call: fn(&Hub, Caller, Q) -> F) -> Method
where
    Q: MessageFull,
    P: Encode,
    F: Future<Output = CallResult<P>> + Send + 'static,
{
    let begin: Begin = Box::new(move |dispatcher, origin, codec, request| {
        let Appending { response, is_in_order } = dispatcher.append(origin, codec.decode(request)?, call);
        Ok(Begun { response: encoded(response, codec), is_in_order })
    });
    Method { is_safe: false, appends: true, begin }
}

fn read<Q: MessageFull, P: Encode>(call: fn(&Hub, &Caller, Q) -> CallResult<P>) -> Method {
    let begin: Begin = Box::new(move |dispatcher, origin, codec, request| {
        let response = dispatcher.read(origin, codec.decode(request)?, call);
        Ok(Begun { response: encoded(response, codec), is_in_order: false })
    });
    Method { is_safe: true, appends: false, begin }
}

fn encoded<P: Encode>(response: impl Future<Output = CallResult<(Slot, P)>> + Send + 'static, codec: Codec) -> Encoded {
    Box::pin(async move {
        let (slot, response) = response.await?;
        Ok((slot, response.encode(codec)))
    })
}

impl Codec {
    /// The type of a call's response.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Proto => "application/proto",
        }
    }

    pub fn decode<Q: MessageFull>(self, request: &[u8]) -> Result<Q, String> {
        match self {
            Self::Json => json::parse(request).map_err(|error| error.to_string()),
            Self::Proto => wire::parse(request).map_err(|error| format!("not a message of the contract: {error}")),
        }
    }
}

/// A response that can be encoded.
trait Encode: Send + 'static {
    fn encode(self, codec: Codec) -> Vec<u8>;
}

impl<P: MessageFull> Encode for P {
    fn encode(self, codec: Codec) -> Vec<u8> {
        match codec {
            Codec::Json => {
                let mut text = Vec::new();
                json::print(&self, &mut text);
                text
            }
            // It can only fail for lack of required fields, which the contract has not.
            Codec::Proto => self.write_to_bytes().unwrap_or_default(),
        }
    }
}

/// A page of messages, as stored.
impl Encode for Frame {
    fn encode(self, codec: Codec) -> Vec<u8> {
        match codec {
            Codec::Proto => self.as_slice().to_vec(),
            Codec::Json => v1::ListMessagesResponse::parse(self.as_slice()).encode(codec),
        }
    }
}

trait ParseStored: MessageFull {
    /// Decodes what this server has encoded.
    fn parse(bytes: &[u8]) -> Self {
        Self::parse_from_bytes(bytes).expect("the server's own encoding is valid")
    }
}

impl ParseStored for v1::ListMessagesResponse {}

#[cfg(test)]
mod tests {
    use protobuf::reflect::FileDescriptor;

    use super::*;

    /// A method that is added to the contract must be added here.
    #[test]
    fn every_unary_method_of_the_contract_is_here() {
        let file: &FileDescriptor = v1::file_descriptor();
        let services = &file.proto().service;
        let methods = services.iter().flat_map(|service| &service.method);
        let unary = methods.filter(|method| !method.client_streaming() && !method.server_streaming());
        let known = Methods::new();
        let mut count = 0;
        for method in unary {
            let found = known.find(method.name()).unwrap_or_else(|| panic!("{} is missing", method.name()));
            let is_safe = method.options.idempotency_level()
                == protobuf::descriptor::method_options::IdempotencyLevel::NO_SIDE_EFFECTS;
            assert_eq!(found.is_safe, is_safe, "{}", method.name());
            count += 1;
        }
        assert_eq!(known.0.len(), count);
    }
}
