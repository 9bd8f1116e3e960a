//! Reads the values of a TOML file, and collects the faults with their lines.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::config_text::{self, Lines, shown};
use crate::editing::nearest;

/// More faults than help anybody.
const FAULTS_MAX: usize = 50;

/// The keys that are `true` or `false`, for hints.
const FLAGS: [&str; 4] = ["tls", "people", "mouse", "bell"];

pub type Key<'a> = Spanned<Cow<'a, str>>;
pub type Value<'a> = Spanned<DeValue<'a>>;

/// The reading of a file.
pub struct Reading<'a> {
    text: &'a str,
    path: &'a Path,
    lines: Lines<'a>,
    /// Each with the place that it is about, in bytes.
    faults: Vec<(usize, String)>,
}

impl<'a> Reading<'a> {
    pub fn new(text: &'a str, path: &'a Path) -> Self {
        Self { text, path, lines: Lines::new(text, path.to_str().unwrap_or_default()), faults: Vec::new() }
    }

    /// The file as a table. `None`: it is no TOML, and the rest of it may mean anything.
    pub fn table(&mut self) -> Option<DeTable<'a>> {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        let mut last_line = 0;
        for error in &errors {
            let at = error.span().map_or(0, |span| span.start);
            let line = self.lines.number(at);
            // What follows an error in its line is a consequence.
            if line != last_line {
                let fault = self.syntax(at, error.message());
                self.fault(at, fault);
            }
            last_line = line;
        }
        errors.is_empty().then(|| table.into_inner())
    }

    /// The faults, in the order of their lines.
    pub fn into_faults(mut self) -> Vec<String> {
        self.faults.sort_by_key(|(at, _)| *at);
        let more = self.faults.len() >= FAULTS_MAX;
        let shown =
            |(at, text): &(usize, String)| format!("{}:{}: {text}", self.path.display(), self.lines.number(*at));
        let mut faults: Vec<_> = self.faults.iter().map(shown).collect();
        if more {
            faults.push(format!("{}: there may be more faults: correct these first", self.path.display()));
        }
        faults
    }

    /// How many there are so far.
    pub fn faults_count(&self) -> usize {
        self.faults.len()
    }

    pub fn fault(&mut self, at: usize, text: impl Into<String>) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push((at, text.into()));
        }
    }

    /// Reports a key that is not known. `table` is the name of its table, such as `screen`.
    pub fn unknown(&mut self, table: &str, key: &Key<'_>, known: &[&str]) {
        let place = if table.is_empty() { String::new() } else { format!(" in [{table}]") };
        // As options of the command line are written, or variables.
        let typed = key.get_ref().trim_start_matches('-').replace('_', "-");
        let same = known.iter().copied().find(|known| *known == typed);
        let hint = match same.or_else(|| nearest(&typed, known.iter().copied())) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("known are {}", known.join(", ")),
        };
        let fault = format!("unknown key {}{place}: {hint}", shown(key.get_ref()));
        self.fault(key.span().start, fault);
    }

    /// Reports a value of another type.
    fn expected(&mut self, key: &Key<'_>, value: &Value<'_>, expected: &str) {
        let fault = format!("{}: expected {expected}, not {}", shown(key.get_ref()), article(value.get_ref()));
        self.fault(value.span().start, fault);
    }

    /// A table, by its own key.
    pub fn inner<'v>(&mut self, key: &Key<'_>, value: &'v Value<'a>) -> Vec<(&'v Key<'a>, &'v Value<'a>)> {
        match value.get_ref() {
            DeValue::Table(table) => entries(table),
            _ => {
                let name = key.get_ref().clone();
                self.expected(key, value, &format!("a table, as in [{name}]"));
                Vec::new()
            }
        }
    }

    pub fn flag(&mut self, key: &Key<'_>, value: &Value<'_>) -> Option<bool> {
        if let DeValue::Boolean(flag) = value.get_ref() {
            return Some(*flag);
        }
        self.expected(key, value, "true or false");
        None
    }

    /// A text, read by a function.
    pub fn text<T>(&mut self, key: &Key<'_>, value: &Value<'_>, read: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let DeValue::String(text) = value.get_ref() else {
            self.expected(key, value, "a text in quotes");
            return None;
        };
        if text.is_empty() {
            let fault = format!("{}: it is empty: give a value, or leave the key out", shown(key.get_ref()));
            self.fault(value.span().start, fault);
            return None;
        }
        match read(text) {
            Ok(read) => Some(read),
            Err(reason) => {
                self.fault(value.span().start, format!("{}: {reason}", shown(key.get_ref())));
                None
            }
        }
    }

    /// A list of texts, or a single one.
    pub fn texts<T>(&mut self, key: &Key<'_>, value: &Value<'_>, read: impl Fn(&str) -> Result<T, String>) -> Vec<T> {
        match value.get_ref() {
            DeValue::Array(array) => array.iter().filter_map(|value| self.text(key, value, &read)).collect(),
            _ => self.text(key, value, read).into_iter().collect(),
        }
    }

    /// One of several words.
    pub fn choice<T: Copy>(&mut self, key: &Key<'_>, value: &Value<'_>, choices: &[(&str, T)]) -> Option<T> {
        self.text(key, value, |word| {
            let found = choices.iter().find(|(name, _)| *name == word).map(|(_, choice)| *choice);
            found.ok_or_else(|| {
                let names: Vec<_> = choices.iter().map(|(name, _)| format!("{name:?}")).collect();
                format!("expected {}, not {}", names.join(", "), shown(word))
            })
        })
    }

    /// A path; a relative one is in the folder of the file, and `~` is the user's home.
    pub fn path(&mut self, key: &Key<'_>, value: &Value<'_>) -> Option<PathBuf> {
        let folder = self.path.parent().unwrap_or(Path::new("")).to_owned();
        self.text(key, value, |text| {
            if text.contains('\0') {
                return Err("a path has no NUL character".to_owned());
            }
            match text.strip_prefix("~/") {
                Some(rest) => match std::env::var_os("HOME").filter(|home| !home.is_empty()) {
                    Some(home) => Ok(Path::new(&home).join(rest)),
                    None => Err("the variable HOME is not set: write the whole path".to_owned()),
                },
                None => Ok(folder.join(text)),
            }
        })
    }

    /// What an error of the syntax is about.
    fn syntax(&self, at: usize, message: &str) -> String {
        let line = self.lines.line(at);
        let hint = match (message, config_text::key(line)) {
            ("duplicate key", Some(key)) => Some(format!("{} is given twice: leave one out", shown(key))),
            ("duplicate key", None) => Some(format!("{} is given twice: join the two", shown(line.trim()))),
            _ => config_text::hint(line, |key| Some(FLAGS.contains(&key))),
        };
        hint.unwrap_or_else(|| message.to_owned())
    }
}

/// The entries of a table, in the order of the file.
pub fn entries<'v, 'a>(table: &'v DeTable<'a>) -> Vec<(&'v Key<'a>, &'v Value<'a>)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries
}

fn article(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
