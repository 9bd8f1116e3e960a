//! Divides text into terms: the words under which a message is found.
//!
//! A word is a run of letters, digits and the marks on them, in lower case and without accents. Chinese, Japanese,
//! Korean, Thai and a few other scripts write no spaces between words, so a run of their characters becomes its
//! overlapping pairs, and its last character: `上海东` becomes `上海`, `海东` and `东`. Any two or more characters of a run
//! are then found as a phrase of pairs, and a single character is found as the beginning of a term.
//!
//! The index and the check of what it found use the same terms. The version of the index must change with them.

use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

use crate::limits::TERM_CHARS_MAX;

/// How the terms of a text end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The text has no terms.
    Nothing,
    /// With a word.
    Word,
    /// With one character of a script without spaces.
    Character,
    /// With several of them: the last term is the last character alone.
    Pairs,
}

/// Appends the terms of a text, each after a space.
pub fn push_terms(text: &str, terms: &mut String) -> Ending {
    let mut divider = Divider { terms, place: Place::Between, ending: Ending::Nothing };
    if text.is_ascii() {
        text.chars().for_each(|c| divider.push(c.to_ascii_lowercase()));
    } else {
        let plain = text.nfkd().filter(|c| !is_ignored(*c)).nfc();
        plain.flat_map(char::to_lowercase).for_each(|c| divider.push(without_stroke(c)));
    }
    divider.end();
    divider.ending
}

/// Where the divider is in the text.
#[derive(Clone, Copy)]
enum Place {
    Between,
    /// After this many characters of a word.
    Word(usize),
    /// After this character of a script without spaces.
    Run {
        last: char,
        is_paired: bool,
    },
}

struct Divider<'a> {
    terms: &'a mut String,
    place: Place,
    ending: Ending,
}

impl Divider<'_> {
    fn push(&mut self, c: char) {
        match self.place {
            _ if !c.is_ascii() && is_unspaced(c) => {
                let is_paired = if let Place::Run { last, .. } = self.place {
                    self.terms.extend([' ', last, c]);
                    true
                } else {
                    self.end();
                    false
                };
                self.place = Place::Run { last: c, is_paired };
            }
            Place::Word(chars) if c.is_alphanumeric() || (!c.is_ascii() && is_combining_mark(c)) => {
                if chars < TERM_CHARS_MAX {
                    self.terms.push(c);
                }
                self.place = Place::Word(chars + 1);
            }
            _ if c.is_alphanumeric() => {
                self.end();
                self.terms.extend([' ', c]);
                self.place = Place::Word(1);
            }
            _ => self.end(),
        }
    }

    fn end(&mut self) {
        match self.place {
            Place::Between => return,
            Place::Word(_) => self.ending = Ending::Word,
            Place::Run { last, is_paired } => {
                self.terms.extend([' ', last]);
                self.ending = if is_paired { Ending::Pairs } else { Ending::Character };
            }
        }
        self.place = Place::Between;
    }
}

/// Whether words of the character's script are not separated by spaces, or, as in Korean, are separated by fewer.
fn is_unspaced(c: char) -> bool {
    matches!(c,
        // Thai, Lao, Burmese and Khmer.
        '\u{e01}'..='\u{e4e}' | '\u{e81}'..='\u{ece}' | '\u{1000}'..='\u{103f}' | '\u{1050}'..='\u{108f}'
        | '\u{1780}'..='\u{17d3}'
        // Chinese characters, their repetition marks, and zero.
        | '\u{3005}'..='\u{3007}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}'
        | '\u{20000}'..='\u{3ffff}'
        // Hiragana, katakana, bopomofo and hangul.
        | '\u{3041}'..='\u{3096}' | '\u{309d}'..='\u{309f}' | '\u{30a1}'..='\u{30fa}' | '\u{30fc}'..='\u{30ff}'
        | '\u{3105}'..='\u{312f}' | '\u{31a0}'..='\u{31bf}' | '\u{31f0}'..='\u{31ff}'
        | '\u{1100}'..='\u{11ff}' | '\u{ac00}'..='\u{d7af}')
}

/// Whether a character of decomposed text makes no difference: accents, the vowel points of Hebrew and Arabic, which are
/// rarely written, and invisible characters within words.
fn is_ignored(c: char) -> bool {
    matches!(c,
        '\u{300}'..='\u{36f}'
        | '\u{591}'..='\u{5bd}' | '\u{5bf}' | '\u{5c1}' | '\u{5c2}' | '\u{5c4}' | '\u{5c5}' | '\u{5c7}'
        | '\u{640}' | '\u{64b}'..='\u{65f}' | '\u{670}'
        | '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}')
}

/// Letters that people type without their stroke and that Unicode doesn't decompose, and the form of sigma at the end of
/// a word.
fn without_stroke(c: char) -> char {
    match c {
        'đ' => 'd',
        'ħ' => 'h',
        'ı' => 'i',
        'ł' => 'l',
        'ø' => 'o',
        'ς' => 'σ',
        c => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(text: &str) -> (String, Ending) {
        let mut terms = String::new();
        let ending = push_terms(text, &mut terms);
        (terms, ending)
    }

    #[test]
    fn words_are_folded() {
        for (text, expected) in [
            ("Hello, World", " hello world"),
            ("don't e-mail bob@example.com", " don t e mail bob example com"),
            ("Crème BRÛLÉE", " creme brulee"),
            ("cre\u{300}me", " creme"),
            ("ŁÓDŹ København İstanbul ISPARTA", " lodz kobenhavn istanbul isparta"),
            ("ΟΔΟΣ οδός", " οδοσ οδοσ"),
            ("Ёлка йод", " елка иод"),
            ("ﬁne Ｆｕｌｌ ½", " fine full 1 2"),
            ("हिन्दी में", " हिन्दी में"),
            ("مُحَمَّد آن", " محمد ان"),
            ("שָׁלוֹם", " שלום"),
            ("می\u{200c}خواهم", " میخواهم"),
            ("3.14 v2", " 3 14 v2"),
            ("\0\u{e000}r1 \u{1f389} --", " r1"),
        ] {
            assert_eq!(terms(text).0, expected, "{text}");
        }
        let long = "ä".repeat(TERM_CHARS_MAX + 9);
        assert_eq!(terms(&long).0, format!(" {}", "a".repeat(TERM_CHARS_MAX)));
    }

    #[test]
    fn runs_without_spaces_become_pairs() {
        for (text, expected, ending) in [
            ("我家在上海东边", " 我家 家在 在上 上海 海东 东边 边", Ending::Pairs),
            ("上", " 上", Ending::Character),
            ("abc上海 x", " abc 上海 海 x", Ending::Word),
            ("ガーデン", " ガー ーデ デン ン", Ending::Pairs),
            // Half-width, and with separate marks.
            ("ｶﾞｰﾃﾞﾝ", " ガー ーデ デン ン", Ending::Pairs),
            ("한국어", " 한국 국어 어", Ending::Pairs),
            ("สวัสดี", " สว วั ัส สด ดี ี", Ending::Pairs),
            ("。", "", Ending::Nothing),
            ("hello", " hello", Ending::Word),
        ] {
            assert_eq!(terms(text), (expected.to_owned(), ending), "{text}");
        }
    }
}
