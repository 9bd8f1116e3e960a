//! The values of keys: which text a value of TOML is on the command line, and whether its option accepts that.

use std::error::Error as _;

use clap::error::{ContextKind, ContextValue};
use clap::{Arg, Command};
use toml::de::DeValue;

use super::{is_repeatable, is_switch};

/// The fault of a value that says nothing. On the command line it would be an empty text.
pub const EMPTY: &str = "it is empty: give a value, or leave the key out";

/// The text of a value, as the command line has it.
pub fn text(arg: &Arg, value: &DeValue<'_>) -> Result<String, String> {
    let expected = if is_switch(arg) { "true or false" } else { "text in quotes, or a number" };
    match value {
        DeValue::String(text) if text.is_empty() => Err(EMPTY.to_owned()),
        DeValue::String(text) if text.contains('\0') => Err("it contains a NUL character: leave that out".to_owned()),
        DeValue::String(text) => Ok(text.to_string()),
        // `0o660` would be the number 432, and a mode is written in octal without that.
        DeValue::Integer(number) if number.radix() != 10 => {
            Err("only decimal numbers have a meaning here: write others as text in quotes".to_owned())
        }
        DeValue::Integer(number) => Ok(number.as_str().trim_start_matches('+').to_owned()),
        DeValue::Float(number) => Ok(number.as_str().to_owned()),
        DeValue::Boolean(is_on) if is_switch(arg) => Ok(is_on.to_string()),
        DeValue::Boolean(is_on) => Ok(if *is_on { "on" } else { "off" }.to_owned()),
        DeValue::Datetime(_) => Err(format!("expected {expected}, not a date")),
        DeValue::Array(_) if is_repeatable(arg) => Err(format!("expected {expected}, not an array within the array")),
        DeValue::Array(_) => Err(format!("expected {expected}, not an array: it has only one value")),
        DeValue::Table(_) => Err(format!("expected {expected}, not a table")),
    }
}

/// Checks a value with the parser of its option. `shown` is the value as it stands in the file.
pub fn check(arg: &Arg, text: &str, shown: &str) -> Result<(), String> {
    let reason = match reason(arg, text) {
        None => return Ok(()),
        Some(reason) => reason,
    };
    Err(format!("invalid value {shown}: {reason}"))
}

/// Why an option does not accept a text.
pub fn reason(arg: &Arg, text: &str) -> Option<String> {
    let alone = arg.clone().env(None::<&str>).required(false).global(false).default_values([text.to_owned()]);
    let command =
        Command::new("key").no_binary_name(true).disable_help_flag(true).disable_version_flag(true).arg(alone);
    let error = command.try_get_matches_from(std::iter::empty::<&str>()).err()?;
    let reason = match (error.source(), error.get(ContextKind::ValidValue)) {
        (Some(reason), _) => reason.to_string(),
        (None, Some(ContextValue::Strings(values))) if !values.is_empty() => {
            format!("expected {}", values.join(" or "))
        }
        _ => EMPTY.to_owned(),
    };
    Some(reason)
}
