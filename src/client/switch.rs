//! Flags without a value, as variables: what turns one on, and what off.

/// Reads a variable that stands for a flag: `1` or `true` is the flag given, `0`, `false` or nothing the flag left out.
pub fn switch(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "" | "0" | "false" | "no" | "off" => Ok(false),
        _ => Err("give 1 or 0".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_is_on_or_off_or_a_fault() {
        for (text, on) in [("1", true), ("true", true), ("Yes", true), ("0", false), ("FALSE", false), ("", false)] {
            assert_eq!(switch(text), Ok(on));
        }
        assert!(switch("2").is_err() && switch(" ").is_err());
    }
}
