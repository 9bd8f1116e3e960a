//! Writes a log line.

use std::fmt::{Arguments, Write as _};
use std::time::SystemTime;

use humantime::{format_rfc3339_micros, format_rfc3339_seconds};
use log::kv::Source;
use log::{Level, Record};

use super::fields::{append_as_json, append_as_text, append_json_string, cut};
use super::format::Style;
use super::redact::redact;
use crate::escape::escape;

/// The line of a record, with its end.
pub fn of_record(style: Style, time: SystemTime, record: &Record<'_>) -> Vec<u8> {
    line(style, time, record.level(), record.target(), *record.args(), record.key_values())
}

/// A line with these parts, with its end.
pub fn line(
    style: Style,
    time: SystemTime,
    level: Level,
    target: &str,
    message: Arguments<'_>,
    fields: &dyn Source,
) -> Vec<u8> {
    let formatted;
    let message = match message.as_str() {
        Some(message) => message,
        None => {
            formatted = message.to_string();
            &formatted
        }
    };
    let mut line = String::with_capacity(256);
    // Writing to a string can't fail.
    let _ = match style {
        Style::Text { in_color: false } => {
            write!(line, "[{} {level:<5} {}] ", format_rfc3339_seconds(time), escape(target))
        }
        Style::Text { in_color: true } => {
            let (time, color) = (format_rfc3339_seconds(time), color(level));
            write!(line, "\x1b[90m[\x1b[0m{time} {color}{level:<5}\x1b[0m {}\x1b[90m]\x1b[0m ", escape(target))
        }
        Style::Journal => write!(line, "<{}>{}: ", priority(level), escape(target)),
        Style::Json => {
            let _ = write!(line, "{{\"time\":\"{}\",\"level\":\"", format_rfc3339_micros(time));
            line.push_str(word(level));
            line.push_str("\",\"target\":");
            append_json_string(&mut line, target);
            line.push_str(",\"message\":");
            Ok(())
        }
    };
    if style == Style::Json {
        append_json_string(&mut line, message);
        append_as_json(&mut line, fields);
        line.push('}');
    } else {
        line.push_str(&escape(&cut(message)));
        append_as_text(&mut line, fields);
    }
    redact(&mut line);
    line.push('\n');
    line.into_bytes()
}

/// The level in JSON.
fn word(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warn => "warn",
        Level::Info => "info",
        Level::Debug => "debug",
        Level::Trace => "trace",
    }
}

/// The level in syslog's numbers.
fn priority(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

fn color(level: Level) -> &'static str {
    match level {
        Level::Error => "\x1b[1;31m",
        Level::Warn => "\x1b[33m",
        Level::Info => "\x1b[32m",
        Level::Debug => "\x1b[34m",
        Level::Trace => "\x1b[36m",
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use log::kv::Value;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::escape::acts;
    use crate::limits::LINE_TEXT_BYTES_MAX;

    const TEXT: Style = Style::Text { in_color: false };

    fn of(style: Style, message: &str, fields: &[(&str, Value<'_>)]) -> String {
        let time = UNIX_EPOCH + Duration::from_micros(1_795_869_215_000_042);
        String::from_utf8(line(style, time, Level::Info, "session", format_args!("{message}"), &fields)).unwrap()
    }

    fn json(message: &str, fields: &[(&str, Value<'_>)]) -> serde_json::Value {
        serde_json::from_str(&of(Style::Json, message, fields)).unwrap()
    }

    #[test]
    fn a_line_has_its_parts_in_each_form() {
        let fields = [
            ("client", Value::from(281_u64)),
            ("name", Value::from("ann")),
            ("why", Value::from("left for tea")),
            ("verified", Value::from(true)),
            ("seconds", Value::from(1.25)),
            ("detail", Value::null()),
        ];
        assert_eq!(
            of(TEXT, "ended", &fields),
            "[2026-11-28T12:33:35Z INFO  session] ended client=281 name=ann why=\"left for tea\" verified=true seconds=1.25\n"
        );
        assert_eq!(of(Style::Journal, "ended", &fields[..2]), "<6>session: ended client=281 name=ann\n");
        let colored = of(Style::Text { in_color: true }, "ended", &[]);
        assert!(colored.contains("\x1b[32mINFO \x1b[0m session"), "{colored:?}");
        let expected = json!({
            "time": "2026-11-28T12:33:35.000042Z", "level": "info", "target": "session", "message": "ended",
            "client": 281, "name": "ann", "why": "left for tea", "verified": true, "seconds": 1.25
        });
        assert_eq!(json("ended", &fields), expected);
    }

    /// The story: names are claims of strangers. One of `x\n[2026-…] operator …` would have written a line of its own.
    #[test]
    fn a_hostile_text_forges_nothing() {
        let hostile =
            "eve\n[2026-11-28T12:33:35Z INFO  audit] operator (uid 0) added user eve\u{1b}[2J\r\u{9b}31m\u{202e}";
        for style in [TEXT, Style::Journal, Style::Json] {
            let line = of(style, hostile, &[("name", Value::from(hostile))]);
            assert_eq!(line.matches('\n').count(), 1, "{line:?}");
            assert!(!line.trim_end().chars().any(acts), "{line:?}");
        }
        assert_eq!(json("x", &[("name", Value::from(hostile))])["name"], hostile);
        // Nothing in a value ends it.
        let forged = of(TEXT, "ended", &[("name", Value::from("a\" verified=true b=\"\\"))]);
        assert!(forged.ends_with("ended name=\"a\\\" verified=true b=\\\"\\\\\"\n"), "{forged}");
        assert!(of(TEXT, "ended", &[("name", Value::from("a=b"))]).ends_with("name=\"a=b\"\n"));
        assert!(of(TEXT, "ended", &[("name", Value::from(""))]).ends_with("name=\"\"\n"));
    }

    #[test]
    fn fields_do_not_replace_the_parts_of_a_line() {
        let read = json(
            "ended",
            &[("level", Value::from("error")), ("message", Value::from("no")), ("x", Value::from(f64::NAN))],
        );
        let expected = json!({
            "time": "2026-11-28T12:33:35.000042Z", "level": "info", "target": "session", "message": "ended",
            "_level": "error", "_message": "no"
        });
        assert_eq!(read, expected);
    }

    #[test]
    fn a_long_text_is_cut() {
        let long = "日".repeat(LINE_TEXT_BYTES_MAX);
        for style in [TEXT, Style::Json] {
            let line = of(style, &long, &[("name", Value::from(long.as_str()))]);
            assert!(line.len() < 2 * LINE_TEXT_BYTES_MAX + 256 && line.matches('…').count() == 2, "{}", line.len());
        }
    }

    proptest! {
        #[test]
        fn any_text_is_one_line_and_comes_back_from_json(message in any::<String>(), name in any::<String>()) {
            for style in [TEXT, Style::Journal, Style::Json] {
                let line = of(style, &message, &[("name", Value::from(name.as_str()))]);
                prop_assert!(line.ends_with('\n') && !line.trim_end_matches('\n').chars().any(acts));
            }
            let read = json(&message, &[("name", Value::from(name.as_str()))]);
            prop_assert_eq!(&read["message"], &json!(message));
            prop_assert_eq!(&read["name"], &json!(name));
        }
    }
}
