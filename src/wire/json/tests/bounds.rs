//! Hostile texts: no overflow of a small stack, and no long errors.

use std::thread;

use protobuf::descriptor::DescriptorProto;

use super::super::parse;
use super::{parsed, printed, refused, v1};

/// The stack of the threads that serve HTTP requests.
const STACK_BYTES: usize = 128 * 1024;

/// protobuf-json-mapping 3.7.2 overflowed this stack with 1 KB, and so aborted the process.
#[test]
fn deep_nesting_fits_a_small_stack() {
    let parse_all = || {
        const LEVELS: usize = 64 * 1024;
        for (open, close) in [("[", "]"), ("{\"x\":", "}"), ("[{\"room\":", "}]")] {
            let (open, close) = (open.repeat(LEVELS), close.repeat(LEVELS));
            for field in ["x", "room", "kind", "messageId", "replyToSeq", "mentions"] {
                let (cut, whole) = (format!("{{\"{field}\":{open}"), format!("{{\"{field}\":{open}1{close}}}"));
                assert!(parse::<v1::PostMessageRequest>(cut.as_bytes()).is_err());
                assert_eq!(parse::<v1::PostMessageRequest>(whole.as_bytes()).is_ok(), field == "x");
            }
            for field in ["message", "seq", "welcome"] {
                assert!(parse::<v1::Event>(format!("{{\"{field}\":{open}").as_bytes()).is_err());
            }
        }
        let deepest = r#"{"found":[{"event":{"message":{"reactions":[{"people":[{"authenticated":true}]}]}}}]}"#;
        assert_eq!(printed(&parsed::<v1::SearchMessagesResponse>(deepest)), deepest);
    };
    on_a_stack(STACK_BYTES, parse_all);
}

/// The contract has no recursive message; this one shows that even then the depth has a bound.
#[test]
fn the_depth_of_a_recursive_message_is_bounded() {
    let nested =
        |levels| format!("{}{}{}", "{\"nestedType\":[".repeat(levels), "{\"name\":\"x\"}", "]}".repeat(levels));
    let parse_all = move || {
        let deepest: DescriptorProto = parsed(&nested(63));
        assert_eq!(printed(&deepest), nested(63));
        for levels in [64, 4096] {
            let text = refused::<DescriptorProto>(nested(levels));
            assert!(text.starts_with("invalid JSON: recursion limit exceeded"), "{text}");
        }
    };
    // Without optimization, a level takes about three times as much of the stack.
    on_a_stack(if cfg!(debug_assertions) { 4 * STACK_BYTES } else { STACK_BYTES }, parse_all);
}

fn on_a_stack(bytes: usize, run: impl FnOnce() + Send + 'static) {
    thread::Builder::new().stack_size(bytes).spawn(run).unwrap().join().unwrap();
}

#[test]
fn errors_hold_nothing_of_the_input() {
    let secret = "secret".repeat(10_000);
    for value in
        [format!("\"{secret}\""), format!("[\"{secret}\"]"), format!("{{\"{secret}\":1}}"), format!("\"{secret}")]
    {
        for field in ["kind", "messageId", "replyToSeq", "mentions", "room"] {
            let json = format!("{{\"{field}\":{value},\"room\":true}}");
            let text = refused::<v1::PostMessageRequest>(json);
            assert!(text.len() < 120 && !text.contains("secret"), "{field}: {text:.200}");
        }
    }
}
