//! Making text from others harmless on a terminal.
//!
//! A terminal obeys what it is sent: a body could move the cursor, ring, recolour, retitle the window, or write lines
//! that look as if somebody else had said them. So every character that does anything but show itself is written as an
//! escape that a programmer knows: `\n`, `\u{1b}`, `\u{202e}`. Text that looks like such an escape already is left
//! alone: a backslash is an honest character, and misreading it costs nothing.

use std::borrow::Cow;

use crate::names::{is_joiner, joiner_shows};

/// The text with every character that acts on a terminal, or hides from the eye, replaced by its escape.
pub fn escape(text: &str) -> Cow<'_, str> {
    if !text.chars().any(acts) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push_str("\\t"),
            c if acts(c) => escaped.extend(c.escape_unicode()),
            c => escaped.push(c),
        }
    }
    Cow::Owned(escaped)
}

/// A name as [`escape`] shows it, and so that it can't pass for anything but a name.
///
/// In a shown line the first colon with a blank after it always ends the name, whatever the name holds. The name never
/// starts like a notice of this program (`*`), like the user's own line (`>`), or like the rest of a longer line (a
/// blank). And it holds no joiners that show nothing, which would let two names look alike.
pub fn escape_name(name: &str) -> Cow<'_, str> {
    let mut escaped = String::with_capacity(name.len() + 16);
    let all: Vec<char> = name.chars().collect();
    for (at, &c) in all.iter().enumerate() {
        let starts_falsely = escaped.is_empty() && (is_blank(c) || matches!(c, '*' | '>'));
        // The last one's cell has the blank in it.
        let ends_falsely = is_colon(c) && all.get(at + 1).is_some_and(|&next| is_blank(next)) || c == '\u{ff1a}';
        if starts_falsely || ends_falsely || is_joiner(c) && !joiner_shows(&all, at) {
            escaped.extend(c.escape_unicode());
        } else {
            escaped.push_str(&escape(c.encode_utf8(&mut [0; 4])));
        }
    }
    if escaped == name { Cow::Borrowed(name) } else { Cow::Owned(escaped) }
}

/// Whether the character shows nothing and takes room. The Braille pattern without dots is no white space by its name.
fn is_blank(c: char) -> bool {
    c.is_whitespace() || c == '\u{2800}'
}

/// Whether the character looks like a colon in usual fonts: the colon itself, the letter colon and its modifiers, the
/// Armenian and Hebrew full stops, the ratio, and the colon's own narrow and vertical forms.
fn is_colon(c: char) -> bool {
    matches!(c, ':' | '\u{2d0}' | '\u{2f8}' | '\u{589}' | '\u{5c3}' | '\u{2236}' | '\u{a789}' | '\u{fe13}' | '\u{fe55}')
}

/// Whether the character does anything but show itself where it stands.
pub fn acts(c: char) -> bool {
    matches!(c,
        // C0, DEL and C1: cursor, bell, escape sequences (U+009B starts one all by itself).
        '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}'
        // Soft hyphen, combining grapheme joiner, Arabic letter mark, Hangul and Khmer fillers, Mongolian selectors and
        // vowel separator: they show nothing, or only sometimes.
        | '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        // Zero-width space, and the marks of direction. Between them stand the joiners, which bodies need.
        | '\u{200b}' | '\u{200e}' | '\u{200f}'
        // Line and paragraph separators; embeddings and overrides of direction.
        | '\u{2028}'..='\u{202e}'
        // Word joiner, invisible operators, isolates of direction, deprecated format characters.
        | '\u{2060}'..='\u{206f}'
        // Fillers, the byte order mark, annotations, what is no character.
        | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}'
        // Shorthand and musical format characters; tags and variation selectors nobody sees.
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'
        // Private use: what it shows, only its author knows, and terminals draw borders with it.
        | '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..='\u{10ffff}'
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_people_write_stays_as_it_is() {
        for text in ["hello", "Grüße, 世界", "नमस्ते", "שלום", "مرحبا", "می\u{200c}خواهم", "👍🏽 👩‍👩‍👧 ❤️", "C:\\new", "a: b"]
        {
            assert!(matches!(escape(text), Cow::Borrowed(same) if same == text), "{text}");
        }
    }

    #[test]
    fn what_acts_is_shown_as_an_escape() {
        for (text, shown) in [
            ("two\nlines\r\tend", "two\\nlines\\r\\tend"),
            ("\u{1b}[2J\u{7}", "\\u{1b}[2J\\u{7}"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("\u{7f}", "\\u{7f}"),
            ("a\u{202e}b\u{2066}c", "a\\u{202e}b\\u{2066}c"),
            ("\u{2028}bob: hi", "\\u{2028}bob: hi"),
            ("\u{200b}\u{feff}\u{e0041}", "\\u{200b}\\u{feff}\\u{e0041}"),
        ] {
            assert_eq!(escape(text), shown);
        }
    }

    #[test]
    fn a_name_passes_for_nothing_else() {
        for (name, shown) in [
            ("ann", "ann"),
            ("a:b", "a:b"),
            ("ann: hi", "ann\\u{3a} hi"),
            ("* disconnected", "\\u{2a} disconnected"),
            ("> me", "\\u{3e} me"),
            ("an\u{200d}n", "an\\u{200d}n"),
            ("an\u{202e}n*>", "an\\u{202e}n*>"),
            ("a b > c *", "a b > c *"),
        ] {
            assert_eq!(escape_name(name), shown);
        }
        assert!(matches!(escape_name("Ann-Marie (ops)"), Cow::Borrowed(_)));
    }

    /// A regression: only `: ` with a plain space was escaped, and `*` only as the very first character. So a name of
    /// `ann:` and a no-break space let its owner speak as ann, and one of ` * disconnected` looked like a notice.
    #[test]
    fn a_name_passes_for_nothing_else_with_other_blanks_or_colons_either() {
        for (name, shown) in [
            ("ann:\u{a0}yes", "ann\\u{3a}\u{a0}yes"),
            ("ann:\u{3000}yes", "ann\\u{3a}\u{3000}yes"),
            ("ann:\u{2800}yes", "ann\\u{3a}\u{2800}yes"),
            ("ann\u{2236} yes", "ann\\u{2236} yes"),
            ("ann\u{ff1a}yes", "ann\\u{ff1a}yes"),
            (" * disconnected", "\\u{20}* disconnected"),
            ("\u{a0}> me", "\\u{a0}> me"),
            ("  and so on", "\\u{20} and so on"),
        ] {
            assert_eq!(escape_name(name), shown);
        }
    }

    proptest! {
        #[test]
        fn the_first_colon_and_space_end_the_name(name in "[a:* >\u{200d}\u{7}]{0,12}", body in any::<String>()) {
            let shown = escape_name(&name).into_owned();
            let line = format!("{shown}: {}", escape(&body));
            prop_assert_eq!(line.split_once(": ").unwrap().0, shown);
        }

        #[test]
        fn nothing_that_acts_gets_through(text in any::<String>()) {
            let shown = escape(&text);
            prop_assert!(!shown.chars().any(acts));
            prop_assert!(!shown.chars().any(char::is_control));
            prop_assert_eq!(shown.lines().count().max(1), 1);
            // What shows itself is all there, in its order.
            let kept: String = text.chars().filter(|&c| !acts(c)).collect();
            let mut rest = shown.chars();
            prop_assert!(kept.chars().all(|c| rest.any(|s| s == c)));
        }

        #[test]
        fn escaping_twice_changes_nothing_more(text in any::<String>()) {
            let once = escape(&text).into_owned();
            prop_assert_eq!(escape(&once).into_owned(), once);
        }
    }
}
