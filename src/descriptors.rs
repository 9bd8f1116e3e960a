//! The limit of file descriptors: each connection takes one, and a process may have 1,024 by default.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit to the hard one, which any process may do. If that fails, the first connection above the limit
/// reports it.
pub fn allow_many() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

/// How many descriptors the process may have now.
pub fn limit() -> usize {
    count(getrlimit(Resource::Nofile).current)
}

/// How many descriptors the process may have once [`allow_many`] has raised the limit.
pub fn hard_limit() -> usize {
    count(getrlimit(Resource::Nofile).maximum)
}

/// A limit as a number of descriptors. `None` means no limit.
fn count(limit: Option<u64>) -> usize {
    limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX)
}
