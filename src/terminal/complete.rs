//! Completion with Tab: commands at the start of the line, and users' names everywhere else. Pure logic.

/// The candidates at the cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A command of this client, without its slash.
    Command,
    Person,
}

/// A completion that continues while only Tab is pressed: each Tab shows the next match, and after the last one the
/// typed text.
#[derive(Debug)]
pub struct Completion {
    /// The position of the texts in the line, in bytes.
    start: usize,
    /// The length of the current text.
    len: usize,
    /// The matches, followed by the typed text.
    texts: Vec<String>,
    shown: usize,
}

impl Completion {
    /// Finds the completions of the end of `before`, the line before the cursor. `None` if nothing matches.
    pub fn find(before: &str, after: &str, candidates: impl FnOnce(Wanted) -> Vec<String>) -> Option<Self> {
        let (wanted, start) = match before.strip_prefix('/') {
            Some(name) if !name.contains(char::is_whitespace) => (Wanted::Command, 1),
            _ => (Wanted::Person, before.rfind(char::is_whitespace).map_or(0, |at| at + width_at(before, at))),
        };
        let start = start + usize::from(wanted == Wanted::Person && before[start..].starts_with('@'));
        let typed = &before[start..];
        let end = match wanted {
            Wanted::Person if start == 0 => ": ",
            _ if after.starts_with(char::is_whitespace) => "",
            _ => " ",
        };
        let key = typed.to_lowercase();
        let fits = |candidate: &String| candidate.to_lowercase().starts_with(&key);
        let matches = candidates(wanted).into_iter().filter(fits).map(|candidate| candidate + end);
        let texts: Vec<String> = matches.chain([typed.to_owned()]).collect();
        let shown = texts.len() - 1;
        (shown > 0).then_some(Self { start, len: typed.len(), texts, shown })
    }

    /// Inserts the next or the previous text into the line; returns the cursor's position.
    pub fn step(&mut self, line: &mut String, back: bool) -> usize {
        let count = self.texts.len();
        self.shown = (self.shown + if back { count - 1 } else { 1 }) % count;
        let text = &self.texts[self.shown];
        line.replace_range(self.start..self.start + self.len, text);
        self.len = text.len();
        self.start + self.len
    }
}

/// How many bytes the character there takes.
fn width_at(text: &str, at: usize) -> usize {
    text[at..].chars().next().map_or(0, char::len_utf8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(wanted: Wanted) -> Vec<String> {
        let all: &[&str] = match wanted {
            Wanted::Command => &["help", "me", "who"],
            Wanted::Person => &["bob", "Björn", "ann", "Bo Diddley"],
        };
        all.iter().map(|name| (*name).to_owned()).collect()
    }

    /// The line after each Tab, with the cursor as a bar. The bar in `line` is the initial cursor.
    fn tabs(line: &str, count: usize) -> Vec<String> {
        let (before, after) = line.split_once('|').unwrap();
        let Some(mut completion) = Completion::find(before, after, candidates) else { return Vec::new() };
        let mut line = format!("{before}{after}");
        let mut step = || {
            let cursor = completion.step(&mut line, false);
            format!("{}|{}", &line[..cursor], &line[cursor..])
        };
        (0..count).map(|_| step()).collect()
    }

    #[test]
    fn tab_cycles_through_the_names_and_the_typed_text() {
        assert_eq!(tabs("b|", 5), ["bob: |", "Björn: |", "Bo Diddley: |", "b|", "bob: |"]);
        assert_eq!(tabs("hi @an| there", 1), ["hi @ann| there"]);
        assert_eq!(tabs("hi\u{3000}AN|", 1), ["hi\u{3000}ann |"]);
        assert_eq!(tabs("|", 1), ["bob: |"]);
        assert_eq!(tabs("x|", 1), Vec::<String>::new());
    }

    #[test]
    fn commands_are_completed_at_the_start_of_the_line() {
        assert_eq!(tabs("/w|", 1), ["/who |"]);
        assert_eq!(tabs("/|", 3), ["/help |", "/me |", "/who |"]);
        assert_eq!(tabs("/me a|", 1), ["/me ann |"]);
        assert_eq!(tabs("x /w|", 1), Vec::<String>::new());
    }

    #[test]
    fn shift_tab_steps_back() {
        let mut completion = Completion::find("b", "", candidates).unwrap();
        let mut line = "b".to_owned();
        completion.step(&mut line, true);
        assert_eq!(line, "Bo Diddley: ");
        completion.step(&mut line, false);
        assert_eq!(line, "b");
    }
}
