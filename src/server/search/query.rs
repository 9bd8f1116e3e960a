//! The query language of search: words that all occur, "phrases", and `begin*` for words with this beginning.
//!
//! A query is parsed here, and the query for the index is built from its terms. So FTS5 interprets no character of a
//! query, and pasted text is a valid query.

use thiserror::Error;

use super::words::{Ending, push_terms};
use crate::limits::{PREFIX_CHARS_MIN, PREFIXES_MAX, QUERY_CHARS_MAX};

/// What to find: all of these phrases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    phrases: Vec<Phrase>,
}

/// Terms that stand together, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Phrase {
    /// Never empty.
    terms: Vec<String>,
    /// Whether the last one is the beginning of a term.
    is_prefix: bool,
}

/// Why a query is invalid.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InvalidQuery {
    #[error("the query has {0} characters: use at most {QUERY_CHARS_MAX}")]
    TooLong(usize),
    #[error("the query has no words: give at least one letter or digit")]
    NoWords,
    #[error("the query has an opening quotation mark without a closing one: close it, or leave it out")]
    OpenQuote,
    #[error("\"{0}*\" is too short: give at least {PREFIX_CHARS_MIN} characters before the *")]
    PrefixTooShort(String),
    #[error("the query has {0} beginnings of words, or single characters: use at most {PREFIXES_MAX}")]
    TooManyPrefixes(usize),
}

impl Query {
    pub fn parse(text: &str) -> Result<Self, InvalidQuery> {
        let chars = text.chars().count();
        if chars > QUERY_CHARS_MAX {
            return Err(InvalidQuery::TooLong(chars));
        }
        let mut phrases: Vec<Phrase> = Vec::new();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let piece;
            (piece, rest) = if is_quote(first) {
                let quoted = &rest[first.len_utf8()..];
                let end = quoted.find(is_quote).ok_or(InvalidQuery::OpenQuote)?;
                let after = &quoted[end..];
                let after = &after[after.chars().next().map_or(0, char::len_utf8)..];
                // The star may be on either side of the quotation mark.
                match after.strip_prefix('*') {
                    Some(after) => ((&quoted[..end], true), after),
                    None => (starred(&quoted[..end]), after),
                }
            } else {
                let end = rest.find(|c: char| c.is_whitespace() || is_quote(c)).unwrap_or(rest.len());
                let (word, after) = rest.split_at(end);
                // Skips a space, and not a quotation mark.
                (starred(word), after.trim_start())
            };
            phrases.extend(Phrase::new(piece.0, piece.1)?.filter(|phrase| !phrases.contains(phrase)));
        }
        match phrases.iter().filter(|phrase| phrase.is_prefix).count() {
            _ if phrases.is_empty() => Err(InvalidQuery::NoWords),
            prefixes if prefixes > PREFIXES_MAX => Err(InvalidQuery::TooManyPrefixes(prefixes)),
            _ => Ok(Self { phrases }),
        }
    }

    /// The query as an expression of FTS5. Each term is quoted.
    pub fn expression(&self) -> String {
        let phrases: Vec<_> = self
            .phrases
            .iter()
            .map(|phrase| format!("\"{}\"{}", phrase.terms.join(" "), if phrase.is_prefix { " *" } else { "" }))
            .collect();
        phrases.join(" AND ")
    }

    /// Whether a text matches.
    pub fn matches(&self, text: &str) -> bool {
        let mut terms = String::with_capacity(text.len() + 16);
        push_terms(text, &mut terms);
        let terms: Vec<_> = terms.split(' ').skip(1).collect();
        self.phrases.iter().all(|phrase| terms.windows(phrase.terms.len()).any(|window| phrase.matches(window)))
    }
}

impl Phrase {
    /// `None` if the text has no terms.
    fn new(text: &str, is_prefix: bool) -> Result<Option<Self>, InvalidQuery> {
        let mut terms = String::new();
        let ending = push_terms(text, &mut terms);
        let mut terms: Vec<_> = terms.split(' ').skip(1).map(str::to_owned).collect();
        let is_prefix = match ending {
            Ending::Nothing => return Ok(None),
            Ending::Word => is_prefix,
            // The run may go on.
            Ending::Pairs => {
                terms.pop();
                false
            }
            Ending::Character => true,
        };
        match terms.last() {
            Some(last) if is_prefix && ending == Ending::Word && last.chars().count() < PREFIX_CHARS_MIN => {
                Err(InvalidQuery::PrefixTooShort(last.clone()))
            }
            _ => Ok(Some(Self { terms, is_prefix })),
        }
    }

    fn matches(&self, window: &[&str]) -> bool {
        let last = self.terms.len() - 1;
        self.terms.iter().zip(window).enumerate().all(|(at, (term, found))| {
            if at == last && self.is_prefix { found.starts_with(term.as_str()) } else { found == term }
        })
    }
}

/// A text without a star at its end, and whether it had one.
fn starred(text: &str) -> (&str, bool) {
    text.strip_suffix('*').map_or((text, false), |text| (text, true))
}

/// Quotation marks, also those that phones and text processors write in place of `"`.
fn is_quote(c: char) -> bool {
    matches!(c, '"' | '“' | '”' | '„' | '«' | '»')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn expression(text: &str) -> Result<String, InvalidQuery> {
        Query::parse(text).map(|query| query.expression())
    }

    #[test]
    fn queries_become_expressions() {
        for (text, expected) in [
            ("tea Time", r#""tea" AND "time""#),
            (r#""green tea" pot"#, r#""green tea" AND "pot""#),
            ("“green tea”pot", r#""green tea" AND "pot""#),
            ("gard*", r#""gard" *"#),
            (r#""the gard*" "the gard"*"#, r#""the gard" *"#),
            ("bob@example.com", r#""bob example com""#),
            ("上海东", r#""上海 海东""#),
            ("上海*", r#""上海""#),
            ("海", r#""海" *"#),
            ("海*", r#""海" *"#),
            ("\"a 上海 b\"", r#""a 上海 海 b""#),
            // The syntax of FTS5 has no effect.
            ("a OR b NOT c NEAR(d)", r#""a" AND "or" AND "b" AND "not" AND "c" AND "near d""#),
            ("text:x ^y -z + {", r#""text x" AND "y" AND "z""#),
            ("it's 'quoted'", r#""it s" AND "quoted""#),
            ("a*b ccc** ccc*", r#""a b" AND "ccc" *"#),
        ] {
            assert_eq!(expression(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn invalid_queries_are_refused_with_the_remedy() {
        for (text, expected) in [
            ("", InvalidQuery::NoWords),
            (" \t\n", InvalidQuery::NoWords),
            ("*", InvalidQuery::NoWords),
            ("\"\" ** --", InvalidQuery::NoWords),
            ("\0", InvalidQuery::NoWords),
            ("tea \"green", InvalidQuery::OpenQuote),
            ("\"", InvalidQuery::OpenQuote),
            ("ab*", InvalidQuery::PrefixTooShort("ab".to_owned())),
            ("abc* abd* abe* \u{4e0a} \u{6d77}", InvalidQuery::TooManyPrefixes(5)),
        ] {
            assert_eq!(Query::parse(text), Err(expected), "{text}");
        }
        assert_eq!(Query::parse(&"é".repeat(257)), Err(InvalidQuery::TooLong(257)));
        assert!(Query::parse(&"é".repeat(256)).is_ok());
    }

    #[test]
    fn texts_match() {
        let matches = |query: &str, text: &str| Query::parse(query).expect("it is valid").matches(text);
        for (query, text) in [
            ("TEA time", "Time for tea"),
            ("\"green tea\"", "a Green, tea!"),
            ("gard*", "the gardens"),
            ("creme", "Crème"),
            ("crème", "creme"),
            ("上海", "我家在上海东边"),
            ("东边", "我家在上海东边"),
            ("边", "我家在上海东边"),
            ("我", "我家在上海东边"),
            ("在上海东", "我家在上海东边"),
            ("\"abc 上海\"", "ABC上海东"),
        ] {
            assert!(matches(query, text), "{query} in {text}");
        }
        for (query, text) in [
            ("tea", "team"),
            ("\"tea green\"", "green tea"),
            ("tea pot", "tea"),
            ("gard*", "a big ard"),
            ("上东", "我家在上海东边"),
            ("\"a b c\"", "a b"),
        ] {
            assert!(!matches(query, text), "{query} in {text}");
        }
    }

    proptest! {
        /// Any text is a valid query or is refused, and the index gets only quoted terms.
        #[test]
        fn any_text_is_harmless(text in "\\PC{0,40}|[\"*^:(){} a-c上海\0-]{0,30}") {
            if let Ok(expression) = expression(&text) {
                prop_assert_eq!(expression.matches('"').count() % 2, 0);
                for (at, part) in expression.split('"').enumerate() {
                    let is_valid = match at % 2 {
                        0 => ["", " *", " AND ", " * AND "].contains(&part),
                        _ => part.chars().all(|c| c == ' ' || c.is_alphanumeric() || !c.is_ascii()),
                    };
                    prop_assert!(is_valid, "{:?}", expression);
                }
            }
        }

        /// Each word, phrase and beginning of a text finds it.
        #[test]
        fn a_text_matches_its_parts(text in "[a-zé上海东 ]{1,30}", start in 0..30usize, end in 0..30usize) {
            let words: Vec<_> = text.split_whitespace().collect();
            prop_assume!(!words.is_empty());
            let (start, end) = (start % words.len(), end % words.len());
            let part = words[start.min(end)..=start.max(end)].join(" ");
            if let Ok(query) = Query::parse(&format!("\"{part}\"")) {
                prop_assert!(query.matches(&text));
            }
            if let Ok(query) = Query::parse(&format!("\"{part}*\"")) {
                prop_assert!(query.matches(&text));
            }
        }
    }
}
