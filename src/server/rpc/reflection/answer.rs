//! The answer to one request of reflection.

use protobuf::Message as _;
use thiserror::Error;

use super::schema::Schema;
use crate::limits::REFLECTION_REQUEST_BYTES_MAX;
use crate::wire::reflection::server_reflection_request::Message_request as Question;
use crate::wire::reflection::server_reflection_response::Message_response as Answer;
use crate::wire::reflection::{
    ErrorResponse, ExtensionNumberResponse, FileDescriptorResponse, ListServiceResponse, ServerReflectionRequest,
    ServerReflectionResponse, ServiceResponse,
};
use crate::wire::{Frame, Request};

/// Codes of gRPC, which these messages carry as numbers.
const INVALID_ARGUMENT: i32 = 3;
const NOT_FOUND: i32 = 5;

/// A request that ends its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Invalid {
    #[error("the request has {0} bytes: send at most {REFLECTION_REQUEST_BYTES_MAX}")]
    TooLong(usize),
    #[error("the request can't be decoded: send a message of grpc.reflection.v1.ServerReflectionRequest")]
    Undecodable,
}

/// The answer to a request.
pub fn to(schema: &Schema, request: Request) -> Result<Frame, Invalid> {
    match request.len() {
        length if length > REFLECTION_REQUEST_BYTES_MAX => Err(Invalid::TooLong(length)),
        _ => Ok(Frame::new(encoded(schema, request.parse().map_err(|_| Invalid::Undecodable)?))),
    }
}

fn encoded(schema: &Schema, request: ServerReflectionRequest) -> Vec<u8> {
    let response = ServerReflectionResponse {
        valid_host: request.host.clone(),
        message_response: Some(answer(schema, request.message_request.as_ref())),
        original_request: Some(request).into(),
        ..Default::default()
    };
    // Invariant: the response is bounded by the size of the contracts.
    response.write_to_bytes().expect("encoding into memory succeeds")
}

fn answer(schema: &Schema, question: Option<&Question>) -> Answer {
    match question {
        None => error(INVALID_ARGUMENT, "the request asks for nothing that this server knows"),
        Some(Question::FileByFilename(name)) => {
            files(schema.file(name), "no such file: list_services and file_containing_symbol find all files")
        }
        Some(Question::FileContainingSymbol(symbol)) => files(
            schema.file_of_symbol(symbol),
            "no such symbol: give a full name without a dot before it, such as hubbub.v1.ChatService.PostMessage",
        ),
        Some(Question::FileContainingExtension(extension)) => files(
            schema.file_of_extension(&extension.containing_type, extension.extension_number),
            "no such extension: all_extension_numbers_of_type lists those of a message",
        ),
        Some(Question::AllExtensionNumbersOfType(message)) => match schema.extension_numbers(message) {
            None => error(NOT_FOUND, "no such message: give a full name, such as hubbub.v1.PostMessageRequest"),
            Some(extension_number) => Answer::AllExtensionNumbersResponse(ExtensionNumberResponse {
                base_type_name: message.clone(),
                extension_number,
                ..Default::default()
            }),
        },
        Some(Question::ListServices(_)) => {
            let service = |name: &str| ServiceResponse { name: name.to_owned(), ..Default::default() };
            let service = schema.services().map(service).collect();
            Answer::ListServicesResponse(ListServiceResponse { service, ..Default::default() })
        }
    }
}

fn files(found: Option<Vec<Vec<u8>>>, missing: &str) -> Answer {
    match found {
        Some(file_descriptor_proto) => {
            Answer::FileDescriptorResponse(FileDescriptorResponse { file_descriptor_proto, ..Default::default() })
        }
        None => error(NOT_FOUND, missing),
    }
}

fn error(error_code: i32, message: &str) -> Answer {
    Answer::ErrorResponse(ErrorResponse { error_code, error_message: message.to_owned(), ..Default::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire;

    fn ask(question: Option<Question>) -> ServerReflectionResponse {
        let schema = Schema::new(&[wire::v1::file_descriptor().clone()]);
        let request = ServerReflectionRequest { host: "h".to_owned(), message_request: question, ..Default::default() };
        let response = ServerReflectionResponse::parse_from_bytes(&encoded(&schema, request.clone())).unwrap();
        assert_eq!((response.valid_host.as_str(), &*response.original_request), ("h", &request));
        response
    }

    fn code(question: Option<Question>) -> i32 {
        let response = ask(question);
        assert!(!response.error_response().error_message.is_empty());
        response.error_response().error_code
    }

    #[test]
    fn unknown_names_are_errors_of_their_request() {
        assert_eq!(code(None), INVALID_ARGUMENT);
        for question in [
            Question::FileByFilename("/etc/passwd".to_owned()),
            Question::FileContainingSymbol("hubbub".to_owned()),
            Question::FileContainingExtension(Default::default()),
            Question::AllExtensionNumbersOfType("x".repeat(4_000)),
        ] {
            assert_eq!(code(Some(question)), NOT_FOUND);
        }
    }

    #[test]
    fn known_names_are_answered() {
        let listed = ask(Some(Question::ListServices("*".to_owned())));
        assert_eq!(listed.list_services_response().service[0].name, "hubbub.v1.ChatService");
        let file = ask(Some(Question::FileContainingSymbol("hubbub.v1.ChatService".to_owned())));
        assert_eq!(file.file_descriptor_response().file_descriptor_proto.len(), 1);
        let numbers = ask(Some(Question::AllExtensionNumbersOfType("hubbub.v1.Hello".to_owned())));
        let numbers = numbers.all_extension_numbers_response();
        assert_eq!((numbers.base_type_name.as_str(), numbers.extension_number.len()), ("hubbub.v1.Hello", 0));
    }
}
