//! Characters that names and bodies may not contain: invisible ones, and those that change how the text around them is
//! shown. The tables follow Unicode 17; an unassigned character that they don't list is allowed.

use unicode_normalization::char::is_combining_mark;

use crate::limits::COMBINING_MARKS_MAX;

/// Characters without an image of their own that change or separate others (categories Cf, Zl and Zp): among them the
/// zero-width ones, the bidirectional controls, and the tags.
pub fn is_format(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}' | '\u{891}' | '\u{8e2}'
        | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        | '\u{fff0}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e007f}')
}

/// Characters without a meaning that all programs share (categories Co, and the noncharacters).
pub fn is_private(c: char) -> bool {
    matches!(c, '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..='\u{10ffff}' | '\u{fdd0}'..='\u{fdef}')
        || u32::from(c) & 0xfffe == 0xfffe
}

/// Letters, marks and symbols that show nothing, as in Unicode's `Default_Ignorable_Code_Point`, and the empty Braille
/// pattern.
pub fn is_invisible(c: char) -> bool {
    matches!(c, '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{2800}'
        | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{ffa0}' | '\u{e0080}'..='\u{e0fff}')
}

/// Whether more than [`COMBINING_MARKS_MAX`] marks stand in a row, which then cover the lines above and below.
pub fn has_many_marks(text: &str) -> bool {
    let mut marks = 0;
    !text.is_ascii()
        && text.chars().any(|c| {
            marks = if is_combining_mark(c) { marks + 1 } else { 0 };
            marks > COMBINING_MARKS_MAX
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_counted_in_a_row() {
        let marks = |count| format!("a{}b", "\u{301}".repeat(count));
        assert!(!has_many_marks(&marks(COMBINING_MARKS_MAX)) && has_many_marks(&marks(COMBINING_MARKS_MAX + 1)));
        assert!(!has_many_marks(&marks(COMBINING_MARKS_MAX).repeat(5)));
    }

    #[test]
    fn visible_characters_are_in_no_table() {
        for c in "Zoë_名前 भाषा🙂©ﷺ\u{301}".chars() {
            assert!(!is_format(c) && !is_private(c) && !is_invisible(c), "{c:?}");
        }
        for c in ['\u{fffe}', '\u{1ffff}', '\u{fdd0}', '\u{e000}', '\u{10fffd}'] {
            assert!(is_private(c), "{c:?}");
        }
    }
}
