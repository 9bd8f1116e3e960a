//! What the system says about the process. The names of these metrics are those that all Prometheus clients use.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;

use parking_lot::Mutex;
use rustix::fs::{Dir, Mode, OFlags, open};
use rustix::time::{ClockId, clock_gettime};

use super::exposition::Exposition;
use crate::descriptors;

/// What the system says about this process. Its files stay open, so that they can be read when the process has no
/// descriptor left. A file that is missing is left out.
pub struct Process {
    status: Option<File>,
    /// Its open descriptors.
    // lock order: 3 (a leaf, held to read the folder once)
    open: Option<Mutex<Dir>>,
    /// In seconds of Unix time.
    started: Option<f64>,
}

/// The process, by `/proc/self/status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Status {
    threads: u64,
    resident_bytes: u64,
    virtual_bytes: u64,
}

impl Process {
    pub fn of_this() -> Self {
        let folder = open("/proc/self/fd", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
        Self {
            status: File::open("/proc/self/status").ok(),
            open: folder.and_then(Dir::new).ok().map(Mutex::new),
            started: started(),
        }
    }

    /// Writes the metrics of the process. Those that the system does not tell are left out.
    pub fn write(&self, exposition: &mut Exposition) {
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        let cpu = cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9;
        exposition.counter("process_cpu_seconds_total", "Processor time that the process has used.").is(cpu);
        if let Some(open) = self.open_descriptors() {
            exposition.gauge("process_open_fds", "File descriptors that are open.").is(open);
        }
        let max = match descriptors::limit() {
            usize::MAX => f64::INFINITY,
            limit => limit as f64,
        };
        if max.is_finite() {
            exposition.gauge("process_max_fds", "File descriptors that may be open (ulimit -n).").is(max);
        }
        if let Some(started) = self.started {
            exposition.gauge("process_start_time_seconds", "When the process started, in Unix time.").is(started);
        }
        let Some(Status { threads, resident_bytes, virtual_bytes }) = self.status() else { return };
        exposition.gauge("process_resident_memory_bytes", "Memory in RAM.").is(resident_bytes);
        exposition.gauge("process_virtual_memory_bytes", "Address space.").is(virtual_bytes);
        exposition.gauge("hubbub_threads", "Threads of the process, with those of the gRPC library.").is(threads);
    }

    /// How many threads the process has.
    pub fn threads(&self) -> u64 {
        self.status().map_or(0, |status| status.threads)
    }

    /// How many descriptors are open.
    fn open_descriptors(&self) -> Option<usize> {
        let mut folder = self.open.as_ref()?.lock();
        folder.rewind();
        let numbers = |name: &[u8]| name.iter().all(u8::is_ascii_digit);
        let mut open = 0;
        while let Some(entry) = folder.read() {
            open += usize::from(numbers(entry.ok()?.file_name().to_bytes()));
        }
        Some(open)
    }

    fn status(&self) -> Option<Status> {
        // It has about 1.5 KiB.
        let mut text = [0; 4096];
        let length = self.status.as_ref()?.read_at(&mut text, 0).ok()?;
        parse_status(&String::from_utf8_lossy(&text[..length]))
    }
}

/// How many threads it has of each name, without the numbers at the end of names.
pub fn threads_by_name() -> BTreeMap<String, usize> {
    let mut names = BTreeMap::new();
    for task in fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        // A thread may have ended meanwhile.
        if let Ok(name) = fs::read_to_string(task.path().join("comm")) {
            *names.entry(kind(name.trim_end()).to_owned()).or_default() += 1;
        }
    }
    names
}

/// `recv` for `recv-17`.
fn kind(name: &str) -> &str {
    match name.rsplit_once('-') {
        Some((kind, number)) if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) => kind,
        _ => name,
    }
}

fn parse_status(status: &str) -> Option<Status> {
    let field = |name: &str| -> Option<u64> {
        let value = status.lines().find_map(|line| line.strip_prefix(name))?;
        value.trim().trim_end_matches("kB").trim_end().parse().ok()
    };
    // The sizes are in KiB.
    let bytes = |name: &str| field(name).map(|kib| kib * 1024);
    Some(Status { threads: field("Threads:")?, resident_bytes: bytes("VmRSS:")?, virtual_bytes: bytes("VmSize:")? })
}

/// When the process started, in seconds of Unix time.
fn started() -> Option<f64> {
    let ticks = started_ticks(&fs::read_to_string("/proc/self/stat").ok()?)?;
    let system = fs::read_to_string("/proc/stat").ok()?;
    let booted: u64 = system.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    // SAFETY: the call takes a number and returns one.
    let per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    (per_second > 0).then(|| booted as f64 + ticks as f64 / per_second as f64)
}

/// The 22nd field of `/proc/self/stat`. The second one, the name of the process, is in parentheses and may contain
/// anything.
fn started_ticks(stat: &str) -> Option<u64> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(22 - 3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_is_found_behind_any_name() {
        let fields: Vec<String> = (3..=52).map(|number| number.to_string()).collect();
        assert_eq!(started_ticks(&format!("1234 (a) b) {}\n", fields.join(" "))), Some(22));
        assert_eq!(started_ticks("1 (a) S 1"), None);
    }

    #[test]
    fn sizes_are_in_bytes() {
        let status = parse_status("Name:\tx\nVmSize:\t     300 kB\nVmRSS:\t 20 kB\nThreads:\t7\n");
        assert_eq!(status, Some(Status { threads: 7, resident_bytes: 20_480, virtual_bytes: 307_200 }));
        assert_eq!(parse_status("Threads:\t7\n"), None);
    }

    #[test]
    fn this_process_has_threads_and_a_start() {
        let process = Process::of_this();
        assert!(process.threads() > 0 && process.started.unwrap() > 1.6e9);
        assert!(threads_by_name().values().sum::<usize>() > 0);
    }

    #[test]
    fn open_descriptors_are_counted_each_time() {
        let process = Process::of_this();
        // Other tests open and close some meanwhile, but none this many.
        let before = process.open_descriptors().unwrap();
        let opened: Vec<_> = (0..300).map(|_| File::open("/dev/null").unwrap()).collect();
        let with = process.open_descriptors().unwrap();
        drop(opened);
        let after = process.open_descriptors().unwrap();
        assert!(with >= before + 200 && after + 200 <= with, "{before}, {with}, {after}");
    }

    #[test]
    fn numbers_are_cut_from_names() {
        assert_eq!(
            ["recv-17", "log-writer", "http-poll", "poll-0", "a-"].map(kind),
            ["recv", "log-writer", "http-poll", "poll", "a-"]
        );
    }
}
