//! The zero-width joiners in names: allowed only where they change the appearance of a word.
//!
//! Persian breaks the join of two letters with a non-joiner (می‌خواهم), and Sinhala and Bengali form some letters with
//! a joiner (ශ්‍රී, র‍্যাব). Elsewhere a joiner is invisible, so that two names would look the same. The rules are a
//! part of those of Unicode's annex 31 (A1 and B). The other rules depend on the font (other conjuncts), or allow a
//! second spelling that looks the same (chillu letters in Malayalam, the eyelash ra in Devanagari).

use unicode_normalization::char::is_combining_mark;

const NON_JOINER: char = '\u{200c}';
const JOINER: char = '\u{200d}';

/// Whether the character is one of the two joiners.
pub fn is_joiner(c: char) -> bool {
    matches!(c, NON_JOINER | JOINER)
}

/// Whether the joiner at this position changes the appearance of the name.
pub fn shows(name: &[char], at: usize) -> bool {
    let next = |offset: usize| name.get(at + offset).copied();
    match name[at] {
        NON_JOINER => {
            let before = name[..at].iter().rev().copied().find(|&c| !is_combining_mark(c));
            before.is_some_and(joins_next) && next(1).is_some_and(|c| joins_next(c) || joins_previous_only(c))
        }
        JOINER => match (&name[..at], next(1), next(2)) {
            // Sinhala: a consonant without its vowel, and a consonant; one of the two is ra or ya.
            ([.., first, '\u{dca}'], Some(second), _) => {
                is_sinhala(*first)
                    && is_sinhala(second)
                    && (*first == '\u{dbb}' || matches!(second, '\u{dba}' | '\u{dbb}'))
            }
            // Bengali: ra and the sign ya.
            ([.., '\u{9b0}'], Some('\u{9cd}'), Some('\u{9af}')) => true,
            _ => false,
        },
        _ => false,
    }
}

fn is_sinhala(c: char) -> bool {
    matches!(c, '\u{d9a}'..='\u{dc6}')
}

/// Arabic letters that join the one that follows: Unicode's joining type D. Generated from Unicode 14.
fn joins_next(c: char) -> bool {
    matches!(c, '\u{620}' | '\u{626}' | '\u{628}' | '\u{62a}'..='\u{62e}' | '\u{633}'..='\u{63f}' | '\u{641}'..='\u{647}'
        | '\u{649}' | '\u{64a}' | '\u{66e}' | '\u{66f}' | '\u{678}'..='\u{687}' | '\u{69a}'..='\u{6bf}' | '\u{6c1}'
        | '\u{6c2}' | '\u{6cc}' | '\u{6ce}' | '\u{6d0}' | '\u{6d1}' | '\u{6fa}'..='\u{6fc}' | '\u{6ff}'
        | '\u{750}'..='\u{758}' | '\u{75c}'..='\u{76a}' | '\u{76d}'..='\u{770}' | '\u{772}' | '\u{775}'..='\u{777}'
        | '\u{77a}'..='\u{77f}' | '\u{8a0}'..='\u{8a9}')
}

/// Arabic letters that join only the one before: joining type R.
fn joins_previous_only(c: char) -> bool {
    matches!(c, '\u{622}'..='\u{625}' | '\u{627}' | '\u{629}' | '\u{62f}'..='\u{632}' | '\u{648}' | '\u{671}'..='\u{673}'
        | '\u{675}'..='\u{677}' | '\u{688}'..='\u{699}' | '\u{6c0}' | '\u{6c3}'..='\u{6cb}' | '\u{6cd}' | '\u{6cf}'
        | '\u{6d2}' | '\u{6d3}' | '\u{6d5}' | '\u{6ee}' | '\u{6ef}' | '\u{759}'..='\u{75b}' | '\u{76b}' | '\u{76c}'
        | '\u{771}' | '\u{773}' | '\u{774}' | '\u{778}' | '\u{779}')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The joiners of a name that have no effect.
    fn hidden(name: &str) -> usize {
        let name: Vec<char> = name.chars().collect();
        (0..name.len()).filter(|&at| is_joiner(name[at]) && !shows(&name, at)).count()
    }

    #[test]
    fn joiners_show_in_the_words_that_need_them() {
        for word in [
            "می\u{200c}خواهم",
            "خانه\u{200c}ها",
            "بِ\u{200c}بین",
            "ශ\u{dca}\u{200d}රී",
            "ක\u{dca}\u{200d}ය",
            "ර\u{dca}\u{200d}ක",
            "র\u{200d}\u{9cd}যাব",
        ] {
            assert_eq!(hidden(word), 0, "{word:?}");
        }
    }

    #[test]
    fn joiners_that_show_nothing_are_found() {
        for word in [
            "te\u{200c}a",
            "te\u{200d}a",
            "\u{200c}می",
            "می\u{200c}",
            "می\u{200c}\u{200c}خواهم",
            // Dal does not join the next letter, so the joiner has no effect.
            "د\u{200c}ا",
            "می\u{200d}خواهم",
            "می\u{200c}-خ",
            "یـ\u{200c}",
            "ක\u{dca}\u{200d}ෂ",
            "ක\u{dca}\u{200d}",
            "ක\u{200d}ර",
            "ක\u{dca}\u{200c}ර",
            "क\u{94d}\u{200d}ष",
            "ന\u{d4d}\u{200d}",
            "ত\u{9cd}\u{200d}",
        ] {
            assert!(hidden(word) > 0, "{word:?}");
        }
    }
}
