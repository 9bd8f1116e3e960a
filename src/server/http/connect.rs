//! The Connect protocol: what a request says of its encoding and its time, as a POST or, for methods without side effects,
//! as a GET; and the envelope of the request of a stream. <https://connectrpc.com/docs/protocol>

use std::io::Read as _;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use flate2::read::MultiGzDecoder;

use super::head::{Head, HeadFault};
use super::methods::Codec;
use crate::limits::{HTTP_BODY_BYTES_MAX, HTTP_FOLLOW_BYTES_MAX};
use crate::names::InvalidText;
use crate::server::calls::error::Code;

/// A request in the form of the protocol, without its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    pub codec: Codec,
    pub is_gzipped: bool,
    /// How long the client waits for the response.
    pub timeout: Option<Duration>,
}

/// Why a request is not one of the protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FormFault {
    /// Calls and streams have other types.
    Type,
    /// The encoding of the body is unknown.
    Encoding(String),
    Invalid(&'static str),
    Text(InvalidText),
    TooLong,
    Fault(HeadFault),
}

/// Why a stream is refused. Its client gets it as the end of the stream, whose status is 200.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub code: Code,
    pub message: String,
}

impl From<HeadFault> for FormFault {
    fn from(fault: HeadFault) -> Self {
        Self::Fault(fault)
    }
}

/// The types that a call may have, and a stream.
pub const CALL_TYPES: &str = "application/json, application/proto";
pub const STREAM_TYPES: &str = "application/connect+json, application/connect+proto";

/// The form of a POST.
pub fn post(head: &Head) -> Result<Form, FormFault> {
    form(head, ["application/json", "application/proto"], "content-encoding")
}

/// The form of the request of a stream.
pub fn stream(head: &Head) -> Result<Form, FormFault> {
    form(head, STREAM_CODECS, "connect-content-encoding")
}

/// The codec of a stream, whatever else is wrong with its request.
pub fn stream_codec(head: &Head) -> Result<Codec, FormFault> {
    codec(head, STREAM_CODECS)
}

const STREAM_CODECS: [&str; 2] = ["application/connect+json", "application/connect+proto"];

fn form(head: &Head, codecs: [&str; 2], encoding: &str) -> Result<Form, FormFault> {
    let codec = codec(head, codecs)?;
    check_version(head.one("connect-protocol-version")?.map(|version| (version, "1")))?;
    let is_gzipped = is_gzip(head.one(encoding)?)?;
    Ok(Form { codec, is_gzipped, timeout: timeout(head)? })
}

fn codec(head: &Head, [json, proto]: [&str; 2]) -> Result<Codec, FormFault> {
    let (name, parameters) = split(head.one("content-type")?.unwrap_or_default());
    let codec = match name.to_ascii_lowercase() {
        name if name == json => Codec::Json,
        name if name == proto => Codec::Proto,
        _ => return Err(FormFault::Type),
    };
    let is_utf8 = parameters.is_empty() || parameters.eq_ignore_ascii_case("charset=utf-8");
    if !is_utf8 && !parameters.eq_ignore_ascii_case("charset=\"utf-8\"") {
        return Err(FormFault::Type);
    }
    Ok(codec)
}

/// The form of a GET, and its message, which is in the query.
pub fn get(head: &Head) -> Result<(Form, Vec<u8>), FormFault> {
    let (mut codec, mut message, mut is_base64, mut compression) = (None, None, false, None);
    for (name, value) in parameters(&head.query)? {
        let value = String::from_utf8(value).map_err(|_| FormFault::Invalid("the query is not UTF-8"));
        match name.as_str() {
            "encoding" => {
                codec = Some(match value?.as_str() {
                    "json" => Codec::Json,
                    "proto" => Codec::Proto,
                    _ => return Err(FormFault::Type),
                });
            }
            "message" => message = Some(value?),
            "base64" => is_base64 = value? == "1",
            "compression" => compression = Some(value?),
            "connect" => check_version(Some((&value?, "v1")))?,
            _ => {}
        }
    }
    let codec = codec.ok_or(FormFault::Invalid("the query has no encoding: add encoding=json"))?;
    let message = message.ok_or(FormFault::Invalid("the query has no message: add message={}"))?;
    let message = match is_base64 {
        true => base64(&message).ok_or(FormFault::Invalid("the message in the query is not base64"))?,
        false => message.into_bytes(),
    };
    let is_gzipped = is_gzip(compression.as_deref())?;
    Ok((Form { codec, is_gzipped, timeout: timeout(head)? }, message))
}

/// Inflates a body, if it is compressed: at most to the size that it may have otherwise.
pub fn inflate(form: Form, body: Vec<u8>) -> Result<Vec<u8>, FormFault> {
    // An empty message may stay as it is.
    if !form.is_gzipped || body.is_empty() { Ok(body) } else { gunzip(&body, HTTP_BODY_BYTES_MAX) }
}

fn gunzip(body: &[u8], bytes_max: usize) -> Result<Vec<u8>, FormFault> {
    let mut inflated = Vec::new();
    match MultiGzDecoder::new(body).take(bytes_max as u64 + 1).read_to_end(&mut inflated) {
        Ok(_) if inflated.len() > bytes_max => Err(FormFault::TooLong),
        Ok(_) => Ok(inflated),
        Err(_) => Err(FormFault::Invalid("the body is not gzip, although its encoding says so")),
    }
}

/// The length of an envelope's head: its flags, and the length of its message.
pub const ENVELOPE_BYTES: usize = 5;

/// The flags of an envelope: a message, one that is compressed, and the last one of a stream.
pub const MESSAGE: u8 = 0;
const COMPRESSED: u8 = 1;
pub const END_OF_STREAM: u8 = 2;

/// The last message of a stream, in its envelope.
pub fn last_envelope(message: &[u8]) -> Vec<u8> {
    [&[END_OF_STREAM], (message.len() as u32).to_be_bytes().as_slice(), message].concat()
}

/// The message of the request of a stream: exactly one, in an envelope.
pub fn envelope(form: Form, body: &[u8]) -> Result<Vec<u8>, Refusal> {
    let refuse = |code, message: &str| Err(Refusal { code, message: message.to_owned() });
    let envelope = body.split_at_checked(ENVELOPE_BYTES).and_then(|(head, rest)| {
        let length = u32::from_be_bytes(head[1..].try_into().ok()?);
        Some((head[0], rest.split_at_checked(length as usize)?))
    });
    let Some((flags, (message, rest))) = envelope else {
        return refuse(Code::Unimplemented, "the request has no whole message: send one, in an envelope");
    };
    match flags {
        _ if !rest.is_empty() => refuse(Code::Unimplemented, "the request has more than one message: send one"),
        MESSAGE => Ok(message.to_vec()),
        COMPRESSED if form.is_gzipped => gunzip(message, HTTP_FOLLOW_BYTES_MAX).or_else(|fault| match fault {
            FormFault::TooLong => {
                refuse(Code::ResourceExhausted, "the request is too long, inflated: name fewer rooms")
            }
            _ => refuse(Code::InvalidArgument, "the message is not gzip, although its encoding says so"),
        }),
        COMPRESSED => refuse(Code::Internal, "the message is compressed, but Connect-Content-Encoding is missing"),
        _ => refuse(Code::InvalidArgument, "the envelope has unknown flags"),
    }
}

fn split(value: &str) -> (&str, &str) {
    let (name, parameters) = value.split_once(';').unwrap_or((value, ""));
    (name.trim(), parameters.trim())
}

fn check_version(version: Option<(&str, &str)>) -> Result<(), FormFault> {
    match version {
        Some((version, known)) if version != known => {
            Err(FormFault::Invalid("the version of Connect's protocol is unknown: this server knows version 1"))
        }
        _ => Ok(()),
    }
}

fn is_gzip(encoding: Option<&str>) -> Result<bool, FormFault> {
    match encoding {
        None | Some("" | "identity") => Ok(false),
        Some(coding) if coding.eq_ignore_ascii_case("gzip") => Ok(true),
        Some(other) => Err(FormFault::Encoding(other.chars().take(20).collect())),
    }
}

fn timeout(head: &Head) -> Result<Option<Duration>, FormFault> {
    let Some(timeout) = head.one("connect-timeout-ms")? else { return Ok(None) };
    let is_number = (1..=10).contains(&timeout.len()) && timeout.bytes().all(|byte| byte.is_ascii_digit());
    let millis = timeout.parse().ok().filter(|_| is_number);
    let millis = millis.ok_or(FormFault::Invalid("Connect-Timeout-Ms is not a number of at most 10 digits"))?;
    Ok(Some(Duration::from_millis(millis)))
}

/// Either alphabet, with padding or without.
fn base64(text: &str) -> Option<Vec<u8>> {
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let alphabet = if text.contains(['-', '_']) { base64::alphabet::URL_SAFE } else { base64::alphabet::STANDARD };
    GeneralPurpose::new(&alphabet, config).decode(text).ok()
}

/// The parameters of a query, decoded.
pub fn parameters(query: &str) -> Result<Vec<(String, Vec<u8>)>, FormFault> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value =
                decode(&value.replace('+', " ")).ok_or(FormFault::Invalid("the query has a malformed percent sign"))?;
            Ok((name.to_owned(), value))
        })
        .collect()
}

/// Decodes `%20`.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let (mut decoded, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        decoded.push(match byte {
            b'%' => {
                let (digits, after) = rest.split_at_checked(2)?;
                rest = after;
                let digit = |digit: u8| (digit as char).to_digit(16);
                (digit(digits[0])? * 16 + digit(digits[1])?) as u8
            }
            other => *other,
        });
    }
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn head(target: &str, fields: &str) -> Head {
        let text = format!("POST {target} HTTP/1.1\nHost: x\n{fields}\n").replace('\n', "\r\n");
        Head::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_post_says_its_form() {
        let form = |fields: &str| post(&head("/", fields));
        let plain = Form { codec: Codec::Json, is_gzipped: false, timeout: None };
        assert_eq!(form("Content-Type: application/json\n"), Ok(plain));
        assert_eq!(form("Content-Type: Application/JSON; charset=UTF-8\nConnect-Protocol-Version: 1\n"), Ok(plain));
        let zipped = "Content-Type: application/proto\nContent-Encoding: gzip\nConnect-Timeout-Ms: 1500\n";
        let expected = Form { codec: Codec::Proto, is_gzipped: true, timeout: Some(Duration::from_millis(1500)) };
        assert_eq!(form(zipped), Ok(expected));
        for fields in [
            "",
            "Content-Type: application/x-www-form-urlencoded\n",
            "Content-Type: text/plain\n",
            "Content-Type: application/json; charset=latin1\n",
            "Content-Type: application/grpc\n",
        ] {
            assert_eq!(form(fields), Err(FormFault::Type), "{fields}");
        }
        let json = |fields: &str| form(&format!("Content-Type: application/json\n{fields}"));
        assert_eq!(json("Content-Encoding: br\n"), Err(FormFault::Encoding("br".to_owned())));
        for fields in [
            "Connect-Protocol-Version: 2\n",
            "Connect-Timeout-Ms: 12345678901\n",
            "Connect-Timeout-Ms: -1\n",
            "Connect-Timeout-Ms: 1.5\n",
            "Connect-Timeout-Ms:\n",
        ] {
            assert!(matches!(json(fields), Err(FormFault::Invalid(_))), "{fields}");
        }
    }

    #[test]
    fn a_get_has_its_message_in_the_query() {
        let message = |query: &str| get(&head(&format!("/a?{query}"), "")).map(|(form, message)| (form.codec, message));
        let json = |text: &str| Ok((Codec::Json, text.as_bytes().to_vec()));
        assert_eq!(message("encoding=json&message=%7B%22room%22%3a%22a+b%22}&connect=v1"), json("{\"room\":\"a b\"}"));
        assert_eq!(message("message=e30&base64=1&encoding=json&other"), json("{}"));
        assert_eq!(message("message=e30%3D&base64=1&encoding=json"), json("{}"));
        assert_eq!(message("message=_-8=&base64=1&encoding=proto"), Ok((Codec::Proto, vec![0xff, 0xef])));
        assert_eq!(message("encoding=proto&message="), Ok((Codec::Proto, Vec::new())));
        assert_eq!(message("encoding=xml&message="), Err(FormFault::Type));
        for query in [
            "",
            "encoding=json",
            "message={}",
            "encoding=json&message=%7",
            "encoding=json&message=%zz",
            "encoding=json&message=!&base64=1",
            "encoding=json&message={}&connect=v2",
            "encoding=json&message=%ff",
        ] {
            assert!(matches!(message(query), Err(FormFault::Invalid(_))), "{query}: {:?}", message(query));
        }
    }

    #[test]
    fn a_body_is_inflated_within_its_bound() {
        let form = Form { codec: Codec::Json, is_gzipped: true, timeout: None };
        let zip = |bytes: &[u8]| {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        };
        assert_eq!(inflate(form, zip(b"{}")), Ok(b"{}".to_vec()));
        assert_eq!(inflate(form, [zip(b"{"), zip(b"}")].concat()), Ok(b"{}".to_vec()));
        assert_eq!(inflate(form, zip(&vec![0; HTTP_BODY_BYTES_MAX])).map(|body| body.len()), Ok(HTTP_BODY_BYTES_MAX));
        let bomb = zip(&vec![0; 50_000_000]);
        assert!(bomb.len() < HTTP_BODY_BYTES_MAX);
        assert_eq!(inflate(form, bomb), Err(FormFault::TooLong));
        assert!(matches!(inflate(form, b"{}".to_vec()), Err(FormFault::Invalid(_))));
        assert!(matches!(inflate(form, zip(b"{}")[..10].to_vec()), Err(FormFault::Invalid(_))));
        assert_eq!(inflate(Form { is_gzipped: false, ..form }, b"{}".to_vec()), Ok(b"{}".to_vec()));
    }
}
