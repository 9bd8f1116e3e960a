//! How wide text is, and what is drawn of it. Wrapping and drawing use the same functions, or borders would break. So
//! nothing here is drawn with ratatui's own functions for text: their width of a halfwidth voiced sound mark is another.
//!
//! Terminals disagree about the width of some characters: emoji with variation selectors, joined emoji, flags, marks.
//! So [`drawn`] leaves out what they disagree about most, unless the user wants it ([`Emoji::Full`]), and
//! [`is_certain`] tells [`diff`](super::diff) after which characters the cursor must be placed again.

use std::borrow::Cow;

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::escape::{escape, escape_name};

/// How emoji are drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Emoji {
    /// Without variation selectors; of a joined emoji, such as a family, the first member.
    #[default]
    Simple,
    /// As they are, for terminals that draw them well.
    Full,
}

/// How many marks a character may carry. More would reach into the rows above and below.
const MARKS_MAX: usize = 4;

/// How many columns a tab takes.
const TAB: &str = "    ";

/// The width of a drawn text, in columns.
pub fn columns(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.graphemes(true).map(cluster_columns).sum() }
}

/// The width of a grapheme cluster of a drawn text, in columns.
pub fn cluster_columns(cluster: &str) -> usize {
    if cluster.len() == 1 { 1 } else { cluster.width() }
}

/// Whether all terminals agree about the width of the cluster.
pub fn is_certain(cluster: &str) -> bool {
    if cluster.len() == 1 {
        return true;
    }
    let mut chars = cluster.chars();
    let (Some(c), None) = (chars.next(), chars.next()) else { return false };
    // The characters of East Asian scripts are as old as wide cells. Many symbols have got a wide form later.
    !is_symbol(c) && c.width() == c.width_cjk() && c.width().is_some_and(|width| width > 0)
}

/// The most columns that a terminal may take for the cluster. Characters whose width only depends on a setting of the
/// terminal count as narrow.
pub fn columns_max(cluster: &str) -> usize {
    if is_certain(cluster) {
        return cluster_columns(cluster);
    }
    let columns_of = |c: char| if is_symbol(c) { 2 } else { c.width().unwrap_or(0).max(1) };
    cluster.chars().map(columns_of).sum::<usize>().max(cluster_columns(cluster))
}

/// Symbols that may be drawn as emoji.
fn is_symbol(c: char) -> bool {
    matches!(c, '\u{203c}' | '\u{2049}' | '\u{2122}' | '\u{2139}' | '\u{2194}'..='\u{21aa}' | '\u{231a}'..='\u{23ff}'
        | '\u{24c2}' | '\u{25aa}'..='\u{25ab}' | '\u{25b6}' | '\u{25c0}' | '\u{25fb}'..='\u{27bf}'
        | '\u{2934}'..='\u{2935}' | '\u{2b05}'..='\u{2b55}' | '\u{3030}' | '\u{303d}' | '\u{3297}' | '\u{3299}'
        | '\u{1f000}'..='\u{1faff}')
}

/// What is drawn of a text of others, in one row: everything that acts on a terminal is escaped.
pub fn drawn(text: &str, emoji: Emoji) -> Cow<'_, str> {
    if is_plain(text) { Cow::Borrowed(text) } else { Cow::Owned(clusters(&escape(text), emoji)) }
}

/// The same for a name, which must not be mistaken for another part of the row.
pub fn drawn_name(name: &str, emoji: Emoji) -> Cow<'_, str> {
    let escaped = escape_name(name);
    if is_plain(&escaped) {
        return escaped;
    }
    // Names stand beside the lines that are drawn between the columns.
    let escaped: String =
        escaped.chars().map(|c| if is_line(c) { c.escape_unicode().collect() } else { String::from(c) }).collect();
    Cow::Owned(clusters(&escaped, emoji))
}

/// Characters that lines and borders are drawn with, and those that look like a vertical one.
fn is_line(c: char) -> bool {
    matches!(c, '\u{2500}'..='\u{257f}' | '\u{01c0}' | '\u{2223}' | '\u{23ae}' | '\u{23d0}' | '\u{2758}'..='\u{275a}' | '\u{ff5c}' | '\u{ffe8}')
}

/// The same for a text of several lines, which keeps its line breaks. Tabs are blanks.
pub fn drawn_lines(text: &str, emoji: Emoji) -> Cow<'_, str> {
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\n')) {
        return Cow::Borrowed(text);
    }
    let text = text.replace("\r\n", "\n").replace('\r', "\n").replace('\t', TAB);
    let lines: Vec<_> = text.split('\n').map(|line| drawn(line, emoji)).collect();
    Cow::Owned(lines.join("\n"))
}

fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

/// Draws each cluster of an escaped text.
fn clusters(text: &str, emoji: Emoji) -> String {
    let mut drawn = String::with_capacity(text.len());
    for cluster in text.graphemes(true) {
        if cluster.len() == 1 {
            drawn.push_str(cluster);
        } else {
            push_cluster(&mut drawn, cluster, emoji);
        }
    }
    drawn
}

fn push_cluster(drawn: &mut String, cluster: &str, emoji: Emoji) {
    let start = drawn.len();
    let first = cluster.chars().next().unwrap_or(' ');
    let is_emoji = !first.is_alphabetic();
    let mut marks = 0;
    for c in cluster.chars() {
        match c {
            // Joiners are needed in several scripts.
            '\u{200d}' if is_emoji && emoji == Emoji::Simple => break,
            '\u{fe0e}' | '\u{fe0f}' if emoji == Emoji::Simple => continue,
            _ => {}
        }
        if c.width().unwrap_or(0) == 0 && !(is_emoji && matches!(c, '\u{200d}' | '\u{fe0f}')) {
            marks += 1;
            if marks > MARKS_MAX {
                continue;
            }
        }
        drawn.push(c);
    }
    if !is_one_cell_or_more(&drawn[start..]) {
        // A mark without a character.
        drawn.insert(start, '\u{25cc}');
        if !is_one_cell_or_more(&drawn[start..]) {
            drawn.truncate(start);
            drawn.extend(cluster.chars().flat_map(char::escape_unicode));
        }
    }
    if marks > MARKS_MAX {
        // Something is missing.
        drawn.push('\u{fffd}');
    }
}

/// Whether it is one cluster that takes space.
fn is_one_cell_or_more(text: &str) -> bool {
    let mut clusters = text.graphemes(true);
    clusters.next().is_some_and(|cluster| cluster_columns(cluster) > 0) && clusters.next().is_none()
}

/// The start of a drawn text, in at most this many columns; an ellipsis shows that more follows.
pub fn cut(text: &str, columns_max: usize) -> Cow<'_, str> {
    let mut used = 0;
    let mut end = 0;
    for (at, cluster) in text.grapheme_indices(true) {
        let width = cluster_columns(cluster);
        if used + width > columns_max {
            let ellipsis = if columns_max == 0 { "" } else { "…" };
            return Cow::Owned(format!("{}{ellipsis}", &text[..end]));
        }
        used += width;
        // The place of the ellipsis, if one is needed.
        if used < columns_max {
            end = at + cluster.len();
        }
    }
    Cow::Borrowed(text)
}

/// Whether the text has characters that are written from right to left.
pub fn has_right_to_left(text: &str) -> bool {
    !text.is_ascii()
        && text.chars().any(|c| {
            matches!(c, '\u{590}'..='\u{8ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{feff}'
                | '\u{10800}'..='\u{10fff}' | '\u{1e800}'..='\u{1efff}')
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::escape::acts;

    #[test]
    fn usual_text_is_drawn_as_it_is() {
        for text in ["hello", "Grüße, 世界", "नमस्ते", "שלום", "مرحبا", "می\u{200c}خواهم", "👍🏽", "🇩🇪", "ｶﾞ", "e\u{301}"]
        {
            assert_eq!(drawn(text, Emoji::Simple), text);
        }
    }

    #[test]
    fn emoji_are_simplified_unless_the_user_wants_them() {
        for (text, simple) in [("☺️☺️ x", "☺☺ x"), ("👩‍👩‍👧 family", "👩 family"), ("1️⃣", "1\u{20e3}"), ("🏳️‍🌈", "🏳")]
        {
            assert_eq!(drawn(text, Emoji::Simple), simple);
            assert_eq!(drawn(text, Emoji::Full), text);
        }
        // A joiner of a script stays.
        assert_eq!(drawn("ක\u{dca}\u{200d}ෂ", Emoji::Simple), "ක\u{dca}\u{200d}ෂ");
    }

    #[test]
    fn marks_have_a_character_and_are_few() {
        assert_eq!(drawn("\u{301}a", Emoji::Simple), "\u{25cc}\u{301}a");
        let zalgo = format!("a{}b", "\u{301}".repeat(50));
        assert_eq!(drawn(&zalgo, Emoji::Simple), format!("a{}\u{fffd}b", "\u{301}".repeat(4)));
        // A vowel of Hangul alone has no width, and joins no circle.
        assert_eq!(drawn("\u{1161}", Emoji::Simple), "\\u{1161}");
    }

    /// A name could pass for another name with a message: `bob │ yes`.
    #[test]
    fn names_have_no_lines() {
        assert_eq!(drawn_name("bob │ I", Emoji::Simple), "bob \\u{2502} I");
        assert_eq!(drawn_name("Zoë", Emoji::Simple), "Zoë");
    }

    #[test]
    fn lines_keep_their_breaks_and_tabs() {
        assert_eq!(drawn_lines("a\r\nb\rc\n\td\u{1b}[2J", Emoji::Simple), "a\nb\nc\n    d\\u{1b}[2J");
    }

    #[test]
    fn widths_are_those_of_terminals() {
        for (text, width) in [("", 0), ("abc", 3), ("世界", 4), ("e\u{301}", 1), ("👍🏽", 2), ("\u{ff9e}", 1), ("ｶﾞ", 2)]
        {
            assert_eq!(columns(text), width, "{text:?}");
        }
    }

    #[test]
    fn a_long_text_is_cut_off() {
        for (text, columns, cut_off) in [
            ("abc", 3, "abc"),
            ("abcd", 3, "ab…"),
            ("世世", 4, "世世"),
            ("世世", 3, "世…"),
            ("世", 1, "…"),
            ("a", 0, ""),
        ] {
            assert_eq!(cut(text, columns), cut_off);
        }
    }

    #[test]
    fn certain_widths() {
        for cluster in ["a", "世", "あ", "한", "ß", "ď"] {
            assert!(is_certain(cluster), "{cluster}");
        }
        for cluster in ["☺", "☺\u{fe0f}", "👍", "👍🏽", "🇩🇪", "e\u{301}", "👩\u{200d}👧", "…", "1\u{20e3}"]
        {
            assert!(!is_certain(cluster), "{cluster}");
        }
        for (cluster, most) in [("☺\u{fe0f}", 3), ("👩\u{200d}👧", 5), ("e\u{301}", 2), ("世", 2), ("…", 1)] {
            assert_eq!(columns_max(cluster), most, "{cluster:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_drawn_is_harmless_and_takes_space(text in any::<String>(), full in any::<bool>()) {
            let emoji = if full { Emoji::Full } else { Emoji::Simple };
            let shown = drawn(&text, emoji).into_owned();
            prop_assert!(!shown.chars().any(acts));
            for cluster in shown.graphemes(true) {
                prop_assert!(cluster_columns(cluster) > 0, "{:?} of {:?}", cluster, text);
                prop_assert!(columns_max(cluster) >= cluster_columns(cluster));
            }
        }

        #[test]
        fn drawing_twice_changes_nothing(text in "[a-z世é☺👍\u{301}\u{200d}\u{fe0f}\u{1161}\u{7}]{0,20}") {
            let once = drawn(&text, Emoji::Simple).into_owned();
            prop_assert_eq!(drawn(&once, Emoji::Simple).into_owned(), once);
        }

        #[test]
        fn what_is_cut_off_fits(text in "[a-z世é☺👍]{0,20}", most in 0..20usize) {
            let text = drawn(&text, Emoji::Simple).into_owned();
            let cut_off = cut(&text, most);
            prop_assert!(columns(&cut_off) <= most);
            prop_assert!(columns(&text) > most || cut_off == text);
        }
    }
}
