//! The memory of the process: how much it may take (that of the machine, or less in a container), and how it gives some
//! back.

use std::fs;
use std::path::Path;

/// A share of the memory, in bytes, given by the denominator of a fraction. Without a known limit it is `usize::MAX`.
pub fn share(denominator: u64) -> usize {
    let bytes = [machine(), cgroup()].into_iter().flatten().min();
    bytes.and_then(|bytes| usize::try_from(bytes / denominator).ok()).unwrap_or(usize::MAX)
}

/// Gives freed memory back to the system. The allocator keeps it for later requests otherwise. Takes about a millisecond
/// for each ten megabytes.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: the allocator's own function, which takes its locks; it may be called at any time, from any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}

fn machine() -> Option<u64> {
    total(&fs::read_to_string("/proc/meminfo").ok()?)
}

fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// The lowest limit of the process's control group (version 2) and those above it.
fn cgroup() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let limit = |folder: &Path| -> Option<u64> {
        fs::read_to_string(Path::new("/sys/fs/cgroup").join(folder).join("memory.max")).ok()?.trim().parse().ok()
    };
    Path::new(path).ancestors().filter_map(limit).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_s_memory_is_read() {
        assert_eq!(total("MemTotal:       24683380 kB\nMemFree: 1 kB\n"), Some(24_683_380 * 1024));
        assert_eq!(total("MemFree: 1 kB\n"), None);
        let (all, half) = (share(1), share(2));
        assert!((64 << 20..usize::MAX).contains(&all), "{all} bytes");
        assert_eq!(all / 2, half);
    }
}
