//! What the server's commands print in common.

use hubbub::arguments;

pub const PROGRAM: &str = "hubbub-server";

/// Prints an error, regardless of `RUST_LOG`.
pub fn complain(error: &str) {
    arguments::complain(PROGRAM, &[error.to_owned()]);
}

/// A number of things.
pub fn counted(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}
