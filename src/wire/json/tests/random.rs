//! Arbitrary messages survive the way to JSON and back; arbitrary changes of their JSON never cause a panic.

use fastrand::Rng;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::{Union, ValueTree as _};
use proptest::test_runner::TestRunner;
use protobuf::reflect::{FieldDescriptor, MessageDescriptor, ReflectValueBox, RuntimeFieldType, RuntimeType};
use protobuf::{Message as _, MessageDyn, MessageFull as _};

use super::super::{parse, reader};
use super::{printed, v1};

type Dynamic = Box<dyn MessageDyn>;

/// The fields of one message: the number of each and its values.
type Fields = Vec<(i32, Vec<ReflectValueBox>)>;

fn value(of: &RuntimeType) -> BoxedStrategy<ReflectValueBox> {
    match of {
        RuntimeType::U32 => prop_oneof![Just(0), Just(u32::MAX), any::<u32>()].prop_map(ReflectValueBox::U32).boxed(),
        RuntimeType::U64 => prop_oneof![Just(0), Just(u64::MAX), Just((1 << 53) + 1), 0..100_u64, any::<u64>()]
            .prop_map(ReflectValueBox::U64)
            .boxed(),
        RuntimeType::Bool => any::<bool>().prop_map(ReflectValueBox::Bool).boxed(),
        RuntimeType::String => vec(any::<char>(), 0..12)
            .prop_map(|characters| ReflectValueBox::String(characters.into_iter().collect()))
            .boxed(),
        RuntimeType::VecU8 => vec(any::<u8>(), 0..20).prop_map(ReflectValueBox::Bytes).boxed(),
        RuntimeType::Enum(descriptor) => {
            let descriptor = descriptor.clone();
            prop_oneof![0..11_i32, any::<i32>()]
                .prop_map(move |number| ReflectValueBox::Enum(descriptor.clone(), number))
                .boxed()
        }
        RuntimeType::Message(descriptor) => message(descriptor, None).prop_map(ReflectValueBox::Message).boxed(),
        other => panic!("the contract has no {other:?}"),
    }
}

/// The values of a field: none, one, or up to three if it is repeated.
fn values(field: &FieldDescriptor, is_set: bool) -> BoxedStrategy<Vec<ReflectValueBox>> {
    match field.runtime_field_type() {
        RuntimeFieldType::Singular(of) => vec(value(&of), usize::from(is_set)..=1).boxed(),
        RuntimeFieldType::Repeated(of) => vec(value(&of), 0..=3).boxed(),
        RuntimeFieldType::Map(..) => panic!("{field} is a map"),
    }
}

/// Messages of a type: each field may be set, and one member of each oneof; always `member`, if that is one.
fn message(descriptor: &MessageDescriptor, member: Option<&FieldDescriptor>) -> BoxedStrategy<Dynamic> {
    let set = |field: FieldDescriptor| {
        let number = field.number();
        values(&field, true).prop_map(move |values| vec![(number, values)]).boxed()
    };
    let mut parts: Vec<BoxedStrategy<Fields>> = Vec::new();
    for field in descriptor.fields().filter(|field| field.containing_oneof().is_none()) {
        let number = field.number();
        parts.push(values(&field, false).prop_map(move |values| vec![(number, values)]).boxed());
    }
    for oneof in descriptor.oneofs() {
        let members = match member {
            Some(member) if oneof.fields().any(|field| field == *member) => vec![set(member.clone())],
            _ => oneof.fields().map(set).chain([Just(Vec::new()).boxed()]).collect(),
        };
        parts.push(Union::new(members).boxed());
    }
    let descriptor = descriptor.clone();
    parts.prop_map(move |parts| build(&descriptor, parts.concat())).boxed()
}

fn build(descriptor: &MessageDescriptor, fields: Fields) -> Dynamic {
    let mut message = descriptor.new_instance();
    for (number, values) in fields {
        let field = descriptor.field_by_number(number as u32).unwrap();
        for value in values {
            if field.is_singular() {
                field.set_singular_field(&mut *message, value);
            } else {
                field.mut_repeated(&mut *message).push(value);
            }
        }
    }
    message
}

/// Compares the messages, their encodings, and their JSON.
fn survives(message: &Dynamic) -> Result<(), TestCaseError> {
    let json = printed(&**message);
    let mut back = message.descriptor_dyn().new_instance();
    if let Err(error) = reader::read(json.as_bytes(), &mut *back) {
        return Err(TestCaseError::fail(format!("{json}: {error}")));
    }
    prop_assert_eq!(&back, message, "{}", json);
    prop_assert_eq!(back.write_to_bytes_dyn().unwrap(), message.write_to_bytes_dyn().unwrap());
    prop_assert_eq!(printed(&*back), json);
    Ok(())
}

#[test]
fn any_message_of_the_contract_survives() {
    for descriptor in v1::Event::descriptor().file_descriptor().messages() {
        let mut runner = TestRunner::new(ProptestConfig::with_cases(64));
        runner.run(&message(&descriptor, None), |message| survives(&message)).unwrap();
    }
}

#[test]
fn an_event_of_any_kind_survives() {
    let descriptor = v1::Event::descriptor();
    for member in descriptor.oneofs().next().unwrap().fields().collect::<Vec<_>>() {
        let mut runner = TestRunner::new(ProptestConfig::with_cases(64));
        let events = message(&descriptor, Some(&member));
        let outcome = runner.run(&events, |message| {
            prop_assert!(member.has_field(&*message));
            survives(&message)
        });
        outcome.unwrap();
    }
}

#[test]
fn mutations_never_panic() {
    let seeds = [
        r#"{"room":"tea","sender":"ann","messageId":"AZ3vHqPAfCqa4RrTsmhqqw==","body":"hell\u00f6 \ud83d\ude00","kind":"KIND_ACTION","replyToSeq":"9007199254740993","mentions":["bob","*"],"x":[{"y":null}]}"#,
        r#"{"events":[{"roomId":"1","seq":2,"message":{"kind":2,"reactions":[{"emoji":"👍","count":1,"people":[{"name":"b"}]}]}},{"gap":{"reason":"REASON_DAMAGED"}}],"epoch":1.5e3}"#,
    ];
    let pieces = [
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "\\",
        "\\u",
        "\\ud800",
        "null",
        "true",
        "-",
        "1e",
        "e99",
        ".",
        "0",
        "18446744073709551616",
        "\u{0}",
        "é",
        "\"room\":",
        "\"seq\":",
        "\"events\":[",
        "=",
    ];
    let mut rng = Rng::with_seed(7);
    let (mut accepted, mut refused) = (0, 0);
    for round in 0..20_000 {
        let mut json = seeds[round % seeds.len()].as_bytes().to_vec();
        for _ in 0..rng.usize(1..4) {
            mutate(&mut json, &pieces, &mut rng);
        }
        let outcomes = [
            parse::<v1::PostMessageRequest>(&json).map(|message| printed(&message)),
            parse::<v1::ListMessagesResponse>(&json).map(|message| printed(&message)),
        ];
        for outcome in outcomes {
            match outcome {
                Ok(_) => accepted += 1,
                Err(error) => {
                    refused += 1;
                    assert!(error.to_string().len() < 200, "{error}");
                }
            }
        }
    }
    // Otherwise the mutations would test one half of the code only.
    assert!(accepted > 1_000 && refused > 10_000, "{accepted} accepted, {refused} refused");
}

fn mutate(json: &mut Vec<u8>, pieces: &[&str], rng: &mut Rng) {
    let from = rng.usize(..=json.len());
    let to = json.len().min(from + rng.usize(..8));
    match rng.u8(..5) {
        0 => json.truncate(from),
        1 => drop(json.drain(from..to)),
        2 => json.insert(from, rng.u8(..)),
        3 => drop(json.splice(from..to, rng.choice(pieces).unwrap().bytes())),
        _ => {
            let part = json[from..to].to_vec();
            let at = rng.usize(..=json.len());
            drop(json.splice(at..at, part));
        }
    }
}

/// The tests above would pass with empty messages, too.
#[test]
fn arbitrary_messages_set_every_field() {
    let mut runner = TestRunner::deterministic();
    let messages = message(&v1::Message::descriptor(), None);
    let mut seen = v1::Message::new();
    for _ in 0..64 {
        let message = messages.new_tree(&mut runner).unwrap().current();
        seen.merge_from_bytes(&message.write_to_bytes_dyn().unwrap()).unwrap();
    }
    for field in v1::Message::descriptor().fields() {
        assert!(field.has_field(&seen), "{field}");
    }
}
