//! The names that a text mentions: `@ann`, or `@all` for everybody. Pure logic.
//!
//! The server does not look for names in texts: it could not know which `@` is one. The client that posts a text names
//! those whom its user has mentioned.

use crate::limits::MENTIONS_MAX;
use crate::names::{EVERYBODY, Mentions, UserName};

/// The words that mention everybody.
const EVERYBODY_WORDS: [&str; 2] = ["all", "everybody"];

/// Punctuation that ends a sentence, and not a name.
const ENDS: &[char] =
    &['.', ',', ';', ':', '!', '?', ')', ']', '}', '"', '\'', '…', '。', '，', '、', '！', '？', '：'];

/// The names that the text mentions, in their order; beyond [`MENTIONS_MAX`], they are not mentioned.
///
/// A mention begins with `@` at the start of a word. `known` are the names of the people in the room: the longest that
/// follows is mentioned, so names may contain blanks. Otherwise the word is the name, without the punctuation at its
/// end: somebody may be mentioned who is not there.
pub fn mentioned<'a>(text: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> Mentions {
    let mut names: Vec<String> = Vec::new();
    let mut before = None;
    for (at, c) in text.char_indices() {
        let begins =
            c == '@' && before.is_none_or(|before: char| !before.is_alphanumeric() && !"@_-.+".contains(before));
        before = Some(c);
        let Some(name) = begins.then(|| name_at(&text[at + 1..], known.clone())).flatten() else { continue };
        if names.len() < MENTIONS_MAX && !names.contains(&name) {
            names.push(name);
        }
    }
    Mentions::new(names).unwrap_or_default()
}

/// The name at the start of the text.
fn name_at<'a>(text: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let ends = |name: &str| text[name.len()..].chars().next().is_none_or(|c| !c.is_alphanumeric() && c != '_');
    let follows = |name: &&str| !name.is_empty() && text.starts_with(*name) && ends(name);
    let word = text.split(char::is_whitespace).next().unwrap_or_default().trim_end_matches(ENDS);
    let known = known.into_iter().filter(follows).max_by_key(|name| name.len()).filter(|name| name.len() >= word.len());
    if known.is_none() && EVERYBODY_WORDS.iter().any(|everybody| word.eq_ignore_ascii_case(everybody)) {
        return Some(EVERYBODY.to_owned());
    }
    let name = Some(known.unwrap_or(word)).filter(|name| !name.starts_with('@'));
    name.and_then(|name| UserName::new(name).ok()).map(String::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        let known = ["ann", "ann-marie", "Bo Diddley", "Zo\u{eb}", "st. john"];
        mentioned(text, known).iter().map(str::to_owned).collect()
    }

    #[test]
    fn names_after_an_at_sign_are_mentioned() {
        assert_eq!(names("@ann hi"), ["ann"]);
        assert_eq!(names("hi @ann, @ann-marie and (@Bo Diddley)!"), ["ann", "ann-marie", "Bo Diddley"]);
        assert_eq!(names("@ann @ann @ann"), ["ann"]);
        assert_eq!(names("\u{4f60}\u{597d} @Zo\u{eb}\u{3002}"), ["Zo\u{eb}"]);
        assert_eq!(names("@st. john. @annika, @nobody?"), ["st. john", "annika", "nobody"]);
        assert_eq!(names("@all, and @Everybody"), [EVERYBODY]);
        assert_eq!(names("@* hi"), [EVERYBODY]);
    }

    #[test]
    fn other_at_signs_are_not_mentions() {
        for text in ["", "@", "@ ann", "ann@example.org", "a.b@ann", "@@ann", "x_@ann", "@!?", "hi ann"] {
            assert_eq!(names(text), Vec::<String>::new(), "{text:?}");
        }
        assert_eq!(names(&format!("@{}", "x".repeat(65))), Vec::<String>::new());
    }

    /// A pasted list of names must be sent, although it has more names than a message may mention.
    #[test]
    fn only_the_first_names_are_mentioned() {
        let text: String = (0..30).map(|n| format!("@user{n} ")).collect();
        let expected: Vec<_> = (0..MENTIONS_MAX).map(|n| format!("user{n}")).collect();
        assert_eq!(names(&text), expected);
    }
}
