//! The limit of file descriptors: each connection takes one, and a process may have 1,024 by default.

/// Raises the soft limit to the hard one, which any process may do. If that fails, the first connection above the limit
/// reports it.
pub fn allow_many() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: getrlimit writes one rlimit, to which the pointer is; setrlimit reads it.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        }
    }
}

/// How many descriptors the process may have now.
pub fn limit() -> usize {
    current(|limit| limit.rlim_cur)
}

/// How many descriptors the process may have once [`allow_many`] has raised the limit.
pub fn hard_limit() -> usize {
    current(|limit| limit.rlim_max)
}

fn current(which: impl Fn(libc::rlimit) -> libc::rlim_t) -> usize {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: getrlimit writes one rlimit, to which the pointer is.
    let known = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } == 0;
    if known { usize::try_from(which(limit)).unwrap_or(usize::MAX) } else { usize::MAX }
}
