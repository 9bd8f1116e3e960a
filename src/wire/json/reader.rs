//! Reads the JSON form of a message in one pass: serde's visitors over the message's descriptor.

use std::fmt;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use protobuf::MessageDyn;
use protobuf::reflect::{FieldDescriptor, MessageDescriptor, ReflectValueBox, RuntimeFieldType, RuntimeType};
use serde::Deserialize as _;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::decimal::Decimal;
use super::fault::{Fault, InvalidJson};

/// As other implementations read base64: padding is optional, and bits after the last byte are ignored.
const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

const DUPLICATE: &str = "this field is set twice";
const SECOND_MEMBER: &str = "another field of the same oneof is already set";

/// Reads `json` into an empty message.
pub fn read(json: &[u8], message: &mut dyn MessageDyn) -> Result<(), InvalidJson> {
    // All of it, because serde_json does not check the strings that it skips.
    let text = std::str::from_utf8(json).map_err(|_| InvalidJson::Encoding)?;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let mut fault = Fault::default();
    let outcome = deserializer.deserialize_map(MessageVisitor { message, fault: &mut fault });
    let outcome = outcome.map_err(|error| fault.note("expected an object", error));
    outcome.and_then(|()| deserializer.end()).map_err(|error| match error.classify() {
        // Its own texts quote strings of the input in full.
        Category::Data => fault.into_error(),
        _ => InvalidJson::Syntax(error),
    })
}

fn expected(of: &RuntimeType) -> &'static str {
    match of {
        RuntimeType::I32 => "expected an integer from -2147483648 to 2147483647",
        RuntimeType::I64 => "expected an integer from -9223372036854775808 to 9223372036854775807",
        RuntimeType::U32 => "expected an integer from 0 to 4294967295",
        RuntimeType::U64 => "expected an integer from 0 to 18446744073709551615",
        RuntimeType::F32 | RuntimeType::F64 => "expected a number in the range of the type, or its text",
        RuntimeType::Bool => "expected true or false",
        RuntimeType::String => "expected a string",
        RuntimeType::VecU8 => "expected bytes as a string in base64",
        RuntimeType::Enum(_) => "expected the name or the number of an enum value",
        RuntimeType::Message(_) => "expected an object",
    }
}

/// Reads an object into a message.
struct MessageVisitor<'a> {
    message: &'a mut dyn MessageDyn,
    fault: &'a mut Fault,
}

impl<'de> Visitor<'de> for MessageVisitor<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { message, fault } = self;
        let descriptor = message.descriptor_dyn();
        let mut seen = Seen::default();
        while let Some(field) = map.next_key_seed(NameSeed(&descriptor))? {
            let Some(field) = field else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let seed = FieldSeed { message: &mut *message, field: &field, seen: &mut seen, fault: &mut *fault };
            map.next_value_seed(seed).inspect_err(|_| fault.within_field(&field))?;
        }
        Ok(())
    }
}

/// Which fields of one object were there. Their number is that of the message's fields at most, so that a search from
/// the front is fast.
#[derive(Default)]
struct Seen {
    fields: Vec<i32>,
    oneofs: Vec<i32>,
}

impl Seen {
    fn field(&mut self, field: &FieldDescriptor) -> Result<(), &'static str> {
        insert(&mut self.fields, field.number()).then_some(()).ok_or(DUPLICATE)
    }

    /// For a field that has a value: a member of a oneof that is `null` is not set.
    fn value(&mut self, field: &FieldDescriptor) -> Result<(), &'static str> {
        let proto = field.proto();
        let is_first = !proto.has_oneof_index() || insert(&mut self.oneofs, proto.oneof_index());
        is_first.then_some(()).ok_or(SECOND_MEMBER)
    }
}

/// Whether the number is new.
fn insert(numbers: &mut Vec<i32>, number: i32) -> bool {
    let is_new = !numbers.contains(&number);
    if is_new {
        numbers.push(number);
    }
    is_new
}

/// Reads the name of a field; `None` if it is unknown.
struct NameSeed<'a>(&'a MessageDescriptor);

impl<'de> DeserializeSeed<'de> for NameSeed<'_> {
    type Value = Option<FieldDescriptor>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(TextVisitor(|name: &str| Some(self.0.field_by_name_or_json_name(name))))
    }
}

/// Converts a string; refuses it if the conversion gives nothing.
struct TextVisitor<F>(F);

impl<T, F: FnOnce(&str) -> Option<T>> Visitor<'_> for TextVisitor<F> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        self.0(text).ok_or_else(|| E::custom("invalid text"))
    }
}

/// Reads the value of a field into its message. `null` means that the field is absent.
struct FieldSeed<'a> {
    message: &'a mut dyn MessageDyn,
    field: &'a FieldDescriptor,
    seen: &'a mut Seen,
    fault: &'a mut Fault,
}

impl<'de> DeserializeSeed<'de> for FieldSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.seen.field(self.field).map_err(|problem| self.fault.error(problem))?;
        deserializer.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for FieldSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_none<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let Self { message, field, seen, fault } = self;
        match field.runtime_field_type() {
            RuntimeFieldType::Singular(of) => {
                let Some(value) = (ValueSeed { of: &of, fault: &mut *fault }).deserialize(deserializer)? else {
                    return Ok(());
                };
                seen.value(field).map_err(|problem| fault.error(problem))?;
                field.set_singular_field(message, value);
            }
            RuntimeFieldType::Repeated(of) => {
                let visitor = ElementsVisitor { message, field, of: &of, fault: &mut *fault };
                deserializer.deserialize_seq(visitor).map_err(|error| fault.note("expected an array", error))?;
            }
            // Invariant: the contract has no maps (a test).
            RuntimeFieldType::Map(..) => unreachable!("{field} is a map"),
        }
        Ok(())
    }
}

/// Reads an array into a repeated field.
struct ElementsVisitor<'a> {
    message: &'a mut dyn MessageDyn,
    field: &'a FieldDescriptor,
    of: &'a RuntimeType,
    fault: &'a mut Fault,
}

impl<'de> Visitor<'de> for ElementsVisitor<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        let mut values = self.field.mut_repeated(self.message);
        for index in 0.. {
            let element = elements.next_element_seed(ValueSeed { of: self.of, fault: &mut *self.fault });
            match element.inspect_err(|_| self.fault.within_element(index))? {
                Some(Some(value)) => values.push(value),
                // The name of an unknown enum value.
                Some(None) => {}
                None => break,
            }
        }
        Ok(())
    }
}

/// Reads one value, not `null`. The result is nothing if it is the name of an unknown enum value.
struct ValueSeed<'a> {
    of: &'a RuntimeType,
    fault: &'a mut Fault,
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = Option<ReflectValueBox>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        let value = match self.of {
            RuntimeType::Message(descriptor) => {
                let mut message = descriptor.new_instance();
                let visitor = MessageVisitor { message: &mut *message, fault: &mut *self.fault };
                deserializer.deserialize_map(visitor).map(|()| Some(ReflectValueBox::Message(message)))
            }
            RuntimeType::String => {
                let owned = |text: &str| Some(ReflectValueBox::String(text.to_owned()));
                deserializer.deserialize_str(TextVisitor(owned)).map(Some)
            }
            RuntimeType::VecU8 => deserializer.deserialize_str(TextVisitor(bytes)).map(Some),
            RuntimeType::Bool => bool::deserialize(deserializer).map(|is_set| Some(ReflectValueBox::Bool(is_set))),
            number => <&RawValue>::deserialize(deserializer)
                .and_then(|raw| number_or_enum(number, raw.get()).ok_or_else(|| D::Error::custom("invalid number"))),
        };
        value.map_err(|error| self.fault.note(expected(self.of), error))
    }
}

fn bytes(text: &str) -> Option<ReflectValueBox> {
    let engine = if text.contains(['-', '_']) { URL_SAFE } else { STANDARD };
    engine.decode(text).ok().map(ReflectValueBox::Bytes)
}

/// Converts a number or an enum value from its JSON text, which may be any JSON value. `None`: it is none of that type;
/// `Some(None)`: it is an unknown name.
fn number_or_enum(of: &RuntimeType, json: &str) -> Option<Option<ReflectValueBox>> {
    let unescaped;
    let (text, is_string) = match json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(_) if json.contains('\\') => {
            // Fails if a surrogate is alone, which is not checked in a text that is skipped.
            unescaped = serde_json::from_str::<String>(json).ok()?;
            (unescaped.as_str(), true)
        }
        Some(text) => (text, true),
        None => (json, false),
    };
    let value = match of {
        RuntimeType::Enum(descriptor) if is_string => {
            let Some(value) = descriptor.value_by_name(text) else { return Some(None) };
            ReflectValueBox::Enum(descriptor.clone(), value.value())
        }
        RuntimeType::Enum(descriptor) => ReflectValueBox::Enum(descriptor.clone(), integer(text)?),
        RuntimeType::I32 => ReflectValueBox::I32(integer(text)?),
        RuntimeType::I64 => ReflectValueBox::I64(integer(text)?),
        RuntimeType::U32 => ReflectValueBox::U32(integer(text)?),
        RuntimeType::U64 => ReflectValueBox::U64(integer(text)?),
        RuntimeType::F32 => ReflectValueBox::F32(match not_finite(text) {
            Some(number) if is_string => number,
            _ => Decimal::new(text)?.to_f32()?,
        }),
        RuntimeType::F64 => ReflectValueBox::F64(match not_finite(text) {
            Some(number) if is_string => f64::from(number),
            _ => Decimal::new(text)?.to_f64()?,
        }),
        // Invariant: the caller handles the other types itself.
        other => unreachable!("{other:?} is not a number"),
    };
    Some(Some(value))
}

fn integer<T: TryFrom<i128>>(text: &str) -> Option<T> {
    T::try_from(Decimal::new(text)?.to_integer()?).ok()
}

fn not_finite(text: &str) -> Option<f32> {
    match text {
        "NaN" => Some(f32::NAN),
        "Infinity" => Some(f32::INFINITY),
        "-Infinity" => Some(f32::NEG_INFINITY),
        _ => None,
    }
}
