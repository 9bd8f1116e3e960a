//! Names that look alike, by Unicode's table of confusable characters (UTS 39).

use unicode_normalization::UnicodeNormalization as _;

/// The skeleton of a name, regardless of case and of compatibility forms: names that look alike have the same one. It
/// depends on the version of Unicode's table, so it is not stored.
pub fn skeleton(name: &str) -> String {
    if name.is_ascii() {
        return name.chars().flat_map(char::to_lowercase).flat_map(ascii_prototype).collect();
    }
    let folded: String = name.nfkc().flat_map(char::to_lowercase).map(|c| if c == 'ς' { 'σ' } else { c }).collect();
    let folded: String = folded.nfkc().collect();
    unicode_security::confusable_detection::skeleton(&folded).collect()
}

/// The same as the table, for the ASCII characters that a lower-case name can contain: most names are ASCII, and all
/// names of a log are loaded at its start.
fn ascii_prototype(c: char) -> impl Iterator<Item = char> {
    let (first, second) = match c {
        'm' => ('r', Some('n')),
        '0' => ('O', None),
        '1' => ('l', None),
        c => (c, None),
    };
    std::iter::once(first).chain(second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_look_alike_have_the_same_skeleton() {
        for (one, other) in [
            ("lobby", "lоbby"),
            ("lobby", "LOBBY"),
            ("lobby", "ｌｏｂｂｙ"),
            ("lobby", "Ｌobby"),
            ("rule1", "rulel"),
            ("modern", "modem"),
            ("paypal", "раураl"),
            ("σας", "ΣΑΣ"),
            ("küche", "KÜCHE"),
            ("ﬁne", "fine"),
        ] {
            assert_eq!(skeleton(one), skeleton(other), "{one} {other}");
        }
        for (one, other) in
            [("lobby", "hobby"), ("tea", "teа2"), ("küche", "kuche"), ("room-1", "room-2"), ("日", "曰本")]
        {
            assert_ne!(skeleton(one), skeleton(other), "{one} {other}");
        }
    }

    /// The short way for ASCII is that of the table.
    #[test]
    fn ascii_names_have_the_skeleton_of_the_table() {
        let characters = ('0'..='9').chain('a'..='z').chain('A'..='Z').chain("-_.".chars());
        for c in characters {
            let folded: String = c.to_lowercase().collect();
            let expected: String = unicode_security::confusable_detection::skeleton(&folded).collect();
            assert_eq!(skeleton(&c.to_string()), expected, "{c:?}");
        }
    }
}
