//! What is wrong with a text that is not the JSON form of a message, and where.

use protobuf::reflect::FieldDescriptor;
use serde::de;
use thiserror::Error;

/// Why a text is not the JSON form of a message. No variant holds any part of the input, so that the text of the error
/// is short and safe to send and to log.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum InvalidJson {
    #[error("not UTF-8")]
    Encoding,
    /// The text is not JSON, or is nested too deeply. serde_json names the line and the column.
    #[error("invalid JSON: {0}")]
    Syntax(serde_json::Error),
    /// It is JSON, but not an object.
    #[error("{problem}")]
    Message { problem: &'static str },
    /// A field has a value that it can't have. `path` consists of names and indices, for example `events[2].seq`.
    #[error("{path}: {problem}")]
    Field { path: String, problem: &'static str },
}

/// What is wrong, and where: collected while the error returns through the visitors, whose own type of error only holds
/// a text.
#[derive(Default)]
pub struct Fault {
    path: String,
    problem: Option<&'static str>,
}

impl Fault {
    /// Records the problem, unless there is one already: the first one is that of the innermost value.
    pub fn note<E>(&mut self, problem: &'static str, error: E) -> E {
        self.problem.get_or_insert(problem);
        error
    }

    /// An error of the type that the visitors need.
    pub fn error<E: de::Error>(&mut self, problem: &'static str) -> E {
        self.note(problem, E::custom(problem))
    }

    /// Puts a field's name before the path.
    pub fn within_field(&mut self, field: &FieldDescriptor) {
        let dot = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path.insert_str(0, dot);
        self.path.insert_str(0, field.json_name());
    }

    /// Puts an element's index before the path.
    pub fn within_element(&mut self, index: usize) {
        let dot = if self.path.is_empty() { "" } else { "." };
        self.path.insert_str(0, &format!("[{index}]{dot}"));
    }

    pub fn into_error(self) -> InvalidJson {
        // Invariant: every visitor notes what it expected. The text would only be vague without it.
        let problem = self.problem.unwrap_or("unexpected value");
        if self.path.is_empty() {
            return InvalidJson::Message { problem };
        }
        InvalidJson::Field { path: self.path, problem }
    }
}
