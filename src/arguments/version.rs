//! The version of a program: in short (`-V`), and with all that makes a difference between two builds (`--version`).

/// The features of this build, as `+name` or `-name`.
const FEATURES: [(&str, bool); 2] = [("core-patches", cfg!(feature = "core-patches")), ("fdatasync", SYNCS_DATA_ONLY)];

/// Whether SQLite was built with fdatasync(2): a commit that overwrites the write-ahead log is then one write to the disk.
/// The build script finds that out.
pub const SYNCS_DATA_ONLY: bool = cfg!(fdatasync);

/// The text after the name of the program. `commit` is the one that the builder has named.
pub fn long(commit: Option<&str>) -> String {
    let commit = commit.filter(|commit| !commit.is_empty()).or(option_env!("HUBBUB_FETCHED_COMMIT"));
    let features = FEATURES.map(|(name, is_on)| format!("{}{name}", if is_on { '+' } else { '-' }));
    format!(
        "{}\ncommit: {}\nfeatures: {}",
        env!("CARGO_PKG_VERSION"),
        commit.unwrap_or("not named by the build"),
        features.join(" ")
    )
}
