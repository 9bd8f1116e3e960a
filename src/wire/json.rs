//! The canonical JSON form of the contract's messages: ProtoJSON, as Connect clients and `curl` send and read it.
//!
//! Both directions use the reflection of the protobuf library, so that a new field needs no code here. [`print()`] writes
//! what every other implementation writes: lowerCamelCase names, 64-bit integers as strings, bytes as padded base64,
//! enum values by name, and no field that has its default value, unless it is the set member of a oneof.
//!
//! [`parse`] reads everything that ProtoJSON allows: both spellings of a name, `null` for an absent field, integers as
//! numbers or strings (also `1e3`, exact over the whole range), both alphabets of base64 with or without padding.
//! Two rules follow the servers of Connect (connect-es sets `ignoreUnknownFields`, connect-go `DiscardUnknown`):
//!
//! - **An unknown field is ignored**, whatever its value is, even if it occurs twice.
//! - **An unknown name of an enum value is ignored** as if the field were absent; an unknown number is kept. So a `kind`
//!   of a later version means text, as in the binary form.
//!
//! It refuses a known field that occurs twice (also in two spellings), two members of one oneof, `null` in an array, and
//! anything after the object.
//!
//! **Stack.** Parsing is one pass without a tree. It recurses only into fields that the contract declares as messages,
//! and the contract has fewer than 8 levels, which take less than 16 KiB of stack. All other values are skipped without
//! recursion, however deep they are. The tests check this on a stack of 128 KiB.
//!
//! **Not implemented.** The contract has no maps and no well-known types, which have a JSON form of their own; a test
//! fails when it gets any. Floats are implemented, although the contract has none, because they take few lines.

mod reader;
mod decimal;
mod fault;
#[cfg(test)]
mod tests;

use std::io::Write as _;

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use protobuf::reflect::{ReflectFieldRef, ReflectValueRef};
use protobuf::{MessageDyn, MessageFull};

pub use self::fault::InvalidJson;

/// Appends the canonical JSON form of `message` to `out`, without spaces. Unknown fields are left out.
///
/// It recurses once for each level of messages, whose number the contract bounds.
pub fn print(message: &dyn MessageDyn, out: &mut Vec<u8>) {
    let descriptor = message.descriptor_dyn();
    let mut before: &[u8] = b"{";
    for field in descriptor.fields() {
        match field.get_reflect(message) {
            // Reflection has no value for a field without presence that has its default value.
            ReflectFieldRef::Optional(value) => {
                let Some(value) = value.value() else { continue };
                print_name(before, field.json_name(), out);
                print_value(&value, out);
            }
            ReflectFieldRef::Repeated(values) => {
                if values.is_empty() {
                    continue;
                }
                print_name(before, field.json_name(), out);
                let mut before = b'[';
                for value in values {
                    out.push(before);
                    print_value(&value, out);
                    before = b',';
                }
                out.push(b']');
            }
            // Invariant: the contract has no maps (a test).
            ReflectFieldRef::Map(_) => unreachable!("{field} is a map"),
        }
        before = b",";
    }
    // Still `{` if the message is empty.
    if before == b"{" {
        out.push(b'{');
    }
    out.push(b'}');
}

/// Parses the JSON form of a message.
///
/// # Errors
///
/// If the text is not JSON, or not the JSON form of an `M`: the error names the field and what was expected there.
pub fn parse<M: MessageFull>(json: &[u8]) -> Result<M, InvalidJson> {
    let mut message = M::new();
    reader::read(json, &mut message)?;
    Ok(message)
}

fn print_name(before: &[u8], name: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(before);
    print_json(name, out);
    out.push(b':');
}

fn print_value(value: &ReflectValueRef, out: &mut Vec<u8>) {
    match value {
        ReflectValueRef::U32(number) => print_json(number, out),
        ReflectValueRef::I32(number) => print_json(number, out),
        ReflectValueRef::U64(number) => print_quoted(number, out),
        ReflectValueRef::I64(number) => print_quoted(number, out),
        ReflectValueRef::F32(number) if number.is_finite() => print_json(number, out),
        ReflectValueRef::F32(number) => print_json(not_finite(f64::from(*number)), out),
        ReflectValueRef::F64(number) if number.is_finite() => print_json(number, out),
        ReflectValueRef::F64(number) => print_json(not_finite(*number), out),
        ReflectValueRef::Bool(is_set) => print_json(is_set, out),
        ReflectValueRef::String(text) => print_json(text, out),
        ReflectValueRef::Bytes(bytes) => print_quoted(&Base64Display::new(bytes, &STANDARD), out),
        ReflectValueRef::Enum(descriptor, number) => match descriptor.value_by_number(*number) {
            Some(value) => print_json(value.name(), out),
            None => print_json(number, out),
        },
        ReflectValueRef::Message(message) => print(&**message, out),
    }
}

fn print_json<T: serde::Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) {
    // Invariant: texts, finite numbers and booleans have a JSON form, and writing into a vector can't fail.
    serde_json::to_writer(out, value).expect("writing a plain value into memory succeeds");
}

/// Writes something whose text needs no escapes.
fn print_quoted(value: &impl std::fmt::Display, out: &mut Vec<u8>) {
    // Invariant: writing into a vector can't fail.
    write!(out, "\"{value}\"").expect("writing into memory succeeds");
}

/// The names of the numbers that JSON does not have.
fn not_finite(number: f64) -> &'static str {
    if number.is_nan() {
        "NaN"
    } else if number > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    }
}
