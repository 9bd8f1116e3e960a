//! What is printed, accepted and refused. Most cases come from protobuf's conformance suite.

mod bounds;
mod random;

use protobuf::reflect::{FileDescriptor, MessageDescriptor, RuntimeFieldType, RuntimeType};
use protobuf::well_known_types::wrappers::{DoubleValue, FloatValue, Int32Value, Int64Value};
use protobuf::{EnumOrUnknown, Message as _, MessageFull, text_format};

use super::super::v1;
use super::*;

fn printed(message: &dyn MessageDyn) -> String {
    let mut out = Vec::new();
    print(message, &mut out);
    String::from_utf8(out).unwrap()
}

fn parsed<M: MessageFull>(json: &str) -> M {
    parse(json.as_bytes()).unwrap_or_else(|error| panic!("{json}: {error}"))
}

/// The text of the error.
fn refused<M: MessageFull>(json: impl AsRef<[u8]>) -> String {
    let json = json.as_ref();
    match parse::<M>(json) {
        Ok(message) => panic!("{:.200}: {message:?}", String::from_utf8_lossy(json)),
        Err(error) => error.to_string(),
    }
}

fn post(change: impl FnOnce(&mut v1::PostMessageRequest)) -> v1::PostMessageRequest {
    let mut post = v1::PostMessageRequest::new();
    change(&mut post);
    post
}

#[test]
fn the_canonical_form_is_printed() {
    let mut joined = v1::Joined { epoch: u64::MAX, head_seq: 7, member_count: 2, ..Default::default() };
    joined.pinned_seqs = vec![1, 0, u64::MAX];
    let mut rejected = v1::Rejected { code: v1::rejected::Code::CODE_DENIED.into(), ..Default::default() };
    rejected.set_message_id(Vec::new());
    let (mut join, mut list, mut event) = (v1::Join::new(), v1::ListMessagesRequest::new(), v1::Event::new());
    join.set_last(0);
    list.set_after_seq(0);
    event.set_caught_up(v1::CaughtUp::new());
    let mut page = v1::ListMessagesResponse::new();
    page.events = vec![v1::Event::new(), event.clone()];
    let cases: [(&dyn MessageDyn, &str); 12] = [
        (&v1::PostMessageRequest::new(), "{}"),
        (&post(|p| p.reply_to_seq = 9_007_199_254_740_993), r#"{"replyToSeq":"9007199254740993"}"#),
        (&post(|p| p.message_id = vec![0xfb, 0xff]), r#"{"messageId":"+/8="}"#),
        (&post(|p| p.kind = v1::Kind::KIND_ACTION.into()), r#"{"kind":"KIND_ACTION"}"#),
        (&post(|p| p.kind = EnumOrUnknown::from_i32(-9)), r#"{"kind":-9}"#),
        (
            &post(|p| p.body = "\"\\/\u{8}\u{c}\n\r\t\u{0}\u{1f}\u{7f}é\u{2028}😀".into()),
            "{\"body\":\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0000\\u001f\u{7f}é\u{2028}😀\"}",
        ),
        (
            &joined,
            r#"{"epoch":"18446744073709551615","headSeq":"7","memberCount":2,"pinnedSeqs":["1","0","18446744073709551615"]}"#,
        ),
        // A set member of a oneof is printed, although it has its default value.
        (&rejected, r#"{"messageId":"","code":"CODE_DENIED"}"#),
        (&join, r#"{"last":0}"#),
        (&list, r#"{"afterSeq":"0"}"#),
        (&event, r#"{"caughtUp":{}}"#),
        (&page, r#"{"events":[{},{"caughtUp":{}}]}"#),
    ];
    for (message, json) in cases {
        assert_eq!(printed(message), json);
    }
}

#[test]
fn unknown_fields_are_not_printed() {
    // Field 1, `hall`; field 2,047, the varint 1.
    let message = v1::PostMessageRequest::parse_from_bytes(b"\x0a\x04hall\xf8\x7f\x01").unwrap();
    assert_eq!(message.unknown_fields().iter().count(), 1);
    assert_eq!(printed(&message), r#"{"room":"hall"}"#);
}

#[test]
fn every_form_of_a_field_is_accepted() {
    let id = |bytes: &[u8]| post(|p| p.message_id = bytes.to_vec());
    let body = |text: &str| post(|p| p.body = text.to_owned());
    let seq = |seq| post(|p| p.reply_to_seq = seq);
    let action = || post(|p| p.kind = v1::Kind::KIND_ACTION.into());
    let cases = [
        ("{}", post(|_| ())),
        (
            " \t\r\n{ \"room\" : \"tea\" , \"replyToSeq\" : 1 } \n",
            post(|p| (p.room, p.reply_to_seq) = ("tea".into(), 1)),
        ),
        // Both spellings of a name, and escapes in it.
        (r#"{"replyToSeq":"1"}"#, seq(1)),
        (r#"{"reply_to_seq":"1"}"#, seq(1)),
        (r#"{"r\u0065plyToSeq":"1"}"#, seq(1)),
        // `null` means absent.
        (r#"{"room":null,"messageId":null,"kind":null,"replyToSeq":null,"mentions":null}"#, post(|_| ())),
        // Unknown fields, of any type.
        (
            r#"{"x":1,"":"","y":[{"z":[null,true,-1.5e+3]},"\ud800"],"room":"tea","x":2}"#,
            post(|p| p.room = "tea".into()),
        ),
        // Integers of 64 bits.
        (r#"{"replyToSeq":18446744073709551615}"#, seq(u64::MAX)),
        (r#"{"replyToSeq":"18446744073709551615"}"#, seq(u64::MAX)),
        (r#"{"replyToSeq":18446744073709551615.0}"#, seq(u64::MAX)),
        (r#"{"replyToSeq":9007199254740993.0}"#, seq(9_007_199_254_740_993)),
        (r#"{"replyToSeq":1.0}"#, seq(1)),
        (r#"{"replyToSeq":1e3}"#, seq(1000)),
        (r#"{"replyToSeq":"1e3"}"#, seq(1000)),
        (r#"{"replyToSeq":"2\u0030"}"#, seq(20)),
        (r#"{"replyToSeq":-0}"#, seq(0)),
        // Enums.
        (r#"{"kind":"KIND_ACTION"}"#, action()),
        (r#"{"kind":"KIND\u005fACTION"}"#, action()),
        (r#"{"kind":2}"#, action()),
        (r#"{"kind":2.0}"#, action()),
        (r#"{"kind":99}"#, post(|p| p.kind = EnumOrUnknown::from_i32(99))),
        (r#"{"kind":-2147483648}"#, post(|p| p.kind = EnumOrUnknown::from_i32(i32::MIN))),
        (r#"{"kind":"KIND_OF_A_LATER_VERSION"}"#, post(|_| ())),
        // Bytes.
        (r#"{"messageId":""}"#, post(|_| ())),
        (r#"{"messageId":"AQI="}"#, id(&[1, 2])),
        (r#"{"messageId":"AQI"}"#, id(&[1, 2])),
        (r#"{"messageId":"+/8="}"#, id(&[0xfb, 0xff])),
        (r#"{"messageId":"-_8="}"#, id(&[0xfb, 0xff])),
        (r#"{"messageId":"-_8"}"#, id(&[0xfb, 0xff])),
        (r#"{"messageId":"-_"}"#, id(&[0xfb])),
        (r#"{"messageId":"\u002b\/8="}"#, id(&[0xfb, 0xff])),
        // Texts.
        (r#"{"body":"\"\\\/\b\f\n\r\t"}"#, body("\"\\/\u{8}\u{c}\n\r\t")),
        (r#"{"body":"\u8C37\u6b4c"}"#, body("谷歌")),
        (r#"{"body":"\ud83d\uDE00"}"#, body("😀")),
        (r#"{"body":"😀"}"#, body("😀")),
        (r#"{"body":"\u0000"}"#, body("\0")),
        // Repeated fields.
        (r#"{"mentions":[]}"#, post(|_| ())),
        (r#"{"mentions":["ann",""]}"#, post(|p| p.mentions = vec!["ann".into(), String::new()])),
    ];
    for (json, message) in cases {
        assert_eq!(parsed::<v1::PostMessageRequest>(json), message, "{json}");
    }
}

#[test]
fn members_of_a_oneof_are_accepted() {
    let (mut last, mut after) = (v1::Join::new(), v1::Join::new());
    last.set_last(0);
    after.set_after(v1::Position { seq: 1, epoch: 2, ..Default::default() });
    for (json, message) in [
        ("{}", v1::Join::new()),
        (r#"{"after":null,"last":null}"#, v1::Join::new()),
        (r#"{"last":0}"#, last.clone()),
        (r#"{"after":null,"last":0}"#, last.clone()),
        (r#"{"last":0,"after":null}"#, last),
        (r#"{"after":{"seq":1,"epoch":"2"}}"#, after),
    ] {
        assert_eq!(parsed::<v1::Join>(json), message, "{json}");
    }
    let mut topic = v1::ChangeRoomRequest::new();
    topic.set_topic(String::new());
    assert_eq!(parsed::<v1::ChangeRoomRequest>(r#"{"topic":""}"#), topic);
}

#[test]
fn what_is_no_message_is_refused_with_the_field_and_the_rule() {
    const SEQ: &str = "replyToSeq: expected an integer from 0 to 18446744073709551615";
    const ID: &str = "messageId: expected bytes as a string in base64";
    const KIND: &str = "kind: expected the name or the number of an enum value";
    for (json, text) in [
        ("null", "expected an object"),
        ("[]", "expected an object"),
        ("\"{}\"", "expected an object"),
        (r#"{"room":1}"#, "room: expected a string"),
        (r#"{"room":{}}"#, "room: expected a string"),
        (r#"{"room":["tea"]}"#, "room: expected a string"),
        (r#"{"replyToSeq":-1}"#, SEQ),
        (r#"{"replyToSeq":0.5}"#, SEQ),
        (r#"{"replyToSeq":1.00000000000000000001}"#, SEQ),
        (r#"{"replyToSeq":18446744073709551616}"#, SEQ),
        (r#"{"replyToSeq":"18446744073709551616"}"#, SEQ),
        (r#"{"replyToSeq":18446744073709551615.5}"#, SEQ),
        (r#"{"replyToSeq":"1e536870000"}"#, SEQ),
        (r#"{"replyToSeq":1e400}"#, SEQ),
        (r#"{"replyToSeq":true}"#, SEQ),
        (r#"{"replyToSeq":""}"#, SEQ),
        (r#"{"replyToSeq":" 1"}"#, SEQ),
        (r#"{"replyToSeq":"1 "}"#, SEQ),
        (r#"{"replyToSeq":"+1"}"#, SEQ),
        (r#"{"replyToSeq":"01"}"#, SEQ),
        (r#"{"replyToSeq":"12abc"}"#, SEQ),
        (r#"{"replyToSeq":"0x10"}"#, SEQ),
        (r#"{"replyToSeq":"NaN"}"#, SEQ),
        (r#"{"replyToSeq":"\ud800"}"#, SEQ),
        (r#"{"replyToSeq":[1]}"#, SEQ),
        (r#"{"replyToSeq":{}}"#, SEQ),
        (r#"{"kind":true}"#, KIND),
        (r#"{"kind":1.5}"#, KIND),
        (r#"{"kind":2147483648}"#, KIND),
        (r#"{"kind":["KIND_TEXT"]}"#, KIND),
        (r#"{"messageId":1}"#, ID),
        (r#"{"messageId":[1,2]}"#, ID),
        (r#"{"messageId":"A"}"#, ID),
        (r#"{"messageId":"AQI=="}"#, ID),
        (r#"{"messageId":"AQ I"}"#, ID),
        (r#"{"messageId":"+_8="}"#, ID),
        (r#"{"mentions":"ann"}"#, "mentions: expected an array"),
        (r#"{"mentions":{"0":"ann"}}"#, "mentions: expected an array"),
        (r#"{"mentions":["ann",2]}"#, "mentions[1]: expected a string"),
        (r#"{"mentions":["ann",null]}"#, "mentions[1]: expected a string"),
        (r#"{"mentions":[["ann"]]}"#, "mentions[0]: expected a string"),
        (r#"{"room":"a","room":"a"}"#, "room: this field is set twice"),
        (r#"{"room":null,"room":"a"}"#, "room: this field is set twice"),
        (r#"{"replyToSeq":1,"reply_to_seq":1}"#, "replyToSeq: this field is set twice"),
        (r#"{"mentions":["a"],"mentions":["b"]}"#, "mentions: this field is set twice"),
    ] {
        assert_eq!(refused::<v1::PostMessageRequest>(json), text, "{json}");
    }
}

#[test]
fn what_is_wrong_inside_a_message_is_refused_with_its_path() {
    const SECOND: &str = "another field of the same oneof is already set";
    for (json, text) in [
        (r#"{"events":[null]}"#, "events[0]: expected an object".to_owned()),
        (r#"{"events":[{},[]]}"#, "events[1]: expected an object".to_owned()),
        (r#"{"events":{}}"#, "events: expected an array".to_owned()),
        (r#"{"events":[{"message":"x"}]}"#, "events[0].message: expected an object".to_owned()),
        (
            r#"{"events":[{},{"message":{"reactions":[{"people":[{"authenticated":"true"}]}]}}]}"#,
            "events[1].message.reactions[0].people[0].authenticated: expected true or false".to_owned(),
        ),
        (
            r#"{"events":[{"joined":{"pinned_seqs":[1,-1]}}]}"#,
            "events[0].joined.pinnedSeqs[1]: expected an integer from 0 to 18446744073709551615".to_owned(),
        ),
        (r#"{"events":[{"gap":{},"joined":{}}]}"#, format!("events[0].joined: {SECOND}")),
        (r#"{"events":[{"rejected":{"room":"","messageId":""}}]}"#, format!("events[0].rejected.messageId: {SECOND}")),
        (
            r#"{"events":[{"welcome":{"limits":{"roomsMax":1,"rooms_max":1}}}]}"#,
            "events[0].welcome.limits.roomsMax: this field is set twice".to_owned(),
        ),
    ] {
        assert_eq!(refused::<v1::ListMessagesResponse>(json), text, "{json}");
    }
    for json in [r#"{"after":{},"last":0}"#, r#"{"last":0,"after":{}}"#] {
        assert!(refused::<v1::Join>(json).ends_with(SECOND), "{json}");
    }
    assert_eq!(refused::<v1::Join>(r#"{"last":4294967296}"#), "last: expected an integer from 0 to 4294967295");
}

#[test]
fn what_is_no_json_is_refused_with_the_position() {
    for json in [
        "",
        " ",
        "{",
        "}",
        "{}{}",
        "{} x",
        "{},",
        "{\"room\"}",
        "{\"room\":}",
        "{\"room\":\"a\",}",
        "{room:\"a\"}",
        "{'room':\"a\"}",
        "{\"room\":'a'}",
        "{1:2}",
        "{null:1}",
        "{\"mentions\":[\"a\",]}",
        "{\"mentions\":[\"a\"",
        "{\"room\":\"a\nb\"}",
        "{\"room\":\"\\U8C37\"}",
        "{\"room\":\"\\uXXXX\"}",
        "{\"room\":\"\\u8C3\"}",
        "{\"room\":\"\\x41\"}",
        "{\"room\":\"\\ud800\"}",
        "{\"room\":\"\\udc00\"}",
        "{\"room\":\"\\ude01\\ud83d\"}",
        "{\"replyToSeq\":+1}",
        "{\"replyToSeq\":01}",
        "{\"replyToSeq\":-01}",
        "{\"replyToSeq\":1.}",
        "{\"replyToSeq\":NaN}",
        "{\"kind\":KIND_TEXT}",
        "{\"x\":nul}",
        "{\"x\":[1,]}",
        "{\"x\":\"a\nb\"}",
        "{\"x\":01}",
        "\u{feff}{}",
        "// room\n{}",
        "{}\0",
    ] {
        let text = refused::<v1::PostMessageRequest>(json);
        assert!(text.starts_with("invalid JSON: ") && text.contains(" at line "), "{json}: {text}");
    }
    for json in [b"{\"room\":\"\xff\"}".as_slice(), b"{\"x\":\"\xed\xa0\x80\"}", b"\xff\xfe{}"] {
        assert_eq!(refused::<v1::PostMessageRequest>(json), "not UTF-8");
    }
}

/// The contract has no floats and no signed integers, so this reads the wrappers as if they were ordinary messages.
#[test]
fn floats_and_signed_integers_have_the_forms_of_the_specification() {
    for (number, json) in [
        (1.5, r#"{"value":1.5}"#),
        (f64::NAN, r#"{"value":"NaN"}"#),
        (f64::INFINITY, r#"{"value":"Infinity"}"#),
        (f64::NEG_INFINITY, r#"{"value":"-Infinity"}"#),
    ] {
        assert_eq!(printed(&DoubleValue { value: number, ..Default::default() }), json);
        assert_eq!(printed(&FloatValue { value: number as f32, ..Default::default() }), json);
        assert_eq!(parsed::<DoubleValue>(json).value.to_bits(), number.to_bits());
        assert_eq!(parsed::<FloatValue>(json).value.to_bits(), (number as f32).to_bits());
    }
    for number in [f64::MAX, f64::MIN_POSITIVE, 5e-324, 0.1, -1e23, 9_007_199_254_740_993.0] {
        let message = DoubleValue { value: number, ..Default::default() };
        assert_eq!(parsed::<DoubleValue>(&printed(&message)), message);
    }
    assert_eq!(parsed::<FloatValue>(r#"{"value":"-2.5e0"}"#).value, -2.5);
    for json in ["1e39", "-3.502823e38", "\"inf\"", "\"nan\"", "\"\"", "\" 1\"", "true", "[]"] {
        let text = refused::<FloatValue>(format!("{{\"value\":{json}}}"));
        assert_eq!(text, "value: expected a number in the range of the type, or its text", "{json}");
    }
    let lowest = Int64Value { value: i64::MIN, ..Default::default() };
    assert_eq!(printed(&lowest), r#"{"value":"-9223372036854775808"}"#);
    assert_eq!(parsed::<Int64Value>(r#"{"value":-9223372036854775808}"#), lowest);
    assert_eq!(printed(&Int32Value { value: -7, ..Default::default() }), r#"{"value":-7}"#);
    assert_eq!(parsed::<Int32Value>(r#"{"value":-2.147483648e9}"#).value, i32::MIN);
    assert!(parse::<Int32Value>(br#"{"value":2147483648}"#).is_err());
    assert!(parse::<Int64Value>(br#"{"value":"9223372036854775808"}"#).is_err());
}

/// The contract has no repeated enum, so this makes one.
#[test]
fn an_unknown_name_in_an_array_is_left_out() {
    let file = r#"name: "e" syntax: "proto3" enum_type { name: "E" value { name: "A" number: 0 } value { name: "B" number: 1 } }
        message_type { name: "M" field { name: "all" number: 1 label: LABEL_REPEATED type: TYPE_ENUM type_name: ".E" } }"#;
    let file = FileDescriptor::new_dynamic(text_format::parse_from_str(file).unwrap(), &[]).unwrap();
    let mut message = file.message_by_package_relative_name("M").unwrap().new_instance();
    reader::read(br#"{"all":["B","C","A",1,7]}"#, &mut *message).unwrap();
    assert_eq!(printed(&*message), r#"{"all":["B","A","B",7]}"#);
}

/// What the module relies on, and what it does not implement.
#[test]
fn the_contract_has_only_what_is_implemented() {
    let file = v1::Event::descriptor().file_descriptor().clone();
    assert_eq!(file.proto().syntax(), "proto3");
    assert!(file.proto().dependency.is_empty(), "the contract imports a file, perhaps of well-known types");
    for message in file.messages() {
        assert!(levels(&message) < 8, "{message}");
    }
}

/// How many levels of messages a message has.
fn levels(message: &MessageDescriptor) -> usize {
    let below = message.fields().map(|field| match field.runtime_field_type() {
        RuntimeFieldType::Map(..) => panic!("{field} is a map"),
        RuntimeFieldType::Singular(RuntimeType::Message(of)) | RuntimeFieldType::Repeated(RuntimeType::Message(of)) => {
            levels(&of)
        }
        _ => 0,
    });
    1 + below.max().unwrap_or(0)
}
