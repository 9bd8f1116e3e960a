//! The fields of a log line, and text in it.
//!
//! Text may come from clients, so it is written in a form that can't be mistaken: nothing in it ends a line, a quotation
//! or a string, or acts on a terminal.

use std::borrow::Cow;
use std::fmt::Write as _;

use log::kv::{Error, Key, Source, Value, VisitSource, VisitValue};

use crate::escape::acts;
use crate::limits::LINE_TEXT_BYTES_MAX;

/// The names that fields of a JSON line can't have.
const RESERVED: [&str; 4] = ["time", "level", "target", "message"];

/// Appends fields as ` name=value`. Values with blanks are quoted.
pub fn append_as_text(line: &mut String, fields: &dyn Source) {
    append(line, fields, false);
}

/// Appends fields as `,"name":value`.
pub fn append_as_json(line: &mut String, fields: &dyn Source) {
    append(line, fields, true);
}

fn append(line: &mut String, fields: &dyn Source, is_json: bool) {
    // Neither visitor fails.
    let _ = fields.visit(&mut Fields { line, is_json });
}

/// A text that is not too long.
pub fn cut(text: &str) -> Cow<'_, str> {
    if text.len() <= LINE_TEXT_BYTES_MAX {
        return Cow::Borrowed(text);
    }
    let end = (0..=LINE_TEXT_BYTES_MAX).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    Cow::Owned(format!("{}…", &text[..end]))
}

/// Appends a text as a string of JSON.
pub fn append_json_string(line: &mut String, text: &str) {
    line.push('"');
    for c in cut(text).chars() {
        match c {
            '"' => line.push_str("\\\""),
            '\\' => line.push_str("\\\\"),
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            '\t' => line.push_str("\\t"),
            c if acts(c) => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    // Writing to a string can't fail.
                    let _ = write!(line, "\\u{unit:04x}");
                }
            }
            c => line.push(c),
        }
    }
    line.push('"');
}

/// Appends a text as it is, or in quotation marks if it could be mistaken for something else.
fn append_quoted(line: &mut String, text: &str) {
    let is_plain = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\'' | '=' | '\\');
    if !text.is_empty() && text.len() <= LINE_TEXT_BYTES_MAX && text.chars().all(is_plain) {
        return line.push_str(text);
    }
    line.push('"');
    for c in cut(text).chars() {
        match c {
            '"' => line.push_str("\\\""),
            '\\' => line.push_str("\\\\"),
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            '\t' => line.push_str("\\t"),
            c if acts(c) => line.extend(c.escape_unicode()),
            c => line.push(c),
        }
    }
    line.push('"');
}

struct Fields<'a> {
    line: &'a mut String,
    is_json: bool,
}

impl<'kvs> VisitSource<'kvs> for Fields<'_> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
        let begin = self.line.len();
        if self.is_json {
            self.line.push(',');
            let mark = if RESERVED.contains(&key.as_str()) { "_" } else { "" };
            append_json_string(self.line, &format!("{mark}{key}"));
            self.line.push(':');
        } else {
            self.line.push(' ');
            append_quoted(self.line, key.as_str());
            self.line.push('=');
        }
        let mut written = OneValue { line: self.line, is_json: self.is_json, is_null: false };
        value.visit(&mut written)?;
        // A field without a value is left out.
        if written.is_null {
            self.line.truncate(begin);
        }
        Ok(())
    }
}

struct OneValue<'a> {
    line: &'a mut String,
    is_json: bool,
    is_null: bool,
}

impl OneValue<'_> {
    fn text(&mut self, text: &str) -> Result<(), Error> {
        if self.is_json {
            append_json_string(self.line, text)
        } else {
            append_quoted(self.line, text)
        }
        Ok(())
    }

    /// What is written the same in both forms.
    fn plain(&mut self, value: impl std::fmt::Display) -> Result<(), Error> {
        // Writing to a string can't fail.
        let _ = write!(self.line, "{value}");
        Ok(())
    }
}

impl VisitValue<'_> for OneValue<'_> {
    fn visit_any(&mut self, value: Value<'_>) -> Result<(), Error> {
        self.text(&value.to_string())
    }

    fn visit_null(&mut self) -> Result<(), Error> {
        self.is_null = true;
        Ok(())
    }

    fn visit_u64(&mut self, value: u64) -> Result<(), Error> {
        self.plain(value)
    }

    fn visit_i64(&mut self, value: i64) -> Result<(), Error> {
        self.plain(value)
    }

    fn visit_f64(&mut self, value: f64) -> Result<(), Error> {
        // JSON has no other numbers.
        if value.is_finite() { self.plain(value) } else { self.visit_null() }
    }

    fn visit_bool(&mut self, value: bool) -> Result<(), Error> {
        self.plain(value)
    }

    fn visit_str(&mut self, value: &str) -> Result<(), Error> {
        self.text(value)
    }
}
