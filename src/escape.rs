//! Escapes text from other users, so that it is harmless on a terminal.
//!
//! A terminal executes control sequences: a body could move the cursor, ring the bell, change colours or the window's
//! title, or write lines that look like messages of another user. So every character that does more than display itself
//! is written as a usual escape: `\n`, `\u{1b}`, `\u{202e}`. Text that already looks like such an escape is not
//! changed: a backslash is harmless, and so is misreading it.

use std::borrow::Cow;

use crate::names::{is_joiner, joiner_shows};

/// The text with every character that acts on a terminal, or is invisible, replaced by its escape.
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

/// A name, escaped by [`escape`] and so that it can't be mistaken for another part of the line.
///
/// In a shown line the first colon followed by a blank always ends the name, whatever the name contains. The name never
/// starts like a notice of this program (`*`), like the user's own line (`>`), or like a continuation row (a blank). It
/// contains no joiners without an effect, which would make two names look alike.
pub fn escape_name(name: &str) -> Cow<'_, str> {
    let mut escaped = String::with_capacity(name.len() + 16);
    let all: Vec<char> = name.chars().collect();
    for (at, &c) in all.iter().enumerate() {
        let starts_falsely = escaped.is_empty() && (is_blank(c) || matches!(c, '*' | '>'));
        // The cell of the last one includes the blank.
        let ends_falsely = is_colon(c) && all.get(at + 1).is_some_and(|&next| is_blank(next)) || c == '\u{ff1a}';
        if starts_falsely || ends_falsely || is_joiner(c) && !joiner_shows(&all, at) {
            escaped.extend(c.escape_unicode());
        } else {
            escaped.push_str(&escape(c.encode_utf8(&mut [0; 4])));
        }
    }
    if escaped == name { Cow::Borrowed(name) } else { Cow::Owned(escaped) }
}

/// Whether the character is blank but takes space. Unicode does not classify the Braille pattern without dots as white
/// space.
fn is_blank(c: char) -> bool {
    c.is_whitespace() || c == '\u{2800}'
}

/// Whether the character looks like a colon in usual fonts: the colon itself, the letter colon and its modifiers, the
/// Armenian and Hebrew full stops, the ratio, and the colon's own narrow and vertical forms.
fn is_colon(c: char) -> bool {
    matches!(c, ':' | '\u{2d0}' | '\u{2f8}' | '\u{589}' | '\u{5c3}' | '\u{2236}' | '\u{a789}' | '\u{fe13}' | '\u{fe55}')
}

/// Whether the character does more than display itself.
pub fn acts(c: char) -> bool {
    matches!(c,
        // C0, DEL and C1: cursor, bell, escape sequences (U+009B alone starts one).
        '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}'
        // Soft hyphen, combining grapheme joiner, Arabic letter mark, Hangul and Khmer fillers, Mongolian selectors and
        // vowel separator: they are invisible, at least sometimes.
        | '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        // Zero-width space, and the marks of direction. The joiners are between them; bodies need those.
        | '\u{200b}' | '\u{200e}' | '\u{200f}'
        // Line and paragraph separators; embeddings and overrides of direction.
        | '\u{2028}'..='\u{202e}'
        // Word joiner, invisible operators, isolates of direction, deprecated format characters.
        | '\u{2060}'..='\u{206f}'
        // Fillers, the byte order mark, annotations, noncharacters.
        | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}'
        // Shorthand and musical format characters; tags and invisible variation selectors.
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'
        // Private use: the appearance is undefined, and terminals draw borders with it.
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
            // All visible characters are there, in order.
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
