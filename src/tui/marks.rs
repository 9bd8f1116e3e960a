//! The parts of a message's text that mean something: links and mentions. Pure text.

use std::ops::Range;

use crate::names::EVERYBODY;

/// How short a name may be so that the bare word counts as a mention. Shorter names are parts of usual sentences.
const WORD_CHARS_MIN: usize = 3;

/// The links in a text, in bytes: `http://` and `https://` up to a blank, without the punctuation of the sentence.
pub fn links(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(start) = text[from..].find("http").map(|at| from + at) {
        let rest = &text[start..];
        let scheme = ["https://", "http://"].into_iter().find(|scheme| rest.starts_with(scheme));
        let is_inside_a_word = text[..start].chars().next_back().is_some_and(char::is_alphanumeric);
        let Some(scheme) = scheme.filter(|_| !is_inside_a_word) else {
            from = start + "http".len();
            continue;
        };
        let length = rest.find(|c: char| c.is_whitespace() || matches!(c, '<' | '>' | '"')).unwrap_or(rest.len());
        let link = trim_link(&rest[..length]);
        if link.len() > scheme.len() {
            found.push(start..start + link.len());
        }
        from = start + length.max(scheme.len());
    }
    found
}

/// Without the punctuation at its end. A bracket belongs to the link if it was opened in it.
fn trim_link(link: &str) -> &str {
    let mut link = link;
    while let Some(last) = link.chars().next_back() {
        let opened = match last {
            ')' => Some('('),
            ']' => Some('['),
            '}' => Some('{'),
            _ => None,
        };
        let is_outside = match opened {
            Some(opened) => link.matches(opened).count() < link.matches(last).count(),
            None => matches!(last, '.' | ',' | ';' | ':' | '!' | '?' | '\'' | '…' | '。' | '，' | '、'),
        };
        if !is_outside {
            return link;
        }
        link = &link[..link.len() - last.len_utf8()];
    }
    link
}

/// Where the text has `@name`, in bytes. [`EVERYBODY`] stands for `@all` and `@everybody`.
pub fn mentions(text: &str, name: &str) -> Vec<Range<usize>> {
    match name {
        EVERYBODY => ["@all", "@everybody", "@*"].into_iter().flat_map(|word| words(text, word)).collect(),
        name => words(text, &format!("@{name}")),
    }
}

/// Where the text has the name as a word, in bytes, whatever its case. None for a very short name.
pub fn names(text: &str, name: &str) -> Vec<Range<usize>> {
    if name.chars().count() < WORD_CHARS_MIN { Vec::new() } else { words(text, name) }
}

fn words(text: &str, word: &str) -> Vec<Range<usize>> {
    let is_of_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut found = Vec::new();
    let mut before = None;
    for (at, c) in text.char_indices() {
        let starts = before.is_none_or(|before| !is_of_word(before));
        before = Some(c);
        let end = at + word.len();
        let Some(candidate) = text.get(at..end).filter(|_| starts) else { continue };
        let is_same = candidate.eq_ignore_ascii_case(word);
        if is_same && text[end..].chars().next().is_none_or(|after| !is_of_word(after)) {
            found.push(at..end);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(text: &str) -> Vec<&str> {
        links(text).into_iter().map(|range| &text[range]).collect()
    }

    #[test]
    fn links_end_before_punctuation() {
        for (text, expected) in [
            ("see https://a.example/b?c=d#e.", &["https://a.example/b?c=d#e"][..]),
            ("(http://a.example)", &["http://a.example"]),
            ("https://a.example/x_(y)!", &["https://a.example/x_(y)"]),
            ("<https://a.example>, http://b.example", &["https://a.example", "http://b.example"]),
            ("http:// xhttps://a http https://", &[]),
            ("世https://a.example/世", &[]),
        ] {
            assert_eq!(found(text), expected, "{text}");
        }
    }

    #[test]
    fn mentions_and_names_are_words() {
        let at = |ranges: Vec<Range<usize>>| ranges.len();
        assert_eq!(mentions("hi @ann, @annika and x@ann", "ann"), std::slice::from_ref(&(3..7)));
        assert_eq!(at(mentions("@ALL @everybody @allow", EVERYBODY)), 2);
        assert_eq!(at(names("Ann and ann, Anna", "ann")), 2);
        assert_eq!(at(names("al al", "al")), 0);
        assert_eq!(at(names("Zoë zoë Zoët", "Zoë")), 2);
    }

    proptest! {
        #[test]
        fn ranges_are_valid(text in "(https?://)?[a-z@ .()世é]{0,10}(https://)?[a-z@ .()世é]{0,10}") {
            for range in links(&text).into_iter().chain(mentions(&text, "a")).chain(names(&text, "世世a")) {
                prop_assert!(text.get(range).is_some_and(|part| !part.is_empty()));
            }
        }
    }
}
