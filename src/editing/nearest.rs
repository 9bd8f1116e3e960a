//! Finds the name that a mistyped one may mean.

/// How many edits make a name near to a mistyped one.
const EDITS_MAX: usize = 2;

/// The name that is nearest to a mistyped one, if one is near.
pub fn nearest<'a>(typed: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A longer text is not a mistyped name, and takes long to compare.
    let typed: String = typed.chars().take(40).collect::<String>().to_lowercase();
    let edits = names.into_iter().map(|name| (strsim::osa_distance(&typed, name), name));
    let (edits, name) = edits.min_by_key(|(edits, _)| *edits)?;
    // A name of one letter is near to everything.
    (edits <= EDITS_MAX && edits < name.chars().count().max(2)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_name_is_found() {
        let names = ["quit", "join", "who", "j"];
        assert_eq!(nearest("qiut", names), Some("quit"));
        assert_eq!(nearest("JION", names), Some("join"));
        assert_eq!(nearest("frobnicate", names), None);
        assert_eq!(nearest("xy", ["j"]), None);
        assert_eq!(nearest(&"x".repeat(1_000_000), names), None);
    }
}
